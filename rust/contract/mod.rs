// SPDX-License-Identifier: GPL-2.0-only

//! The contract with firmware: what `c/abi.h` and `c/bpf.c` define, and calls of ops.
//!
//! This is the only part of the driver that uses the C types, and almost the only one with `unsafe`
//! code. It takes plain data ([`flow::FlowArg`]), so that the layers above can change how they keep
//! flows.

pub(crate) mod calls;
pub(crate) mod capabilities;
pub(crate) mod context;
pub(crate) mod encoding;
pub(crate) mod flow;
pub(crate) mod hw_stats;
mod kfuncs;
pub(crate) mod name;
pub(crate) mod ops;
pub(crate) mod reason;
pub(crate) mod rule;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod trace;
pub(crate) mod uapi;
