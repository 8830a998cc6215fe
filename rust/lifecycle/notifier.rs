// SPDX-License-Identifier: GPL-2.0-only

//! Keeps the set of devices up to date with netdevs.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::net_device::{
        Event,
        NetDevice,
        Rtnl,
        Watcher, //
    },
    device::owner::{
        owner,
        Owner, //
    },
    intake::block::chain,
    lifecycle::{
        attach,
        detach,
        events, //
    },
    offload::{
        device::Device,
        devices, //
    },
};
use kernel::prelude::*;

/// The netdevice notifier.
pub(crate) struct Devices;

impl Watcher for Devices {
    fn event(event: Event, dev: &NetDevice, rtnl: &Rtnl) -> Result {
        let tell = |what: events::Event<'_>, device: &Device| {
            events::tell(what, device, dev, rtnl);
        };
        match event {
            // A netdev of kind ekho has a device from the start, so that it is listed.
            Event::Register if owner(dev) == Owner::Ekho => {
                let device = devices::get_or_create(dev, true)?;
                device.refresh(dev);
                attach::device_arrives(&device, dev, rtnl);
                tell(events::Event::DeviceAdd, &device);
            }
            Event::Register => {
                if let Some(device) = devices::get(dev) {
                    device.refresh(dev);
                    attach::device_arrives(&device, dev, rtnl);
                    tell(events::Event::DeviceAdd, &device);
                }
            }
            Event::Rename => {
                if let Some(device) = devices::get(dev) {
                    device.refresh(dev);
                    chain::check(&device, rtnl);
                    tell(events::Event::DeviceChange, &device);
                }
            }
            Event::Change => {
                if let Some(device) = devices::get(dev) {
                    device.refresh(dev);
                    tell(events::Event::DeviceChange, &device);
                }
            }
            Event::Unregister if !dev.is_registered(rtnl) => {
                if let Some(device) = devices::remove(dev) {
                    chain::check(&device, rtnl);
                    detach::device_gone(&device, rtnl);
                    tell(events::Event::DeviceDel, &device);
                }
            }
            // On a move to another namespace the netdev stays registered, and its firmware
            // attached.
            Event::Unregister => {
                if let Some(device) = devices::get(dev) {
                    chain::check(&device, rtnl);
                    detach::device_leaves(&device, dev, rtnl);
                    tell(events::Event::DeviceDel, &device);
                }
            }
        }
        Ok(())
    }
}
