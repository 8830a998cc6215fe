// SPDX-License-Identifier: GPL-2.0-only

//! A rule that is to be offloaded.

#![deny(unsafe_code)]

use crate::{
    abstractions::tc::flow_rule::FlowRule,
    bindings, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A rule that is to be offloaded, with the results of reading it.
pub(crate) struct Rule<'a> {
    pub(crate) rule: FlowRule<'a>,
    pub(crate) classid: u32,
    pub(crate) knode: Option<&'a bindings::tc_cls_u32_knode>,
    /// See [`FlowRule::read`].
    pub(super) keys: u64,
    /// See [`FlowRule::hw_stats`].
    pub(super) hw_stats: u32,
    /// Room for a record of each action if there are more than [`FEW_ACTIONS`].
    pub(super) action_records: KVVec<Opaque<bindings::ekho_action>>,
}

/// Actions of a rule whose records need no memory from the heap.
pub(super) const FEW_ACTIONS: usize = 8;

impl<'a> Rule<'a> {
    /// `keys` is what `rule` matches: see [`FlowRule::read`]. May sleep.
    pub(crate) fn new(
        rule: FlowRule<'a>,
        keys: u64,
        classid: u32,
        knode: Option<&'a bindings::tc_cls_u32_knode>,
    ) -> Result<Self> {
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
        })
    }
}
