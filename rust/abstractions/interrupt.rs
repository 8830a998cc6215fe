// SPDX-License-Identifier: GPL-2.0-only

//! Interrupts of the CPU that code runs on.
//!
//! C headers: [`include/linux/irqflags.h`](srctree/include/linux/irqflags.h),
//! [`include/linux/irq_work.h`](srctree/include/linux/irq_work.h)

use crate::bindings;
use core::ffi::c_void;

/// Calls `f` with interrupts of this CPU off: it must not sleep. Any context.
pub(crate) fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Any context; paired below.
    let flags = unsafe { bindings::ekho_helper_local_irq_save() };
    let result = f();
    // SAFETY: Pairs with the call above.
    unsafe { bindings::ekho_helper_local_irq_restore(flags) };
    result
}

/// What [`in_interrupt`] calls, and its result.
struct Call<F, R>(Option<F>, Option<R>);

/// # Safety
///
/// `call` must point at a `Call<F, R>` that nobody else uses.
unsafe extern "C" fn run<F: FnOnce() -> R, R>(call: *mut c_void) {
    // SAFETY: By the requirements of this function.
    let call = unsafe { &mut *call.cast::<Call<F, R>>() };
    call.1 = call.0.take().map(|f| f());
}

/// Calls `f` in an interrupt of this CPU, and returns when that is over; none if interrupts are
/// off. Any context but NMI; `f` must not sleep.
pub(crate) fn in_interrupt<F: FnOnce() -> R + Send, R: Send>(f: F) -> Option<R> {
    let mut call = Call(Some(f), None);
    // SAFETY: `run` fits `call`, which nobody else uses until this returns.
    unsafe {
        bindings::ekho_helper_call_in_interrupt(Some(run::<F, R>), (&raw mut call).cast());
    }
    call.1
}
