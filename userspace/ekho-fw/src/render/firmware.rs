// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware: attached, what was done to it, and in an object.

use ekho::contract::Capabilities;
use ekho::error::errno_name;
use ekho::firmware::image::Inspection;
use ekho::firmware::load::Outcome;
use ekho::firmware::status::Status;
use ekho::firmware::unload::Removal;
use ekho::module::state::Firmware;

use super::common::{exit_text, joined, netns_text, nothing, path_text, Rows};
use super::style::{Style, Text};
use super::table::{Align, Table};
use crate::results::Shown;

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
                firmware.netns,
                &firmware.netns_name,
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
    if !can.tables.is_empty() {
        row("tables", can.tables.join(", "));
    }
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
        capability_rows(can, status.table_entries, &mut facts);
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

#[cfg(test)]
mod tests {
    use ekho::module::state::Calls;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    #[test]
    fn empty_lists_are_silent_for_programs() {
        let none: [Firmware; 0] = [];
        assert_eq!(none.text(PLAIN), "");
        let style = Style {
            terminal: Some(80),
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
            programs: vec![ekho::firmware::status::ProgramStatus {
                op: "replace".into(),
                id: 31,
                name: "stats_replace".into(),
                tag: "0123456789abcdef".into(),
                jited_bytes: 200,
                verified_insns: 40,
                run_count: 0,
                run_time_ns: 0,
            }],
            maps: vec![ekho::firmware::status::MapStatus {
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
                tables: Vec::new(),
            }),
            table_entries: Some(3),
            refusals: vec![ekho::module::state::Refusal {
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
}
