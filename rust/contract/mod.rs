// SPDX-License-Identifier: GPL-2.0-only

//! The firmware contract from Rust: what `c/abi.h` and `c/bpf.c` define, and calls through it.
//!
//! The only part of the driver that uses the C types, and with few exceptions the only one with
//! `unsafe` code. It knows a flow by what firmware is told of it; the flow itself is above.

pub(crate) mod calls;
pub(crate) mod capabilities;
pub(crate) mod context;
pub(crate) mod flow;
pub(crate) mod hw_stats;
mod kfuncs;
pub(crate) mod name;
pub(crate) mod op;
pub(crate) mod reason;
pub(crate) mod rule;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod trace;
