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
    hardware::{
        cable,
        rules::target, //
    },
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
        device::Device,
        devices, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// The netdevice notifier.
pub(crate) struct Devices;

impl Watcher for Devices {
    fn event(event: Event, dev: &NetDevice, rtnl: &Rtnl) -> Result {
        let tell = |what: events::Event<'_>, device: &Device| {
            events::tell(what, device, dev, rtnl);
        };
        if event == Event::Unregister {
            target::gone(dev, rtnl);
        }
        match event {
            // A netdev of kind ekho has a device from the start, so that it is listed.
            Event::Register if owner(dev) == Owner::Ekho => {
                let port = netdev::port(dev);
                let device = match port.as_ref().and_then(|port| port.member()) {
                    Some(member) => devices::add(dev, &member.device, member.index)?,
                    None => devices::get_or_create(dev, true)?,
                };
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
                if let Some((device, was_last)) = devices::remove(dev) {
                    chain::check(&device, rtnl);
                    if was_last {
                        detach::device_gone(&device, rtnl);
                    }
                    tell(events::Event::DeviceDel, &device);
                }
            }
            // On a move to another namespace the netdev stays registered, and its firmware
            // attached.
            Event::Unregister => {
                if netdev::port(dev).is_none() {
                    cable::disconnect(dev, rtnl);
                }
                if let Some(device) = devices::get(dev) {
                    chain::check(&device, rtnl);
                    withdraw_actions(&device, dev, rtnl);
                    // Those of the namespace stay with the device as long as it has a port there.
                    if let Some(other) = neighbour(&device, dev, rtnl) {
                        if attached::name_by(&device, dev, other.clone(), rtnl).is_some() {
                            restore_actions(&device, &other, rtnl);
                        }
                    }
                    tell(events::Event::DeviceDel, &device);
                }
            }
        }
        Ok(())
    }
}

/// Another port of a device, in the namespace that `dev` is in.
fn neighbour(device: &Device, dev: &NetDevice, rtnl: &Rtnl) -> Option<ARef<NetDevice>> {
    let (ifindex, netns_cookie) = (dev.ifindex(), dev.netns_cookie());
    let other = device
        .port(|port| port.ident.netns_cookie == netns_cookie && port.ident.ifindex != ifindex)?;
    NetDevice::by_ifindex_in(dev.net(rtnl), other.ident.ifindex, rtnl)
}

/// A netdev is registered in a namespace: offers the shared actions of it to the firmware, if the
/// netdev has some from before a move.
fn restore_actions(device: &Arc<Device>, dev: &NetDevice, rtnl: &Rtnl) {
    if !attached::lacks_actions(device, dev, rtnl) {
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
    if let Some(actions) = attached::take_actions(device, dev, rtnl) {
        drop(actions);
        actions::destroy_rest(device, dev);
    }
}
