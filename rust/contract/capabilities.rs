// SPDX-License-Identifier: GPL-2.0-only

//! What a device can do, and the refusal of rules that it can't.

#![deny(unsafe_code)]

use crate::{
    bindings,
    contract::{
        flow::Position,
        hw_stats::{
            self,
            HwStatsList, //
        },
        reason::Reason,
        rule::Rule, //
    },
};
use kernel::prelude::*;

/// What a device can do, as its firmware declares it; 0 means no limit.
#[derive(Clone, Copy)]
pub(crate) struct Capabilities {
    pub(crate) keys: u64,
    pub(crate) actions: u64,
    pub(crate) classifiers: u32,
    pub(crate) hw_stats: u32,
    pub(crate) max_flows: u32,
    pub(crate) max_chains: u32,
    pub(crate) prio_min: u32,
    pub(crate) prio_max: u32,
    pub(crate) max_actions: u32,
    pub(crate) flow_size: u32,
    pub(crate) budget_us: u32,
    /// Whether it has tables that rules can be inserted into.
    pub(crate) tables: bool,
    /// Whether there is something besides `hw_stats` for which a flow may be refused.
    limits: bool,
}

impl Capabilities {
    /// Reads them from a table.
    pub(super) fn of(table: &bindings::bpf_flow_offload_ops) -> Self {
        Self {
            keys: table.keys,
            actions: table.actions,
            classifiers: table.classifiers,
            hw_stats: match table.hw_stats {
                0 => hw_stats::DEFAULT,
                hw_stats => hw_stats,
            },
            max_flows: table.max_flows,
            max_chains: table.max_chains,
            prio_min: table.prio_min,
            prio_max: table.prio_max,
            max_actions: table.max_actions,
            flow_size: table.flow_size,
            budget_us: table.budget_us,
            tables: table.tables != 0,
            limits: table.keys != 0
                || table.actions != 0
                || table.classifiers != 0
                || table.max_chains != 0
                || table.prio_min != 0
                || table.prio_max != 0
                || table.max_actions != 0,
        }
    }

    /// The reason for which the device can't offload a rule, if there is one.
    #[inline]
    pub(crate) fn refuse(&self, position: &Position, rule: &Rule<'_>) -> Option<Reason> {
        if rule.hw_stats & self.hw_stats != 0 && !self.limits {
            return None;
        }
        self.find_reason(position, rule)
    }

    fn find_reason(&self, position: &Position, rule: &Rule<'_>) -> Option<Reason> {
        let class = position.classifier.number();
        if self.classifiers != 0 && self.classifiers & (1 << class) == 0 {
            return Some(Reason::of(fmt!(
                "the device doesn't offload {}",
                position.classifier
            )));
        }
        if position.classifier.has_place() {
            if self.max_chains != 0 && position.chain_index >= self.max_chains {
                return Some(Reason::of(fmt!(
                    "chain {}: the device has chains 0 to {}",
                    position.chain_index,
                    self.max_chains - 1
                )));
            }
            if position.prio < self.prio_min
                || (self.prio_max != 0 && position.prio > self.prio_max)
            {
                let lowest = self.prio_min.max(1);
                let highest = match self.prio_max {
                    0 => u16::MAX.into(),
                    highest => highest,
                };
                return Some(Reason::of(fmt!(
                    "pref {}: the device has {} to {}",
                    position.prio,
                    lowest,
                    highest
                )));
            }
        }
        if self.keys != 0 {
            if let Some(field) = rule.field_of(rule.keys & !self.keys) {
                return Some(Reason::of(fmt!("the device can't match {}", field)));
            }
        }
        if self.actions != 0 {
            if let Some(action) = rule.action_beyond(self.actions) {
                return Some(Reason::of(fmt!("the device can't do action {}", action)));
            }
        }
        let n_actions = rule.rule.n_actions();
        if self.max_actions != 0 && n_actions > self.max_actions {
            return Some(Reason::of(fmt!(
                "{} actions: the device does {} at most",
                n_actions,
                self.max_actions
            )));
        }
        if rule.hw_stats & self.hw_stats == 0 {
            return Some(Reason::of(fmt!(
                "hw_stats {}can't be had; use {}or any",
                HwStatsList(rule.hw_stats),
                HwStatsList(self.hw_stats)
            )));
        }
        None
    }
}
