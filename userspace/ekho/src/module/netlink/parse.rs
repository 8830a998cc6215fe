// SPDX-License-Identifier: MIT OR Apache-2.0

//! The messages of the family, as records.
//!
//! Attributes that aren't known here are ignored, so that a newer module stays readable, and those
//! that an older module doesn't have are empty. What a record can't do without must be there.

use super::uapi;
use crate::contract::rule::Rule;
use crate::contract::{self, Capabilities};
use crate::kernel::netlink::{u32_at, Attributes};
use crate::module::state::{Calls, Declared, Device, Exit, Firmware, Flow, Refusal, Version};

/// Text as it is shown: names of devices and firmware may have any bytes.
fn text_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

/// What must be there.
pub(super) fn need<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("it has no `{name}`"))
}

pub(super) fn text(attributes: Attributes<'_>, kind: u16) -> Option<String> {
    attributes.get(kind).map(text_of)
}

fn texts(attributes: Attributes<'_>, kind: u16) -> Vec<String> {
    attributes.all(kind).map(text_of).collect()
}

/// Names where none means any.
fn set(names: Vec<String>) -> Option<Vec<String>> {
    Some(names).filter(|names| !names.is_empty())
}

fn narrow(value: u64, name: &str) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("its `{name}` is {value}"))
}

/// What all records of a device begin with: index, name, network namespace.
pub(super) fn ident(attributes: Attributes<'_>) -> Result<(u32, String, u64), String> {
    Ok((
        need(attributes.u32(uapi::EKHO_A_DEVICE_IFINDEX), "ifindex")?,
        need(text(attributes, uapi::EKHO_A_DEVICE_IFNAME), "ifname")?,
        need(attributes.u32(uapi::EKHO_A_DEVICE_NETNS), "netns")?.into(),
    ))
}

/// A reply to `module-get`.
pub fn version(attributes: Attributes<'_>) -> Result<Version, String> {
    Ok(Version {
        abi: need(attributes.u32(uapi::EKHO_A_MODULE_ABI), "abi")?,
        module: need(text(attributes, uapi::EKHO_A_MODULE_VERSION), "version")?,
    })
}

/// The fault points in a reply to `module-get`.
pub fn fault_points(attributes: Attributes<'_>) -> Result<Vec<String>, String> {
    Ok(texts(attributes, uapi::EKHO_A_MODULE_FAULT_POINT))
}

/// A reply to `device-get`.
pub fn device(attributes: Attributes<'_>) -> Result<Device, String> {
    let (ifindex, dev, netns) = ident(attributes)?;
    let number = |kind| attributes.uint(kind);
    let kind = match need(attributes.u32(uapi::EKHO_A_DEVICE_KIND), "kind")? {
        uapi::EKHO_DEVICE_KIND_EKHO => "ekho",
        uapi::EKHO_DEVICE_KIND_INDIRECT => "indirect",
        _ => "unknown",
    };
    Ok(Device {
        ifindex,
        dev,
        netns,
        netns_name: None,
        kind: kind.to_owned(),
        nic: text(attributes, uapi::EKHO_A_DEVICE_NAME),
        hw_tc_offload: Some(attributes.has(uapi::EKHO_A_DEVICE_HW_TC_OFFLOAD)),
        bindings: number(uapi::EKHO_A_DEVICE_BINDINGS).unwrap_or(0),
        flows: number(uapi::EKHO_A_DEVICE_FLOWS).unwrap_or(0),
        table_entries: number(uapi::EKHO_A_DEVICE_TABLE_ENTRIES),
        action_counters: number(uapi::EKHO_A_DEVICE_ACTION_COUNTERS).unwrap_or(0),
        ct_zones: number(uapi::EKHO_A_DEVICE_CT_ZONES).unwrap_or(0),
        firmware: text(attributes, uapi::EKHO_A_DEVICE_FIRMWARE),
    })
}

