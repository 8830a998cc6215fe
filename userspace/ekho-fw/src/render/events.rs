// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events, a line each, with the time in front as in the kernel's log.

use ekho::events::event::{Action, Event, FlowId, Rule};
use ekho::flows::stats::protocol_name;

use super::common::{counted, joined, match_text, plural, stamp};
use super::style::{Style, Text};
use crate::results::{End, Line, Lost};

fn flow_text(flow: &FlowId) -> String {
    let mut text = format!("{:#x} {}", flow.cookie, flow.source);
    if !matches!(flow.source, "flowtable" | "action") {
        text += &format!(
            " chain {} prio {} {}",
            flow.chain,
            flow.prio,
            protocol_name(flow.protocol)
        );
    }
    if flow.block != 0 {
        text += &format!(" block {}", flow.block);
    }
    if flow.hooks.iter().any(|hook| hook == "egress") {
        text += &format!(" {}", flow.hooks.join("+"));
    }
    if flow.skip_sw {
        text += " skip_sw";
    }
    text
}

/// Headers that pedit writes to: `enum flow_action_mangle_base`.
const HEADERS: [&str; 6] = ["?", "eth", "ip", "ip6", "tcp", "udp"];

fn action_text(action: &Action) -> String {
    let mut text = action.name.to_owned();
    if let Some(argument) = &action.argument {
        text += &format!(" {argument}");
    }
    match (action.name, action.data.as_slice()) {
        ("vlan_push" | "vlan_modify", [protocol, prio, ..]) => {
            let protocol = u16::try_from(*protocol).unwrap_or(0);
            text += &format!(" {} prio {prio}", protocol_name(protocol));
        }
        ("pedit" | "pedit_add", [header, offset, mask, value]) => {
            let header = HEADERS.get(*header as usize).unwrap_or(&HEADERS[0]);
            text += &format!(" {header}+{offset} {value:#010x}/{mask:#010x}");
        }
        _ => {}
    }
    text
}

fn rule_text(rule: &Rule) -> String {
    let mut actions: Vec<String> = rule.actions.iter().map(action_text).collect();
    let more = u64::from(rule.n_actions).saturating_sub(actions.len() as u64);
    if more > 0 {
        actions.push(format!("and {more} more"));
    }
    let classid = match rule.classid {
        0 => String::new(),
        id => format!(" classid {:x}:{:x}", id >> 16, id & 0xffff),
    };
    format!(
        "{classid}: {} -> {}",
        joined(rule.matches.iter().map(match_text)),
        joined(actions.into_iter())
    )
}

fn event_text(event: &Event, style: Style) -> String {
    let dev = match &event.dev {
        Some(dev) => dev.clone(),
        None => format!("device {}", event.ifindex),
    };
    let what = match event.what {
        "replace" | "template_create" => style.good(event.what),
        "destroy" | "template_destroy" => style.warn(event.what),
        _ => event.what.to_owned(),
    };
    let mut text = format!("{} {}: {what}", stamp(event.time_ns), style.bold(&dev));
    if let Some(generation) = event.generation {
        text += &format!(" generation {generation}");
    }
    if let Some(flow) = &event.flow {
        text += &format!(" {}", flow_text(flow));
    }
    if let Some(rule) = &event.rule {
        text += &rule_text(rule);
    }
    if let Some(counters) = &event.counters {
        text += &format!(
            ": {}",
            counted(counters.packets, counters.bytes, counters.drops)
        );
    }
    if let Some(hnode) = &event.hnode {
        text += &format!(
            " {} table {:x} chain {} prio {}, {}",
            hnode.command,
            hnode.handle,
            hnode.chain,
            hnode.prio,
            plural(u64::from(hnode.divisor), "bucket")
        );
    }
    if let Some(qdisc) = &event.qdisc {
        text += &format!(" {} command {}", qdisc.kind, qdisc.command);
    }
    if let Some(error) = &event.error {
        let reason = event
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        text += &style.bad(&format!(", refused with {error}{reason}"));
    }
    text + "\n"
}

