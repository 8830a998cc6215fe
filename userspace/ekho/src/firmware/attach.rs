// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware on devices: attach, replace, detach, look at.
//!
//! ```text
//!            load                      replace                     unload
//!  Firmware ──────▶ link, map A ──────────────────▶ link, map B ──────────▶ nothing
//!                   pinned                          same pin               pins removed
//!                   maps pinned                     same maps, by name
//! ```
//!
//! The link is what attaches; its pin keeps it when the tool ends. A replacement
//! swaps the struct_ops map behind the link in one step of the kernel: flows and
//! counters stay, and at no time is the device without firmware. Each operation
//! either succeeds as a whole or leaves what it found.
//!
//! Attached firmware is found through the module's records (link id) and the
//! kernel's ids from there on: link → struct_ops map → programs → maps. Pins are
//! for keeping, not for finding.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::Serialize;

use super::attachment::{take_map, Attachment};
use super::image::{Firmware, Loaded};
use super::pins::{self, Pins, Transaction};
use crate::error::{Error, Result};
use crate::kernel::bpf::{self, Map};
use crate::kernel::capability::{self, Capability};
use crate::kernel::clock;
use crate::module::state::{self, Filter, State};

use crate::kernel::netlink::device;
use crate::module::Module;

/// What [`load`] or [`replace`] did.
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

/// What [`unload`] did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Name of the device.
    pub dev: String,
    /// Name of the firmware; `null` when only stale pins were there to remove.
    pub firmware: Option<String>,
    /// Id of the link.
    pub link: Option<u32>,
    /// Pins that were removed.
    pub unpinned: Vec<PathBuf>,
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
    // libbpf opens the module's types by id, for which the kernel wants CAP_SYS_ADMIN.
    capability::require(
        "loading firmware",
        &[
            Capability::Bpf,
            Capability::Perfmon,
            Capability::NetAdmin,
            Capability::SysAdmin,
        ],
    )?;
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
    let place = pins
        .place(dev, ifindex)
        .map_err(|error| name_owner(error, state))?;

    let loaded = firmware.load(&module, ifindex, &[])?;
    loaded.activate(&module)?;
    let link = bpf::link_create(loaded.ops_map())
        .map_err(|source| explain_attach(state, dev, loaded.name(), loaded.has_attach(), source))?;
    let pin = pins
        .create(&place, link.as_fd(), loaded.maps())
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

fn names(maps: &[(String, Map)]) -> Vec<String> {
    maps.iter().map(|(name, _)| name.clone()).collect()
}

