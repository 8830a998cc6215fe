// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filters of tc: as requests, in tc's own words, and with what was counted.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ekho::kernel::netlink::{u32_at, Attributes, Request};
use ekho_testkit::tc::{self, put_action, tc_gen, tcmsg, EGRESS, INGRESS, NESTED, TCMSG};
use ekho_testkit::uapi;

use crate::packet::{
    Mac, MacText, ETH_8021AD, ETH_8021Q, ETH_ALL, ETH_ARP, ETH_IP, ETH_IPV6, ETH_MPLS, ICMP,
    ICMPV6, SCTP, TCP, UDP,
};
use crate::ports::{ifindex, port_name};

/// A list of filters: those on what a port receives, or on what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub port: u8,
    pub egress: bool,
}

impl Place {
    /// Its parent, for requests.
    pub fn parent(self) -> u32 {
        if self.egress {
            EGRESS
        } else {
            INGRESS
        }
    }
}

/// Where a filter is to be: in software only, or in hardware only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    SkipHw,
    SkipSw,
}

impl Mode {
    fn flag(self) -> u32 {
        match self {
            Self::SkipHw => uapi::TCA_CLS_FLAGS_SKIP_HW,
            Self::SkipSw => uapi::TCA_CLS_FLAGS_SKIP_SW,
        }
    }

    /// As tc has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::SkipHw => "skip_hw",
            Self::SkipSw => "skip_sw",
        }
    }
}

/// A value and which of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked<T> {
    pub value: T,
    pub mask: T,
}

/// Either end of a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Src,
    Dst,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Src => "src",
            Self::Dst => "dst",
        }
    }

    fn of<T>(self, src: T, dst: T) -> T {
        match self {
            Self::Src => src,
            Self::Dst => dst,
        }
    }
}

/// What flower matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Eth(End, Masked<Mac>),
    Vlans(u8),
    VlanId(u16),
    VlanPrio(u8),
    VlanType(u16),
    CvlanId(u16),
    CvlanPrio(u8),
    CvlanType(u16),
    IpProto(u8),
    Ipv4(End, Masked<u32>),
    Ipv6(End, Masked<u128>),
    Tos(Masked<u8>),
    Ttl(Masked<u8>),
    /// A port of TCP, UDP or SCTP.
    Port(End, u8, Masked<u16>),
    /// Ports from the first to the second one.
    Ports(End, u16, u16),
    TcpFlags(Masked<u16>),
    /// Of ICMPv6 if true.
    IcmpType(bool, Masked<u8>),
    IcmpCode(bool, Masked<u8>),
    /// Whether it is a fragment, and the first.
    Fragment(Option<bool>, Option<bool>),
    ArpOp(Masked<u8>),
    ArpIp(End, Masked<u32>),
    ArpMac(End, Masked<Mac>),
    MplsLabel(u32),
    MplsTc(u8),
    MplsBottom(bool),
    MplsTtl(u8),
}

fn put_masked(request: &mut Request, kinds: [u16; 2], value: &[u8], mask: &[u8]) {
    request.put(kinds[0], value).put(kinds[1], mask);
}

macro_rules! flower {
    ($($name:ident)|+) => { [$(uapi::$name),+] };
}

