// SPDX-License-Identifier: GPL-2.0-only

//! Rule tables: what a device does with packets that match filters of tc.
//!
//! ```text
//!   request ──▶ compile ──▶ Rule, inactive ──firmware's yes──▶ active ──▶ withdrawn with its flow
//!                             │ in
//!   packet ──▶ pipeline ──▶ RuleTable of the block: chains, preferences, masks ──▶ RULES by key
//! ```
//!
//! Each block of filters that is bound to ports of a device has a [`RuleTable`](table::RuleTable),
//! which says where to look: for each chain its preferences in order, and within one the masks in the
//! order in which they came. A rule is found by its subtable and the masked packet, so that the cost of
//! a lookup follows the number of preferences and masks in the chain, not of rules; of a mask with ranges
//! of ports, the number of different ranges. A port has the tables of the blocks that are bound to it, one
//! a hook.
//!
//! # What a packet meets
//!
//! It is dissected once, and again after it was changed. The actions of the first rule that matches are
//! executed; a `goto` goes on in another chain. What the kernel's software does as well is left to it:
//! if a packet ends with the CPU, and none of the rules that it met is `skip_sw`, it goes up as it was,
//! and nothing counts.
//!
//! # Locks
//!
//! Packets take none but that of an action of police: all else is read under RCU. The shape of a table
//! is changed under its mutex, in process context. Rules come and go with flows.

#![deny(unsafe_code)]

pub(crate) mod compile;
mod pipeline;
pub(crate) mod policer;
mod ranges;
mod rule;
mod store;
mod subtable;
pub(crate) mod table;
pub(crate) mod target;

pub(super) use pipeline::{
    run,
    Origin,
    Outlet,
    Outlets,
    Pipeline, //
};

use crate::{
    abstractions::sync::keyed_table::KeyedTable,
    flows::CALLBACKS, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use store::RULES;

/// To be called once, before blocks can be bound. Process context.
pub(crate) fn init() -> Result {
    target::init();
    policer::init()?;
    let rules = Arc::pin_init(KeyedTable::new(CALLBACKS), GFP_KERNEL)?;
    drop(RULES.replace(Some(rules)));
    Ok(())
}

/// To be called when there are no flows any more. Process context.
pub(crate) fn end() {
    drop(RULES.replace(None));
    policer::end();
    target::clear();
}
