// SPDX-License-Identifier: GPL-2.0-only

//! From a filter to a rule, or to the reason why it can't be one.
//!
//! A filter whose packets the device would treat in another way than the kernel's software is refused,
//! here or nowhere.

#![deny(unsafe_code)]

use super::{
    policer::Share,
    rule::{
        Action,
        Rule,
        Step, //
    },
    store::{
        Handle,
        RULES, //
    },
    table::{
        Place,
        Reserved,
        RuleTable, //
    },
    target::Target, //
};
use crate::{
    abstractions::{
        sync::keyed_table::Keyed,
        tc::{
            control::Control,
            flow_action::{
                self,
                FlowAction,
                Kind, //
            }, //
        },
    },
    contract::{
        reason::Reason,
        rule::{
            self,
            action_name, //
        },
    },
    flows::programmed::Programmed, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// Why there is no rule.
enum Failure {
    /// The device can't execute it.
    Refused(Reason),
    /// For want of memory.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn refused<T>(reason: fmt::Arguments<'_>) -> Result<T, Failure> {
    Err(Failure::Refused(Reason::of(reason)))
}

/// Makes a rule of a filter, and adds it to a table; it matches nothing before it is activated. If the
/// device can't execute it, the inner result is the reason. May sleep.
pub(crate) fn compile(
    table: &RuleTable,
    place: Place,
    filter: &rule::Rule<'_>,
    skip_sw: bool,
) -> Result<Result<KBox<dyn Programmed>, Reason>> {
    match make(table, place, filter, skip_sw) {
        Ok(handle) => Ok(Ok(handle)),
        Err(Failure::Refused(reason)) => Ok(Err(reason)),
        Err(Failure::Failed(error)) => Err(error),
    }
}

fn make(
    table: &RuleTable,
    place: Place,
    filter: &rule::Rule<'_>,
    skip_sw: bool,
) -> Result<KBox<dyn Programmed>, Failure> {
    if filter.classid != 0 {
        return refused(fmt!("classid: the device has no classes"));
    }
    let (key, mask) = match filter.packet_keys() {
        Ok(keys) => keys,
        Err(field) => return refused(fmt!("the device can't match {field} in packets")),
    };
    let actions = actions(filter)?;
    let Reserved {
        subtable,
        key,
        hash,
        range,
    } = match table.reserve(place, &key, &mask) {
        Err(error) if error == ENOSPC => {
            return refused(fmt!(
                "the device has no room for another range of ports of this mask"
            ));
        }
        reserved => reserved?,
    };
    let rule = Rule::new(subtable.clone(), key, range, skip_sw, actions);
    let rule = Arc::new(Keyed::new(hash, rule), GFP_KERNEL).inspect_err(|_| subtable.release())?;
    // From here on the handle takes back what was reserved.
    let handle = KBox::new(Handle(rule.clone()), GFP_KERNEL)?;
    RULES.get(&rcu::read_lock()).ok_or(ENODEV)?.insert(rule)?;
    Ok(handle)
}

fn actions(filter: &rule::Rule<'_>) -> Result<KVec<Action>, Failure> {
    let mut actions: KVec<Action> = KVec::new();
    for action in filter.rule.steps() {
        let (step, passes) = step(&action)?;
        let cookie = action.cookie();
        // The keys of one pedit come one by one.
        let step = match (step, actions.last_mut()) {
            (Step::Edit(edit), Some(last)) if cookie != 0 && last.cookie() == cookie => {
                if let Step::Edit(edits) = &mut last.step {
                    for edit in edit {
                        edits.push(edit, GFP_KERNEL)?;
                    }
                    continue;
                }
                Step::Edit(edit)
            }
            (step, _) => step,
        };
        actions.push(Action::new(cookie, step, passes), GFP_KERNEL)?;
    }
    // The kernel asks for the counters of neither, and shows the same for both.
    if actions.iter().filter(|action| action.is_mixed()).count() > 1 {
        return refused(fmt!(
            "only one pedit action of a filter may both set and add"
        ));
    }
    Ok(actions)
}

/// What an entry does, and whether the packet passes after it.
fn step(action: &FlowAction<'_>) -> Result<(Step, bool), Failure> {
    let name = action_name(action.id());
    let kind = action.kind();
    if action.depends() {
        return refused(fmt!(
            "action {name} depends on chance, or on what is in the packet"
        ));
    }
    let target = |to: flow_action::Target<'_>| match to.dev {
        Some(dev) => Ok(Target::new(dev, to.ingress)?),
        None => refused(fmt!(
            "action {name} to a block, or to a device that has gone"
        )),
    };
    // Whether it is the purpose of the action to say what becomes of the packet.
    let mut decides = true;
    let step = match kind {
        Kind::Accept => Step::Pass,
        Kind::Drop => Step::Drop,
        Kind::Trap => Step::Trap,
        Kind::Goto(chain) => Step::Goto(chain),
        Kind::Redirect(to) => {
            if action.control() != Control::Stolen {
                return refused(fmt!("action {name} must keep the packet (stolen)"));
            }
            Step::Redirect(target(to)?)
        }
        Kind::Police => match Share::new(action)? {
            Ok(share) => Step::Police(share),
            Err(reason) => return refused(fmt!("{reason}")),
        },
        kind => {
            decides = false;
            match kind {
                Kind::Mirror(to) => Step::Mirror(target(to)?),
                Kind::Change(change) => Step::Change(change),
                Kind::Edit(edit) => {
                    let mut edits = KVec::new();
                    edits.push(edit, GFP_KERNEL)?;
                    Step::Edit(edits)
                }
                _ => return refused(fmt!("the device can't execute action {name} on packets")),
            }
        }
    };
    if decides {
        return Ok((step, false));
    }
    match action.control() {
        Control::Pipe => Ok((step, false)),
        Control::Pass => Ok((step, true)),
        Control::Drop | Control::Stolen | Control::Other => {
            refused(fmt!("action {name} with a control other than pipe or pass"))
        }
    }
}
