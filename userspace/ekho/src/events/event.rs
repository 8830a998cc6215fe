// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events: what firmware says of the kernel's requests, as records in a ring buffer.
//!
//! The records are those of `ekho_maps.h`: a header (`struct ekho_event`), and parts
//! with type and size behind it. Firmware wrote them, so that nothing about them is
//! taken for granted; what isn't known here is skipped, as the header says it must be.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::contract;
use crate::error::errno_name;
use crate::flows::stats::Counters;
use crate::module::state::Match;
use crate::number::{hex, serialize_hex};

/// `EKHO_EVENT_VERSION`.
const VERSION: u16 = 1;
/// Size of `struct ekho_event` in version 1.
const HEADER_SIZE: usize = 80;
/// Size of `struct ekho_event_part`.
const PART_SIZE: usize = 4;

/// `enum ekho_event_what`, which starts at 1.
const WHAT: [&str; 9] = [
    "attach",
    "detach",
    "replace",
    "destroy",
    "stats",
    "template_create",
    "template_destroy",
    "hnode",
    "qdisc",
];

/// Names of events, for those that choose some.
pub fn names() -> &'static [&'static str] {
    &WHAT
}

/// Why a record can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// There isn't even a header, or it says that the record is longer than it is.
    #[error("it ends after {0} bytes, and should have {1}")]
    Short(usize, usize),
    /// The layout isn't known.
    #[error("its layout has version {0}, and only {VERSION} is known")]
    Version(u16),
    /// The header can't have this size.
    #[error("its header of {0} bytes doesn't fit a record of {1}")]
    Header(usize, usize),
    /// A part is longer than what is left of the record.
    #[error("a part of {0} bytes begins where {1} are left")]
    Part(usize, usize),
}

/// What identifies a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowId {
    /// The kernel's key of the flow, as `"0x…"`.
    #[serde(serialize_with = "serialize_hex")]
    pub cookie: u64,
    /// Who wants it offloaded.
    pub source: &'static str,
    /// Chain of the filter.
    pub chain: u32,
    /// Preference of the filter.
    pub prio: u32,
    /// EtherType of the filter.
    pub protocol: u16,
    /// Whether the filter exists in hardware only.
    pub skip_sw: bool,
    /// Number of the shared block, 0 for none.
    pub block: u32,
    /// Where packets meet it.
    pub hooks: Vec<String>,
}

/// An action of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Its name, such as `drop`.
    pub name: &'static str,
    /// The number that says most, in words where there are some: a device's name.
    pub argument: Option<String>,
    /// `enum ekho_action_id`.
    pub id: u16,
    /// tc's index of the action.
    pub index: u32,
    /// The number itself.
    pub arg: u32,
    /// How its statistics may be had.
    pub hw_stats: Vec<String>,
    /// More of it: see `struct ekho_event_action`. Empty if all are 0.
    pub data: Vec<u32>,
}

/// What a new flow is to match and to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Class that the filter maps to, 0 for none.
    pub classid: u32,
    /// The keys that it matches, also those that have nothing in `match`.
    pub keys: Vec<String>,
    /// What it matches.
    #[serde(rename = "match")]
    pub matches: Vec<Match>,
    /// How many actions it has; those beyond what the record holds aren't in `actions`.
    pub n_actions: u16,
    /// Its actions, in order.
    pub actions: Vec<Action>,
}

/// A hash table of u32 filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hnode {
    /// `new` or `delete`.
    pub command: &'static str,
    /// The table's handle.
    pub handle: u32,
    /// How many buckets it has.
    pub divisor: u32,
    /// Chain of its filters.
    pub chain: u32,
    /// Preference of its filters.
    pub prio: u32,
    /// Whether its filters exist in hardware only.
    pub skip_sw: bool,
}

/// A request of a qdisc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Qdisc {
    /// Kind of the qdisc.
    pub kind: &'static str,
    /// The command, as that kind numbers them.
    pub command: u32,
}

