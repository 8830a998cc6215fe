// SPDX-License-Identifier: GPL-2.0-only

//! Attaches firmware to a device.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        bpf::struct_ops::{
            Link,
            TableRef, //
        },
        error::eopnotsupp,
        net::{
            net_device::{
                NetDevice,
                Rtnl,
                RtnlGuard, //
            },
            netlink::OwnExtAck, //
        },
        tc::flow_offload::ActionRegistration, //
    },
    contract::{
        calls::Ops,
        table::Table, //
    },
    device::owner::{
        self,
        Owner, //
    },
    firmware::Firmware,
    intake::{
        actions::Actions,
        block::binding_set, //
    },
    lifecycle::{
        attached::{
            self,
            Attached, //
        },
        detach,
        end_link::EndLink,
        events::{
            self,
            Event, //
        },
        exit_records, //
    },
    offload::{
        device::Device,
        devices, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Attaches the firmware of `table` to its device. Existing filters are offered to it.
pub(super) fn attach(table: TableRef<Table>, link: &Link) -> Result {
    let ops = Ops::new(table);
    let end_link = EndLink::new()?;
    let rtnl = RtnlGuard::lock();
    let dev = NetDevice::by_ifindex(ops.ifindex(), &rtnl)
        .filter(|dev| dev.is_registered(&rtnl))
        .ok_or(ENODEV)?;
    // BPF asks for CAP_BPF and CAP_PERFMON; this configures a device as well.
    if !dev.may_configure(&rtnl) {
        return Err(EPERM);
    }
    let own = match owner::owner(&dev) {
        Owner::Ekho => true,
        Owner::Indirect => false,
        Owner::Other => return Err(eopnotsupp()),
    };
    let device = devices::get_or_create(&dev, own)?;
    // It has ports in other namespaces.
    let is_initial = dev.net(&rtnl).is_initial();
    if device.seen_in(dev.netns_cookie(), is_initial).is_none() {
        return Err(EPERM);
    }
    // Firmware that was stopped, and that the work item hasn't detached yet, isn't in the way.
    if let Some(stopped) = attached::take(&rtnl, |a| {
        Arc::ptr_eq(&a.device, &device) && a.device.has_stopped_firmware()
    }) {
        detach::detach_with_link(stopped, &rtnl);
    }
    let firmware = Firmware::new(
        ops,
        1,
        device.recursion.clone(),
        device.faults.clone(),
        detach::stopped,
    )?;
    if device.has_firmware() {
        return Err(EBUSY);
    }
    let callback = Actions::new((*device).clone(), dev.clone());
    let callback = Arc::new(callback, GFP_KERNEL)?;
    let mut attached = Attached {
        link: link.key(),
        device,
        dev: dev.clone(),
        actions: None,
        end_link: Some(end_link),
    };
    attached::reserve(&rtnl)?;
    if let Err(error) = firmware.attach(&dev) {
        if let Some(exit) = firmware.exit() {
            exit_records::exited(exit, 0, &attached.device, &dev, &rtnl);
        }
        return Err(error);
    }
    let device = &attached.device;
    drop(device.firmware.replace(Some(firmware.clone())));
    device.forget_exit(&rtnl);
    events::tell(Event::FirmwareAttach(&firmware), device, &dev, &rtnl);
    let result = offer_filters(device, &dev, &rtnl)
        .and_then(|()| ActionRegistration::new(callback))
        .and_then(|actions| {
            attached.actions = Some(actions);
            if attached.device.has_stopped_firmware() {
                return Err(EINVAL);
            }
            Ok(())
        });
    if let Err(error) = result {
        detach::detach(attached, &rtnl);
        return Err(error);
    }
    // There is room: it was reserved, and RTNL has been held since.
    attached::add(attached, &rtnl)
}

/// Offers existing filters to the firmware of a device.
///
/// Fails if the firmware refuses one that is `skip_sw`; accepted filters are left for
/// [`detach::detach`].
fn offer_filters(device: &Device, dev: &NetDevice, rtnl: &Rtnl) -> Result {
    for binding in binding_set::each(device, rtnl) {
        let mut ack = OwnExtAck::new();
        binding.replay(&mut ack, rtnl).inspect_err(|error| {
            pr_err!(
                "{}: firmware not attached: a skip_sw filter that is there isn't offloaded (errno {}): {}\n",
                dev.name(),
                -error.to_errno(),
                match ack.reason() {
                    Some(reason) => reason,
                    None if *error == ENOMEM => c"no memory",
                    None => c"no reason given",
                },
            );
        })?;
    }
    Ok(())
}
