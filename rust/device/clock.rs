// SPDX-License-Identifier: GPL-2.0-only

//! The PTP clock of devices of kind `ekho`.

#![deny(unsafe_code)]

use crate::abstractions::net::ptp::SoftClock;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The number of the clock, beyond `i32` if there is none.
static CLOCK: Atomic<u32> = Atomic::new(u32::MAX);

/// The PTP clock that all devices of kind `ekho` share, as the ports of one switch do. Without a
/// clock the kernel doesn't request the offload of taprio.
#[pin_data]
pub(crate) struct Clock {
    #[pin]
    clock: SoftClock,
}

impl Clock {
    /// Registers it; must be dropped after the last device. Process context.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            clock <- SoftClock::new(c"ekho", module),
            _: {
                let index = clock.index().and_then(|index| u32::try_from(index).ok());
                CLOCK.store(index.unwrap_or(u32::MAX), Relaxed);
            },
        } ? Error)
    }
}

/// The number of the clock, if there is one.
pub(super) fn index() -> Option<i32> {
    i32::try_from(CLOCK.load(Relaxed)).ok()
}
