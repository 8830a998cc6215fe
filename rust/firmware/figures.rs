// SPDX-License-Identifier: GPL-2.0-only

//! How often ops were called, and how they went.

#![deny(unsafe_code)]

use crate::contract::op::Op;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The figures of one firmware.
pub(crate) struct Figures {
    calls: [Atomic<u64>; Op::COUNT],
    refused: Atomic<u64>,
    violations: Atomic<u64>,
    longest_us: Atomic<u64>,
}

impl Figures {
    /// All zero.
    pub(super) fn new() -> Self {
        Self {
            calls: core::array::from_fn(|_| Atomic::new(0)),
            refused: Atomic::new(0),
            violations: Atomic::new(0),
            longest_us: Atomic::new(0),
        }
    }

    /// An op is called, or would be but for a fault or for the firmware's end.
    pub(super) fn call(&self, op: Op) {
        self.calls[op as usize].add(1, Relaxed);
    }

    /// How often that was.
    pub(crate) fn calls(&self, op: Op) -> u64 {
        self.calls[op as usize].load(Relaxed)
    }

    /// A flow is refused.
    pub(super) fn refuse(&self) {
        self.refused.add(1, Relaxed);
    }

    /// How many flows were.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The firmware broke the contract.
    pub(super) fn violate(&self) {
        self.violations.add(1, Relaxed);
    }

    /// How often it did.
    pub(crate) fn violations(&self) -> u64 {
        self.violations.load(Relaxed)
    }

    /// An op took so many microseconds.
    pub(super) fn took(&self, us: u64) {
        if us > self.longest_us.load(Relaxed) {
            // Of several in parallel one may be lost: the figure is for people.
            self.longest_us.store(us, Relaxed);
        }
    }

    /// The longest that an op took, in microseconds.
    pub(crate) fn longest_us(&self) -> u64 {
        self.longest_us.load(Relaxed)
    }
}
