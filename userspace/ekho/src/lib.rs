// SPDX-License-Identifier: MIT OR Apache-2.0

//! Load, attach, replace and feed EKHO's flow-offload firmware.
//!
//! Firmware is a BPF object that implements `bpf_flow_offload_ops`, the struct_ops
//! type of the module `ekho`, for one network device. This crate is everything in
//! user space that talks to the kernel about it; `ekho-fw` is a command line on top,
//! and agents and exporters are meant to be others.
//!
//! ```text
//!   file                              kernel
//!  ┌──────────┐  elf, btf   ┌────────────────────────────┐
//!  │ firmware │────────────▶│ bpf: programs, maps, links │◀── pins (bpffs)
//!  └──────────┘             └────────────────────────────┘
//!        │ struct_ops                  ▲          ▲
//!        ▼                             │          │
//!     attach ── load, replace, unload ─┘        stats ◀── feed (JSON lines)
//!        │                                        │
//!        └──▶ module (BTF) · debugfs (records) · netlink (devices, filters) ◀┘
//! ```
//!
//! | to … | see |
//! |---|---|
//! | look into a firmware object without privileges | [`firmware::Firmware::open`] |
//! | attach, replace, detach | [`attach`] |
//! | list devices, firmware, flows | [`debugfs::Debugfs`] |
//! | write counters of flows | [`stats::Stats`], [`feed::feed`] |
//! | read what firmware tells of requests | [`listen::Listener`], [`event::Event`] |
//! | learn what becomes of firmware | [`uevent::Uevents`], [`story::Story`] |
//! | find out whether a system is ready | [`doctor::Doctor`] |
//!
//! Data that is meant to be shown is plain and implements `serde::Serialize`: its
//! JSON is `ekho-fw`'s, described in `SCHEMA.md`. Failures are [`Error`]s that read
//! as sentences. libbpf's own messages are kept from standard error once
//! [`messages::silence`] was called.

#![deny(unsafe_code)]

pub mod attach;
#[expect(unsafe_code, reason = "libbpf-sys is C")]
pub mod bpf;
pub mod btf;
pub mod capability;
pub mod clock;
pub mod contract;
pub mod debugfs;
pub mod doctor;
pub mod elf;
pub mod error;
pub mod event;
pub mod feed;
pub mod firmware;
pub mod listen;
pub mod messages;
pub mod module;
pub mod netlink;
pub mod netns;
pub mod pins;
pub mod stats;
pub mod story;
pub mod struct_ops;
pub mod uevent;
pub mod verifier;

pub use error::{Error, Result};
