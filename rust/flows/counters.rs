// SPDX-License-Identifier: GPL-2.0-only

//! What a flow, or an action of one, has counted as far as the kernel has been told.

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

/// What something has counted, as far as the kernel has been told.
pub(crate) struct Counters {
    /// The firmware generation that last reported.
    generation: Atomic<u32>,
    packets: Counter,
    bytes: Counter,
    drops: Counter,
    last_used_ns: Atomic<u64>,
}

impl Counters {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self {
            generation: Atomic::new(0),
            packets: Counter::new(),
            bytes: Counter::new(),
            drops: Counter::new(),
            last_used_ns: Atomic::new(0),
        }
    }

    /// Takes note of the totals that a firmware generation reports, and returns what is new. Each
    /// packet is returned once, however many report in parallel. Any context.
    pub(crate) fn advance(&self, generation: u32, totals: Totals) -> StatsDelta {
        // The first report of another firmware may start from zero again; a late one of a firmware
        // that has been replaced says nothing that the new one won't.
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

    /// Takes note of what is new by the firmware's own account. Any context.
    pub(crate) fn add(&self, delta: StatsDelta) -> StatsDelta {
        self.packets.add(delta.packets);
        self.bytes.add(delta.bytes);
        self.drops.add(delta.drops);
        if delta.last_used_ns > self.last_used_ns.load(Relaxed) {
            self.last_used_ns.store(delta.last_used_ns, Relaxed);
        }
        delta
    }

    /// What the kernel has been told so far.
    pub(crate) fn reported(&self) -> Totals {
        Totals {
            packets: self.packets.reported(),
            bytes: self.bytes.reported(),
            drops: self.drops.reported(),
            last_used_ns: self.last_used_ns.load(Relaxed),
        }
    }
}
