// SPDX-License-Identifier: GPL-2.0-only

//! Ranges of ports that rules with the same mask match.
//!
//! `fl_lookup_range()` walks the filters of a mask in the order in which they came, and for each whose
//! range holds the packet it looks for a filter with that range and the packet's other keys: any, not that
//! one. So a packet meets the rule in the first range that has one for it, and a range is where the first
//! rule with it is. That is what is kept here: the different ranges, and the positions of their rules.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        bottom_half::without_bottom_halves,
        net::packet::{
            PacketKey,
            PortRange, //
        },
        sync::rcu::RcuValue, //
    },
    flows::CALLBACKS, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        new_spinlock,
        rcu::{
            self,
            Guard, //
        },
        Arc,
        SpinLock, //
    },
};

/// The rank of a range without a rule.
const NOWHERE: u64 = u64::MAX;

/// A range that rules of a subtable have.
#[pin_data]
struct Range {
    /// What rules with it have in their keys.
    key: PortRange,
    /// The least and the greatest source and destination port.
    least: [u16; 2],
    greatest: [u16; 2],
    /// The first of the positions, or [`NOWHERE`].
    rank: Atomic<u64>,
    /// Those of its rules, with how many have each. Bottom halves are off while it is locked.
    #[pin]
    positions: SpinLock<RBTree<u64, u32>>,
}

impl Range {
    /// Whether a packet with these ports is in it.
    #[inline]
    fn holds(&self, ports: [u16; 2]) -> bool {
        let [src, dst] = ports;
        let ([least_src, least_dst], [greatest_src, greatest_dst]) = (self.least, self.greatest);
        (least_src..=greatest_src).contains(&src) && (least_dst..=greatest_dst).contains(&dst)
    }

    /// One more rule has it. May sleep.
    fn add(&self, position: u64) -> Result {
        let mut node = Some(RBTreeNode::new(position, 1, GFP_KERNEL)?);
        without_bottom_halves(|_| {
            let mut positions = self.positions.lock();
            match positions.get_mut(&position) {
                // One takes the place of another, which is still there.
                Some(rules) => *rules += 1,
                None => {
                    if let Some(node) = node.take() {
                        positions.insert(node);
                    }
                }
            }
            self.rank(&positions);
        });
        Ok(())
    }

    /// A rule is gone.
    fn remove(&self, position: u64) {
        let node = without_bottom_halves(|_| {
            let mut positions = self.positions.lock();
            let rules = positions.get_mut(&position).map(|rules| {
                *rules = rules.saturating_sub(1);
                *rules
            });
            let node = match rules {
                Some(0) => positions.remove_node(&position),
                _ => None,
            };
            self.rank(&positions);
            node
        });
        drop(node);
    }

    fn rank(&self, positions: &RBTree<u64, u32>) {
        let rank = positions.keys().next().copied().unwrap_or(NOWHERE);
        self.rank.store(rank, Relaxed);
    }
}

/// How many different ranges the rules of a mask have at most: a packet is compared with all of them, and
/// each new one has the list copied.
const MOST: usize = 1024;

/// The ranges of a subtable.
pub(super) struct Ranges {
    /// Whether source and destination ports have one.
    masked: [bool; 2],
    /// The different ones.
    list: RcuValue<KVVec<Arc<Range>>>,
    /// Before the first position, and behind the last.
    front: Atomic<u64>,
    back: Atomic<u64>,
}

impl Ranges {
    /// None yet, of a subtable with this in its mask; none at all if it has no ranges. May sleep.
    pub(super) fn new(mask: PortRange) -> Result<Option<Self>> {
        const MIDDLE: u64 = 1 << 63;
        let masked = mask.least().map(|port| port != 0);
        if masked == [false; 2] {
            return Ok(None);
        }
        Ok(Some(Self {
            masked,
            list: RcuValue::new(KVVec::new(), CALLBACKS)?,
            front: Atomic::new(MIDDLE),
            back: Atomic::new(MIDDLE + 1),
        }))
    }