/// An event. What doesn't belong to its kind isn't there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What the kernel asked for.
    pub what: &'static str,
    /// When, in ns of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// How many events the firmware lost until then.
    pub lost: u64,
    /// Interface index of the device.
    pub ifindex: u32,
    /// Its name, where the record or the reader knows it.
    pub dev: Option<String>,
    /// What the firmware answered: 0, or an errno.
    pub errno: i32,
    /// Name of that errno.
    pub error: Option<String>,
    /// Why the firmware refused.
    pub reason: Option<String>,
    /// Which firmware on this attachment; of `attach` and `detach`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Of requests about flows.
    #[serde(flatten)]
    pub flow: Option<FlowId>,
    /// Of `replace` and `template_create`.
    #[serde(flatten)]
    pub rule: Option<Rule>,
    /// Of `destroy` and `stats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// Of `hnode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hnode: Option<Hnode>,
    /// Of `qdisc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdisc: Option<Qdisc>,
}

/// Reads numbers in the machine's byte order; 0 beyond the end.
#[derive(Clone, Copy)]
struct Bytes<'data>(&'data [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        self.0
            .get(at..at + N)
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or([0; N])
    }

    fn u8(self, at: usize) -> u8 {
        self.array::<1>(at)[0]
    }

    fn u16(self, at: usize) -> u16 {
        u16::from_ne_bytes(self.array(at))
    }

    fn u32(self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }

    fn text(self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = String::from_utf8_lossy(&self.0[..end.unwrap_or(self.0.len())]);
        // A terminal would obey what else is in there.
        text.replace(char::is_control, "?")
    }
}

/// `enum ekho_event_part_type` below the fields.
mod part {
    pub const ACTION: u16 = 1;
    pub const COUNTERS: u16 = 2;
    pub const HNODE: u16 = 3;
    pub const QDISC: u16 = 4;
    pub const REASON: u16 = 5;
    pub const DEVICE: u16 = 6;
    pub const FIELD: u16 = 0x100;
}

/// Sizes of the structures of parts, as of version 1.
mod part_size {
    pub const ACTION: usize = 28;
    pub const COUNTERS: usize = 32;
    pub const HNODE: usize = 12;
    pub const QDISC: usize = 8;
}

/// Splits a record into parts.
struct Parts<'data>(&'data [u8]);

impl<'data> Iterator for Parts<'data> {
    type Item = Result<(u16, &'data [u8]), EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let left = self.0.len();
        let header = Bytes(self.0);
        let (kind, size) = (header.u16(0), usize::from(header.u16(2)));
        let Some(part) = self.0.get(PART_SIZE..PART_SIZE + size) else {
            self.0 = &[];
            return Some(Err(EventError::Part(PART_SIZE + size, left)));
        };
        self.0 = &self.0[PART_SIZE + size..];
        Some(Ok((kind, part)))
    }
}

/// How the bytes of a field are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A number in network byte order, in decimal.
    Dec,
    /// The same in hexadecimal.
    Hex,
    /// A number in the machine's byte order, in decimal.
    NativeDec,
    /// The same in hexadecimal.
    NativeHex,
    /// A network address, by its length.
    Ip,
    /// An Ethernet address.
    Mac,
    /// A stack of MPLS labels.
    Mpls,
    /// Bytes that mean nothing here.
    Bytes,
}

