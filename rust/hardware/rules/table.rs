// SPDX-License-Identifier: GPL-2.0-only

//! The table of a block: where packets are looked up.

#![deny(unsafe_code)]

use super::{
    ranges::{
        self,
        Ranges, //
    },
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
            keyed_table::{
                Keyed,
                KeyedTable, //
            },
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

/// What is kept for a rule that is being made.
pub(super) struct Reserved {
    /// Counts the rule.
    pub(super) subtable: Arc<Subtable>,
    pub(super) key: KVec<u64>,
    pub(super) hash: usize,
    pub(super) range: Option<ranges::Share>,
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

    /// Whether it has rules, those included that are being made.
    #[inline]
    pub(crate) fn has_rules(&self) -> bool {
        !self.total.is_zero()
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
            let mut look = |key: &PacketKey| self.look(rules, subtable, key, &mut room, guard);
            let rule = match &subtable.ranges {
                None => look(key),
                Some(ranges) => ranges.find(key, look, guard),
            };
            if rule.is_some() {
                return rule;
            }
        }
        None
    }

    /// The rule of a subtable with a key. `room` is as for [`Subtable::look`].
    #[inline]
    fn look<'a>(
        &self,
        rules: &'a KeyedTable<Rule>,
        subtable: &Subtable,
        key: &PacketKey,
        room: &mut [u64; WORDS],
        guard: &'a Guard,
    ) -> Option<&'a Keyed<Rule>> {
        let (words, hash) = subtable.look(key, &self.seed, room)?;
        rules.find(hash, |rule| rule.matches(subtable.id, words), guard)
    }

    /// The subtable for a rule, which counts it from now on: see [`Subtable::release`]. It is made if
    /// there is none. Also returns the rule's key in it, the hash of that, and its share in a range. May
    /// sleep.
    pub(super) fn reserve(
        &self,
        place: Place,
        key: &PacketKey,
        mask: &PacketKey,
    ) -> Result<Reserved> {
        let subtable = self.subtable(place, mask)?;
        let range = self
            .range(place, &subtable, key)
            .inspect_err(|_| subtable.release())?;
        let (key, hash) = subtable
            .enter(key, &self.seed)
            .inspect_err(|_| subtable.release())?;
        Ok(Reserved {
            subtable,
            key,
            hash,
            range,
        })
    }

    /// The share of a new rule in the range of its ports, if its subtable has ranges.
    fn range(
        &self,
        place: Place,
        subtable: &Subtable,
        key: &PacketKey,
    ) -> Result<Option<ranges::Share>> {
        let Some(ranges) = &subtable.ranges else {
            return Ok(None);
        };
        let _edit = self.edit.lock();
        // Two filters of a mask have the same key while one takes the place of the other; or, if requests
        // come in parallel, while one goes and the other comes.
        let replaced = {
            let guard = rcu::read_lock();
            let rules = RULES.get(&guard).ok_or(ENODEV)?;
            self.look(rules, subtable, key, &mut [0; WORDS], &guard)
                .and_then(|rule| rule.range.as_ref())
                .map(ranges::Share::position)
        };
        let position = match replaced {
            Some(position) => position,
            None => ranges.next(place.is_replayed),
        };
        Ok(Some(ranges.share(key.port_range(), position)?))
    }

    fn subtable(&self, place: Place, mask: &PacketKey) -> Result<Arc<Subtable>> {
        let port_range = mask.port_range();
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
            None => {
                let ranges = Ranges::new(port_range)?;
                let new = Subtable::new(mask, ranges, self.total.clone());
                Arc::new(new, GFP_KERNEL)?
            }
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
