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
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use serde::Serialize;

use crate::bpf::{self, Map, ProgramInfo};
use crate::capability::{self, Capability};
use crate::clock;
use crate::contract::Capabilities;
use crate::debugfs::{self, Debugfs, Filter};
use crate::error::{Error, Result};
use crate::firmware::{hex, Firmware, Loaded};
use crate::module::Module;
use crate::netlink;
use crate::pins::{self, Pins, Transaction};

/// The maps of attached firmware by full name, where it is known.
#[derive(Debug)]
pub struct AttachedMap {
    /// Name: the pin's, else the kernel's, which has at most [`bpf::NAME_LEN`] bytes.
    pub name: String,
    /// Whether `name` is whole.
    pub full_name: bool,
    /// The map.
    pub map: Map,
    /// Where it is pinned.
    pub pin: Option<PathBuf>,
}

/// Firmware that is attached, with the kernel objects behind it.
#[derive(Debug)]
pub struct Attachment {
    record: debugfs::Firmware,
    link: OwnedFd,
    ops_map: Map,
    /// Op, and the program's id.
    ops: Vec<(String, u32)>,
}

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

/// A program of attached firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramStatus {
    /// Op that it implements.
    pub op: String,
    /// Id of the program.
    pub id: u32,
    /// Name, cut at 15 bytes by the kernel.
    pub name: String,
    /// Hash of its instructions, in hexadecimal.
    pub tag: String,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Instructions that the verifier walked.
    pub verified_insns: u32,
    /// Times it ran, when `kernel.bpf_stats_enabled` is set.
    pub run_count: u64,
    /// Nanoseconds spent in it, when `kernel.bpf_stats_enabled` is set.
    pub run_time_ns: u64,
}

/// A map of attached firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapStatus {
    /// Id of the map.
    pub id: u32,
    /// Name: the pin's, else the kernel's, cut at 15 bytes.
    pub name: String,
    /// Type, as bpftool calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Key size in bytes.
    pub key_size: u32,
    /// Value size in bytes.
    pub value_size: u32,
    /// Maximum number of entries.
    pub max_entries: u32,
    /// Where it is pinned.
    pub pin: Option<PathBuf>,
}

/// Everything there is to know of attached firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What the module says.
    #[serde(flatten)]
    pub record: debugfs::Firmware,
    /// Where the link is pinned.
    pub pins: Vec<PathBuf>,
    /// Its programs, by op.
    pub programs: Vec<ProgramStatus>,
    /// Its maps.
    pub maps: Vec<MapStatus>,
    /// What the device can do; `null` when the module doesn't tell.
    pub capabilities: Option<Capabilities>,
    /// How much of `max_flows` is used; `null` when the module doesn't tell.
    pub occupied: Option<u64>,
    /// How often flows were refused, by reason.
    pub refusals: Vec<debugfs::Refusal>,
    /// Firmware that was stopped on this device because it broke the contract, the oldest
    /// first.
    pub exits: Vec<debugfs::Exit>,
}

impl Attachment {
    /// Opens what a record is about (`CAP_SYS_ADMIN`).
    pub fn open(module: &Module, mut record: debugfs::Firmware) -> Result<Self> {
        let owner = format!("firmware `{}` on `{}`", record.firmware, record.dev);
        let what = |object: &str, id: u32| format!("can't open {object} {id} of {owner}");
        let link = bpf::link_by_id(record.link).map_err(Error::io(what("link", record.link)))?;
        let info = bpf::link_info(link.as_fd()).map_err(Error::io(what("link", record.link)))?;
        let map_id = info
            .map_id
            .filter(|id| *id != 0)
            .ok_or_else(|| Error::NotAttached {
                dev: record.dev.clone(),
            })?;
        let ops_map = Map::by_id(map_id).map_err(Error::io(what("map", map_id)))?;
        record.map = Some(map_id);
        let value = ops_map
            .lookup(&0u32.to_ne_bytes())
            .map_err(Error::io(what("map", map_id)))?
            .unwrap_or_default();
        let ops = module.layout().program_ids(&value);
        Ok(Self {
            record,
            link,
            ops_map,
            ops,
        })
    }

