// SPDX-License-Identifier: GPL-2.0-only

//! A device from the side of offload, whoever's netdev it is: what its requests need.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::net_device::{
            NetDevice,
            Rtnl, //
        },
        sync::rcu::RcuSlot, //
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
    offload::ident::Ident, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Atomic,
        new_mutex,
        rcu,
        Arc,
        Mutex, //
    },
};

/// A device from the side of offload.
#[pin_data]
pub(crate) struct Device {
    key: usize,
    /// Whether it is a device of kind `ekho`, as opposed to one that indirect blocks serve.
    pub(crate) own: bool,
    #[pin]
    pub(crate) flows: Flows,
    pub(crate) firmware: RcuSlot<Firmware>,
    /// What fails on purpose.
    pub(crate) faults: Arc<FaultSlot>,
    /// How many [`super::devices::Claim`]s there are; changed under the lock of the set of devices.
    pub(super) claims: Atomic<u32>,
    /// Why the last firmware was stopped, unless there is another.
    #[pin]
    exit: Mutex<Option<Exit>>,
    #[pin]
    ident: Mutex<Ident>,
}

impl Device {
    pub(super) fn new(dev: &NetDevice, own: bool) -> Result<Arc<Self>> {
        // Instead of what can go wrong here, which is that there is no memory.
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
                own,
                flows <- Flows::new(),
                firmware: RcuSlot::new(),
                faults: Arc::new(FaultSlot::new(), GFP_KERNEL)?,
                claims: Atomic::new(0),
                exit <- new_mutex!(None, "ekho::Device::exit"),
                ident <- new_mutex!(Ident::of(dev), "ekho::Device::ident"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// What its bindings are told apart by, within a block: see [`NetDevice::key`].
    pub(crate) fn key(&self) -> usize {
        self.key
    }

    /// What tells it from other devices while it lives, even from one whose netdev has the address
    /// of this one's.
    pub(crate) fn id(&self) -> usize {
        &raw const *self as usize
    }

    /// Who the device is.
    pub(crate) fn ident(&self) -> Ident {
        *self.ident.lock()
    }

    /// Notes who the device is now.
    pub(crate) fn refresh(&self, dev: &NetDevice) {
        *self.ident.lock() = Ident::of(dev);
    }

    /// How many flows the device holds, if firmware declares `max_flows` (0 for any number). None
    /// for any number.
    pub(crate) fn capacity(&self, max_flows: u32, guard: &rcu::Guard) -> Option<u32> {
        let declared = (max_flows != 0).then_some(max_flows);
        match self.faults.nospc_after(guard) {
            Some(fault) => Some(declared.map_or(fault, |declared| declared.min(fault))),
            None => declared,
        }
    }

    /// Whether there is firmware.
    pub(crate) fn has_firmware(&self) -> bool {
        self.firmware.get(&rcu::read_lock()).is_some()
    }

    /// Whether there is firmware that was stopped.
    pub(crate) fn has_stopped_firmware(&self) -> bool {
        let guard = rcu::read_lock();
        self.firmware
            .get(&guard)
            .is_some_and(|firmware| firmware.exit().is_some())
    }

    /// Why there is no firmware, if the last one was stopped.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.lock()
    }

    /// Notes why there will be no firmware: because it was stopped, if it was.
    pub(crate) fn keep_exit(&self, _rtnl: &Rtnl) {
        let exit = {
            let guard = rcu::read_lock();
            self.firmware
                .get(&guard)
                .and_then(|firmware| firmware.exit().copied())
        };
        *self.exit.lock() = exit;
    }

    /// There is firmware again.
    pub(crate) fn forget_exit(&self, _rtnl: &Rtnl) {
        *self.exit.lock() = None;
    }
}
