// SPDX-License-Identifier: GPL-2.0-only

//! Qdiscs that are to be offloaded.

use crate::{
    abstractions::{
        flow_offload::{
            eopnotsupp,
            qdisc::QdiscRequest, //
        },
        net_device::NetDevice, //
    },
    port, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// Something is wanted of a qdisc. RTNL.
pub(crate) fn setup(dev: &NetDevice, request: &QdiscRequest) -> Result {
    let port = port::get(dev).ok_or_else(eopnotsupp)?;
    let guard = rcu::read_lock();
    let firmware = port.firmware.get(&guard).ok_or_else(eopnotsupp)?;
    firmware.qdisc(dev, request, &guard)
}
