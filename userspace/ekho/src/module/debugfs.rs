// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the module tells of itself below `/sys/kernel/debug/ekho`.
//!
//! One record a line, `key=value` separated by blanks. Keys that aren't known
//! here are ignored, so that a newer module stays readable; the order of keys
//! means nothing.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contract::rule::Argument;
use crate::contract::{self, Capabilities};
use crate::error::{Error, Result};
use crate::number::parse_number;

use super::state::{
    name_netns, Action, Calls, Declared, Device, Exit, Filter, Firmware, Flow, Match, OnDevice,
    Refusal, State, Version,
};

/// Where the module's records are.
pub const DEFAULT: &str = "/sys/kernel/debug/ekho";

/// One line, by key.
struct Record<'line>(HashMap<&'line str, &'line str>);

impl<'line> Record<'line> {
    fn new(line: &'line str) -> Self {
        Self(
            line.split(' ')
                .filter_map(|field| field.split_once('='))
                .collect(),
        )
    }

    /// A line that ends with text: `reason=` is its last key, and has blanks.
    fn with_reason(line: &'line str) -> (Self, String) {
        let (fields, reason) = line.split_once(" reason=").unwrap_or((line, ""));
        (Self::new(fields), reason.to_owned())
    }

    fn text(&self, key: &str) -> Result<String, String> {
        self.0
            .get(key)
            .map(|value| (*value).to_owned())
            .ok_or_else(|| format!("no `{key}=`"))
    }

    /// A text for which `-` stands for none.
    fn optional(&self, key: &str) -> Option<String> {
        self.0
            .get(key)
            .filter(|value| **value != "-" && !value.is_empty())
            .map(|value| (*value).to_owned())
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.optional(key)
            .map(|text| text.split(',').map(str::to_owned).collect())
            .unwrap_or_default()
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        let text = self.0.get(key).ok_or_else(|| format!("no `{key}=`"))?;
        parse_number(text).ok_or_else(|| format!("`{key}={text}` isn't a number"))
    }

    fn narrow<T: TryFrom<u64>>(&self, key: &str) -> Result<T, String> {
        T::try_from(self.number(key)?).map_err(|_| format!("`{key}` is too large"))
    }

    /// A list for which `-` stands for "anything".
    fn set(&self, key: &str) -> Option<Vec<String>> {
        Some(self.list(key)).filter(|names| !names.is_empty())
    }

    /// A number for which `-` stands for none.
    fn limit(&self, key: &str) -> Option<u32> {
        self.narrow(key).ok()
    }

    fn signed(&self, key: &str) -> Result<i64, String> {
        let text = self.0.get(key).ok_or_else(|| format!("no `{key}=`"))?;
        text.parse()
            .map_err(|_| format!("`{key}={text}` isn't a number"))
    }

    /// A counter that an older or newer module may not have.
    fn counter(&self, key: &str) -> u64 {
        self.number(key).unwrap_or(0)
    }
}

fn parse_match(item: &str) -> Match {
    let (field, rest) = item.split_once(':').unwrap_or((item, ""));
    let (value, mask) = match rest.rsplit_once('/') {
        Some((value, mask)) => (value, Some(mask.to_owned())),
        None => (rest, None),
    };
    Match {
        field: field.to_owned(),
        value: value.to_owned(),
        mask,
    }
}

fn parse_action(item: &str) -> Action {
    let mut parts = item.split(';').map(|part| match part.split_once(':') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (part.to_owned(), None),
    });
    let (name, argument) = parts.next().unwrap_or_default();
    let arguments = parts.map(|(name, value)| Argument {
        name,
        value: value.unwrap_or_default(),
    });
    Action {
        name,
        argument,
        arguments: arguments.collect(),
        ..Action::default()
    }
}

fn parse_version(line: &str) -> Result<Version, String> {
    let record = Record::new(line);
    Ok(Version {
        abi: record.narrow("abi")?,
        module: record.text("module")?,
    })
}

