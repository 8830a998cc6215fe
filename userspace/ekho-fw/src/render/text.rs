// SPDX-License-Identifier: MIT OR Apache-2.0

//! The form for a person of everything that the commands print.

use std::path::Path;

use ekho::attach::{Outcome, Removal, Status};
use ekho::contract::Capabilities;
use ekho::debugfs::{Action, Device, Firmware, Flow, Match, OnDevice};
use ekho::doctor::{Report, Verdict};
use ekho::event::errno_name;
use ekho::feed::Summary;
use ekho::firmware::Inspection;
use ekho::netns;
use ekho::stats::{protocol_name, Updated};

use super::happenings::exit_text;
use super::{Align, Style, Table, Text};
use crate::command::device::DeviceChange;
use crate::command::show::Shown;

/// A line for a person when a list is empty, nothing for a program.
fn nothing(style: Style, text: &str) -> String {
    if style.terminal {
        format!("{text}\n")
    } else {
        String::new()
    }
}

/// Whether a column for the network namespace is of use.
fn several_netns<T: OnDevice>(records: &[T]) -> bool {
    let here = netns::current().ok();
    records
        .iter()
        .any(|record| here.is_some_and(|here| here != record.netns()))
}

fn netns_text(number: u64, name: &Option<String>) -> String {
    match name {
        Some(name) => name.clone(),
        None if netns::current().is_ok_and(|here| here == number) => "this".into(),
        None => number.to_string(),
    }
}

fn or_dash(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "-".into())
}

fn on_off(on: Option<bool>) -> String {
    match on {
        None => "-",
        Some(true) => "on",
        Some(false) => "off",
    }
    .to_owned()
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Adds the namespace after the first column, where that says something.
struct Rows {
    table: Table,
    with_netns: bool,
}

impl Rows {
    fn new<T: OnDevice>(records: &[T], columns: &[(&str, Align)]) -> Self {
        let with_netns = several_netns(records);
        let mut all = columns.to_vec();
        if with_netns {
            all.insert(1, ("NETNS", Align::Left));
        }
        Self {
            table: Table::new(&all),
            with_netns,
        }
    }

    fn row(&mut self, netns: String, mut cells: Vec<String>) {
        if self.with_netns {
            cells.insert(1, netns);
        }
        self.table.row(cells);
    }
}

impl Text for [Firmware] {
    fn text(&self, style: Style) -> String {
        use Align::{Left, Right};

        if self.is_empty() {
            return nothing(style, "no firmware is attached");
        }
        let mut rows = Rows::new(
            self,
            &[
                ("DEVICE", Left),
                ("FIRMWARE", Left),
                ("ABI", Right),
                ("LINK", Right),
                ("GENERATION", Right),
                ("FLOWS", Right),
                ("REPLACE", Right),
                ("REFUSED", Right),
                ("DESTROY", Right),
                ("STATS", Right),
                ("VIOLATIONS", Right),
            ],
        );
        for firmware in self {
            rows.row(
                netns_text(firmware.netns, &firmware.netns_name),
                vec![
                    firmware.dev.clone(),
                    firmware.firmware.clone(),
                    firmware.abi.to_string(),
                    firmware.link.to_string(),
                    firmware.generation.to_string(),
                    firmware.flows.to_string(),
                    firmware.calls.replace.to_string(),
                    firmware.calls.replace_refused.to_string(),
                    firmware.calls.destroy.to_string(),
                    firmware.calls.stats.to_string(),
                    firmware.calls.violations.to_string(),
                ],
            );
        }
        rows.table.render(style, "")
    }
}

impl Text for [Device] {
    fn text(&self, style: Style) -> String {
        use Align::{Left, Right};

        if self.is_empty() {
            return nothing(
                style,
                "there is no device of kind ekho, and none that is served",
            );
        }
        let tells_offload = self.iter().any(|device| device.hw_tc_offload.is_some());
        let mut columns = vec![
            ("DEVICE", Left),
            ("KIND", Left),
            ("BINDINGS", Right),
            ("FLOWS", Right),
            ("FIRMWARE", Left),
        ];
        if tells_offload {
            columns.insert(2, ("HW-TC-OFFLOAD", Left));
        }
        let mut rows = Rows::new(self, &columns);
        for device in self {
            let mut cells = vec![
                device.dev.clone(),
                device.kind.clone(),
                device.bindings.to_string(),
                device.flows.to_string(),
                or_dash(&device.firmware),
            ];
            if tells_offload {
                cells.insert(2, on_off(device.hw_tc_offload));
            }
            rows.row(netns_text(device.netns, &device.netns_name), cells);
        }
        rows.table.render(style, "")
    }
}

pub(super) fn match_text(item: &Match) -> String {
    match &item.mask {
        Some(mask) => format!("{} {}/{mask}", item.field, item.value),
        None => format!("{} {}", item.field, item.value),
    }
}

fn action_text(action: &Action) -> String {
    match &action.argument {
        Some(argument) => format!("{} {argument}", action.name),
        None => action.name.clone(),
    }
}

pub(super) fn joined(items: impl Iterator<Item = String>) -> String {
    let text = items.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "-".into()
    } else {
        text
    }
}

