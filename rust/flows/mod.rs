// SPDX-License-Identifier: GPL-2.0-only

//! Flows: what a device's firmware has accepted, by cookie, with what the kernel has been told
//! that they counted.
//!
//! A flow is born before the firmware is asked, so that nothing can fail after the firmware has
//! said yes, and dies with the first DESTROY, or with a refusal. Readers find flows under RCU.

#![deny(unsafe_code)]

pub(crate) mod counter;

use crate::abstractions::{
    cookie_table::CookieTable,
    flow_offload::StatsDelta, //
};
use counter::Counter;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The flows of one device.
pub(crate) type FlowTable = CookieTable<Flow>;

/// What a flow has counted since it was accepted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Packets that were dropped.
    pub(crate) drops: u64,
    /// Time of the last packet in `CLOCK_MONOTONIC` nanoseconds; 0 if not known.
    pub(crate) last_used_ns: u64,
}

/// Where a filter stands among others.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// Chain.
    pub(crate) chain_index: u32,
    /// Preference; lower goes first.
    pub(crate) prio: u32,
    /// EtherType that it is bound to.
    pub(crate) protocol: u16,
    /// Whether it must be in hardware.
    pub(crate) skip_sw: bool,
}

/// One flow.
pub(crate) struct Flow {
    pub(crate) cookie: u64,
    pub(crate) position: Position,
    /// The user wants no statistics.
    pub(crate) stats_disabled: bool,
    /// The firmware generation that last reported.
    generation: Atomic<u32>,
    /// How often the kernel has asked for statistics.
    polls: Atomic<u64>,
    packets: Counter,
    bytes: Counter,
    drops: Counter,
    last_used_ns: Atomic<u64>,
    /// Match and actions, as `flow_rule::text` encodes them.
    rule: KVec<u8>,
}

impl Flow {
    /// A flow that has counted nothing yet. May sleep.
    pub(crate) fn new(
        cookie: u64,
        position: Position,
        stats_disabled: bool,
        rule: &[u8],
    ) -> Result<Self> {
        let mut copy = KVec::with_capacity(rule.len(), GFP_KERNEL)?;
        copy.extend_from_slice(rule, GFP_KERNEL)?;
        Ok(Self {
            cookie,
            position,
            stats_disabled,
            generation: Atomic::new(0),
            polls: Atomic::new(0),
            packets: Counter::new(),
            bytes: Counter::new(),
            drops: Counter::new(),
            last_used_ns: Atomic::new(0),
            rule: copy,
        })
    }

    /// The kernel asks for statistics. Any context.
    pub(crate) fn poll(&self) {
        self.polls.add(1, Relaxed);
    }

    /// How often it did.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    /// Match and actions, as `flow_rule::text` encodes them.
    pub(crate) fn rule(&self) -> &[u8] {
        &self.rule
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
