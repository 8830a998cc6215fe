// SPDX-License-Identifier: GPL-2.0-only

//! Who a device is, for people.

#![deny(unsafe_code)]

use crate::abstractions::net::net_device::{
    DevName,
    NetDevice, //
};
use core::fmt;

/// Who a device is, for people: kept up by the netdevice notifier.
#[derive(Clone, Copy)]
pub(crate) struct Ident {
    pub(crate) ifindex: u32,
    pub(crate) name: DevName,
    pub(crate) netns: u32,
    pub(crate) hw_tc_offload: bool,
}

impl Ident {
    pub(crate) fn of(dev: &NetDevice) -> Self {
        Self {
            ifindex: dev.ifindex(),
            name: dev.name(),
            netns: dev.netns(),
            hw_tc_offload: dev.hw_tc_offload(),
        }
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ifindex={} dev={} netns={}",
            self.ifindex, self.name, self.netns
        )
    }
}
