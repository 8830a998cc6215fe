// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the module says of devices, firmware and flows.
//!
//! [`State`] is the one way by which this crate asks the module; what implements it
//! decides how: [`super::netlink::Netlink`] asks its netlink family.

use std::fmt::Debug;

use serde::Serialize;

pub use crate::contract::rule::{Action, Match};
use crate::contract::Capabilities;
use crate::error::Result;
use crate::kernel::netns;
use crate::number::serialize_hex_or_null;

/// The loaded module's version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Newest ABI that it speaks.
    pub abi: u32,
    /// Version of the module itself.
    pub module: String,
}

/// A network device that takes firmware, or has some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Interface index in its network namespace.
    pub ifindex: u32,
    /// Current name.
    pub dev: String,
    /// Inode number of its network namespace.
    pub netns: u64,
    /// Name of the namespace, when `ip netns` gave it one.
    pub netns_name: Option<String>,
    /// `ekho` for a device of that kind, `indirect` for any other that is served.
    pub kind: String,
    /// Name of the device with several ports that it is one of.
    pub nic: Option<String>,
    /// Whether `ethtool -K … hw-tc-offload` is on; `null` when the module doesn't tell.
    pub hw_tc_offload: Option<bool>,
    /// Blocks that are bound.
    pub bindings: u64,
    /// Flows that are offloaded.
    pub flows: u64,
    /// Places for flows that are taken, those of refused replacements included: what
    /// counts for `max_flows`. `null` when the module doesn't tell.
    pub table_entries: Option<u64>,
    /// Actions of flows that are counted one by one. For tests: what is left shows.
    #[serde(skip)]
    pub action_counters: u64,
    /// Zones of connection tracking that its flows send packets to. Likewise.
    #[serde(skip)]
    pub ct_zones: u64,
    /// Name of the attached firmware.
    pub firmware: Option<String>,
}

/// How often each op was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Calls of `replace`.
    pub replace: u64,
    /// Calls of `replace` that refused.
    pub replace_refused: u64,
    /// Calls of `destroy`.
    pub destroy: u64,
    /// Calls of `stats`.
    pub stats: u64,
    /// Answers outside of the contract.
    pub violations: u64,
}

/// Firmware that is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Firmware {
    /// Interface index of its device.
    pub ifindex: u32,
    /// Current name of its device.
    pub dev: String,
    /// Inode number of the device's network namespace.
    pub netns: u64,
    /// Name of the namespace, when `ip netns` gave it one.
    pub netns_name: Option<String>,
    /// Name of the firmware.
    pub firmware: String,
    /// ABI it was built for.
    pub abi: u32,
    /// Id of the BPF link that attaches it.
    pub link: u32,
    /// Id of the struct_ops map that holds it; `null` when the module doesn't tell
    /// and this process may not look.
    pub map: Option<u32>,
    /// 1 for the first firmware on this link, then one more with each replacement.
    pub generation: u32,
    /// Flows that it has accepted.
    pub flows: u64,
    /// Ops that it implements.
    pub ops: Vec<String>,
    /// How often each was called.
    pub calls: Calls,
}

/// A flow that is offloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Interface index of its device.
    pub ifindex: u32,
    /// Current name of its device.
    pub dev: String,
    /// Inode number of the device's network namespace.
    pub netns: u64,
    /// Name of the namespace, when `ip netns` gave it one.
    pub netns_name: Option<String>,
    /// The kernel's key of the flow, as `"0x…"`; `null` for who lacks `CAP_SYSLOG` and so may not
    /// see addresses of the kernel.
    #[serde(serialize_with = "serialize_hex_or_null")]
    pub cookie: Option<u64>,
    /// Who wants it offloaded: `flower`, `matchall`, `u32`, `nft`, `flowtable`, `action` or `ct`;
    /// `null` when the module doesn't tell.
    pub classifier: Option<String>,
    /// Chain of the filter.
    pub chain: u32,
    /// Preference of the filter.
    pub prio: u32,
    /// EtherType of the filter.
    pub protocol: u16,
    /// Whether the filter exists in hardware only.
    pub skip_sw: bool,
    /// Packets that the kernel was told of so far.
    pub packets: u64,
    /// Bytes that the kernel was told of so far.
    pub bytes: u64,
    /// Drops that the kernel was told of so far.
    pub drops: u64,
    /// Milliseconds since the last hit, `null` if there was none.
    pub last_used_ms: Option<u64>,
    /// How often the kernel asked for the flow's statistics.
    pub stats_requests: u64,
    /// What it matches.
    #[serde(rename = "match")]
    pub matches: Vec<Match>,
    /// What it does.
    pub actions: Vec<Action>,
    /// Whether that is all: a rule of more than some kilobytes is cut.
    pub complete: bool,
}

