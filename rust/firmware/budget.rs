// SPDX-License-Identifier: GPL-2.0-only

//! How long an op may take.

#![deny(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The budget of firmware that declares none, in microseconds.
static DEFAULT_US: Atomic<u32> = Atomic::new(DEFAULT);

/// The default of that.
pub(crate) const DEFAULT: u32 = 10_000;

/// Sets the budget of firmware that declares none; 0 stands for [`DEFAULT`].
pub(crate) fn set_default(us: u32) {
    let us = if us == 0 { DEFAULT } else { us };
    DEFAULT_US.store(us, Relaxed);
}

/// The budget of firmware that declares `us`; 0 declares none.
pub(super) fn of(us: u32) -> u32 {
    match us {
        0 => DEFAULT_US.load(Relaxed),
        us => us,
    }
}