/// `EKHO_FIELD_*`, by name (that of tc-flower(8) where it has one) and form.
const FIELDS: [(&str, Format); 58] = [
    ("ip_flags", Format::NativeHex),
    ("eth_type", Format::Hex),
    ("ip_proto", Format::Dec),
    ("src_ip", Format::Ip),
    ("dst_ip", Format::Ip),
    ("src_ip", Format::Ip),
    ("dst_ip", Format::Ip),
    ("src_port", Format::Dec),
    ("dst_port", Format::Dec),
    ("src_port_min", Format::Dec),
    ("src_port_max", Format::Dec),
    ("dst_port_min", Format::Dec),
    ("dst_port_max", Format::Dec),
    ("type", Format::Dec),
    ("code", Format::Dec),
    ("dst_mac", Format::Mac),
    ("src_mac", Format::Mac),
    ("arp_sip", Format::Ip),
    ("arp_tip", Format::Ip),
    ("arp_op", Format::Dec),
    ("arp_sha", Format::Mac),
    ("arp_tha", Format::Mac),
    ("vlan_id", Format::NativeDec),
    ("vlan_prio", Format::NativeDec),
    ("vlan_ethtype", Format::Hex),
    ("vlan_tpid", Format::Hex),
    ("cvlan_id", Format::NativeDec),
    ("cvlan_prio", Format::NativeDec),
    ("cvlan_ethtype", Format::Hex),
    ("cvlan_tpid", Format::Hex),
    ("mpls", Format::Mpls),
    ("tcp_flags", Format::Hex),
    ("ip_tos", Format::Hex),
    ("ip_ttl", Format::Dec),
    ("enc_key_id", Format::Dec),
    ("enc_src_ip", Format::Ip),
    ("enc_dst_ip", Format::Ip),
    ("enc_src_ip", Format::Ip),
    ("enc_dst_ip", Format::Ip),
    ("enc_src_port", Format::Dec),
    ("enc_dst_port", Format::Dec),
    ("enc_tos", Format::Hex),
    ("enc_ttl", Format::Dec),
    ("enc_flags", Format::NativeHex),
    ("indev", Format::NativeDec),
    ("l2_miss", Format::Dec),
    ("ct_state", Format::NativeHex),
    ("ct_zone", Format::NativeDec),
    ("ct_mark", Format::NativeHex),
    ("ct_label", Format::Bytes),
    ("hash", Format::NativeHex),
    ("num_of_vlans", Format::Dec),
    ("pppoe_sid", Format::Dec),
    ("ppp_proto", Format::Hex),
    ("l2tpv3_sid", Format::Dec),
    ("cfm_mdl_ver", Format::Hex),
    ("cfm_op", Format::Dec),
    ("spi", Format::Hex),
];

/// A number of up to 8 bytes.
fn number(bytes: &[u8], native: bool) -> Option<u64> {
    let add = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
    if bytes.len() > 8 {
        None
    } else if native && cfg!(target_endian = "little") {
        Some(bytes.iter().rev().fold(0, add))
    } else {
        Some(bytes.iter().fold(0, add))
    }
}

/// The bytes of a field, or of its mask, as text.
fn value(format: Format, bytes: &[u8]) -> String {
    let as_bytes = || hex(bytes);
    let text = match format {
        Format::Dec => number(bytes, false).map(|n| n.to_string()),
        Format::NativeDec => number(bytes, true).map(|n| n.to_string()),
        Format::Hex => {
            number(bytes, false).map(|n| format!("0x{n:0width$x}", width = bytes.len() * 2))
        }
        Format::NativeHex => number(bytes, true).map(|n| format!("{n:#x}")),
        Format::Ip => match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
            (Ok(v4), _) => Some(Ipv4Addr::from(v4).to_string()),
            (_, Ok(v6)) => Some(Ipv6Addr::from(v6).to_string()),
            _ => None,
        },
        Format::Mac => Some(
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(":"),
        ),
        Format::Mpls => Some(mpls(bytes)),
        Format::Bytes => None,
    };
    text.unwrap_or_else(as_bytes)
}

/// Label stack entries up to the last that isn't 0: `label:tc:bos:ttl`, dashes between.
fn mpls(bytes: &[u8]) -> String {
    let mut entries: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|entry| Bytes(entry).u32(0))
        .collect();
    while entries.len() > 1 && entries.last() == Some(&0) {
        entries.pop();
    }
    entries
        .iter()
        .map(|entry| {
            format!(
                "{}:{}:{}:{}",
                entry >> 12,
                (entry >> 9) & 7,
                (entry >> 8) & 1,
                entry & 0xff
            )
        })
        .collect::<Vec<_>>()
        .join("-")
}

/// The bits of a mask that can be set.
fn full_mask(field: &str, size: usize) -> Vec<u8> {
    match field {
        "vlan_id" | "cvlan_id" => 0xfffu16.to_ne_bytes().to_vec(),
        "vlan_prio" | "cvlan_prio" => vec![7],
        _ => vec![0xff; size],
    }
}

fn field(kind: u16, data: &[u8]) -> Match {
    let (key, mask) = data.split_at(data.len() / 2);
    let number = kind - part::FIELD;
    let (name, format) = match FIELDS.get(usize::from(number)) {
        Some((name, format)) => ((*name).to_owned(), *format),
        None => (format!("field_{number}"), Format::Bytes),
    };
    // A mask in decimal says nothing.
    let mask_format = match format {
        Format::Dec => Format::Hex,
        Format::NativeDec => Format::NativeHex,
        other => other,
    };
    let mask = (mask != full_mask(&name, mask.len())).then(|| value(mask_format, mask));
    Match {
        field: name,
        value: value(format, key),
        mask,
    }
}

