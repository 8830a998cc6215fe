// SPDX-License-Identifier: MIT OR Apache-2.0

//! Frames: what they are made of, as bytes, and in words.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type Mac = [u8; 6];

pub const ETH_IP: u16 = 0x0800;
pub const ETH_ARP: u16 = 0x0806;
pub const ETH_8021Q: u16 = 0x8100;
pub const ETH_IPV6: u16 = 0x86dd;
pub const ETH_MPLS: u16 = 0x8847;
pub const ETH_8021AD: u16 = 0x88a8;
/// No EtherType: a filter takes every frame.
pub const ETH_ALL: u16 = 0x0003;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

/// Extension headers of IPv6 that a packet can have.
pub const HOP_BY_HOP: u8 = 0;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const DESTINATION: u8 = 60;

/// The bottom of an MPLS stack.
pub const BOTTOM: u32 = 0x100;

/// More of the datagram follows.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Where in the datagram this is, in units of 8 bytes.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// What is behind tags and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Ipv4,
    Ipv6,
    Arp,
    /// Any EtherType, and then the payload.
    Other(u16),
}

impl Network {
    /// Its EtherType.
    pub fn ethertype(self) -> u16 {
        match self {
            Self::Ipv4 => ETH_IP,
            Self::Ipv6 => ETH_IPV6,
            Self::Arp => ETH_ARP,
            Self::Other(ethertype) => ethertype,
        }
    }

    /// What has this EtherType.
    pub fn of(ethertype: u16) -> Self {
        match ethertype {
            ETH_IP => Self::Ipv4,
            ETH_IPV6 => Self::Ipv6,
            ETH_ARP => Self::Arp,
            other => Self::Other(other),
        }
    }
}

/// How a checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    Right,
    Wrong,
    Zero,
    /// To be made by who sends the packet, as that of a packet of a stack.
    Later,
}

/// A frame, and what its sender leaves to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub bytes: Vec<u8>,
    /// Where the checksum begins, and where it is from there; both 0 if it is there.
    pub sum: (u16, u16),
    /// The kind of segments, as virtio has it, and how many bytes each takes; both 0 if it is one.
    pub segments: (u8, u16),
    /// How many segments it is.
    pub count: u64,
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            sum: (0, 0),
            segments: (0, 0),
            count: 1,
        }
    }
}

/// A frame, by its fields. Those of protocols that it doesn't have don't count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub dst: Mac,
    pub src: Mac,
    /// TPID and TCI, the outer one first.
    pub tags: Vec<(u16, u16)>,
    /// Entries of a label stack, whose bottom is as it is here.
    pub labels: Vec<u32>,
    pub network: Network,
    pub src4: u32,
    pub dst4: u32,
    pub src6: u128,
    pub dst6: u128,
    pub tos: u8,
    pub ttl: u8,
    pub dont_fragment: bool,
    /// [`MORE_FRAGMENTS`] and [`FRAGMENT_OFFSET`].
    pub fragment: u16,
    /// Words of options of IPv4.
    pub options: u8,
    /// Extension headers of IPv6.
    pub extensions: Vec<u8>,
    pub ip_proto: u8,
    pub sport: u16,
    pub dport: u16,
    pub tcp_flags: u16,
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub arp_op: u16,
    pub arp_sha: Mac,
    pub arp_tha: Mac,
    pub payload: Vec<u8>,
    pub ip_sum: Sum,
    pub sum: Sum,
    /// What is said to be more than there is, in IP's length.
    pub excess: i8,
    /// Bytes behind the packet.
    pub padding: u8,
    /// Cut to so many bytes.
    pub cut: Option<u16>,
    /// Segments of so many bytes; only with [`Sum::Later`].
    pub segment: Option<u16>,
}

