// SPDX-License-Identifier: GPL-2.0-only

//! The file `faults`: shows the knobs that are set, and takes lines that set them.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::net_device::{
        NetDevice,
        Rtnl,
        RtnlGuard, //
    },
    device::owner::claim,
    faults::{
        parse::{
            self,
            Device,
            ParseError, //
        },
        NEW, //
    },
    offload::devices::{
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
pub(super) fn show(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for device in &*devices::all().map_err(|_| fmt::Error)? {
        device.faults.show(f, &device.ident())?;
    }
    NEW.show(f, &"new")
}

/// Takes lines; those before a wrong one take effect.
pub(super) fn take(text: &str) -> Result {
    for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
        let (name, change) = parse::line(line).map_err(refuse)?;
        let rtnl = RtnlGuard::lock();
        if name == Device::New {
            NEW.change(change, &rtnl)?;
            continue;
        }
        let Some(device) = find(name, &rtnl)? else {
            return Err(refuse(ParseError(
                line.trim_ascii(),
                "no such device, or none that EKHO serves",
            )));
        };
        // A knob keeps an indirect device in the set.
        device.faults.change(change, &rtnl)?;
    }
    Ok(())
}

fn refuse(ParseError(word, why): ParseError<'_>) -> Error {
    pr_err!("faults: '{}': {}\n", word, why);
    EINVAL
}

/// The device that a line is about, made if it isn't known.
fn find(name: Device<'_>, rtnl: &Rtnl) -> Result<Option<Claim>> {
    let dev: Option<ARef<NetDevice>> = match name {
        Device::Name(name) => NetDevice::by_name(&CString::try_from_fmt(fmt!("{}", name))?, rtnl),
        Device::Index(ifindex, None) => NetDevice::by_ifindex(ifindex, rtnl),
        Device::Index(ifindex, Some(netns)) => {
            return Ok(devices::find(|device| {
                let wanted = (ifindex, netns);
                device
                    .port(|port| (port.ident.ifindex, port.ident.netns) == wanted)
                    .is_some()
            }));
        }
        Device::New => None,
    };
    claim(dev, rtnl)
}