fn parse_device(line: &str) -> Result<Device, String> {
    let record = Record::new(line);
    Ok(Device {
        ifindex: record.narrow("ifindex")?,
        dev: record.text("dev")?,
        netns: record.number("netns")?,
        netns_name: None,
        kind: record.text("kind")?,
        hw_tc_offload: record.number("hw_tc_offload").ok().map(|on| on != 0),
        bindings: record.counter("bindings"),
        flows: record.counter("flows"),
        occupied: record.number("occupied").ok(),
        firmware: record.optional("firmware"),
    })
}

fn parse_firmware(line: &str) -> Result<Firmware, String> {
    let record = Record::new(line);
    Ok(Firmware {
        ifindex: record.narrow("ifindex")?,
        dev: record.text("dev")?,
        netns: record.number("netns")?,
        netns_name: None,
        firmware: record.text("firmware")?,
        abi: record.narrow("abi")?,
        link: record.narrow("link")?,
        map: record.narrow("map").ok(),
        generation: record.counter("generation") as u32,
        flows: record.counter("flows"),
        ops: record.list("ops"),
        calls: Calls {
            replace: record.counter("replace"),
            replace_refused: record.counter("replace_refused"),
            destroy: record.counter("destroy"),
            stats: record.counter("stats"),
            violations: record.counter("violations"),
        },
    })
}

fn parse_flow(line: &str) -> Result<Flow, String> {
    let record = Record::new(line);
    Ok(Flow {
        ifindex: record.narrow("ifindex")?,
        dev: record.text("dev")?,
        netns: record.number("netns")?,
        netns_name: None,
        cookie: record.number("cookie")?,
        source: record.optional("source"),
        chain: record.narrow("chain")?,
        prio: record.narrow("prio")?,
        protocol: record.narrow("protocol")?,
        skip_sw: record.counter("skip_sw") != 0,
        packets: record.counter("packets"),
        bytes: record.counter("bytes"),
        drops: record.counter("drops"),
        last_used_ms: record.number("last_used_ms").ok(),
        polls: record.counter("polls"),
        matches: record
            .list("match")
            .iter()
            .map(|m| parse_match(m))
            .collect(),
        actions: record
            .list("actions")
            .iter()
            .map(|action| parse_action(action))
            .collect(),
    })
}

fn parse_declared(line: &str) -> Result<Declared, String> {
    let record = Record::new(line);
    Ok(Declared {
        ifindex: record.narrow("ifindex")?,
        netns: record.number("netns")?,
        capabilities: Capabilities {
            keys: record.set("keys"),
            actions: record.set("actions"),
            classifiers: record.set("classifiers"),
            hw_stats: record.list("hw_stats"),
            max_flows: record.limit("max_flows"),
            max_chains: record.limit("max_chains"),
            prio_min: record.limit("prio_min"),
            prio_max: record.limit("prio_max"),
            max_actions: record.limit("max_actions"),
            flow_size: record.limit("flow_size").unwrap_or(0),
            budget_us: record.limit("budget_us"),
        },
    })
}

fn parse_refusal(line: &str) -> Result<Refusal, String> {
    let (record, reason) = Record::with_reason(line);
    Ok(Refusal {
        ifindex: record.narrow("ifindex")?,
        netns: record.number("netns")?,
        errno: record.narrow("errno")?,
        count: record.number("count")?,
        reason,
    })
}

fn parse_exit(line: &str) -> Result<Exit, String> {
    let (record, reason) = Record::with_reason(line);
    Ok(Exit {
        ifindex: record.narrow("ifindex")?,
        dev: record.text("dev")?,
        netns: record.number("netns")?,
        netns_name: None,
        firmware: record.text("firmware")?,
        generation: record.narrow("generation")?,
        op: record.text("op")?,
        code: record.text("code")?,
        value: record.signed("value")?,
        flows: record.counter("flows"),
        time_ns: record.number("time_ns")?,
        reason,
    })
}

/// Reader of the module's records.
#[derive(Clone, Debug)]
pub struct Debugfs {
    directory: PathBuf,
}

impl Default for Debugfs {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl Debugfs {
    /// Reads below another directory than [`DEFAULT`].
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.directory.join(name);
        fs::read_to_string(&path).map_err(|source| self.explain(path, source))
    }

