// SPDX-License-Identifier: GPL-2.0-only

//! What a port counts beyond what each netdev does: `ethtool -S`.

#![deny(unsafe_code)]

use crate::abstractions::sync::cache::{
    CacheAligned,
    SplitCounters, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

macro_rules! reasons {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// Why a frame didn't arrive, or what became of it.
        #[derive(Clone, Copy)]
        pub(super) enum Reason {
            $(#[doc = $doc] $variant,)*
        }

        impl Reason {
            const NAMES: &'static [&'static str] = &[$($name,)*];
        }
    };
}

reasons! {
    TxUncabled "tx_uncabled" "Sent by a port that never had a cable: counted as transmitted.",
    TxNoCarrier "tx_no_carrier" "Not sent, as the cable was just pulled.",
    TxTooShort "tx_too_short" "Not sent, as it is shorter than an Ethernet header.",
    TxNoMemory "tx_no_memory" "Not sent, for lack of memory.",
    RxClosed "rx_closed" "Arrived, and was not received before the port was set down.",
    RxNoMemory "rx_no_memory" "Not received, for lack of memory.",
    RxTooLong "rx_too_long" "Longer than the port's MTU allows.",
    RxRingFull "rx_ring_full" "The receive queue had no place.",
    RuleDrop "rule_drop" "Dropped by a rule, in either direction.",
    RuleNoTarget "rule_no_target" "Redirected to a device that is down, has no carrier, or has gone.",
    RuleNoMemory "rule_no_memory" "Lost, as there was no memory for a copy before a rule changes it.",
    RuleLoop "rule_loop" "Redirected too often, from port to port.",
}

/// The frames and bytes of a queue.
type Queue = CacheAligned<[Atomic<u64>; 2]>;

/// The figures of a port.
pub(super) struct Figures {
    reasons: SplitCounters<{ Reason::NAMES.len() }>,
    tx: KVec<Queue>,
    rx: KVec<Queue>,
}

/// Counters for so many queues.
fn queues(n: u32) -> Result<KVec<Queue>> {
    let mut queues = KVec::new();
    for _ in 0..n {
        let queue = CacheAligned([Atomic::new(0), Atomic::new(0)]);
        queues.push(queue, GFP_KERNEL)?;
    }
    Ok(queues)
}

fn add(queues: &[Queue], queue: u16, frames: usize, bytes: usize) {
    if let Some(counters) = queues.get(usize::from(queue)) {
        counters[0].add(frames as u64, Relaxed);
        counters[1].add(bytes as u64, Relaxed);
    }
}

impl Figures {
    /// Figures of zero for a port with so many queues. May sleep.
    pub(super) fn new(tx_queues: u32, rx_queues: u32) -> Result<Self> {
        Ok(Self {
            reasons: SplitCounters::new()?,
            tx: queues(tx_queues)?,
            rx: queues(rx_queues)?,
        })
    }

    /// Counts a frame. Any context.
    pub(super) fn count(&self, reason: Reason) {
        self.reasons.increment(reason as usize);
    }

    /// Counts a frame as transmitted.
    #[inline]
    pub(super) fn transmitted(&self, queue: u16, bytes: u32) {
        add(&self.tx, queue, 1, bytes as usize);
    }

    /// Counts frames as received.
    #[inline]
    pub(super) fn received(&self, queue: u16, frames: usize, bytes: usize) {
        add(&self.rx, queue, frames, bytes);
    }

    /// Calls `f` with the name of each figure. Those of queues are called as by other drivers.
    pub(super) fn names(&self, f: &mut dyn FnMut(fmt::Arguments<'_>)) {
        for name in Reason::NAMES {
            f(fmt!("{name}"));
        }
        for (direction, queues) in [("tx", &self.tx), ("rx", &self.rx)] {
            for n in 0..queues.len() {
                for what in ["packets", "bytes"] {
                    f(fmt!("{direction}_queue_{n}_{what}"));
                }
            }
        }
    }

    /// Calls `f` with each figure, in the same order.
    pub(super) fn values(&self, f: &mut dyn FnMut(u64)) {
        for n in 0..Reason::NAMES.len() {
            f(self.reasons.sum(n));
        }
        for counter in [&self.tx, &self.rx]
            .into_iter()
            .flatten()
            .flat_map(|queue| &**queue)
        {
            f(counter.load(Relaxed));
        }
    }
}
