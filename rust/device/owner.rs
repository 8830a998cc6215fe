// SPDX-License-Identifier: GPL-2.0-only

//! Who takes a netdev's offload requests, and so whether EKHO can have a device of it.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::{
        ethernet::EthernetDriver,
        net_device::{
            NetDevice,
            Rtnl,
            SetupTc, //
        },
    },
    device::netdev::Ekho,
    offload::devices::{
        self,
        Claim, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Who takes a device's offload requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This module's driver.
    Ekho,
    /// This module's indirect blocks.
    Indirect,
    /// A driver of its own.
    Other,
}

/// Who takes `dev`'s offload requests.
pub(crate) fn owner(dev: &NetDevice) -> Owner {
    match dev.setup_tc() {
        SetupTc::None => Owner::Indirect,
        SetupTc::Driver(f) if f == Ekho::SETUP_TC.address() => Owner::Ekho,
        SetupTc::Driver(_) => Owner::Other,
    }
}

/// The device of a netdev, made if it isn't known; none if the netdev isn't registered, or can't be
/// served.
pub(crate) fn claim(dev: Option<ARef<NetDevice>>, rtnl: &Rtnl) -> Result<Option<Claim>> {
    let Some(dev) = dev.filter(|dev| dev.is_registered(rtnl)) else {
        return Ok(None);
    };
    match owner(&dev) {
        Owner::Other => Ok(None),
        owner => devices::get_or_create(&dev, owner == Owner::Ekho).map(Some),
    }
}