/// What the device of attached firmware can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Interface index of the device.
    pub ifindex: u32,
    /// Inode number of the device's network namespace.
    pub netns: u64,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// How often flows were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Interface index of the device.
    #[serde(skip)]
    pub ifindex: u32,
    /// Inode number of the device's network namespace.
    #[serde(skip)]
    pub netns: u64,
    /// The errno; 0 stands for all reasons that are too many to tell apart.
    pub errno: i32,
    /// How often.
    pub count: u64,
    /// The reason, as the user of tc was told it.
    pub reason: String,
}

/// How firmware was stopped that broke the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Interface index of its device.
    pub ifindex: u32,
    /// Name of its device.
    pub dev: String,
    /// Inode number of the device's network namespace.
    pub netns: u64,
    /// Name of the namespace, when `ip netns` gave it one.
    pub netns_name: Option<String>,
    /// Name of the firmware.
    pub firmware: String,
    /// Which firmware on its link it was.
    pub generation: u32,
    /// Op that broke the contract.
    pub op: String,
    /// What it did, in a word of the module's.
    pub code: String,
    /// The number that goes with it: what it returned, how long it took.
    pub value: i64,
    /// Flows that went back to software.
    pub flows: u64,
    /// When, in ns of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// What it did, in words.
    pub reason: String,
}

/// A record that belongs to a device in a network namespace.
pub trait OnDevice {
    /// Current name of the device.
    fn dev(&self) -> &str;
    /// Inode number of the device's network namespace.
    fn netns(&self) -> u64;
    /// Where the name of the namespace goes.
    fn netns_name_mut(&mut self) -> &mut Option<String>;
}

macro_rules! on_device {
    ($($record:ty),*) => {$(
        impl OnDevice for $record {
            fn dev(&self) -> &str {
                &self.dev
            }
            fn netns(&self) -> u64 {
                self.netns
            }
            fn netns_name_mut(&mut self) -> &mut Option<String> {
                &mut self.netns_name
            }
        }
    )*};
}

on_device!(Device, Firmware, Flow, Exit);

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this network namespace only; else of all that this process may see.
    pub netns: Option<u64>,
    /// Of the device with this name only.
    pub dev: Option<String>,
}

impl Filter {
    /// Records of one device in this process' network namespace.
    pub fn device(dev: &str) -> Result<Self> {
        Ok(Self {
            netns: Some(netns::current()?),
            dev: Some(dev.to_owned()),
        })
    }

    /// Whether a record is wanted.
    pub fn matches(&self, record: &impl OnDevice) -> bool {
        self.netns.is_none_or(|netns| netns == record.netns())
            && self.dev.as_deref().is_none_or(|dev| dev == record.dev())
    }
}

/// What the module can be asked.
///
/// Records are those that a filter selects; what a module of an older ABI doesn't tell
/// is empty.
pub trait State: Debug {
    /// Version of the module.
    fn version(&self) -> Result<Version>;

    /// Devices that take firmware.
    fn devices(&self, filter: &Filter) -> Result<Vec<Device>>;

    /// Firmware that is attached.
    fn firmware(&self, filter: &Filter) -> Result<Vec<Firmware>>;

    /// Flows that are offloaded.
    fn flows(&self, filter: &Filter) -> Result<Vec<Flow>>;

    /// What the devices of attached firmware can do.
    fn capabilities(&self, filter: &Filter) -> Result<Vec<Declared>>;

