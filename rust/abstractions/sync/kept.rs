// SPDX-License-Identifier: GPL-2.0-only

//! A list of objects, one of which is in use.

use crate::bindings;
use core::ptr;
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
        rcu,
        Mutex, //
    },
};

/// References to objects, at least one, and one of them the current one, which is found without a lock.
///
/// # Invariants
///
/// `current` points at an object of `all`. A reference that is removed from there is dropped only after
/// a grace period since it was current.
#[pin_data]
pub(crate) struct Kept<T: AlwaysRefCounted> {
    #[pin]
    all: Mutex<KVec<ARef<T>>>,
    current: Atomic<*mut T>,
}

// SAFETY: It holds references, and gives out others.
unsafe impl<T: AlwaysRefCounted + Send + Sync> Send for Kept<T> {}
// SAFETY: As above.
unsafe impl<T: AlwaysRefCounted + Send + Sync> Sync for Kept<T> {}

impl<T: AlwaysRefCounted> Kept<T> {
    /// Keeps one object, the current one. May sleep.
    pub(crate) fn new(first: &T) -> impl PinInit<Self, Error> + '_ {
        let current = ptr::from_ref(first).cast_mut();
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
    pub(crate) fn current(&self) -> ARef<T> {
        let _guard = rcu::read_lock();
        // SAFETY: By the type invariants it isn't freed before the guard is gone.
        unsafe { &*self.current.load(Acquire) }.into()
    }

    /// Keeps an object, if it isn't kept yet. May sleep.
    pub(crate) fn keep(&self, object: &T) -> Result {
        let mut all = self.all.lock();
        if !all.iter().any(|kept| ptr::eq(&**kept, object)) {
            all.push(object.into(), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Lets go of the objects for which `stays` is false, unless that is all of them; the current one is
    /// one of those that are left then. Process context; waits for a grace period if there are some.
    pub(crate) fn retain(&self, stays: impl Fn(&T) -> bool) {
        loop {
            let removed = {
                let mut all = self.all.lock();
                let Some(left) = all.iter().find(|kept| stays(kept)) else {
                    return;
                };
                if !stays(&self.current()) {
                    // INVARIANT: It is one of them.
                    self.current
                        .store(ptr::from_ref(&**left).cast_mut(), Release);
                }
                let at = all.iter().position(|kept| !stays(kept));
                at.and_then(|at| all.remove(at).ok())
            };
            let Some(removed) = removed else { return };
            // SAFETY: Process context.
            unsafe { bindings::synchronize_net() };
            // INVARIANT: It wasn't current any more when the wait began.
            drop(removed);
        }
    }

    /// Calls `f` with each of them until it returns something. May sleep.
    pub(crate) fn find_map<R>(&self, f: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let mut f = f;
        self.all.lock().iter().find_map(|kept| f(kept))
    }
}
