// SPDX-License-Identifier: GPL-2.0-only

//! Where bottom halves are off: code that the networking stack calls for packets.
//!
//! C header: [`include/linux/bottom_half.h`](srctree/include/linux/bottom_half.h)

use crate::bindings;
use kernel::types::NotThreadSafe;

/// Evidence that bottom halves of this CPU are off, or that this is one: no other one runs here
/// meanwhile, the code can't sleep, and it stays on its CPU's data.
///
/// # Invariants
///
/// True of this thread for as long as the object exists.
pub(crate) struct BottomHalf(NotThreadSafe);

impl BottomHalf {
    /// # Safety
    ///
    /// Bottom halves must be off on this CPU, or this be one, for as long as the object exists.
    #[inline]
    pub(super) unsafe fn assume() -> Self {
        // INVARIANT: By the requirements of this function.
        Self(NotThreadSafe)
    }
}

/// Calls `f` with bottom halves of this CPU off: it mustn't sleep. Process context, or with them off.
pub(crate) fn without_bottom_halves<R>(f: impl FnOnce(&BottomHalf) -> R) -> R {
    // SAFETY: Paired below.
    unsafe { bindings::ekho_helper_local_bh_disable() };
    // SAFETY: They are off until `f` has returned.
    let result = f(&unsafe { BottomHalf::assume() });
    // SAFETY: Pairs with the call above.
    unsafe { bindings::ekho_helper_local_bh_enable() };
    result
}
