// SPDX-License-Identifier: GPL-2.0-only

//! Attach, replacement and detach of firmware.
//!
//! ```text
//!             reg                       update
//!   (none) ────────▶ attach op ──▶ in use ───▶ attach op of the new, then detach op of the old
//!                    replay of      │   │
//!                    all filters    │   └── netdev unregistered: its qdiscs are gone, so no flow
//!                                   │       is left; detach op; a work item detaches the link
//!                             unreg ▼
//!                    filters go back to software (destroy op for each), detach op
//! ```
//!
//! Firmware that violates the contract is stopped during the request ([`crate::firmware::exit`]). A
//! work item then takes it off the device as `unreg` does, and detaches its link. The work item,
//! `unreg`, the end of the netdev and `reg` of the next firmware can come in any order: the first
//! one takes the firmware off, and the others do nothing. An `update` of a link whose firmware was
//! stopped is refused. If the old firmware is stopped during an `update`, the new one stays.
//!
//! A replacement doesn't replay filters: flows are kept, and the new firmware shares maps with the
//! old one.
//!
//! | | |
//! |---|---|
//! | [`struct_ops`] | the callbacks `reg`, `update`, `unreg`, which lead to the next three |
//! | [`attach`], [`replace`], [`detach`] | each does what its name says |
//! | [`attached`] | the links whose firmware is on a device |
//! | [`end_link`] | detaches a link whose firmware is gone |
//! | [`notifier`] | what happens when netdevs come, change and go |
//! | [`exit_records`] | records of firmware that was stopped |
//! | [`events`], [`uevents`] | tell user space of all that |

mod attach;
pub(crate) mod attached;
mod detach;
mod end_link;
pub(crate) mod events;
pub(crate) mod exit_records;
pub(crate) mod notifier;
mod replace;
pub(crate) mod struct_ops;
mod uevents;

use kernel::prelude::*;

/// Initialises the globals; to be called once, before [`struct_ops::register`].
pub(crate) fn init() -> Result {
    attached::init();
    exit_records::init();
    detach::init()
}

/// Undoes [`init()`]; no firmware is loaded then.
pub(crate) fn clear() {
    detach::clear();
    attached::clear();
    exit_records::clear();
}
