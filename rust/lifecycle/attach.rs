// SPDX-License-Identifier: GPL-2.0-only

//! The struct_ops callbacks: attach, replacement and detach of firmware.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        bpf::struct_ops::{
            Descriptor,
            Link,
            Parts,
            StructOps,
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
        table::{
            self,
            Table, //
        },
    },
    device::owner::{
        self,
        Owner, //
    },
    firmware::Firmware,
    intake::{
        actions::Actions,
        block::bindings, //
    },
    lifecycle::{
        attached::{
            self,
            Attached, //
        },
        detach,
        events::{
            self,
            Event, //
        },
        exits,
        orphan::Orphan, //
    },
    offload::{
        device::Device,
        devices, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// The struct_ops type `bpf_flow_offload_ops`.
pub(crate) struct FlowOffloadOps;

static DESCRIPTOR: Descriptor<FlowOffloadOps> = Descriptor::new();

/// Registers the type and its kfuncs. Firmware can be attached from here on.
pub(crate) fn register(module: &'static ThisModule) -> Result {
    table::register_kfuncs(module)?;
    DESCRIPTOR.register(module)
}

impl StructOps for FlowOffloadOps {
    const NAME: &'static CStr = c"bpf_flow_offload_ops";
    type Table = Table;

    fn parts() -> Parts {
        table::parts()
    }

    fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
        #[cfg(ekho_native)]
        if crate::native::init_member(table, user, offset)? {
            return Ok(true);
        }
        table::init_member(table, user, offset)
    }

    fn validate(table: &Table) -> Result {
        table::validate(table)
    }

    fn reg(table: TableRef<Table>, link: &Link) -> Result {
        let ops = Ops::new(table);
        let orphan = Orphan::new()?;
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
        // Firmware that was stopped, and that the work item hasn't detached yet, doesn't block
        // this.
        if let Some(stopped) = attached::take(&rtnl, |a| {
            a.dev.key() == dev.key() && a.device.has_stopped_firmware()
        }) {
            detach::evict(stopped, &rtnl);
        }
        let device = devices::get_or_create(&dev, own)?;
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
            orphan: Some(orphan),
        };
        attached::reserve(&rtnl)?;
        if let Err(error) = firmware.attach(&dev) {
            if let Some(exit) = firmware.exit() {
                exits::exited(exit, 0, &attached.device, &dev, &rtnl);
            }
            return Err(error);
        }
        let device = &attached.device;
        drop(device.firmware.replace(Some(firmware.clone())));
        device.forget_exit(&rtnl);
        events::tell(Event::FirmwareAttach(&firmware), device, &dev, &rtnl);
        let result = go_live(device, &dev, &rtnl)
            .and_then(|()| ActionRegistration::new(callback))
            .and_then(|actions| {
                attached.actions = Some(actions);
                if attached.device.has_stopped_firmware() {
                    return Err(EINVAL);
                }
                Ok(())
            });
        if let Err(error) = result {
            detach::retire(attached, &rtnl);
            return Err(error);
        }
        // There is room: it was reserved, and RTNL has been held since.
        attached::add(attached, &rtnl)
    }

    fn unreg(link: &Link) {
        let rtnl = RtnlGuard::lock();
        // Nothing to do if the netdev was unregistered before.
        if let Some(attached) = attached::take(&rtnl, |a| a.link == link.key()) {
            detach::retire(attached, &rtnl);
        }
    }

    fn update(table: TableRef<Table>, link: &Link) -> Result {
        let ops = Ops::new(table);
        let rtnl = RtnlGuard::lock();
        let (device, dev) = attached::find(link.key(), &rtnl)
            // Firmware that was stopped can't be replaced.
            .filter(|(device, _)| !device.has_stopped_firmware())
            .ok_or(ENODEV)?;
        if !dev.may_configure(&rtnl) {
            return Err(EPERM);
        }
        if ops.ifindex() != 0 && ops.ifindex() != dev.ifindex() {
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
                exits::exited(exit, 0, &device, &dev, &rtnl);
            }
        })?;
        // Waits until no op of the old firmware runs.
        if let Some(old) = device.firmware.replace(Some(firmware.clone())) {
            old.detach(&dev);
            if let Some(exit) = old.exit() {
                exits::exited(exit, 0, &device, &dev, &rtnl);
            }
        }
        events::tell(Event::FirmwareReplace(&firmware), &device, &dev, &rtnl);
        Ok(())
    }
}

/// Offers existing filters to the firmware of a device.
///
/// Fails if the firmware refuses one that is `skip_sw`; accepted filters are left for
/// [`detach::retire`].
fn go_live(device: &Device, dev: &NetDevice, rtnl: &Rtnl) -> Result {
    for binding in bindings::each(device, rtnl) {
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

/// A netdev is registered in a namespace: offers the shared actions of it to the firmware, if the
/// netdev has some from before a move.
pub(super) fn device_arrives(device: &Arc<Device>, dev: &NetDevice, rtnl: &Rtnl) {
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
