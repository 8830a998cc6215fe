// SPDX-License-Identifier: GPL-2.0-only

//! Intake: from the kernel's offload callbacks to flows and firmware.
//!
//! The same code serves the module's own devices (`ndo_setup_tc`) and all others that have no
//! offload of their own (indirect blocks).
//!
//! ```text
//!   blocks   tc and nftables bind a list of filters to a device ─┐
//!   actions  tc shares an action between filters ────────────────┼─▶ flows ──▶ firmware
//!   qdiscs   tc offloads a qdisc ────────────────────────────────┼───────────▶ firmware
//! ```
//!
//! Locks, outermost first: bpf `update_mutex`, RTNL, a block's `cb_lock` or a flowtable's
//! `flow_block_lock`, `flow_indr_block_lock`, the set of ports, a port's own, a binding's own.
//! Statistics take none: they find their flow and the firmware under RCU.

#![deny(unsafe_code)]

pub(crate) mod actions;
pub(crate) mod blocks;
pub(crate) mod flows;
pub(crate) mod qdiscs;

use crate::abstractions::sync::{
    rcu::RcuSlot,
    workqueue::OwnedQueue, //
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    workqueue::{
        HasWork,
        WorkItem, //
    },
};

/// The module's workqueue, unless the module is going.
static WORK: RcuSlot<OwnedQueue> = RcuSlot::new();

/// Makes intake ready; to be called once, before requests can arrive.
pub(crate) fn init() -> Result {
    let queue = Arc::new(OwnedQueue::new(c"ekho")?, GFP_KERNEL)?;
    drop(WORK.replace(Some(queue)));
    Ok(())
}

/// Waits for work that is under way; to be called last.
pub(crate) fn drain() {
    drop(WORK.replace(None));
}

/// Leaves `item` to a worker, unless it waits for one already. Any context.
pub(crate) fn enqueue<T>(item: Arc<T>)
where
    T: WorkItem<Pointer = Arc<T>> + HasWork<T> + Send + Sync + 'static,
{
    if let Some(queue) = WORK.get(&rcu::read_lock()) {
        let _ = queue.enqueue(item);
    }
}
