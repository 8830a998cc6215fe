// SPDX-License-Identifier: GPL-2.0-only

//! Counters of ops and their results.

#![deny(unsafe_code)]

use crate::{
    abstractions::sync::cache::SplitCounters,
    contract::ops::Op, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The counters of one firmware.
pub(crate) struct Figures {
    /// Written by each request, while all else of a firmware is only read.
    calls: SplitCounters<{ Op::COUNT }>,
    refused: Atomic<u64>,
    violations: Atomic<u64>,
    longest_ns: Atomic<u64>,
}

impl Figures {
    /// All zero. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            calls: SplitCounters::new()?,
            refused: Atomic::new(0),
            violations: Atomic::new(0),
            longest_ns: Atomic::new(0),
        })
    }

    /// Counts a call of an op, also one that a fault or the firmware's end prevents.
    pub(super) fn call(&self, op: Op) {
        self.calls.increment(op as usize);
    }

    /// The number of calls of an op.
    pub(crate) fn calls(&self, op: Op) -> u64 {
        self.calls.sum(op as usize)
    }

    /// Counts a refused flow.
    pub(super) fn refuse(&self) {
        self.refused.add(1, Relaxed);
    }

    /// The number of refused flows.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Counts a violation of the contract.
    pub(super) fn violate(&self) {
        self.violations.add(1, Relaxed);
    }

    /// The number of violations.
    pub(crate) fn violations(&self) -> u64 {
        self.violations.load(Relaxed)
    }

    /// Records that an op took so long.
    pub(super) fn took(&self, ns: u64) {
        if ns > self.longest_ns() {
            // Not exact when ops run in parallel: the figure is for people.
            self.longest_ns.store(ns, Relaxed);
        }
    }

    /// The longest that an op took.
    #[inline]
    pub(super) fn longest_ns(&self) -> u64 {
        self.longest_ns.load(Relaxed)
    }

    /// The longest that an op took, in microseconds.
    pub(crate) fn longest_us(&self) -> u64 {
        self.longest_ns() / 1000
    }
}