/// Replaces the firmware of a device atomically, with flows, counters and maps
/// kept.
///
/// A map of the new firmware takes the place of the old one's with the same name
/// and shape; another shape is an error. Global variables start anew. Needs
/// `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`. On failure the old
/// firmware stays as it was.
pub fn replace(firmware: Firmware, dev: &str, state: &dyn State, pins: &Pins) -> Result<Outcome> {
    capability::require(
        "replacing firmware",
        &[
            Capability::Bpf,
            Capability::Perfmon,
            Capability::NetAdmin,
            Capability::SysAdmin,
        ],
    )?;
    let module = Module::open()?;
    firmware.check(&module)?;
    let record = find(state, dev)?;
    let old = Attachment::open(&module, record)?;
    let links = pins.find_link(old.record.link);

    let mut known = old.maps(&links)?;
    let mut carried = Vec::new();
    for declared in &firmware.inspection().maps {
        if let Some(found) = take_map(&mut known, &declared.name) {
            carried.push((declared.name.clone(), found.map));
        }
    }
    let loaded = firmware.load(&module, old.record.ifindex, &carried)?;
    loaded.activate(&module)?;

    let new_maps: Vec<&(String, Map)> = loaded
        .maps()
        .iter()
        .filter(|(name, _)| !carried.iter().any(|(known, _)| known == name))
        .collect();
    let mut transaction = Transaction::default();
    for link in &links {
        for (name, map) in &new_maps {
            let Some(path) = pins::map_path(link, name) else {
                continue;
            };
            transaction.pin(map.as_fd(), &path)?;
        }
    }
    swap(&old, &loaded, dev)?;
    transaction.keep();

    // Pins of maps that the new firmware has no use for.
    for (name, path) in links.iter().flat_map(|link| pins::maps_of(link)) {
        if !loaded.maps().iter().any(|(known, _)| *known == name) {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(Outcome {
        dev: dev.to_owned(),
        ifindex: old.record.ifindex,
        firmware: loaded.name().to_owned(),
        abi: loaded.abi(),
        link: old.record.link,
        map: loaded.map_id(),
        pin: links.into_iter().next(),
        replaced: Some(old.record.firmware),
        carried_maps: names(&carried),
        new_maps: new_maps.iter().map(|(name, _)| name.clone()).collect(),
    })
}

fn swap(old: &Attachment, new: &Loaded, dev: &str) -> Result<()> {
    bpf::link_update(old.link.as_fd(), new.ops_map(), old.ops_map.as_fd()).map_err(|source| {
        let gone = matches!(
            source.raw_os_error().map(Errno::from_raw),
            Some(Errno::EPERM | Errno::ENOLINK)
        );
        if gone && !old.is_current() {
            return Error::SwapRace {
                dev: dev.to_owned(),
            };
        }
        Error::Swap {
            dev: dev.to_owned(),
            firmware: new.name().to_owned(),
            has_attach: new.has_attach(),
            source,
        }
    })
}

/// The firmware of a device, or why there is none.
pub fn find(state: &dyn State, dev: &str) -> Result<state::Firmware> {
    match state.attached(dev)? {
        Some(record) => Ok(record),
        None => {
            device::ifindex(dev)?;
            // Why it has none, where that was the module's doing.
            match state.exits(&Filter::device(dev)?)?.pop() {
                Some(exit) => Err(Error::Stopped {
                    dev: dev.to_owned(),
                    firmware: exit.firmware,
                    seconds: clock::now_ns().saturating_sub(exit.time_ns) / 1_000_000_000,
                    reason: exit.reason,
                }),
                None => Err(Error::NotAttached {
                    dev: dev.to_owned(),
                }),
            }
        }
    }
}

/// Detaches the firmware of a device and removes its pins, wherever on this bpffs
/// they are; filters go on in software.
///
/// Where the device is gone already, pins that it left are removed. Needs `CAP_SYS_ADMIN`.
pub fn unload(dev: &str, state: &dyn State, pins: &Pins) -> Result<Removal> {
    capability::require("unloading firmware", &[Capability::SysAdmin])?;
    let failed = |what: &str, id: u32, firmware: &str| {
        Error::io(format!(
            "can't {what} link {id} of firmware `{firmware}` on `{dev}`"
        ))
    };
    let record = match find(state, dev) {
        Ok(record) => record,
        Err(error) => {
            let stale = pins.link_path(dev);
            let is_absent = matches!(
                error,
                Error::NoDevice { .. } | Error::NotAttached { .. } | Error::Stopped { .. }
            );
            if is_absent && stale.exists() && pins.remove_stale(dev) {
                return Ok(Removal {
                    dev: dev.to_owned(),
                    firmware: None,
                    link: None,
                    unpinned: vec![stale],
                });
            }
            return Err(error);
        }
    };
    let (id, firmware) = (record.link, record.firmware);
    let link = bpf::link_by_id(id).map_err(failed("open", id, &firmware))?;
    let links = pins.find_link(id);
    bpf::link_detach(link.as_fd()).map_err(failed("detach", id, &firmware))?;
    let unpinned = links.iter().flat_map(|link| pins.remove(link)).collect();
    Ok(Removal {
        dev: dev.to_owned(),
        firmware: Some(firmware),
        link: Some(id),
        unpinned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_removals_is_stable() {
        let removal = Removal {
            dev: "ek0".into(),
            firmware: None,
            link: None,
            unpinned: vec!["/x".into()],
        };
        assert_eq!(
            serde_json::to_string(&removal).unwrap(),
            r#"{"dev":"ek0","firmware":null,"link":null,"unpinned":["/x"]}"#
        );
    }
}