/// A duration in the unit that suits it.
fn ago(milliseconds: Option<u64>) -> String {
    match milliseconds {
        None => "never".into(),
        Some(ms) if ms < 10_000 => format!("{ms} ms"),
        Some(ms) if ms < 600_000 => format!("{} s", ms / 1000),
        Some(ms) => format!("{} min", ms / 60_000),
    }
}

impl Text for [Flow] {
    fn text(&self, style: Style) -> String {
        use Align::{Left, Right};

        if self.is_empty() {
            return nothing(style, "no flow is offloaded");
        }
        let mut rows = Rows::new(
            self,
            &[
                ("DEVICE", Left),
                ("SOURCE", Left),
                ("CHAIN", Right),
                ("PRIO", Right),
                ("PROTOCOL", Left),
                ("PACKETS", Right),
                ("BYTES", Right),
                ("DROPS", Right),
                ("LAST USED", Right),
                ("SOFTWARE", Left),
                ("COOKIE", Left),
                ("MATCH", Left),
                ("ACTIONS", Left),
            ],
        );
        for flow in self {
            rows.row(
                netns_text(flow.netns, &flow.netns_name),
                vec![
                    flow.dev.clone(),
                    or_dash(&flow.source),
                    flow.chain.to_string(),
                    flow.prio.to_string(),
                    protocol_name(flow.protocol),
                    flow.packets.to_string(),
                    flow.bytes.to_string(),
                    flow.drops.to_string(),
                    ago(flow.last_used_ms),
                    if flow.skip_sw { "skipped" } else { "too" }.to_owned(),
                    format!("{:#x}", flow.cookie),
                    joined(flow.matches.iter().map(match_text)),
                    joined(flow.actions.iter().map(action_text)),
                ],
            );
        }
        rows.table.render(style, "")
    }
}

/// What a device can do, a row each. `used` is how many flows it holds.
fn capability_rows(can: &Capabilities, used: Option<u64>, table: &mut Table) {
    let mut row = |name: &str, value: String| table.row(vec![name.to_owned(), value]);
    let names = |names: &Option<Vec<String>>| match names {
        Some(names) => names.join(", "),
        None => "any".into(),
    };
    row("keys", names(&can.keys));
    row("actions", names(&can.actions));
    row("classifiers", names(&can.classifiers));
    row("hw_stats", can.hw_stats.join(", "));
    let limit = |max: Option<u32>| max.map_or_else(|| "any number".into(), |max| max.to_string());
    row(
        "max flows",
        match used {
            Some(used) => format!("{}, {used} used", limit(can.max_flows)),
            None => limit(can.max_flows),
        },
    );
    row("max chains", limit(can.max_chains));
    row("max actions", limit(can.max_actions));
    row(
        "prio",
        match (can.prio_min, can.prio_max) {
            (None, None) => "any".into(),
            (min, None) => format!("{} and more", min.unwrap_or(0)),
            (min, Some(max)) => format!("{} to {max}", min.unwrap_or(1)),
        },
    );
    row("memory", format!("{} bytes for each flow", can.flow_size));
    row(
        "time",
        match can.budget_us {
            Some(budget_us) => format!("{budget_us} us for each call"),
            None => "what the module allows".into(),
        },
    );
}

