// SPDX-License-Identifier: GPL-2.0-only

//! Flows: what a device's firmware has accepted, by cookie, with what the kernel has been told
//! that they counted.
//!
//! A flow is born before the firmware is asked, so that nothing can fail after the firmware has
//! said yes, and dies with the first DESTROY, or with a refusal. Readers find flows under RCU.
//!
//! A flow is one allocation of 192 bytes, with what its rule says encoded at the end, unless the
//! rule is long or the firmware wants private memory.
//!
//! If the firmware wants a flow's actions counted one by one, each of them has a [`Part`], by the
//! action's cookie, which dies with the flow.

#![deny(unsafe_code)]

pub(crate) mod counter;

use crate::abstractions::{
    sync::cookie_table::{
        CookieTable,
        Entry, //
    },
    tc::{
        flow_offload::StatsDelta,
        flow_rule::{
            text::Encoder,
            FlowRule, //
        },
    },
};
use counter::Counter;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce, //
    },
};

/// The flows of one device.
pub(crate) type FlowTable = CookieTable<Flow>;

/// The actions of one device that are counted one by one.
pub(crate) type PartTable = CookieTable<Part>;

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

/// Who wants a flow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flower filter of tc.
    Flower,
    /// A matchall filter of tc.
    Matchall,
    /// A node of a u32 filter of tc.
    U32,
    /// A rule in a chain of nftables.
    Nft,
    /// One direction of a connection in a flowtable of nftables.
    Flowtable,
    /// An action that filters share.
    Action,
}

impl Source {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flower => "flower",
            Self::Matchall => "matchall",
            Self::U32 => "u32",
            Self::Nft => "nft",
            Self::Flowtable => "flowtable",
            Self::Action => "action",
        }
    }

    /// Whether its flows stand in a chain and have a preference.
    pub(crate) fn has_place(self) -> bool {
        !matches!(self, Self::Action | Self::Flowtable)
    }
}

