// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events: what firmware says of the kernel's requests, as records in a ring buffer.
//!
//! The records are those of `ekho_maps.h`: a header (`struct ekho_event`), and parts
//! with type and size behind it. Firmware wrote them, so that nothing about them is
//! taken for granted; what isn't known here is skipped, as the header says it must be.

use std::mem::offset_of;

use serde::Serialize;

use crate::contract;
use crate::contract::rule::Rule;
use crate::contract::tables::layout::{
    ekho_event as Header, ekho_event_hnode, ekho_event_part, ekho_event_qdisc, ekho_flow_counters,
    EKHO_EVENT_VERSION, EKHO_PART_COUNTERS, EKHO_PART_DEVICE, EKHO_PART_HNODE, EKHO_PART_QDISC,
    EKHO_PART_REASON, EKHO_PART_RULE,
};
use crate::contract::tables::{Named, EVENTS, QDISCS};
use crate::error::errno_name;
use crate::flows::stats::Counters;
use crate::number::serialize_hex;

/// The version that is known.
const VERSION: u16 = EKHO_EVENT_VERSION as u16;
/// Size of the header in that version.
const HEADER_SIZE: usize = size_of::<Header>();
/// Size of what comes before each part.
const PART_SIZE: usize = size_of::<ekho_event_part>();

/// Stands for what has no name here.
const UNKNOWN: &str = "unknown";

fn named(list: &[Named], number: u32) -> &'static str {
    list.iter()
        .find(|named| named.number == number)
        .map_or(UNKNOWN, |named| named.name)
}

/// Names of events, for those that choose some.
pub fn names() -> Vec<&'static str> {
    EVENTS.iter().map(|event| event.name).collect()
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
    pub classifier: &'static str,
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
    /// Conntrack zone of a connection, 0 for none.
    pub ct_zone: u16,
}

/// What a new flow is to match and to do, of `struct ekho_replace_ctx`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replace {
    /// Class that the filter maps to, 0 for none.
    pub classid: u32,
    /// The keys that it matches.
    pub keys: Vec<String>,
    /// What it matches and does. Empty if the firmware's module has no encoding of it.
    #[serde(flatten)]
    pub rule: Rule,
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
    pub replace: Option<Replace>,
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

/// Splits a record into parts.
struct Parts<'data>(&'data [u8]);

impl<'data> Iterator for Parts<'data> {
    type Item = Result<(u32, &'data [u8]), EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let left = self.0.len();
        let header = Bytes(self.0);
        let kind = header.u16(offset_of!(ekho_event_part, type_));
        let size = usize::from(header.u16(offset_of!(ekho_event_part, size)));
        let Some(part) = self.0.get(PART_SIZE..PART_SIZE + size) else {
            self.0 = &[];
            return Some(Err(EventError::Part(PART_SIZE + size, left)));
        };
        self.0 = &self.0[PART_SIZE + size..];
        Some(Ok((kind.into(), part)))
    }
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
        let start = usize::from(header.u16(offset_of!(Header, header_size)));
        let size = header.u32(offset_of!(Header, size)) as usize;
        let record = sample
            .get(..size)
            .ok_or(EventError::Short(sample.len(), size))?;
        if start < HEADER_SIZE {
            return Err(EventError::Header(start, size));
        }
        let parts = record.get(start..).ok_or(EventError::Header(start, size))?;

        let what = named(EVENTS, header.u32(offset_of!(Header, what)));
        let errno = i32::from_ne_bytes(header.array(offset_of!(Header, err))).unsigned_abs();
        let errno = i32::try_from(errno).unwrap_or(i32::MAX);
        let ifindex = header.u32(offset_of!(Header, ifindex));
        let chain = header.u32(offset_of!(Header, chain_index));
        let prio = header.u32(offset_of!(Header, prio));
        let skip_sw = header.u8(offset_of!(Header, skip_sw)) != 0;

