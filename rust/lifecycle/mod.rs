// SPDX-License-Identifier: GPL-2.0-only

//! How firmware comes to a device and leaves it.
//!
//! ```text
//!             reg                       update
//!   (none) ────────▶ attach op ──▶ in use ───▶ attach op of the new, swap, detach op of the old
//!                    replay of      │   │
//!                    all filters    │   └── device gone: its qdiscs went first, so no flow is
//!                                   │       left; detach op; the link is detached by a work item
//!                             unreg ▼
//!                    filters go back to software (destroy op for each), detach op
//! ```
//!
//! Firmware that does what it must not is stopped ([`crate::firmware::exit`]) in the middle of a request, by
//! whoever makes that; a work item takes it off the device as `unreg` does, and detaches its link.
//! One that comes first makes the others find nothing left to do: the work item, `unreg`, the
//! device's end, or `reg` of the next firmware. An `update` of a link whose firmware was stopped is
//! refused; if the old one is stopped in the middle of it, the new one stays.
//!
//! A swap doesn't replay: flows stay, and the new firmware finds what it needs in the maps that it
//! shares with the old one.

pub(crate) mod attach;
pub(crate) mod attached;
mod detach;
pub(crate) mod exits;
pub(crate) mod notifier;
mod orphan;
mod uevents;

use kernel::prelude::*;

/// Makes what is global here ready; to be called once, before [`attach::register`].
pub(crate) fn init() -> Result {
    attached::init();
    exits::init();
    detach::init()
}

/// Undoes [`init()`]; no firmware can be there.
pub(crate) fn clear() {
    detach::clear();
    attached::clear();
    exits::clear();
}
