// SPDX-License-Identifier: GPL-2.0-only

//! What the module knows, for people and tools: `/sys/kernel/debug/ekho/`.
//!
//! One record a line, fields as `key=value` with a blank between them; no value holds a blank.
//! Fields may be added and move; readers go by their names.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        debugfs::Files,
        flow_offload::StatsDelta,
        flow_rule::text::{
            ActionsText,
            MatchText, //
        },
    },
    flows::Flow,
    lifecycle,
    ops::contract,
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
        &[
            (c"version", version),
            (c"devices", devices),
            (c"firmware", firmware),
            (c"flows", flows),
        ],
        owner,
    )
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
            "{ident} kind={} hw_tc_offload={} bindings={} flows={} firmware=",
            if port.own { "ekho" } else { "indirect" },
            u8::from(ident.hw_tc_offload),
            port.n_bindings(),
            port.flows.len(),
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
            " replace={} replace_refused={} destroy={} stats={} violations={}",
            figures.replace.load(Relaxed),
            figures.replace_refused.load(Relaxed),
            figures.destroy.load(Relaxed),
            figures.stats.load(Relaxed),
            figures.violations.load(Relaxed),
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
    let totals = flow.reported();
    write!(
        f,
        "{ident} cookie={:#x} chain={} prio={} protocol={:#06x} skip_sw={} packets={} bytes={} drops={} polls={} last_used_ms=",
        flow.cookie,
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
