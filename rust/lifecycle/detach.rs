// SPDX-License-Identifier: GPL-2.0-only

//! Takes firmware off its device: on a detach, when it was stopped, or when the netdev is
//! unregistered.

use crate::{
    abstractions::{
        bpf::struct_ops::Link,
        net::net_device::{
            Rtnl,
            RtnlGuard, //
        },
        sync::rcu::RcuSlot, //
    },
    intake::{
        block::binding_set,
        requests::destroy_rest, //
    },
    lifecycle::{
        attached::{
            take,
            Attached, //
        },
        events::{
            self,
            Event, //
        },
        exit_records, //
    },
    offload::{
        device::Device,
        work, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// Takes the firmware off a device. Its filters go back to software first.
pub(super) fn detach(attached: Attached, rtnl: &Rtnl) {
    let Attached {
        device,
        dev,
        actions,
        ..
    } = attached;
    let flows = device.flows.len();
    device.keep_exit(rtnl);
    drop(actions);
    for binding in binding_set::each(&device, rtnl) {
        binding.withdraw(rtnl);
    }
    if let Some(firmware) = device.firmware.replace(None) {
        destroy_rest(&device, &dev, &firmware);
        firmware.detach(&dev);
        match firmware.exit() {
            None => events::tell(Event::FirmwareDetach(&firmware), &device, &dev, rtnl),
            Some(exit) => exit_records::exited(exit, flows, &device, &dev, rtnl),
        }
    }
}

/// Detaches the firmware that is attached through a link.
pub(super) fn link_closed(link: &Link) {
    let rtnl = RtnlGuard::lock();
    // Nothing to do if the netdev was unregistered before.
    if let Some(attached) = take(&rtnl, |a| a.link == link.key()) {
        detach(attached, &rtnl);
    }
}

/// A netdev is unregistered: takes the firmware off.
pub(super) fn device_gone(device: &Arc<Device>, rtnl: &Rtnl) {
    if let Some(attached) = take(rtnl, |a| Arc::ptr_eq(&a.device, device)) {
        detach_with_link(attached, rtnl);
    }
}

/// Takes firmware off its device without a request of its owner. The link was just removed from the
/// list; a work item detaches it, as `update_mutex` has to be taken before RTNL.
pub(super) fn detach_with_link(mut attached: Attached, rtnl: &Rtnl) {
    let end_link = attached.end_link.take();
    let faults = attached.device.faults.clone();
    // SAFETY: The link was on the list just now, and RTNL has been held since: `unreg` waits for
    // it before it returns.
    let link = unsafe { attached.link.get() };
    detach(attached, rtnl);
    if let (Some(link), Some(end_link)) = (link, end_link) {
        *end_link.link.lock() = Some((link, faults));
        work::enqueue(end_link);
    }
}

/// Takes firmware that was stopped off its device. One item for all devices, as it is queued in
/// atomic context.
static DETACH_STOPPED: RcuSlot<DetachStopped> = RcuSlot::new();

/// Makes the work item; to be called once.
pub(super) fn init() -> Result {
    drop(DETACH_STOPPED.replace(Some(DetachStopped::new()?)));
    Ok(())
}

/// Undoes [`init()`].
pub(super) fn clear() {
    drop(DETACH_STOPPED.replace(None));
}

/// Firmware of some device was stopped. Any context.
pub(super) fn stopped() {
    if let Some(item) = DETACH_STOPPED.get_arc(&rcu::read_lock()) {
        // If it is queued already, it will find this firmware as well.
        work::enqueue(item);
    }
}

/// Takes firmware that was stopped off its device.
#[pin_data]
struct DetachStopped {
    #[pin]
    work: Work<DetachStopped>,
}

impl_has_work! {
    impl HasWork<Self> for DetachStopped { self.work }
}

impl DetachStopped {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_work!("ekho::DetachStopped"),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for DetachStopped {
    type Pointer = Arc<Self>;

    fn run(_this: Arc<Self>) {
        let rtnl = RtnlGuard::lock();
        while let Some(attached) = take(&rtnl, |a| a.device.has_stopped_firmware()) {
            detach_with_link(attached, &rtnl);
        }
    }
}