    /// The link, which hangs up when the firmware is detached.
    pub fn link(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// What the module says of the firmware.
    pub fn record(&self) -> &debugfs::Firmware {
        &self.record
    }

    /// Whether the link still holds the firmware that was opened.
    pub fn is_current(&self) -> bool {
        bpf::link_info(self.link.as_fd())
            .is_ok_and(|info| info.map_id == Some(self.ops_map.info().id))
    }

    fn programs(&self) -> Result<Vec<(String, ProgramInfo)>> {
        self.ops
            .iter()
            .map(|(op, id)| {
                let info = bpf::program_by_id(*id)
                    .and_then(|fd| bpf::program_info(fd.as_fd()))
                    .map_err(Error::io(format!("can't open program {id}")))?;
                Ok((op.clone(), info))
            })
            .collect()
    }

    /// The maps that the firmware's author declared: those that a program uses, and
    /// those that are pinned with one of the `links`.
    pub fn maps(&self, links: &[PathBuf]) -> Result<Vec<AttachedMap>> {
        let mut maps: Vec<AttachedMap> = Vec::new();
        for (name, path) in links.iter().flat_map(|link| pins::maps_of(link)) {
            let Ok(map) = bpf::open_pin(&path).and_then(Map::new) else {
                continue;
            };
            if !maps
                .iter()
                .any(|known| known.map.info().id == map.info().id)
            {
                maps.push(AttachedMap {
                    name,
                    full_name: true,
                    map,
                    pin: Some(path),
                });
            }
        }
        for (_, program) in self.programs()? {
            for id in program.map_ids {
                if maps.iter().any(|known| known.map.info().id == id) {
                    continue;
                }
                let map = Map::by_id(id).map_err(Error::io(format!("can't open map {id}")))?;
                let name = map.info().name.clone();
                // libbpf's own maps are called `firmware.bss` and the like.
                if name.contains('.') {
                    continue;
                }
                maps.push(AttachedMap {
                    full_name: name.len() < bpf::NAME_LEN,
                    name,
                    map,
                    pin: None,
                });
            }
        }
        Ok(maps)
    }

    /// The map called `name`, without a look at pins.
    pub fn map(&self, name: &str) -> Result<Option<Map>> {
        let mut maps = self.maps(&[])?;
        Ok(take_map(&mut maps, name).map(|found| found.map))
    }
}

/// Which of the known names is the declared one: the same in full, else as much of it
/// as the kernel keeps, when that leaves no doubt. Known names say whether they are
/// whole.
fn pick<'name>(known: impl Iterator<Item = (&'name str, bool)>, declared: &str) -> Option<usize> {
    let cut = declared.get(..bpf::NAME_LEN);
    let mut similar = Vec::new();
    for (index, (name, whole)) in known.enumerate() {
        if whole && name == declared {
            return Some(index);
        }
        if !whole && cut == Some(name) {
            similar.push(index);
        }
    }
    match similar.as_slice() {
        [index] => Some(*index),
        _ => None,
    }
}

/// Takes the map for a declared name out of those that are known.
fn take_map(maps: &mut Vec<AttachedMap>, declared: &str) -> Option<AttachedMap> {
    let known = maps.iter().map(|map| (map.name.as_str(), map.full_name));
    let index = pick(known, declared)?;
    Some(maps.swap_remove(index))
}

/// The firmware that a filter selects, from the module's records alone as far as
/// that goes.
pub fn list(debugfs: &Debugfs, filter: &Filter) -> Result<Vec<debugfs::Firmware>> {
    let mut records = debugfs.firmware(filter)?;
    for record in &mut records {
        if record.map.is_none() {
            record.map = bpf::link_by_id(record.link)
                .and_then(|link| bpf::link_info(link.as_fd()))
                .ok()
                .and_then(|info| info.map_id);
        }
    }
    Ok(records)
}

