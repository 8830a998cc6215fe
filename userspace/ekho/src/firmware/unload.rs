// SPDX-License-Identifier: MIT OR Apache-2.0

//! Detaches the firmware of a device, and removes its pins.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use serde::Serialize;

use super::attachment::find;
use super::pins::Pins;
use crate::error::{Error, Result};
use crate::kernel::bpf;
use crate::kernel::capability::{self, Capability};
use crate::module::state::State;

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
    let unpinned = links
        .iter()
        .flat_map(|link| pins.remove(link, id))
        .collect();
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
