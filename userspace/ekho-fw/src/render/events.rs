// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events, a line each, with the time in front as in the kernel's log.

use ekho::events::event::{Event, FlowId, Replace};
use ekho::flows::stats::protocol_name;

use super::common::{action_text, counted, joined, match_text, plural, stamp};
use super::style::{Style, Text};
use crate::results::{End, Line, Lost};

fn flow_text(flow: &FlowId) -> String {
    let mut text = format!("{:#x} {}", flow.cookie, flow.classifier);
    if flow.classifier == "ct" {
        text += &format!(" zone {}", flow.ct_zone);
    } else if !matches!(flow.classifier, "flowtable" | "action") {
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

fn replace_text(replace: &Replace) -> String {
    let mut actions: Vec<String> = replace.rule.actions.iter().map(action_text).collect();
    if !replace.rule.complete {
        actions.push("and more".into());
    }
    let classid = match replace.classid {
        0 => String::new(),
        id => format!(" classid {:x}:{:x}", id >> 16, id & 0xffff),
    };
    format!(
        "{classid}: {} -> {}",
        joined(replace.rule.matches.iter().map(match_text)),
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
    if let Some(replace) = &event.replace {
        text += &replace_text(replace);
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
    use ekho::contract::rule::{Action, Argument, Match, Rule};
    use ekho::flows::stats::Counters;

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
                classifier: "flower",
                chain: 0,
                prio: 10,
                protocol: 0x0800,
                skip_sw: true,
                block: 0,
                hooks: vec!["ingress".into()],
                ct_zone: 0,
            }),
            replace: Some(Replace {
                classid: 0,
                keys: vec!["ipv4_addrs".into()],
                rule: Rule {
                    matches: vec![Match {
                        field: "dst_ip".into(),
                        value: "192.0.2.1".into(),
                        mask: None,
                    }],
                    actions: vec![
                        Action {
                            name: "vlan_push".into(),
                            argument: Some("5".into()),
                            arguments: vec![Argument {
                                name: "protocol".into(),
                                value: "0x8100".into(),
                            }],
                            ..Action::default()
                        },
                        Action {
                            name: "drop".into(),
                            ..Action::default()
                        },
                    ],
                    complete: false,
                },
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
            "[   12.000034] ek0: replace 0xffff888000001000 flower chain 0 prio 10 ip skip_sw: dst_ip 192.0.2.1 -> vlan_push 5 protocol 0x8100, drop, and more\n"
        );
        let destroy = Event {
            what: "destroy",
            dev: None,
            replace: None,
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
            replace: None,
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