    /// Why a record can't be read: module, privilege, or mount.
    fn explain(&self, path: PathBuf, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::NotFound
            && !Path::new("/sys/module").join(contract::MODULE).exists()
        {
            return Error::ModuleNotLoaded;
        }
        Error::NoDebugfs { path, source }
    }

    fn parse<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
        self.read(name)?
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                parse(line).map_err(|why| Error::Format {
                    path: self.directory.join(name),
                    why: format!("{why} in `{line}`"),
                })
            })
            .collect()
    }

    fn records<T: OnDevice>(
        &self,
        name: &str,
        filter: &Filter,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>> {
        let mut records = self.parse(name, parse)?;
        records.retain(|record| filter.matches(record));
        name_netns(&mut records);
        Ok(records)
    }

    /// Records of a file that modules of ABI 1 don't have.
    fn newer<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
        if self.directory.is_dir() && !self.directory.join(name).exists() {
            return Ok(Vec::new());
        }
        self.parse(name, parse)
    }
}

impl State for Debugfs {
    fn version(&self) -> Result<Version> {
        self.parse("version", parse_version)?
            .pop()
            .ok_or_else(|| Error::Format {
                path: self.directory.join("version"),
                why: "it is empty".into(),
            })
    }

    fn devices(&self, filter: &Filter) -> Result<Vec<Device>> {
        self.records("devices", filter, parse_device)
    }

    fn firmware(&self, filter: &Filter) -> Result<Vec<Firmware>> {
        self.records("firmware", filter, parse_firmware)
    }

    fn flows(&self, filter: &Filter) -> Result<Vec<Flow>> {
        self.records("flows", filter, parse_flow)
    }

    fn capabilities(&self) -> Result<Vec<Declared>> {
        self.newer("capabilities", parse_declared)
    }

    fn refusals(&self) -> Result<Vec<Refusal>> {
        self.newer("refusals", parse_refusal)
    }

