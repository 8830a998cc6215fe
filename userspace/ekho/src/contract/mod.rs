// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of what the firmware contract numbers, and what firmware declares with them.
//!
//! Both are made from the lists of `ekho_rule.h`, as the module's are: what is said of a
//! flow here reads as it does in the module's records and messages.

pub mod rule;
pub(crate) mod tables;
pub mod words;

use serde::Serialize;

use self::tables::{Named, ACTIONS, CLASSIFIERS, HOOKS, HW_STATS, KEYS};
use crate::object::struct_ops::Layout;

/// Name of the module, and of the kind of device that it makes.
pub const MODULE: &str = "ekho";
/// Name of the map in which firmware takes the counters of its flows from user space.
pub const STATS_MAP: &str = "flow_stats";
/// Name of the ring buffer through which firmware sends events.
pub const EVENTS_MAP: &str = "ekho_events";
/// Name of the map that counts the events that found no room.
pub const LOST_MAP: &str = "ekho_lost";

/// Stands for what has no name here: a newer module's, or none at all.
const UNKNOWN: &str = "unknown";

fn named(names: &[Named], number: u32) -> &'static str {
    names
        .iter()
        .find(|named| named.number == number)
        .map_or(UNKNOWN, |named| named.name)
}

/// The names of the bits that are set; one `unknown` for all that have none. `number` is
/// what the list has for a bit.
fn set(names: &[Named], bits: u64, number: impl Fn(u32) -> u32) -> Vec<String> {
    let mut found: Vec<String> = (0..u64::BITS)
        .filter(|bit| bits & (1 << bit) != 0)
        .map(|bit| named(names, number(bit)).to_owned())
        .collect();
    found.dedup();
    found
}

/// Of a list of numbers of bits.
fn numbered(names: &[Named], bits: u64) -> Vec<String> {
    set(names, bits, |bit| bit)
}

/// Of a list of bits.
fn flags(names: &[Named], bits: u32) -> Vec<String> {
    set(names, bits.into(), |bit| 1 << bit)
}

/// Names of a set of actions.
fn actions(bits: u64) -> Vec<String> {
    let mut found: Vec<String> = (0..u64::BITS)
        .filter(|bit| bits & (1 << bit) != 0)
        .map(|bit| action(bit).to_owned())
        .collect();
    found.dedup();
    found
}

/// Names of a set of keys.
pub fn keys(bits: u64) -> Vec<String> {
    numbered(KEYS, bits)
}

/// Names of a set of hooks.
pub fn hooks(bits: u8) -> Vec<String> {
    flags(HOOKS, bits.into())
}

/// Names of a set of ways of counting.
pub fn hw_stats(bits: u32) -> Vec<String> {
    flags(HW_STATS, bits)
}

/// Name of an action.
pub fn action(id: u32) -> &'static str {
    ACTIONS
        .get(id as usize)
        .map_or(UNKNOWN, |action| action.name())
}

/// Who wanted a flow offloaded.
pub fn classifier(classifier: u8) -> &'static str {
    named(CLASSIFIERS, classifier.into())
}

/// What a device can do, as its firmware declares it. `null` is "anything".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// What it can match.
    pub keys: Option<Vec<String>>,
    /// What it can do with packets.
    pub actions: Option<Vec<String>>,
    /// Whose flows it takes.
    pub classifiers: Option<Vec<String>>,
    /// How it counts.
    pub hw_stats: Vec<String>,
    /// How many flows it holds.
    pub max_flows: Option<u32>,
    /// How many chains, counted from 0.
    pub max_chains: Option<u32>,
    /// Lowest preference.
    pub prio_min: Option<u32>,
    /// Highest preference.
    pub prio_max: Option<u32>,
    /// How many actions a flow has at most.
    pub max_actions: Option<u32>,
    /// Bytes of private memory for each flow.
    pub flow_size: u32,
    /// Microseconds that an op may take; `null` is what the module allows by default.
    pub budget_us: Option<u32>,
    /// The tables of the device that it programs, and packets are looked up in.
    pub tables: Vec<String>,
}