/// Actions whose `arg` is the interface index of a device.
const TO_DEVICE: [&str; 4] = ["redirect", "mirror", "redirect_ingress", "mirror_ingress"];
/// Other actions whose `arg` says something.
const WITH_ARG: [&str; 13] = [
    "goto",
    "vlan_push",
    "vlan_modify",
    "mark",
    "ptype",
    "priority",
    "rx_queue",
    "queue",
    "sample",
    "ct",
    "mpls_push",
    "mpls_modify",
    "pppoe_push",
];

fn action(data: Bytes<'_>, device: &dyn Fn(u32) -> Option<String>) -> Action {
    let (id, arg) = (data.u16(0), data.u32(8));
    let name = contract::action(id.into());
    let argument = if TO_DEVICE.contains(&name) {
        Some(device(arg).unwrap_or_else(|| arg.to_string()))
    } else {
        WITH_ARG.contains(&name).then(|| arg.to_string())
    };
    let mut more: Vec<u32> = (12..28).step_by(4).map(|at| data.u32(at)).collect();
    if more.iter().all(|number| *number == 0) {
        more.clear();
    }
    Action {
        name,
        argument,
        id,
        index: data.u32(4),
        arg,
        hw_stats: contract::hw_stats(data.u16(2).into()),
        data: more,
    }
}

fn qdisc_kind(kind: u32) -> &'static str {
    const KINDS: [&str; 14] = [
        "unknown", "mqprio", "taprio", "ets", "red", "gred", "tbf", "prio", "htb", "fifo", "cbs",
        "etf", "mq", "root",
    ];
    KINDS.get(kind as usize).copied().unwrap_or(KINDS[0])
}

