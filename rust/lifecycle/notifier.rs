// SPDX-License-Identifier: GPL-2.0-only

//! Follows netdevs: keeps the set of devices up to date, and takes firmware, shared actions and cables
//! off a netdev that goes.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::net_device::{
            Event,
            NetDevice,
            Rtnl,
            Watcher, //
        },
        tc::flow_offload::ActionRegistration, //
    },
    device::{
        netdev,
        owner::{
            owner,
            Owner, //
        },
    },
    hardware::cable,
    intake::{
        actions::{
            self,
            Actions, //
        },
        block::chain, //
    },
    lifecycle::{
        attached,
        detach,
        events, //
    },
    offload::{
        device::{
            Device,
            Place, //
        },
        devices, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

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
                if let Some(member) = netdev::port(dev, rtnl).as_ref().and_then(|p| p.member()) {
                    device.set_place(Place {
                        nic: member.nic.clone(),
                        index: member.index,
                    });
                }
                device.refresh(dev);
                restore_actions(&device, dev, rtnl);
                tell(events::Event::DeviceAdd, &device);
            }
            Event::Register => {
                if let Some(device) = devices::get(dev) {
                    device.refresh(dev);
                    restore_actions(&device, dev, rtnl);
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
            // Ports tell by themselves.
            Event::Link => cable::update_carrier(dev, None, rtnl),
            Event::Unregister if !dev.is_registered(rtnl) => {
                cable::disconnect(dev, rtnl);
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
                    withdraw_actions(&device, dev, rtnl);
                    tell(events::Event::DeviceDel, &device);
                }
            }
        }
        Ok(())
    }
}

/// A netdev is registered in a namespace: offers the shared actions of it to the firmware, if the
/// netdev has some from before a move.
fn restore_actions(device: &Arc<Device>, dev: &NetDevice, rtnl: &Rtnl) {
    if !attached::lacks_actions(device, rtnl) {
        return;
    }
    let callback = Arc::new(Actions::new(device.clone(), dev.into()), GFP_KERNEL);
    match callback
        .map_err(Error::from)
        .and_then(ActionRegistration::new)
    {
        Ok(actions) => drop(attached::replace_actions(device, Some(actions), rtnl)),
        Err(error) => pr_err!(
            "{}: shared actions aren't offloaded until firmware is loaded again (errno {})\n",
            dev.name(),
            -error.to_errno()
        ),
    }
}

/// A netdev moves to another namespace: takes back the shared actions of the one that it leaves.
fn withdraw_actions(device: &Arc<Device>, dev: &NetDevice, rtnl: &Rtnl) {
    drop(attached::replace_actions(device, None, rtnl));
    actions::destroy_rest(device, dev);
}
