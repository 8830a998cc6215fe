// SPDX-License-Identifier: GPL-2.0-only

//! Flows: what a device's firmware has accepted, by cookie, with what the kernel has been told
//! that they counted.
//!
//! A flow is born before the firmware is asked, so that nothing can fail after the firmware has
//! said yes, and dies with the first DESTROY, or with a refusal. Readers find flows under RCU.
//!
//! [`table`] holds the flows of a device, [`flow`] is one of them, [`counters`] what it has counted,
//! [`encoded`] what its rule says.

mod counter;
pub(crate) mod counters;
pub(crate) mod encoded;
pub(crate) mod flow;
pub(crate) mod table;
