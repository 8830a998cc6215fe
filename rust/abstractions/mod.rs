// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over the kernel's networking and BPF interfaces.
//!
//! They are written as `rust/kernel` code would be, and know nothing of EKHO, so that each file
//! could be proposed upstream. Only they and `contract` use [`crate::bindings`].

pub(crate) mod bottom_half;
pub(crate) mod bpf;
pub(crate) mod capability;
pub(crate) mod compat;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod hash;
pub(crate) mod interrupt;
pub(crate) mod net;
pub(crate) mod slab;
pub(crate) mod soft_timer;
pub(crate) mod sort;
pub(crate) mod stopwatch;
pub(crate) mod sync;
pub(crate) mod tc;
pub(crate) mod tracepoint;
