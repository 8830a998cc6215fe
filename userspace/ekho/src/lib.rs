// SPDX-License-Identifier: MIT OR Apache-2.0

//! Load, attach, replace and feed EKHO's flow-offload firmware.
//!
//! Firmware is a BPF object that implements `bpf_flow_offload_ops`, the struct_ops
//! type of the module `ekho`, for one network device. This crate is everything in
//! user space that talks to the kernel about it; `ekho-fw` is a command line on top,
//! and agents and exporters are meant to be others.
//!
//! Modules only use those below them:
//!
//! ```text
//!  doctor
//!  monitor     events      flows       what happens · requests · counters
//!  firmware                            attach, replace, unload, pins
//!  module                              contract and state of the loaded module
//!  kernel                              bpf(2), netlink, namespaces, capabilities
//!  error
//!  contract                            names and numbers of the firmware contract
//!  object · number · privilege         ELF, BTF, verifier logs: pure parsers
//! ```
//!
//! | to … | see |
//! |---|---|
//! | look into a firmware object without privileges | [`firmware::Firmware::open`] |
//! | attach, replace, detach | [`firmware::load`], [`firmware::replace`], [`firmware::unload`] |
//! | list devices, firmware, flows | [`module::State`] |
//! | list, make and remove cables between ports | [`module::netlink::cable`] |
//! | write counters of flows | [`flows::stats::Stats`], [`flows::feed::feed`] |
//! | read what firmware tells of requests | [`events::Listener`], [`events::Event`] |
//! | learn when firmware is attached, replaced, detached or stopped | [`monitor::Monitor`] |
//! | find out whether a system is ready | [`doctor::Doctor`] |
//!
//! Data that is meant to be shown is plain and implements `serde::Serialize`: its
//! JSON is `ekho-fw`'s, described in `SCHEMA.md`. Failures are [`Error`]s that read
//! as sentences. libbpf's own messages are kept from standard error once
//! [`kernel::libbpf_log::silence`] was called.

#![deny(unsafe_code)]

pub mod contract;
pub mod doctor;
pub mod error;
pub mod events;
pub mod firmware;
pub mod flows;
pub mod kernel;
pub mod module;
pub mod monitor;
pub mod number;
pub mod object;
pub mod privilege;

pub use error::{Error, Result};
