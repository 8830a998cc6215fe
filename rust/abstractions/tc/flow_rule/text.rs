// SPDX-License-Identifier: GPL-2.0-only

//! A rule's match and actions in a compact form that outlives the request, and its text.
//!
//! Depends on `core` only, so that it is tested on the host: `rustc --edition 2021 --test text.rs`.
//!
//! A rule of *n* bytes is a sequence of records. A match record is a tag byte, which [`Field`], and
//! as many bytes of key and of mask as the field has, as they are in the kernel; the mask is left
//! out if it has all bits set, which is 0x40 in the tag. An action record is a tag byte of 0x80 +
//! [`ActionKind`] and, of a kind that has one, a little-endian `u32` argument.

use core::{
    fmt,
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    },
};

/// How the bytes of a field are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A big-endian number, in decimal.
    Dec,
    /// A big-endian number, in hexadecimal.
    Hex,
    /// A number in the machine's byte order, in decimal.
    NativeDec,
    /// The same in hexadecimal.
    NativeHex,
    /// A network address, by its length.
    Ip,
    /// An Ethernet address.
    Mac,
    /// Uninterpreted bytes.
    Bytes,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $format:ident[$len:literal];)*) => {
        /// A field of a packet, or of its metadata, that a rule can match.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Field {
            $($(#[$doc])* $id,)*
        }

        impl Field {
            const ALL: &'static [(Field, &'static str, Format, u8)] = &[
                $((Field::$id, $name, Format::$format, $len),)*
            ];
        }
    };
}

// Names are those of tc-flower(8) where it has one.
fields! {
    /// Fragment flags.
    IpFlags = "ip_flags", NativeHex[4];
    /// EtherType.
    EthType = "eth_type", Hex[2];
    /// IP protocol.
    IpProto = "ip_proto", Dec[1];
    /// IPv4 source.
    SrcIp4 = "src_ip", Ip[4];
    /// IPv4 destination.
    DstIp4 = "dst_ip", Ip[4];
    /// IPv6 source.
    SrcIp6 = "src_ip", Ip[16];
    /// IPv6 destination.
    DstIp6 = "dst_ip", Ip[16];
    /// Transport source port.
    SrcPort = "src_port", Dec[2];
    /// Transport destination port.
    DstPort = "dst_port", Dec[2];
    /// Lowest source port.
    SrcPortMin = "src_port_min", Dec[2];
    /// Highest source port.
    SrcPortMax = "src_port_max", Dec[2];
    /// Lowest destination port.
    DstPortMin = "dst_port_min", Dec[2];
    /// Highest destination port.
    DstPortMax = "dst_port_max", Dec[2];
    /// ICMP type.
    IcmpType = "type", Dec[1];
    /// ICMP code.
    IcmpCode = "code", Dec[1];
    /// Ethernet destination.
    DstMac = "dst_mac", Mac[6];
    /// Ethernet source.
    SrcMac = "src_mac", Mac[6];
    /// ARP sender address.
    ArpSip = "arp_sip", Ip[4];
    /// ARP target address.
    ArpTip = "arp_tip", Ip[4];
    /// ARP operation.
    ArpOp = "arp_op", Dec[1];
    /// ARP sender hardware address.
    ArpSha = "arp_sha", Mac[6];
    /// ARP target hardware address.
    ArpTha = "arp_tha", Mac[6];
    /// Outer VLAN tag: priority, DEI and id.
    VlanTci = "vlan_tci", NativeHex[2];
    /// EtherType behind the outer VLAN tag.
    VlanEthType = "vlan_ethtype", Hex[2];
    /// TPID of the outer VLAN tag.
    VlanTpid = "vlan_tpid", Hex[2];
    /// Inner VLAN tag.
    CvlanTci = "cvlan_tci", NativeHex[2];
    /// EtherType behind the inner VLAN tag.
    CvlanEthType = "cvlan_ethtype", Hex[2];
    /// TPID of the inner VLAN tag.
    CvlanTpid = "cvlan_tpid", Hex[2];
    /// MPLS label stack.
    Mpls = "mpls", Bytes[28];
    /// TCP flags.
    TcpFlags = "tcp_flags", Hex[2];
    /// IP TOS or traffic class.
    IpTos = "ip_tos", Hex[1];
    /// IP TTL or hop limit.
    IpTtl = "ip_ttl", Dec[1];
    /// Tunnel key.
    EncKeyId = "enc_key_id", Dec[4];
    /// Outer IPv4 source.
    EncSrcIp4 = "enc_src_ip", Ip[4];
    /// Outer IPv4 destination.
    EncDstIp4 = "enc_dst_ip", Ip[4];
    /// Outer IPv6 source.
    EncSrcIp6 = "enc_src_ip", Ip[16];
    /// Outer IPv6 destination.
    EncDstIp6 = "enc_dst_ip", Ip[16];
    /// Outer source port.
    EncSrcPort = "enc_src_port", Dec[2];
    /// Outer destination port.
    EncDstPort = "enc_dst_port", Dec[2];
    /// Outer TOS.
    EncTos = "enc_tos", Hex[1];
    /// Outer TTL.
    EncTtl = "enc_ttl", Dec[1];
    /// Tunnel flags.
    EncFlags = "enc_flags", NativeHex[4];
    /// Device that the packet came in by.
    InDev = "indev", NativeDec[4];
    /// Whether bridging found no entry.
    L2Miss = "l2_miss", Dec[1];
    /// Connection tracking state.
    CtState = "ct_state", NativeHex[2];
    /// Connection tracking zone.
    CtZone = "ct_zone", NativeDec[2];
    /// Connection mark.
    CtMark = "ct_mark", NativeHex[4];
    /// Connection labels.
    CtLabels = "ct_label", Bytes[16];
    /// Hash of the packet.
    Hash = "hash", NativeHex[4];
    /// How many VLAN tags there are.
    NumOfVlans = "num_of_vlans", Dec[1];
    /// PPPoE session.
    PppoeSid = "pppoe_sid", Dec[2];
    /// PPP protocol.
    PppProto = "ppp_proto", Hex[2];
    /// L2TPv3 session.
    L2tpv3Sid = "l2tpv3_sid", Dec[4];
    /// CFM level and version.
    CfmMdlVer = "cfm_mdl_ver", Hex[1];
    /// CFM opcode.
    CfmOp = "cfm_op", Dec[1];
    /// IPsec SPI.
    Spi = "spi", Hex[4];
    /// A key that this module doesn't know, with its id for a value.
    Unknown = "unknown_key", NativeDec[4];
}

