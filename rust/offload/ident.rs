// SPDX-License-Identifier: GPL-2.0-only

//! What identifies a device for users.

#![deny(unsafe_code)]

use crate::abstractions::net::net_device::{
    DevName,
    NetDevice, //
};
use core::fmt;

/// What identifies a device for users; updated by the netdevice notifier.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ident {
    pub(crate) ifindex: u32,
    pub(crate) name: DevName,
    pub(crate) netns: u32,
    /// See [`NetDevice::netns_cookie`].
    pub(crate) netns_cookie: u64,
    pub(crate) hw_tc_offload: bool,
}

impl Ident {
    pub(crate) fn of(dev: &NetDevice) -> Self {
        Self {
            ifindex: dev.ifindex(),
            name: dev.name(),
            netns: dev.netns(),
            netns_cookie: dev.netns_cookie(),
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
