// SPDX-License-Identifier: GPL-2.0-only

//! Who takes a device's offload requests.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::{
        net_device::{
            NetDevice,
            SetupTc, //
        },
        rtnl_link::LinkDriver, //
    },
    device::netdev::Ekho, //
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