impl Packet {
    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(160);
        frame.extend(self.dst);
        frame.extend(self.src);
        for (tpid, tci) in &self.tags {
            frame.extend(tpid.to_be_bytes());
            frame.extend(tci.to_be_bytes());
        }
        if self.labels.is_empty() {
            frame.extend(self.network.ethertype().to_be_bytes());
        } else {
            frame.extend(ETH_MPLS.to_be_bytes());
            for label in &self.labels {
                frame.extend(label.to_be_bytes());
            }
        }
        match self.network {
            Network::Ipv4 => self.put_ipv4(&mut frame),
            Network::Ipv6 => self.put_ipv6(&mut frame),
            Network::Arp => self.put_arp(&mut frame),
            Network::Other(_) => frame.extend(&self.payload),
        }
        frame.resize(frame.len() + usize::from(self.padding), 0xee);
        if let Some(cut) = self.cut {
            frame.truncate(usize::from(cut));
        }
        self.complete_header(&mut frame);
        frame
    }

    /// Adds what is missing of a header of IPv4 that has options, also where it would be without
    /// some labels: for its checksum, software reads what is in memory behind such a frame.
    fn complete_header(&self, frame: &mut Vec<u8>) {
        let start = 14 + 4 * self.tags.len();
        for start in (0..=self.labels.len()).map(|n| start + 4 * n) {
            if frame.len() >= start + 20 {
                let end = start + 4 * usize::from(frame[start] & 0xf);
                frame.resize(frame.len().max(end), 0);
            }
        }
    }

    /// Whether its sender can leave something to be done with it.
    pub fn is_plain(&self) -> bool {
        self.tags.is_empty()
            && self.labels.is_empty()
            && matches!(self.network, Network::Ipv4 | Network::Ipv6)
            && matches!(self.ip_proto, TCP | UDP)
            && self.fragment == 0
            && self.extensions.is_empty()
    }

    /// The frame, as it is sent.
    pub fn frame(&self) -> Frame {
        /// `VIRTIO_NET_HDR_GSO_…`
        const GSO_TCPV4: u8 = 1;
        const GSO_TCPV6: u8 = 4;
        const GSO_UDP: u8 = 5;

        let mut frame = Frame::from(self.bytes());
        if self.sum != Sum::Later || !self.is_plain() {
            return frame;
        }
        let is_v4 = self.network == Network::Ipv4;
        let start = match is_v4 {
            true => 14 + 20 + 4 * u16::from(self.options),
            false => 14 + 40,
        };
        frame.sum = (start, if self.ip_proto == TCP { 16 } else { 6 });
        if let Some(length) = self.segment {
            let kind = match (self.ip_proto, is_v4) {
                (UDP, _) => GSO_UDP,
                (_, true) => GSO_TCPV4,
                (_, false) => GSO_TCPV6,
            };
            frame.segments = (kind, length);
            let payload = self.payload.len() as u64;
            frame.count = payload.div_ceil(length.into()).max(1);
        }
        frame
    }

    fn put_arp(&self, frame: &mut Vec<u8>) {
        frame.extend([0, 1, 8, 0, 6, 4]);
        frame.extend(self.arp_op.to_be_bytes());
        frame.extend(self.arp_sha);
        frame.extend(self.src4.to_be_bytes());
        frame.extend(self.arp_tha);
        frame.extend(self.dst4.to_be_bytes());
    }

    fn put_ipv4(&self, frame: &mut Vec<u8>) {
        let mut pseudo = Vec::new();
        pseudo.extend(self.src4.to_be_bytes());
        pseudo.extend(self.dst4.to_be_bytes());
        let upper = self.upper(&pseudo);
        let words = 5 + self.options;
        let length = 4 * usize::from(words) + upper.len();
        let start = frame.len();
        frame.extend([0x40 | words, self.tos]);
        frame.extend(self.claimed(length).to_be_bytes());
        frame.extend([0x12, 0x34]);
        let fragment = self.fragment | if self.dont_fragment { 0x4000 } else { 0 };
        frame.extend(fragment.to_be_bytes());
        frame.extend([self.ttl, self.ip_proto, 0, 0]);
        frame.extend(pseudo);
        // No operation, and then a router alert or the end.
        for word in 0..self.options {
            frame.extend(if word == 0 {
                [1, 1, 1, 1]
            } else {
                [0x94, 4, 0, 0]
            });
        }
        let sum = match self.ip_sum {
            Sum::Right => !ones_sum(&frame[start..]),
            Sum::Wrong => !ones_sum(&frame[start..]) ^ 0x1111,
            Sum::Zero | Sum::Later => 0,
        };
        frame[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(upper);
    }

    fn put_ipv6(&self, frame: &mut Vec<u8>) {
        let mut pseudo = Vec::new();
        pseudo.extend(self.src6.to_be_bytes());
        pseudo.extend(self.dst6.to_be_bytes());
        let upper = self.upper(&pseudo);
        let length = 8 * self.extensions.len() + upper.len();
        frame.extend([0x60 | (self.tos >> 4), self.tos << 4, 0, 7]);
        frame.extend(self.claimed(length).to_be_bytes());
        let mut after = self.extensions.iter().skip(1).copied();
        frame.push(*self.extensions.first().unwrap_or(&self.ip_proto));
        frame.push(self.ttl);
        frame.extend(pseudo);
        for extension in &self.extensions {
            frame.push(after.next().unwrap_or(self.ip_proto));
            frame.push(0);
            match *extension {
                FRAGMENT => {
                    let more = u16::from(self.fragment & MORE_FRAGMENTS != 0);
                    let offset = (self.fragment & FRAGMENT_OFFSET) << 3;
                    frame.extend((offset | more).to_be_bytes());
                    frame.extend([0, 0, 0x12, 0x34]);
                }
                ROUTING => frame.extend([2, 0, 0, 0, 0, 0]),
                // An option that is padding.
                _ => frame.extend([1, 4, 0, 0, 0, 0]),
            }
        }
        frame.extend(upper);
    }

    fn claimed(&self, length: usize) -> u16 {
        u16::try_from(length)
            .unwrap_or(u16::MAX)
            .saturating_add_signed(self.excess.into())
    }

    /// What is in the IP packet. `pseudo` is the addresses.
    fn upper(&self, pseudo: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        // A later fragment has no header.
        if self.fragment & FRAGMENT_OFFSET != 0 {
            return self.payload.clone();
        }
        let ports = |data: &mut Vec<u8>| {
            data.extend(self.sport.to_be_bytes());
            data.extend(self.dport.to_be_bytes());
        };
        // Where its checksum is, and whether that is of the addresses, too.
        let (at, with_pseudo) = match self.ip_proto {
            TCP => {
                ports(&mut data);
                data.extend([0, 0, 0, 1, 0, 0, 0, 2]);
                data.extend((0x5000 | self.tcp_flags & 0xfff).to_be_bytes());
                data.extend([1, 0, 0, 0, 0, 0]);
                (16, true)
            }
            UDP => {
                ports(&mut data);
                let length = 8 + self.payload.len();
                data.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
                data.extend([0, 0]);
                (6, true)
            }
            ICMP | ICMPV6 => {
                data.extend([self.icmp_type, self.icmp_code, 0, 0, 0, 7, 0, 1]);
                (2, self.ip_proto == ICMPV6)
            }
            SCTP => {
                ports(&mut data);
                data.extend([0, 0, 0, 5, 0, 0, 0, 0]);
                data.extend(&self.payload);
                let sum = match self.sum {
                    Sum::Right => crc32c(&data).to_le_bytes(),
                    Sum::Wrong => [1, 2, 3, 4],
                    Sum::Zero | Sum::Later => [0; 4],
                };
                data[8..12].copy_from_slice(&sum);
                return data;
            }
            _ => return self.payload.clone(),
        };
        data.extend(&self.payload);
        let mut all = Vec::new();
        if with_pseudo {
            all.extend(pseudo);
            all.extend([0, self.ip_proto]);
            all.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        }
        let addresses = ones_sum(&all);
        all.extend(&data);
        let sum = match self.sum {
            Sum::Later => addresses,
            Sum::Right => match !ones_sum(&all) {
                0 if self.ip_proto == UDP => 0xffff,
                sum => sum,
            },
            Sum::Wrong => !ones_sum(&all) ^ 0x1111,
            Sum::Zero => 0,
        };
        data[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        data
    }
}

/// The Internet's sum, not yet inverted.
pub fn ones_sum(data: &[u8]) -> u16 {
    let mut sum: u32 = data
        .chunks(2)
        .map(|pair| (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// CRC-32C, as SCTP has it.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 0 { 0 } else { 0x82f6_3b78 }
        })
    })
}