impl Key {
    fn put(&self, request: &mut Request) {
        match *self {
            Self::Eth(end, ref mac) => put_masked(
                request,
                end.of(
                    flower!(TCA_FLOWER_KEY_ETH_SRC | TCA_FLOWER_KEY_ETH_SRC_MASK),
                    flower!(TCA_FLOWER_KEY_ETH_DST | TCA_FLOWER_KEY_ETH_DST_MASK),
                ),
                &mac.value,
                &mac.mask,
            ),
            Self::Vlans(number) => {
                request.put(uapi::TCA_FLOWER_KEY_NUM_OF_VLANS, &[number]);
            }
            Self::VlanId(id) => {
                request.put(uapi::TCA_FLOWER_KEY_VLAN_ID, &id.to_ne_bytes());
            }
            Self::VlanPrio(prio) => {
                request.put(uapi::TCA_FLOWER_KEY_VLAN_PRIO, &[prio]);
            }
            Self::VlanType(kind) => {
                request.put(uapi::TCA_FLOWER_KEY_VLAN_ETH_TYPE, &kind.to_be_bytes());
            }
            Self::CvlanId(id) => {
                request.put(uapi::TCA_FLOWER_KEY_CVLAN_ID, &id.to_ne_bytes());
            }
            Self::CvlanPrio(prio) => {
                request.put(uapi::TCA_FLOWER_KEY_CVLAN_PRIO, &[prio]);
            }
            Self::CvlanType(kind) => {
                request.put(uapi::TCA_FLOWER_KEY_CVLAN_ETH_TYPE, &kind.to_be_bytes());
            }
            Self::IpProto(proto) => {
                request.put(uapi::TCA_FLOWER_KEY_IP_PROTO, &[proto]);
            }
            Self::Ipv4(end, ip) => put_masked(
                request,
                end.of(
                    flower!(TCA_FLOWER_KEY_IPV4_SRC | TCA_FLOWER_KEY_IPV4_SRC_MASK),
                    flower!(TCA_FLOWER_KEY_IPV4_DST | TCA_FLOWER_KEY_IPV4_DST_MASK),
                ),
                &ip.value.to_be_bytes(),
                &ip.mask.to_be_bytes(),
            ),
            Self::Ipv6(end, ip) => put_masked(
                request,
                end.of(
                    flower!(TCA_FLOWER_KEY_IPV6_SRC | TCA_FLOWER_KEY_IPV6_SRC_MASK),
                    flower!(TCA_FLOWER_KEY_IPV6_DST | TCA_FLOWER_KEY_IPV6_DST_MASK),
                ),
                &ip.value.to_be_bytes(),
                &ip.mask.to_be_bytes(),
            ),
            Self::Tos(tos) => put_masked(
                request,
                flower!(TCA_FLOWER_KEY_IP_TOS | TCA_FLOWER_KEY_IP_TOS_MASK),
                &[tos.value],
                &[tos.mask],
            ),
            Self::Ttl(ttl) => put_masked(
                request,
                flower!(TCA_FLOWER_KEY_IP_TTL | TCA_FLOWER_KEY_IP_TTL_MASK),
                &[ttl.value],
                &[ttl.mask],
            ),
            Self::Port(end, proto, port) => put_masked(
                request,
                match proto {
                    TCP => end.of(
                        flower!(TCA_FLOWER_KEY_TCP_SRC | TCA_FLOWER_KEY_TCP_SRC_MASK),
                        flower!(TCA_FLOWER_KEY_TCP_DST | TCA_FLOWER_KEY_TCP_DST_MASK),
                    ),
                    UDP => end.of(
                        flower!(TCA_FLOWER_KEY_UDP_SRC | TCA_FLOWER_KEY_UDP_SRC_MASK),
                        flower!(TCA_FLOWER_KEY_UDP_DST | TCA_FLOWER_KEY_UDP_DST_MASK),
                    ),
                    _ => end.of(
                        flower!(TCA_FLOWER_KEY_SCTP_SRC | TCA_FLOWER_KEY_SCTP_SRC_MASK),
                        flower!(TCA_FLOWER_KEY_SCTP_DST | TCA_FLOWER_KEY_SCTP_DST_MASK),
                    ),
                },
                &port.value.to_be_bytes(),
                &port.mask.to_be_bytes(),
            ),
            Self::Ports(end, from, to) => put_masked(
                request,
                end.of(
                    flower!(TCA_FLOWER_KEY_PORT_SRC_MIN | TCA_FLOWER_KEY_PORT_SRC_MAX),
                    flower!(TCA_FLOWER_KEY_PORT_DST_MIN | TCA_FLOWER_KEY_PORT_DST_MAX),
                ),
                &from.to_be_bytes(),
                &to.to_be_bytes(),
            ),
            Self::TcpFlags(flags) => put_masked(
                request,
                flower!(TCA_FLOWER_KEY_TCP_FLAGS | TCA_FLOWER_KEY_TCP_FLAGS_MASK),
                &flags.value.to_be_bytes(),
                &flags.mask.to_be_bytes(),
            ),
            Self::IcmpType(v6, kind) => put_masked(
                request,
                match v6 {
                    false => flower!(TCA_FLOWER_KEY_ICMPV4_TYPE | TCA_FLOWER_KEY_ICMPV4_TYPE_MASK),
                    true => flower!(TCA_FLOWER_KEY_ICMPV6_TYPE | TCA_FLOWER_KEY_ICMPV6_TYPE_MASK),
                },
                &[kind.value],
                &[kind.mask],
            ),
            Self::IcmpCode(v6, code) => put_masked(
                request,
                match v6 {
                    false => flower!(TCA_FLOWER_KEY_ICMPV4_CODE | TCA_FLOWER_KEY_ICMPV4_CODE_MASK),
                    true => flower!(TCA_FLOWER_KEY_ICMPV6_CODE | TCA_FLOWER_KEY_ICMPV6_CODE_MASK),
                },
                &[code.value],
                &[code.mask],
            ),
            Self::Fragment(any, first) => {
                let bit = |is: Option<bool>, bit: u32| match is {
                    Some(true) => (bit, bit),
                    Some(false) => (0, bit),
                    None => (0, 0),
                };
                let any = bit(any, uapi::TCA_FLOWER_KEY_FLAGS_IS_FRAGMENT.into());
                let first = bit(first, uapi::TCA_FLOWER_KEY_FLAGS_FRAG_IS_FIRST.into());
                put_masked(
                    request,
                    flower!(TCA_FLOWER_KEY_FLAGS | TCA_FLOWER_KEY_FLAGS_MASK),
                    &(any.0 | first.0).to_be_bytes(),
                    &(any.1 | first.1).to_be_bytes(),
                );
            }
            Self::ArpOp(op) => put_masked(
                request,
                flower!(TCA_FLOWER_KEY_ARP_OP | TCA_FLOWER_KEY_ARP_OP_MASK),
                &[op.value],
                &[op.mask],
            ),
            Self::ArpIp(end, ip) => put_masked(
                request,
                end.of(
                    flower!(TCA_FLOWER_KEY_ARP_SIP | TCA_FLOWER_KEY_ARP_SIP_MASK),
                    flower!(TCA_FLOWER_KEY_ARP_TIP | TCA_FLOWER_KEY_ARP_TIP_MASK),
                ),
                &ip.value.to_be_bytes(),
                &ip.mask.to_be_bytes(),
            ),
            Self::ArpMac(end, ref mac) => put_masked(
                request,
                end.of(
                    flower!(TCA_FLOWER_KEY_ARP_SHA | TCA_FLOWER_KEY_ARP_SHA_MASK),
                    flower!(TCA_FLOWER_KEY_ARP_THA | TCA_FLOWER_KEY_ARP_THA_MASK),
                ),
                &mac.value,
                &mac.mask,
            ),
            Self::MplsLabel(label) => {
                request.put_u32(uapi::TCA_FLOWER_KEY_MPLS_LABEL, label);
            }
            Self::MplsTc(tc) => {
                request.put(uapi::TCA_FLOWER_KEY_MPLS_TC, &[tc]);
            }
            Self::MplsBottom(is) => {
                request.put(uapi::TCA_FLOWER_KEY_MPLS_BOS, &[u8::from(is)]);
            }
            Self::MplsTtl(ttl) => {
                request.put(uapi::TCA_FLOWER_KEY_MPLS_TTL, &[ttl]);
            }
        }
    }
}

