// SPDX-License-Identifier: GPL-2.0-only

//! Work that has to be deferred, as its caller is in atomic context or holds a lock.

#![deny(unsafe_code)]

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

/// The module's workqueue; none while the module is being removed.
///
/// Its items run in parallel: one may wait for long, as for a grace period of RCU tasks, and
/// firmware that was stopped must be detached at once.
static WORK: RcuSlot<OwnedQueue> = RcuSlot::new();

/// Makes the workqueue; to be called once, before requests can arrive.
pub(crate) fn init() -> Result {
    let queue = Arc::new(OwnedQueue::new(c"ekho")?, GFP_KERNEL)?;
    drop(WORK.replace(Some(queue)));
    Ok(())
}

/// Waits for the work that is queued; to be called last.
pub(crate) fn drain() {
    drop(WORK.replace(None));
}

/// Queues `item`, unless it is queued already. Any context.
pub(crate) fn enqueue<T>(item: Arc<T>)
where
    T: WorkItem<Pointer = Arc<T>> + HasWork<T> + Send + Sync + 'static,
{
    if let Some(queue) = WORK.get(&rcu::read_lock()) {
        let _ = queue.enqueue(item);
    }
}
