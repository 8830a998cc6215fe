// SPDX-License-Identifier: GPL-2.0-only

//! One flow.
//!
//! A flow is one allocation of 184 bytes, in a slab cache, that ends with the encoded rule. A long rule, or private
//! memory of the firmware, is a second allocation.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        slab::SlabCache,
        sync::{
            cookie_table::Entry,
            once_box::OnceBox, //
        },
        tc::flow_offload::WholeStats, //
    },
    contract::flow::{
        FlowArg,
        Position, //
    },
    flows::{
        counters::Counters,
        encoded::{
            copy_long,
            Encoded, //
        },
        programmed::Programmed,
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

const _: () = assert!(size_of::<Flow>() == 184);

/// The memory of flows.
static CACHE: SlabCache<Flow> = SlabCache::new(c"ekho_flow");

/// To be called before all else here, when the module is initialised. Process context.
pub(super) fn init() -> Result {
    CACHE.create()
}

/// To be called last, when the module is removed. Process context.
///
/// # Safety
///
/// There must be no flows any more, those included that wait for the end of a grace period.
#[expect(unsafe_code)]
pub(super) unsafe fn end() {
    // SAFETY: By the requirements of this function.
    unsafe { CACHE.destroy() };
}

/// What was counted elsewhere, and the kernel hasn't been told yet.
struct Carried([Atomic<u64>; 4]);

impl Carried {
    /// Nothing.
    const fn new() -> Self {
        Self([const { Atomic::new(0) }; 4])
    }

    /// Adds to it.
    fn add(&self, whole: WholeStats) {
        let [packets, bytes, drops, last_used] = &self.0;
        packets.add(whole.packets, Relaxed);
        bytes.add(whole.bytes, Relaxed);
        drops.add(whole.drops, Relaxed);
        last_used.store(whole.last_used, Relaxed);
    }

    /// Returns what there is, once.
    fn take(&self) -> Option<WholeStats> {
        let [packets, bytes, drops, last_used] = &self.0;
        // The common case.
        if packets.load(Relaxed) | bytes.load(Relaxed) | drops.load(Relaxed) == 0 {
            return None;
        }
        Some(WholeStats {
            packets: packets.xchg(0, Relaxed),
            bytes: bytes.xchg(0, Relaxed),
            drops: drops.xchg(0, Relaxed),
            last_used: last_used.load(Relaxed),
        })
    }
}

/// An action of a flow that is counted separately.
pub(crate) struct Part {
    /// The cookie of its flow.
    pub(crate) flow: usize,
    pub(crate) counters: Counters,
    /// What other devices counted for the flow, and the kernel hasn't been told yet.
    carried: Carried,
}

impl Part {
    /// A part with counters of zero.
    pub(crate) const fn new(flow: usize) -> Self {
        Self {
            flow,
            counters: Counters::new(),
            carried: Carried::new(),
        }
    }

    /// Adds what another device counted, to be reported with the next request. Any context.
    pub(super) fn carry(&self, whole: WholeStats) {
        self.carried.add(whole);
    }

    /// Returns what other devices counted, once. Any context.
    pub(crate) fn take_carried(&self) -> Option<WholeStats> {
        self.carried.take()
    }
}

/// What only few flows have.
struct Rest {
    /// The encoded rule, if there is no room for it in the flow.
    rule: KVec<u8>,
    /// The firmware's private memory.
    data: KVec<Atomic<u64>>,
    /// What a flow with the same cookie had counted that this one has replaced.
    carried: Carried,
    /// What executes it.
    programmed: Option<KBox<dyn Programmed>>,
}

impl Rest {
    /// For a flow whose rule is long.
    #[cold]
    fn of(rule: &[u8]) -> Result<KBox<Self>> {
        let rest = Self {
            rule: copy_long(rule)?,
            data: KVec::new(),
            carried: Carried::new(),
            programmed: None,
        };
        Ok(KBox::new(rest, GFP_KERNEL)?)
    }
}

/// What is known of a flow, but for its cookie.
pub(crate) struct Record {
    pub(crate) position: Position,
    /// What it ends with, by address: a binding, or the connections of a zone. For a shared action an
    /// odd number, which tells it from others that have had its cookie.
    pub(crate) owner: usize,
    /// How it is counted: one bit of `enum ekho_hw_stats`; 0 until the firmware has accepted it.
    hw_stats: Atomic<u32>,
    /// The cookies of its actions, if they are counted one by one.
    actions: OnceBox<KVec<u64>>,
    /// How often the kernel has asked for statistics.
    stats_requests: Atomic<u32>,
    pub(crate) counters: Counters,
    rest: Option<KBox<Rest>>,
    rule: Encoded,
}

/// One flow.
pub(crate) type Flow = Entry<Record>;

impl Flow {
    /// A flow with counters of zero, without memory for the firmware; `rule` is encoded. May sleep.
    pub(crate) fn of_rule(
        cookie: usize,
        position: Position,
        owner: usize,
        rule: &[u8],
    ) -> Result<KBox<Self>> {
        let encoded = Encoded::new(rule);
        let rest = match encoded.bytes() {
            None if !rule.is_empty() => Some(Rest::of(rule)?),
            _ => None,
        };
        let record = init!(Record {
            position,
            owner,
            hw_stats: Atomic::new(0),
            actions: OnceBox::new(),
            stats_requests: Atomic::new(0),
            counters: Counters::new(),
            rest,
            rule: encoded,
        });
        Self::alloc_in(&CACHE, cookie, record)
    }

    /// What an op is told of the flow.
    pub(crate) fn arg(&self) -> FlowArg<'_> {
        FlowArg {
            cookie: self.cookie() as u64,
            position: &self.position,
            data: self.data(),
        }
    }
}

