// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over the kernel's networking and BPF interfaces.
//!
//! Shaped as `rust/kernel` code would be, and free of anything that is EKHO's own, so that each
//! file could be proposed upstream. Besides `contract` they are the only users of
//! [`crate::bindings`].

pub(crate) mod bpf;
pub(crate) mod compat;
pub(crate) mod debugfs;
pub(crate) mod error;
pub(crate) mod module;
pub(crate) mod net;
pub(crate) mod stopwatch;
pub(crate) mod sync;
pub(crate) mod tc;
pub(crate) mod tracepoint;
