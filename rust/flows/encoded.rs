// SPDX-License-Identifier: GPL-2.0-only

//! The encoded rule that a flow keeps.

#![deny(unsafe_code)]

use crate::abstractions::tc::flow_rule::{
    text::Encoder,
    FlowRule, //
};
use kernel::prelude::*;

/// The longest encoded rule in bytes; a longer one is cut.
const RULE_MAX: usize = 512;

/// The bytes that the flow itself has room for: TCP over IPv4 with addresses and ports fits.
const RULE_ROOM: usize = 23;

/// An encoded rule, if it fits into the flow.
pub(crate) struct Encoded {
    room: [u8; RULE_ROOM],
    /// The bytes used; 0 if the rule doesn't fit.
    len: u8,
}

impl Encoded {
    /// Encodes a rule; also returns what [`FlowRule::read`] does.
    pub(crate) fn new(rule: &FlowRule<'_>) -> (Self, u64) {
        let mut new = Self {
            room: [0; RULE_ROOM],
            len: 0,
        };
        let mut encoder = Encoder::new(&mut new.room);
        let keys = rule.read(&mut encoder);
        let (encoded, complete) = encoder.finish();
        if complete {
            new.len = encoded.len() as u8;
        }
        (new, keys)
    }

    /// The encoded rule; none if it didn't fit.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self.len {
            0 => None,
            len => self.room.get(..len.into()),
        }
    }
}

/// Encodes a rule that doesn't fit into the flow. May sleep.
#[cold]
pub(super) fn encode_long(rule: &FlowRule<'_>) -> Result<KVec<u8>> {
    let mut room = KBox::new([0; RULE_MAX], GFP_KERNEL)?;
    let mut encoder = Encoder::new(&mut *room);
    rule.read(&mut encoder);
    let (encoded, _complete) = encoder.finish();
    let mut bytes = KVec::new();
    bytes.extend_from_slice(encoded, GFP_KERNEL)?;
    Ok(bytes)
}
