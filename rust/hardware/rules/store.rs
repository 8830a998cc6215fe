// SPDX-License-Identifier: GPL-2.0-only

//! The rules of all tables, and how flows hold them.

#![deny(unsafe_code)]

use super::rule::Rule;
use crate::{
    abstractions::sync::{
        keyed_table::{
            Keyed,
            KeyedTable, //
        },
        rcu::RcuSlot, //
    },
    contract::stats::Totals,
    flows::programmed::Programmed, //
};
use kernel::sync::{
    rcu,
    Arc, //
};

/// The rules of all tables, by a hash of their subtable and key.
pub(super) static RULES: RcuSlot<KeyedTable<Rule>> = RcuSlot::new();

/// A rule as a flow has it.
pub(super) struct Handle(pub(super) Arc<Keyed<Rule>>);

impl Programmed for Handle {
    fn activate(&self) {
        self.0.activate();
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn withdraw(&self) {
        if self.0.withdraw() {
            return;
        }
        if let Some(rules) = RULES.get(&rcu::read_lock()) {
            rules.remove(&self.0);
        }
    }

    fn totals(&self, action: u64) -> Totals {
        let found = self
            .0
            .actions
            .iter()
            .find(|candidate| action == 0 || candidate.cookie() as u64 == action);
        self.0.totals(found)
    }

    fn counts_actions(&self) -> bool {
        self.0.actions.len() > 1
    }

    fn totals_unasked(&self) -> Option<Totals> {
        let found = self.0.actions.iter().find(|action| action.is_mixed())?;
        Some(self.0.totals(Some(found)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // If its flow was never added.
        self.withdraw();
    }
}