/// A number and its mask, if that isn't all ones.
struct Slash<T>(Masked<T>, T);

impl<T: fmt::LowerHex + PartialEq> fmt::Display for Slash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0.value)?;
        if self.0.mask == self.1 {
            return Ok(());
        }
        write!(f, "/{:#x}", self.0.mask)
    }
}

fn mac_text(f: &mut fmt::Formatter<'_>, mac: &Masked<Mac>) -> fmt::Result {
    write!(f, "{}", MacText(mac.value))?;
    if mac.mask == [0xff; 6] {
        return Ok(());
    }
    write!(f, "/{}", MacText(mac.mask))
}

fn ipv4_text(f: &mut fmt::Formatter<'_>, ip: Masked<u32>) -> fmt::Result {
    write!(f, "{}", Ipv4Addr::from(ip.value))?;
    match ip.mask {
        u32::MAX => Ok(()),
        mask if mask.leading_ones() + mask.trailing_zeros() == 32 => {
            write!(f, "/{}", mask.leading_ones())
        }
        mask => write!(f, "/{}", Ipv4Addr::from(mask)),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Eth(end, ref mac) => {
                write!(f, "{}_mac ", end.word())?;
                mac_text(f, mac)
            }
            Self::Vlans(number) => write!(f, "num_of_vlans {number}"),
            Self::VlanId(id) => write!(f, "vlan_id {id}"),
            Self::VlanPrio(prio) => write!(f, "vlan_prio {prio}"),
            Self::VlanType(kind) => write!(f, "vlan_ethtype {}", Protocol(kind)),
            Self::CvlanId(id) => write!(f, "cvlan_id {id}"),
            Self::CvlanPrio(prio) => write!(f, "cvlan_prio {prio}"),
            Self::CvlanType(kind) => write!(f, "cvlan_ethtype {}", Protocol(kind)),
            Self::IpProto(proto) => match proto {
                TCP => f.write_str("ip_proto tcp"),
                UDP => f.write_str("ip_proto udp"),
                SCTP => f.write_str("ip_proto sctp"),
                ICMP => f.write_str("ip_proto icmp"),
                ICMPV6 => f.write_str("ip_proto icmpv6"),
                other => write!(f, "ip_proto {other:#x}"),
            },
            Self::Ipv4(end, ip) => {
                write!(f, "{}_ip ", end.word())?;
                ipv4_text(f, ip)
            }
            Self::Ipv6(end, ip) => {
                write!(f, "{}_ip {}", end.word(), Ipv6Addr::from(ip.value))?;
                match ip.mask {
                    u128::MAX => Ok(()),
                    mask => write!(f, "/{}", Ipv6Addr::from(mask)),
                }
            }
            Self::Tos(tos) => write!(f, "ip_tos {}", Slash(tos, 0xff)),
            Self::Ttl(ttl) => write!(f, "ip_ttl {}", Slash(ttl, 0xff)),
            Self::Port(end, _, port) => {
                write!(f, "{}_port {}", end.word(), port.value).and_then(|()| match port.mask {
                    u16::MAX => Ok(()),
                    mask => write!(f, "/{mask:#x}"),
                })
            }
            Self::Ports(end, from, to) => write!(f, "{}_port {from}-{to}", end.word()),
            Self::TcpFlags(flags) => write!(f, "tcp_flags {}", Slash(flags, 0xffff)),
            Self::IcmpType(_, kind) => write!(f, "type {}", Slash(kind, 0xff)),
            Self::IcmpCode(_, code) => write!(f, "code {}", Slash(code, 0xff)),
            Self::Fragment(any, first) => {
                let no = |is: bool| if is { "" } else { "no" };
                let words = any
                    .map(|is| format!("{}frag", no(is)))
                    .into_iter()
                    .chain(first.map(|is| format!("{}firstfrag", no(is))));
                write!(f, "ip_flags {}", words.collect::<Vec<_>>().join("/"))
            }
            Self::ArpOp(op) => write!(f, "arp_op {}", Slash(op, 0xff)),
            Self::ArpIp(end, ip) => {
                write!(f, "arp_{} ", end.of("sip", "tip"))?;
                ipv4_text(f, ip)
            }
            Self::ArpMac(end, ref mac) => {
                write!(f, "arp_{} ", end.of("sha", "tha"))?;
                mac_text(f, mac)
            }
            Self::MplsLabel(label) => write!(f, "mpls_label {label}"),
            Self::MplsTc(tc) => write!(f, "mpls_tc {tc}"),
            Self::MplsBottom(is) => write!(f, "mpls_bos {}", u8::from(is)),
            Self::MplsTtl(ttl) => write!(f, "mpls_ttl {ttl}"),
        }
    }
}

