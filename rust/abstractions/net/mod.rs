// SPDX-License-Identifier: GPL-2.0-only

//! Network devices, and what the kernel offers along with them.

pub(crate) mod devlink;
pub(crate) mod ethernet;
pub(crate) mod genetlink;
pub(crate) mod namespace;
pub(crate) mod napi;
pub(crate) mod net_device;
pub(crate) mod netlink;
pub(crate) mod packet;
pub(crate) mod ptp;
pub(crate) mod rtnl_link;
pub(crate) mod rx_handler;
pub(crate) mod sk_buff;
pub(crate) mod skb_ring;
pub(crate) mod uevent;
