// SPDX-License-Identifier: GPL-2.0-only

//! The bindings of all devices.
//!
//! Its lock is taken after all others, and none is taken under it.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::net_device::{
        NetDevice,
        Rtnl, //
    },
    intake::block::binding::{
        Binding,
        Block, //
    },
    offload::device::Device, //
};
use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::Arc, //
};

/// Bindings by device, and then in the order in which they were added.
struct Bindings {
    tree: RBTree<(usize, u64), Arc<Binding>>,
    /// The last number that was given to a binding.
    last: u64,
}

impl Bindings {
    /// The first binding of a device whose number is larger than `after`.
    fn next(&self, device: &Device, after: u64) -> Option<(u64, &Arc<Binding>)> {
        let cursor = self
            .tree
            .cursor_lower_bound(&(device.id(), after.checked_add(1)?))?;
        let (number, binding) = {
            let (&(_, number), _) = cursor.current();
            (number, self.tree.get(&(device.id(), number))?)
        };
        Some((number, binding))
    }

    /// The bindings of a device.
    fn of<'a>(&'a self, device: &'a Device) -> impl Iterator<Item = &'a Arc<Binding>> {
        let mut last = 0;
        core::iter::from_fn(move || {
            let (number, binding) = self.next(device, last)?;
            last = number;
            Some(binding)
        })
    }
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    unsafe(uninit) static BINDINGS: Mutex<Option<Bindings>> = None;
}

/// Makes the set ready; to be called once, before blocks can be bound.
#[expect(unsafe_code)]
pub(crate) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { BINDINGS.init() };
    *BINDINGS.lock() = Some(Bindings {
        tree: RBTree::new(),
        last: 0,
    });
}

/// Adds a binding. May sleep.
pub(super) fn add(binding: &Arc<Binding>) -> Result {
    let mut bindings = BINDINGS.lock();
    let bindings = bindings.as_mut().ok_or(ENODEV)?;
    let number = bindings.last + 1;
    let key = (binding.device.id(), number);
    bindings
        .tree
        .try_create_and_insert(key, binding.clone(), GFP_KERNEL)?;
    bindings.last = number;
    binding.number.populate(number);
    Ok(())
}

/// Removes a binding that the kernel has released. Process context.
pub(super) fn remove(binding: &Binding) {
    let removed = binding.number.copy().and_then(|number| {
        let mut bindings = BINDINGS.lock();
        bindings
            .as_mut()?
            .tree
            .remove(&(binding.device.id(), number))
    });
    // Outside of the lock, as this may be the last reference.
    drop(removed);
}

/// The bindings of a device. RTNL keeps those of tc.
pub(crate) fn each<'a>(
    device: &'a Device,
    _rtnl: &'a Rtnl,
) -> impl Iterator<Item = Arc<Binding>> + 'a {
    all(device)
}

/// Those of chains of nftables.
pub(super) fn chains(device: &Device) -> impl Iterator<Item = Arc<Binding>> + '_ {
    all(device).filter(|binding| binding.chain.is_some())
}

/// Without a lock that would keep others from coming and going: one that stays is met once.
fn all(device: &Device) -> impl Iterator<Item = Arc<Binding>> + '_ {
    let mut last = 0;
    core::iter::from_fn(move || {
        let bindings = BINDINGS.lock();
        let (number, binding) = bindings.as_ref()?.next(device, last)?;
        last = number;
        Some(binding.clone())
    })
}

/// The binding of a block to a device, if there is one.
pub(super) fn find(device: &Device, block: Block) -> Option<Arc<Binding>> {
    let bindings = BINDINGS.lock();
    let found = bindings
        .iter()
        .flat_map(|bindings| bindings.of(device))
        .find(|binding| binding.block == block);
    found.cloned()
}

/// The number of bindings of a device.
pub(crate) fn count(device: &Device) -> usize {
    let bindings = BINDINGS.lock();
    bindings
        .iter()
        .flat_map(|bindings| bindings.of(device))
        .count()
}

/// The number of flows that a device holds for a port: those of the blocks that it is bound to; all, if
/// it is the only one.
pub(crate) fn flows_at(device: &Device, dev: &NetDevice, rtnl: &Rtnl) -> usize {
    if device.name().is_none() {
        return device.flows.len();
    }
    let mut flows = 0;
    for binding in each(device, rtnl).filter(|binding| binding.is_bound_to(dev)) {
        let _ = device.flows.for_each(|flow| {
            flows += usize::from(flow.owner == binding.id());
            Ok::<(), Error>(())
        });
    }
    flows
}