impl Field {
    /// Its name.
    #[cfg_attr(test, expect(dead_code, reason = "messages of the kernel have it"))]
    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// How many bytes it has.
    pub(crate) const fn len(self) -> usize {
        Self::ALL[self as usize].3 as usize
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $id:ident = $name:literal;)*) => {
        /// What a rule does with a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[cfg_attr(not(test), expect(dead_code, reason = "rules bring the number"))]
        pub(crate) enum ActionKind {
            $($(#[$doc])* $id,)*
        }

        impl ActionKind {
            /// Names, each with a NUL at its end.
            const NAMES: &'static [&'static str] = &[$(concat!($name, "\0"),)*];
        }
    };
}

// In the order of enum flow_action_id; abstractions/flow_rule/mod.rs asserts it.
actions! {
    /// Go on.
    Accept = "pass";
    /// Drop.
    Drop = "drop";
    /// Hand to the CPU.
    Trap = "trap";
    /// Go to a chain.
    Goto = "goto";
    /// Send out of a device.
    Redirect = "redirect";
    /// Send a copy out of a device.
    Mirred = "mirror";
    /// Let arrive on a device.
    RedirectIngress = "redirect_ingress";
    /// Let a copy arrive on a device.
    MirredIngress = "mirror_ingress";
    /// Add a VLAN tag.
    VlanPush = "vlan_push";
    /// Remove a VLAN tag.
    VlanPop = "vlan_pop";
    /// Change a VLAN tag.
    VlanMangle = "vlan_modify";
    /// Add a tunnel header.
    TunnelEncap = "tunnel_set";
    /// Remove a tunnel header.
    TunnelDecap = "tunnel_unset";
    /// Change header bytes.
    Mangle = "pedit";
    /// Add to header bytes.
    Add = "pedit_add";
    /// Recompute checksums.
    Csum = "csum";
    /// Set the packet mark.
    Mark = "mark";
    /// Set the packet type.
    Ptype = "ptype";
    /// Set the priority.
    Priority = "priority";
    /// Choose a receive queue.
    RxQueueMapping = "rx_queue";
    /// Wake the host.
    Wake = "wake";
    /// Choose a queue.
    Queue = "queue";
    /// Sample packets.
    Sample = "sample";
    /// Limit the rate.
    Police = "police";
    /// Send through connection tracking.
    Ct = "ct";
    /// Set connection tracking metadata.
    CtMetadata = "ct_metadata";
    /// Add an MPLS label.
    MplsPush = "mpls_push";
    /// Remove an MPLS label.
    MplsPop = "mpls_pop";
    /// Change an MPLS label.
    MplsMangle = "mpls_modify";
    /// Let through by time.
    Gate = "gate";
    /// Add a PPPoE header.
    PppoePush = "pppoe_push";
    /// Skip actions.
    Jump = "jump";
    /// Go on with the next action.
    Pipe = "pipe";
    /// Add an Ethernet header.
    VlanPushEth = "push_eth";
    /// Remove the Ethernet header.
    VlanPopEth = "pop_eth";
    /// Go on with the next filter.
    Continue = "continue";
}

