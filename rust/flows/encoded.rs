// SPDX-License-Identifier: GPL-2.0-only

//! What a rule says, encoded for the flow that keeps it.

#![deny(unsafe_code)]

use crate::abstractions::tc::flow_rule::{
    text::Encoder,
    FlowRule, //
};
use kernel::prelude::*;

/// Bytes that the encoded rule of a flow may take; what is beyond isn't shown.
const RULE_MAX: usize = 512;

/// Those for which there is room in the flow: enough for TCP over IPv4 by addresses and ports.
const RULE_ROOM: usize = 23;

/// What a rule says, encoded for a flow that keeps it.
pub(crate) struct Encoded {
    room: [u8; RULE_ROOM],
    /// How much of it is used; 0 if there isn't enough.
    len: u8,
}

impl Encoded {
    /// Of a rule; and what [`FlowRule::read`] returns.
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

    /// What there was room for; none if there wasn't enough.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self.len {
            0 => None,
            len => self.room.get(..len.into()),
        }
    }
}

/// Of a rule for which there isn't enough room in the flow. May sleep.
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
