// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over the kernel's networking and BPF interfaces.
//!
//! Shaped as `rust/kernel` code would be, and free of anything that is EKHO's own, so that each
//! file could be proposed upstream. They are the only users of [`crate::bindings`]; only `ops`
//! uses the module's own C types besides.

pub(crate) mod compat;
pub(crate) mod cookie_table;
pub(crate) mod debugfs;
pub(crate) mod flow_offload;
pub(crate) mod flow_rule;
pub(crate) mod module;
pub(crate) mod net_device;
pub(crate) mod netlink;
pub(crate) mod ptp;
pub(crate) mod rcu;
pub(crate) mod rtnl_link;
pub(crate) mod stopwatch;
pub(crate) mod struct_ops;
pub(crate) mod tracepoint;
pub(crate) mod uevent;
pub(crate) mod workqueue;
