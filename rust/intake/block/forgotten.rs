// SPDX-License-Identifier: GPL-2.0-only

//! Bindings that the kernel doesn't unbind: chains of nftables whose device is unregistered, or
//! moves to another network namespace.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::net_device::{
            NetDevice,
            Rtnl, //
        },
        tc::flow_offload::BoundCallback, //
    },
    intake::{
        block::{
            binding::Binding,
            bindings, //
        },
        requests, //
    },
    offload::{
        device::Device,
        work, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        SetOnce, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// A netdev is unregistered: ends the bindings that the kernel should have unbound. Process
/// context.
#[expect(unsafe_code)]
pub(crate) fn device_gone(device: &Device, dev: &NetDevice, rtnl: &Rtnl) {
    for binding in bindings::each(device, rtnl) {
        bindings::remove(&binding);
        binding.lose_device();
        if !dev.netns_ends(rtnl) {
            pr_info!(
                "{}: nftables still has a chain of it: delete the chain's rules, or this module can't be removed\n",
                dev.name()
            );
            continue;
        }
        if let Some(callback) = binding.take_forgotten() {
            // SAFETY: A namespace loses its devices before its tables, and has no socket by then
            // through which anyone could change them: nobody looks at the list.
            unsafe {
                callback.unlink();
                callback.free();
            }
        }
    }
}

/// A netdev moves to another namespace: ends the bindings of chains, which the kernel doesn't
/// unbind then either. Process context.
pub(crate) fn device_leaves(device: &Device, dev: &NetDevice, rtnl: &Rtnl) {
    for binding in bindings::each(device, rtnl).filter(|binding| binding.is_chain()) {
        binding.lose_device();
        requests::destroy_where(device, dev, |flow| flow.owner == binding.id());
        bindings::remove(&binding);
    }
}

/// Ends a binding whose netdev was unregistered. Called when the chain sends it a request that
/// isn't for statistics. Process context.
#[expect(unsafe_code)]
pub(super) fn forget(binding: &Binding) {
    // If there is no memory, the next request does it.
    let Ok(forgotten) = Forgotten::new() else {
        return;
    };
    if let Some(callback) = binding.take_forgotten() {
        // SAFETY: Such requests come with the lock that guards the list. The kernel has no way left
        // to find the binding by its device.
        unsafe { callback.unlink() };
        forgotten.callback.populate(callback);
        // The workqueue exists as long as requests can arrive.
        work::enqueue(forgotten);
    }
}

/// Releases a callback that the kernel forgot.
#[pin_data]
struct Forgotten {
    callback: SetOnce<BoundCallback>,
    #[pin]
    work: Work<Forgotten>,
}

impl_has_work! {
    impl HasWork<Self> for Forgotten { self.work }
}

impl Forgotten {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                callback: SetOnce::new(),
                work <- new_work!("ekho::Forgotten"),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for Forgotten {
    type Pointer = Arc<Self>;

    #[expect(unsafe_code)]
    fn run(this: Arc<Self>) {
        if let Some(callback) = this.callback.copy() {
            // SAFETY: Unlinked before it was put here, and the item runs once.
            unsafe { callback.free() };
        }
    }
}
