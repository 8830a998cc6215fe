// SPDX-License-Identifier: GPL-2.0-only

//! RCU-protected pointers to reference-counted objects.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full, //
        },
        rcu::Guard,
        Arc,
        ArcBorrow, //
    },
    types::Opaque, //
};

/// An optional [`Arc`] that readers follow under RCU, without a lock or a reference count.
///
/// # Invariants
///
/// `ptr` is null, or came from [`Arc::into_raw`] and owns that reference. A reference that was
/// taken out is dropped only after a grace period.
pub(crate) struct RcuSlot<T> {
    ptr: Atomic<*mut T>,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: The slot is a way to share and to send an `Arc<T>`.
unsafe impl<T: Send + Sync> Send for RcuSlot<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for RcuSlot<T> {}

impl<T> RcuSlot<T> {
    /// Creates an empty slot.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Null owns nothing.
        Self {
            ptr: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// Follows the pointer. Any context.
    pub(crate) fn get<'a>(&'a self, _guard: &'a Guard) -> Option<&'a T> {
        // SAFETY: By the type invariants a non-null pointer refers to a live object, and goes on
        // doing so until a grace period has passed, which can't end while the guard is held.
        unsafe { self.ptr.load(Acquire).as_ref() }
    }

    /// Takes a reference. Any context.
    pub(crate) fn get_arc(&self, guard: &Guard) -> Option<Arc<T>> {
        let object = self.get(guard)?;
        // SAFETY: By the type invariants the object came from `Arc::into_raw`, and the slot's
        // reference to it isn't dropped while the guard is held.
        Some(unsafe { ArcBorrow::from_raw(object) }.into())
    }

    /// Puts `new` in the slot, and returns what was there, after a grace period.
    ///
    /// Process context; sleeps for a grace period unless the slot was empty. Shortened to an
    /// expedited one if RTNL is held.
    pub(crate) fn replace(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let new = new.map_or(ptr::null_mut(), |new| Arc::into_raw(new).cast_mut());
        // INVARIANT: The slot owns the reference that `into_raw` gave up.
        let old = self.ptr.xchg(new, Full);
        if old.is_null() {
            return None;
        }
        // SAFETY: May be called from process context, which is what callers promise.
        unsafe { bindings::synchronize_net() };
        // SAFETY: By the type invariants `old` came from `Arc::into_raw`; the slot has given up
        // the reference.
        Some(unsafe { Arc::from_raw(old) })
    }
}

impl<T> Drop for RcuSlot<T> {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}

/// A value that is read under RCU, and replaced as a whole without waiting.
///
/// # Invariants
///
/// `ptr` came from [`KBox::into_raw`] and owns that box. A box that was taken out is freed only after
/// a grace period.
pub(crate) struct RcuValue<T: Send + Sync + 'static> {
    ptr: Atomic<*mut Boxed<T>>,
    callbacks: Callbacks,
}

#[repr(C)]
struct Boxed<T> {
    rcu: Opaque<bindings::callback_head>,
    value: T,
}

// SAFETY: It owns a `T`, which may be sent and shared.
unsafe impl<T: Send + Sync + 'static> Send for RcuValue<T> {}
// SAFETY: As above; values are replaced atomically.
unsafe impl<T: Send + Sync + 'static> Sync for RcuValue<T> {}

impl<T: Send + Sync + 'static> RcuValue<T> {
    fn boxed(value: T) -> Result<*mut Boxed<T>> {
        let boxed = Boxed {
            rcu: Opaque::uninit(),
            value,
        };
        Ok(KBox::into_raw(KBox::new(boxed, GFP_KERNEL)?))
    }

    /// A first value; those that are replaced are freed by `callbacks`, in softirq: dropping a `T` must
    /// not sleep. May sleep.
    pub(crate) fn new(value: T, callbacks: Callbacks) -> Result<Self> {
        // INVARIANT: From `into_raw`.
        Ok(Self {
            ptr: Atomic::new(Self::boxed(value)?),
            callbacks,
        })
    }

    /// Reads the value. Any context.
    #[inline]
    pub(crate) fn get<'a>(&'a self, _guard: &'a Guard) -> &'a T {
        // SAFETY: By the type invariants it is valid, and stays so until the guard is dropped.
        unsafe { &(*self.ptr.load(Acquire)).value }
    }

    /// Replaces the value. May sleep to allocate memory.
    pub(crate) fn set(&self, value: T) -> Result {
        // INVARIANT: From `into_raw`.
        let old = self.ptr.xchg(Self::boxed(value)?, Full);
        // SAFETY: By the type invariants, and taken out by this thread: the only callback for it.
        unsafe { self.callbacks.call((*old).rcu.get(), free_boxed::<T>) };
        Ok(())
    }
}

/// Frees a value that was replaced.
///
/// # Safety
///
/// `head` must be the `rcu` of a `Boxed<T>` from a [`KBox`] that nobody uses any longer.
unsafe extern "C" fn free_boxed<T>(head: *mut bindings::callback_head) {
    // SAFETY: By the requirements of this function; `rcu` is the first member.
    drop(unsafe { KBox::from_raw(head.cast::<Boxed<T>>()) });
}

impl<T: Send + Sync + 'static> Drop for RcuValue<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; nobody else has `self`.
        drop(unsafe { KBox::from_raw(self.ptr.load(Acquire)) });
    }
}

/// The permission to hand functions of this module to `call_rcu()`.
///
/// They are called after a grace period, which may end after all else of the module has gone: who
/// removes the module has to wait for them.
///
/// # Invariants
///
/// [`Self::barrier`] is called after the last [`Self::call`], and before the module's text goes.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks(());

impl Callbacks {
    /// # Safety
    ///
    /// The module must call [`Self::barrier`] when it goes, after all to which it has given copies
    /// of the result.
    pub(crate) const unsafe fn new() -> Self {
        // INVARIANT: By the requirements of this function.
        Self(())
    }

    /// Has `function` called after a grace period, in softirq. Any context.
    ///
    /// # Safety
    ///
    /// `head` must be valid and used by nobody else until then, and `function` be fit to be called
    /// with it, from any thread.
    pub(super) unsafe fn call(
        self,
        head: *mut bindings::callback_head,
        function: unsafe extern "C" fn(*mut bindings::callback_head),
    ) {
        // SAFETY: By the requirements of this function; by the type invariants it is there when it
        // is called.
        unsafe { bindings::call_rcu(head, Some(function)) };
    }

    /// Waits until all functions have been called. Process context.
    pub(crate) fn barrier(self) {
        // SAFETY: No requirement but process context.
        unsafe { bindings::rcu_barrier() };
    }
}
