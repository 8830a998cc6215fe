// SPDX-License-Identifier: GPL-2.0-only

//! What the `kernel` crate offers in another form from one supported kernel to the next.
//!
//! The only place for such differences. Each is solved so that the same lines compile with all of
//! these kernels, by types or by what they share. No version number is asked for: distributions
//! take changes back into older kernels.

use core::borrow::Borrow;

/// The value of a module parameter.
///
/// `ModuleParamAccess::value` returns a reference in Linux 7.2 and a copy from 7.3 on.
pub(crate) fn param<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// Orders all memory accesses before it against all after it, for all CPUs.
///
/// `kernel::sync::barrier::smp_mb` takes no argument in Linux 7.2, and the kind of barrier from
/// 7.3 on.
#[inline]
pub(crate) fn smp_mb() {
    // SAFETY: A barrier may be used in any context. Without SMP it is one for the compiler.
    unsafe { kernel::bindings::smp_mb() }
}
