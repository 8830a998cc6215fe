// SPDX-License-Identifier: GPL-2.0-only

//! The table of a block: where packets are looked up.

#![deny(unsafe_code)]

use super::{
    rule::Rule,
    store::RULES,
    subtable::{
        Masked,
        Subtable,
        Total,
        WORDS, //
    },
};
use crate::{
    abstractions::{
        hash::Seed,
        net::packet::PacketKey,
        sync::{
            keyed_table::Keyed,
            rcu::RcuValue, //
        },
    },
    flows::CALLBACKS, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        rcu::{
            self,
            Guard, //
        },
        Arc,
        Mutex, //
    },
};

/// `ETH_P_ALL` in network byte order: any protocol.
pub(super) const ANY_PROTOCOL: u16 = 3u16.to_be();

/// Where to look, in this order.
struct Lookup {
    chain: u32,
    prio: u32,
    /// In network byte order.
    protocol: u16,
    subtable: Arc<Subtable>,
}

impl Clone for Lookup {
    fn clone(&self) -> Self {
        Self {
            subtable: self.subtable.clone(),
            ..*self
        }
    }
}

/// The table of a block.
#[pin_data]
pub(crate) struct RuleTable {
    /// By chain, then by preference, then in the order of the masks.
    shape: RcuValue<KVVec<Lookup>>,
    seed: Seed,
    /// Held while the shape is changed.
    #[pin]
    edit: Mutex<()>,
    /// Whether packets are looked up.
    live: Atomic<bool>,
    total: Arc<Total>,
}

/// Where a filter is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) chain: u32,
    pub(crate) prio: u32,
    /// In network byte order.
    pub(crate) protocol: u16,
    /// Whether filters that were there before are being offered, the last first.
    pub(crate) is_replayed: bool,
}

impl RuleTable {
    /// An empty table. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                shape: RcuValue::new(KVVec::new(), CALLBACKS)?,
                seed: Seed::random(),
                edit <- new_mutex!((), "ekho::RuleTable::edit"),
                live: Atomic::new(true),
                total: Total::new()?,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Has packets looked up, or not: so that they don't meet some of its rules only while many come or
    /// go.
    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Relaxed);
    }

    /// Whether no packet matches.
    #[inline]
    pub(in crate::hardware) fn is_empty(&self) -> bool {
        self.total.is_zero() || !self.live.load(Relaxed)
    }

    /// The rule that a packet meets first in a chain. Any context.
    #[inline]
    pub(super) fn find<'a>(
        &'a self,
        chain: u32,
        protocol: u16,
        key: &PacketKey,
        guard: &'a Guard,
    ) -> Option<&'a Keyed<Rule>> {
        let rules = RULES.get(guard)?;
        let shape = self.shape.get(guard);
        let start = match chain {
            0 => 0,
            chain => shape.partition_point(|lookup| lookup.chain < chain),
        };
        let mut room = [0; WORDS];
        for lookup in shape.get(start..)? {
            if lookup.chain != chain {
                break;
            }
            if lookup.protocol != protocol && lookup.protocol != ANY_PROTOCOL {
                continue;
            }
            let subtable = &*lookup.subtable;
            if !subtable.is_used() {
                continue;
            }
            let Some((words, hash)) = subtable.look(key, &self.seed, &mut room) else {
                continue;
            };
            let rule = rules.find(hash, |rule| rule.matches(subtable.id, words), guard);
            if rule.is_some() {
                return rule;
            }
        }
        None
    }

    /// The subtable for a rule, which counts it from now on: see [`Subtable::release`]. It is made if
    /// there is none. Also returns the rule's key in it, and the hash of that. May sleep.
    pub(super) fn reserve(
        &self,
        place: Place,
        key: &PacketKey,
        mask: &PacketKey,
    ) -> Result<(Arc<Subtable>, KVec<u64>, usize)> {
        let subtable = self.subtable(place, mask)?;
        let (key, hash) = subtable
            .enter(key, &self.seed)
            .inspect_err(|_| subtable.release())?;
        Ok((subtable, key, hash))
    }

    fn subtable(&self, place: Place, mask: &PacketKey) -> Result<Arc<Subtable>> {
        let mask = Masked::words(mask)?;
        let is_there = |lookup: &Lookup| {
            (lookup.chain, lookup.prio, lookup.protocol)
                == (place.chain, place.prio, place.protocol)
                && *lookup.subtable.mask == *mask
        };
        let _edit = self.edit.lock();
        let guard = rcu::read_lock();
        let shape = self.shape.get(&guard);
        let is_used = |lookup: &&Lookup| lookup.subtable.is_used();
        let known = shape.iter().filter(is_used).find(|lookup| is_there(lookup));
        let known = known.map(|lookup| lookup.subtable.clone());
        let len = shape.len();
        // Nobody else changes the shape, so that what is in it stays.
        drop(guard);
        if let Some(subtable) = &known {
            if !place.is_replayed {
                subtable.hold();
                return Ok(subtable.clone());
            }
        }
        let subtable = match known {
            Some(subtable) => subtable,
            None => Arc::new(Subtable::new(mask, self.total.clone()), GFP_KERNEL)?,
        };
        let mut new = KVVec::with_capacity(len + 1, GFP_KERNEL)?;
        let guard = rcu::read_lock();
        // Those without a rule are left out: if their mask comes again, it is the last of its
        // preference, as in `cls_flower.c`.
        let rest = self.shape.get(&guard).iter().filter(|lookup| {
            lookup.subtable.is_used() && !Arc::ptr_eq(&lookup.subtable, &subtable)
        });
        let mut added = false;
        let position = (place.chain, place.prio);
        let entry = Lookup {
            chain: place.chain,
            prio: place.prio,
            protocol: place.protocol,
            subtable: subtable.clone(),
        };
        for lookup in rest {
            let there = (lookup.chain, lookup.prio);
            // The oldest filters are offered last.
            if !added && (there > position || place.is_replayed && there == position) {
                new.push_within_capacity(entry.clone())
                    .map_err(|_| ENOMEM)?;
                added = true;
            }
            new.push_within_capacity(lookup.clone())
                .map_err(|_| ENOMEM)?;
        }
        if !added {
            new.push_within_capacity(entry).map_err(|_| ENOMEM)?;
        }
        drop(guard);
        self.shape.set(new)?;
        subtable.hold();
        Ok(subtable)
    }
}
