// SPDX-License-Identifier: GPL-2.0-only

//! The state of the module, for user space: the netlink family ([`genl`]) for programs, and
//! [`debugfs`] for people.

#![deny(unsafe_code)]

pub(crate) mod debugfs;
pub(crate) mod genl;