fn calls(op_stats: Attributes<'_>) -> Calls {
    let number = |kind| op_stats.uint(kind).unwrap_or(0);
    let mut calls = Calls {
        replace_refused: number(uapi::EKHO_A_OP_STATS_REFUSED),
        violations: number(uapi::EKHO_A_OP_STATS_VIOLATIONS),
        ..Calls::default()
    };
    for call in op_stats.all(uapi::EKHO_A_OP_STATS_CALL) {
        let call = Attributes(call);
        let count = call.uint(uapi::EKHO_A_CALL_COUNT).unwrap_or(0);
        match call.text(uapi::EKHO_A_CALL_OP) {
            Some("replace") => calls.replace = count,
            Some("destroy") => calls.destroy = count,
            Some("stats") => calls.stats = count,
            _ => {}
        }
    }
    calls
}

/// A reply to `firmware-get`.
pub fn firmware(attributes: Attributes<'_>) -> Result<Firmware, String> {
    let (ifindex, dev, netns) = ident(attributes)?;
    Ok(Firmware {
        ifindex,
        dev,
        netns,
        netns_name: None,
        firmware: need(text(attributes, uapi::EKHO_A_FIRMWARE_NAME), "name")?,
        abi: need(attributes.u32(uapi::EKHO_A_FIRMWARE_ABI), "abi")?,
        link: need(attributes.u32(uapi::EKHO_A_FIRMWARE_LINK_ID), "link-id")?,
        map: attributes.u32(uapi::EKHO_A_FIRMWARE_MAP_ID),
        generation: attributes
            .u32(uapi::EKHO_A_FIRMWARE_GENERATION)
            .unwrap_or(0),
        flows: attributes.uint(uapi::EKHO_A_FIRMWARE_FLOWS).unwrap_or(0),
        ops: texts(attributes, uapi::EKHO_A_FIRMWARE_OP),
        calls: calls(attributes.nested(uapi::EKHO_A_FIRMWARE_OP_STATS)),
    })
}

/// A reply to `flow-get`. There may be hundreds of thousands, so attributes are looked at once.
pub fn flow(attributes: Attributes<'_>) -> Result<Flow, String> {
    let (mut ifindex, mut dev, mut netns) = (None, None, None);
    let mut flow = Flow::default();
    for (kind, value) in attributes.iter() {
        let number = || match value.len() {
            4 => u32_at(value, 0).map(u64::from),
            _ => value.try_into().ok().map(u64::from_ne_bytes),
        };
        let short = || value.try_into().ok().map(u16::from_ne_bytes);
        let number = |name| need(number(), name);
        match kind {
            uapi::EKHO_A_FLOW_IFINDEX => ifindex = Some(narrow(number("ifindex")?, "ifindex")?),
            uapi::EKHO_A_FLOW_IFNAME => dev = Some(text_of(value)),
            uapi::EKHO_A_FLOW_NETNS => netns = Some(number("netns")?),
            uapi::EKHO_A_FLOW_COOKIE => flow.cookie = Some(number("cookie")?),
            uapi::EKHO_A_FLOW_CLASSIFIER => {
                let classifier = u8::try_from(number("classifier")?).unwrap_or(0);
                flow.classifier = Some(contract::classifier(classifier).to_owned());
            }
            uapi::EKHO_A_FLOW_CHAIN => flow.chain = narrow(number("chain")?, "chain")?,
            uapi::EKHO_A_FLOW_PRIO => flow.prio = narrow(number("prio")?, "prio")?,
            uapi::EKHO_A_FLOW_PROTOCOL => flow.protocol = need(short(), "protocol")?,
            uapi::EKHO_A_FLOW_SKIP_SW => flow.skip_sw = true,
            uapi::EKHO_A_FLOW_PACKETS => flow.packets = number("packets")?,
            uapi::EKHO_A_FLOW_BYTES => flow.bytes = number("bytes")?,
            uapi::EKHO_A_FLOW_DROPS => flow.drops = number("drops")?,
            uapi::EKHO_A_FLOW_STATS_REQUESTS => flow.stats_requests = number("stats-requests")?,
            uapi::EKHO_A_FLOW_IDLE_MS => flow.last_used_ms = Some(number("idle-ms")?),
            uapi::EKHO_A_FLOW_RULE => {
                let rule = Rule::decode(value);
                (flow.matches, flow.actions) = (rule.matches, rule.actions);
                flow.complete = rule.complete;
            }
            _ => {}
        }
    }
    flow.ifindex = need(ifindex, "ifindex")?;
    flow.dev = need(dev, "ifname")?;
    flow.netns = need(netns, "netns")?;
    Ok(flow)
}

