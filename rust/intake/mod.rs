// SPDX-License-Identifier: GPL-2.0-only

//! Intake: from the kernel's offload callbacks to flows and firmware.
//!
//! The same code serves devices of kind `ekho` (`ndo_setup_tc`) and devices whose drivers have no
//! offload (indirect blocks).
//!
//! ```text
//!   block    tc and nftables bind a list of filters to a device ─┐
//!   actions  tc shares an action between filters ────────────────┼─▶ requests ──▶ firmware
//!   connections  of zones that flows send packets to ────────────┘
//!   qdiscs   tc offloads a qdisc ───────────────────────────────────────────────▶ firmware
//! ```
//!
//! Locks, outermost first: bpf `update_mutex`, RTNL, a block's `cb_lock`, `flow_indr_block_lock`, the
//! set of zones, a flowtable's `flow_block_lock`, the sets of bindings and of devices, a device's
//! own, a binding's own. Requests for statistics take no lock: they find the flow and the firmware
//! under RCU.

#![deny(unsafe_code)]

pub(crate) mod actions;
pub(crate) mod block;
mod connections;
pub(crate) mod qdiscs;
pub(crate) mod requests;
pub(crate) mod zones;
