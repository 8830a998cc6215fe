// SPDX-License-Identifier: GPL-2.0-only

//! What rules of a table have in common that are looked up by the same bits.

#![deny(unsafe_code)]

use super::ranges::Ranges;
use crate::abstractions::{
    hash::Seed,
    net::packet::PacketKey, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// Room for a packet's key, and a word before it.
pub(super) const WORDS: usize = PacketKey::WORDS + 1;

/// A word of a packet's key of which some bits count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Masked {
    /// Which one it is.
    at: usize,
    mask: u64,
}

impl Masked {
    /// The words of which a mask has bits.
    pub(super) fn words(mask: &PacketKey) -> Result<KVec<Self>> {
        let count = |word: &&u64| **word != 0;
        let n = mask.words().iter().filter(count).count();
        let mut words = KVec::with_capacity(n, GFP_KERNEL)?;
        for (at, &mask) in mask.words().iter().enumerate() {
            if mask != 0 {
                words.push(Self { at, mask }, GFP_KERNEL)?;
            }
        }
        Ok(words)
    }
}

/// How many words of bits [`Seen`] has; a power of two.
const SEEN_WORDS: usize = 64;

/// A set of which a value is certainly not an element if it says so: a Bloom filter with one hash
/// function. A packet that none of few rules matches is known by it for less than a look into the hash
/// table of all rules takes. With more rules than bits it says nothing any more; then there are few
/// masks for each rule.
///
/// Elements aren't taken out: they cost that look only.
struct Seen([Atomic<u64>; SEEN_WORDS]);

impl Seen {
    const fn new() -> Self {
        Self([const { Atomic::new(0) }; SEEN_WORDS])
    }

    /// Where the bit of a value is. Not keyed: who finds values with the same bit costs others a look
    /// into the hash table, whose hash is.
    #[inline]
    fn place(words: &[u64]) -> (usize, u64) {
        // 2^64 by the golden ratio, as `hash_64()` has it.
        let hash = words.iter().fold(0_u64, |hash, word| {
            (hash.rotate_left(5) ^ word).wrapping_mul(0x61c8_8646_80b5_83eb)
        });
        let bit = (hash >> 58) as u32;
        ((hash >> 32) as usize % SEEN_WORDS, 1_u64 << (bit & 63))
    }

    fn add(&self, words: &[u64]) {
        let (at, bit) = Self::place(words);
        if let Some(word) = self.0.get(at) {
            let mut old = word.load(Relaxed);
            while let Err(now) = word.cmpxchg(old, old | bit, Full) {
                old = now;
            }
        }
    }

    #[inline]
    fn may_have(&self, words: &[u64]) -> bool {
        let (at, bit) = Self::place(words);
        self.0
            .get(at)
            .is_none_or(|word| word.load(Relaxed) & bit != 0)
    }
}

/// The rules of one chain and preference with the same mask.
pub(super) struct Subtable {
    /// Its number among all.
    pub(super) id: u64,
    /// The words of a packet's key that it looks at.
    pub(super) mask: KVec<Masked>,
    /// What its rules have there.
    seen: Seen,
    /// The ranges of ports of its rules, if the mask has such.
    pub(super) ranges: Option<Ranges>,
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
    pub(super) fn new(mask: KVec<Masked>, ranges: Option<Ranges>, total: Arc<Total>) -> Self {
        Self {
            id: LAST.fetch_add(1, Relaxed).wrapping_add(1),
            mask,
            seen: Seen::new(),
            ranges,
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

    /// What a rule with this key, or a packet, has under the mask; behind the number of this, so that
    /// equal keys of different masks differ. `room` is where that is put.
    #[inline]
    fn masked<'r>(&self, key: &PacketKey, room: &'r mut [u64; WORDS]) -> &'r [u64] {
        let key = key.words();
        room[0] = self.id;
        for (to, word) in room.iter_mut().skip(1).zip(self.mask.iter()) {
            *to = key.get(word.at).copied().unwrap_or(0) & word.mask;
        }
        room.get(..=self.mask.len()).unwrap_or(&[])
    }

    /// What a rule with this key has under the mask, and its hash. From now on packets that have the
    /// same are looked up.
    pub(super) fn enter(&self, key: &PacketKey, seed: &Seed) -> Result<(KVec<u64>, usize)> {
        let mut room = [0; WORDS];
        let words = self.masked(key, &mut room);
        self.seen.add(words);
        let mut own = KVec::new();
        own.extend_from_slice(words.get(1..).unwrap_or(&[]), GFP_KERNEL)?;
        Ok((own, seed.hash(words)))
    }

    /// The same of a packet; none if no rule has that. `room` is where it is put.
    #[inline]
    pub(super) fn look<'r>(
        &self,
        key: &PacketKey,
        seed: &Seed,
        room: &'r mut [u64; WORDS],
    ) -> Option<(&'r [u64], usize)> {
        let words = self.masked(key, room);
        if !self.seen.may_have(words) {
            return None;
        }
        Some((words.get(1..)?, seed.hash(words)))
    }

    /// A rule of it is gone.
    pub(super) fn release(&self) {
        self.rules.add(u32::MAX, Relaxed);
        self.total.0.add(u32::MAX, Relaxed);
    }
}
