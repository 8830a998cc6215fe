// SPDX-License-Identifier: GPL-2.0-only

//! What becomes of a packet after an action: `TC_ACT_*`.
//!
//! C header: [`include/uapi/linux/pkt_cls.h`](srctree/include/uapi/linux/pkt_cls.h)

use crate::bindings;

/// What becomes of a packet after an action: `TC_ACT_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// The next action of the list.
    Pipe,
    /// It passes, and no other filter sees it.
    Pass,
    Drop,
    /// The action keeps it, as `mirred` does with what it redirects.
    Stolen,
    /// Anything else.
    Other,
}

impl Control {
    /// What a `TC_ACT_*` says.
    pub(super) fn of(control: i32) -> Self {
        match control {
            bindings::EKHO_CONST_TC_ACT_PIPE => Self::Pipe,
            bindings::EKHO_CONST_TC_ACT_OK => Self::Pass,
            bindings::EKHO_CONST_TC_ACT_SHOT => Self::Drop,
            bindings::EKHO_CONST_TC_ACT_STOLEN => Self::Stolen,
            _ => Self::Other,
        }
    }
}