impl ActionKind {
    /// How many kinds there are.
    pub(crate) const COUNT: u32 = Self::NAMES.len() as u32;

    /// The name of the action with a number.
    pub(crate) fn name(number: u32) -> Option<&'static str> {
        Some(Self::NAMES.get(number as usize)?.trim_end_matches('\0'))
    }

    /// The same for C.
    #[cfg_attr(test, expect(dead_code, reason = "the kernel's"))]
    pub(crate) fn c_name(number: u32) -> Option<*const u8> {
        Self::NAMES.get(number as usize).map(|name| name.as_ptr())
    }

    /// The kinds whose argument says something: a bit for each.
    const WITH_ARG: u64 = (1 << Self::Goto as u8)
        | (1 << Self::Redirect as u8)
        | (1 << Self::Mirred as u8)
        | (1 << Self::RedirectIngress as u8)
        | (1 << Self::MirredIngress as u8)
        | (1 << Self::VlanPush as u8)
        | (1 << Self::VlanMangle as u8)
        | (1 << Self::Mark as u8)
        | (1 << Self::Ptype as u8)
        | (1 << Self::Priority as u8)
        | (1 << Self::RxQueueMapping as u8)
        | (1 << Self::Sample as u8)
        | (1 << Self::Police as u8)
        | (1 << Self::Ct as u8)
        | (1 << Self::MplsPush as u8)
        | (1 << Self::PppoePush as u8);

    /// Whether the argument says something.
    const fn has_arg(kind: u8) -> bool {
        kind < u64::BITS as u8 && Self::WITH_ARG & (1 << kind) != 0
    }
}

const ACTION: u8 = 0x80;

/// In the tag of a match: all bits of the mask are set.
const WHOLE: u8 = 0x40;

/// Writes records into a buffer.
pub(crate) struct Encoder<'a> {
    buf: &'a mut [u8],
    len: usize,
    complete: bool,
}

impl<'a> Encoder<'a> {
    /// Starts at the beginning of `buf`.
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self {
            buf,
            len: 0,
            complete: true,
        }
    }

    /// Where the next record of `len` bytes goes.
    #[inline(always)]
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len + len;
        // Once something is missing, nothing may follow it.
        self.complete &= end <= self.buf.len();
        if !self.complete {
            return None;
        }
        let start = core::mem::replace(&mut self.len, end);
        self.buf.get_mut(start..end)
    }

    /// Adds a match, unless nothing is matched: returns whether. `N` is how many bytes the field has.
    #[inline(always)]
    pub(crate) fn field<const N: usize>(
        &mut self,
        field: Field,
        key: &[u8; N],
        mask: &[u8; N],
    ) -> bool {
        if *mask == [0; N] {
            return false;
        }
        if *mask == [0xff; N] {
            if let Some((tag, to)) = self.room(1 + N).and_then(|room| room.split_first_mut()) {
                *tag = field as u8 | WHOLE;
                to.copy_from_slice(key);
            }
        } else if let Some((tag, to)) = self.room(1 + 2 * N).and_then(|r| r.split_first_mut()) {
            *tag = field as u8;
            to[..N].copy_from_slice(key);
            to[N..].copy_from_slice(mask);
        }
        true
    }

    /// Adds an action of the kind with this number, and its argument if it has one.
    pub(crate) fn action(&mut self, kind: u8, arg: impl FnOnce() -> u32) {
        let tag = ACTION | kind;
        if !ActionKind::has_arg(kind) {
            if let Some([to]) = self.room(1) {
                *to = tag;
            }
        } else if let Some([to, rest @ ..]) = self.room(5) {
            *to = tag;
            rest.copy_from_slice(&arg().to_le_bytes());
        }
    }

    /// What was written, and whether all of it found room.
    pub(crate) fn finish(self) -> (&'a [u8], bool) {
        (&self.buf[..self.len], self.complete)
    }
}