/// Everything about the firmware that a filter selects.
pub fn status(debugfs: &Debugfs, pins: &Pins, filter: &Filter) -> Result<Vec<Status>> {
    capability::require("looking at firmware", &[Capability::SysAdmin])?;
    let records = debugfs.firmware(filter)?;
    let module = Module::open()?;
    let declared = debugfs.capabilities()?;
    let devices = debugfs.devices(filter)?;
    let refusals = debugfs.refusals()?;
    let exits = debugfs.exits(filter)?;
    records
        .into_iter()
        .map(|record| {
            let here = (record.ifindex, record.netns);
            let attachment = Attachment::open(&module, record)?;
            let links = pins.find_link(attachment.record.link);
            let programs = attachment
                .programs()?
                .into_iter()
                .map(|(op, info)| ProgramStatus {
                    op,
                    id: info.id,
                    name: info.name,
                    tag: hex(&info.tag),
                    jited_bytes: info.jited_len,
                    verified_insns: info.verified_insns,
                    run_count: info.run_count,
                    run_time_ns: info.run_time_ns,
                })
                .collect();
            let maps = attachment
                .maps(&links)?
                .into_iter()
                .map(|map| {
                    let info = map.map.info();
                    MapStatus {
                        id: info.id,
                        name: map.name,
                        kind: bpf::map_type_name(info.kind),
                        key_size: info.key_size,
                        value_size: info.value_size,
                        max_entries: info.max_entries,
                        pin: map.pin,
                    }
                })
                .collect();
            Ok(Status {
                record: attachment.record,
                pins: links,
                programs,
                maps,
                capabilities: declared
                    .iter()
                    .find(|declared| (declared.ifindex, declared.netns) == here)
                    .map(|declared| declared.capabilities.clone()),
                occupied: devices
                    .iter()
                    .find(|device| (device.ifindex, device.netns) == here)
                    .and_then(|device| device.occupied),
                refusals: refusals
                    .iter()
                    .filter(|refusal| (refusal.ifindex, refusal.netns) == here)
                    .cloned()
                    .collect(),
                exits: exits
                    .iter()
                    .filter(|exit| (exit.ifindex, exit.netns) == here)
                    .cloned()
                    .collect(),
            })
        })
        .collect()
}

/// Whether the module serves a device, so that no driver's own offload is in the way.
fn is_served(debugfs: &Debugfs, dev: &str) -> bool {
    Filter::device(dev)
        .and_then(|filter| debugfs.devices(&filter))
        .is_ok_and(|devices| !devices.is_empty())
}

