// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parts that several results have.

use std::path::Path;

use ekho::contract::rule::{Action, Argument, Match};
use ekho::contract::words::words;
use ekho::kernel::netns;
use ekho::module::state::{Exit, OnDevice};

use super::style::Style;
use super::table::{Align, Table};

/// A line for a person when a list is empty, nothing for a program.
pub fn nothing(style: Style, text: &str) -> String {
    if style.terminal.is_some() {
        format!("{text}\n")
    } else {
        String::new()
    }
}

/// A network namespace, seen from `here`.
fn netns_from(here: Option<u64>, number: u64, name: &Option<String>) -> String {
    match name {
        Some(name) => name.clone(),
        None if here == Some(number) => "this".into(),
        None => number.to_string(),
    }
}

pub fn netns_text(number: u64, name: &Option<String>) -> String {
    netns_from(netns::current().ok(), number, name)
}

pub fn or_dash(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "-".into())
}

pub fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Adds the namespace after the first column, where that says something.
pub struct Rows {
    pub table: Table,
    /// Looked up once, as there may be very many rows.
    here: Option<u64>,
    with_netns: bool,
}

impl Rows {
    pub fn new<T: OnDevice>(records: &[T], columns: &[(&str, Align)]) -> Self {
        let here = netns::current().ok();
        let with_netns = records
            .iter()
            .any(|record| here.is_some_and(|here| here != record.netns()));
        let mut all = columns.to_vec();
        if with_netns {
            all.insert(1, ("NETNS", Align::Left));
        }
        Self {
            table: Table::new(&all),
            here,
            with_netns,
        }
    }

    /// Adds a row about a device of a network namespace.
    pub fn row(&mut self, netns: u64, name: &Option<String>, mut cells: Vec<String>) {
        if self.with_netns {
            cells.insert(1, netns_from(self.here, netns, name));
        }
        self.table.row(cells);
    }
}

/// A field and what it must be: in tc's words, or as programs get it.
pub fn match_text(item: &Match) -> String {
    if let Some(words) = words(item) {
        return format!("{} {words}", item.field);
    }
    match &item.mask {
        Some(mask) => format!("{} {}/{mask}", item.field, item.value),
        None => format!("{} {}", item.field, item.value),
    }
}

pub fn action_text(action: &Action) -> String {
    let mut text = action.name.clone();
    if let Some(argument) = &action.argument {
        text += &format!(" {argument}");
    }
    for Argument { name, value } in &action.arguments {
        text += &format!(" {name} {value}");
    }
    text
}

pub fn joined(items: impl Iterator<Item = String>) -> String {
    let text = items.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "-".into()
    } else {
        text
    }
}

/// What was counted, in words.
pub fn counted(packets: u64, bytes: u64, drops: u64) -> String {
    format!(
        "{}, {}, {}",
        plural(packets, "packet"),
        plural(bytes, "byte"),
        plural(drops, "drop")
    )
}

/// A time as the kernel's log has it.
pub fn stamp(time_ns: u64) -> String {
    format!(
        "[{:5}.{:06}]",
        time_ns / 1_000_000_000,
        time_ns % 1_000_000_000 / 1000
    )
}

pub fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// What the module remembers of firmware that it stopped.
pub fn exit_text(exit: &Exit) -> String {
    format!(
        "{} firmware {} was stopped: {}; {} went back to software",
        stamp(exit.time_ns),
        exit.firmware,
        exit.reason,
        plural(exit.flows, "flow")
    )
}
