// SPDX-License-Identifier: GPL-2.0-only

//! Memory that CPUs don't share by accident.

use core::{
    array,
    ops::Deref, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A value with cache lines of its own: a write to it doesn't slow down CPUs that read what is next
/// to it.
///
/// 64 bytes are a cache line of x86 and of most arm64 CPUs (`L1_CACHE_BYTES`).
#[repr(align(64))]
pub(crate) struct CacheAligned<T>(pub(crate) T);

impl<T> Deref for CacheAligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// `N` counters, each split by CPU, so that CPUs which count at the same time don't wait for each
/// other.
pub(crate) struct SplitCounters<const N: usize> {
    /// A power of two of them.
    slots: KVec<CacheAligned<[Atomic<u64>; N]>>,
}

impl<const N: usize> SplitCounters<N> {
    /// CPUs beyond these share the slots of others.
    const SLOTS_MAX: usize = 32;

    /// Counters of zero. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let len = usize::try_from(nr_cpu_ids())?
            .next_power_of_two()
            .min(Self::SLOTS_MAX);
        let mut slots = KVec::with_capacity(len, GFP_KERNEL)?;
        for _ in 0..len {
            let slot = CacheAligned(array::from_fn(|_| Atomic::new(0)));
            slots.push(slot, GFP_KERNEL)?;
        }
        Ok(Self { slots })
    }

    /// Adds 1 to counter `n`, which is less than `N`. Any context: if the task moves to another CPU
    /// meanwhile, it only shares a slot.
    #[inline]
    pub(crate) fn increment(&self, n: usize) {
        let slot = CpuId::current().as_u32() as usize & (self.slots.len() - 1);
        self.slots[slot][n].add(1, Relaxed);
    }

    /// The value of counter `n`, which is less than `N`.
    pub(crate) fn sum(&self, n: usize) -> u64 {
        self.slots
            .iter()
            .fold(0, |sum, slot| sum.wrapping_add(slot[n].load(Relaxed)))
    }
}