impl Record {
    /// Whether it has `size` bytes of private memory for the firmware.
    pub(crate) fn has_data(&self, size: usize) -> bool {
        self.data().len() == size.div_ceil(size_of::<u64>())
    }

    /// Allocates `size` bytes of private memory for the firmware. May sleep.
    #[cold]
    pub(crate) fn set_data(&mut self, size: usize) -> Result {
        let words = size.div_ceil(size_of::<u64>());
        let mut data = KVec::with_capacity(words, GFP_KERNEL)?;
        for _ in 0..words {
            data.push(Atomic::new(0), GFP_KERNEL)?;
        }
        self.make_rest()?.data = data;
        Ok(())
    }

    fn make_rest(&mut self) -> Result<&mut Rest> {
        if self.rest.is_none() {
            let rest = Rest {
                rule: KVec::new(),
                data: KVec::new(),
                carried: Carried::new(),
                programmed: None,
            };
            self.rest = Some(KBox::new(rest, GFP_KERNEL)?);
        }
        self.rest.as_deref_mut().ok_or(ENOMEM)
    }

    /// Adds what a flow had counted that this one replaces, to be reported with the next request. May
    /// sleep.
    #[cold]
    pub(crate) fn carry(&mut self, whole: WholeStats) -> Result {
        self.make_rest()?.carried.add(whole);
        Ok(())
    }

    /// Returns that, once. Any context.
    pub(crate) fn take_carried(&self) -> Option<WholeStats> {
        self.rest.as_ref()?.carried.take()
    }

    /// Sets what executes it. May sleep.
    pub(crate) fn set_programmed(&mut self, programmed: KBox<dyn Programmed>) -> Result {
        self.make_rest()?.programmed = Some(programmed);
        Ok(())
    }

    /// What executes it, or will once it is activated.
    pub(crate) fn programmed(&self) -> Option<&dyn Programmed> {
        self.rest.as_ref()?.programmed.as_deref()
    }

    /// The firmware's private memory.
    pub(crate) fn data(&self) -> &[Atomic<u64>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.data)
    }

    /// How it is counted.
    pub(crate) fn hw_stats(&self) -> u32 {
        self.hw_stats.load(Relaxed)
    }

    /// Whether the firmware has accepted it.
    pub(crate) fn is_accepted(&self) -> bool {
        self.hw_stats() != 0
    }

    /// The firmware has accepted it, and counts it in this way.
    pub(super) fn accept(&self, hw_stats: u32) {
        self.hw_stats.store(hw_stats, Relaxed);
    }

    /// Whether its actions are counted one by one.
    pub(crate) fn has_parts(&self) -> bool {
        self.actions.get().is_some()
    }

    /// The cookies of those actions.
    pub(crate) fn actions(&self) -> &[u64] {
        self.actions.get().map_or(&[], |actions| actions)
    }

    /// Its actions, with these cookies, are counted one by one. To be called once.
    pub(crate) fn set_actions(&self, actions: KBox<KVec<u64>>) {
        self.actions.populate(actions);
    }

    /// Counts a request for statistics. Any context.
    pub(crate) fn count_stats_request(&self) {
        self.stats_requests.add(1, Relaxed);
    }

    /// The number of requests for statistics, modulo 2^32.
    pub(crate) fn stats_requests(&self) -> u32 {
        self.stats_requests.load(Relaxed)
    }

    /// Match and actions, encoded.
    pub(crate) fn rule(&self) -> &[u8] {
        match &self.rest {
            Some(rest) if !rest.rule.is_empty() => &rest.rule,
            _ => self.rule.bytes().unwrap_or(&[]),
        }
    }
}
