// SPDX-License-Identifier: GPL-2.0-only

//! The flows that a device's firmware has accepted.
//!
//! A flow is added before the firmware is asked, so that nothing can fail after the firmware has
//! accepted it. It is removed by the first DESTROY, or when the firmware refuses. Readers find
//! flows under RCU.
//!
//! [`table`] holds the flows of a device, [`flow`] is one flow, [`counters`] are its counters,
//! [`encoded`] is its rule.

mod counter;
pub(crate) mod counters;
pub(crate) mod encoded;
pub(crate) mod flow;
pub(crate) mod table;

use crate::abstractions::sync::rcu::Callbacks;

/// How flows are freed.
#[expect(unsafe_code)]
// SAFETY: The module waits for the callbacks last of all when it is removed: see `End` in
// `ekho_main.rs`.
pub(crate) const CALLBACKS: Callbacks = unsafe { Callbacks::new() };
