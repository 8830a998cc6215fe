// SPDX-License-Identifier: GPL-2.0-only

//! A ring of packets with a fixed size.
//!
//! C header: [`include/linux/ptr_ring.h`](srctree/include/linux/ptr_ring.h)

use super::sk_buff::SkBuff;
use crate::{
    abstractions::bottom_half::{
        without_bottom_halves,
        BottomHalf, //
    },
    bindings, //
};
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// How many packets [`SkbRing::take`] returns at most.
pub(crate) const BATCH: usize = 16;

/// A ring of packets, each with a tag of one bit, for any number of producers and consumers.
///
/// Both ends have a spinlock of their own, which is taken with bottom halves off.
///
/// # Invariants
///
/// Each pointer in the ring is that of a buffer that the ring owns, as by [`SkBuff::into_raw`], with
/// its tag in bit 0.
#[pin_data(PinnedDrop)]
pub(crate) struct SkbRing {
    #[pin]
    ring: Opaque<bindings::ptr_ring>,
}

// SAFETY: Packets may be sent; the ring has locks.
unsafe impl Send for SkbRing {}
// SAFETY: As above.
unsafe impl Sync for SkbRing {}

impl SkbRing {
    /// An empty ring for so many packets. May sleep.
    pub(crate) fn new(size: u16) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: Empty.
            ring <- Opaque::try_ffi_init(|slot: *mut bindings::ptr_ring| {
                // SAFETY: `slot` is valid for writes, and pinned until `drop`.
                to_result(unsafe { bindings::ekho_helper_skb_ring_init(slot, size.into()) })
            }),
        } ? Error)
    }

    /// Adds a packet at the end, or gives it back if the ring is full.
    #[inline]
    pub(crate) fn put(&self, skb: SkBuff, tag: bool, _bh: &BottomHalf) -> Result<(), SkBuff> {
        let skb = skb.into_raw();
        // `struct sk_buff` is aligned to more than one byte.
        let tagged = skb.as_ptr().map_addr(|address| address | usize::from(tag));
        // INVARIANT: The ring owns it if it is taken.
        // SAFETY: By the type invariants; bottom halves are off.
        if unsafe { bindings::ekho_helper_skb_ring_produce(self.ring.get(), tagged.cast()) } {
            return Ok(());
        }
        // SAFETY: Given away above, and not taken.
        Err(unsafe { SkBuff::from_raw(skb) })
    }

    /// Takes packets from the beginning, `max` or [`BATCH`] of them at most, oldest first; returns how
    /// many there were. What `taken` had before is dropped.
    #[inline]
    pub(crate) fn take(&self, taken: &mut Taken, max: usize, _bh: &BottomHalf) -> usize {
        taken.clear();
        // INVARIANT: They belong to `taken` now.
        // SAFETY: By the type invariants; there is room for so many; bottom halves are off.
        taken.len = unsafe {
            bindings::ekho_helper_skb_ring_consume(
                self.ring.get(),
                taken.entries.as_mut_ptr().cast(),
                max.min(BATCH) as c_int,
            )
        } as usize;
        taken.len
    }

    /// Whether there is no packet, for who has just made sure that others see what it did before.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: By the type invariants; no lock is needed to look.
        unsafe { bindings::ekho_helper_skb_ring_empty(self.ring.get()) }
    }
}

#[pinned_drop]
impl PinnedDrop for SkbRing {
    fn drop(self: Pin<&mut Self>) {
        let mut taken = Taken::new();
        while without_bottom_halves(|bh| self.take(&mut taken, BATCH, bh)) != 0 {}
        // SAFETY: Initialised, by the type invariants, and empty.
        unsafe { bindings::ekho_helper_skb_ring_cleanup(self.ring.get()) };
    }
}

/// # Safety
///
/// `entry` must have been taken out of a ring, and not be used again.
#[inline]
unsafe fn untag(entry: *mut c_void) -> Option<(SkBuff, bool)> {
    let skb = entry
        .map_addr(|address| address & !1)
        .cast::<bindings::sk_buff>();
    // SAFETY: By the type invariants of the ring.
    let skb = unsafe { SkBuff::from_raw(NonNull::new(skb)?) };
    Some((skb, entry.addr() & 1 != 0))
}

/// Packets that were taken out of a ring, each with its tag.
///
/// # Invariants
///
/// `entries[at..len]` are initialised, were taken out of a ring, and belong to this object.
pub(crate) struct Taken {
    entries: [MaybeUninit<*mut c_void>; BATCH],
    at: usize,
    len: usize,
}

impl Taken {
    /// None yet.
    #[inline]
    pub(crate) const fn new() -> Self {
        // INVARIANT: None.
        Self {
            entries: [MaybeUninit::uninit(); BATCH],
            at: 0,
            len: 0,
        }
    }

    #[inline]
    fn clear(&mut self) {
        while self.next().is_some() {}
        // INVARIANT: None is left.
        (self.at, self.len) = (0, 0);
    }
}

impl Iterator for Taken {
    type Item = (SkBuff, bool);

    #[inline]
    fn next(&mut self) -> Option<(SkBuff, bool)> {
        let entry = self.entries.get(self.at).filter(|_| self.at < self.len)?;
        self.at += 1;
        // SAFETY: By the type invariants; not used again, as `at` has moved.
        unsafe { untag(entry.assume_init()) }
    }
}

impl Drop for Taken {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}
