// SPDX-License-Identifier: GPL-2.0-only

//! The flows that a device's firmware has accepted.
//!
//! A flow is added before the firmware is asked, so that nothing can fail after the firmware has
//! accepted it. It is removed by the first DESTROY, or when the firmware refuses. Readers find
//! flows under RCU.
//!
//! [`table`] holds the flows of a device, [`flow`] is one flow, [`counters`] are its counters,
//! [`delta`] is the rule by which they turn totals into what is new, [`encoded`] is what the flow
//! matches and does, [`programmed`] is what executes it.

pub(crate) mod counters;
mod delta;
mod encoded;
pub(crate) mod flow;
pub(crate) mod programmed;
pub(crate) mod table;

use crate::abstractions::sync::rcu::Callbacks;
use kernel::prelude::*;

/// To be called before all else here, when the module is initialised. Process context.
pub(crate) fn init() -> Result {
    flow::init()
}

/// Waits until the memory of flows has been freed. To be called last, when the module is removed and
/// has no device any more. Process context.
#[expect(unsafe_code)]
pub(crate) fn end() {
    CALLBACKS.barrier();
    // SAFETY: Without a device there are no flows, and those that were removed are freed by now.
    unsafe { flow::end() };
}

/// How flows, and what executes them, are freed.
#[expect(unsafe_code)]
// SAFETY: The module waits for the callbacks last of all when it is removed: see `end`, which `End`
// in `ekho_main.rs` calls.
pub(crate) const CALLBACKS: Callbacks = unsafe { Callbacks::new() };