/// A frame in words: what tc would want to know of it.
pub struct Summary<'a>(pub &'a [u8]);

impl Summary<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(self.0.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.0.get(at..at + 4)?.try_into().ok()?))
    }

    fn mac(&self, at: usize) -> Option<Mac> {
        self.0.get(at..at + 6)?.try_into().ok()
    }

    fn v6(&self, at: usize) -> Option<Ipv6Addr> {
        let bytes: [u8; 16] = self.0.get(at..at + 16)?.try_into().ok()?;
        Some(bytes.into())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> Result<Option<()>, fmt::Error> {
        macro_rules! need {
            ($value:expr) => {
                match $value {
                    Some(value) => value,
                    None => return Ok(None),
                }
            };
        }
        let (dst, src) = (need!(self.mac(0)), need!(self.mac(6)));
        write!(f, "{} > {}", MacText(src), MacText(dst))?;
        let mut at = 12;
        let mut ethertype = need!(self.u16(at));
        while matches!(ethertype, ETH_8021Q | ETH_8021AD) {
            let tci = need!(self.u16(at + 2));
            let name = if ethertype == ETH_8021Q {
                "vlan"
            } else {
                "qinq"
            };
            write!(f, ", {name} {} prio {}", tci & 0xfff, tci >> 13)?;
            if tci & 0x1000 != 0 {
                f.write_str(" dei")?;
            }
            at += 4;
            ethertype = need!(self.u16(at));
        }
        at += 2;
        if ethertype == ETH_MPLS {
            f.write_str(", mpls")?;
            loop {
                let lse = need!(self.u32(at));
                at += 4;
                write!(f, " {}/tc {}/ttl {}", lse >> 12, (lse >> 9) & 7, lse & 0xff)?;
                if lse & BOTTOM != 0 {
                    break;
                }
            }
            ethertype = match self.0.get(at).map(|byte| byte >> 4) {
                Some(4) => ETH_IP,
                Some(6) => ETH_IPV6,
                _ => return Ok(Some(())),
            };
        }
        let (proto, upper, is_later);
        match ethertype {
            ETH_IP => {
                let (word, lengths) = (need!(self.u16(at)), need!(self.u16(at + 2)));
                let fragment = need!(self.u16(at + 6));
                let (ttl, ip_proto) =
                    (need!(self.u16(at + 8)) >> 8, need!(self.u16(at + 8)) & 0xff);
                let (src, dst) = (need!(self.u32(at + 12)), need!(self.u32(at + 16)));
                write!(
                    f,
                    ", ip {} > {} tos {:#04x} ttl {ttl} len {lengths}",
                    Ipv4Addr::from(src),
                    Ipv4Addr::from(dst),
                    word & 0xff
                )?;
                let words = usize::from((word >> 8) & 0xf);
                if words != 5 {
                    write!(f, " ihl {words}")?;
                }
                if fragment & 0x3fff != 0 {
                    write!(
                        f,
                        " fragment {}{}",
                        8 * (fragment & FRAGMENT_OFFSET),
                        if fragment & MORE_FRAGMENTS != 0 {
                            "+"
                        } else {
                            ""
                        }
                    )?;
                }
                proto = ip_proto as u8;
                is_later = fragment & FRAGMENT_OFFSET != 0;
                upper = at + 4 * words;
            }
            ETH_IPV6 => {
                let word = need!(self.u32(at));
                let (length, next) = (need!(self.u16(at + 4)), need!(self.u16(at + 6)));
                let (src, dst) = (need!(self.v6(at + 8)), need!(self.v6(at + 24)));
                write!(
                    f,
                    ", ip6 {src} > {dst} tos {:#04x} ttl {} len {length}",
                    (word >> 20) & 0xff,
                    next & 0xff
                )?;
                let (mut next, mut place) = ((next >> 8) as u8, at + 40);
                let mut later = false;
                while matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
                    write!(f, " ext {next}")?;
                    let header = need!(self.u16(place));
                    if next == FRAGMENT {
                        let fragment = need!(self.u16(place + 2));
                        write!(f, " fragment {}", fragment & !7)?;
                        later |= fragment & !7 != 0;
                    }
                    next = (header >> 8) as u8;
                    place += 8 + 8 * usize::from(header & 0xff);
                }
                (proto, upper, is_later) = (next, place, later);
            }
            ETH_ARP => {
                let op = need!(self.u16(at + 6));
                let (sha, sip) = (need!(self.mac(at + 8)), need!(self.u32(at + 14)));
                let (tha, tip) = (need!(self.mac(at + 18)), need!(self.u32(at + 24)));
                write!(
                    f,
                    ", arp op {op} {} {} > {} {}",
                    MacText(sha),
                    Ipv4Addr::from(sip),
                    MacText(tha),
                    Ipv4Addr::from(tip)
                )?;
                return Ok(Some(()));
            }
            other => {
                write!(f, ", ethertype {other:#06x}")?;
                return Ok(Some(()));
            }
        }
        let name = match proto {
            TCP => "tcp",
            UDP => "udp",
            SCTP => "sctp",
            ICMP | ICMPV6 => "icmp",
            other => {
                write!(f, ", protocol {other}")?;
                return Ok(Some(()));
            }
        };
        write!(f, ", {name}")?;
        if is_later {
            return Ok(Some(()));
        }
        let (first, second) = (need!(self.u16(upper)), need!(self.u16(upper + 2)));
        match proto {
            ICMP | ICMPV6 => write!(f, " type {} code {}", first >> 8, first & 0xff)?,
            TCP => {
                write!(f, " {first} > {second}")?;
                write!(f, " flags {:#05x}", need!(self.u16(upper + 12)) & 0xfff)?;
            }
            _ => write!(f, " {first} > {second}")?,
        }
        Ok(Some(()))
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.write(f)?.is_none() {
            f.write_str(" …")?;
        }
        write!(f, ", {} bytes", self.0.len())
    }
}

