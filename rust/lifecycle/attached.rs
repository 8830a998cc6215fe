// SPDX-License-Identifier: GPL-2.0-only

//! The links whose firmware is on a device.

use crate::{
    abstractions::{
        bpf::struct_ops::LinkKey,
        net::net_device::{
            NetDevice,
            Rtnl, //
        },
        tc::flow_offload::ActionRegistration, //
    },
    intake::actions::Actions,
    lifecycle::end_link::EndLink,
    offload::{
        device::Device,
        devices::Claim, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// A link whose firmware is on a device.
pub(super) struct Attached {
    pub(super) link: LinkKey,
    pub(super) device: Claim,
    /// The port that the user has named.
    pub(super) dev: ARef<NetDevice>,
    /// Asks the firmware for actions that filters share.
    pub(super) actions: Option<ActionRegistration<Actions>>,
    /// Detaches the link if the netdev is unregistered; allocated in advance, as that can't fail.
    pub(super) end_link: Option<Arc<EndLink>>,
}

impl Attached {
    /// Whether it is on this device, by this port of it.
    fn is_by(&self, device: &Arc<Device>, dev: &NetDevice) -> bool {
        Arc::ptr_eq(&self.device, device) && self.dev.key() == dev.key()
    }
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    //
    // Also changed only under RTNL, so that it doesn't change while RTNL is held.
    unsafe(uninit) static ATTACHED: Mutex<KVec<Attached>> = KVec::new();
}

/// Makes the list ready; to be called once.
pub(super) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { ATTACHED.init() };
}

/// Drops the list when the module is removed; no firmware is loaded then.
pub(super) fn clear() {
    // Statics aren't dropped, and an empty list may own memory.
    drop(mem::take(&mut *ATTACHED.lock()));
}

/// Calls `f` with each link's id, its map's id, and its device. Process context; `f` must not take
/// RTNL.
pub(crate) fn for_each_attached<E>(
    mut f: impl FnMut(u32, u32, &Device) -> Result<(), E>,
) -> Result<(), E> {
    for attached in &**ATTACHED.lock() {
        // SAFETY: `unreg` takes a link off the list before it returns.
        let (link, map) = unsafe { (attached.link.id(), attached.link.map_id()) };
        f(link, map, &attached.device)?;
    }
    Ok(())
}

/// Makes room for one more link, so that [`add`] can't fail. May sleep.
pub(super) fn reserve(_rtnl: &Rtnl) -> Result {
    Ok(ATTACHED.lock().reserve(1, GFP_KERNEL)?)
}

/// Adds a link.
pub(super) fn add(attached: Attached, _rtnl: &Rtnl) -> Result {
    Ok(ATTACHED.lock().push(attached, GFP_KERNEL)?)
}

/// The device of a link, and its netdev.
pub(super) fn find(link: LinkKey, _rtnl: &Rtnl) -> Option<(Arc<Device>, ARef<NetDevice>)> {
    let attached = ATTACHED.lock();
    let found = attached.iter().find(|a| a.link == link)?;
    Some(((*found.device).clone(), found.dev.clone()))
}

/// Replaces what asks the firmware of a device for shared actions, and returns what did before; returns
/// `new` if the device has no firmware. The caller drops it without the lock, as the kernel then takes
/// back each action.
pub(super) fn replace_actions(
    device: &Arc<Device>,
    new: Option<ActionRegistration<Actions>>,
    _rtnl: &Rtnl,
) -> Option<ActionRegistration<Actions>> {
    let mut attached = ATTACHED.lock();
    match attached.iter_mut().find(|a| Arc::ptr_eq(&a.device, device)) {
        Some(found) => mem::replace(&mut found.actions, new),
        None => new,
    }
}

/// Takes what asks the firmware of a device for the shared actions of the namespace of `dev`, if it was
/// attached by this port. The caller drops it without the lock.
pub(super) fn take_actions(
    device: &Arc<Device>,
    dev: &NetDevice,
    _rtnl: &Rtnl,
) -> Option<ActionRegistration<Actions>> {
    let mut attached = ATTACHED.lock();
    let found = attached.iter_mut().find(|a| a.is_by(device, dev))?;
    found.actions.take()
}

/// The firmware of a device counts as attached by another port from now on, if it was by this one, a
/// reference to which is returned then.
pub(super) fn name_by(
    device: &Arc<Device>,
    from: &NetDevice,
    to: ARef<NetDevice>,
    _rtnl: &Rtnl,
) -> Option<ARef<NetDevice>> {
    let mut attached = ATTACHED.lock();
    let found = attached.iter_mut().find(|a| a.is_by(device, from))?;
    Some(mem::replace(&mut found.dev, to))
}

/// Whether a device has firmware that was attached by this port, and isn't asked for shared actions.
pub(super) fn lacks_actions(device: &Arc<Device>, dev: &NetDevice, _rtnl: &Rtnl) -> bool {
    let attached = ATTACHED.lock();
    attached
        .iter()
        .any(|a| a.is_by(device, dev) && a.actions.is_none())
}

/// The ids of the link of a device's firmware, and of its map. Process context.
pub(crate) fn ids(device: &Device) -> Option<(u32, u32)> {
    let attached = ATTACHED.lock();
    let attached = attached.iter().find(|a| a.device.id() == device.id())?;
    // SAFETY: `unreg` takes a link off the list before it returns.
    Some(unsafe { (attached.link.id(), attached.link.map_id()) })
}

/// Removes a link from the list.
pub(super) fn take(_rtnl: &Rtnl, which: impl FnMut(&Attached) -> bool) -> Option<Attached> {
    let mut attached = ATTACHED.lock();
    let index = attached.iter().position(which)?;
    attached.remove(index).ok()
}