    /// How often flows were refused, by device and reason.
    fn refusals(&self, filter: &Filter) -> Result<Vec<Refusal>>;

    /// Firmware that was stopped because it broke the contract, the oldest first.
    fn exits(&self, filter: &Filter) -> Result<Vec<Exit>>;

    /// The firmware of a device in this process' network namespace.
    fn attached(&self, dev: &str) -> Result<Option<Firmware>> {
        Ok(self.firmware(&Filter::device(dev)?)?.pop())
    }
}

/// Adds what `ip netns` calls the namespaces.
pub(crate) fn name_netns(records: &mut [impl OnDevice]) {
    if records.is_empty() {
        return;
    }
    let names = netns::names();
    for record in records {
        *record.netns_name_mut() = names.get(&record.netns()).cloned();
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// A module that tells what it is given.
    #[derive(Debug, Default)]
    pub(crate) struct Fake {
        pub(crate) firmware: Vec<Firmware>,
        pub(crate) exits: Vec<Exit>,
        pub(crate) devices: Vec<Device>,
    }

    fn select<T: OnDevice + Clone>(records: &[T], filter: &Filter) -> Vec<T> {
        let mut records = records.to_vec();
        records.retain(|record| filter.matches(record));
        records
    }

    impl State for Fake {
        fn version(&self) -> Result<Version> {
            Ok(Version {
                abi: 2,
                module: "0".into(),
            })
        }
        fn devices(&self, filter: &Filter) -> Result<Vec<Device>> {
            Ok(select(&self.devices, filter))
        }
        fn firmware(&self, filter: &Filter) -> Result<Vec<Firmware>> {
            Ok(select(&self.firmware, filter))
        }
        fn flows(&self, _filter: &Filter) -> Result<Vec<Flow>> {
            Ok(Vec::new())
        }
        fn capabilities(&self, _filter: &Filter) -> Result<Vec<Declared>> {
            Ok(Vec::new())
        }
        fn refusals(&self, _filter: &Filter) -> Result<Vec<Refusal>> {
            Ok(Vec::new())
        }
        fn exits(&self, filter: &Filter) -> Result<Vec<Exit>> {
            Ok(select(&self.exits, filter))
        }
    }

    pub(crate) fn device(ifindex: u32, dev: &str) -> Device {
        Device {
            ifindex,
            dev: dev.into(),
            netns: 1,
            netns_name: None,
            kind: "ekho".into(),
            nic: None,
            hw_tc_offload: Some(true),
            bindings: 1,
            flows: 10,
            table_entries: Some(11),
            action_counters: 0,
            ct_zones: 0,
            firmware: None,
        }
    }

    pub(crate) fn firmware(ifindex: u32, dev: &str, netns: u64, name: &str) -> Firmware {
        Firmware {
            ifindex,
            dev: dev.into(),
            netns,
            netns_name: None,
            firmware: name.into(),
            abi: 2,
            link: 7,
            map: Some(23),
            generation: 1,
            flows: 10,
            ops: vec!["replace".into(), "destroy".into()],
            calls: Calls::default(),
        }
    }

    pub(crate) fn exit(ifindex: u32, dev: &str, netns: u64, firmware: &str) -> Exit {
        Exit {
            ifindex,
            dev: dev.into(),
            netns,
            netns_name: None,
            firmware: firmware.into(),
            generation: 2,
            op: "replace".into(),
            code: "return".into(),
            value: -4096,
            flows: 7,
            time_ns: 1000,
            reason: "replace returned -4096".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::{device, exit, firmware};
    use super::*;

    #[test]
    fn records_are_filtered_by_device_and_namespace() {
        let record = firmware(3, "ek0", 5, "stats");
        for (netns, dev, is_wanted) in [
            (None, None, true),
            (Some(5), Some("ek0"), true),
            (Some(6), Some("ek0"), false),
            (Some(5), Some("ek1"), false),
        ] {
            let filter = Filter {
                netns,
                dev: dev.map(str::to_owned),
            };
            assert_eq!(filter.matches(&record), is_wanted);
        }
    }

    #[test]
    fn the_schema_of_exits_is_stable() {
        assert_eq!(
            serde_json::to_string(&exit(3, "ek0", 5, "bad")).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":5,"netns_name":null,"firmware":"bad","#,
                r#""generation":2,"op":"replace","code":"return","value":-4096,"flows":7,"#,
                r#""time_ns":1000,"reason":"replace returned -4096"}"#
            )
        );
    }

    #[test]
    fn the_schema_of_flows_is_stable() {
        let mut flow = Flow {
            ifindex: 3,
            dev: "ek0".into(),
            netns: 4026531840,
            cookie: Some(0xffff_8880_1234_5678),
            classifier: Some("flower".into()),
            prio: 10,
            protocol: 0x0800,
            skip_sw: true,
            packets: 10,
            bytes: 1000,
            last_used_ms: Some(1200),
            stats_requests: 4,
            matches: vec![Match {
                field: "dst_ip".into(),
                value: "10.0.0.1".into(),
                mask: Some("255.255.255.255".into()),
            }],
            actions: vec![Action {
                name: "redirect".into(),
                argument: Some("ek1".into()),
                ..Action::default()
            }],
            complete: true,
            ..Flow::default()
        };
        assert_eq!(
            serde_json::to_string(&flow).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":4026531840,"netns_name":null,"#,
                r#""cookie":"0xffff888012345678","classifier":"flower","chain":0,"prio":10,"protocol":2048,"#,
                r#""skip_sw":true,"packets":10,"bytes":1000,"drops":0,"last_used_ms":1200,"#,
                r#""stats_requests":4,"match":[{"field":"dst_ip","value":"10.0.0.1","mask":"255.255.255.255"}],"#,
                r#""actions":[{"name":"redirect","argument":"ek1","arguments":[],"id":0,"index":0,"#,
                r#""arg":0,"hw_stats":[]}],"complete":true}"#
            )
        );
        flow.cookie = None;
        assert!(serde_json::to_string(&flow)
            .unwrap()
            .contains(r#""cookie":null"#));
    }

    #[test]
    fn the_schema_of_firmware_and_devices_is_stable() {
        assert_eq!(
            serde_json::to_string(&firmware(3, "ek0", 5, "stats")).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":5,"netns_name":null,"#,
                r#""firmware":"stats","abi":2,"link":7,"map":23,"generation":1,"flows":10,"#,
                r#""ops":["replace","destroy"],"#,
                r#""calls":{"replace":0,"replace_refused":0,"destroy":0,"stats":0,"violations":0}}"#
            )
        );
        assert_eq!(
            serde_json::to_string(&device(3, "ek0")).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":1,"netns_name":null,"kind":"ekho","nic":null,"#,
                r#""hw_tc_offload":true,"bindings":1,"flows":10,"table_entries":11,"firmware":null}"#
            )
        );
    }

    #[test]
    fn the_schema_of_capabilities_and_refusals_is_stable() {
        let capabilities = Capabilities {
            keys: Some(vec!["basic".into(), "ports".into()]),
            actions: Some(vec!["drop".into()]),
            classifiers: None,
            hw_stats: vec!["delayed".into(), "disabled".into()],
            max_flows: Some(1024),
            max_chains: Some(1),
            prio_min: None,
            prio_max: None,
            max_actions: Some(1),
            flow_size: 0,
            budget_us: Some(10000),
            tables: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&capabilities).unwrap(),
            concat!(
                r#"{"keys":["basic","ports"],"actions":["drop"],"classifiers":null,"#,
                r#""hw_stats":["delayed","disabled"],"max_flows":1024,"max_chains":1,"#,
                r#""prio_min":null,"prio_max":null,"max_actions":1,"flow_size":0,"budget_us":10000,"tables":[]}"#
            )
        );
        let refusal = Refusal {
            ifindex: 3,
            netns: 5,
            errno: 95,
            count: 2,
            reason: "port=1".into(),
        };
        assert_eq!(
            serde_json::to_string(&refusal).unwrap(),
            r#"{"errno":95,"count":2,"reason":"port=1"}"#
        );
    }
}
