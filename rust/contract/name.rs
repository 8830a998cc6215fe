// SPDX-License-Identifier: GPL-2.0-only

//! The name of a firmware.

#![deny(unsafe_code)]

use crate::bindings;
use core::fmt;
use kernel::prelude::*;

/// The name of a firmware, NUL-terminated.
#[derive(Clone, Copy)]
pub(crate) struct Name([u8; bindings::EKHO_NAME_MAX as usize]);

impl Name {
    /// Checks what user space wrote.
    pub(super) fn new(bytes: [u8; bindings::EKHO_NAME_MAX as usize]) -> Result<Self> {
        let len = bytes.iter().position(|&c| c == 0).ok_or(EINVAL)?;
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || b"_.-".contains(c);
        if len == 0 || !bytes[..len].iter().all(allowed) {
            return Err(EINVAL);
        }
        Ok(Self(bytes))
    }

    /// That of a table in use, which [`Self::new`] has checked.
    pub(super) fn of(table: &bindings::bpf_flow_offload_ops) -> Self {
        Self(table.name)
    }

    /// With NULs at the end.
    pub(crate) fn bytes(&self) -> &[u8; bindings::EKHO_NAME_MAX as usize] {
        &self.0
    }
}

impl kernel::fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.iter().position(|&c| c == 0).unwrap_or(0);
        f.write_str(core::str::from_utf8(&self.0[..len]).unwrap_or("?"))
    }
}