impl kernel::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a filter stands among others.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// Who wants it.
    pub(crate) source: Source,
    /// Chain.
    pub(crate) chain_index: u32,
    /// Preference; lower goes first.
    pub(crate) prio: u32,
    /// EtherType that it is bound to.
    pub(crate) protocol: u16,
    /// Whether it must be in hardware.
    pub(crate) skip_sw: bool,
    /// The number of the shared block that it is in, or 0.
    pub(crate) block_index: u32,
    /// Where packets meet it: bits of `enum ekho_hook`.
    pub(crate) hooks: u8,
}

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
    const fn new() -> Self {
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

/// An action of a flow, counted by itself.
pub(crate) struct Part {
    /// The cookie of its flow.
    pub(crate) flow: usize,
    pub(crate) counters: Counters,
}

impl Part {
    /// A part that has counted nothing yet.
    pub(crate) const fn new(flow: usize) -> Self {
        Self {
            flow,
            counters: Counters::new(),
        }
    }
}

/// Bytes that the encoded rule of a flow may take; what is beyond isn't shown.
const RULE_MAX: usize = 512;

/// Those for which there is room in the flow: enough for TCP over IPv4 by addresses and ports.
const RULE_ROOM: usize = 23;

const _: () = assert!(size_of::<Entry<Flow>>() == 192);

/// What a rule says, encoded for a flow that keeps it.
pub(crate) struct Encoded {
    room: [u8; RULE_ROOM],
    /// How much of it is used; 0 if there isn't enough.
    len: u8,
}

impl Encoded {
    /// Of a rule; and what [`FlowRule::read`] returns.
    pub(crate) fn new(rule: &FlowRule<'_>) -> (Self, u64) {
        let mut new = Self {
            room: [0; RULE_ROOM],
            len: 0,
        };
        let mut encoder = Encoder::new(&mut new.room);
        let keys = rule.read(&mut encoder);
        let (encoded, complete) = encoder.finish();
        if complete {
            new.len = encoded.len() as u8;
        }
        (new, keys)
    }
}

/// What few flows have.
struct Rest {
    /// The encoded rule, if there is no room for it in the flow.
    rule: KVec<u8>,
    /// The firmware's private memory.
    data: KVec<Atomic<u64>>,
}

impl Rest {
    /// Of a flow whose rule is long.
    #[cold]
    fn of(rule: &FlowRule<'_>) -> Result<KBox<Self>> {
        let mut room = KBox::new([0; RULE_MAX], GFP_KERNEL)?;
        let mut encoder = Encoder::new(&mut *room);
        rule.read(&mut encoder);
        let (encoded, _complete) = encoder.finish();
        let mut rest = KBox::new(
            Self {
                rule: KVec::new(),
                data: KVec::new(),
            },
            GFP_KERNEL,
        )?;
        rest.rule.extend_from_slice(encoded, GFP_KERNEL)?;
        Ok(rest)
    }
}

/// One flow.
pub(crate) struct Flow {
    pub(crate) cookie: u64,
    pub(crate) position: Position,
    /// What it goes with: the binding of its block, if the kernel doesn't say when flows of the
    /// block end.
    pub(crate) owner: usize,
    /// How it is counted: one bit of `enum ekho_hw_stats`; 0 until the firmware has accepted it.
    hw_stats: Atomic<u32>,
    /// The cookies of its actions, if they are counted one by one.
    actions: SetOnce<KBox<KVec<u64>>>,
    /// How often the kernel has asked for statistics.
    polls: Atomic<u64>,
    pub(crate) counters: Counters,
    rest: Option<KBox<Rest>>,
    rule: Encoded,
}

impl Flow {
    /// A flow that has counted nothing yet, without memory for the firmware. May sleep.
    pub(crate) fn new(
        cookie: u64,
        position: Position,
        owner: usize,
        rule: &FlowRule<'_>,
        encoded: Encoded,
    ) -> Result<KBox<Entry<Self>>> {
        let rest = match encoded.len {
            0 => Some(Rest::of(rule)?),
            _ => None,
        };
        let flow = init!(Self {
            cookie,
            position,
            owner,
            hw_stats: Atomic::new(0),
            actions: SetOnce::new(),
            polls: Atomic::new(0),
            counters: Counters::new(),
            rest,
            rule: encoded,
        });
        Entry::new(cookie as usize, flow, GFP_KERNEL)
    }

    /// Whether the firmware has so many bytes of private memory.
    pub(crate) fn has_data(&self, size: usize) -> bool {
        self.data().len() == size.div_ceil(size_of::<u64>())
    }

    /// Gives the firmware so many bytes of private memory. May sleep.
    #[cold]
    pub(crate) fn set_data(&mut self, size: usize) -> Result {
        let words = size.div_ceil(size_of::<u64>());
        let mut data = KVec::with_capacity(words, GFP_KERNEL)?;
        for _ in 0..words {
            data.push(Atomic::new(0), GFP_KERNEL)?;
        }
        match &mut self.rest {
            Some(rest) => rest.data = data,
            rest => {
                let rule = KVec::new();
                *rest = Some(KBox::new(Rest { rule, data }, GFP_KERNEL)?);
            }
        }
        Ok(())
    }

    /// The firmware's private memory.
    pub(crate) fn data(&self) -> &[Atomic<u64>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.data)
    }

    /// How it is counted.
    pub(crate) fn hw_stats(&self) -> u32 {
        self.hw_stats.load(Relaxed)
    }

    /// The firmware has accepted it, and counts in this way.
    pub(crate) fn accept(&self, hw_stats: u32) {
        self.hw_stats.store(hw_stats, Relaxed);
    }

    /// Whether its actions are counted one by one.
    pub(crate) fn has_parts(&self) -> bool {
        self.actions.as_ref().is_some()
    }

    /// The cookies of those actions.
    pub(crate) fn actions(&self) -> &[u64] {
        self.actions.as_ref().map_or(&[], |actions| actions)
    }

    /// Its actions, with these cookies, are counted one by one; to be called once.
    pub(crate) fn set_actions(&self, actions: KBox<KVec<u64>>) {
        self.actions.populate(actions);
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
        match &self.rest {
            Some(rest) if !rest.rule.is_empty() => &rest.rule,
            _ => self.rule.room.get(..self.rule.len.into()).unwrap_or(&[]),
        }
    }
}
