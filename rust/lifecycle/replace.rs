// SPDX-License-Identifier: GPL-2.0-only

//! Replaces the firmware of a device.
//!
//! Filters aren't offered again: the new firmware takes over the flows, and shares maps with the old
//! one.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        bpf::struct_ops::{
            Link,
            TableRef, //
        },
        net::net_device::RtnlGuard, //
    },
    contract::{
        calls::Ops,
        table::Table, //
    },
    firmware::Firmware,
    lifecycle::{
        attached,
        detach,
        events::{
            self,
            Event, //
        },
        exit_records, //
    },
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// Replaces the firmware that is attached through a link. Flows and counters are kept.
pub(super) fn replace(table: TableRef<Table>, link: &Link) -> Result {
    let ops = Ops::new(table);
    let rtnl = RtnlGuard::lock();
    let (device, dev) = attached::find(link.key(), &rtnl)
        // Firmware that was stopped can't be replaced.
        .filter(|(device, _)| !device.has_stopped_firmware())
        .ok_or(ENODEV)?;
    if !dev.may_configure(&rtnl) {
        return Err(EPERM);
    }
    // As in `attach`.
    let netns_cookie = dev.netns_cookie();
    let is_initial = dev.net(&rtnl).is_initial();
    if device.seen_in(netns_cookie, is_initial).is_none() {
        return Err(EPERM);
    }
    // It may name another port of the device.
    if ops.ifindex() != 0 && !device.has_port(ops.ifindex(), netns_cookie) {
        return Err(EINVAL);
    }
    let generation = device
        .firmware
        .get(&rcu::read_lock())
        .map_or(1, |firmware| firmware.generation.wrapping_add(1).max(1));
    let firmware = Firmware::new(
        ops,
        generation,
        device.recursion.clone(),
        device.faults.clone(),
        detach::stopped,
    )?;
    firmware.attach(&dev).inspect_err(|_| {
        if let Some(exit) = firmware.exit() {
            exit_records::exited(exit, 0, &device, &dev, &rtnl);
        }
    })?;
    // Waits until no op of the old firmware runs.
    if let Some(old) = device.firmware.replace(Some(firmware.clone())) {
        old.detach(&dev);
        if let Some(exit) = old.exit() {
            exit_records::exited(exit, 0, &device, &dev, &rtnl);
        }
    }
    events::tell(Event::FirmwareReplace(&firmware), &device, &dev, &rtnl);
    Ok(())
}