        let mut event = Self {
            what,
            time_ns: header.u64(offset_of!(Header, time_ns)),
            lost: header.u64(offset_of!(Header, lost)),
            ifindex,
            dev: None,
            errno,
            error: (errno != 0).then(|| errno_name(errno)),
            reason: None,
            generation: matches!(what, "attach" | "detach")
                .then(|| header.u32(offset_of!(Header, generation))),
            flow: (!matches!(what, "attach" | "detach" | "hnode" | "qdisc")).then(|| FlowId {
                cookie: header.u64(offset_of!(Header, cookie)),
                classifier: contract::classifier(header.u8(offset_of!(Header, classifier))),
                chain,
                prio,
                protocol: header.u16(offset_of!(Header, protocol)),
                skip_sw,
                block: header.u32(offset_of!(Header, block_index)),
                hooks: contract::hooks(header.u8(offset_of!(Header, hooks))),
                ct_zone: header.u16(offset_of!(Header, ct_zone)),
            }),
            replace: matches!(what, "replace" | "template_create").then(|| Replace {
                classid: header.u32(offset_of!(Header, classid)),
                keys: contract::keys(header.u64(offset_of!(Header, keys))),
                rule: Rule::default(),
            }),
            counters: None,
            hnode: None,
            qdisc: None,
        };
        for found in Parts(parts) {
            let (kind, part) = found?;
            let data = Bytes(part);
            match (kind, &mut event.replace) {
                (EKHO_PART_RULE, Some(replace)) => {
                    replace.rule = Rule::decode(part);
                    replace.rule.name_devices(device);
                }
                (EKHO_PART_COUNTERS, _) if part.len() >= size_of::<ekho_flow_counters>() => {
                    event.counters = Some(Counters {
                        packets: data.u64(offset_of!(ekho_flow_counters, packets)),
                        bytes: data.u64(offset_of!(ekho_flow_counters, bytes)),
                        drops: data.u64(offset_of!(ekho_flow_counters, drops)),
                        last_used_ns: data.u64(offset_of!(ekho_flow_counters, last_used_ns)),
                    });
                }
                (EKHO_PART_HNODE, _) if part.len() >= size_of::<ekho_event_hnode>() => {
                    event.hnode = Some(Hnode {
                        command: match data.u32(offset_of!(ekho_event_hnode, command)) {
                            1 => "new",
                            2 => "delete",
                            _ => UNKNOWN,
                        },
                        handle: data.u32(offset_of!(ekho_event_hnode, handle)),
                        divisor: data.u32(offset_of!(ekho_event_hnode, divisor)),
                        chain,
                        prio,
                        skip_sw,
                    });
                }
                (EKHO_PART_QDISC, _) if part.len() >= size_of::<ekho_event_qdisc>() => {
                    event.qdisc = Some(Qdisc {
                        kind: named(QDISCS, data.u32(offset_of!(ekho_event_qdisc, kind))),
                        command: data.u32(offset_of!(ekho_event_qdisc, command)),
                    });
                }
                (EKHO_PART_REASON, _) => event.reason = Some(data.text()),
                (EKHO_PART_DEVICE, _) => event.dev = Some(data.text()),
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
            data[72..80].copy_from_slice(&0b110u64.to_ne_bytes());
            Self(data)
        }

        fn part(mut self, kind: u32, data: &[u8]) -> Self {
            self.0.extend((kind as u16).to_ne_bytes());
            self.0.extend((data.len() as u16).to_ne_bytes());
            self.0.extend(data);
            self
        }

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

    /// dst_ip 192.0.2.0/24, dst_port 80; redirect to 3, drop.
    const RULE: &[u8] = &[
        12, 4, 192, 0, 2, 0, 1, 4, 255, 255, 255, 0, 16, 2, 0, 80, 0x84, 1, 3, 0xc0, 1, 1, 0x81, 0,
    ];

    #[test]
    fn a_flow_is_read_with_match_and_actions() {
        let record = Record::new(3).part(EKHO_PART_RULE, RULE).finish();
        let event = parse(&record).unwrap();
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            concat!(
                r#"{"what":"replace","time_ns":7,"lost":0,"ifindex":3,"dev":"ek0","errno":0,"#,
                r#""error":null,"reason":null,"cookie":"0xffff888012345678","classifier":"flower","#,
                r#""chain":0,"prio":10,"protocol":2048,"skip_sw":true,"block":0,"hooks":["ingress"],"#,
                r#""ct_zone":0,"classid":0,"keys":["basic","ipv4_addrs"],"#,
                r#""match":[{"field":"dst_ip","value":"192.0.2.0","mask":"255.255.255.0"},"#,
                r#"{"field":"dst_port","value":"80","mask":null}],"#,
                r#""actions":[{"name":"redirect","argument":"ek0","arguments":[],"id":4,"index":1,"#,
                r#""arg":3,"hw_stats":["immediate","delayed"]},"#,
                r#"{"name":"drop","argument":null,"arguments":[],"id":1,"index":0,"arg":0,"#,
                r#""hw_stats":["immediate","delayed"]}],"complete":true}"#
            )
        );
    }

