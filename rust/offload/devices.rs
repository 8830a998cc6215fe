// SPDX-License-Identifier: GPL-2.0-only

//! The set of devices. Its lock is taken after RTNL and the locks of blocks, and before those of a
//! device.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::net_device::NetDevice,
    offload::{
        changes,
        device::Device, //
    },
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    unsafe(uninit) static DEVICES: Mutex<Option<RBTree<usize, Arc<Device>>>> = None;
}

/// Makes the set ready; to be called once, before all else of this module.
#[expect(unsafe_code)]
pub(crate) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { DEVICES.init() };
    *DEVICES.lock() = Some(RBTree::new());
}

/// Drops the set when the module is removed.
pub(crate) fn clear() {
    let devices = DEVICES.lock().take();
    drop(devices);
}

/// The device that a netdev belongs to, if it is known.
pub(crate) fn get(dev: &NetDevice) -> Option<Arc<Device>> {
    DEVICES.lock().as_ref()?.get(&dev.key()).cloned()
}

/// A reference that keeps a device in the set: held by its bindings, by the link of its firmware,
/// and while one is being bound or attached. An indirect device is removed with the last claim,
/// which may be dropped without RTNL, by nftables.
pub(crate) struct Claim(Arc<Device>);

impl Claim {
    /// To be called with the lock held, for a device in the set.
    fn new(device: &Arc<Device>) -> Self {
        device.claims.add(1, Relaxed);
        Self(device.clone())
    }
}

impl core::ops::Deref for Claim {
    type Target = Arc<Device>;

    fn deref(&self) -> &Arc<Device> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut devices = DEVICES.lock();
        self.0.claims.add(u32::MAX, Relaxed);
        prune(&mut devices, &self.0);
    }
}

/// A claim to a device with several ports, whether one of them is in the set yet or not.
pub(crate) fn claim(device: &Arc<Device>) -> Claim {
    let _devices = DEVICES.lock();
    Claim::new(device)
}

/// The device that a netdev belongs to, made with it as its only port if it isn't known. May sleep.
pub(crate) fn get_or_create(dev: &NetDevice, own: bool) -> Result<Claim> {
    if let Some(device) = DEVICES
        .lock()
        .as_ref()
        .and_then(|devices| devices.get(&dev.key()))
    {
        return Ok(Claim::new(device));
    }
    add(dev, &Device::new(own, None)?, 0)
}

/// Adds a netdev to a device, as its port number `index`. Returns the device that it belongs to, which
/// is another one if somebody else has added it before. May sleep.
pub(crate) fn add(dev: &NetDevice, device: &Arc<Device>, index: u16) -> Result<Claim> {
    let node = RBTreeNode::new(dev.key(), device.clone(), GFP_KERNEL)?;
    let mut devices = DEVICES.lock();
    let devices = devices.as_mut().ok_or(ENODEV)?;
    // Another thread may have added it in the meantime.
    if let Some(device) = devices.get(&dev.key()) {
        return Ok(Claim::new(device));
    }
    device.add_port(dev, index)?;
    devices.insert(node);
    changes::count();
    Ok(Claim::new(device))
}

/// Removes a netdev that is unregistered; returns its device, and whether that has no other port.
pub(crate) fn remove(dev: &NetDevice) -> Option<(Arc<Device>, bool)> {
    let (removed, was_last) = {
        let mut devices = DEVICES.lock();
        let removed = devices.as_mut()?.remove(&dev.key());
        let was_last = removed
            .as_ref()
            .is_some_and(|device| device.remove_port(dev));
        (removed, was_last)
    };
    changes::count();
    removed.map(|device| (device, was_last))
}

/// The first device for which `which` is true, which is called with the lock held.
pub(crate) fn find(which: impl Fn(&Device) -> bool) -> Option<Claim> {
    let devices = DEVICES.lock();
    let device = devices.as_ref()?.values().find(|device| which(device))?;
    Some(Claim::new(device))
}

/// Removes an indirect device that has no claim, and no fault knob that is set.
fn prune(devices: &mut Option<RBTree<usize, Arc<Device>>>, device: &Arc<Device>) {
    let Some(devices) = devices else { return };
    let in_use = device.claims.load(Relaxed) != 0 || device.faults.is_set();
    // After the netdev has gone its address may be that of another one.
    let is_there = devices
        .get(&device.key())
        .is_some_and(|there| Arc::ptr_eq(there, device));
    if !device.own && !in_use && is_there {
        devices.remove(&device.key());
        changes::count();
    }
}

/// Whether a device is in the set.
pub(crate) fn contains(device: &Arc<Device>) -> bool {
    let devices = DEVICES.lock();
    // After a netdev has gone its address may be that of another one.
    devices
        .as_ref()
        .and_then(|devices| devices.get(&device.first_port()?))
        .is_some_and(|there| Arc::ptr_eq(there, device))
}

/// All devices.
pub(crate) fn all() -> Result<KVec<Arc<Device>>> {
    let devices = DEVICES.lock();
    let mut all: KVec<Arc<Device>> = KVec::new();
    for (key, device) in devices.iter().flat_map(|devices| devices.iter()) {
        // Once each: by its first port.
        if device.first_port() == Some(*key) {
            all.push(device.clone(), GFP_KERNEL)?;
        }
    }
    Ok(all)
}
