// SPDX-License-Identifier: GPL-2.0-only

//! A rule that is to be offloaded.

mod actions;
mod fields;
mod options;

pub(crate) use self::{
    actions::{
        action,
        action_name,
        action_names, //
    },
    fields::{
        key,
        key_names, //
    }, //
};

use crate::{
    abstractions::{
        net::packet::PacketKey,
        tc::flow_rule::FlowRule, //
    },
    bindings,
    contract::encoding::{
        encoder::Encoder,
        reader::first_field,
        tables::KEYS, //
    },
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// Room for the encoding of most rules, in the caller's stack. Aligned for firmware to copy by words.
#[repr(align(8))]
pub(crate) struct Room([u8; bindings::EKHO_RULE_SHORT as usize]);

impl Room {
    /// Nothing is in it.
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self([0; bindings::EKHO_RULE_SHORT as usize])
    }
}

/// A rule that is to be offloaded, with the results of reading it.
pub(crate) struct Rule<'a> {
    pub(crate) rule: FlowRule<'a>,
    pub(crate) classid: u32,
    pub(crate) knode: Option<&'a bindings::tc_cls_u32_knode>,
    /// What is matched: a bit for each key that has a mask, as `enum ekho_key` numbers them.
    pub(super) keys: u64,
    /// See [`FlowRule::hw_stats`].
    pub(super) hw_stats: u32,
    /// Room for a record of each action if there are more than [`FEW_ACTIONS`].
    pub(super) action_records: KVVec<Opaque<bindings::ekho_action>>,
    short: &'a [u8],
    /// Instead of `short` if the encoding is longer.
    long: KVVec<u8>,
    /// How many bytes the encoding has; what is behind them is zero.
    len: usize,
}

/// Actions of a rule whose records need no memory from the heap.
pub(super) const FEW_ACTIONS: usize = 8;

/// Encodes a rule that is longer than [`Room`].
#[cold]
fn encode_long(rule: &FlowRule<'_>) -> Result<(KVVec<u8>, usize)> {
    let mut long = KVVec::from_elem(0, bindings::EKHO_RULE_MAX as usize, GFP_KERNEL)?;
    let mut encoder = Encoder::new(&mut long);
    fields::encode(rule, &mut encoder);
    actions::encode(rule, &mut encoder);
    let len = encoder.finish_cut();
    Ok((long, len))
}

impl<'a> Rule<'a> {
    /// Reads and encodes `rule`. May sleep.
    pub(crate) fn new(
        rule: FlowRule<'a>,
        room: &'a mut Room,
        classid: u32,
        knode: Option<&'a bindings::tc_cls_u32_knode>,
    ) -> Result<Self> {
        let mut encoder = Encoder::new(&mut room.0);
        let keys = fields::encode(&rule, &mut encoder);
        actions::encode(&rule, &mut encoder);
        let (len, complete) = encoder.finish();
        let (long, len) = match complete {
            true => (KVVec::new(), len),
            false => encode_long(&rule)?,
        };
        let mut action_records = KVVec::new();
        let n_actions = rule.n_actions() as usize;
        if n_actions > FEW_ACTIONS {
            action_records.reserve(n_actions, GFP_KERNEL)?;
            for _ in 0..n_actions {
                action_records.push(Opaque::uninit(), GFP_KERNEL)?;
            }
        }
        Ok(Self {
            rule,
            classid,
            knode,
            keys,
            hw_stats: rule.hw_stats(),
            action_records,
            short: &room.0,
            long,
            len,
        })
    }

    /// The encoding, with the zero bytes behind it, and how many bytes it has itself.
    pub(super) fn encoding_and_room(&self) -> (&[u8], usize) {
        let room = match &*self.long {
            [] => self.short,
            long => long,
        };
        (room, self.len)
    }

    /// The encoding.
    pub(crate) fn encoding(&self) -> &[u8] {
        let (room, len) = self.encoding_and_room();
        room.get(..len).unwrap_or(room)
    }

    /// The first field that is matched, by one of a set of keys: its name; none if the set is empty.
    pub(super) fn field_of(&self, keys: u64) -> Option<&'static str> {
        if keys == 0 {
            return None;
        }
        let key = keys.trailing_zeros();
        let field = first_field(self.encoding(), key);
        Some(field.unwrap_or_else(|| match KEYS.get(key as usize) {
            Some(key) => key.name,
            None => "an unknown key",
        }))
    }

    /// What packets that it matches have in their keys, and the mask of that. If packets don't show
    /// something that it matches, the result is the name of that.
    pub(crate) fn packet_keys(&self) -> Result<(PacketKey, PacketKey), &'static str> {
        let shown = fields::packet_keys(&self.rule, self.keys);
        shown.map_err(|name| self.field_of(self.keys & !fields::SHOWN).unwrap_or(name))
    }

    /// The first action that isn't in a set: its name.
    pub(super) fn action_beyond(&self, set: u64) -> Option<&'static str> {
        actions::action_beyond(&self.rule, set)
    }
}
