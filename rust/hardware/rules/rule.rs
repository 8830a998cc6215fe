// SPDX-License-Identifier: GPL-2.0-only

//! One rule: what it matches, what it does, what it has counted.

#![deny(unsafe_code)]

use super::{
    policer::Share,
    ranges,
    subtable::Subtable,
    target::Target, //
};
use crate::{
    abstractions::{
        net::packet::Size,
        stopwatch,
        tc::flow_action::{
            Change,
            Edit, //
        },
    },
    contract::stats::Totals,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// What an action does.
pub(super) enum Step {
    Pass,
    Drop,
    Trap,
    Goto(u32),
    Redirect(Arc<Target>),
    Mirror(Arc<Target>),
    Change(Change),
    /// The keys of one pedit.
    Edit(KVec<Edit>),
    /// Limits what passes: its verdict depends on when a packet comes.
    Police(Share),
}

impl Step {
    /// Whether it changes the packet.
    pub(super) fn changes(&self) -> bool {
        matches!(self, Self::Change(_) | Self::Edit(_))
    }
}

/// Packets, their bytes, and how many of them were dropped.
struct Counters([Atomic<u64>; 3]);

impl Counters {
    const fn new() -> Self {
        Self([const { Atomic::new(0) }; 3])
    }
}

/// An action.
pub(super) struct Action {
    /// The kernel's key of it.
    cookie: usize,
    pub(super) step: Step,
    /// Whether the packet passes after it, so that actions behind it are never executed.
    pub(super) passes: bool,
    counters: Counters,
}

impl Action {
    pub(super) fn new(cookie: usize, step: Step, passes: bool) -> Self {
        Self {
            cookie,
            step,
            passes,
            counters: Counters::new(),
        }
    }

    /// Whether it is a pedit that both sets and adds: `tcf_pedit_offload_act_setup()`.
    pub(super) fn is_mixed(&self) -> bool {
        match &self.step {
            Step::Edit(edits) => edits
                .iter()
                .any(|edit| Some(edit.add) != edits.first().map(|first| first.add)),
            _ => false,
        }
    }

    /// The kernel's key of it.
    pub(super) fn cookie(&self) -> usize {
        self.cookie
    }
}

/// It matches nothing yet.
const INACTIVE: u32 = 0;
const ACTIVE: u32 = 1;
/// It was withdrawn.
const GONE: u32 = 2;

/// A rule of a table.
pub(super) struct Rule {
    subtable: Arc<Subtable>,
    /// What the packet has under the subtable's mask.
    key: KVec<u64>,
    /// Its share in a range of the subtable, if that has ranges.
    pub(super) range: Option<ranges::Share>,
    pub(super) skip_sw: bool,
    /// Whether a packet that meets it may end with the CPU as it was before.
    pub(super) keeps_original: bool,
    pub(super) actions: KVec<Action>,
    state: Atomic<u32>,
    /// When a packet was executed last, in `CLOCK_MONOTONIC` nanoseconds, or 0.
    last_used_ns: Atomic<u64>,
}

impl Rule {
    /// A rule that matches nothing yet. `subtable` counts it already, see
    /// [`RuleTable::reserve`](super::table::RuleTable::reserve).
    pub(super) fn new(
        subtable: Arc<Subtable>,
        key: KVec<u64>,
        range: Option<ranges::Share>,
        skip_sw: bool,
        actions: KVec<Action>,
    ) -> Self {
        let mut changed = false;
        let ends_in_device = actions
            .iter()
            .find(|action| {
                changed |= action.step.changes();
                action.passes
                    || match action.step {
                        Step::Pass
                        | Step::Drop
                        | Step::Trap
                        | Step::Goto(_)
                        | Step::Redirect(_) => true,
                        // It may pass there.
                        Step::Police(_) => changed,
                        Step::Mirror(_) | Step::Change(_) | Step::Edit(_) => false,
                    }
            })
            .is_some_and(|action| matches!(action.step, Step::Drop | Step::Redirect(_)));
        let goes_on = actions
            .iter()
            .any(|action| matches!(action.step, Step::Goto(_) | Step::Trap));
        Self {
            subtable,
            key,
            range,
            skip_sw,
            keeps_original: !ends_in_device && (!skip_sw || goes_on),
            actions,
            state: Atomic::new(INACTIVE),
            last_used_ns: Atomic::new(0),
        }
    }

    /// Whether it is what a packet with this key meets in a subtable.
    #[inline]
    pub(super) fn matches(&self, subtable: u64, key: &[u64]) -> bool {
        self.subtable.id == subtable && *self.key == *key && self.state.load(Acquire) == ACTIVE
    }

    /// Packets match it from now on, unless it was withdrawn.
    pub(super) fn activate(&self) {
        let _ = self.state.cmpxchg(INACTIVE, ACTIVE, Full);
    }

    /// Whether packets match it.
    pub(super) fn is_active(&self) -> bool {
        self.state.load(Acquire) == ACTIVE
    }

    /// No packet matches it any more; returns whether it was so before.
    pub(super) fn withdraw(&self) -> bool {
        let was_gone = self.state.xchg(GONE, Full) == GONE;
        if !was_gone {
            self.subtable.release();
            if let Some(range) = &self.range {
                range.release();
            }
            for action in self.actions.iter() {
                if let Step::Police(share) = &action.step {
                    share.release();
                }
            }
        }
        was_gone
    }

    /// Counts a packet that its first `executed` actions were executed on, for the last of which it
    /// makes so many drops.
    pub(super) fn count(&self, size: Size, executed: usize, dropped: u32) {
        let mut rest = executed;
        for action in self.actions.iter().take(executed) {
            let [packets, bytes, drops] = &action.counters.0;
            packets.add(u64::from(size.packets), Relaxed);
            bytes.add(u64::from(size.bytes), Relaxed);
            rest -= 1;
            if rest == 0 && dropped != 0 {
                drops.add(u64::from(dropped), Relaxed);
            }
        }
        self.last_used_ns.store(stopwatch::coarse_ns(), Relaxed);
    }
}

impl Rule {
    /// What one of its actions has counted; zeros without one.
    pub(super) fn totals(&self, action: Option<&Action>) -> Totals {
        let count = |n: usize| {
            action
                .and_then(|action| action.counters.0.get(n))
                .map_or(0, |counter| counter.load(Relaxed))
        };
        Totals {
            packets: count(0),
            bytes: count(1),
            drops: count(2),
            last_used_ns: self.last_used_ns.load(Relaxed),
        }
    }
}