/// Reads records.
#[derive(Clone, Copy)]
struct Records<'a>(&'a [u8]);

enum Record<'a> {
    /// Without a mask if it has all bits set.
    Match(u8, &'a [u8], Option<&'a [u8]>),
    Action(u8, u32),
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & ACTION != 0 {
            let kind = tag & !ACTION;
            let (arg, rest) = if ActionKind::has_arg(kind) {
                rest.split_first_chunk::<4>()?
            } else {
                (&[0; 4], rest)
            };
            self.0 = rest;
            return Some(Record::Action(kind, u32::from_le_bytes(*arg)));
        }
        let field = tag & !WHOLE;
        let len = Field::ALL.get(usize::from(field))?.3.into();
        let (key, rest) = rest.split_at_checked(len)?;
        let (mask, rest) = if tag & WHOLE != 0 {
            (None, rest)
        } else {
            let (mask, rest) = rest.split_at_checked(len)?;
            (Some(mask), rest)
        };
        self.0 = rest;
        Some(Record::Match(field, key, mask))
    }
}

/// Shows the match of an encoded rule: `name:value[/mask]`, comma-separated, `-` if it is empty.
///
/// The mask is left out where it has all bits set.
pub(crate) struct MatchText<'a>(pub(crate) &'a [u8]);

/// Shows the actions of an encoded rule: `name[:argument]`, comma-separated, `-` if there are none.
pub(crate) struct ActionsText<'a>(pub(crate) &'a [u8]);

struct Value<'a>(Format, &'a [u8]);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(format, bytes) = self;
        let big = |bytes: &[u8]| bytes.iter().fold(0u64, |n, &b| (n << 8) | u64::from(b));
        let native = |bytes: &[u8]| {
            if cfg!(target_endian = "big") {
                big(bytes)
            } else {
                bytes
                    .iter()
                    .rev()
                    .fold(0u64, |n, &b| (n << 8) | u64::from(b))
            }
        };
        match format {
            Format::Dec => write!(f, "{}", big(bytes)),
            Format::NativeDec => write!(f, "{}", native(bytes)),
            Format::Hex => write!(f, "0x{:01$x}", big(bytes), bytes.len() * 2),
            Format::NativeHex => write!(f, "0x{:x}", native(bytes)),
            Format::Ip => match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
                (Ok(v4), _) => write!(f, "{}", Ipv4Addr::from(v4)),
                (_, Ok(v6)) => write!(f, "{}", Ipv6Addr::from(v6)),
                _ => Value(Format::Bytes, bytes).fmt(f),
            },
            Format::Mac => {
                for (i, byte) in bytes.iter().enumerate() {
                    write!(f, "{}{byte:02x}", if i == 0 { "" } else { ":" })?;
                }
                Ok(())
            }
            Format::Bytes => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Display for MatchText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for record in Records(self.0) {
            let Record::Match(field, key, mask) = record else {
                continue;
            };
            let Some(&(_, name, format, _)) = Field::ALL.get(usize::from(field)) else {
                continue;
            };
            write!(f, "{separator}{name}:{}", Value(format, key))?;
            if let Some(mask) = mask {
                write!(f, "/{}", Value(format, mask))?;
            }
            separator = ",";
        }
        f.write_str(if separator.is_empty() { "-" } else { "" })
    }
}

