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

    /// Keeps the current task on its CPU while `f` runs; others may run there in between. `f` gets
    /// the object of that CPU. `before` and `after` are called with the object before and after it,
    /// with preemption off: they must not sleep. Without a result of `before`, `f` and `after` aren't
    /// called.
    ///
    /// Any context; interrupts of this CPU may get here while any of them runs.
    #[inline]
    pub(crate) fn stay<B, R>(
        &self,
        before: impl FnOnce(&T) -> Option<B>,
        f: impl FnOnce() -> R,
        after: impl FnOnce(&T, B),
    ) -> Option<R> {
        // SAFETY: By the type invariants; paired by the drop of `stay`, on each path.
        let this = unsafe { bindings::ekho_helper_stay_on_cpu(self.ptr.as_ptr().cast()) };
        let _stay = Stay(NotThreadSafe);
        // SAFETY: By the type invariants, a `T` that is valid for as long as `self`.
        let this = unsafe { &*this.cast_const().cast::<T>() };
        let state = before(this)?;
        // SAFETY: Preemption is off; it is turned off again below.
        unsafe { bindings::ekho_helper_preempt_enable() };
        let result = f();
        // SAFETY: Pairs with the call above.
        unsafe { bindings::ekho_helper_preempt_disable() };
        after(this, state);
        Some(result)
    }
}

/// # Invariants
///
/// Owns one call of `ekho_helper_stay_on_cpu()` by this task, and preemption is off when it is
/// dropped.
struct Stay(NotThreadSafe);

impl Drop for Stay {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_leave_cpu() };
    }
}

impl<T: pin_init::Zeroable + Send + Sync> Drop for PerCpu<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; there is nothing to drop in a `T`.
        unsafe { bindings::ekho_helper_free_percpu(self.ptr.as_ptr().cast()) };
    }
}
