// SPDX-License-Identifier: GPL-2.0-only

//! debugfs, `/sys/kernel/debug/ekho/`, for people.
//!
//! One record a line, fields as `key=value` separated by blanks. No value contains a blank, except
//! for `reason`, which is last; names of devices are escaped, see
//! [`DevName`](crate::abstractions::net::net_device::DevName). This may change in any version.
//!
//! | file | where |
//! |---|---|
//! | `version` | here |
//! | `devices` | [`devices`] |
//! | `firmware`, `capabilities`, `refusals`, `exits` | [`firmware`] |
//! | `flows` | [`flows`] |
//! | `faults`, which can be written | [`faults`] |

#![deny(unsafe_code)]

mod devices;
mod faults;
mod firmware;
mod flows;

use crate::{
    abstractions::debugfs::{
        File,
        Files,
        Show, //
    },
    contract::table::ABI,
    version::VERSION, //
};
use core::fmt;
use kernel::prelude::*;

/// The files, until dropped.
pub(crate) fn files(owner: &'static ThisModule) -> impl PinInit<Files, Error> {
    Files::new(
        c"ekho",
        const {
            &[
                shown(c"version", version),
                shown(c"devices", devices::devices),
                shown(c"firmware", firmware::firmware),
                shown(c"flows", flows::flows),
                shown(c"capabilities", firmware::capabilities),
                shown(c"refusals", firmware::refusals),
                shown(c"exits", firmware::exits),
                File {
                    name: c"faults",
                    show: faults::show,
                    take: Some(faults::take),
                },
            ]
        },
        owner,
    )
}

/// A file that can only be read.
const fn shown(name: &'static CStr, show: Show) -> File {
    File {
        name,
        show,
        take: None,
    }
}

fn version(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "abi={} module={}", ABI, VERSION)
}