impl fmt::Display for ActionsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for record in Records(self.0) {
            let Record::Action(kind, arg) = record else {
                continue;
            };
            match ActionKind::name(kind.into()) {
                Some(name) => write!(f, "{separator}{name}")?,
                None => write!(f, "{separator}unknown_action:{kind}")?,
            }
            if ActionKind::has_arg(kind) {
                write!(f, ":{arg}")?;
            }
            separator = ",";
        }
        f.write_str(if separator.is_empty() { "-" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    fn encode(f: impl FnOnce(&mut Encoder<'_>)) -> (std::vec::Vec<u8>, bool) {
        let mut buf = [0; 256];
        let mut encoder = Encoder::new(&mut buf);
        f(&mut encoder);
        let (bytes, complete) = encoder.finish();
        (bytes.to_vec(), complete)
    }

    fn text(f: impl FnOnce(&mut Encoder<'_>)) -> (String, String) {
        let (bytes, complete) = encode(f);
        assert!(complete);
        (
            MatchText(&bytes).to_string(),
            ActionsText(&bytes).to_string(),
        )
    }

    #[test]
    fn empty_rule_is_a_dash() {
        assert_eq!(text(|_| ()), ("-".into(), "-".into()));
    }

    #[test]
    fn five_tuple_reads_like_tc() {
        let (matches, actions) = text(|e| {
            e.field(Field::EthType, &[0x08, 0x00], &[0xff; 2]);
            e.field(Field::IpProto, &[6], &[0xff]);
            e.field(Field::SrcIp4, &[10, 0, 0, 0], &[255, 0, 0, 0]);
            e.field(Field::DstIp4, &[192, 0, 2, 1], &[255; 4]);
            e.field(Field::DstPort, &[0x1f, 0x90], &[0xff; 2]);
            e.action(ActionKind::Drop as u8, || 0);
        });
        assert_eq!(
            matches,
            "eth_type:0x0800,ip_proto:6,src_ip:10.0.0.0/255.0.0.0,dst_ip:192.0.2.1,dst_port:8080"
        );
        assert_eq!(actions, "drop");
    }

    #[test]
    fn what_is_not_matched_takes_no_room() {
        let (bytes, _) = encode(|e| {
            assert!(!e.field(Field::SrcIp4, &[10, 0, 0, 1], &[0; 4]));
            e.field(Field::IpProto, &[6], &[255]);
            e.action(ActionKind::Drop as u8, || 7);
        });
        assert_eq!(bytes.len(), 2 + 1);
    }

    #[test]
    fn addresses_by_length() {
        let mut v6 = [0; 16];
        v6[0] = 0x20;
        v6[1] = 0x01;
        v6[15] = 1;
        let (matches, _) = text(|e| {
            e.field(Field::DstIp6, &v6, &[255; 16]);
            e.field(
                Field::SrcMac,
                &[2, 0, 0, 0, 0, 1],
                &[255, 255, 255, 255, 255, 0],
            );
        });
        assert_eq!(
            matches,
            "dst_ip:2001::1,src_mac:02:00:00:00:00:01/ff:ff:ff:ff:ff:00"
        );
    }

    #[test]
    fn native_numbers_follow_the_machine() {
        let (matches, _) = text(|e| {
            e.field(
                Field::VlanTci,
                &0x2005u16.to_ne_bytes(),
                &0x0fffu16.to_ne_bytes(),
            );
            e.field(Field::InDev, &7u32.to_ne_bytes(), &[255; 4]);
        });
        assert_eq!(matches, "vlan_tci:0x2005/0xfff,indev:7");
    }

    #[test]
    fn actions_keep_their_order_and_argument() {
        let (_, actions) = text(|e| {
            e.action(ActionKind::VlanPush as u8, || 100);
            e.action(ActionKind::Csum as u8, || 9);
            e.action(ActionKind::Redirect as u8, || 4);
            e.action(0x7e, || 1);
        });
        assert_eq!(actions, "vlan_push:100,csum,redirect:4,unknown_action:126");
    }

    #[test]
    fn what_does_not_fit_ends_the_rule() {
        let mut buf = [0; 5];
        let mut encoder = Encoder::new(&mut buf);
        encoder.field(Field::EthType, &[8, 0], &[255, 255]);
        encoder.field(Field::DstPort, &[0, 80], &[255, 255]);
        encoder.field(Field::IpProto, &[6], &[255]);
        let (bytes, complete) = encoder.finish();
        assert!(!complete);
        assert_eq!(MatchText(bytes).to_string(), "eth_type:0x0800");
    }

    #[test]
    fn broken_bytes_end_the_text() {
        for mask in [[255, 255], [255, 0]] {
            let (bytes, _) = encode(|e| assert!(e.field(Field::EthType, &[8, 0], &mask)));
            for cut in 0..bytes.len() {
                assert_eq!(MatchText(&bytes[..cut]).to_string(), "-");
            }
        }
        assert_eq!(MatchText(&[0x3f, 0, 0]).to_string(), "-");
        let mark = ACTION | ActionKind::Mark as u8;
        assert_eq!(ActionsText(&[mark, 1, 2]).to_string(), "-");
    }

    #[test]
    fn every_field_has_its_own_place_in_the_table() {
        for (i, (field, name, _, len)) in Field::ALL.iter().enumerate() {
            assert_eq!(*field as usize, i);
            assert!(*len > 0);
            assert!(!name.is_empty() && !name.contains([' ', ',', ':', '/']));
        }
        // The last is never one: see `broken_bytes_end_the_text`.
        assert!(Field::ALL.len() < usize::from(WHOLE));
    }
}