/// Which header a change of a packet counts its offset from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Network,
    Eth,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
}

/// Four bytes of a packet that are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Munge {
    pub header: Header,
    pub offset: i32,
    /// Which bits change.
    pub bits: [u8; 4],
    pub value: [u8; 4],
    /// It is added rather than set.
    pub add: bool,
    /// As tc has it; empty for a part of what is before.
    pub words: String,
}

/// What a filter does to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Drop,
    Ok,
    Goto(u32),
    /// Out of a port, or into it.
    Redirect {
        port: u8,
        ingress: bool,
    },
    Mirror {
        port: u8,
        ingress: bool,
    },
    VlanPush {
        tpid: u16,
        id: u16,
        prio: Option<u8>,
    },
    VlanPop,
    VlanModify {
        tpid: Option<u16>,
        id: u16,
        prio: Option<u8>,
    },
    Pedit(Vec<Munge>),
    Csum(u32),
    Priority(u32),
    MplsPush {
        label: u32,
        tc: Option<u8>,
        ttl: Option<u8>,
        bottom: Option<bool>,
    },
    MplsPop(u16),
    MplsModify {
        label: Option<u32>,
        tc: Option<u8>,
        ttl: Option<u8>,
    },
    MplsDecTtl,
    Police(Police),
}

/// A limit that time has no part in: so slow that no tokens come back while a set is done, or so fast
/// that all are back with the next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Police {
    /// Which action of the set it is; with 0 one that no other filter has.
    pub shared: u32,
    pub limit: Limit,
    /// Bytes; 0 for what the rate makes of it.
    pub mtu: u32,
    pub exceed: Fate,
    pub conform: Fate,
}

/// What police limits besides the length of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Nothing,
    /// With the number of ticks of 64 ns that can be saved.
    Bytes {
        rate: Rate,
        peak: Option<Rate>,
        burst: u32,
    },
    Packets {
        rate: u64,
        burst: u64,
    },
}

/// A rate: the greater part of `struct tc_ratespec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes each second.
    pub rate: u32,
    pub atm: bool,
    pub overhead: u16,
    pub mpu: u16,
}

/// What becomes of a packet after police.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Ok,
    Drop,
    Pipe,
}

impl Fate {
    fn verdict(self) -> u32 {
        match self {
            Self::Ok => uapi::TC_ACT_OK,
            Self::Drop => uapi::TC_ACT_SHOT,
            Self::Pipe => uapi::TC_ACT_PIPE,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Drop => "drop",
            Self::Pipe => "pipe",
        }
    }
}

/// How many actions a set shares at the most.
pub const SHARED: u32 = 64;

impl Rate {
    /// `log2` of the bytes of a cell of its table, which the kernel makes a default of the MTU of.
    const CELL_LOG: u8 = 3;

    /// `struct tc_ratespec`.
    fn bytes(self) -> [u8; 12] {
        const ETHERNET: u8 = 1;
        const ATM: u8 = 2;
        let mut spec = [0; 12];
        spec[0] = Self::CELL_LOG;
        spec[1] = if self.atm { ATM } else { ETHERNET };
        spec[2..4].copy_from_slice(&self.overhead.to_ne_bytes());
        spec[6..8].copy_from_slice(&self.mpu.to_ne_bytes());
        spec[8..].copy_from_slice(&self.rate.to_ne_bytes());
        spec
    }
}

