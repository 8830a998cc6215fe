// SPDX-License-Identifier: GPL-2.0-only

//! A reference to this module.

use crate::bindings;
use kernel::prelude::*;

/// Keeps the module from being removed while it lives.
///
/// # Invariants
///
/// Owns a reference to the module.
pub(crate) struct Hold(());

impl Hold {
    /// Fails with [`ENODEV`] if the module is being removed.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Any context; the module is there, as this is its text.
        if !unsafe { bindings::ekho_helper_module_get() } {
            return Err(ENODEV);
        }
        // INVARIANT: Just taken.
        Ok(Self(()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_module_put() };
    }
}
