// SPDX-License-Identifier: GPL-2.0-only

//! The files about firmware: `firmware`, `capabilities`, `refusals`, `exits`.

#![deny(unsafe_code)]

use crate::{
    contract::{
        flow::Classifier,
        hw_stats::hw_stats_name,
        ops::Op,
        rule::{
            action_names,
            key_names, //
        }, //
    },
    firmware::Firmware,
    lifecycle::{
        attached::for_each_attached,
        exit_records, //
    },
    offload::ident::Ident, //
};
use core::fmt;
use kernel::sync::rcu;

/// One line for each firmware that is in use.
pub(super) fn firmware(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for_each_attached(|link, map, device| {
        let ident = device.ident();
        let guard = rcu::read_lock();
        let Some(firmware) = device.firmware.get(&guard) else {
            return Ok(());
        };
        let figures = &firmware.figures;
        write!(
            f,
            "{ident} firmware={} abi={} link={link} map={map} generation={} flows={} ops=",
            firmware.ops.name(),
            firmware.ops.abi(),
            firmware.generation,
            device.flows.len(),
        )?;
        let mut separator = "";
        for op in Op::ALL.iter().filter(|op| firmware.ops.has(**op)) {
            write!(f, "{separator}{op}")?;
            separator = ",";
        }
        for op in Op::ALL {
            write!(f, " {op}={}", figures.calls(*op))?;
        }
        writeln!(
            f,
            " replace_refused={} violations={} longest_us={}",
            figures.refused(),
            figures.violations(),
            figures.longest_us(),
        )
    })
}

/// Calls `f` with each firmware that is in use, and its device.
fn for_each_firmware(mut f: impl FnMut(&Ident, &Firmware) -> fmt::Result) -> fmt::Result {
    for_each_attached(|_, _, device| {
        let ident = device.ident();
        match device.firmware.get(&rcu::read_lock()) {
            Some(firmware) => f(&ident, firmware),
            None => Ok(()),
        }
    })
}

/// Writes names with commas between them, or a dash if there are none.
fn list(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'static str>) -> fmt::Result {
    let mut separator = "";
    for name in names {
        write!(f, "{separator}{name}")?;
        separator = ",";
    }
    f.write_str(if separator.is_empty() { "-" } else { "" })
}

/// What devices can do, as firmware declares it; a dash where it declares no limit.
pub(super) fn capabilities(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for_each_firmware(|ident, firmware| {
        let can = &firmware.capabilities;
        write!(f, "{ident} firmware={} keys=", firmware.ops.name())?;
        list(f, key_names(can.keys))?;
        f.write_str(" actions=")?;
        list(f, action_names(can.actions))?;
        f.write_str(" classifiers=")?;
        list(f, Classifier::names(can.classifiers))?;
        f.write_str(" hw_stats=")?;
        let ways = (0..3).map(|n| 1 << n).filter(|way| can.hw_stats & way != 0);
        list(f, ways.map(hw_stats_name))?;
        for (name, value) in [
            ("max_flows", can.max_flows),
            ("max_chains", can.max_chains),
            ("prio_min", can.prio_min),
            ("prio_max", can.prio_max),
            ("max_actions", can.max_actions),
            ("flow_size", can.flow_size),
            ("budget_us", can.budget_us),
        ] {
            match value {
                0 => write!(f, " {name}=-")?,
                value => write!(f, " {name}={value}")?,
            }
        }
        f.write_str("\n")
    })
}

/// How often flows were refused, by reason; errno 0 counts those that the table has no room for.
pub(super) fn refusals(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for_each_firmware(|ident, firmware| {
        firmware.for_each_refusal(|refusal| {
            writeln!(
                f,
                "{ident} firmware={} errno={} count={} reason={}",
                firmware.ops.name(),
                refusal.errno,
                refusal.count,
                refusal.reason
            )
        })
    })
}

/// The records of firmware that was stopped, the latest last.
pub(super) fn exits(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    exit_records::for_each(|_, ident, exit, flows| {
        writeln!(
            f,
            "{ident} firmware={} generation={} op={} code={} value={} flows={flows} time_ns={} reason={}",
            exit.firmware, exit.generation, exit.op, exit.code, exit.value, exit.time_ns, exit.reason,
        )
    })
}