impl Text for Line {
    fn text(&self, style: Style) -> String {
        match self {
            Self::Event(event) => event_text(event, style),
            Self::Lost(Lost { count, .. }) => {
                let text = format!(
                    "{} lost here: the ring buffer was full",
                    plural(*count, "event")
                );
                format!("{}\n", style.warn(&text))
            }
            Self::End(End {
                reason,
                events,
                lost,
                malformed,
                ..
            }) => {
                let why = match *reason {
                    "detached" => "the firmware is detached",
                    "replaced" => "the firmware was replaced by one that sends no events",
                    "timeout" => "the time is over",
                    "signal" => "interrupted",
                    _ => "",
                };
                let separator = if why.is_empty() { "" } else { "; " };
                let malformed = match malformed {
                    0 => String::new(),
                    count => format!(", {count} unreadable"),
                };
                format!(
                    "{}, {lost} lost{malformed}{separator}{why}\n",
                    plural(*events, "event")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ekho::flows::stats::Counters;
    use ekho::module::state::Match;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    fn event() -> Event {
        Event {
            what: "replace",
            time_ns: 12_000_034_999,
            lost: 0,
            ifindex: 3,
            dev: Some("ek0".into()),
            errno: 0,
            error: None,
            reason: None,
            generation: None,
            flow: Some(FlowId {
                cookie: 0xffff_8880_0000_1000,
                source: "flower",
                chain: 0,
                prio: 10,
                protocol: 0x0800,
                skip_sw: true,
                block: 0,
                hooks: vec!["ingress".into()],
            }),
            rule: Some(Rule {
                classid: 0,
                keys: vec!["ipv4_addrs".into()],
                matches: vec![Match {
                    field: "dst_ip".into(),
                    value: "192.0.2.1".into(),
                    mask: None,
                }],
                n_actions: 3,
                actions: vec![
                    Action {
                        name: "vlan_push",
                        argument: Some("5".into()),
                        id: 8,
                        index: 1,
                        arg: 5,
                        hw_stats: Vec::new(),
                        data: vec![0x8100, 2, 0, 0],
                    },
                    Action {
                        name: "pedit",
                        argument: None,
                        id: 13,
                        index: 1,
                        arg: 0,
                        hw_stats: Vec::new(),
                        data: vec![2, 16, 0, 0x0a00_0001],
                    },
                ],
            }),
            counters: None,
            hnode: None,
            qdisc: None,
        }
    }

    #[test]
    fn an_event_is_a_line() {
        assert_eq!(
            event_text(&event(), PLAIN),
            "[   12.000034] ek0: replace 0xffff888000001000 flower chain 0 prio 10 ip skip_sw: dst_ip 192.0.2.1 -> vlan_push 5 802.1Q prio 2, pedit ip+16 0x0a000001/0x00000000, and 1 more\n"
        );
        let destroy = Event {
            what: "destroy",
            dev: None,
            rule: None,
            counters: Some(Counters {
                packets: 1,
                bytes: 2,
                drops: 3,
                last_used_ns: 0,
            }),
            ..event()
        };
        assert_eq!(
            event_text(&destroy, PLAIN),
            "[   12.000034] device 3: destroy 0xffff888000001000 flower chain 0 prio 10 ip skip_sw: 1 packet, 2 bytes, 3 drops\n"
        );
    }

    #[test]
    fn a_refusal_says_why() {
        let refused = Event {
            rule: None,
            errno: 95,
            error: Some("EOPNOTSUPP".into()),
            reason: Some("no way".into()),
            ..event()
        };
        assert!(event_text(&refused, PLAIN).ends_with("skip_sw, refused with EOPNOTSUPP: no way\n"));
    }

    #[test]
    fn losses_and_the_end_are_told() {
        let lost = Line::Lost(Lost {
            what: "lost",
            count: 2,
        });
        assert_eq!(
            lost.text(PLAIN),
            "2 events lost here: the ring buffer was full\n"
        );
        let end = |reason, malformed| {
            Line::End(End {
                what: "end",
                reason,
                events: 1,
                lost: 2,
                malformed,
            })
            .text(PLAIN)
        };
        assert_eq!(end("count", 0), "1 event, 2 lost\n");
        assert_eq!(
            end("detached", 1),
            "1 event, 2 lost, 1 unreadable; the firmware is detached\n"
        );
    }
}
