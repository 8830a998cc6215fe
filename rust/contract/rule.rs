// SPDX-License-Identifier: GPL-2.0-only

//! A rule that is to be offloaded.

#![deny(unsafe_code)]

use crate::{
    abstractions::tc::flow_rule::FlowRule,
    bindings, //
};

/// A rule that is to be offloaded, with the results of reading it.
pub(crate) struct Rule<'a> {
    pub(crate) rule: FlowRule<'a>,
    pub(crate) classid: u32,
    pub(crate) knode: *mut bindings::tc_cls_u32_knode,
    /// See [`FlowRule::read`].
    pub(super) keys: u64,
    /// See [`FlowRule::hw_stats`].
    pub(super) hw_stats: u32,
}

impl<'a> Rule<'a> {
    /// `keys` is what `rule` matches: see [`FlowRule::read`].
    pub(crate) fn new(
        rule: FlowRule<'a>,
        keys: u64,
        classid: u32,
        knode: *mut bindings::tc_cls_u32_knode,
    ) -> Self {
        Self {
            rule,
            classid,
            knode,
            keys,
            hw_stats: rule.hw_stats(),
        }
    }
}
