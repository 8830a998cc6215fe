// SPDX-License-Identifier: GPL-2.0-only

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::bindings;
use kernel::types::Opaque;

/// A network namespace: `struct net`.
///
/// # Invariants
///
/// A reference points at a namespace that isn't freed while the reference lives.
#[repr(transparent)]
pub(crate) struct Net(Opaque<bindings::net>);

// SAFETY: Methods on `&self` read what never changes.
unsafe impl Sync for Net {}

impl Net {
    /// # Safety
    ///
    /// `ptr` must point at a namespace that isn't freed for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::net) -> &'a Self {
        // CAST: `Self` is a transparent wrapper.
        // SAFETY: By the requirements of this function.
        unsafe { &*ptr.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// A number that no other namespace has had since boot.
    pub(crate) fn cookie(&self) -> u64 {
        // SAFETY: The namespace is alive.
        unsafe { bindings::ekho_helper_net_cookie(self.as_raw()) }
    }

    /// Whether it is the one that the kernel starts with.
    pub(crate) fn is_initial(&self) -> bool {
        // SAFETY: The namespace is alive.
        unsafe { bindings::ekho_helper_net_is_initial(self.as_raw()) }
    }
}