impl Police {
    /// `run` tells the actions that filters share from those of the set before, which the kernel may
    /// still have.
    fn put(&self, request: &mut Request, run: u32) {
        /// Of a table that the kernel wants and doesn't read.
        const TABLE: usize = 1024;
        let index = match self.shared {
            0 => 0,
            shared => 1 + run.wrapping_mul(SHARED).wrapping_add(shared) % (1 << 30),
        };
        let (mut rates, mut burst) = ([None, None], 0);
        match self.limit {
            Limit::Nothing => {}
            Limit::Bytes {
                rate,
                peak,
                burst: ticks,
            } => (rates, burst) = ([Some(rate), peak], ticks),
            Limit::Packets { rate, burst } => {
                request.put(uapi::TCA_POLICE_PKTRATE64, &rate.to_ne_bytes());
                request.put(uapi::TCA_POLICE_PKTBURST64, &burst.to_ne_bytes());
            }
        }
        // `struct tc_police`.
        let mut police: Vec<u8> = [index, self.exceed.verdict(), 0, burst, self.mtu]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        for rate in rates {
            police.extend(rate.map_or([0; 12], Rate::bytes));
        }
        police.extend([0; 12]);
        request.put(uapi::TCA_POLICE_TBF, &police);
        let kinds = [uapi::TCA_POLICE_RATE, uapi::TCA_POLICE_PEAKRATE];
        for (kind, rate) in kinds.into_iter().zip(rates) {
            if rate.is_some() {
                request.put(kind, &[0; TABLE]);
            }
        }
        request.put_u32(uapi::TCA_POLICE_RESULT, self.conform.verdict());
    }
}

impl fmt::Display for Police {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // tc rounds: this is what it means rather than what makes it again.
        f.write_str("police")?;
        if self.shared != 0 {
            write!(f, " index {}", self.shared)?;
        }
        let rate = |f: &mut fmt::Formatter<'_>, word: &str, rate: &Rate| {
            write!(f, " {word} {}bps", rate.rate)?;
            if rate.atm {
                f.write_str(" linklayer atm")?;
            }
            if rate.overhead != 0 {
                write!(f, " overhead {}", rate.overhead)?;
            }
            if rate.mpu != 0 {
                write!(f, " mpu {}", rate.mpu)?;
            }
            Ok(())
        };
        match &self.limit {
            Limit::Nothing => {}
            Limit::Bytes {
                rate: slow,
                peak,
                burst,
            } => {
                rate(f, "rate", slow)?;
                if let Some(peak) = peak {
                    rate(f, "peakrate", peak)?;
                }
                write!(f, " burst {}ns", u64::from(*burst) * 64)?;
            }
            Limit::Packets { rate, burst } => {
                write!(f, " pkts_rate {rate} pkts_burst {}ns", burst * 64)?;
            }
        }
        if self.mtu != 0 {
            write!(f, " mtu {}", self.mtu)?;
        }
        write!(
            f,
            " conform-exceed {}/{}",
            self.exceed.word(),
            self.conform.word()
        )
    }
}

/// The checksums that csum makes, and their names.
pub const SUMS: [(u32, &str); 7] = [
    (uapi::TCA_CSUM_UPDATE_FLAG_IPV4HDR as u32, "ip4h"),
    (uapi::TCA_CSUM_UPDATE_FLAG_ICMP as u32, "icmp"),
    (uapi::TCA_CSUM_UPDATE_FLAG_IGMP as u32, "igmp"),
    (uapi::TCA_CSUM_UPDATE_FLAG_TCP as u32, "tcp"),
    (uapi::TCA_CSUM_UPDATE_FLAG_UDP as u32, "udp"),
    (uapi::TCA_CSUM_UPDATE_FLAG_UDPLITE as u32, "udplite"),
    (uapi::TCA_CSUM_UPDATE_FLAG_SCTP as u32, "sctp"),
];

/// `tc_gen`, and what comes after it in the parameters of an action.
fn parameters(verdict: u32, more: &[u32]) -> Vec<u8> {
    let more = more.iter().flat_map(|word| word.to_ne_bytes());
    tc_gen(0, verdict).into_iter().chain(more).collect()
}

