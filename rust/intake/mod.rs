// SPDX-License-Identifier: GPL-2.0-only

//! Intake: from the kernel's offload callbacks to flows and firmware.
//!
//! The same code serves devices of kind `ekho` (`ndo_setup_tc`) and devices whose drivers have no
//! offload (indirect blocks).
//!
//! ```text
//!   block    tc and nftables bind a list of filters to a device ─┐
//!   actions  tc shares an action between filters ────────────────┼─▶ requests ──▶ firmware
//!   ct_requests  connections of zones that flows send packets to ┘
//!   qdiscs   tc offloads a qdisc ───────────────────────────────────────────────▶ firmware
//! ```
//!
//! Locks, outermost first: bpf `update_mutex`, RTNL, nftables' `commit_mutex`, a block's `cb_lock`,
//! `flow_indr_block_lock`, the set of zones, a flowtable's `flow_block_lock`, the sets of bindings and
//! of devices, a device's own, a binding's own. Requests for statistics take no lock: they find the
//! flow and the firmware under RCU.
//!
//! # One request, several receivers
//!
//! A request can go to all devices of a shared block, a chain, a flowtable or a namespace, some of
//! them of other drivers. This is what happens when one of them fails:
//!
//! | request | the kernel | this module | test |
//! |---|---|---|---|
//! | a filter that may stay in software | asks the others, counts who accepts | – | `change.sh` a_filter_that_one_port |
//! | a `skip_sw` filter | stops, then destroys it on all | accepts that an unknown flow is destroyed | `change.sh` two_destroys |
//! | a filter is deleted | asks the others | – | `blocks.sh` a_block_of_two_ports |
//! | statistics of a filter | asks the others; drops what is counted for the filter if one device counts by action | reports it with each action | `blocks.sh` devices_of_a_block_count |
//! | a block with filters is bound | takes them back from this device, which isn't bound | – | `blocks.sh` a_port_without_firmware |
//! | the same, an indirect block | the same, but keeps a freed callback on a list | refuses blocks with filters | `blocks.sh` a_device_of_others_that_joins |
//! | replay at an attach | is asked by this module | stops, and takes all filters back from this device | `attach.sh` firmware_that_refuses_a_skip_sw_filter |
//! | withdrawal at a detach | stops | asks again for a time, then logs an error | `faults.sh` filters_are_taken_back |
//! | a chain or flowtable is bound | unbinds it from the others | – | `nft.sh` a_chain_that_one, a_flowtable_that_one |
//! | any request for a rule of a chain | stops | see [`block::chain`] | `nft.sh`, chains on several devices |
//! | any request for a connection | asks the others | accepts those that the device receives | `nft.sh` an_ekho_device_takes_part |
//! | any request for a shared action | asks the others, counts who accepts | drops the old record even if the new action is refused | `requests.sh` a_shared_action_that_one |

#![deny(unsafe_code)]

pub(crate) mod actions;
pub(crate) mod block;
mod ct_requests;
pub(crate) mod ct_zones;
pub(crate) mod qdiscs;
pub(crate) mod requests;
