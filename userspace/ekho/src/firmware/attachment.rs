// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attached firmware, with the kernel's objects behind it.
//!
//! It is found through the module's record of it (link id) and the kernel's ids from
//! there on: link, struct_ops map, programs, maps. Pins are for keeping, not for finding.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::pins;
use crate::error::{Error, Result};
use crate::kernel::bpf::{self, Map, ProgramInfo};
use crate::kernel::clock;
use crate::kernel::netlink::device;
use crate::module::state::{self, Filter, State};
use crate::module::Module;

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
    pub(super) record: state::Firmware,
    pub(super) link: OwnedFd,
    pub(super) ops_map: Map,
    /// Op, and the program's id.
    ops: Vec<(String, u32)>,
}

impl Attachment {
    /// Opens what a record is about (`CAP_SYS_ADMIN`).
    pub fn open(module: &Module, mut record: state::Firmware) -> Result<Self> {
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
    pub fn record(&self) -> &state::Firmware {
        &self.record
    }

    /// Whether the link still holds the firmware that was opened.
    pub fn is_current(&self) -> bool {
        bpf::link_info(self.link.as_fd())
            .is_ok_and(|info| info.map_id == Some(self.ops_map.info().id))
    }

    /// Its programs, by op.
    pub fn programs(&self) -> Result<Vec<(String, ProgramInfo)>> {
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
pub(super) fn take_map(maps: &mut Vec<AttachedMap>, declared: &str) -> Option<AttachedMap> {
    let known = maps.iter().map(|map| (map.name.as_str(), map.full_name));
    let index = pick(known, declared)?;
    Some(maps.swap_remove(index))
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
}