fn status_text(status: &Status, style: Style) -> String {
    let record = &status.record;
    let calls = &record.calls;
    let mut text = format!(
        "{}: firmware {}, ABI {}, generation {}\n",
        style.bold(&record.dev),
        style.bold(&record.firmware),
        record.abi,
        record.generation
    );
    let mut facts = Table::plain(2);
    let mut fact = |name: &str, value: String| facts.row(vec![name.to_owned(), value]);
    fact("netns", netns_text(record.netns, &record.netns_name));
    fact(
        "link",
        match status.pins.as_slice() {
            [] => format!("{}, not pinned", record.link),
            pins => format!(
                "{}, pinned at {}",
                record.link,
                joined(pins.iter().map(|pin| path_text(pin)))
            ),
        },
    );
    fact(
        "map",
        record.map.map_or_else(|| "-".into(), |map| map.to_string()),
    );
    fact("flows", record.flows.to_string());
    fact(
        "calls",
        format!(
            "replace {} ({} refused), destroy {}, stats {}",
            calls.replace, calls.replace_refused, calls.destroy, calls.stats
        ),
    );
    fact("violations", calls.violations.to_string());
    if let Some(can) = &status.capabilities {
        capability_rows(can, status.occupied, &mut facts);
    }
    text += &facts.render(style, "    ");

    let mut refusals = Table::new(&[
        ("REFUSED", Align::Right),
        ("ERROR", Align::Left),
        ("REASON", Align::Left),
    ]);
    for refusal in &status.refusals {
        refusals.row(vec![
            refusal.count.to_string(),
            match refusal.errno {
                0 => "-".into(),
                errno => errno_name(errno),
            },
            refusal.reason.clone(),
        ]);
    }
    if !refusals.is_empty() {
        text += &refusals.render(style, "    ");
    }

    let mut programs = Table::new(&[
        ("OP", Align::Left),
        ("PROGRAM", Align::Left),
        ("ID", Align::Right),
        ("TAG", Align::Left),
        ("CODE", Align::Right),
        ("VERIFIED", Align::Right),
        ("RUNS", Align::Right),
        ("TIME NS", Align::Right),
    ]);
    for program in &status.programs {
        programs.row(vec![
            program.op.clone(),
            program.name.clone(),
            program.id.to_string(),
            program.tag.clone(),
            program.jited_bytes.to_string(),
            program.verified_insns.to_string(),
            program.run_count.to_string(),
            program.run_time_ns.to_string(),
        ]);
    }
    text += &programs.render(style, "    ");

    let mut maps = Table::new(&[
        ("MAP", Align::Left),
        ("TYPE", Align::Left),
        ("ID", Align::Right),
        ("KEY", Align::Right),
        ("VALUE", Align::Right),
        ("ENTRIES", Align::Right),
        ("PINNED AT", Align::Left),
    ]);
    for map in &status.maps {
        maps.row(vec![
            map.name.clone(),
            map.kind.clone(),
            map.id.to_string(),
            map.key_size.to_string(),
            map.value_size.to_string(),
            map.max_entries.to_string(),
            map.pin.as_deref().map_or_else(|| "-".into(), path_text),
        ]);
    }
    if !maps.is_empty() {
        text += &maps.render(style, "    ");
    }
    for exit in &status.exits {
        text += &format!("    {}\n", exit_text(exit));
    }
    text
}

