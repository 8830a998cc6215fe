// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attaches firmware to a device that has none.
//!
//! The link is what attaches; its pin keeps it when the tool ends ([`pins`](super::pins)).

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::Serialize;

use super::image::Firmware;
use super::pins::Pins;
use crate::error::{Error, Result};
use crate::kernel::bpf::{self, Map};
use crate::kernel::capability::{self, Capability};
use crate::kernel::netlink::device;
use crate::module::state::{Filter, State};
use crate::module::Module;

/// What it takes to load and attach firmware, also in place of another. libbpf opens the module's
/// types by id, for which the kernel wants `CAP_SYS_ADMIN`.
pub(super) const NEEDED: [Capability; 4] = [
    Capability::Bpf,
    Capability::Perfmon,
    Capability::NetAdmin,
    Capability::SysAdmin,
];

/// What [`load`] or [`replace`](super::replace::replace) did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Name of the device.
    pub dev: String,
    /// Its interface index.
    pub ifindex: u32,
    /// Name of the firmware.
    pub firmware: String,
    /// ABI it was built for.
    pub abi: u32,
    /// Id of the link.
    pub link: u32,
    /// Id of the struct_ops map.
    pub map: u32,
    /// Where the link is pinned.
    pub pin: Option<PathBuf>,
    /// Name of the firmware that was replaced.
    pub replaced: Option<String>,
    /// Maps that were taken over from it.
    pub carried_maps: Vec<String>,
    /// Maps that were made.
    pub new_maps: Vec<String>,
}

/// Whether the module serves a device, so that no driver's own offload is in the way.
fn is_served(state: &dyn State, dev: &str) -> bool {
    Filter::device(dev)
        .and_then(|filter| state.devices(&filter))
        .is_ok_and(|devices| !devices.is_empty())
}

/// Why the kernel refused to attach, for an errno that can mean several things:
/// the module gives them, and the firmware's own `attach` may give them as well.
fn explain_attach(
    state: &dyn State,
    dev: &str,
    firmware: &str,
    has_attach: bool,
    source: io::Error,
) -> Error {
    let errno = source.raw_os_error().map(Errno::from_raw);
    let attached = state.attached(dev).ok().flatten();
    match errno {
        Some(Errno::EBUSY) if attached.is_some() || !has_attach => Error::Busy {
            dev: dev.to_owned(),
            firmware: attached.as_ref().map(|record| record.firmware.clone()),
            link: attached.as_ref().map(|record| record.link),
        },
        Some(Errno::ENODEV) if device::ifindex(dev).is_err() || !has_attach => Error::NoDevice {
            dev: dev.to_owned(),
            netns: None,
        },
        Some(Errno::EOPNOTSUPP) if !has_attach && !is_served(state, dev) => Error::OwnOffload {
            dev: dev.to_owned(),
        },
        Some(Errno::EPERM) if !has_attach => Error::NotPermitted {
            action: format!("attach firmware to `{dev}`"),
            source,
        },
        _ => Error::Attach {
            dev: dev.to_owned(),
            firmware: firmware.to_owned(),
            has_attach,
            source,
        },
    }
}

/// Attaches firmware to a device of this network namespace that has none, and
/// pins it.
///
/// Needs `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`, a bpffs at the
/// pins' root, and the module.
/// On failure nothing stays behind.
pub fn load(firmware: Firmware, dev: &str, state: &dyn State, pins: &Pins) -> Result<Outcome> {
    capability::require("loading firmware", &NEEDED)?;
    let module = Module::open()?;
    firmware.check(&module)?;
    pins.check()?;
    let ifindex = device::ifindex(dev)?;
    // The kernel's EBUSY says the same, only less.
    if let Ok(Some(attached)) = state.attached(dev) {
        return Err(Error::Busy {
            dev: dev.to_owned(),
            firmware: Some(attached.firmware),
            link: Some(attached.link),
        });
    }
    pins.prepare(dev, ifindex)
        .map_err(|error| name_owner(error, state))?;

    let loaded = firmware.load(&module, ifindex, &[])?;
    loaded.activate(&module)?;
    let link = bpf::link_create(loaded.ops_map())
        .map_err(|source| explain_attach(state, dev, loaded.name(), loaded.has_attach(), source))?;
    let pin = pins
        .create(dev, ifindex, link.as_fd(), loaded.maps())
        .map_err(|error| name_owner(error, state))
        .inspect_err(|_| {
            // Closing the link detaches too, but not before this returns.
            let _ = bpf::link_detach(link.as_fd());
        })?;
    let info = bpf::link_info(link.as_fd()).map_err(Error::io("can't look at the new link"))?;
    Ok(Outcome {
        dev: dev.to_owned(),
        ifindex,
        firmware: loaded.name().to_owned(),
        abi: loaded.abi(),
        link: info.id,
        map: loaded.map_id(),
        pin: Some(pin),
        replaced: None,
        carried_maps: Vec::new(),
        new_maps: names(loaded.maps()),
    })
}

/// Adds to an error about a pin whose link it is: the device was renamed since, or is
/// in another network namespace.
fn name_owner(error: Error, state: &dyn State) -> Error {
    let Error::PinInUse { path, link, .. } = error else {
        return error;
    };
    let records = state.firmware(&Filter::default()).unwrap_or_default();
    let owner = records.into_iter().find(|record| record.link == link);
    Error::PinInUse {
        path,
        link,
        owner: owner.map(|record| {
            let netns = record
                .netns_name
                .unwrap_or_else(|| record.netns.to_string());
            format!(
                "firmware `{}` on `{}` in network namespace {netns}",
                record.firmware, record.dev
            )
        }),
    }
}

pub(super) fn names(maps: &[(String, Map)]) -> Vec<String> {
    maps.iter().map(|(name, _)| name.clone()).collect()
}
