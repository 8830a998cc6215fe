// SPDX-License-Identifier: GPL-2.0-only

//! Uevents about firmware.
//!
//! An event is a `change` of the device with variables of its own: `EKHO_EVENT` (attach, replace,
//! detach or exit), `EKHO_DEV`, `EKHO_FIRMWARE`, and of an exit `EKHO_OP`, `EKHO_CODE`,
//! `EKHO_REASON`. `EKHO_DEV` is escaped, as text is; the kernel's `INTERFACE` is the name itself. It
//! goes to listeners in the device's network namespace, and to no others.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::{
        net_device::{
            NetDevice,
            Rtnl, //
        },
        uevent, //
    },
    contract::name::Name,
    firmware::exit::Exit, //
};
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

/// An event of the firmware of a device.
#[derive(Clone, Copy)]
pub(super) enum FirmwareEvent<'a> {
    /// It was attached.
    Attach(Name),
    /// It replaces another.
    Replace(Name),
    /// It was detached.
    Detach(Name),
    /// It was stopped.
    Exit(&'a Exit),
}

/// Sends the uevent. Process context.
pub(super) fn send(event: FirmwareEvent<'_>, dev: &NetDevice, rtnl: &Rtnl) {
    if let Err(error) = try_send(event, dev, rtnl) {
        pr_warn!(
            "{}: user space wasn't told of a change of firmware (errno {})\n",
            dev.name(),
            -error.to_errno()
        );
    }
}

fn try_send(event: FirmwareEvent<'_>, dev: &NetDevice, rtnl: &Rtnl) -> Result {
    let (name, firmware) = match event {
        FirmwareEvent::Attach(firmware) => ("attach", firmware),
        FirmwareEvent::Replace(firmware) => ("replace", firmware),
        FirmwareEvent::Detach(firmware) => ("detach", firmware),
        FirmwareEvent::Exit(exit) => ("exit", exit.firmware),
    };
    let mut variables = KVec::new();
    let mut add = |variable: fmt::Arguments<'_>| -> Result {
        variables.push(CString::try_from_fmt(variable)?, GFP_KERNEL)?;
        Ok(())
    };
    add(fmt!("EKHO_EVENT={}", name))?;
    add(fmt!("EKHO_DEV={}", dev.name()))?;
    add(fmt!("EKHO_FIRMWARE={}", firmware))?;
    if let FirmwareEvent::Exit(exit) = event {
        add(fmt!("EKHO_OP={}", exit.op))?;
        add(fmt!("EKHO_CODE={}", exit.code))?;
        add(fmt!("EKHO_REASON={}", exit.reason))?;
    }
    uevent::change(dev, &variables, rtnl)
}