impl Text for Shown {
    fn text(&self, style: Style) -> String {
        if self.status.is_empty() && self.stopped.is_empty() {
            return nothing(style, "no firmware is attached");
        }
        let stopped = self.stopped.iter().map(|exit| {
            format!(
                "{}: no firmware\n    {}\n",
                style.bold(&exit.dev),
                exit_text(exit)
            )
        });
        self.status
            .iter()
            .map(|status| status_text(status, style))
            .chain(stopped)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Text for Outcome {
    fn text(&self, style: Style) -> String {
        let what = match &self.replaced {
            Some(old) => format!(
                "{}: firmware {} replaced by {} (link {}",
                self.dev,
                old,
                style.bold(&self.firmware),
                self.link
            ),
            None => format!(
                "{}: firmware {} attached (link {}",
                self.dev,
                style.bold(&self.firmware),
                self.link
            ),
        };
        let pin = self
            .pin
            .as_deref()
            .map_or_else(String::new, |pin| format!(", pinned at {}", pin.display()));
        let carried = if self.carried_maps.is_empty() {
            String::new()
        } else {
            format!(", maps kept: {}", self.carried_maps.join(" "))
        };
        format!("{what}{pin}{carried})\n")
    }
}

impl Text for Removal {
    fn text(&self, _style: Style) -> String {
        match (&self.firmware, self.link) {
            (Some(firmware), Some(link)) => format!(
                "{}: firmware {firmware} detached (link {link}, pins removed: {})\n",
                self.dev,
                self.unpinned.len()
            ),
            _ => format!(
                "{}: no firmware was attached; stale pins removed\n",
                self.dev
            ),
        }
    }
}

impl Text for DeviceChange {
    fn text(&self, _style: Style) -> String {
        match self.ifindex {
            Some(ifindex) => format!("{}: added, index {ifindex}\n", self.dev),
            None => format!("{}: deleted\n", self.dev),
        }
    }
}

impl Text for Updated {
    fn text(&self, _style: Style) -> String {
        format!(
            "{}: flow {:#x} has {} packets, {} bytes, {} drops\n",
            self.dev, self.cookie, self.counters.packets, self.counters.bytes, self.counters.drops
        )
    }
}

impl Text for Summary {
    fn text(&self, _style: Style) -> String {
        format!(
            "{} lines: {} applied, {} malformed, {} about unknown flows, {} failed\n",
            self.lines, self.applied, self.malformed, self.unknown, self.failed
        )
    }
}

impl Text for Inspection {
    fn text(&self, style: Style) -> String {
        let mut text = format!("{}\n", style.bold(&path_text(&self.file)));
        let mut facts = Table::plain(2);
        facts.row(vec!["size".into(), format!("{} bytes", self.size)]);
        facts.row(vec!["sha256".into(), self.sha256.clone()]);
        facts.row(vec!["licence".into(), self.license.clone()]);
        facts.row(vec!["kfuncs".into(), joined(self.kfuncs.iter().cloned())]);
        text += &facts.render(style, "    ");

        for firmware in &self.firmware {
            text += &format!(
                "firmware {}, ABI {}, in {} of section {}\n",
                style.bold(&firmware.name),
                firmware.abi,
                firmware.variable,
                firmware.section
            );
            let mut ops = Table::new(&[("OP", Align::Left), ("PROGRAM", Align::Left)]);
            for op in &firmware.ops {
                ops.row(vec![op.op.clone(), op.program.clone()]);
            }
            text += &ops.render(style, "    ");
            let mut can = Table::plain(2);
            capability_rows(&firmware.capabilities, None, &mut can);
            text += "device\n";
            text += &can.render(style, "    ");
        }
        text += "programs\n";
        let mut programs = Table::new(&[
            ("PROGRAM", Align::Left),
            ("SECTION", Align::Left),
            ("INSTRUCTIONS", Align::Right),
        ]);
        for program in &self.programs {
            programs.row(vec![
                program.name.clone(),
                program.section.clone(),
                program.instructions.to_string(),
            ]);
        }
        text += &programs.render(style, "    ");
        if !self.maps.is_empty() {
            text += "maps\n";
            let mut maps = Table::new(&[
                ("MAP", Align::Left),
                ("TYPE", Align::Left),
                ("KEY", Align::Right),
                ("VALUE", Align::Right),
                ("ENTRIES", Align::Right),
                ("FLAGS", Align::Left),
            ]);
            for map in &self.maps {
                maps.row(vec![
                    map.name.clone(),
                    map.kind.clone(),
                    map.key_size.to_string(),
                    map.value_size.to_string(),
                    map.max_entries.to_string(),
                    format!("{:#x}", map.flags),
                ]);
            }
            text += &maps.render(style, "    ");
        }
        for problem in &self.problems {
            text += &format!("{} {problem}\n", style.bad("problem:"));
        }
        text
    }
}

impl Text for Report {
    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Ok => style.good("ok     "),
                Verdict::Warning => style.warn("warning"),
                Verdict::Failure => style.bad("FAILED "),
            };
            let remedy = check
                .remedy
                .as_ref()
                .map_or_else(String::new, |remedy| format!("; {remedy}"));
            text += &format!("{verdict}  {}{remedy}\n", check.finding);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use ekho::debugfs::Calls;
    use ekho::doctor::Check;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: false,
    };

