// SPDX-License-Identifier: GPL-2.0-only

//! Memory of which each CPU has a copy.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::NotThreadSafe, //
};

/// A `T` for each CPU, all zero at first.
///
/// # Invariants
///
/// `ptr` is a `__percpu` pointer from the kernel's allocator, owned by this object, to memory that
/// is a valid `T` for each possible CPU.
pub(crate) struct PerCpu<T: pin_init::Zeroable + Send + Sync> {
    ptr: NonNull<T>,
    _owns: PhantomData<T>,
}

// SAFETY: It owns the objects of all CPUs, and `T` may be sent.
unsafe impl<T: pin_init::Zeroable + Send + Sync> Send for PerCpu<T> {}
// SAFETY: It gives out shared references to `T` only, which is `Sync`.
unsafe impl<T: pin_init::Zeroable + Send + Sync> Sync for PerCpu<T> {}

impl<T: pin_init::Zeroable + Send + Sync> PerCpu<T> {
    /// Allocates the memory. Process context; may sleep.
    pub(crate) fn new() -> Result<Self> {
        const { assert!(!core::mem::needs_drop::<T>()) };
        // SAFETY: No requirement but process context.
        let ptr = unsafe { bindings::ekho_helper_alloc_percpu(size_of::<T>(), align_of::<T>()) };
        // INVARIANT: Just allocated, with zeros, which are a valid `T`.
        Ok(Self {
            ptr: NonNull::new(ptr.cast()).ok_or(ENOMEM)?,
            _owns: PhantomData,
        })
    }

    /// Calls `f` with the object of the CPU that this runs on, and with preemption off: `f` must
    /// not sleep. Any context; interrupts of this CPU may get here while `f` runs.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        // SAFETY: By the type invariants; paired below.
        let this = unsafe { bindings::ekho_helper_get_cpu_ptr(self.ptr.as_ptr().cast()) };
        // SAFETY: By the type invariants, a `T` that is valid for as long as `self`.
        let result = f(unsafe { &*this.cast_const().cast::<T>() });
        // SAFETY: Pairs with the call above.
        unsafe { bindings::ekho_helper_put_cpu_ptr() };
        result
    }
}

impl<T: pin_init::Zeroable + Send + Sync> Drop for PerCpu<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; there is nothing to drop in a `T`.
        unsafe { bindings::ekho_helper_free_percpu(self.ptr.as_ptr().cast()) };
    }
}

/// Keeps the current task on its CPU until dropped; others may run there in between.
///
/// # Invariants
///
/// Owns one call of `migrate_disable()` by this task.
pub(crate) struct StayOnCpu(NotThreadSafe);

impl StayOnCpu {
    /// Any context.
    #[inline]
    pub(crate) fn new() -> Self {
        // SAFETY: No requirement; paired by `drop`.
        unsafe { bindings::ekho_helper_migrate_disable() };
        // INVARIANT: Just called.
        Self(NotThreadSafe)
    }
}

impl Drop for StayOnCpu {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_migrate_enable() };
    }
}
