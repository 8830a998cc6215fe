// SPDX-License-Identifier: GPL-2.0-only

//! The offload side of a device, also of one whose netdev belongs to another driver.
//!
//! A device has one port or several, all of which share its firmware, its flows and its limits.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::net_device::{
            NetDevice,
            Rtnl, //
        },
        sync::{
            rcu::RcuSlot,
            recursion::Recursion, //
        }, //
    },
    faults::{
        self,
        FaultSlot, //
    },
    firmware::{
        exit::Exit,
        Firmware, //
    },
    flows::table::Flows,
    offload::{
        changes,
        ident::Ident, //
    },
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        rcu,
        Arc,
        Mutex, //
    },
};

/// A device with several ports.
pub(crate) struct Nic {
    pub(crate) name: Arc<CString>,
    /// How many it has, once all are made.
    pub(crate) ports: usize,
}

/// A port of a device.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    /// [`NetDevice::key`] of its netdev.
    key: usize,
    /// Its number among the device's ports.
    pub(crate) index: u16,
    pub(crate) ident: Ident,
}

/// The offload side of a device.
#[pin_data]
pub(crate) struct Device {
    /// [`NetDevice::key`] of its only port; 0 before there was one.
    key: Atomic<usize>,
    /// Identifies the device for users; later devices have larger ones.
    pub(crate) number: u32,
    /// Whether its ports are EKHO's, as opposed to a netdev that indirect blocks serve.
    pub(crate) own: bool,
    /// If it is there by itself, with ports that can be in several network namespaces, and not as long
    /// as a netdev is.
    nic: Option<Nic>,
    #[pin]
    pub(crate) flows: Flows,
    pub(crate) firmware: RcuSlot<Firmware>,
    /// Its ops that are running.
    pub(crate) recursion: Arc<Recursion>,
    /// Faults that are injected.
    pub(crate) faults: Arc<FaultSlot>,
    /// How many [`super::devices::Claim`]s there are; changed under the lock of the set of devices.
    pub(super) claims: Atomic<u32>,
    /// Why the last firmware was stopped; none if another is attached.
    #[pin]
    exit: Mutex<Option<Exit>>,
    #[pin]
    ports: Mutex<Ports>,
}

/// The ports of a device.
struct Ports {
    /// Those whose netdev is registered, in the order of their numbers.
    list: KVec<Port>,
    /// The last that was added or removed.
    last: Ident,
}

/// The number of the last device.
static LAST: Atomic<u32> = Atomic::new(0);

impl Device {
    /// A device without a port; `nic` if it is to have several. May sleep.
    pub(crate) fn new(own: bool, nic: Option<Nic>) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                key: Atomic::new(0),
                number: LAST.fetch_add(1, Relaxed).wrapping_add(1),
                own,
                nic,
                flows <- Flows::new(),
                firmware: RcuSlot::new(),
                recursion: Arc::new(Recursion::new()?, GFP_KERNEL)?,
                faults: Arc::new(FaultSlot::new(), GFP_KERNEL)?,
                claims: Atomic::new(0),
                exit <- new_mutex!(None, "ekho::Device::exit"),
                ports <- new_mutex!(
                    Ports { list: KVec::new(), last: Ident::default() },
                    "ekho::Device::ports"
                ),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Its name, if it has several ports.
    pub(crate) fn name(&self) -> Option<&CStr> {
        self.nic.as_ref().map(|nic| &**nic.name)
    }

    /// What identifies its bindings within a block: [`NetDevice::key`] of its only port. Those of one
    /// with several ports hold the device, and can be there before the first port is in the set.
    pub(crate) fn key(&self) -> usize {
        match &self.nic {
            Some(_) => self.id(),
            None => self.key.load(Relaxed),
        }
    }

    /// Identifies the device as long as it exists, unlike [`Self::key`], which is reused for
    /// another netdev.
    pub(crate) fn id(&self) -> usize {
        &raw const *self as usize
    }

    /// Adds a port; to be called with the lock of the set of devices. May sleep.
    pub(super) fn add_port(&self, dev: &NetDevice, index: u16) -> Result {
        // In place of an allocation that fails.
        let fault = self.own.then(faults::inject_register);
        if let Some(error) = fault.and_then(|fault| fault.error) {
            pr_info!("{}: injected fault\n", dev.name());
            return Err(error);
        }
        let mut ports = self.ports.lock();
        let at = ports
            .list
            .iter()
            .position(|port| port.index > index)
            .unwrap_or(ports.list.len());
        let port = Port {
            key: dev.key(),
            index,
            ident: Ident::of(dev),
        };
        ports.list.reserve(1, GFP_KERNEL)?;
        ports
            .list
            .insert_within_capacity(at, port)
            .map_err(|_| ENOMEM)?;
        ports.last = port.ident;
        if self.nic.is_none() {
            self.key.store(dev.key(), Relaxed);
        }
        Ok(())
    }

