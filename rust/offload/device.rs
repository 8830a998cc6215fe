// SPDX-License-Identifier: GPL-2.0-only

//! The offload side of a device, also of one whose netdev belongs to another driver.

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
        Mutex,
        SetOnce, //
    },
};

/// The offload side of a device.
#[pin_data]
pub(crate) struct Device {
    key: usize,
    /// Identifies the device for users; later devices have larger ones.
    pub(crate) number: u32,
    /// Whether it is a device of kind `ekho`, as opposed to one that indirect blocks serve.
    pub(crate) own: bool,
    /// Where its netdev is, if that is one of a device with several.
    place: SetOnce<Place>,
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
    ident: Mutex<Ident>,
}

/// A port of a device with several.
pub(crate) struct Place {
    /// The name of the device.
    pub(crate) nic: Arc<CString>,
    /// The port's number among the device's.
    pub(crate) index: u16,
}

/// The number of the last device.
static LAST: Atomic<u32> = Atomic::new(0);

impl Device {
    pub(super) fn new(dev: &NetDevice, own: bool) -> Result<Arc<Self>> {
        // In place of an allocation that fails.
        if let Some(error) = own
            .then(faults::inject_register)
            .and_then(|fault| fault.error)
        {
            pr_info!("{}: injected fault\n", dev.name());
            return Err(error);
        }
        Arc::pin_init(
            try_pin_init!(Self {
                key: dev.key(),
                number: LAST.fetch_add(1, Relaxed).wrapping_add(1),
                own,
                place: SetOnce::new(),
                flows <- Flows::new(),
                firmware: RcuSlot::new(),
                recursion: Arc::new(Recursion::new()?, GFP_KERNEL)?,
                faults: Arc::new(FaultSlot::new(), GFP_KERNEL)?,
                claims: Atomic::new(0),
                exit <- new_mutex!(None, "ekho::Device::exit"),
                ident <- new_mutex!(Ident::of(dev), "ekho::Device::ident"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// What identifies its binding within a block: see [`NetDevice::key`].
    pub(crate) fn key(&self) -> usize {
        self.key
    }

    /// Identifies the device as long as it exists, unlike [`Self::key`], which is reused for
    /// another netdev.
    pub(crate) fn id(&self) -> usize {
        &raw const *self as usize
    }

    /// Says where its netdev is, unless that was said before.
    pub(crate) fn set_place(&self, place: Place) {
        self.place.populate(place);
    }

    /// Where its netdev is, if that is one of a device with several.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The netdev's index, name and namespace.
    pub(crate) fn ident(&self) -> Ident {
        *self.ident.lock()
    }

    /// Updates [`Self::ident`].
    pub(crate) fn refresh(&self, dev: &NetDevice) {
        *self.ident.lock() = Ident::of(dev);
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