    /// The rule that `look` finds for a packet in the first of the ranges that hold it. `look` is given
    /// what a rule with that range has in its key. Any context.
    #[inline]
    pub(super) fn find<'a, T>(
        &self,
        packet: &PacketKey,
        mut look: impl FnMut(&PacketKey) -> Option<&'a T>,
        guard: &Guard,
    ) -> Option<&'a T> {
        let ports = packet.range_ports();
        let mut first = NOWHERE;
        let mut found = None;
        for range in self.list.get(guard).iter() {
            let rank = range.rank.load(Relaxed);
            if rank >= first || !range.holds(ports) {
                continue;
            }
            if let Some(rule) = look(&packet.with_port_range(range.key)) {
                first = rank;
                found = Some(rule);
            }
        }
        found
    }

    /// A position behind all others, or if filters are offered the last first, before them. The table is
    /// being edited.
    pub(super) fn next(&self, is_replayed: bool) -> u64 {
        if is_replayed {
            self.front.fetch_sub(1, Relaxed)
        } else {
            self.back.fetch_add(1, Relaxed)
        }
    }

    /// The share of a new rule in its range. The table is being edited. May sleep.
    ///
    /// Fails with [`ENOSPC`] if there are as many different ranges as there may be.
    pub(super) fn share(&self, key: PortRange, position: u64) -> Result<Share> {
        let known = {
            let guard = rcu::read_lock();
            let mut ranges = self.list.get(&guard).iter();
            ranges.find(|range| range.key == key).cloned()
        };
        let range = match known {
            Some(range) => {
                range.add(position)?;
                range
            }
            None => self.insert(key, position)?,
        };
        Ok(Share {
            range,
            position,
            held: Atomic::new(1),
        })
    }

    /// Adds a range with a rule, and leaves out those without one.
    fn insert(&self, key: PortRange, position: u64) -> Result<Arc<Range>> {
        let [src, dst] = self.masked;
        let ([least_src, least_dst], [greatest_src, greatest_dst]) = (key.least(), key.greatest());
        let pick = |masked: bool, port: u16, any: u16| if masked { port } else { any };
        let mut positions = RBTree::new();
        positions.try_create_and_insert(position, 1, GFP_KERNEL)?;
        let range = Arc::pin_init(
            pin_init!(Range {
                key,
                least: [pick(src, least_src, 0), pick(dst, least_dst, 0)],
                greatest: [
                    pick(src, greatest_src, u16::MAX),
                    pick(dst, greatest_dst, u16::MAX),
                ],
                rank: Atomic::new(position),
                positions <- new_spinlock!(positions, "ekho::Range::positions"),
            }),
            GFP_KERNEL,
        )?;
        // Nobody else changes the list.
        let len = {
            let guard = rcu::read_lock();
            let list = self.list.get(&guard);
            let used = |range: &&Arc<Range>| range.rank.load(Relaxed) != NOWHERE;
            if list.iter().filter(used).count() >= MOST {
                return Err(ENOSPC);
            }
            list.len()
        };
        let mut new = KVVec::with_capacity(len + 1, GFP_KERNEL)?;
        {
            let guard = rcu::read_lock();
            let mut added = false;
            for there in self.list.get(&guard).iter() {
                let rank = there.rank.load(Relaxed);
                if rank == NOWHERE {
                    continue;
                }
                // In order, so that most packets are looked up once.
                if !added && rank > position {
                    added = true;
                    new.push_within_capacity(range.clone())
                        .map_err(|_| ENOMEM)?;
                }
                new.push_within_capacity(there.clone())
                    .map_err(|_| ENOMEM)?;
            }
            if !added {
                new.push_within_capacity(range.clone())
                    .map_err(|_| ENOMEM)?;
            }
        }
        self.list.set(new)?;
        Ok(range)
    }
}

/// A rule's share in a range.
pub(super) struct Share {
    range: Arc<Range>,
    position: u64,
    /// Whether the range has the position.
    held: Atomic<u32>,
}

impl Share {
    /// Where the rule is among those with its mask.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The rule is withdrawn. Any context but hard interrupts.
    pub(super) fn release(&self) {
        if self.held.xchg(0, Full) != 0 {
            self.range.remove(self.position);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // If its rule was never made.
        self.release();
    }
}
