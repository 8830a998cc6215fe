// SPDX-License-Identifier: GPL-2.0-only

//! What the module knows, for people and tools: `/sys/kernel/debug/ekho/`.
//!
//! One record a line, fields as `key=value` with a blank between them; no value holds a blank, but
//! for `reason`, which comes last. Fields may be added and move; readers go by their names.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        debugfs::{
            File,
            Files,
            Show, //
        },
        tc::{
            flow_offload::StatsDelta,
            flow_rule::{
                action_names, key_names,
                text::{
                    ActionsText,
                    MatchText, //
                },
            },
        },
    },
    faults,
    flows::{
        Flow,
        Source, //
    },
    lifecycle,
    ops::{
        contract::{
            self,
            hw_stats_name, //
        },
        firmware::Firmware, //
    },
    port::{
        self,
        Ident, //
    },
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        rcu, //
    },
};

/// The files, until dropped.
pub(crate) fn files(owner: &'static ThisModule) -> impl PinInit<Files, Error> {
    Files::new(
        c"ekho",
        const {
            &[
                shown(c"version", version),
                shown(c"devices", devices),
                shown(c"firmware", firmware),
                shown(c"flows", flows),
                shown(c"capabilities", capabilities),
                shown(c"refusals", refusals),
                shown(c"exits", exits),
                File {
                    name: c"faults",
                    show: faults::control::show,
                    take: Some(faults::control::take),
                },
            ]
        },
        owner,
    )
}

/// A file that can only be read.
const fn shown(name: &'static CStr, show: Show) -> File {
    File {
        name,
        show,
        take: None,
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ifindex={} dev={} netns={}",
            self.ifindex, self.name, self.netns
        )
    }
}

fn version(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "abi={} module={}", contract::ABI, crate::VERSION)
}

fn devices(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for port in &*port::all().map_err(|_| fmt::Error)? {
        let ident = port.ident();
        write!(
            f,
            "{ident} kind={} hw_tc_offload={} bindings={} flows={} occupied={} parts={} firmware=",
            if port.own { "ekho" } else { "indirect" },
            u8::from(ident.hw_tc_offload),
            port.n_bindings(),
            port.flows.len(),
            port.occupied(),
            port.parts.len(),
        )?;
        match port.firmware.get(&rcu::read_lock()) {
            Some(firmware) => writeln!(f, "{}", firmware.ops.name())?,
            None => f.write_str("-\n")?,
        }
    }
    Ok(())
}

fn firmware(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    lifecycle::for_each_attached(|link, map, port| {
        let ident = port.ident();
        let guard = rcu::read_lock();
        let Some(firmware) = port.firmware.get(&guard) else {
            return Ok(());
        };
        let figures = &firmware.figures;
        write!(
            f,
            "{ident} firmware={} abi={} link={link} map={map} generation={} flows={} ops=",
            firmware.ops.name(),
            firmware.ops.abi(),
            firmware.generation,
            port.flows.len(),
        )?;
        let mut separator = "";
        for name in firmware.ops.names() {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        writeln!(
            f,
            " replace={} replace_refused={} destroy={} stats={} violations={} longest_us={}",
            figures.replace.load(Relaxed),
            figures.replace_refused.load(Relaxed),
            figures.destroy.load(Relaxed),
            figures.stats.load(Relaxed),
            figures.violations.load(Relaxed),
            figures.longest_us.load(Relaxed),
        )
    })
}

/// Calls `f` with each firmware that is in use, and its device.
fn for_each_firmware(mut f: impl FnMut(&Ident, &Firmware) -> fmt::Result) -> fmt::Result {
    lifecycle::for_each_attached(|_, _, port| {
        let ident = port.ident();
        match port.firmware.get(&rcu::read_lock()) {
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

/// What devices can do, as firmware declares it; a dash where it leaves a thing open.
fn capabilities(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for_each_firmware(|ident, firmware| {
        let can = &firmware.capabilities;
        write!(f, "{ident} firmware={} keys=", firmware.ops.name())?;
        list(f, key_names(can.keys))?;
        f.write_str(" actions=")?;
        list(f, action_names(can.actions))?;
        f.write_str(" classifiers=")?;
        list(f, Source::names(can.classifiers))?;
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

/// How often flows were refused, by reason; errno 0 stands for reasons too many to tell apart.
fn refusals(f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// The last firmware that was stopped for what it did, the latest at the end.
fn exits(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    lifecycle::for_each_exit(|ident, exit, flows| {
        writeln!(
            f,
            "{ident} firmware={} generation={} op={} code={} value={} flows={flows} time_ns={} reason={}",
            exit.firmware, exit.generation, exit.op, exit.code, exit.value, exit.time_ns, exit.reason,
        )
    })
}

fn flows(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for port in &*port::all().map_err(|_| fmt::Error)? {
        let ident = port.ident();
        port.flows.for_each(|flow| flow_line(f, &ident, flow))?;
    }
    Ok(())
}

fn flow_line(f: &mut fmt::Formatter<'_>, ident: &Ident, flow: &Flow) -> fmt::Result {
    let totals = flow.counters.reported();
    write!(
        f,
        "{ident} cookie={:#x} source={} chain={} prio={} protocol={:#06x} skip_sw={} packets={} bytes={} drops={} polls={} last_used_ms=",
        flow.cookie,
        flow.position.source.name(),
        flow.position.chain_index,
        flow.position.prio,
        flow.position.protocol,
        u8::from(flow.position.skip_sw),
        totals.packets,
        totals.bytes,
        totals.drops,
        flow.polls(),
    )?;
    match totals.last_used_ns {
        0 => f.write_str("-1")?,
        last_used_ns => write!(f, "{}", StatsDelta::age_ms(last_used_ns))?,
    }
    writeln!(
        f,
        " match={} actions={}",
        MatchText(flow.rule()),
        ActionsText(flow.rule())
    )
}
