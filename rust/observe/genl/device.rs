// SPDX-License-Identifier: GPL-2.0-only

//! The module, devices and ports.

#![deny(unsafe_code)]

use super::scope::{
    put_ident,
    Described, //
};
use crate::{
    abstractions::net::genetlink::{
        Command,
        Do,
        Message,
        Request, //
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
        device::Device,
        ident::Ident, //
    },
    version::VERSION, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
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
        if let Some(place) = device.place() {
            message.string(uapi::EKHO_A_DEVICE_NAME, place.nic.to_bytes())?;
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

/// `port-get`: the device's only port, with its index in the hardware.
pub(super) struct OnlyPort;

impl Described for OnlyPort {
    const NUMBER: u32 = uapi::EKHO_CMD_PORT_GET;
    const NOTHING: &'static CStr = c"";

    fn fill(message: &mut Message<'_>, device: &Device, ident: &Ident) -> Result {
        put_ident(message, ident)?;
        message.u32(uapi::EKHO_A_PORT_DEVICE_ID, device.number)?;
        let index = device.place().map_or(0, |place| place.index);
        message.u32(uapi::EKHO_A_PORT_INDEX, index.into())
    }
}
