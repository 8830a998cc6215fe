// SPDX-License-Identifier: GPL-2.0-only

//! The counters of a flow, or of one of its actions, as far as the kernel was told.

#![deny(unsafe_code)]

use crate::{
    abstractions::tc::flow_offload::StatsDelta,
    contract::stats::Totals,
    flows::delta::{
        Base,
        Counter, //
    },
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

/// Counters, as far as the kernel was told.
pub(crate) struct Counters {
    /// The firmware generation whose totals were last recorded, times two; plus [`BUSY`] while that
    /// is being done.
    generation: Atomic<u32>,
    /// The map that totals were last of, or 0.
    map: Atomic<u32>,
    packets: Counter,
    bytes: Counter,
    drops: Counter,
    last_used_ns: Atomic<u64>,
}

/// See [`Counters::generation`].
const BUSY: u32 = 1;

impl Counters {
    /// All zero.
    pub(super) const fn new() -> Self {
        Self {
            generation: Atomic::new(0),
            map: Atomic::new(0),
            packets: Counter::new(),
            bytes: Counter::new(),
            drops: Counter::new(),
            last_used_ns: Atomic::new(0),
        }
    }

    /// Records the totals that a firmware generation reports of a map (its id, or 0 for none), and
    /// returns the delta.
    ///
    /// Each packet is in exactly one delta, also if several report in parallel: one report is
    /// recorded, and what the others have more is in the delta of the next. So this never waits,
    /// and may be called in any context, also by an interrupt in the middle of it. A late report of
    /// firmware that was replaced is ignored.
    pub(crate) fn advance(&self, generation: u32, map: u32, totals: Totals) -> StatsDelta {
        let own = generation << 1;
        let seen = self.generation.load(Relaxed);
        if seen & BUSY != 0
            || own < seen
            || self.generation.cmpxchg(seen, own | BUSY, Acquire).is_err()
        {
            return StatsDelta::default();
        }
        let base = Base::of(self.map.load(Relaxed), map);
        if base == Base::NewMap {
            self.map.store(map, Relaxed);
        }
        let delta = StatsDelta {
            packets: self.packets.advance(totals.packets, base),
            bytes: self.bytes.advance(totals.bytes, base),
            drops: self.drops.advance(totals.drops, base),
            last_used_ns: totals.last_used_ns,
        };
        self.used(totals.last_used_ns);
        self.generation.store(own, Release);
        delta
    }

    /// Records a delta that firmware reports. Any context.
    pub(crate) fn add(&self, delta: StatsDelta) -> StatsDelta {
        self.packets.add(delta.packets);
        self.bytes.add(delta.bytes);
        self.drops.add(delta.drops);
        self.used(delta.last_used_ns);
        delta
    }

    fn used(&self, time_ns: u64) {
        if time_ns > self.last_used_ns.load(Relaxed) {
            self.last_used_ns.store(time_ns, Relaxed);
        }
    }

    /// What the kernel was told so far: the sum of all deltas.
    pub(crate) fn reported(&self) -> Totals {
        Totals {
            packets: self.packets.told(),
            bytes: self.bytes.told(),
            drops: self.drops.told(),
            last_used_ns: self.last_used_ns.load(Relaxed),
        }
    }
}
