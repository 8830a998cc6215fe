// SPDX-License-Identifier: GPL-2.0-only

//! What devices' lives mean for their ports.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::net_device::{
        Event,
        NetDevice,
        Rtnl,
        Watcher, //
    },
    device::{
        self,
        Owner, //
    },
    intake,
    lifecycle::attach,
    port, //
};
use kernel::prelude::*;

/// Keeps ports in step with their devices.
pub(crate) struct Devices;

impl Watcher for Devices {
    fn event(event: Event, dev: &NetDevice, rtnl: &Rtnl) -> Result {
        match event {
            // A device of ours without a port would be in no list.
            Event::Register if device::owner(dev) == Owner::Ekho => {
                port::get_or_create(dev, true)?.refresh(dev);
            }
            Event::Register | Event::Change => {
                if let Some(port) = port::get(dev) {
                    port.refresh(dev);
                }
            }
            Event::Unregister if !dev.is_registered(rtnl) => {
                if let Some(port) = port::remove(dev) {
                    attach::device_gone(&port, rtnl);
                    intake::blocks::device_gone(&port, dev, rtnl);
                }
            }
            // On a move to another namespace the device stays registered, and its firmware with
            // it.
            Event::Unregister => {
                if let Some(port) = port::get(dev) {
                    intake::blocks::device_leaves(&port, dev, rtnl);
                }
            }
        }
        Ok(())
    }
}
