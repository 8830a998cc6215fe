// SPDX-License-Identifier: GPL-2.0-only

//! Objects that are kept, of which one is in use.

use kernel::{
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        new_mutex,
        Mutex, //
    },
};

/// References to objects that are all kept until this is dropped, and one of them that is the current
/// one. It is read without a lock.
///
/// # Invariants
///
/// `current` points at an object of `all`, from which none is removed.
#[pin_data]
pub(crate) struct Kept<T: AlwaysRefCounted> {
    #[pin]
    all: Mutex<KVec<ARef<T>>>,
    current: Atomic<*mut T>,
}

// SAFETY: It holds references, and gives out shared ones.
unsafe impl<T: AlwaysRefCounted + Send + Sync> Send for Kept<T> {}
// SAFETY: As above.
unsafe impl<T: AlwaysRefCounted + Send + Sync> Sync for Kept<T> {}

impl<T: AlwaysRefCounted> Kept<T> {
    /// Keeps one object, the current one. May sleep.
    pub(crate) fn new(first: &T) -> impl PinInit<Self, Error> + '_ {
        let current = (&raw const *first).cast_mut();
        try_pin_init!(Self {
            all <- {
                let mut all = KVec::with_capacity(1, GFP_KERNEL)?;
                all.push(first.into(), GFP_KERNEL)?;
                new_mutex!(all, "Kept::all")
            },
            // INVARIANT: It is the one that was just added.
            current: Atomic::new(current),
        } ? Error)
    }

    /// The current one. Any context.
    #[inline]
    pub(crate) fn current(&self) -> &T {
        // SAFETY: By the type invariants it is alive for as long as `self`.
        unsafe { &*self.current.load(Acquire) }
    }

    /// Keeps an object, if it isn't kept yet. May sleep.
    pub(crate) fn keep(&self, object: &T) -> Result {
        let mut all = self.all.lock();
        if !all.iter().any(|kept| core::ptr::eq(&**kept, object)) {
            all.push(object.into(), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Makes an object the current one, if it is kept. May sleep.
    pub(crate) fn select(&self, which: impl Fn(&T) -> bool) {
        let all = self.all.lock();
        if let Some(found) = all.iter().find(|kept| which(kept)) {
            // INVARIANT: It is one of them.
            self.current.store((&raw const **found).cast_mut(), Release);
        }
    }

    /// Calls `f` with the first one for which `which` is true. May sleep.
    pub(crate) fn find<R>(&self, which: impl Fn(&T) -> bool, f: impl FnOnce(&T) -> R) -> Option<R> {
        let all = self.all.lock();
        all.iter().find(|kept| which(kept)).map(|found| f(found))
    }
}