impl Action {
    fn put(&self, actions: &mut Request, number: u16, run: u32) {
        use uapi::{
            TCA_EGRESS_MIRROR, TCA_EGRESS_REDIR, TCA_INGRESS_MIRROR, TCA_INGRESS_REDIR, TC_ACT_OK,
            TC_ACT_PIPE, TC_ACT_SHOT, TC_ACT_STOLEN, TC_GOTO_CHAIN,
        };

        let gact = |actions: &mut Request, verdict: u32| {
            put_action(actions, number, "gact", |request| {
                request.put(uapi::TCA_GACT_PARMS, &parameters(verdict, &[]));
            });
        };
        let mirred = |actions: &mut Request, verdict: u32, how: u16, port: u8| {
            put_action(actions, number, "mirred", |request| {
                let more = [u32::from(how), ifindex(port)];
                request.put(uapi::TCA_MIRRED_PARMS, &parameters(verdict, &more));
            });
        };
        let vlan = |actions: &mut Request, how: u16, fill: &dyn Fn(&mut Request)| {
            put_action(actions, number, "vlan", |request| {
                let parameters = parameters(TC_ACT_PIPE, &[how.into()]);
                request.put(uapi::TCA_VLAN_PARMS, &parameters);
                fill(request);
            });
        };
        let mpls = |actions: &mut Request, how: u16, fill: &dyn Fn(&mut Request)| {
            put_action(actions, number, "mpls", |request| {
                let parameters = parameters(TC_ACT_PIPE, &[how.into()]);
                request.put(uapi::TCA_MPLS_PARMS, &parameters);
                fill(request);
            });
        };
        let tag = |request: &mut Request, tpid: Option<u16>, id: u16, prio: Option<u8>| {
            request.put(uapi::TCA_VLAN_PUSH_VLAN_ID, &id.to_ne_bytes());
            if let Some(tpid) = tpid {
                request.put(uapi::TCA_VLAN_PUSH_VLAN_PROTOCOL, &tpid.to_be_bytes());
            }
            if let Some(prio) = prio {
                request.put(uapi::TCA_VLAN_PUSH_VLAN_PRIORITY, &[prio]);
            }
        };
        let entry = |request: &mut Request, label: Option<u32>, tc: Option<u8>, ttl: Option<u8>| {
            if let Some(label) = label {
                request.put_u32(uapi::TCA_MPLS_LABEL, label);
            }
            if let Some(tc) = tc {
                request.put(uapi::TCA_MPLS_TC, &[tc]);
            }
            if let Some(ttl) = ttl {
                request.put(uapi::TCA_MPLS_TTL, &[ttl]);
            }
        };
        match *self {
            Self::Drop => gact(actions, TC_ACT_SHOT),
            Self::Ok => gact(actions, TC_ACT_OK),
            Self::Goto(chain) => gact(actions, TC_GOTO_CHAIN | chain),
            Self::Redirect { port, ingress } => {
                let how = [TCA_EGRESS_REDIR, TCA_INGRESS_REDIR][usize::from(ingress)];
                mirred(actions, TC_ACT_STOLEN, how, port);
            }
            Self::Mirror { port, ingress } => {
                let how = [TCA_EGRESS_MIRROR, TCA_INGRESS_MIRROR][usize::from(ingress)];
                mirred(actions, TC_ACT_PIPE, how, port);
            }
            Self::VlanPush { tpid, id, prio } => {
                vlan(actions, uapi::TCA_VLAN_ACT_PUSH, &|request| {
                    tag(request, Some(tpid), id, prio);
                });
            }
            Self::VlanPop => vlan(actions, uapi::TCA_VLAN_ACT_POP, &|_| ()),
            Self::VlanModify { tpid, id, prio } => {
                vlan(actions, uapi::TCA_VLAN_ACT_MODIFY, &|request| {
                    tag(request, tpid, id, prio);
                });
            }
            Self::Pedit(ref munges) => put_action(actions, number, "pedit", |request| {
                put_munges(request, munges);
            }),
            Self::Csum(sums) => put_action(actions, number, "csum", |request| {
                request.put(uapi::TCA_CSUM_PARMS, &parameters(TC_ACT_PIPE, &[sums]));
            }),
            Self::Priority(priority) => put_action(actions, number, "skbedit", |request| {
                request.put(uapi::TCA_SKBEDIT_PARMS, &parameters(TC_ACT_PIPE, &[]));
                request.put_u32(uapi::TCA_SKBEDIT_PRIORITY, priority);
            }),
            Self::MplsPush {
                label,
                tc,
                ttl,
                bottom,
            } => mpls(actions, uapi::TCA_MPLS_ACT_PUSH, &|request| {
                entry(request, Some(label), tc, ttl);
                if let Some(bottom) = bottom {
                    request.put(uapi::TCA_MPLS_BOS, &[u8::from(bottom)]);
                }
            }),
            Self::MplsPop(protocol) => mpls(actions, uapi::TCA_MPLS_ACT_POP, &|request| {
                request.put(uapi::TCA_MPLS_PROTO, &protocol.to_be_bytes());
            }),
            Self::MplsModify { label, tc, ttl } => {
                mpls(actions, uapi::TCA_MPLS_ACT_MODIFY, &|request| {
                    entry(request, label, tc, ttl);
                });
            }
            Self::MplsDecTtl => mpls(actions, uapi::TCA_MPLS_ACT_DEC_TTL, &|_| ()),
            Self::Police(ref police) => put_action(actions, number, "police", |request| {
                police.put(request, run);
            }),
        }
    }
}