    fn exits(&self, filter: &Filter) -> Result<Vec<Exit>> {
        let mut exits = self.newer("exits", parse_exit)?;
        exits.retain(|exit| filter.matches(exit));
        exits.sort_by_key(|exit| exit.time_ns);
        name_netns(&mut exits);
        Ok(exits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "ifindex=3 dev=ek0 netns=4026531840 cookie=0xffff888012345678 source=flower chain=0 prio=10 protocol=0x0800 skip_sw=1 packets=10 bytes=1000 drops=0 last_used_ms=1200 polls=4 match=ip_proto:6,dst_ip:10.0.0.1/255.255.255.255,dst_mac:02:00:00:00:00:01/ff:ff:ff:ff:ff:ff actions=redirect:ek1,drop";
    const FIRMWARE: &str = "ifindex=3 dev=ek0 netns=4026531840 firmware=stats abi=1 link=7 map=23 generation=1 flows=10 ops=attach,detach,replace,destroy,stats replace=12 replace_refused=2 destroy=2 stats=40 violations=0";
    const DEVICE: &str = "ifindex=3 dev=ek0 netns=4026531840 kind=ekho hw_tc_offload=1 bindings=1 flows=10 occupied=11 firmware=-";

    #[test]
    fn a_flow_is_read_with_match_and_actions() {
        let flow = parse_flow(FLOW).unwrap();
        assert_eq!(flow.cookie, 0xffff_8880_1234_5678);
        assert_eq!((flow.protocol, flow.skip_sw), (0x0800, true));
        assert_eq!(flow.last_used_ms, Some(1200));
        assert_eq!(flow.matches[0].mask, None);
        assert_eq!(flow.matches[1].value, "10.0.0.1");
        assert_eq!(flow.matches[1].mask.as_deref(), Some("255.255.255.255"));
        assert_eq!(flow.matches[2].field, "dst_mac");
        assert_eq!(flow.matches[2].value, "02:00:00:00:00:01");
        assert_eq!(flow.actions[0].argument.as_deref(), Some("ek1"));
        assert_eq!(flow.actions[1].name, "drop");
    }

    #[test]
    fn dashes_and_minus_one_mean_none() {
        let flow = parse_flow(
            "ifindex=1 dev=a netns=1 cookie=1 chain=0 prio=1 protocol=0x0003 last_used_ms=-1 match=- actions=-",
        )
        .unwrap();
        assert_eq!(flow.last_used_ms, None);
        assert!(flow.matches.is_empty() && flow.actions.is_empty());
        assert_eq!(parse_device(DEVICE).unwrap().firmware, None);
    }

    #[test]
    fn unknown_keys_and_order_do_not_matter() {
        let line = format!("future=1 {FIRMWARE} more=a,b");
        let mut fields: Vec<&str> = line.split(' ').collect();
        fields.reverse();
        let firmware = parse_firmware(&fields.join(" ")).unwrap();
        assert_eq!(firmware, parse_firmware(FIRMWARE).unwrap());
        assert_eq!((firmware.link, firmware.map), (7, Some(23)));
        assert_eq!(firmware.calls.replace_refused, 2);
        assert_eq!(firmware.ops.len(), 5);
    }

    #[test]
    fn keys_that_can_be_had_otherwise_may_be_missing() {
        let line = FIRMWARE.replace("map=23 ", "");
        assert_eq!(parse_firmware(&line).unwrap().map, None);
        let line = DEVICE.replace("hw_tc_offload=1 ", "");
        assert_eq!(parse_device(&line).unwrap().hw_tc_offload, None);
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(parse_flow("ifindex=1 dev=a").unwrap_err(), "no `netns=`");
        assert_eq!(
            parse_flow("ifindex=x dev=a").unwrap_err(),
            "`ifindex=x` isn't a number"
        );
    }

    #[test]
    fn records_are_filtered_by_device_and_namespace() {
        let directory = tempfile::tempdir().unwrap();
        let other = DEVICE
            .replace("netns=4026531840", "netns=5")
            .replace("=3", "=4");
        fs::write(
            directory.path().join("devices"),
            format!("{DEVICE}\n{other}\n\n"),
        )
        .unwrap();
        let debugfs = Debugfs::new(directory.path());
        assert_eq!(debugfs.devices(&Filter::default()).unwrap().len(), 2);
        let filter = Filter {
            netns: Some(5),
            dev: Some("ek0".into()),
        };
        assert_eq!(debugfs.devices(&filter).unwrap()[0].ifindex, 4);
        let filter = Filter {
            netns: None,
            dev: Some("ek1".into()),
        };
        assert!(debugfs.devices(&filter).unwrap().is_empty());
    }

    #[test]
    fn a_malformed_record_names_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("version"), "abi=1\n").unwrap();
        let error = Debugfs::new(directory.path()).version().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("version: no `module=` in `abi=1`"), "{text}");
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_number("0x10"), Some(16));
        assert_eq!(parse_number("16"), Some(16));
        for bad in ["", "-1", "+1", "0x", "0x+1", "1e3", "18446744073709551616"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn capabilities_are_read_and_dashes_leave_things_open() {
        let declared = parse_declared("ifindex=3 dev=ek0 netns=4026531840 firmware=acl keys=basic,ports actions=drop classifiers=- hw_stats=delayed,disabled max_flows=1024 max_chains=1 prio_min=- prio_max=- max_actions=1 flow_size=- budget_us=10000").unwrap();
        assert_eq!((declared.ifindex, declared.netns), (3, 4026531840));
        assert_eq!(
            serde_json::to_string(&declared.capabilities).unwrap(),
            concat!(
                r#"{"keys":["basic","ports"],"actions":["drop"],"classifiers":null,"#,
                r#""hw_stats":["delayed","disabled"],"max_flows":1024,"max_chains":1,"#,
                r#""prio_min":null,"prio_max":null,"max_actions":1,"flow_size":0,"budget_us":10000}"#
            )
        );
    }

    #[test]
    fn a_reason_may_look_like_fields() {
        let refusal = parse_refusal(
            "ifindex=3 dev=ek0 netns=5 firmware=acl errno=95 count=2 reason=port=1 count=9 reason=x",
        )
        .unwrap();
        assert_eq!((refusal.errno, refusal.count), (95, 2));
        assert_eq!(refusal.reason, "port=1 count=9 reason=x");
        assert_eq!(
            serde_json::to_string(&refusal).unwrap(),
            r#"{"errno":95,"count":2,"reason":"port=1 count=9 reason=x"}"#
        );
        assert!(parse_refusal("ifindex=3 dev=ek0 netns=5 errno=95 reason=x").is_err());
    }

    const EXIT: &str = "ifindex=3 dev=ek0 netns=5 firmware=bad generation=2 op=replace code=returned value=-4096 flows=7 time_ns=1000 reason=replace returned -4096, which is no errno";

    #[test]
    fn the_schema_of_exits_is_stable() {
        assert_eq!(
            serde_json::to_string(&parse_exit(EXIT).unwrap()).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":5,"netns_name":null,"firmware":"bad","#,
                r#""generation":2,"op":"replace","code":"returned","value":-4096,"flows":7,"#,
                r#""time_ns":1000,"reason":"replace returned -4096, which is no errno"}"#
            )
        );
        let error = parse_exit(&EXIT.replace("=-4096", "=x")).unwrap_err();
        assert_eq!(error, "`value=x` isn't a number");
    }

    #[test]
    fn exits_are_told_in_their_order_and_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let debugfs = Debugfs::new(directory.path());
        assert!(debugfs.exits(&Filter::default()).unwrap().is_empty());
        let earlier = EXIT.replace("time_ns=1000", "time_ns=900");
        let other = EXIT.replace("dev=ek0", "dev=ek1");
        fs::write(
            directory.path().join("exits"),
            format!("{EXIT}\n{earlier}\n{other}\n"),
        )
        .unwrap();
        let filter = Filter {
            netns: Some(5),
            dev: Some("ek0".into()),
        };
        let times: Vec<u64> = debugfs
            .exits(&filter)
            .unwrap()
            .iter()
            .map(|exit| exit.time_ns)
            .collect();
        assert_eq!(times, [900, 1000]);
    }

    #[test]
    fn the_schema_of_flows_is_stable() {
        let json = serde_json::to_string(&parse_flow(FLOW).unwrap()).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":4026531840,"netns_name":null,"#,
                r#""cookie":"0xffff888012345678","source":"flower","chain":0,"prio":10,"protocol":2048,"#,
                r#""skip_sw":true,"packets":10,"bytes":1000,"drops":0,"last_used_ms":1200,"#,
                r#""polls":4,"match":[{"field":"ip_proto","value":"6","mask":null},"#,
                r#"{"field":"dst_ip","value":"10.0.0.1","mask":"255.255.255.255"},"#,
                r#"{"field":"dst_mac","value":"02:00:00:00:00:01","mask":"ff:ff:ff:ff:ff:ff"}],"#,
                r#""actions":[{"name":"redirect","argument":"ek1","arguments":[],"id":0,"index":0,"#,
                r#""arg":0,"hw_stats":[]},{"name":"drop","argument":null,"arguments":[],"id":0,"#,
                r#""index":0,"arg":0,"hw_stats":[]}]}"#
            )
        );
    }

    #[test]
    fn the_schema_of_firmware_and_devices_is_stable() {
        assert_eq!(
            serde_json::to_string(&parse_firmware(FIRMWARE).unwrap()).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":4026531840,"netns_name":null,"#,
                r#""firmware":"stats","abi":1,"link":7,"map":23,"generation":1,"flows":10,"#,
                r#""ops":["attach","detach","replace","destroy","stats"],"#,
                r#""calls":{"replace":12,"replace_refused":2,"destroy":2,"stats":40,"violations":0}}"#
            )
        );
        assert_eq!(
            serde_json::to_string(&parse_device(DEVICE).unwrap()).unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":4026531840,"netns_name":null,"kind":"ekho","#,
                r#""hw_tc_offload":true,"bindings":1,"flows":10,"occupied":11,"firmware":null}"#
            )
        );
    }
}