impl Event {
    /// Reads a record. `device` gives the name of a device by its index.
    pub fn parse(
        sample: &[u8],
        device: &dyn Fn(u32) -> Option<String>,
    ) -> Result<Self, EventError> {
        let header = Bytes(sample);
        // The version says whether the rest of the header can be believed.
        if sample.len() < 2 {
            return Err(EventError::Short(sample.len(), HEADER_SIZE));
        }
        if header.u16(0) != VERSION {
            return Err(EventError::Version(header.u16(0)));
        }
        if sample.len() < HEADER_SIZE {
            return Err(EventError::Short(sample.len(), HEADER_SIZE));
        }
        let (start, size) = (usize::from(header.u16(2)), header.u32(4) as usize);
        let record = sample
            .get(..size)
            .ok_or(EventError::Short(sample.len(), size))?;
        if start < HEADER_SIZE {
            return Err(EventError::Header(start, size));
        }
        let parts = record.get(start..).ok_or(EventError::Header(start, size))?;

        let number = header.u32(24) as usize;
        let what = number
            .checked_sub(1)
            .and_then(|index| WHAT.get(index).copied())
            .unwrap_or("unknown");
        let errno = i32::from_ne_bytes(header.array(28)).unsigned_abs();
        let errno = i32::try_from(errno).unwrap_or(i32::MAX);
        let ifindex = header.u32(40);
        let (chain, prio, skip_sw) = (header.u32(44), header.u32(48), header.u8(54) != 0);

        let mut event = Self {
            what,
            time_ns: header.u64(8),
            lost: header.u64(16),
            ifindex,
            dev: None,
            errno,
            error: (errno != 0).then(|| errno_name(errno)),
            reason: None,
            generation: matches!(what, "attach" | "detach").then(|| header.u32(64)),
            flow: (!matches!(what, "attach" | "detach" | "hnode" | "qdisc")).then(|| FlowId {
                cookie: header.u64(32),
                source: contract::source(header.u8(55)),
                chain,
                prio,
                protocol: header.u16(52),
                skip_sw,
                block: header.u32(56),
                hooks: contract::hooks(header.u8(60)),
            }),
            rule: matches!(what, "replace" | "template_create").then(|| Rule {
                classid: header.u32(68),
                keys: contract::keys(header.u64(72)),
                matches: Vec::new(),
                n_actions: header.u16(62),
                actions: Vec::new(),
            }),
            counters: None,
            hnode: None,
            qdisc: None,
        };
        for found in Parts(parts) {
            let (kind, part) = found?;
            let data = Bytes(part);
            match (kind, &mut event.rule) {
                (part::ACTION, Some(rule)) if part.len() >= part_size::ACTION => {
                    rule.actions.push(action(data, device));
                }
                (part::FIELD.., Some(rule)) if !part.is_empty() && part.len() % 2 == 0 => {
                    rule.matches.push(field(kind, part));
                }
                (part::COUNTERS, _) if part.len() >= part_size::COUNTERS => {
                    event.counters = Some(Counters {
                        packets: data.u64(0),
                        bytes: data.u64(8),
                        drops: data.u64(16),
                        last_used_ns: data.u64(24),
                    });
                }
                (part::HNODE, _) if part.len() >= part_size::HNODE => {
                    event.hnode = Some(Hnode {
                        command: match data.u32(0) {
                            1 => "new",
                            2 => "delete",
                            _ => "unknown",
                        },
                        handle: data.u32(4),
                        divisor: data.u32(8),
                        chain,
                        prio,
                        skip_sw,
                    });
                }
                (part::QDISC, _) if part.len() >= part_size::QDISC => {
                    event.qdisc = Some(Qdisc {
                        kind: qdisc_kind(data.u32(0)),
                        command: data.u32(4),
                    });
                }
                (part::REASON, _) => event.reason = Some(data.text()),
                (part::DEVICE, _) => event.dev = Some(data.text()),
                _ => {}
            }
        }
        if event.dev.is_none() {
            event.dev = device(ifindex);
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a header, and parts to be added.
    struct Record(Vec<u8>);

    impl Record {
        fn new(what: u32) -> Self {
            let mut data = vec![0; HEADER_SIZE];
            data[0..2].copy_from_slice(&VERSION.to_ne_bytes());
            data[2..4].copy_from_slice(&(HEADER_SIZE as u16).to_ne_bytes());
            data[8..16].copy_from_slice(&7u64.to_ne_bytes());
            data[24..28].copy_from_slice(&what.to_ne_bytes());
            data[32..40].copy_from_slice(&0xffff_8880_1234_5678_u64.to_ne_bytes());
            data[40..44].copy_from_slice(&3u32.to_ne_bytes());
            data[48..52].copy_from_slice(&10u32.to_ne_bytes());
            data[52..54].copy_from_slice(&0x0800u16.to_ne_bytes());
            data[54] = 1;
            data[55] = 1;
            data[60] = 1;
            data[62..64].copy_from_slice(&2u16.to_ne_bytes());
            data[72..80].copy_from_slice(&0b110u64.to_ne_bytes());
            Self(data)
        }

        fn part(mut self, kind: u16, data: &[u8]) -> Self {
            self.0.extend(kind.to_ne_bytes());
            self.0.extend((data.len() as u16).to_ne_bytes());
            self.0.extend(data);
            self
        }

        fn action(self, id: u16, arg: u32, data: [u32; 4]) -> Self {
            let mut bytes = id.to_ne_bytes().to_vec();
            bytes.extend(2u16.to_ne_bytes());
            for number in [1, arg].into_iter().chain(data) {
                bytes.extend(number.to_ne_bytes());
            }
            self.part(part::ACTION, &bytes)
        }

        /// With the size it has.
        fn finish(mut self) -> Vec<u8> {
            let size = self.0.len() as u32;
            self.0[4..8].copy_from_slice(&size.to_ne_bytes());
            self.0
        }
    }

    fn device(ifindex: u32) -> Option<String> {
        (ifindex == 3).then(|| "ek0".into())
    }

    fn parse(data: &[u8]) -> Result<Event, EventError> {
        Event::parse(data, &device)
    }

    fn field_number(name: &str) -> u16 {
        part::FIELD + FIELDS.iter().position(|field| field.0 == name).unwrap() as u16
    }

    fn shown(name: &str, key: &[u8], mask: &[u8]) -> String {
        let shown = field(field_number(name), &[key, mask].concat());
        match shown.mask {
            Some(mask) => format!("{} {}/{mask}", shown.field, shown.value),
            None => format!("{} {}", shown.field, shown.value),
        }
    }

    #[test]
    fn a_flow_is_read_with_match_and_actions() {
        let record = Record::new(3)
            .action(4, 3, [0; 4])
            .action(8, 5, [0x8100, 2, 0, 0])
            .part(field_number("dst_ip"), &[192, 0, 2, 1, 255, 255, 255, 0])
            .part(field_number("dst_port"), &[0, 80, 0xff, 0xff])
            .finish();
        let event = parse(&record).unwrap();
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            concat!(
                r#"{"what":"replace","time_ns":7,"lost":0,"ifindex":3,"dev":"ek0","errno":0,"#,
                r#""error":null,"reason":null,"cookie":"0xffff888012345678","source":"flower","#,
                r#""chain":0,"prio":10,"protocol":2048,"skip_sw":true,"block":0,"hooks":["ingress"],"#,
                r#""classid":0,"keys":["basic","ipv4_addrs"],"#,
                r#""match":[{"field":"dst_ip","value":"192.0.2.1","mask":"255.255.255.0"},"#,
                r#"{"field":"dst_port","value":"80","mask":null}],"n_actions":2,"#,
                r#""actions":[{"name":"redirect","argument":"ek0","id":4,"index":1,"arg":3,"#,
                r#""hw_stats":["delayed"],"data":[]},"#,
                r#"{"name":"vlan_push","argument":"5","id":8,"index":1,"arg":5,"#,
                r#""hw_stats":["delayed"],"data":[33024,2,0,0]}]}"#
            )
        );
    }

    #[test]
    fn what_has_no_flow_has_no_keys_of_one() {
        let mut hnode = 1u32.to_ne_bytes().to_vec();
        hnode.extend(0x8010_0000u32.to_ne_bytes());
        hnode.extend(4u32.to_ne_bytes());
        let record = Record::new(8)
            .part(part::DEVICE, b"ek7\0\0")
            .part(part::HNODE, &hnode)
            .finish();
        assert_eq!(
            serde_json::to_string(&parse(&record).unwrap()).unwrap(),
            concat!(
                r#"{"what":"hnode","time_ns":7,"lost":0,"ifindex":3,"dev":"ek7","errno":0,"#,
                r#""error":null,"reason":null,"hnode":{"command":"new","handle":2148532224,"#,
                r#""divisor":4,"chain":0,"prio":10,"skip_sw":true}}"#
            )
        );
    }

    #[test]
    fn refusals_have_errno_and_reason() {
        let mut record = Record::new(3).part(part::REASON, b"no \x1b[31mway\0junk");
        record.0[28..32].copy_from_slice(&(-95i32).to_ne_bytes());
        let event = parse(&record.finish()).unwrap();
        assert_eq!(event.errno, 95);
        assert_eq!(event.error.as_deref(), Some("EOPNOTSUPP"));
        assert_eq!(event.reason.as_deref(), Some("no ?[31mway"));
    }

    #[test]
    fn fields_read_as_tc_writes_them() {
        let ff = [0xff; 16];
        for (name, key, mask, text) in [
            ("eth_type", &[8u8, 0][..], &ff[..2], "eth_type 0x0800"),
            ("src_port", &[0, 80], &[0xff, 0], "src_port 80/0xff00"),
            (
                "dst_mac",
                &[2, 0, 0, 0, 0, 1],
                &ff[..6],
                "dst_mac 02:00:00:00:00:01",
            ),
            (
                "vlan_id",
                &5u16.to_ne_bytes(),
                &0xfffu16.to_ne_bytes(),
                "vlan_id 5",
            ),
            ("vlan_prio", &[3], &[7], "vlan_prio 3"),
            ("vlan_prio", &[3], &[3], "vlan_prio 3/0x3"),
            ("enc_key_id", &[0, 0, 0, 42], &ff[..4], "enc_key_id 42"),
            (
                "ct_state",
                &3u16.to_ne_bytes(),
                &3u16.to_ne_bytes(),
                "ct_state 0x3/0x3",
            ),
            ("tcp_flags", &[0, 2], &[0, 0x3f], "tcp_flags 0x0002/0x003f"),
        ] {
            assert_eq!(shown(name, key, mask), text);
        }
        let v6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();
        assert_eq!(shown("dst_ip", &v6, &ff), "dst_ip fe80::1");
        let mut stack = (0x10000u32 | 0x100 | 64).to_ne_bytes().to_vec();
        stack.resize(28, 0);
        assert_eq!(value(Format::Mpls, &stack), "16:0:1:64");
    }

    #[test]
    fn a_field_of_another_size_is_shown_and_no_crash() {
        assert_eq!(
            shown("dst_ip", &[1, 2, 3], &[0, 0, 1]),
            "dst_ip 010203/000001"
        );
        assert_eq!(
            shown("src_port", &[1; 9], &[0xff; 9]),
            "src_port 010101010101010101"
        );
        assert_eq!(shown("mpls", &[1], &[0xff]), "mpls ");
    }

    #[test]
    fn what_is_unknown_or_odd_is_skipped() {
        let record = Record::new(3)
            .part(0xff, b"future")
            .part(part::ACTION, &[1])
            .part(part::COUNTERS, &[0; 31])
            .part(field_number("dst_ip"), &[1, 2, 3])
            .part(field_number("dst_ip"), &[])
            .part(0xffff, &[1, 2])
            .finish();
        let event = parse(&record).unwrap();
        assert_eq!(event.counters, None);
        let rule = event.rule.unwrap();
        assert!(rule.actions.is_empty());
        assert_eq!(rule.matches.len(), 1);
        assert_eq!(rule.matches[0].field, "field_65279");
        assert_eq!(rule.matches[0].value, "01");
    }

    #[test]
    fn parts_that_grew_are_read_as_far_as_they_are_known() {
        let mut counters = [0; 40];
        counters[..8].copy_from_slice(&9u64.to_ne_bytes());
        let record = Record::new(4).part(part::COUNTERS, &counters).finish();
        assert_eq!(parse(&record).unwrap().counters.unwrap().packets, 9);
    }

    #[test]
    fn a_header_that_grew_is_skipped() {
        let mut record = Record::new(4);
        record.0.extend([0xff; 16]);
        record.0[2..4].copy_from_slice(&(HEADER_SIZE as u16 + 16).to_ne_bytes());
        let record = record.part(part::DEVICE, b"ek9").finish();
        assert_eq!(parse(&record).unwrap().dev.as_deref(), Some("ek9"));
    }

    #[test]
    fn what_is_behind_the_record_is_junk() {
        let mut record = Record::new(4).finish();
        record.extend([0xff; 100]);
        assert!(parse(&record).is_ok());
    }

    #[test]
    fn records_that_cannot_be_are_refused() {
        let whole = Record::new(3).part(part::DEVICE, b"ek0").finish();
        for length in 0..whole.len() {
            assert!(
                matches!(parse(&whole[..length]), Err(EventError::Short(n, _)) if n == length),
                "{length}"
            );
        }
        let change = |at: usize, bytes: &[u8]| {
            let mut data = whole.clone();
            data[at..at + bytes.len()].copy_from_slice(bytes);
            parse(&data)
        };
        assert_eq!(change(0, &2u16.to_ne_bytes()), Err(EventError::Version(2)));
        assert_eq!(
            change(2, &79u16.to_ne_bytes()),
            Err(EventError::Header(79, 87))
        );
        assert_eq!(
            change(2, &88u16.to_ne_bytes()),
            Err(EventError::Header(88, 87))
        );
        assert_eq!(
            change(4, &40u32.to_ne_bytes()),
            Err(EventError::Header(80, 40))
        );
        assert_eq!(
            change(4, &u32::MAX.to_ne_bytes()),
            Err(EventError::Short(87, u32::MAX as usize))
        );
        assert_eq!(change(82, &4u16.to_ne_bytes()), Err(EventError::Part(8, 7)));
        assert_eq!(
            change(82, &u16::MAX.to_ne_bytes()),
            Err(EventError::Part(65539, 7))
        );
        // A part header that is cut.
        assert_eq!(change(4, &82u32.to_ne_bytes()), Err(EventError::Part(4, 2)));
        assert_eq!(change(24, &99u32.to_ne_bytes()).unwrap().what, "unknown");
        assert_eq!(
            change(28, &i32::MIN.to_ne_bytes())
                .unwrap()
                .error
                .as_deref(),
            Some("errno 2147483647")
        );
    }

    #[test]
    fn no_damage_to_a_record_is_a_crash() {
        let whole = Record::new(3)
            .action(4, 3, [1; 4])
            .part(field_number("mpls"), &[0xff; 56])
            .part(part::COUNTERS, &[0xff; 32])
            .finish();
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut data = whole.clone();
                data[at] = byte;
                let _ = parse(&data);
            }
        }
    }
}
