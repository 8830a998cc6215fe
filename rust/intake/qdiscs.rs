// SPDX-License-Identifier: GPL-2.0-only

//! Requests to offload qdiscs.

use crate::{
    abstractions::{
        error::eopnotsupp,
        tc::flow_offload::qdisc::QdiscRequest, //
    },
    offload::devices, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// Handles a request about a qdisc. RTNL.
pub(crate) fn setup(request: &QdiscRequest<'_>) -> Result {
    let dev = request.dev();
    // Traffic classes end with their qdisc, even if its firmware was detached.
    if request.ends_mqprio() {
        request.map_traffic_classes();
    }
    ask(request)?;
    if !request.has_free_queue() {
        request.extack().set(fmt!(
            "{}: firmware chose a queue that isn't free; see ethtool -L {} tx N",
            dev.name(),
            dev.name()
        ));
        return Err(ENOSPC);
    }
    request.map_traffic_classes();
    Ok(())
}

/// Asks the firmware, if it has the op.
fn ask(request: &QdiscRequest<'_>) -> Result {
    let dev = request.dev();
    let refuse = |why| {
        request
            .extack()
            .set(fmt!("{}: {} {}", dev.name(), why, request.name()));
        eopnotsupp()
    };
    let device = devices::get(dev).ok_or_else(|| refuse("no firmware attached to offload"))?;
    let guard = rcu::read_lock();
    let firmware = device
        .firmware
        .get(&guard)
        .ok_or_else(|| refuse("no firmware attached to offload"))?;
    firmware.qdisc(request, &guard).inspect_err(|_| {
        refuse("the firmware doesn't offload");
    })
}
