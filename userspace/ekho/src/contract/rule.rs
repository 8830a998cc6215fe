// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a flow matches and does, out of the module's encoding: `ekho_rule.h`.
//!
//! Events have it and so have flows. It comes from elsewhere, so that nothing about it is
//! taken for granted; what isn't known here is told by its number.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::tables::{arg, layout, Field, Format, ACTIONS, ARGS, FIELDS};
use crate::contract;
use crate::number::hex;

/// A field that a flow matches on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    /// Field, such as `dst_ip`.
    pub field: String,
    /// Value it must have.
    pub value: String,
    /// Bits that count, when not all do.
    pub mask: Option<String>,
}

/// An argument of an action, or a field that it sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Argument {
    /// Its name, such as `protocol`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What happens to the packets of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Action, such as `drop` or `redirect`.
    pub name: String,
    /// The argument that says most, in words where there are some: a device's name.
    pub argument: Option<String>,
    /// The others, such as the protocol of a VLAN tag.
    pub arguments: Vec<Argument>,
    /// `enum ekho_action_id`.
    pub id: u8,
    /// tc's index of the action, 0 for none.
    pub index: u32,
    /// The number that says most.
    pub arg: u32,
    /// How its statistics may be had.
    pub hw_stats: Vec<String>,
}

/// What a flow matches and does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// What it matches.
    #[serde(rename = "match")]
    pub matches: Vec<Match>,
    /// What it does, in order.
    pub actions: Vec<Action>,
    /// Whether that is all: a rule of more than some kilobytes is cut.
    pub complete: bool,
}

/// Splits an encoded rule into attributes: type and payload.
#[derive(Clone, Copy)]
struct Attributes<'data>(&'data [u8]);

