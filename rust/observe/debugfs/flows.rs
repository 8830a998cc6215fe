// SPDX-License-Identifier: GPL-2.0-only

//! The file `flows`.

#![deny(unsafe_code)]

use crate::{
    abstractions::tc::flow_offload::StatsDelta,
    contract::{
        encoding::text::{
            ActionsText,
            MatchText, //
        },
        flow::Classifier, //
    },
    flows::flow::Flow,
    offload::{
        devices,
        ident::Ident, //
    },
};
use core::fmt;

/// One line for each flow.
pub(super) fn flows(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for device in &*devices::all().map_err(|_| fmt::Error)? {
        let ident = device.ident();
        device.flows.for_each(|flow| flow_line(f, &ident, flow))?;
    }
    Ok(())
}

fn flow_line(f: &mut fmt::Formatter<'_>, ident: &Ident, flow: &Flow) -> fmt::Result {
    let totals = flow.counters.reported();
    write!(
        f,
        "{ident} cookie={:#x} classifier={} chain={} prio={} protocol={:#06x} skip_sw={} packets={} bytes={} drops={} stats_requests={}",
        flow.cookie(),
        flow.position.classifier.name(),
        flow.position.chain_index,
        flow.position.prio,
        flow.position.protocol,
        u8::from(flow.position.skip_sw),
        totals.packets,
        totals.bytes,
        totals.drops,
        flow.stats_requests(),
    )?;
    if flow.position.classifier == Classifier::Ct {
        write!(f, " ct_zone={}", flow.position.ct_zone)?;
    }
    match totals.last_used_ns {
        0 => f.write_str(" last_used_ms=-1")?,
        last_used_ns => write!(f, " last_used_ms={}", StatsDelta::age_ms(last_used_ns))?,
    }
    writeln!(
        f,
        " match={} actions={}",
        MatchText(flow.rule()),
        ActionsText(flow.rule())
    )
}
