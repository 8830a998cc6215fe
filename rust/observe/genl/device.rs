// SPDX-License-Identifier: GPL-2.0-only

//! The module, devices and ports.

#![deny(unsafe_code)]

use super::scope::{
    no_device,
    put_ident,
    Described,
    Namespaces,
    EACH,
    IFINDEX,
    ONE, //
};
use crate::{
    abstractions::{
        net::genetlink::{
            Batch,
            Command,
            Do,
            Dump,
            Message,
            Policy,
            Request, //
        },
        sort::sort_by_key, //
    },
    contract::{
        ops::Op,
        table::ABI,
        uapi, //
    },
    faults::parse::Point,
    intake::{
        block::binding_set,
        ct_zones, //
    },
    offload::{
        changes,
        device::{
            Device,
            Port, //
        },
        devices,
        ident::Ident, //
    },
    version::VERSION, //
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// `module-get`.
pub(super) struct ModuleGet;

impl Command for ModuleGet {
    const NUMBER: u8 = uapi::EKHO_CMD_MODULE_GET as u8;
}

impl Do for ModuleGet {
    fn call(request: &Request<'_>) -> Result {
        request.reply::<Self>(|message| {
            message.string(uapi::EKHO_A_MODULE_VERSION, VERSION.as_bytes())?;
            message.u32(uapi::EKHO_A_MODULE_ABI, ABI)?;
            for op in Op::ALL {
                message.string(uapi::EKHO_A_MODULE_OP, op.name().as_bytes())?;
            }
            for point in Point::all() {
                message.string(uapi::EKHO_A_MODULE_FAULT_POINT, point.name().as_bytes())?;
            }
            Ok(())
        })
    }
}

/// `device-get`.
pub(super) struct DeviceGet;

impl Described for DeviceGet {
    const NUMBER: u32 = uapi::EKHO_CMD_DEVICE_GET;
    const NOTHING: &'static CStr = c"";

    fn fill(message: &mut Message<'_>, device: &Device, ident: &Ident) -> Result {
        put_ident(message, ident)?;
        message.u32(uapi::EKHO_A_DEVICE_ID, device.number)?;
        let kind = match device.own {
            true => uapi::ekho_device_kind_EKHO_DEVICE_KIND_EKHO,
            false => uapi::ekho_device_kind_EKHO_DEVICE_KIND_INDIRECT,
        };
        message.u32(uapi::EKHO_A_DEVICE_KIND, kind)?;
        if let Some(name) = device.name() {
            message.string(uapi::EKHO_A_DEVICE_NAME, name.to_bytes())?;
        }
        message.flag(uapi::EKHO_A_DEVICE_HW_TC_OFFLOAD, ident.hw_tc_offload)?;
        message.u32(
            uapi::EKHO_A_DEVICE_BINDINGS,
            binding_set::count(device) as u32,
        )?;
        message.uint(uapi::EKHO_A_DEVICE_FLOWS, device.flows.len() as u64)?;
        message.u32(
            uapi::EKHO_A_DEVICE_TABLE_ENTRIES,
            device.flows.table_entries(),
        )?;
        message.uint(
            uapi::EKHO_A_DEVICE_ACTION_COUNTERS,
            device.flows.action_counters() as u64,
        )?;
        message.uint(uapi::EKHO_A_DEVICE_CT_ZONES, ct_zones::count(device) as u64)?;
        let guard = rcu::read_lock();
        let firmware = device.firmware.get(&guard);
        let declared = firmware.map_or(0, |firmware| firmware.capabilities.max_flows);
        if let Some(max) = device.capacity(declared, &guard) {
            message.u32(uapi::EKHO_A_DEVICE_MAX_FLOWS, max)?;
        }
        if let Some(firmware) = firmware {
            message.string(uapi::EKHO_A_DEVICE_FIRMWARE, firmware.ops.name().bytes())?;
        }
        Ok(())
    }
}

/// The request for a port.
pub(super) struct PortGet;

fn put_port(message: &mut Message<'_>, device: &Device, port: &Port) -> Result {
    put_ident(message, &port.ident)?;
    message.u32(uapi::EKHO_A_PORT_DEVICE_ID, device.number)?;
    message.u32(uapi::EKHO_A_PORT_INDEX, port.index.into())
}

impl Command for PortGet {
    const NUMBER: u8 = uapi::EKHO_CMD_PORT_GET as u8;
    const POLICY: Policy = ONE;
}

impl Do for PortGet {
    fn call(request: &Request<'_>) -> Result {
        let wanted = (request.u32(IFINDEX), request.net().cookie());
        if wanted.0.is_none() {
            return Err(request.lacks(IFINDEX, fmt!("which port?")));
        }
        let is_it = |port: &Port| (Some(port.ident.ifindex), port.ident.netns_cookie) == wanted;
        let device = devices::find(|device| device.port(is_it).is_some());
        let (device, port) = device
            .and_then(|device| device.port(is_it).map(|port| (device, port)))
            .ok_or_else(|| no_device(request))?;
        request.reply::<Self>(|message| put_port(message, &device, &port))
    }
}

/// The dump of ports: those in the namespaces that it covers, whatever is seen of their devices.
pub(super) struct Ports;

/// Where it stands.
pub(super) struct PortsProgress {
    namespaces: Namespaces,
    ifindex: Option<u32>,
    /// In the order of their ids.
    devices: KVec<Arc<Device>>,
    /// The device whose turn it is, and the number of its next port.
    at: usize,
    next: u32,
    changes: u64,
}

impl Command for Ports {
    const NUMBER: u8 = uapi::EKHO_CMD_PORT_GET as u8;
    const POLICY: Policy = EACH;
}

impl Dump for Ports {
    type Context = PortsProgress;

    fn start(request: &Request<'_>) -> Result<PortsProgress> {
        let changes = changes::so_far();
        let mut devices = devices::all()?;
        sort_by_key(&mut devices, |device| device.number);
        Ok(PortsProgress {
            namespaces: Namespaces::of(request)?,
            ifindex: request.u32(IFINDEX),
            devices,
            at: 0,
            next: 0,
            changes,
        })
    }

    fn next(progress: &mut PortsProgress, batch: &mut Batch<'_>) -> Result {
        let (namespaces, ifindex) = (progress.namespaces, progress.ifindex);
        while let Some(device) = progress.devices.get(progress.at) {
            let next = |from: u32| {
                device.port(|port| {
                    u32::from(port.index) >= from
                        && namespaces.contain(&port.ident)
                        && ifindex.is_none_or(|ifindex| ifindex == port.ident.ifindex)
                })
            };
            while let Some(port) = next(progress.next) {
                batch.message(|message| put_port(message, device, &port))?;
                progress.next = u32::from(port.index) + 1;
            }
            progress.at += 1;
            progress.next = 0;
        }
        Ok(())
    }

    fn is_interrupted(progress: &PortsProgress) -> bool {
        changes::so_far() != progress.changes
    }
}
