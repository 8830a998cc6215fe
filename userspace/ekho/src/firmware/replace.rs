// SPDX-License-Identifier: MIT OR Apache-2.0

//! Replaces the firmware of a device.
//!
//! The struct_ops map behind the link is swapped in one step of the kernel: flows and
//! counters stay, and at no time is the device without firmware.

use std::os::fd::AsFd as _;

use nix::errno::Errno;

use super::attachment::{find, take_map, Attachment};
use super::image::{Firmware, Loaded};
use super::load::{names, Outcome, NEEDED};
use super::pins::{self, Pins, Transaction};
use crate::error::{Error, Result};
use crate::kernel::bpf::{self, Map};
use crate::kernel::capability;
use crate::module::state::State;
use crate::module::Module;

/// Replaces the firmware of a device atomically, with flows, counters and maps
/// kept.
///
/// A map of the new firmware takes the place of the old one's with the same name
/// and shape; another shape is an error. Global variables start anew. Needs
/// `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`. On failure the old
/// firmware stays as it was.
pub fn replace(firmware: Firmware, dev: &str, state: &dyn State, pins: &Pins) -> Result<Outcome> {
    capability::require("replacing firmware", &NEEDED)?;
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
    for link in &links {
        pins::remove_maps(link, old.record.link, |name| {
            !loaded.maps().iter().any(|(known, _)| known == name)
        });
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