    fn flow() -> Flow {
        Flow {
            ifindex: 3,
            dev: "ek0".into(),
            netns: netns::current().unwrap(),
            netns_name: None,
            cookie: 0xffff_8880_0000_1000,
            source: Some("flower".into()),
            chain: 0,
            prio: 10,
            protocol: 0x0800,
            skip_sw: true,
            packets: 10,
            bytes: 1000,
            drops: 0,
            last_used_ms: Some(1200),
            polls: 4,
            matches: vec![Match {
                field: "dst_ip".into(),
                value: "10.0.0.1".into(),
                mask: Some("255.255.255.255".into()),
            }],
            actions: vec![Action {
                name: "drop".into(),
                argument: None,
            }],
        }
    }

    #[test]
    fn flows_are_one_line_each() {
        assert_eq!(
            [flow()].text(PLAIN),
            "\
DEVICE  SOURCE  CHAIN  PRIO  PROTOCOL  PACKETS  BYTES  DROPS  LAST USED  SOFTWARE  COOKIE              MATCH                            ACTIONS
ek0     flower      0    10  ip             10   1000      0    1200 ms  skipped   0xffff888000001000  dst_ip 10.0.0.1/255.255.255.255  drop
"
        );
    }

    #[test]
    fn the_namespace_is_shown_where_it_is_another() {
        let mut other = flow();
        other.netns += 1;
        other.netns_name = Some("blue".into());
        let text = [flow(), other].text(PLAIN);
        assert!(text.starts_with("DEVICE  NETNS"), "{text}");
        assert!(text.contains("ek0     blue"), "{text}");
    }

    #[test]
    fn columns_that_no_record_fills_are_left_out() {
        let mut device = Device {
            ifindex: 3,
            dev: "ek0".into(),
            netns: netns::current().unwrap(),
            netns_name: None,
            kind: "ekho".into(),
            hw_tc_offload: None,
            bindings: 1,
            flows: 2,
            occupied: None,
            firmware: None,
        };
        assert_eq!(
            [device.clone()].text(PLAIN),
            "DEVICE  KIND  BINDINGS  FLOWS  FIRMWARE\nek0     ekho         1      2  -\n"
        );
        device.hw_tc_offload = Some(true);
        assert!([device].text(PLAIN).contains("HW-TC-OFFLOAD"));
    }

    #[test]
    fn empty_lists_are_silent_for_programs() {
        let none: [Firmware; 0] = [];
        assert_eq!(none.text(PLAIN), "");
        let style = Style {
            terminal: true,
            ..PLAIN
        };
        assert_eq!(none.text(style), "no firmware is attached\n");
    }

