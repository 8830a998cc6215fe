// SPDX-License-Identifier: GPL-2.0-only

//! The counters of a flow, or of one of its actions, as far as the kernel was told.

#![deny(unsafe_code)]

use crate::{
    abstractions::tc::flow_offload::StatsDelta,
    contract::stats::Totals,
    flows::counter::Counter, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Counters, as far as the kernel was told.
pub(crate) struct Counters {
    /// The firmware generation that last reported.
    generation: Atomic<u32>,
    packets: Counter,
    bytes: Counter,
    drops: Counter,
    last_used_ns: Atomic<u64>,
}

impl Counters {
    /// All zero.
    pub(super) const fn new() -> Self {
        Self {
            generation: Atomic::new(0),
            packets: Counter::new(),
            bytes: Counter::new(),
            drops: Counter::new(),
            last_used_ns: Atomic::new(0),
        }
    }

    /// Records the totals that a firmware generation reports, and returns the delta. Each packet is
    /// in exactly one delta, also if several report in parallel. Any context.
    pub(crate) fn advance(&self, generation: u32, totals: Totals) -> StatsDelta {
        // The first report of new firmware may count from zero. A late report of firmware that was
        // replaced is ignored.
        let seen = self.generation.load(Relaxed);
        if generation < seen {
            return StatsDelta::default();
        }
        let restarted = generation > seen
            && self.generation.cmpxchg(seen, generation, Relaxed).is_ok()
            && seen != 0;
        let last = self.last_used_ns.load(Relaxed);
        if totals.last_used_ns > last {
            self.last_used_ns.store(totals.last_used_ns, Relaxed);
        }
        StatsDelta {
            packets: self.packets.advance(totals.packets, restarted),
            bytes: self.bytes.advance(totals.bytes, restarted),
            drops: self.drops.advance(totals.drops, restarted),
            last_used_ns: totals.last_used_ns,
        }
    }

    /// Records a delta that firmware reports. Any context.
    pub(crate) fn add(&self, delta: StatsDelta) -> StatsDelta {
        self.packets.add(delta.packets);
        self.bytes.add(delta.bytes);
        self.drops.add(delta.drops);
        if delta.last_used_ns > self.last_used_ns.load(Relaxed) {
            self.last_used_ns.store(delta.last_used_ns, Relaxed);
        }
        delta
    }

    /// What the kernel was told so far.
    pub(crate) fn reported(&self) -> Totals {
        Totals {
            packets: self.packets.reported(),
            bytes: self.bytes.reported(),
            drops: self.drops.reported(),
            last_used_ns: self.last_used_ns.load(Relaxed),
        }
    }
}
