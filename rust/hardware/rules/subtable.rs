// SPDX-License-Identifier: GPL-2.0-only

//! What rules of a table have in common that are looked up by the same bits.

#![deny(unsafe_code)]

use crate::abstractions::{
    hash::Seed,
    net::packet::PacketKey, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Room for a packet's key, and a word before it.
pub(super) const WORDS: usize = PacketKey::WORDS + 1;

/// The rules of one chain and preference with the same mask.
pub(super) struct Subtable {
    /// Its number among all.
    pub(super) id: u64,
    /// The first word of a packet's key that it looks at.
    pub(super) first: usize,
    /// The mask of that word and those behind it.
    pub(super) mask: KVec<u64>,
    /// How many rules it has, those included that are being made.
    rules: Atomic<u32>,
    /// How many rules the table has, likewise.
    total: Arc<Total>,
}

/// How many rules a table has.
pub(super) struct Total(Atomic<u32>);

impl Total {
    /// None yet. May sleep.
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(Atomic::new(0)), GFP_KERNEL)?)
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_zero(&self) -> bool {
        self.0.load(Relaxed) == 0
    }
}

static LAST: Atomic<u64> = Atomic::new(0);

impl Subtable {
    /// One without a rule.
    pub(super) fn new(first: usize, mask: KVec<u64>, total: Arc<Total>) -> Self {
        Self {
            id: LAST.fetch_add(1, Relaxed).wrapping_add(1),
            first,
            mask,
            rules: Atomic::new(0),
            total,
        }
    }

    /// Whether it has a rule.
    pub(super) fn is_used(&self) -> bool {
        self.rules.load(Relaxed) != 0
    }

    /// There is one more, until [`Self::release`].
    pub(super) fn hold(&self) {
        self.rules.add(1, Relaxed);
        self.total.0.add(1, Relaxed);
    }

    /// What a rule with this key, or a packet, has under the mask, and its hash. `room` is where that
    /// is put.
    pub(super) fn masked<'r>(
        &self,
        key: &[u64],
        seed: &Seed,
        room: &'r mut [u64; WORDS],
    ) -> (&'r [u64], usize) {
        let words = key.get(self.first..).unwrap_or(&[]);
        let mut len = 1;
        // In front of it is the number, as in the hash.
        room[0] = self.id;
        for ((to, word), mask) in room.iter_mut().skip(1).zip(words).zip(self.mask.iter()) {
            *to = word & mask;
            len += 1;
        }
        let words = room.get(..len).unwrap_or(&[]);
        let hash = seed.hash(words);
        (words.get(1..).unwrap_or(&[]), hash)
    }

    /// A rule of it is gone.
    pub(super) fn release(&self) {
        self.rules.add(u32::MAX, Relaxed);
        self.total.0.add(u32::MAX, Relaxed);
    }
}