    #[test]
    fn what_has_no_flow_has_no_keys_of_one() {
        let mut hnode = 1u32.to_ne_bytes().to_vec();
        hnode.extend(0x8010_0000u32.to_ne_bytes());
        hnode.extend(4u32.to_ne_bytes());
        let record = Record::new(8)
            .part(EKHO_PART_DEVICE, b"ek7\0\0")
            .part(EKHO_PART_HNODE, &hnode)
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
        let mut record = Record::new(3).part(EKHO_PART_REASON, b"no \x1b[31mway\0junk");
        record.0[28..32].copy_from_slice(&(-95i32).to_ne_bytes());
        let event = parse(&record.finish()).unwrap();
        assert_eq!(event.errno, 95);
        assert_eq!(event.error.as_deref(), Some("EOPNOTSUPP"));
        assert_eq!(event.reason.as_deref(), Some("no ?[31mway"));
    }

    #[test]
    fn what_is_unknown_or_odd_is_skipped() {
        let record = Record::new(3)
            .part(0xff, b"future")
            .part(EKHO_PART_COUNTERS, &[0; 31])
            .part(EKHO_PART_RULE, &RULE[..14])
            .part(0xffff, &[1, 2])
            .finish();
        let event = parse(&record).unwrap();
        assert_eq!(event.counters, None);
        let replace = event.replace.unwrap();
        assert!(replace.rule.actions.is_empty());
        assert_eq!(replace.rule.matches.len(), 1);
    }

    #[test]
    fn a_connection_has_its_zone() {
        let mut record = Record::new(3);
        record.0[55] = 7;
        record.0[62..64].copy_from_slice(&9u16.to_ne_bytes());
        let flow = parse(&record.finish()).unwrap().flow.unwrap();
        assert_eq!((flow.classifier, flow.ct_zone), ("ct", 9));
    }

    #[test]
    fn parts_that_grew_are_read_as_far_as_they_are_known() {
        let mut counters = [0; 40];
        counters[..8].copy_from_slice(&9u64.to_ne_bytes());
        let record = Record::new(4).part(EKHO_PART_COUNTERS, &counters).finish();
        assert_eq!(parse(&record).unwrap().counters.unwrap().packets, 9);
    }

    #[test]
    fn a_header_that_grew_is_skipped() {
        let mut record = Record::new(4);
        record.0.extend([0xff; 16]);
        record.0[2..4].copy_from_slice(&(HEADER_SIZE as u16 + 16).to_ne_bytes());
        let record = record.part(EKHO_PART_DEVICE, b"ek9").finish();
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
        let whole = Record::new(3).part(EKHO_PART_DEVICE, b"ek0").finish();
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
        assert_eq!(change(0, &1u16.to_ne_bytes()), Err(EventError::Version(1)));
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
            .part(EKHO_PART_RULE, RULE)
            .part(EKHO_PART_COUNTERS, &[0xff; 32])
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
