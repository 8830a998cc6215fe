// SPDX-License-Identifier: GPL-2.0-only

//! The encoded rule that a flow keeps.

#![deny(unsafe_code)]

use kernel::prelude::*;

/// The bytes that the flow itself has room for: TCP over IPv4 with both addresses and ports fits, with one action.
const ROOM: usize = 31;

/// An encoded rule, if it fits into the flow.
pub(super) struct Encoded {
    room: [u8; ROOM],
    /// The bytes used; 0 if the rule doesn't fit.
    len: u8,
}

impl Encoded {
    /// Copies an encoded rule.
    pub(super) fn new(rule: &[u8]) -> Self {
        let mut new = Self {
            room: [0; ROOM],
            len: 0,
        };
        if let Some(room) = new.room.get_mut(..rule.len()) {
            room.copy_from_slice(rule);
            new.len = rule.len() as u8;
        }
        new
    }

    /// The encoded rule; none if it didn't fit.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self.len {
            0 => None,
            len => self.room.get(..len.into()),
        }
    }
}

/// Copies an encoded rule that doesn't fit into the flow. May sleep.
#[cold]
pub(super) fn copy_long(rule: &[u8]) -> Result<KVec<u8>> {
    let mut bytes = KVec::new();
    bytes.extend_from_slice(rule, GFP_KERNEL)?;
    Ok(bytes)
}
