// SPDX-License-Identifier: GPL-2.0-only

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::bindings;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    ffi::c_int,
    prelude::*,
    types::Opaque, //
};

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

    /// The one that the kernel starts with.
    pub(crate) fn initial() -> &'static Self {
        // SAFETY: It is there for as long as the kernel runs.
        unsafe { Self::from_raw(&raw mut bindings::init_net) }
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

/// A network namespace that is kept for as long as this exists.
///
/// # Invariants
///
/// Owns a reference to a namespace.
pub(crate) struct HeldNet(NonNull<bindings::net>);

impl HeldNet {
    /// The namespace that a file descriptor of the current process stands for.
    ///
    /// Fails with [`EBADF`] if there is no such descriptor, and with [`EINVAL`] if it is one of
    /// something else.
    pub(crate) fn by_fd(fd: u32) -> Result<Self> {
        let fd = c_int::try_from(fd).map_err(|_| EBADF)?;
        // SAFETY: Any number may be passed, in process context.
        let net = from_err_ptr(unsafe { bindings::ekho_helper_get_net_ns_by_fd(fd) })?;
        // INVARIANT: The kernel has taken a reference for the caller.
        NonNull::new(net).map(Self).ok_or(EINVAL)
    }
}

impl Deref for HeldNet {
    type Target = Net;

    fn deref(&self) -> &Net {
        // SAFETY: By the type invariants, the namespace isn't freed while `self` lives.
        unsafe { Net::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for HeldNet {
    fn drop(&mut self) {
        // SAFETY: The reference is owned, by the type invariants, and not used after this.
        unsafe { bindings::ekho_helper_put_net(self.0.as_ptr()) };
    }
}
