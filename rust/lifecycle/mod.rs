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
//! A swap doesn't replay: flows stay, and the new firmware finds what it needs in the maps that it
//! shares with the old one.

mod attach;
mod watch;

pub(crate) use attach::{
    for_each_attached,
    init,
    register, //
};
pub(crate) use watch::Devices;
