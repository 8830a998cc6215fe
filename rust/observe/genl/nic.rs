// SPDX-License-Identifier: GPL-2.0-only

//! Devices with several ports are made and removed.

#![deny(unsafe_code)]

use super::scope::rules_initial_namespaces;
use crate::{
    abstractions::net::genetlink::{
        Attribute,
        Command,
        Do,
        Permission,
        Policy,
        Request, //
    },
    contract::uapi,
    device::nic::{
        self,
        Refusal, //
    },
};
use kernel::prelude::*;

const NAME: u32 = uapi::EKHO_A_DEVICE_NAME;
const PORTS: u32 = uapi::EKHO_A_DEVICE_PORTS;

/// A name; that one is too long for a device is judged below, in a sentence.
const NAME_RULE: (u32, Attribute) = (NAME, Attribute::string(63));

/// The name in a request, of someone who may make and remove devices.
fn name<'a>(request: &Request<'a>) -> Result<&'a [u8]> {
    let name = request
        .string(NAME)
        .ok_or_else(|| request.lacks(NAME, fmt!("what is the name of the device?")))?;
    rules_initial_namespaces(request, NAME)?;
    Ok(name)
}

/// Says why a device isn't made or removed.
fn refuse(request: &Request<'_>, refusal: &Refusal<'_>) -> Error {
    let attribute = match refusal {
        Refusal::Ports => PORTS,
        _ => NAME,
    };
    request.refuse_attribute(attribute, refusal.error(), fmt!("{}", refusal))
}

/// `device-new`.
pub(super) struct DeviceNew;

impl Command for DeviceNew {
    const NUMBER: u8 = uapi::EKHO_CMD_DEVICE_NEW as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const POLICY: Policy = Policy::new(
        &const { Policy::table::<{ PORTS as usize + 1 }>(&[NAME_RULE, (PORTS, Attribute::u32())]) },
    );
}

impl Do for DeviceNew {
    fn call(request: &Request<'_>) -> Result {
        let name = name(request)?;
        let ports = request
            .u32(PORTS)
            .ok_or_else(|| request.lacks(PORTS, fmt!("how many ports has the device?")))?;
        nic::create(name, ports).map_err(|refusal| refuse(request, &refusal))
    }
}

/// `device-del`.
pub(super) struct DeviceDel;

impl Command for DeviceDel {
    const NUMBER: u8 = uapi::EKHO_CMD_DEVICE_DEL as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const POLICY: Policy =
        Policy::new(&const { Policy::table::<{ NAME as usize + 1 }>(&[NAME_RULE]) });
}

impl Do for DeviceDel {
    fn call(request: &Request<'_>) -> Result {
        nic::remove(name(request)?).map_err(|refusal| refuse(request, &refusal))
    }
}
