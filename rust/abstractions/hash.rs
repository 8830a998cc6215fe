// SPDX-License-Identifier: GPL-2.0-only

//! Keyed hashing of words.
//!
//! C header: [`include/linux/siphash.h`](srctree/include/linux/siphash.h)

use crate::bindings;

/// The key of a hash function. Who doesn't know it can't find words with the same hash.
pub(crate) struct Seed([u64; 2]);

impl Seed {
    /// A random one.
    pub(crate) fn random() -> Self {
        // SAFETY: No requirement.
        Self([(); 2].map(|()| unsafe { bindings::get_random_u64() }))
    }

    /// The hash of words, for a hash table: 32 bits. Any context.
    ///
    /// As `hsiphash()`.
    #[inline]
    pub(crate) fn hash(&self, words: &[u64]) -> usize {
        let [key0, key1] = self.0;
        // SAFETY: So many words are read.
        let hash =
            unsafe { bindings::ekho_helper_hsiphash(words.as_ptr(), words.len(), key0, key1) };
        hash as usize
    }
}
