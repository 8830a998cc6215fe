// SPDX-License-Identifier: GPL-2.0-only

//! Changes of the set of devices, and of what identifies a device.

#![deny(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Full, //
};

static CHANGES: Atomic<u64> = Atomic::new(0);

/// Counts a change, after it was made.
pub(super) fn count() {
    CHANGES.fetch_add(1, Full);
}

/// The number of changes so far. If it is the same before and after the devices are read, they are
/// those of one moment.
pub(crate) fn so_far() -> u64 {
    CHANGES.fetch_add(0, Full)
}
