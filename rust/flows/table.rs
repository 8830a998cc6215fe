// SPDX-License-Identifier: GPL-2.0-only

//! The table of a device's flows by cookie, and its occupancy.
//!
//! If the firmware counts the actions of a flow one by one, each action has a [`Part`], by the
//! cookie of the action, which is removed with the flow.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        compat::smp_mb,
        sync::{
            cache::CacheAligned,
            cookie_table::{
                CookieTable,
                Entry, //
            },
        },
        tc::flow_offload::WholeStats, //
    },
    contract::flow::Classifier,
    flows::{
        flow::{
            Flow,
            Part,
            Record, //
        },
        CALLBACKS, //
    },
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu, //
    },
};

/// The flows of one device.
#[pin_data]
pub(crate) struct Flows {
    #[pin]
    flows: CookieTable<Record>,
    #[pin]
    parts: CookieTable<Part>,
    written: CacheAligned<Written>,
}

/// What each request writes.
struct Written {
    /// The number of flows that occupy an entry of the device's table: all but shared actions.
    occupied: Atomic<u32>,
    /// How often a flow was accepted, or removed.
    changes: Atomic<u64>,
}

impl Flows {
    /// An empty table.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            flows <- CookieTable::new(CALLBACKS),
            parts <- CookieTable::new(CALLBACKS),
            written: CacheAligned(Written {
                occupied: Atomic::new(0),
                changes: Atomic::new(0),
            }),
        } ? Error)
    }

    /// Finds a flow. Any context.
    pub(crate) fn get<'a>(&'a self, cookie: usize, guard: &'a rcu::Guard) -> Option<&'a Flow> {
        self.flows.get(cookie, guard)
    }

    /// Finds a part by the cookie of its action. Any context.
    pub(crate) fn get_part<'a>(
        &'a self,
        action: usize,
        guard: &'a rcu::Guard,
    ) -> Option<&'a Entry<Part>> {
        self.parts.get(action, guard)
    }

    /// Adds what other devices counted to each part of a flow, to be reported with it; false if the
    /// flow has no parts. Any context.
    pub(crate) fn carry(&self, cookie: usize, whole: WholeStats, guard: &rcu::Guard) -> bool {
        let Some(flow) = self
            .flows
            .get(cookie, guard)
            .filter(|flow| flow.has_parts())
        else {
            return false;
        };
        for &action in flow.actions() {
            if let Some(part) = self.parts.get(action as usize, guard) {
                part.carry(whole);
            }
        }
        true
    }

    /// The number of flows.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// The number of actions that are counted one by one: of parts.
    pub(crate) fn action_counters(&self) -> usize {
        self.parts.len()
    }

    /// Calls `f` with each flow. Process context; `f` must not sleep. Flows that are added or
    /// removed meanwhile may be left out.
    pub(crate) fn for_each<E>(&self, f: impl FnMut(&Flow) -> Result<(), E>) -> Result<(), E> {
        self.flows.for_each(f)
    }

    /// The cookies of all flows: see [`CookieTable::cookies`].
    pub(crate) fn cookies(&self) -> Result<KVVec<usize>> {
        self.flows.cookies()
    }

    /// The firmware has accepted a flow, and counts it in this way.
    pub(crate) fn accept(&self, flow: &Flow, hw_stats: u32) {
        flow.accept(hw_stats);
        self.written.changes.fetch_add(1, Full);
    }

    /// How often a flow was accepted or removed so far. If it is the same before and after the flows
    /// are read, they are those of one moment.
    pub(crate) fn changes(&self) -> u64 {
        self.written.changes.fetch_add(0, Full)
    }

    /// Adds a flow; fails with [`ENOSPC`] if `max` entries are occupied, or with [`EEXIST`].
    /// Doesn't sleep.
    pub(crate) fn insert<'a>(
        &'a self,
        flow: KBox<Flow>,
        max: Option<u32>,
        guard: &'a rcu::Guard,
    ) -> Result<&'a Flow> {
        let takes_place = flow.position.classifier != Classifier::Action;
        if takes_place {
            self.occupy(max)?;
        }
        self.flows.insert(flow, guard).inspect_err(|_| {
            if takes_place {
                self.vacate();
            }
        })
    }

    /// Adds a part for each action of a flow, given their cookies. May sleep.
    ///
    /// An action that several flows share is counted with the last of them: when a filter is
    /// changed, the new flow is added before the old one is destroyed.
    pub(crate) fn add_parts(&self, flow: usize, actions: impl Iterator<Item = u64>) -> Result {
        let mut cookies = KBox::new(KVec::new(), GFP_KERNEL)?;
        let result = actions
            .filter(|&action| action != 0)
            .try_for_each(|action| {
                // An action of several entries has the same cookie in each, in a row.
                if cookies.last() == Some(&action) {
                    return Ok(());
                }
                cookies.push(action, GFP_KERNEL)?;
                let entry = Entry::alloc(action as usize, Part::new(flow), GFP_KERNEL)?;
                let guard = rcu::read_lock();
                self.parts.remove(action as usize, &guard);
                match self.parts.insert(entry, &guard) {
                    // Another flow has added it in the meantime.
                    Err(error) if error != EEXIST => Err(error),
                    _ => Ok(()),
                }
            });
        let guard = rcu::read_lock();
        if result.is_err() {
            self.remove_parts(flow, &cookies, &guard);
            return result;
        }
        let Some(found) = self.flows.get(flow, &guard) else {
            self.remove_parts(flow, &cookies, &guard);
            return Err(ENOENT);
        };
        found.set_actions(cookies);
        // Either the one who removes the flow sees the actions, or its removal is seen here.
        smp_mb();
        if self.flows.get(flow, &guard).is_none() {
            self.remove_parts(flow, found.actions(), &guard);
            return Err(ENOENT);
        }
        Ok(())
    }

    /// Removes the parts of a flow, given the cookies of its actions.
    fn remove_parts(&self, flow: usize, actions: &[u64], guard: &rcu::Guard) {
        for &action in actions {
            self.parts
                .remove_if(action as usize, |part| part.flow == flow, guard);
        }
    }

    /// Removes a flow and its parts.
    pub(crate) fn remove<'a>(&'a self, cookie: usize, guard: &'a rcu::Guard) -> Option<&'a Flow> {
        let flow = self.flows.remove(cookie, guard)?;
        self.removed(flow, guard);
        Some(flow)
    }

    /// Removes the flows for which `which` is true, with their parts, and calls `f` with each, in linear
    /// time. Process context; neither function may sleep.
    pub(crate) fn remove_where(
        &self,
        which: impl Fn(&Flow) -> bool,
        f: impl Fn(&Flow, &rcu::Guard),
    ) {
        self.flows.remove_where(which, |flow, guard| {
            self.removed(flow, guard);
            f(flow, guard);
        });
    }

    /// Removes what belongs to a flow that was just removed.
    fn removed(&self, flow: &Flow, guard: &rcu::Guard) {
        // Also orders the removal before what follows: see `add_parts`.
        self.written.changes.fetch_add(1, Full);
        if let Some(programmed) = flow.programmed() {
            programmed.withdraw();
        }
        self.remove_parts(flow.cookie(), flow.actions(), guard);
        if flow.position.classifier != Classifier::Action {
            self.vacate();
        }
    }

    /// The number of occupied entries of the device's table.
    pub(crate) fn table_entries(&self) -> u32 {
        self.written.occupied.load(Relaxed)
    }

    fn occupy(&self, max: Option<u32>) -> Result {
        let Some(max) = max else {
            self.written.occupied.add(1, Relaxed);
            return Ok(());
        };
        let mut n = self.written.occupied.load(Relaxed);
        loop {
            if n >= max {
                return Err(ENOSPC);
            }
            match self.written.occupied.cmpxchg(n, n.wrapping_add(1), Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => n = now,
            }
        }
    }

    fn vacate(&self) {
        self.written.occupied.add(u32::MAX, Relaxed);
    }
}