impl<'data> Iterator for Attributes<'data> {
    type Item = (u32, &'data [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([tag, size], rest) = self.0.split_first_chunk::<2>()?;
        let (payload, rest) = rest.split_at_checked(usize::from(*size))?;
        if *tag == 0 {
            return None;
        }
        self.0 = rest;
        Some(((*tag).into(), payload))
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// A payload as text.
fn value(format: Format, bytes: &[u8]) -> String {
    match (format, bytes) {
        (Format::DEC, _) if bytes.len() <= 8 => big_endian(bytes).to_string(),
        (Format::HEX, _) if bytes.len() <= 8 => format!("0x{}", hex(bytes)),
        (Format::NUM | Format::DEV, _) if bytes.len() <= 8 => little_endian(bytes).to_string(),
        (Format::FLAGS, _) if bytes.len() <= 8 => format!("{:#x}", little_endian(bytes)),
        (Format::IP4, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).to_string(),
        (Format::IP6, _) => match <[u8; 16]>::try_from(bytes) {
            Ok(address) => Ipv6Addr::from(address).to_string(),
            Err(_) => hex(bytes),
        },
        (Format::MAC, _) => bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(":"),
        (Format::LSE, [_, _, _, _]) => {
            let entry = big_endian(bytes);
            format!(
                "{}:{}:{}:{}",
                entry >> 12,
                (entry >> 9) & 7,
                (entry >> 8) & 1,
                entry & 0xff
            )
        }
        (Format::GENEVE, [a, b, kind, data @ ..]) => {
            format!("{a:02x}{b:02x}:{kind:02x}:{}", hex(data))
        }
        (Format::ERSPAN, [version, a, b, c, d, direction, hwid]) => {
            let index = big_endian(&[*a, *b, *c, *d]);
            format!("{version}:{index}:{direction}:{hwid}")
        }
        (Format::GTP, [kind, qfi]) => format!("{kind:02x}:{qfi:02x}"),
        (Format::PFCP, [kind, seid @ ..]) if seid.len() == 8 => {
            format!("{kind:02x}:{:x}", big_endian(seid))
        }
        (Format::GATE, [open, numbers @ ..]) if numbers.len() == 12 => {
            let number = |at: usize| i32::from_le_bytes(numbers[at..at + 4].try_into().unwrap());
            let open = if *open == 0 { "close" } else { "open" };
            format!("{open}:{}:{}:{}", number(0), number(4), number(8))
        }
        _ => hex(bytes),
    }
}

/// How a mask is shown: in decimal it says nothing.
fn mask_format(format: Format) -> Format {
    match format {
        Format::DEC => Format::HEX,
        Format::NUM | Format::DEV => Format::FLAGS,
        other => other,
    }
}

fn find(list: &[Field], tag: u32) -> Option<&Field> {
    list.iter().find(|field| u32::from(field.tag) == tag)
}

/// Headers that pedit writes to: `enum flow_action_mangle_base`.
const HEADERS: [&str; 6] = ["?", "eth", "ip", "ip6", "tcp", "udp"];

impl Action {
    fn new(number: u32, payload: &[u8]) -> Self {
        let arg = u32::try_from(little_endian(payload)).unwrap_or(u32::MAX);
        let known = ACTIONS.get(number as usize);
        Self {
            name: match known {
                Some(action) => action.name().to_owned(),
                None => format!("unknown_{number}"),
            },
            argument: known
                .filter(|action| action.argument != Format::NONE)
                .map(|_| arg.to_string()),
            arguments: Vec::new(),
            id: number as u8,
            index: 0,
            arg,
            // As tc has it by default.
            hw_stats: contract::hw_stats(
                layout::EKHO_HW_STATS_IMMEDIATE | layout::EKHO_HW_STATS_DELAYED,
            ),
        }
    }

    fn add(&mut self, tag: u32, payload: &[u8]) {
        let number = u32::try_from(little_endian(payload)).unwrap_or(u32::MAX);
        if tag == u32::from(arg::INDEX.tag) {
            self.index = number;
            return;
        }
        if tag == u32::from(arg::HW_STATS.tag) {
            self.hw_stats = contract::hw_stats(number);
            return;
        }
        let (name, value) = match find(ARGS, tag).or_else(|| find(FIELDS, tag)) {
            Some(field) if field.tag == arg::HEADER.tag => {
                let header = HEADERS.get(number as usize).unwrap_or(&HEADERS[0]);
                (field.name.to_owned(), (*header).to_owned())
            }
            Some(field) => (
                field.name.trim_start_matches("enc_").to_owned(),
                value(field.format, payload),
            ),
            None => (format!("argument_{tag}"), hex(payload)),
        };
        self.arguments.push(Argument { name, value });
    }

    /// Whether its argument is the index of a device.
    fn names_device(&self) -> bool {
        ACTIONS
            .get(usize::from(self.id))
            .is_some_and(|action| action.argument == Format::DEV)
    }
}

impl Rule {
    /// Reads an encoded rule. Devices are told by their indexes.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut rule = Self {
            complete: true,
            ..Self::default()
        };
        let mut attributes = Attributes(bytes);
        while let Some((tag, payload)) = attributes.next() {
            let mut ahead = attributes;
            let mask = match ahead.next() {
                Some((layout::EKHO_RULE_MASK, mask)) => {
                    attributes = ahead;
                    Some(mask)
                }
                _ => None,
            };
            let first_arg = u32::from(ARGS[0].tag);
            match tag {
                layout::EKHO_RULE_CUT => rule.complete = false,
                layout::EKHO_RULE_ACTION.. if tag < first_arg => {
                    let action = Action::new(tag - layout::EKHO_RULE_ACTION, payload);
                    rule.actions.push(action);
                }
                _ => match rule.actions.last_mut() {
                    Some(action) => action.add(tag, payload),
                    None => rule.matches.push(field(tag, payload, mask)),
                },
            }
        }
        rule
    }

    /// Gives devices their names, where `name` knows them by their index.
    pub fn name_devices(&mut self, name: &dyn Fn(u32) -> Option<String>) {
        for action in self
            .actions
            .iter_mut()
            .filter(|action| action.names_device())
        {
            if let Some(name) = name(action.arg) {
                action.argument = Some(name);
            }
        }
    }
}