fn put_munges(request: &mut Request, munges: &[Munge]) {
    // `struct tc_pedit_sel`: the number of keys, and flags, take four bytes.
    let mut selector = tc_gen(0, uapi::TC_ACT_PIPE).to_vec();
    selector.extend([munges.len() as u8, 0, 0, 0]);
    for munge in munges {
        let value = (0..4).map(|n| munge.value[n] & munge.bits[n]);
        selector.extend(munge.bits.map(|bits| !bits));
        selector.extend(value);
        selector.extend(munge.offset.to_ne_bytes());
        selector.extend([0; 12]);
    }
    request.put(uapi::TCA_PEDIT_PARMS_EX, &selector);
    request.nest(uapi::TCA_PEDIT_KEYS_EX | NESTED, |keys| {
        for munge in munges {
            keys.nest(uapi::TCA_PEDIT_KEY_EX | NESTED, |key| {
                let (header, add) = (munge.header as u16, u16::from(munge.add));
                key.put(uapi::TCA_PEDIT_KEY_EX_HTYPE, &header.to_ne_bytes());
                key.put(uapi::TCA_PEDIT_KEY_EX_CMD, &add.to_ne_bytes());
            });
        }
    });
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |ingress: bool| if ingress { "ingress" } else { "egress" };
        fn optional<T: fmt::Display>(
            f: &mut fmt::Formatter<'_>,
            word: &str,
            value: Option<T>,
        ) -> fmt::Result {
            value.map_or(Ok(()), |value| write!(f, " {word} {value}"))
        }
        match *self {
            Self::Drop => f.write_str("drop"),
            Self::Ok => f.write_str("ok"),
            Self::Goto(chain) => write!(f, "goto chain {chain}"),
            Self::Redirect { port, ingress } => {
                write!(
                    f,
                    "mirred {} redirect dev {}",
                    way(ingress),
                    port_name(port)
                )
            }
            Self::Mirror { port, ingress } => {
                write!(f, "mirred {} mirror dev {}", way(ingress), port_name(port))
            }
            Self::VlanPush { tpid, id, prio } => {
                write!(f, "vlan push id {id} protocol {}", Protocol(tpid))?;
                optional(f, "priority", prio)
            }
            Self::VlanPop => f.write_str("vlan pop"),
            Self::VlanModify { tpid, id, prio } => {
                write!(f, "vlan modify id {id}")?;
                optional(f, "protocol", tpid.map(Protocol))?;
                optional(f, "priority", prio)
            }
            Self::Pedit(ref munges) => {
                f.write_str("pedit ex")?;
                munges
                    .iter()
                    .filter(|munge| !munge.words.is_empty())
                    .try_for_each(|munge| write!(f, " munge {}", munge.words))
            }
            Self::Csum(sums) => {
                let names = SUMS.iter().filter(|(bit, _)| sums & bit != 0);
                let names: Vec<_> = names.map(|(_, name)| *name).collect();
                write!(f, "csum {}", names.join(" and "))
            }
            Self::Priority(priority) => write!(f, "skbedit priority {priority:#x}"),
            Self::MplsPush {
                label,
                tc,
                ttl,
                bottom,
            } => {
                write!(f, "mpls push protocol mpls_uc label {label}")?;
                optional(f, "tc", tc)?;
                optional(f, "ttl", ttl)?;
                optional(f, "bos", bottom.map(u8::from))
            }
            Self::MplsPop(protocol) => write!(f, "mpls pop protocol {}", Protocol(protocol)),
            Self::MplsModify { label, tc, ttl } => {
                f.write_str("mpls modify")?;
                optional(f, "label", label)?;
                optional(f, "tc", tc)?;
                optional(f, "ttl", ttl)
            }
            Self::MplsDecTtl => f.write_str("mpls dec_ttl"),
            Self::Police(ref police) => police.fmt(f),
        }
    }
}

/// An EtherType as tc has it.
struct Protocol(u16);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ETH_ALL => "all",
            ETH_IP => "ip",
            ETH_IPV6 => "ipv6",
            ETH_ARP => "arp",
            ETH_8021Q => "802.1Q",
            ETH_8021AD => "802.1ad",
            ETH_MPLS => "mpls_uc",
            other => return write!(f, "{other:#06x}"),
        })
    }
}

/// A filter. Its handle is its number in its set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub place: Place,
    pub chain: u32,
    pub prio: u16,
    pub protocol: u16,
    pub handle: u32,
    /// What flower matches; none for matchall.
    pub keys: Option<Vec<Key>>,
    pub actions: Vec<Action>,
}

/// What identifies a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub place: Place,
    pub chain: u32,
    pub prio: u16,
    pub handle: u32,
}

impl Filter {
    pub fn id(&self) -> Id {
        Id {
            place: self.place,
            chain: self.chain,
            prio: self.prio,
            handle: self.handle,
        }
    }

    /// Whether it has an action that others have, too.
    pub fn shares(&self) -> bool {
        let is_shared =
            |action: &Action| matches!(action, Action::Police(police) if police.shared != 0);
        self.actions.iter().any(is_shared)
    }

