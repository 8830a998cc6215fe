// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is attached: from the module's records alone, or with the kernel's objects.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use serde::Serialize;

use super::attachment::Attachment;
use super::pins::Pins;
use crate::contract::Capabilities;
use crate::error::Result;
use crate::kernel::bpf;
use crate::kernel::capability::{self, Capability};
use crate::module::state::{self, Filter, State};
use crate::module::Module;
use crate::number::hex;

/// A program of attached firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramStatus {
    /// Op that it implements.
    pub op: String,
    /// Id of the program.
    pub id: u32,
    /// Name, cut at 15 bytes by the kernel.
    pub name: String,
    /// Hash of its instructions, in hexadecimal.
    pub tag: String,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Instructions that the verifier walked.
    pub verified_insns: u32,
    /// Times it ran, when `kernel.bpf_stats_enabled` is set.
    pub run_count: u64,
    /// Nanoseconds spent in it, when `kernel.bpf_stats_enabled` is set.
    pub run_time_ns: u64,
}

/// A map of attached firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapStatus {
    /// Id of the map.
    pub id: u32,
    /// Name: the pin's, else the kernel's, cut at 15 bytes.
    pub name: String,
    /// Type, as bpftool calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Key size in bytes.
    pub key_size: u32,
    /// Value size in bytes.
    pub value_size: u32,
    /// Maximum number of entries.
    pub max_entries: u32,
    /// Where it is pinned.
    pub pin: Option<PathBuf>,
}

/// Everything there is to know of attached firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What the module says.
    #[serde(flatten)]
    pub record: state::Firmware,
    /// Where the link is pinned.
    pub pins: Vec<PathBuf>,
    /// Its programs, by op.
    pub programs: Vec<ProgramStatus>,
    /// Its maps.
    pub maps: Vec<MapStatus>,
    /// What the device can do; `null` when the module doesn't tell.
    pub capabilities: Option<Capabilities>,
    /// How much of `max_flows` is used; `null` when the module doesn't tell.
    pub table_entries: Option<u64>,
    /// How often flows were refused, by reason.
    pub refusals: Vec<state::Refusal>,
    /// Firmware that was stopped on this device because it broke the contract, the oldest
    /// first.
    pub exits: Vec<state::Exit>,
}

/// The firmware that a filter selects, from the module's records alone as far as
/// that goes.
pub fn list(state: &dyn State, filter: &Filter) -> Result<Vec<state::Firmware>> {
    let mut records = state.firmware(filter)?;
    for record in &mut records {
        if record.map.is_none() {
            record.map = bpf::link_by_id(record.link)
                .and_then(|link| bpf::link_info(link.as_fd()))
                .ok()
                .and_then(|info| info.map_id);
        }
    }
    Ok(records)
}

/// Everything about the firmware that a filter selects.
pub fn status(state: &dyn State, pins: &Pins, filter: &Filter) -> Result<Vec<Status>> {
    capability::require("looking at firmware", &[Capability::SysAdmin])?;
    let records = state.firmware(filter)?;
    let module = Module::open()?;
    let declared = state.capabilities(filter)?;
    let devices = state.devices(filter)?;
    let refusals = state.refusals(filter)?;
    let exits = state.exits(filter)?;
    records
        .into_iter()
        .map(|record| {
            let here = (record.ifindex, record.netns);
            let attachment = Attachment::open(&module, record)?;
            let links = pins.find_link(attachment.record.link);
            let programs = attachment
                .programs()?
                .into_iter()
                .map(|(op, info)| ProgramStatus {
                    op,
                    id: info.id,
                    name: info.name,
                    tag: hex(&info.tag),
                    jited_bytes: info.jited_len,
                    verified_insns: info.verified_insns,
                    run_count: info.run_count,
                    run_time_ns: info.run_time_ns,
                })
                .collect();
            let maps = attachment
                .maps(&links)?
                .into_iter()
                .map(|map| {
                    let info = map.map.info();
                    MapStatus {
                        id: info.id,
                        name: map.name,
                        kind: bpf::map_type_name(info.kind),
                        key_size: info.key_size,
                        value_size: info.value_size,
                        max_entries: info.max_entries,
                        pin: map.pin,
                    }
                })
                .collect();
            Ok(Status {
                record: attachment.record,
                pins: links,
                programs,
                maps,
                capabilities: declared
                    .iter()
                    .find(|declared| (declared.ifindex, declared.netns) == here)
                    .map(|declared| declared.capabilities.clone()),
                table_entries: devices
                    .iter()
                    .find(|device| (device.ifindex, device.netns) == here)
                    .and_then(|device| device.table_entries),
                refusals: refusals
                    .iter()
                    .filter(|refusal| (refusal.ifindex, refusal.netns) == here)
                    .cloned()
                    .collect(),
                exits: exits
                    .iter()
                    .filter(|exit| (exit.ifindex, exit.netns) == here)
                    .cloned()
                    .collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_status_is_stable() {
        let program = ProgramStatus {
            op: "replace".into(),
            id: 1,
            name: "n".into(),
            tag: "00".into(),
            jited_bytes: 2,
            verified_insns: 3,
            run_count: 4,
            run_time_ns: 5,
        };
        assert_eq!(
            serde_json::to_string(&program).unwrap(),
            r#"{"op":"replace","id":1,"name":"n","tag":"00","jited_bytes":2,"verified_insns":3,"run_count":4,"run_time_ns":5}"#
        );
        let map = MapStatus {
            id: 1,
            name: "m".into(),
            kind: "hash".into(),
            key_size: 8,
            value_size: 32,
            max_entries: 4,
            pin: None,
        };
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            r#"{"id":1,"name":"m","type":"hash","key_size":8,"value_size":32,"max_entries":4,"pin":null}"#
        );
    }
}
