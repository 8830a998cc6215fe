// SPDX-License-Identifier: GPL-2.0-only

//! Where rules send packets to.
//!
//! A target is a netdev until that is unregistered, or moves to another network namespace: as the
//! kernel's mirred, it never is another one. The netdev isn't held, as that would keep it from going,
//! but looked up for each packet.

#![deny(unsafe_code)]

use crate::abstractions::net::net_device::{
    NetDevice,
    Rtnl, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu::Guard,
        Arc, //
    },
};

/// A netdev that packets are sent to.
pub(crate) struct Target {
    ifindex: u32,
    /// [`NetDevice::key`].
    key: usize,
    gone: Atomic<bool>,
    /// Whether it receives them, rather than transmits them.
    pub(super) ingress: bool,
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before blocks can be bound.
    unsafe(uninit) static TARGETS: Mutex<KVec<Arc<Target>>> = KVec::new();
}

/// To be called once.
#[expect(unsafe_code)]
pub(super) fn init() {
    // SAFETY: Called once, when the module is initialised.
    unsafe { TARGETS.init() };
}

/// Forgets all.
pub(super) fn clear() {
    let targets = core::mem::take(&mut *TARGETS.lock());
    drop(targets);
}

/// A netdev is unregistered, or moves to another network namespace: it isn't a target any more.
pub(crate) fn gone(dev: &NetDevice, _rtnl: &Rtnl) {
    TARGETS.lock().retain(|target| {
        let is_it = target.key == dev.key();
        if is_it {
            target.gone.store(true, Relaxed);
        }
        !is_it
    });
}

impl Target {
    /// The target that a netdev is. May sleep.
    pub(super) fn new(dev: &NetDevice, ingress: bool) -> Result<Arc<Self>> {
        let mut targets = TARGETS.lock();
        let known = targets
            .iter()
            .find(|target| (target.key, target.ingress) == (dev.key(), ingress));
        if let Some(target) = known {
            return Ok(target.clone());
        }
        // Nobody would say that it has gone.
        if !dev.is_there() {
            return Err(ENODEV);
        }
        let target = Self {
            ifindex: dev.ifindex(),
            key: dev.key(),
            gone: Atomic::new(false),
            ingress,
        };
        let target = Arc::new(target, GFP_KERNEL)?;
        targets.push(target.clone(), GFP_KERNEL)?;
        Ok(target)
    }

    /// The netdev, if packets can be sent to it now. `from` is in the same network namespace.
    pub(super) fn dev<'a>(&self, from: &NetDevice, guard: &'a Guard) -> Option<&'a NetDevice> {
        let dev = from.neighbour(self.ifindex, guard)?;
        let can_be =
            dev.key() == self.key && !self.gone.load(Relaxed) && dev.is_up() && dev.has_carrier();
        can_be.then_some(dev)
    }
}