/// A reply to `capability-get`.
pub fn declared(attributes: Attributes<'_>) -> Result<Declared, String> {
    let (ifindex, _, netns) = ident(attributes)?;
    let names = |kind| texts(attributes, kind);
    let limit = |kind| attributes.u32(kind);
    let sources = attributes
        .all(uapi::EKHO_A_CAPABILITY_CLASSIFIER)
        .filter_map(|value| u8::try_from(u32_at(value, 0)?).ok())
        .map(|classifier| contract::classifier(classifier).to_owned())
        .collect();
    Ok(Declared {
        ifindex,
        netns,
        capabilities: Capabilities {
            keys: set(names(uapi::EKHO_A_CAPABILITY_KEY)),
            actions: set(names(uapi::EKHO_A_CAPABILITY_ACTION)),
            classifiers: set(sources),
            hw_stats: names(uapi::EKHO_A_CAPABILITY_HW_STATS),
            max_flows: limit(uapi::EKHO_A_CAPABILITY_MAX_FLOWS),
            max_chains: limit(uapi::EKHO_A_CAPABILITY_MAX_CHAINS),
            prio_min: limit(uapi::EKHO_A_CAPABILITY_PRIO_MIN),
            prio_max: limit(uapi::EKHO_A_CAPABILITY_PRIO_MAX),
            max_actions: limit(uapi::EKHO_A_CAPABILITY_MAX_ACTIONS),
            flow_size: limit(uapi::EKHO_A_CAPABILITY_FLOW_SIZE).unwrap_or(0),
            budget_us: limit(uapi::EKHO_A_CAPABILITY_BUDGET_US),
            tables: names(uapi::EKHO_A_CAPABILITY_TABLE),
        },
    })
}

/// A reply to `refusal-get`.
pub fn refusal(attributes: Attributes<'_>) -> Result<Refusal, String> {
    let (ifindex, _, netns) = ident(attributes)?;
    let errno = attributes.u32(uapi::EKHO_A_REFUSAL_ERRNO).unwrap_or(0);
    Ok(Refusal {
        ifindex,
        netns,
        errno: i32::try_from(errno).map_err(|_| format!("its `errno` is {errno}"))?,
        count: need(attributes.uint(uapi::EKHO_A_REFUSAL_COUNT), "count")?,
        reason: text(attributes, uapi::EKHO_A_REFUSAL_REASON).unwrap_or_default(),
    })
}

/// A reply to `exit-get`, or the notification of an exit.
pub fn exit(attributes: Attributes<'_>) -> Result<Exit, String> {
    let (ifindex, dev, netns) = ident(attributes)?;
    let code = match need(attributes.u32(uapi::EKHO_A_EXIT_CODE), "code")? {
        uapi::EKHO_EXIT_CODE_RETURN => "return",
        uapi::EKHO_EXIT_CODE_BUDGET => "budget",
        uapi::EKHO_EXIT_CODE_RECURSION => "recursion",
        uapi::EKHO_EXIT_CODE_CONTRACT => "contract",
        _ => "unknown",
    };
    Ok(Exit {
        ifindex,
        dev,
        netns,
        netns_name: None,
        firmware: need(text(attributes, uapi::EKHO_A_EXIT_FIRMWARE), "firmware")?,
        generation: attributes.u32(uapi::EKHO_A_EXIT_GENERATION).unwrap_or(0),
        op: need(text(attributes, uapi::EKHO_A_EXIT_OP), "op")?,
        code: code.to_owned(),
        value: attributes.sint(uapi::EKHO_A_EXIT_VALUE).unwrap_or(0),
        flows: attributes.uint(uapi::EKHO_A_EXIT_FLOWS).unwrap_or(0),
        time_ns: need(attributes.uint(uapi::EKHO_A_EXIT_TIME_NS), "time-ns")?,
        reason: text(attributes, uapi::EKHO_A_EXIT_REASON).unwrap_or_default(),
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