    /// Removes a port whose netdev is unregistered; returns whether it was the last. To be called with
    /// the lock of the set of devices.
    pub(super) fn remove_port(&self, dev: &NetDevice) -> bool {
        let mut ports = self.ports.lock();
        ports.list.retain(|port| port.key != dev.key());
        ports.last = Ident::of(dev);
        ports.list.is_empty()
    }

    /// Its first port for which `which` is true.
    pub(crate) fn port(&self, which: impl Fn(&Port) -> bool) -> Option<Port> {
        let ports = self.ports.lock();
        ports.list.iter().find(|port| which(port)).copied()
    }

    /// What identifies its first port for users; the last one that there was, if none is left.
    pub(crate) fn ident(&self) -> Ident {
        let ports = self.ports.lock();
        ports.list.first().map_or(ports.last, |port| port.ident)
    }

    /// [`NetDevice::key`] of the netdev of its first port, if it has one.
    pub(super) fn first_port(&self) -> Option<usize> {
        self.port(|_| true).map(|port| port.key)
    }

    /// How it is seen in a network namespace, if it is. One with several ports belongs to the initial
    /// namespace: another one has it only if it has all ports, as what concerns the device concerns all
    /// of them.
    pub(crate) fn seen_in(&self, netns_cookie: u64, is_initial: bool) -> Option<Ident> {
        let ports = self.ports.lock();
        let is_there = |port: &Port| port.ident.netns_cookie == netns_cookie;
        let first_there = ports.list.iter().find(|port| is_there(port));
        let first = first_there.or(ports.list.first());
        // What becomes of it when its last netdev goes is told where that was.
        let ident = first.map_or(ports.last, |port| port.ident);
        let is_seen = match &self.nic {
            Some(_) if is_initial => true,
            // While it is made, those that will follow are in another one.
            Some(nic) => ports.list.len() == nic.ports && ports.list.iter().all(is_there),
            None => ident.netns_cookie == netns_cookie,
        };
        is_seen.then_some(ident)
    }

    /// Whether it has a port with this index in a namespace.
    pub(crate) fn has_port(&self, ifindex: u32, netns_cookie: u64) -> bool {
        self.port(|port| (port.ident.ifindex, port.ident.netns_cookie) == (ifindex, netns_cookie))
            .is_some()
    }

    /// Updates what is known of a port.
    pub(crate) fn refresh(&self, dev: &NetDevice) {
        let mut ports = self.ports.lock();
        if let Some(port) = ports.list.iter_mut().find(|port| port.key == dev.key()) {
            port.ident = Ident::of(dev);
        }
        drop(ports);
        changes::count();
    }

    /// The number of flows that the device can hold if firmware declares `max_flows` (0 for no
    /// limit). None for no limit.
    pub(crate) fn capacity(&self, max_flows: u32, guard: &rcu::Guard) -> Option<u32> {
        let declared = (max_flows != 0).then_some(max_flows);
        match self.faults.nospc_after(guard) {
            Some(fault) => Some(declared.map_or(fault, |declared| declared.min(fault))),
            None => declared,
        }
    }

    /// Whether firmware is attached.
    pub(crate) fn has_firmware(&self) -> bool {
        self.firmware.get(&rcu::read_lock()).is_some()
    }

    /// Whether firmware is attached that was stopped.
    pub(crate) fn has_stopped_firmware(&self) -> bool {
        let guard = rcu::read_lock();
        self.firmware
            .get(&guard)
            .is_some_and(|firmware| firmware.exit().is_some())
    }

    /// Why the last firmware was stopped, if it was.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.lock()
    }

    /// Keeps the exit record of firmware that is about to be removed.
    pub(crate) fn keep_exit(&self, _rtnl: &Rtnl) {
        let exit = {
            let guard = rcu::read_lock();
            self.firmware
                .get(&guard)
                .and_then(|firmware| firmware.exit().copied())
        };
        *self.exit.lock() = exit;
    }

    /// Drops that record when firmware is attached.
    pub(crate) fn forget_exit(&self, _rtnl: &Rtnl) {
        *self.exit.lock() = None;
    }
}