fn field(tag: u32, key: &[u8], mask: Option<&[u8]>) -> Match {
    let (name, format) = match find(FIELDS, tag) {
        Some(field) => (field.name.to_owned(), field.format),
        None => (format!("field_{tag}"), Format::BYTES),
    };
    Match {
        field: name,
        value: value(format, key),
        mask: mask.map(|mask| value(mask_format(format), mask)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute.
    fn attribute(tag: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, payload.len() as u8];
        bytes.extend(payload);
        bytes
    }

    fn tag(name: &str) -> u8 {
        FIELDS.iter().find(|field| field.name == name).unwrap().tag
    }

    fn action(name: &str, payload: &[u8]) -> Vec<u8> {
        let action = ACTIONS.iter().find(|action| action.name() == name).unwrap();
        attribute(0x80 + action.number as u8, payload)
    }

    fn shown(name: &str, key: &[u8], mask: Option<&[u8]>) -> String {
        let mut bytes = attribute(tag(name), key);
        if let Some(mask) = mask {
            bytes.extend(attribute(1, mask));
        }
        let rule = Rule::decode(&bytes);
        assert_eq!((rule.matches.len(), rule.complete), (1, true));
        let shown = &rule.matches[0];
        match &shown.mask {
            Some(mask) => format!("{} {}/{mask}", shown.field, shown.value),
            None => format!("{} {}", shown.field, shown.value),
        }
    }

    #[test]
    fn fields_read_as_tc_writes_them() {
        for (name, key, mask, text) in [
            ("eth_type", &[8u8, 0][..], None, "eth_type 0x0800"),
            (
                "src_port",
                &[0, 80],
                Some(&[0xff, 0][..]),
                "src_port 80/0xff00",
            ),
            (
                "dst_mac",
                &[2, 0, 0, 0, 0, 1],
                None,
                "dst_mac 02:00:00:00:00:01",
            ),
            ("vlan_id", &[5], None, "vlan_id 5"),
            ("vlan_prio", &[], None, "vlan_prio 0"),
            ("vlan_prio", &[3], Some(&[3]), "vlan_prio 3/0x3"),
            ("enc_key_id", &[0, 0, 0, 42], None, "enc_key_id 42"),
            ("ct_state", &[3], Some(&[3]), "ct_state 0x3/0x3"),
            (
                "tcp_flags",
                &[0, 2],
                Some(&[0, 0x3f]),
                "tcp_flags 0x0002/0x003f",
            ),
            ("mpls", &[0, 1, 1, 64], None, "mpls 16:0:1:64"),
            ("dst_ip", &[10, 0, 0, 1], None, "dst_ip 10.0.0.1"),
            (
                "geneve_opts",
                &[1, 2, 0x80, 0, 0x10, 0, 1],
                None,
                "geneve_opts 0102:80:00100001",
            ),
            ("vxlan_opts", &[40], Some(&[0xff]), "vxlan_opts 40/0xff"),
            (
                "erspan_opts",
                &[2, 0, 0, 0, 0, 1, 7],
                None,
                "erspan_opts 2:0:1:7",
            ),
            ("gtp_opts", &[1, 0x10], None, "gtp_opts 01:10"),
            (
                "pfcp_opts",
                &[1, 0, 0, 0, 0, 0, 0, 0, 0xab],
                None,
                "pfcp_opts 01:ab",
            ),
        ] {
            assert_eq!(shown(name, key, mask), text);
        }
        let v6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();
        assert_eq!(value(Format::IP6, &v6), "fe80::1");
    }

    #[test]
    fn actions_have_their_arguments() {
        let bytes = [
            attribute(tag("eth_type"), &[8, 0]),
            action("redirect", &[3]),
            attribute(0xc0, &[0x34, 0x12]),
            attribute(0xc1, &[4]),
            action("vlan_push", &[5]),
            attribute(0xc2, &[0x81, 0]),
            attribute(0xc3, &[2]),
            action("tunnel_set", &[]),
            attribute(tag("enc_key_id"), &[0, 0, 0, 7]),
            action("pedit", &[]),
            attribute(0xc8, &[2]),
            attribute(0xca, &[10, 0, 0, 1]),
            action("drop", &[]),
        ]
        .concat();
        let mut rule = Rule::decode(&bytes);
        rule.name_devices(&|ifindex| (ifindex == 3).then(|| "ek0".into()));
        let text = |action: &Action| {
            let mut text = action.name.clone();
            text += &format!(" {:?}", action.argument.as_deref().unwrap_or("-"));
            for Argument { name, value } in &action.arguments {
                text += &format!(" {name}={value}");
            }
            text
        };
        assert_eq!(
            rule.actions.iter().map(text).collect::<Vec<_>>(),
            [
                "redirect \"ek0\"",
                "vlan_push \"5\" protocol=0x8100 priority=2",
                "tunnel_set \"-\" key_id=7",
                "pedit \"-\" header=ip value=0x0a000001",
                "drop \"-\"",
            ]
        );
        let first = &rule.actions[0];
        assert_eq!((first.id, first.arg, first.index), (4, 3, 0x1234));
        assert_eq!(first.hw_stats, ["disabled"]);
        assert_eq!(rule.actions[1].hw_stats, ["immediate", "delayed"]);
        assert!(rule.complete);
    }

    #[test]
    fn what_is_unknown_is_told_by_number() {
        let bytes = [
            attribute(0x7f, &[1]),
            attribute(1, &[2]),
            attribute(0x80 + 50, &[]),
            attribute(0xfe, &[9]),
            attribute(2, &[]),
        ]
        .concat();
        let rule = Rule::decode(&bytes);
        assert_eq!(rule.matches[0].field, "field_127");
        assert_eq!(rule.matches[0].mask.as_deref(), Some("02"));
        assert_eq!(rule.actions[0].name, "unknown_50");
        assert_eq!(rule.actions[0].arguments[0].name, "argument_254");
        assert!(!rule.complete);
    }

    /// The tables of docs/rule-encoding.md.
    fn tables() -> String {
        let format = |format: Format| format!("{format:?}").to_lowercase();
        let bits = |bits: u8| match bits {
            0 => "any".to_owned(),
            bits => bits.to_string(),
        };
        let mut text = String::from(
            "### Fields\n\n| type | field | format | bits | key |\n|--:|---|---|--:|---|\n",
        );
        for field in FIELDS {
            text += &format!(
                "| {} | `{}` | {} | {} | {} |\n",
                field.tag,
                field.name,
                format(field.format),
                bits(field.bits),
                field.key
            );
        }
        text += "\n### Actions\n\n| type | action | argument |\n|--:|---|---|\n";
        for action in ACTIONS {
            let argument = match action.argument {
                Format::NONE => String::new(),
                known => format(known),
            };
            let tag = layout::EKHO_RULE_ACTION + action.number;
            text += &format!("| {tag:#x} | `{}` | {argument} |\n", action.name());
        }
        text += "\n### Arguments\n\n| type | argument | format | bits |\n|--:|---|---|--:|\n";
        for arg in ARGS {
            text += &format!(
                "| {:#x} | `{}` | {} | {} |\n",
                arg.tag,
                arg.name,
                format(arg.format),
                bits(arg.bits)
            );
        }
        text
    }

    // EKHO_WRITE_DOCS=1 writes it.
    #[test]
    fn the_document_has_what_the_header_has() {
        const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rule-encoding.md");
        const BEGIN: &str = "<!-- made from bpf/ekho_rule.h -->\n";
        let document = std::fs::read_to_string(FILE).unwrap();
        let (text, _) = document.split_once(BEGIN).unwrap();
        let want = format!("{text}{BEGIN}\n{}", tables());
        if std::env::var_os("EKHO_WRITE_DOCS").is_some() {
            std::fs::write(FILE, &want).unwrap();
        }
        assert!(
            document == want,
            "EKHO_WRITE_DOCS=1 cargo test writes {FILE}"
        );
    }

    #[test]
    fn zeros_end_a_rule() {
        let mut bytes = action("drop", &[]);
        bytes.extend([0; 10]);
        assert_eq!(Rule::decode(&bytes).actions.len(), 1);
    }

    #[test]
    fn no_damage_is_a_crash() {
        for field in FIELDS.iter().chain(ARGS) {
            for size in 0..40 {
                let one = attribute(field.tag, &vec![0xff; size]);
                let bytes = [one.clone(), action("gate", &[]), one].concat();
                for cut in 0..bytes.len() {
                    let _ = Rule::decode(&bytes[..cut]);
                }
            }
        }
    }
}