/// The names of a set of tables.
fn tables(bits: u32) -> Vec<String> {
    let names = ["rules"].into_iter().enumerate();
    names
        .filter(|(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, name)| name.to_owned())
        .collect()
}

impl Capabilities {
    /// Reads them from ops that have this layout. What firmware for an older ABI
    /// doesn't have is 0 in them, which leaves the thing open.
    pub(crate) fn of(layout: &Layout, data: &[u8]) -> Self {
        let wide = |name| layout.u64(data, name).unwrap_or(0);
        let number = |name| layout.u32(data, name).unwrap_or(0);
        let names = |names: fn(u64) -> Vec<String>, bits| (bits != 0).then(|| names(bits));
        let limit = |name| Some(number(name)).filter(|limit| *limit != 0);
        // As the module takes it: an agent feeds counters, unless firmware says more.
        let hw_stats = match number("hw_stats") {
            0 => 0b110,
            bits => bits,
        };
        Self {
            keys: names(keys, wide("keys")),
            actions: names(actions, wide("actions")),
            classifiers: names(
                |bits| numbered(CLASSIFIERS, bits),
                number("classifiers").into(),
            ),
            hw_stats: self::hw_stats(hw_stats),
            max_flows: limit("max_flows"),
            max_chains: limit("max_chains"),
            prio_min: limit("prio_min"),
            prio_max: limit("prio_max"),
            max_actions: limit("max_actions"),
            flow_size: number("flow_size"),
            budget_us: limit("budget_us"),
            tables: tables(number("tables")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::struct_ops::Slot;

    #[test]
    fn numbers_have_the_names_of_the_contract() {
        assert_eq!(action(0), "pass");
        assert_eq!(action(4), "redirect");
        assert_eq!(action(35), "continue");
        assert_eq!(action(63), "unknown");
        assert_eq!(classifier(1), "flower");
        assert_eq!(classifier(6), "action");
        assert_eq!((classifier(0), classifier(200)), ("unknown", "unknown"));
        assert_eq!(hooks(3), ["ingress", "egress"]);
        assert_eq!(hw_stats(6), ["delayed", "disabled"]);
    }

    #[test]
    fn sets_are_named_in_order_with_one_name_for_all_unknown() {
        assert_eq!(keys(0b10_0110), ["basic", "ipv4_addrs", "ports_range"]);
        assert_eq!(keys(0xf << 28), ["enc_opts", "unknown"]);
        assert!(keys(0).is_empty());
    }

    fn layout(members: &[(&str, usize)]) -> Layout {
        let mut offset = 0;
        let slots = members
            .iter()
            .map(|(name, size)| {
                offset += size;
                Slot {
                    name: (*name).to_owned(),
                    offset: offset - size,
                    size: *size,
                    is_op: false,
                }
            })
            .collect();
        Layout {
            size: offset,
            slots,
        }
    }

    #[test]
    fn what_firmware_declares_is_read_by_name() {
        let layout = layout(&[("max_flows", 4), ("classifiers", 4), ("keys", 8)]);
        let mut data = vec![0; layout.size];
        layout.set(&mut data, "max_flows", &1024u32.to_ne_bytes());
        layout.set(&mut data, "classifiers", &2u32.to_ne_bytes());
        layout.set(&mut data, "keys", &6u64.to_ne_bytes());
        let can = Capabilities::of(&layout, &data);
        assert_eq!(can.max_flows, Some(1024));
        assert_eq!(can.classifiers, Some(vec!["flower".into()]));
        assert_eq!(can.keys, Some(vec!["basic".into(), "ipv4_addrs".into()]));
    }

    #[test]
    fn firmware_for_an_older_abi_leaves_all_open() {
        let can = Capabilities::of(&layout(&[("abi_version", 4)]), &[0; 4]);
        assert_eq!(can.keys, None);
        assert_eq!((can.max_flows, can.flow_size), (None, 0));
        assert_eq!(can.budget_us, None);
        assert_eq!(can.hw_stats, ["delayed", "disabled"]);
    }
}