/// Why the kernel refused to attach, for an errno that can mean several things:
/// the module gives them, and the firmware's own `attach` may give them as well.
fn explain_attach(
    debugfs: &Debugfs,
    dev: &str,
    firmware: &str,
    has_attach: bool,
    source: io::Error,
) -> Error {
    let errno = source.raw_os_error().map(Errno::from_raw);
    let attached = debugfs.attached(dev).ok().flatten();
    match errno {
        Some(Errno::EBUSY) if attached.is_some() || !has_attach => Error::Busy {
            dev: dev.to_owned(),
            firmware: attached.as_ref().map(|record| record.firmware.clone()),
            link: attached.as_ref().map(|record| record.link),
        },
        Some(Errno::ENODEV) if netlink::ifindex(dev).is_err() || !has_attach => Error::NoDevice {
            dev: dev.to_owned(),
        },
        Some(Errno::EOPNOTSUPP) if !has_attach && !is_served(debugfs, dev) => Error::OwnOffload {
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
/// Needs `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN`, a bpffs at the pins' root, and
/// the module.
/// On failure nothing stays behind.
pub fn load(firmware: Firmware, dev: &str, debugfs: &Debugfs, pins: &Pins) -> Result<Outcome> {
    capability::require(
        "loading firmware",
        &[Capability::Bpf, Capability::Perfmon, Capability::NetAdmin],
    )?;
    let module = Module::open()?;
    firmware.check(&module)?;
    pins.check()?;
    let ifindex = netlink::ifindex(dev)?;
    // Without debugfs the kernel's EBUSY says the same, only less.
    if let Ok(Some(attached)) = debugfs.attached(dev) {
        return Err(Error::Busy {
            dev: dev.to_owned(),
            firmware: Some(attached.firmware),
            link: Some(attached.link),
        });
    }
    pins.make_room(dev)
        .map_err(|error| name_owner(error, debugfs))?;

    let loaded = firmware.load(&module, ifindex, &[])?;
    loaded.activate(&module)?;
    let link = bpf::link_create(loaded.ops_map()).map_err(|source| {
        explain_attach(debugfs, dev, loaded.name(), loaded.has_attach(), source)
    })?;
    let pin = pins
        .create(dev, link.as_fd(), loaded.maps())
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
fn name_owner(error: Error, debugfs: &Debugfs) -> Error {
    let Error::PinInUse { path, link, .. } = error else {
        return error;
    };
    let records = debugfs.firmware(&Filter::default()).unwrap_or_default();
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
pub fn replace(firmware: Firmware, dev: &str, debugfs: &Debugfs, pins: &Pins) -> Result<Outcome> {
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
    let record = find(debugfs, dev)?;
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
pub fn find(debugfs: &Debugfs, dev: &str) -> Result<debugfs::Firmware> {
    match debugfs.attached(dev)? {
        Some(record) => Ok(record),
        None => {
            netlink::ifindex(dev)?;
            // Why it has none, where that was the module's doing.
            match debugfs.exits(&Filter::device(dev)?)?.pop() {
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
/// Where the device is gone already, pins that it left are removed. Needs
/// `CAP_SYS_ADMIN`.
pub fn unload(dev: &str, debugfs: &Debugfs, pins: &Pins) -> Result<Removal> {
    capability::require("unloading firmware", &[Capability::SysAdmin])?;
    let record = match find(debugfs, dev) {
        Ok(record) => record,
        Err(error) => {
            let stale = pins.link_path(dev);
            let is_absent = matches!(
                error,
                Error::NoDevice { .. } | Error::NotAttached { .. } | Error::Stopped { .. }
            );
            if is_absent && stale.exists() && pins.make_room(dev).unwrap_or(false) {
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
    let failed = |what: &str| {
        Error::io(format!(
            "can't {what} link {} of firmware `{}` on `{dev}`",
            record.link, record.firmware
        ))
    };
    let link = bpf::link_by_id(record.link).map_err(failed("open"))?;
    let links = pins.find_link(record.link);
    bpf::link_detach(link.as_fd()).map_err(failed("detach"))?;
    let unpinned = links.iter().flat_map(|link| pins.remove(link)).collect();
    Ok(Removal {
        dev: dev.to_owned(),
        firmware: Some(record.firmware),
        link: Some(record.link),
        unpinned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(known: &[(&str, bool)], declared: &str) -> Option<usize> {
        pick(known.iter().copied(), declared)
    }

    #[test]
    fn maps_are_found_by_full_name() {
        let known = [("flow_stats", true), ("flow_stats_more", true)];
        assert_eq!(picked(&known, "flow_stats"), Some(0));
        assert_eq!(picked(&known, "flow_stats_more"), Some(1));
        assert_eq!(picked(&known, "flow"), None);
    }

    #[test]
    fn maps_are_found_by_what_the_kernel_keeps_when_that_is_enough() {
        let known = [("a_map_with_a_lo", false)];
        assert_eq!(picked(&known, "a_map_with_a_long_name"), Some(0));
        assert_eq!(picked(&known, "a_map_with_a_lo"), Some(0));
        assert_eq!(picked(&known, "a_map_with"), None);
        let twice = [("a_map_with_a_lo", false), ("a_map_with_a_lo", false)];
        assert_eq!(picked(&twice, "a_map_with_a_long_name"), None);
        let pinned = [("a_map_with_a_lo", false), ("a_map_with_a_long_name", true)];
        assert_eq!(picked(&pinned, "a_map_with_a_long_name"), Some(1));
    }

    #[test]
    fn the_schema_of_removals_and_status_is_stable() {
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
        let program = ProgramStatus {
            op: "replace".into(),
            id: 1,
            name: "n".into(),
            tag: "00".into(),
            jited_bytes: 2,
            verified_insns: 3,
            run_count: 4,
            run_time_ns: 5,
        };
        assert_eq!(
            serde_json::to_string(&program).unwrap(),
            r#"{"op":"replace","id":1,"name":"n","tag":"00","jited_bytes":2,"verified_insns":3,"run_count":4,"run_time_ns":5}"#
        );
        let map = MapStatus {
            id: 1,
            name: "m".into(),
            kind: "hash".into(),
            key_size: 8,
            value_size: 32,
            max_entries: 4,
            pin: None,
        };
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            r#"{"id":1,"name":"m","type":"hash","key_size":8,"value_size":32,"max_entries":4,"pin":null}"#
        );
    }
}
