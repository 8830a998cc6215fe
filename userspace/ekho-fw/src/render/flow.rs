// SPDX-License-Identifier: MIT OR Apache-2.0

//! Flows and their counters.

use ekho::flows::feed::Summary;
use ekho::flows::stats::{protocol_name, Updated};
use ekho::module::state::Flow;

use super::common::{action_text, counted, joined, match_text, nothing, or_dash, plural, Rows};
use super::style::{Style, Text};
use super::table::Align;

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
                ("CLASSIFIER", Left),
                ("CHAIN", Right),
                ("PRIO", Right),
                ("PROTOCOL", Left),
                ("PACKETS", Right),
                ("BYTES", Right),
                ("DROPS", Right),
                ("LAST USED", Right),
                ("FLAGS", Left),
                ("COOKIE", Left),
                ("MATCH", Left),
                ("ACTIONS", Left),
            ],
        );
        for flow in self {
            rows.row(
                flow.netns,
                &flow.netns_name,
                vec![
                    flow.dev.clone(),
                    or_dash(&flow.classifier),
                    flow.chain.to_string(),
                    flow.prio.to_string(),
                    protocol_name(flow.protocol),
                    flow.packets.to_string(),
                    flow.bytes.to_string(),
                    flow.drops.to_string(),
                    ago(flow.last_used_ms),
                    if flow.skip_sw { "skip_sw" } else { "-" }.to_owned(),
                    flow.cookie
                        .map_or_else(|| "-".into(), |cookie| format!("{cookie:#x}")),
                    joined(flow.matches.iter().map(match_text)),
                    joined(
                        (flow.actions.iter().map(action_text))
                            .chain((!flow.complete).then(|| "and more".to_owned())),
                    ),
                ],
            );
        }
        rows.table.render(style, "")
    }
}

impl Text for Updated {
    fn text(&self, _style: Style) -> String {
        format!(
            "{}: flow {:#x} has {}\n",
            self.dev,
            self.cookie,
            counted(
                self.counters.packets,
                self.counters.bytes,
                self.counters.drops
            )
        )
    }
}

impl Text for Summary {
    fn text(&self, _style: Style) -> String {
        format!(
            "{}: {} applied, {} malformed, {} about unknown flows, {} failed\n",
            plural(self.lines, "line"),
            self.applied,
            self.malformed,
            self.unknown,
            self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use ekho::kernel::netns;
    use ekho::module::state::{Action, Match};

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    fn flow() -> Flow {
        Flow {
            ifindex: 3,
            dev: "ek0".into(),
            netns: netns::current().unwrap(),
            netns_name: None,
            cookie: Some(0xffff_8880_0000_1000),
            classifier: Some("flower".into()),
            chain: 0,
            prio: 10,
            protocol: 0x0800,
            skip_sw: true,
            packets: 10,
            bytes: 1000,
            drops: 0,
            last_used_ms: Some(1200),
            stats_requests: 4,
            matches: vec![Match {
                field: "dst_ip".into(),
                value: "10.0.0.1".into(),
                mask: Some("255.255.255.255".into()),
            }],
            actions: vec![Action {
                name: "drop".into(),
                ..Action::default()
            }],
            complete: true,
        }
    }

    #[test]
    fn flows_are_one_line_each() {
        assert_eq!(
            [flow()].text(PLAIN),
            "\
DEVICE  CLASSIFIER  CHAIN  PRIO  PROTOCOL  PACKETS  BYTES  DROPS  LAST USED  FLAGS    COOKIE              MATCH                            ACTIONS
ek0     flower          0    10  ip             10   1000      0    1200 ms  skip_sw  0xffff888000001000  dst_ip 10.0.0.1/255.255.255.255  drop
"
        );
    }

    #[test]
    fn matches_are_in_words_of_tc() {
        let mut flow = flow();
        let item = |field: &str, value: &str, mask: Option<&str>| Match {
            field: field.into(),
            value: value.into(),
            mask: mask.map(Into::into),
        };
        flow.matches = vec![
            item("eth_type", "0x0800", None),
            item("ip_proto", "6", None),
            item("ip_flags", "0x0", Some("0x1")),
            item("ct_state", "0xa", Some("0xb")),
            item("ct_zone", "5", None),
        ];
        let text = [flow].text(PLAIN);
        let want =
            "eth_type ipv4, ip_proto tcp, ip_flags nofrag, ct_state +trk-new+est, ct_zone 5  drop";
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn what_is_not_known_or_cut_is_shown_to_be() {
        let mut flow = flow();
        flow.cookie = None;
        flow.complete = false;
        let text = [flow].text(PLAIN);
        assert!(text.contains("skip_sw  -       dst_ip"), "{text}");
        assert!(text.ends_with("drop, and more\n"), "{text}");
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
    fn durations_suit_a_person() {
        assert_eq!(ago(None), "never");
        assert_eq!(ago(Some(9_999)), "9999 ms");
        assert_eq!(ago(Some(10_000)), "10 s");
        assert_eq!(ago(Some(3_600_000)), "60 min");
    }
}
