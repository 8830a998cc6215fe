// SPDX-License-Identifier: GPL-2.0-only

//! Firmware: what implements `bpf_flow_offload_ops` for a device.
//!
//! [`contract`] is the C table and its arguments, [`firmware`] one attached table with its
//! figures, [`exit`] its end if it misbehaves, `turns` who is inside of its ops, `kfuncs` what
//! firmware can call, [`trace`] what tracers see of it.

pub(crate) mod contract;
pub(crate) mod exit;
pub(crate) mod firmware;
mod kfuncs;
pub(crate) mod trace;
mod turns;
