// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's netlink family `ekho`: what it says of devices, firmware and flows, faults that
//! tests inject, and notifications.
//!
//! The family is described by `docs/netlink.md`, and its numbers are those of the header that is
//! generated from its specification. A socket sees the devices of its network namespace; one in
//! the initial namespace may ask for those of all. [`Netlink`] does so where records of all
//! namespaces are wanted and the kernel permits it, and else answers for this one.

pub mod cable;
pub mod client;
pub mod fault;
pub mod nic;
pub mod notification;
pub mod parse;
pub mod uapi;

pub use client::Netlink;
