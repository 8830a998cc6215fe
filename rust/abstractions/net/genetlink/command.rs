// SPDX-License-Identifier: GPL-2.0-only

//! What all operations have.

use super::policy::Policy;
use crate::bindings;

/// Who may use an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Anyone.
    Anyone,
    /// Who has `CAP_NET_ADMIN` in the user namespace that owns the socket's network namespace.
    NetnsAdmin,
}

impl Permission {
    pub(super) const fn flags(self) -> u8 {
        match self {
            Self::Anyone => 0,
            Self::NetnsAdmin => bindings::GENL_UNS_ADMIN_PERM as u8,
        }
    }
}

/// What all operations have.
pub(crate) trait Command {
    /// The number of the command; replies have the same.
    const NUMBER: u8;

    /// Who may use it.
    const PERMISSION: Permission = Permission::Anyone;

    /// The attributes that a request can have; the kernel refuses all others.
    const POLICY: Policy = Policy::NONE;

    /// The longest message of an answer in bytes, attributes only. That of most fits into what the
    /// kernel provides anyway, which is less than a page.
    const ANSWER_MAX: u32 = 0;
}