    fn kind(&self) -> &'static str {
        match self.keys {
            Some(_) => "flower",
            None => "matchall",
        }
    }

    fn header(&self) -> [u8; 20] {
        tcmsg(
            ifindex(self.place.port),
            self.handle,
            self.place.parent(),
            tc::info(self.prio, self.protocol),
        )
    }

    /// The request that adds it, or with `flags` of `NLM_F_CREATE` alone replaces it. `run` is another
    /// number for each set that is done.
    pub fn add(&self, flags: u16, mode: Mode, run: u32) -> Vec<u8> {
        let mut request = Request::new(uapi::RTM_NEWTFILTER, flags, &self.header());
        request.put_text(uapi::TCA_KIND, self.kind());
        request.put_u32(uapi::TCA_CHAIN, self.chain);
        request.nest(uapi::TCA_OPTIONS | NESTED, |request| {
            let (flags, actions) = match &self.keys {
                Some(keys) => {
                    if self.protocol != ETH_ALL {
                        let ethertype = self.protocol.to_be_bytes();
                        request.put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &ethertype);
                    }
                    for key in keys {
                        key.put(request);
                    }
                    (uapi::TCA_FLOWER_FLAGS, uapi::TCA_FLOWER_ACT)
                }
                None => (uapi::TCA_MATCHALL_FLAGS, uapi::TCA_MATCHALL_ACT),
            };
            request.put_u32(flags, mode.flag());
            request.nest(actions | NESTED, |request| {
                for (number, action) in (1..).zip(&self.actions) {
                    action.put(request, number, run);
                }
            });
        });
        request.finish()
    }

    /// The request that deletes it.
    pub fn delete(&self) -> Vec<u8> {
        let mut request = Request::new(uapi::RTM_DELTFILTER, 0, &self.header());
        request.put_text(uapi::TCA_KIND, self.kind());
        request.put_u32(uapi::TCA_CHAIN, self.chain);
        request.finish()
    }

    /// As `tc filter add` takes it.
    pub fn words(&self, mode: Mode) -> String {
        let way = if self.place.egress {
            "egress"
        } else {
            "ingress"
        };
        let mut words = format!(
            "tc filter add dev {} {way} chain {} protocol {} pref {} handle {:#x} {} {}",
            port_name(self.place.port),
            self.chain,
            Protocol(self.protocol),
            self.prio,
            self.handle,
            self.kind(),
            mode.word(),
        );
        for key in self.keys.iter().flatten() {
            words += &format!(" {key}");
        }
        for action in &self.actions {
            words += &format!(" action {action}");
        }
        words
    }
}

/// The request that deletes all filters of a preference, or with 0 all of a chain.
pub fn flush(place: Place, chain: u32, prio: u16) -> Vec<u8> {
    let header = tcmsg(ifindex(place.port), 0, place.parent(), tc::info(prio, 0));
    let mut request = Request::new(uapi::RTM_DELTFILTER, 0, &header);
    request.put_u32(uapi::TCA_CHAIN, chain);
    request.finish()
}

/// The request for all filters of a list with what they counted.
pub fn dump(place: Place) -> Vec<u8> {
    let header = tcmsg(ifindex(place.port), 0, place.parent(), 0);
    Request::new(uapi::RTM_GETTFILTER, uapi::NLM_F_DUMP, &header).finish()
}

/// What an action counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
    pub drops: u32,
    /// How much of it was counted by hardware.
    pub hardware: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            packets,
            bytes,
            drops,
            ..
        } = self;
        write!(f, "{packets} packets {bytes} bytes {drops} drops")
    }
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_ne_bytes(bytes))
}

/// `struct gnet_stats_basic`: packets and bytes.
fn basic(stats: Attributes<'_>, kind: u16) -> Option<(u64, u64)> {
    let basic = stats.get(kind)?;
    Some((u32_at(basic, 8)?.into(), u64_at(basic, 0)?))
}

/// The counters of a filter, out of an answer to [`dump`]: one for each action.
pub fn counts(place: Place, payload: &[u8]) -> Option<(Id, Vec<Count>)> {
    let handle = u32_at(payload, 8).filter(|handle| *handle != 0)?;
    let prio = (u32_at(payload, 16)? >> 16) as u16;
    let attributes = Attributes(payload.get(TCMSG..)?);
    let actions = match attributes.text(uapi::TCA_KIND)? {
        "flower" => uapi::TCA_FLOWER_ACT,
        _ => uapi::TCA_MATCHALL_ACT,
    };
    let id = Id {
        place,
        chain: attributes.u32(uapi::TCA_CHAIN).unwrap_or(0),
        prio,
        handle,
    };
    let actions = attributes.nested(uapi::TCA_OPTIONS).nested(actions);
    let counts = actions.iter().map(|(_, action)| {
        let action = Attributes(action);
        // The kernel has no counters for what hardware does of these: `stats_update` of their
        // `struct tc_action_ops` is missing.
        if matches!(action.text(uapi::TCA_ACT_KIND), Some("csum" | "mpls")) {
            return Count::default();
        }
        let stats = action.nested(uapi::TCA_ACT_STATS);
        let (packets, bytes) = basic(stats, uapi::TCA_STATS_BASIC).unwrap_or_default();
        let hardware = basic(stats, uapi::TCA_STATS_BASIC_HW);
        // `struct gnet_stats_queue`: the third number of it.
        let queue = stats.get(uapi::TCA_STATS_QUEUE).unwrap_or(&[]);
        Count {
            packets,
            bytes,
            drops: u32_at(queue, 8).unwrap_or(0),
            hardware: hardware.unwrap_or_default().0,
        }
    });
    Some((id, counts.collect()))
}