    #[test]
    fn status_shows_programs_and_maps() {
        let status = Status {
            record: Firmware {
                ifindex: 3,
                dev: "ek0".into(),
                netns: 1,
                netns_name: None,
                firmware: "stats".into(),
                abi: 1,
                link: 7,
                map: Some(23),
                generation: 2,
                flows: 1,
                ops: vec!["replace".into()],
                calls: Calls::default(),
            },
            pins: vec!["/sys/fs/bpf/ekho/ek0/link".into()],
            programs: vec![ekho::attach::ProgramStatus {
                op: "replace".into(),
                id: 31,
                name: "stats_replace".into(),
                tag: "0123456789abcdef".into(),
                jited_bytes: 200,
                verified_insns: 40,
                run_count: 0,
                run_time_ns: 0,
            }],
            maps: vec![ekho::attach::MapStatus {
                id: 22,
                name: "flow_stats".into(),
                kind: "hash".into(),
                key_size: 8,
                value_size: 32,
                max_entries: 1024,
                pin: None,
            }],
            capabilities: Some(Capabilities {
                keys: Some(vec!["basic".into(), "ports".into()]),
                actions: None,
                classifiers: Some(vec!["flower".into()]),
                hw_stats: vec!["delayed".into()],
                max_flows: Some(1024),
                max_chains: None,
                prio_min: None,
                prio_max: Some(99),
                max_actions: Some(1),
                flow_size: 16,
                budget_us: Some(10_000),
            }),
            occupied: Some(3),
            refusals: vec![ekho::debugfs::Refusal {
                ifindex: 3,
                netns: 1,
                errno: 95,
                count: 12,
                reason: "no action pass".into(),
            }],
            exits: Vec::new(),
        };
        assert_eq!(
            Shown {
                status: vec![status],
                stopped: Vec::new()
            }
            .text(PLAIN),
            "\
ek0: firmware stats, ABI 1, generation 2
    netns        1
    link         7, pinned at /sys/fs/bpf/ekho/ek0/link
    map          23
    flows        1
    calls        replace 0 (0 refused), destroy 0, stats 0
    violations   0
    keys         basic, ports
    actions      any
    classifiers  flower
    hw_stats     delayed
    max flows    1024, 3 used
    max chains   any number
    max actions  1
    prio         1 to 99
    memory       16 bytes for each flow
    time         10000 us for each call
    REFUSED  ERROR       REASON
         12  EOPNOTSUPP  no action pass
    OP       PROGRAM        ID  TAG               CODE  VERIFIED  RUNS  TIME NS
    replace  stats_replace  31  0123456789abcdef   200        40     0        0
    MAP         TYPE  ID  KEY  VALUE  ENTRIES  PINNED AT
    flow_stats  hash  22    8     32     1024  -
"
        );
    }

    #[test]
    fn the_doctor_gives_the_remedy_on_the_same_line() {
        let report = Report {
            ok: false,
            checks: vec![
                Check {
                    id: "kernel".into(),
                    verdict: Verdict::Ok,
                    finding: "kernel 7.2".into(),
                    remedy: None,
                },
                Check {
                    id: "module".into(),
                    verdict: Verdict::Failure,
                    finding: "the module ekho isn't loaded".into(),
                    remedy: Some("load it".into()),
                },
            ],
        };
        assert_eq!(
            report.text(PLAIN),
            "ok       kernel 7.2\nFAILED   the module ekho isn't loaded; load it\n"
        );
    }

    #[test]
    fn outcomes_are_sentences() {
        let outcome = Outcome {
            dev: "ek0".into(),
            ifindex: 3,
            firmware: "stats".into(),
            abi: 1,
            link: 7,
            map: 9,
            pin: Some("/sys/fs/bpf/ekho/ek0/link".into()),
            replaced: Some("noop".into()),
            carried_maps: vec!["flow_stats".into()],
            new_maps: Vec::new(),
        };
        assert_eq!(
            outcome.text(PLAIN),
            "ek0: firmware noop replaced by stats (link 7, pinned at /sys/fs/bpf/ekho/ek0/link, maps kept: flow_stats)\n"
        );
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            concat!(
                r#"{"dev":"ek0","ifindex":3,"firmware":"stats","abi":1,"link":7,"map":9,"#,
                r#""pin":"/sys/fs/bpf/ekho/ek0/link","replaced":"noop","#,
                r#""carried_maps":["flow_stats"],"new_maps":[]}"#
            )
        );
    }

    #[test]
    fn durations_suit_a_person() {
        assert_eq!(ago(None), "never");
        assert_eq!(ago(Some(9_999)), "9999 ms");
        assert_eq!(ago(Some(10_000)), "10 s");
        assert_eq!(ago(Some(3_600_000)), "60 min");
    }
}
