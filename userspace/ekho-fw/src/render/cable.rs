// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cables.

use ekho::module::netlink::cable::{Cable, Impairment, DEFAULT_LIMIT};

use super::common::{netns_text, nothing, Rows};
use super::style::{Style, Text};
use super::table::Align;
use crate::results::CableChange;
use crate::units::{percent_text, rate_text, time_text};

/// What a cable does to frames, as the options of `cable connect` that say so.
fn impairment_text(impairment: &Impairment) -> String {
    let mut words = Vec::new();
    let mut word = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(format!("{name} {value}"));
        }
    };
    let some = |number: u32| Some(number).filter(|number| *number != 0);
    word("delay", some(impairment.delay_us).map(time_text));
    word("jitter", some(impairment.jitter_us).map(time_text));
    word("loss", some(impairment.loss_ppm).map(percent_text));
    word("reorder", some(impairment.reorder_ppm).map(percent_text));
    word("rate", impairment.rate_bps.map(rate_text));
    let limit = impairment.limit.filter(|limit| *limit != DEFAULT_LIMIT);
    word("limit", limit.map(|limit| limit.to_string()));
    match words.is_empty() {
        true => "-".into(),
        false => words.join(" "),
    }
}

/// The other end, with its network namespace if that is another.
fn peer_text(cable: &Cable) -> String {
    let name = match &cable.peer_dev {
        Some(name) => name.clone(),
        // As `ip link` does.
        None => format!("if{}", cable.peer_ifindex),
    };
    match cable.peer_netns == cable.netns {
        true => name,
        false => format!(
            "{name}@{}",
            netns_text(cable.peer_netns, &cable.peer_netns_name)
        ),
    }
}

impl Text for [Cable] {
    fn text(&self, style: Style) -> String {
        use Align::{Left, Right};

        if self.is_empty() {
            return nothing(style, "there is no cable");
        }
        let mut rows = Rows::new(
            self,
            &[
                ("DEVICE", Left),
                ("PEER", Left),
                ("CARRIER", Left),
                ("LOST", Right),
                ("PEER-LOST", Right),
                ("IMPAIRMENT", Left),
            ],
        );
        for cable in self {
            rows.row(
                cable.netns,
                &cable.netns_name,
                vec![
                    cable.dev.clone(),
                    peer_text(cable),
                    if cable.carrier { "yes" } else { "no" }.into(),
                    cable.lost.to_string(),
                    cable.peer_lost.to_string(),
                    impairment_text(&cable.impairment),
                ],
            );
        }
        rows.table.render(style, "")
    }
}

impl Text for CableChange {
    fn text(&self, _style: Style) -> String {
        match &self.peer {
            Some(peer) => format!("{}: connected to {peer}\n", self.dev),
            None => format!("{}: disconnected\n", self.dev),
        }
    }
}

#[cfg(test)]
mod tests {
    use ekho::kernel::netns;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    fn cable() -> Cable {
        let here = netns::current().unwrap();
        Cable {
            ifindex: 3,
            dev: "ek0".into(),
            netns: here,
            netns_name: None,
            peer_ifindex: 4,
            peer_dev: Some("ek1".into()),
            peer_netns: here,
            peer_netns_name: None,
            carrier: true,
            lost: 1,
            peer_lost: 0,
            impairment: Impairment {
                limit: Some(DEFAULT_LIMIT),
                ..Impairment::default()
            },
        }
    }

    #[test]
    fn cables_read_as_they_are_connected() {
        let plain = cable();
        let elsewhere = Cable {
            peer_netns: 1,
            peer_netns_name: Some("blue".into()),
            carrier: false,
            impairment: Impairment {
                delay_us: 10_000,
                jitter_us: 1500,
                loss_ppm: 10_000,
                reorder_ppm: 50_000,
                rate_bps: Some(100_000_000),
                limit: Some(7),
            },
            ..cable()
        };
        assert_eq!(
            [plain, elsewhere].text(PLAIN),
            "\
DEVICE  PEER      CARRIER  LOST  PEER-LOST  IMPAIRMENT
ek0     ek1       yes         1          0  -
ek0     ek1@blue  no          1          0  delay 10ms jitter 1.5ms loss 1% reorder 5% rate 100Mbit limit 7
"
        );
    }

    #[test]
    fn a_peer_that_is_not_to_be_seen_has_a_number() {
        let hidden = Cable {
            peer_dev: None,
            peer_netns: 77,
            ..cable()
        };
        assert_eq!(peer_text(&hidden), "if4@77");
        assert!([hidden].text(PLAIN).contains("if4@77"));
    }

    #[test]
    fn names_cannot_command_the_terminal() {
        let evil = Cable {
            peer_dev: Some("e\u{1b}[2J\n".into()),
            ..cable()
        };
        let text = [evil].text(PLAIN);
        assert!(text.contains("e\\u{1b}[2J\\n"), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn json_has_all_numbers_in_one_object() {
        assert_eq!(
            serde_json::to_string(&Cable {
                netns: 1,
                peer_netns: 1,
                ..cable()
            })
            .unwrap(),
            concat!(
                r#"{"ifindex":3,"dev":"ek0","netns":1,"netns_name":null,"#,
                r#""peer_ifindex":4,"peer_dev":"ek1","peer_netns":1,"peer_netns_name":null,"#,
                r#""carrier":true,"lost":1,"peer_lost":0,"#,
                r#""delay_us":0,"jitter_us":0,"loss_ppm":0,"reorder_ppm":0,"rate_bps":null,"limit":1000}"#
            )
        );
    }

    #[test]
    fn what_was_done_is_said() {
        let change = |peer: Option<&str>| CableChange {
            dev: "ek0".into(),
            peer: peer.map(str::to_owned),
        };
        assert_eq!(
            change(Some("ek1@blue")).text(PLAIN),
            "ek0: connected to ek1@blue\n"
        );
        assert_eq!(change(None).text(PLAIN), "ek0: disconnected\n");
    }
}
