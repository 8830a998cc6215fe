// SPDX-License-Identifier: GPL-2.0-only

//! What the current process may do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use crate::bindings;
use kernel::ffi::c_int;

/// Whether the current process may configure all networks (`CAP_NET_ADMIN` in the initial user
/// namespace). Process context.
pub(crate) fn is_net_admin() -> bool {
    // SAFETY: No requirement but process context.
    unsafe { bindings::capable(bindings::CAP_NET_ADMIN as c_int) }
}
