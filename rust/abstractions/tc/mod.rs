// SPDX-License-Identifier: GPL-2.0-only

//! Traffic control: offload requests of tc and nftables.

pub(crate) mod control;
pub(crate) mod flow_action;
pub(crate) mod flow_offload;
pub(crate) mod flow_rule;
pub(crate) mod police;
pub(crate) mod setup_tc;
