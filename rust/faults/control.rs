// SPDX-License-Identifier: GPL-2.0-only

//! The file `faults`: shows the knobs that are set, and takes lines that set them.

use crate::{
    abstractions::net::net_device::{
        NetDevice,
        Rtnl,
        RtnlGuard, //
    },
    device::{
        self,
        Owner, //
    },
    faults::{
        parse::{
            self,
            Device,
            Mistake, //
        },
        NEW, //
    },
    port::{
        self,
        Claim, //
    },
};
use core::fmt;
use kernel::{
    prelude::*,
    str::CString,
    sync::aref::ARef, //
};

/// Shows all knobs that are set.
pub(crate) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for port in &*port::all().map_err(|_| fmt::Error)? {
        port.faults.show(f, &port.ident())?;
    }
    NEW.show(f, &"new")
}

/// Takes lines; those before one that is wrong have been followed.
pub(crate) fn take(text: &str) -> Result {
    for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
        let (device, change) = parse::line(line).map_err(refuse)?;
        let rtnl = RtnlGuard::lock();
        if device == Device::New {
            NEW.change(change)?;
            continue;
        }
        let Some(port) = find(device, &rtnl)? else {
            return Err(refuse(Mistake(
                line.trim_ascii(),
                "no such device, or none that EKHO serves",
            )));
        };
        // Knobs keep the port of a device that isn't EKHO's own.
        port.faults.change(change)?;
    }
    Ok(())
}

fn refuse(Mistake(word, why): Mistake<'_>) -> Error {
    pr_err!("faults: '{}': {}\n", word, why);
    EINVAL
}

/// The port of a device, made if it has none.
fn find(device: Device<'_>, rtnl: &Rtnl) -> Result<Option<Claim>> {
    let dev: Option<ARef<NetDevice>> = match device {
        Device::Name(name) => NetDevice::by_name(&CString::try_from_fmt(fmt!("{}", name))?, rtnl),
        Device::Index(ifindex, None) => NetDevice::by_ifindex(ifindex, rtnl),
        Device::Index(ifindex, Some(netns)) => {
            return Ok(port::find(|port| {
                let ident = port.ident();
                ident.ifindex == ifindex && ident.netns == netns
            }));
        }
        Device::New => None,
    };
    let Some(dev) = dev.filter(|dev| dev.is_registered(rtnl)) else {
        return Ok(None);
    };
    match device::owner(&dev) {
        Owner::Other => Ok(None),
        owner => port::get_or_create(&dev, owner == Owner::Ekho).map(Some),
    }
}
