// SPDX-License-Identifier: GPL-2.0-only

//! Detaches links whose firmware was taken off its device.

#![deny(unsafe_code)]

use crate::{
    abstractions::bpf::struct_ops::OwnedLink,
    faults::{
        parse::Point,
        FaultSlot, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// A work item that detaches a link, which tells its owner.
#[pin_data]
pub(super) struct EndLink {
    /// The link, and the faults of the device that it was on.
    #[pin]
    pub(super) link: Mutex<Option<(OwnedLink, Arc<FaultSlot>)>>,
    #[pin]
    work: Work<EndLink>,
}

impl_has_work! {
    impl HasWork<Self> for EndLink { self.work }
}

impl EndLink {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                link <- new_mutex!(None, "ekho::EndLink::link"),
                work <- new_work!("ekho::EndLink"),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for EndLink {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let link = this.link.lock().take();
        if let Some((link, faults)) = link {
            faults.sleep(Point::EndLink);
            link.detach();
        }
    }
}
