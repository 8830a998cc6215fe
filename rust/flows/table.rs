// SPDX-License-Identifier: GPL-2.0-only

//! The flows of one device, by cookie, and how many of its places they take.
//!
//! If the firmware wants a flow's actions counted one by one, each of them has a [`Part`], by the
//! action's cookie, which dies with the flow.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        compat::smp_mb,
        sync::cookie_table::{
            CookieTable,
            Entry, //
        },
    },
    contract::flow::Classifier,
    flows::flow::{
        Flow,
        Part, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

/// The flows of one device.
#[pin_data]
pub(crate) struct Flows {
    #[pin]
    flows: CookieTable<Flow>,
    #[pin]
    parts: CookieTable<Part>,
    /// How many of the flows take a place in the device's table: all but shared actions.
    occupied: Atomic<u32>,
}

impl Flows {
    /// No flow.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            flows <- CookieTable::new(),
            parts <- CookieTable::new(),
            occupied: Atomic::new(0),
        } ? Error)
    }

    /// Finds a flow. Any context.
    pub(crate) fn get<'a>(&'a self, cookie: usize, guard: &'a rcu::Guard) -> Option<&'a Flow> {
        self.flows.get(cookie, guard)
    }

    /// Finds a part, by its action's cookie. Any context.
    pub(crate) fn get_part<'a>(&'a self, action: usize, guard: &'a rcu::Guard) -> Option<&'a Part> {
        self.parts.get(action, guard)
    }

    /// How many flows there are.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// How many parts there are.
    pub(crate) fn n_parts(&self) -> usize {
        self.parts.len()
    }

    /// Calls `f` with each flow. Process context; `f` must not sleep, and flows that come or go
    /// meanwhile may be left out.
    pub(crate) fn for_each<E>(&self, f: impl FnMut(&Flow) -> Result<(), E>) -> Result<(), E> {
        self.flows.for_each(f)
    }

    /// Adds a flow; fails with [`ENOSPC`] if its device holds `max` already, or with [`EEXIST`].
    /// Doesn't sleep.
    pub(crate) fn insert<'a>(
        &'a self,
        flow: KBox<Entry<Flow>>,
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

    /// Counts the actions of a flow one by one, from their cookies. May sleep.
    ///
    /// An action that several flows share counts with the last: when a filter is changed, the new
    /// one comes before the old one goes.
    pub(crate) fn add_parts(&self, flow: usize, actions: impl Iterator<Item = u64>) -> Result {
        let mut cookies = KBox::new(KVec::new(), GFP_KERNEL)?;
        let result = actions
            .filter(|&action| action != 0)
            .try_for_each(|action| {
                // An action of several entries has them in a row.
                if cookies.last() == Some(&action) {
                    return Ok(());
                }
                cookies.push(action, GFP_KERNEL)?;
                let entry = Entry::new(action as usize, Part::new(flow), GFP_KERNEL)?;
                let guard = rcu::read_lock();
                self.parts.remove(action as usize, &guard);
                match self.parts.insert(entry, &guard) {
                    // Another flow has come in between.
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
        // Who takes the flow out before this sees the actions, or else is seen here.
        smp_mb();
        if self.flows.get(flow, &guard).is_none() {
            self.remove_parts(flow, found.actions(), &guard);
            return Err(ENOENT);
        }
        Ok(())
    }

    /// Takes those parts out of their table that belong to a flow, of actions with these cookies.
    fn remove_parts(&self, flow: usize, actions: &[u64], guard: &rcu::Guard) {
        for &action in actions {
            self.parts
                .remove_if(action as usize, |part| part.flow == flow, guard);
        }
    }

    /// Takes a flow out of the table, and its parts with it.
    pub(crate) fn remove<'a>(&'a self, cookie: usize, guard: &'a rcu::Guard) -> Option<&'a Flow> {
        let flow = self.flows.remove(cookie, guard)?;
        // See `add_parts`.
        smp_mb();
        self.remove_parts(cookie, flow.actions(), guard);
        if flow.position.classifier != Classifier::Action {
            self.vacate();
        }
        Some(flow)
    }

    /// How many flows take a place in the device's table.
    pub(crate) fn occupied(&self) -> u32 {
        self.occupied.load(Relaxed)
    }

    fn occupy(&self, max: Option<u32>) -> Result {
        let mut n = self.occupied.load(Relaxed);
        loop {
            if max.is_some_and(|max| n >= max) {
                return Err(ENOSPC);
            }
            match self.occupied.cmpxchg(n, n.wrapping_add(1), Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => n = now,
            }
        }
    }

    fn vacate(&self) {
        self.occupied.add(u32::MAX, Relaxed);
    }

    /// Takes some flows out, and calls `f` with each. Process context; `f` must not sleep.
    pub(crate) fn take_where(&self, which: impl Fn(&Flow) -> bool, f: impl Fn(&Flow, &rcu::Guard)) {
        // Some at a time: nothing can be taken out under the iterator.
        let mut cookies = [0; 32];
        loop {
            let mut n = 0;
            // Stops when the room is used up.
            let _: Result<(), ()> = self.for_each(|flow| {
                if !which(flow) {
                    return Ok(());
                }
                let slot = cookies.get_mut(n).ok_or(())?;
                *slot = flow.cookie as usize;
                n += 1;
                Ok(())
            });
            for cookie in &cookies[..n] {
                let guard = rcu::read_lock();
                if let Some(flow) = self.remove(*cookie, &guard) {
                    f(flow, &guard);
                }
            }
            if n == 0 {
                return;
            }
        }
    }
}