/// An Ethernet address as text.
pub struct MacText(pub Mac);

impl fmt::Display for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Bytes in hex.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn packet() -> Packet {
        Packet {
            dst: [2, 0, 0, 0, 2, 1],
            src: [2, 0, 0, 0, 1, 1],
            tags: Vec::new(),
            labels: Vec::new(),
            network: Network::Ipv4,
            src4: 0x0a00_0001,
            dst4: 0x0a00_0002,
            src6: (0xfd << 120) | 1,
            dst6: (0xfd << 120) | 2,
            tos: 0x10,
            ttl: 64,
            dont_fragment: false,
            fragment: 0,
            options: 0,
            extensions: Vec::new(),
            ip_proto: UDP,
            sport: 53,
            dport: 80,
            tcp_flags: 2,
            icmp_type: 8,
            icmp_code: 0,
            arp_op: 1,
            arp_sha: [2, 0, 0, 0, 1, 1],
            arp_tha: [2, 0, 0, 0, 2, 1],
            payload: vec![1, 2, 3],
            ip_sum: Sum::Right,
            sum: Sum::Right,
            excess: 0,
            padding: 0,
            cut: None,
            segment: None,
        }
    }

    #[test]
    fn what_is_left_to_the_sender_is_said() {
        let packet = Packet {
            sum: Sum::Later,
            segment: Some(100),
            options: 1,
            ip_proto: TCP,
            ..packet()
        };
        let frame = packet.frame();
        assert_eq!((frame.sum, frame.segments), ((38, 16), (1, 100)));
        // Of addresses, protocol and length.
        let sum = ones_sum(&[10, 0, 0, 1, 10, 0, 0, 2, 0, TCP, 0, 23]);
        assert_eq!(frame.bytes[54..56], sum.to_be_bytes());
        let tagged = Packet {
            tags: vec![(ETH_8021Q, 1)],
            ..packet
        };
        assert_eq!(tagged.frame().sum, (0, 0));
    }

    #[test]
    fn checksums_are_right() {
        for proto in [TCP, UDP, ICMP] {
            let bytes = Packet {
                ip_proto: proto,
                options: 2,
                ..packet()
            }
            .bytes();
            assert_eq!(ones_sum(&bytes[14..42]), 0xffff);
            let upper = &bytes[42..];
            let mut all = bytes[26..34].to_vec();
            all.extend([0, proto, 0, upper.len() as u8]);
            if proto == ICMP {
                all.clear();
            }
            all.extend(upper);
            assert_eq!(ones_sum(&all), 0xffff, "{proto}");
        }
        // The check value of CRC-32C.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_header_of_ipv4_is_complete_or_cut_off() {
        let length = |cut| {
            let packet = Packet {
                options: 10,
                cut: Some(cut),
                ..packet()
            };
            packet.bytes().len()
        };
        assert_eq!([33, 34, 50, 74, 80].map(length), [33, 74, 74, 74, 80]);
    }

    #[test]
    fn headers_are_where_they_belong() {
        let bytes = Packet {
            tags: vec![(ETH_8021AD, 7), (ETH_8021Q, 0x6009)],
            ..packet()
        }
        .bytes();
        assert_eq!(bytes[12..22], [0x88, 0xa8, 0, 7, 0x81, 0, 0x60, 9, 8, 0]);
        let bytes = Packet {
            network: Network::Ipv6,
            extensions: vec![HOP_BY_HOP, FRAGMENT],
            fragment: MORE_FRAGMENTS | 3,
            ip_proto: TCP,
            payload: vec![9; 8],
            ..packet()
        }
        .bytes();
        assert_eq!(bytes[18..22], [0, 24, HOP_BY_HOP, 64]);
        assert_eq!((bytes[54], bytes[62]), (FRAGMENT, TCP));
        assert_eq!(bytes[64..66], [0, 25]);
        assert_eq!(bytes.len(), 14 + 40 + 16 + 8);
    }

    #[test]
    fn a_frame_is_told_in_words() {
        let text = |packet: Packet| Summary(&packet.bytes()).to_string();
        assert_eq!(
            text(packet()),
            "02:00:00:00:01:01 > 02:00:00:00:02:01, ip 10.0.0.1 > 10.0.0.2 tos 0x10 ttl 64 len 31, udp 53 > 80, 45 bytes"
        );
        let tagged = Packet {
            tags: vec![(ETH_8021Q, 0x600a)],
            labels: vec![(5 << 12) | BOTTOM | 9],
            ..packet()
        };
        assert!(text(tagged).contains(", vlan 10 prio 3, mpls 5/tc 0/ttl 9, ip "));
        let cut = Packet {
            cut: Some(20),
            ..packet()
        };
        assert!(text(cut).ends_with("02:01 …, 20 bytes"));
        let arp = Packet {
            network: Network::Arp,
            ..packet()
        };
        assert!(text(arp).contains(", arp op 1 02:00:00:00:01:01 10.0.0.1 > "));
    }
}
