// SPDX-License-Identifier: GPL-2.0-only

//! A box that is filled at most once.

use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full, //
    },
};

/// A [`KBox`] that comes later, or not at all. As large as a pointer, unlike
/// [`SetOnce`](kernel::sync::SetOnce).
///
/// # Invariants
///
/// `ptr` is null, or came from [`KBox::into_raw`] and is owned by this object. It changes once at
/// most.
pub(crate) struct OnceBox<T> {
    ptr: Atomic<*mut T>,
    _owns: PhantomData<KBox<T>>,
}

// SAFETY: It owns a `T`, which may be sent.
unsafe impl<T: Send> Send for OnceBox<T> {}
// SAFETY: It hands out shared references, and takes a `T` from whichever thread.
unsafe impl<T: Send + Sync> Sync for OnceBox<T> {}

impl<T> OnceBox<T> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Null.
        Self {
            ptr: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// What is in it. Any context.
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: By the type invariants a pointer that isn't null stays valid as long as `self`.
        unsafe { self.ptr.load(Acquire).as_ref() }
    }

    /// Fills it; if it is filled already, `value` is dropped, and the result is false. Any context in
    /// which `T` can be dropped.
    pub(crate) fn populate(&self, value: KBox<T>) -> bool {
        let new = KBox::into_raw(value);
        // INVARIANT: Changes null to what `into_raw` gave up.
        if self.ptr.cmpxchg(ptr::null_mut(), new, Full).is_ok() {
            return true;
        }
        // SAFETY: Just given up, and not taken.
        drop(unsafe { KBox::from_raw(new) });
        false
    }
}

impl<T> Drop for OnceBox<T> {
    fn drop(&mut self) {
        let ptr = self.ptr.load(Acquire);
        if !ptr.is_null() {
            // SAFETY: By the type invariants; nobody else has `self`.
            drop(unsafe { KBox::from_raw(ptr) });
        }
    }
}
