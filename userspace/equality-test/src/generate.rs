// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random filters and packets. The same seed and number make the same set.
//!
//! All values come from small pools, and most packets are made to match a filter, so that most of
//! them do. Each filter of flower takes its keys from a shape that its preference has, with values
//! of its own: so several share a mask, and several masks a preference.

use std::ops::{BitAnd, BitOr, Not};

use fastrand::Rng;

use crate::filter::{
    Action, End, Fate, Filter, Header, Key, Limit, Masked, Mode, Munge, Place, Police, Rate,
    SHARED, SUMS,
};
use crate::packet::{
    Mac, MacText, Network, Packet, Sum, BOTTOM, DESTINATION, ETH_8021AD, ETH_8021Q, ETH_ALL,
    ETH_ARP, ETH_IP, ETH_IPV6, ETH_MPLS, FRAGMENT, FRAGMENT_OFFSET, HOP_BY_HOP, ICMP, ICMPV6,
    MORE_FRAGMENTS, ROUTING, SCTP, TCP, UDP,
};
use crate::ports::{OTHER, PORTS};

/// A change of the filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Add(Filter),
    /// The filter with this identity becomes another.
    Replace(Filter),
    Delete(Filter),
}

impl Change {
    /// In tc's words.
    pub fn words(&self, mode: Mode) -> String {
        let words = self.filter().words(mode);
        match self {
            Self::Add(_) => words,
            Self::Replace(_) => words.replacen("filter add", "filter replace", 1),
            Self::Delete(_) => {
                let words = words.replacen("filter add", "filter del", 1);
                let end = words.find(" skip_").unwrap_or(words.len());
                words[..end].to_owned()
            }
        }
    }

    /// The filter that it is about.
    pub fn filter(&self) -> &Filter {
        match self {
            Self::Add(filter) | Self::Replace(filter) | Self::Delete(filter) => filter,
        }
    }
}

/// Changes, and the packets that arrive at a port after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub changes: Vec<Change>,
    pub port: u8,
    pub packets: Vec<Packet>,
}

/// Filters and packets, from no filters on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub number: u64,
    pub rounds: Vec<Round>,
}

const SOURCES: [Mac; 3] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2], [2, 0, 0, 1, 1, 3]];
const DESTINATIONS: [Mac; 5] = [
    [2, 0, 0, 0, 2, 1],
    [2, 0, 0, 0, 2, 2],
    [2, 0, 0, 1, 2, 3],
    [0xff; 6],
    [1, 0, 0x5e, 0, 0, 5],
];
const MAC_MASKS: [Mac; 3] = [
    [0xff; 6],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0],
    [0, 0, 0, 0, 0, 1],
];
const IPV4: [u32; 6] = [
    0x0a00_0001,
    0x0a00_0002,
    0x0a00_0003,
    0x0a00_0101,
    0xc000_0207,
    0xe000_0005,
];
const IPV4_MASKS: [u32; 3] = [u32::MAX, 0xffff_ff00, 1];
const IPV6: [u128; 4] = [
    (0xfd << 120) | 1,
    (0xfd << 120) | 2,
    (0xfd << 120) | 0x1_0001,
    (0xff02 << 112) | 1,
];
const IPV6_MASKS: [u128; 3] = [u128::MAX, !0xffff, 1];
const TOS: [u8; 4] = [0, 0x10, 0x29, 0xb8];
const TOS_MASKS: [u8; 3] = [0xff, 0xfc, 3];
const TTL: [u8; 5] = [0, 1, 2, 64, 255];
const TTL_MASKS: [u8; 3] = [0xff, 0xff, 0xc0];
const TCP_UDP_PORTS: [u16; 6] = [53, 80, 81, 443, 1000, 1007];
const PORT_MASKS: [u16; 3] = [u16::MAX, u16::MAX, 0xfff8];
const TCP_FLAGS: [u16; 4] = [2, 0x12, 0x10, 0x11];
const TCP_FLAGS_MASKS: [u16; 3] = [0xfff, 2, 0x12];
const ICMP_TYPES: [u8; 3] = [0, 3, 8];
const ICMPV6_TYPES: [u8; 3] = [128, 129, 135];
const BYTE_MASKS: [u8; 3] = [0xff, 0xff, 0x0f];
const VLANS: [u16; 4] = [0, 10, 20, 4094];
const VLAN_PRIOS: [u8; 3] = [0, 3, 7];
const LABELS: [u32; 4] = [3, 100, 101, 0xf_ffff];
const LABEL_TTLS: [u8; 4] = [0, 1, 64, 255];
const ARP_OPS: [u16; 3] = [1, 2, 3];
const IP_PROTOS: [u8; 4] = [TCP, UDP, ICMP, SCTP];
const PROTOCOLS: [u16; 14] = [
    ETH_IP, ETH_IP, ETH_IP, ETH_IP, ETH_IP, ETH_IPV6, ETH_IPV6, ETH_8021Q, ETH_8021Q, ETH_8021AD,
    ETH_ARP, ETH_MPLS, ETH_ALL, ETH_ALL,
];

/// A key without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Eth(End),
    Vlans,
    VlanId,
    VlanPrio,
    VlanType(u16),
    CvlanId,
    CvlanPrio,
    CvlanType(u16),
    IpProto(u8),
    Ip(bool, End),
    Tos,
    Ttl,
    Port(End, u8),
    Ports(End),
    TcpFlags,
    IcmpType(bool),
    IcmpCode(bool),
    Fragment,
    ArpOp,
    ArpIp(End),
    ArpMac(End),
    MplsLabel,
    MplsTc,
    MplsBottom,
    MplsTtl,
}

/// A preference of a chain, which has one protocol and one classifier.
struct Preference {
    place: Place,
    chain: u32,
    prio: u16,
    protocol: u16,
    matchall: bool,
    /// What its filters match, each with the number of its mask.
    shapes: Vec<Vec<(Shape, usize)>>,
    /// What they do match: flower takes nothing twice.
    used: Vec<Vec<Key>>,
}

struct Generator {
    rng: Rng,
    chains: u32,
    preferences: Vec<Preference>,
    handles: u32,
    /// What each filter matches, by its handle.
    shapes: Vec<Vec<(Shape, usize)>>,
    /// Actions that filters of this round share.
    shared: Vec<Police>,
    /// How many were shared in all rounds.
    shares: u32,
}

/// Leaves out of a set what goes from one device to another's tables: each port is a device, and
/// what it is sent by another it gets from the stack.
pub fn separate(set: &mut Set) {
    for round in &mut set.rounds {
        round.changes.retain(|change| !change.filter().place.egress);
        for change in &mut round.changes {
            let (Change::Add(filter) | Change::Replace(filter) | Change::Delete(filter)) = change;
            for action in &mut filter.actions {
                if let Action::Redirect { ingress, .. } | Action::Mirror { ingress, .. } = action {
                    *ingress = false;
                }
            }
        }
    }
}

/// Makes the set with a number.
pub fn set(seed: u64, number: u64, packets: usize) -> Set {
    // The numbers of a seed are far from those of the next one.
    let seed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(number);
    let mut rng = Rng::with_seed(seed);
    let chains = if rng.bool() { 1 } else { rng.u32(2..=4) };
    let generator = Generator {
        rng,
        chains,
        preferences: Vec::new(),
        handles: 0,
        shapes: Vec::new(),
        shared: Vec::new(),
        shares: 0,
    };
    generator.set(number, packets)
}

/// One of several, of which some count more.
fn weighted<T: Copy>(rng: &mut Rng, choices: &[(u32, T)]) -> T {
    let mut n = rng.u32(0..choices.iter().map(|(weight, _)| weight).sum());
    for (weight, choice) in choices {
        if n < *weight {
            return *choice;
        }
        n -= weight;
    }
    choices[0].1
}

fn one<T: Copy>(rng: &mut Rng, pool: &[T]) -> T {
    pool[rng.usize(..pool.len())]
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn one<T: Copy>(&mut self, pool: &[T]) -> T {
        one(&mut self.rng, pool)
    }

    fn end(&mut self) -> End {
        self.one(&[End::Src, End::Dst])
    }

    fn set(mut self, number: u64, packets: usize) -> Set {
        let port = self.rng.u8(0..PORTS);
        let wanted = self.rng.usize(1..=12);
        let mut filters: Vec<Filter> = Vec::new();
        let mut changes = Vec::new();
        for n in 0..wanted {
            let place = self.place(port, n == 0);
            let filter = self.filter(place, n == 0);
            filters.push(filter.clone());
            changes.push(Change::Add(filter));
        }
        let rounds = match self.rng.u32(0..10) {
            0..=5 => 1,
            6..=8 => 2,
            _ => 3,
        };
        let mut set = Set {
            number,
            rounds: Vec::new(),
        };
        for n in 0..rounds {
            if n != 0 {
                changes = self.changes(&mut filters, port);
            }
            let port = if self.chance(85) {
                port
            } else {
                self.rng.u8(0..PORTS)
            };
            let share = packets / rounds + usize::from(n < packets % rounds);
            let packets = (0..share).map(|_| self.packet(&filters, port)).collect();
            set.rounds.push(Round {
                changes: std::mem::take(&mut changes),
                port,
                packets,
            });
        }
        set
    }

    /// Where a filter is: mostly where packets arrive.
    fn place(&mut self, port: u8, is_first: bool) -> Place {
        let n = if is_first { 0 } else { self.rng.u32(0..100) };
        Place {
            port: if n < 75 { port } else { self.rng.u8(0..PORTS) },
            egress: n >= 84,
        }
    }

    /// Some filters go, some change, some come.
    fn changes(&mut self, filters: &mut Vec<Filter>, port: u8) -> Vec<Change> {
        let mut changes = Vec::new();
        // When the kernel frees an action that no filter has any more isn't certain.
        self.shared.clear();
        for _ in 0..self.rng.usize(1..=4) {
            if filters.is_empty() {
                break;
            }
            let n = self.rng.usize(..filters.len());
            if self.chance(50) {
                changes.push(Change::Delete(filters.remove(n)));
            } else if filters[n].keys.is_some() {
                let old = filters[n].clone();
                let mut new = old.clone();
                let shape = self.shapes[old.handle as usize - 1].clone();
                // Hardware isn't told that a filter with another range takes the place of one.
                let has_range = |(shape, _): &(Shape, usize)| matches!(shape, Shape::Ports(_));
                if self.chance(60) && !shape.iter().any(has_range) {
                    // Of the same mask: the kernel wants it.
                    new.keys = Some(self.values(&shape));
                }
                if self.chance(70) {
                    new.actions = self.actions(&new);
                }
                filters[n] = new.clone();
                changes.push(Change::Replace(new));
            }
        }
        for _ in 0..self.rng.usize(0..3) {
            let place = self.place(port, false);
            let filter = self.filter(place, false);
            filters.push(filter.clone());
            changes.push(Change::Add(filter));
        }
        changes
    }

    // ------------------------------------------------------- filters

    fn preference(&mut self, place: Place, is_first: bool) -> usize {
        let chain = match is_first || self.chains == 1 || self.chance(40) {
            true => 0,
            false => self.rng.u32(1..self.chains),
        };
        let there: Vec<usize> = (0..self.preferences.len())
            .filter(|n| {
                let preference = &self.preferences[*n];
                (preference.place, preference.chain, preference.matchall) == (place, chain, false)
            })
            .collect();
        let taken = |prio: &u16| {
            self.preferences.iter().any(|preference| {
                (preference.place, preference.chain, preference.prio) == (place, chain, *prio)
            })
        };
        let free: Vec<u16> = (2..=9).filter(|prio| !taken(prio)).collect();
        if !there.is_empty() && (there.len() >= 4 || free.is_empty() || self.chance(60)) {
            return self.one(&there);
        }
        let prio = match free.is_empty() {
            true => 100 + self.preferences.len() as u16,
            false => self.one(&free),
        };
        let preference = Preference {
            place,
            chain,
            prio,
            protocol: self.one(&PROTOCOLS),
            matchall: self.chance(6),
            shapes: Vec::new(),
            used: Vec::new(),
        };
        self.preferences.push(preference);
        self.preferences.len() - 1
    }

    fn filter(&mut self, place: Place, is_first: bool) -> Filter {
        let index = self.preference(place, is_first);
        self.handles += 1;
        let (keys, shape) = match self.preferences[index].matchall {
            true => (None, Vec::new()),
            false => {
                let (keys, shape) = self.keys(index);
                (Some(keys), shape)
            }
        };
        self.shapes.push(shape);
        let preference = &self.preferences[index];
        let mut filter = Filter {
            place,
            chain: preference.chain,
            prio: preference.prio,
            protocol: preference.protocol,
            handle: self.handles,
            keys,
            actions: Vec::new(),
        };
        filter.actions = self.actions(&filter);
        filter
    }

    /// Keys of a filter, and their shape.
    fn keys(&mut self, index: usize) -> (Vec<Key>, Vec<(Shape, usize)>) {
        for _ in 0..10 {
            let (keys, shape) = self.random_keys(index);
            if !self.preferences[index].used.contains(&keys) {
                self.preferences[index].used.push(keys.clone());
                return (keys, shape);
            }
        }
        self.random_keys(index)
    }

    fn random_keys(&mut self, index: usize) -> (Vec<Key>, Vec<(Shape, usize)>) {
        let known = self.preferences[index].shapes.len();
        let shape = if known != 0 && self.chance(65) {
            let n = self.rng.usize(..known);
            self.preferences[index].shapes[n].clone()
        } else {
            let shape = self.shape(self.preferences[index].protocol);
            self.preferences[index].shapes.push(shape.clone());
            shape
        };
        let keys = self.values(&shape);
        (keys, shape)
    }

    fn values(&mut self, shape: &[(Shape, usize)]) -> Vec<Key> {
        shape
            .iter()
            .map(|(shape, mask)| self.key(*shape, *mask))
            .collect()
    }

    fn shape(&mut self, protocol: u16) -> Vec<(Shape, usize)> {
        let mut shapes = Vec::new();
        if self.chance(25) {
            shapes.push(Shape::Eth(End::Dst));
        }
        if self.chance(15) {
            shapes.push(Shape::Eth(End::Src));
        }
        match protocol {
            ETH_8021Q | ETH_8021AD => self.vlan_shape(&mut shapes),
            ETH_ALL if self.chance(30) => shapes.push(Shape::Vlans),
            other => self.network_shape(other, &mut shapes),
        }
        // The kernel has no hash table for a mask of nothing.
        if protocol == ETH_ALL && shapes.is_empty() {
            shapes.push(Shape::Eth(End::Dst));
        }
        let mut masked = Vec::new();
        for shape in shapes {
            masked.push((shape, self.rng.usize(..3)));
        }
        masked
    }

    fn vlan_shape(&mut self, shapes: &mut Vec<Shape>) {
        if self.chance(10) {
            shapes.push(Shape::Vlans);
        }
        if self.chance(50) {
            shapes.push(Shape::VlanId);
        }
        if self.chance(25) {
            shapes.push(Shape::VlanPrio);
        }
        if self.chance(50) {
            return;
        }
        let inner = self.one(&[ETH_IP, ETH_IP, ETH_IPV6, ETH_ARP, ETH_8021Q, ETH_8021Q]);
        shapes.push(Shape::VlanType(inner));
        if inner != ETH_8021Q {
            return self.network_shape(inner, shapes);
        }
        if self.chance(60) {
            shapes.push(Shape::CvlanId);
        }
        if self.chance(25) {
            shapes.push(Shape::CvlanPrio);
        }
        if self.chance(40) {
            let inner = self.one(&[ETH_IP, ETH_IPV6]);
            shapes.push(Shape::CvlanType(inner));
            self.network_shape(inner, shapes);
        }
    }

    fn network_shape(&mut self, protocol: u16, shapes: &mut Vec<Shape>) {
        match protocol {
            ETH_IP | ETH_IPV6 => {
                let v6 = protocol == ETH_IPV6;
                for end in [End::Src, End::Dst] {
                    if self.chance(30) {
                        shapes.push(Shape::Ip(v6, end));
                    }
                }
                if self.chance(12) {
                    shapes.push(Shape::Tos);
                }
                if self.chance(12) {
                    shapes.push(Shape::Ttl);
                }
                if self.chance(10) {
                    shapes.push(Shape::Fragment);
                }
                if self.chance(50) {
                    self.transport_shape(v6, shapes);
                }
            }
            ETH_ARP => {
                if self.chance(40) {
                    shapes.push(Shape::ArpOp);
                }
                if self.chance(40) {
                    let end = self.end();
                    shapes.push(Shape::ArpIp(end));
                }
                if self.chance(20) {
                    let end = self.end();
                    shapes.push(Shape::ArpMac(end));
                }
            }
            ETH_MPLS => {
                for (percent, shape) in [
                    (50, Shape::MplsLabel),
                    (15, Shape::MplsTc),
                    (20, Shape::MplsBottom),
                    (20, Shape::MplsTtl),
                ] {
                    if self.chance(percent) {
                        shapes.push(shape);
                    }
                }
            }
            _ => {}
        }
    }

    fn transport_shape(&mut self, v6: bool, shapes: &mut Vec<Shape>) {
        let proto = match self.one(&IP_PROTOS) {
            ICMP if v6 => ICMPV6,
            proto => proto,
        };
        shapes.push(Shape::IpProto(proto));
        match proto {
            ICMP | ICMPV6 => {
                if self.chance(60) {
                    shapes.push(Shape::IcmpType(v6));
                }
                if self.chance(30) {
                    shapes.push(Shape::IcmpCode(v6));
                }
            }
            _ => {
                for end in [End::Src, End::Dst] {
                    match self.rng.u32(0..100) {
                        0..30 => shapes.push(Shape::Port(end, proto)),
                        30..45 => shapes.push(Shape::Ports(end)),
                        _ => {}
                    }
                }
                if proto == TCP && self.chance(25) {
                    shapes.push(Shape::TcpFlags);
                }
            }
        }
    }

    fn key(&mut self, shape: Shape, mask: usize) -> Key {
        fn masked<T: Copy + BitAnd<Output = T>>(
            value: T,
            masks: &[T; 3],
            mask: usize,
        ) -> Masked<T> {
            let mask = masks[mask];
            let value = value & mask;
            Masked { value, mask }
        }
        let masked_mac = |mut value: Mac| {
            let mask = MAC_MASKS[mask];
            for (byte, mask) in value.iter_mut().zip(mask) {
                *byte &= mask;
            }
            Masked { value, mask }
        };
        let rng = &mut self.rng;
        match shape {
            Shape::Eth(end) => {
                let value = match end {
                    End::Src => one(rng, &SOURCES),
                    End::Dst => one(rng, &DESTINATIONS),
                };
                Key::Eth(end, masked_mac(value))
            }
            Shape::Vlans => Key::Vlans(rng.u8(1..3)),
            Shape::VlanId => Key::VlanId(one(rng, &VLANS)),
            Shape::VlanPrio => Key::VlanPrio(one(rng, &VLAN_PRIOS)),
            Shape::VlanType(kind) => Key::VlanType(kind),
            Shape::CvlanId => Key::CvlanId(one(rng, &VLANS)),
            Shape::CvlanPrio => Key::CvlanPrio(one(rng, &VLAN_PRIOS)),
            Shape::CvlanType(kind) => Key::CvlanType(kind),
            Shape::IpProto(proto) => Key::IpProto(proto),
            Shape::Ip(false, end) => Key::Ipv4(end, masked(one(rng, &IPV4), &IPV4_MASKS, mask)),
            Shape::Ip(true, end) => Key::Ipv6(end, masked(one(rng, &IPV6), &IPV6_MASKS, mask)),
            Shape::Tos => Key::Tos(masked(one(rng, &TOS), &TOS_MASKS, mask)),
            Shape::Ttl => Key::Ttl(masked(one(rng, &TTL), &TTL_MASKS, mask)),
            Shape::Port(end, proto) => {
                let port = masked(one(rng, &TCP_UDP_PORTS), &PORT_MASKS, mask);
                Key::Port(end, proto, port)
            }
            Shape::Ports(end) => {
                let (from, to) = one(rng, &[(0, 80), (50, 90), (80, 81), (81, 1003), (400, 2000)]);
                Key::Ports(end, from, to)
            }
            Shape::TcpFlags => Key::TcpFlags(masked(one(rng, &TCP_FLAGS), &TCP_FLAGS_MASKS, mask)),
            Shape::IcmpType(v6) => {
                let pool = if v6 { &ICMPV6_TYPES } else { &ICMP_TYPES };
                Key::IcmpType(v6, masked(one(rng, pool), &BYTE_MASKS, mask))
            }
            Shape::IcmpCode(v6) => Key::IcmpCode(v6, masked(rng.u8(0..2), &BYTE_MASKS, mask)),
            Shape::Fragment => match mask {
                0 => Key::Fragment(Some(rng.bool()), None),
                1 => Key::Fragment(None, Some(rng.bool())),
                _ => Key::Fragment(Some(true), Some(rng.bool())),
            },
            Shape::ArpOp => Key::ArpOp(masked(one(rng, &ARP_OPS) as u8, &BYTE_MASKS, mask)),
            Shape::ArpIp(end) => Key::ArpIp(end, masked(one(rng, &IPV4), &IPV4_MASKS, mask)),
            Shape::ArpMac(end) => Key::ArpMac(end, masked_mac(one(rng, &SOURCES))),
            Shape::MplsLabel => Key::MplsLabel(one(rng, &LABELS)),
            Shape::MplsTc => Key::MplsTc(rng.u8(0..2)),
            Shape::MplsBottom => Key::MplsBottom(rng.bool()),
            Shape::MplsTtl => Key::MplsTtl(one(rng, &LABEL_TTLS)),
        }
    }

    // ------------------------------------------------------- actions

    /// Where a filter sends packets. From what a port sends only to ports behind it, and as
    /// received by ports behind it, so that no packet goes round.
    fn target(&mut self, place: Place) -> (u8, bool) {
        let behind = place.port + 1..PORTS;
        if place.egress {
            return match behind.is_empty() || self.chance(50) {
                true => (OTHER, false),
                false => (self.rng.u8(behind), false),
            };
        }
        let behind_filters: Vec<u8> = self
            .preferences
            .iter()
            .filter(|preference| preference.place.egress)
            .map(|preference| preference.place.port)
            .collect();
        match self.rng.u32(0..100) {
            60.. if !behind_filters.is_empty() => (self.one(&behind_filters), false),
            0..8 if !behind.is_empty() => (self.rng.u8(behind), true),
            0..25 => (OTHER, false),
            _ => (self.rng.u8(0..PORTS), false),
        }
    }

    fn actions(&mut self, filter: &Filter) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.chance(6) {
            // Alone, as the device tells what an action of a list has counted to one filter only.
            return vec![Action::Police(self.shared_police())];
        }
        let changes = weighted(&mut self.rng, &[(40, 0), (35, 1), (17, 2), (8, 3)]);
        for _ in 0..changes {
            self.change(filter, &mut actions);
        }
        if self.chance(8) {
            let n = self.rng.usize(..=actions.len());
            actions.insert(n, Action::Police(self.police()));
        }
        let place = filter.place;
        let last = self.rng.u32(0..100);
        match last {
            0..12 => actions.push(Action::Drop),
            12..22 => actions.push(Action::Ok),
            // Where there are chains, most of what the first ones have goes there.
            _ if filter.chain + 1 < self.chains && self.chance(50) => {
                let chain = self.rng.u32(filter.chain + 1..self.chains);
                actions.push(Action::Goto(chain));
            }
            // Also a chain without filters, and round in circles.
            42..44 => {
                let chain = self.rng.u32(0..5);
                actions.push(Action::Goto(chain));
            }
            44..56 if !actions.is_empty() => {}
            _ => {
                let (port, ingress) = self.target(place);
                actions.push(Action::Redirect { port, ingress });
            }
        }
        actions
    }

    fn change(&mut self, filter: &Filter, actions: &mut Vec<Action>) {
        let rng = &mut self.rng;
        let prio = |rng: &mut Rng| rng.bool().then(|| one(rng, &VLAN_PRIOS));
        let action = match rng.u32(0..100) {
            0..20 => {
                let (port, ingress) = self.target(filter.place);
                Action::Mirror { port, ingress }
            }
            20..34 => Action::VlanPush {
                tpid: one(rng, &[ETH_8021Q, ETH_8021Q, ETH_8021AD]),
                id: one(rng, &VLANS),
                prio: prio(rng),
            },
            34..44 => Action::VlanPop,
            44..54 => Action::VlanModify {
                tpid: rng
                    .bool()
                    .then(|| one(rng, &[ETH_8021Q, ETH_8021Q, ETH_8021AD])),
                id: one(rng, &VLANS),
                prio: prio(rng),
            },
            54..82 => {
                let n = rng.usize(1..=3);
                let mut munges = Vec::new();
                let is_push = |action: &&Action| {
                    matches!(action, Action::VlanPush { .. } | Action::MplsPush { .. })
                };
                let pushes = actions.iter().filter(is_push).count();
                for _ in 0..n {
                    self.munge(filter, pushes, &mut munges);
                }
                actions.push(Action::Pedit(munges));
                if !self.chance(85) {
                    return;
                }
                self.sums(filter)
            }
            82..86 => self.sums(filter),
            86..90 => Action::Priority(rng.u32(0..8)),
            90..94 => Action::MplsPush {
                label: one(rng, &LABELS[1..]),
                tc: rng.bool().then(|| rng.u8(0..8)),
                ttl: rng.bool().then(|| one(rng, &LABEL_TTLS[1..])),
                bottom: (rng.u32(0..4) == 0).then(|| rng.bool()),
            },
            94..97 => Action::MplsPop(one(rng, &[ETH_IP, ETH_IPV6, ETH_MPLS])),
            97..99 => Action::MplsModify {
                label: rng.bool().then(|| one(rng, &LABELS[1..])),
                tc: rng.bool().then(|| rng.u8(0..8)),
                ttl: rng.bool().then(|| one(rng, &LABEL_TTLS[1..])),
            },
            _ => Action::MplsDecTtl,
        };
        actions.push(action);
    }

    /// One that filters have that come after it, or that one has which came before.
    fn shared_police(&mut self) -> Police {
        if !self.shared.is_empty() && (self.chance(70) || self.shares + 1 >= SHARED) {
            let n = self.rng.usize(..self.shared.len());
            return self.shared[n];
        }
        self.shares += 1;
        let police = Police {
            shared: self.shares,
            ..self.police()
        };
        self.shared.push(police);
        police
    }

    /// A limit that some of the packets are beyond.
    fn police(&mut self) -> Police {
        let rng = &mut self.rng;
        /// Of 64 ns.
        const TICKS: u32 = 1_000_000_000 / 64;
        let fate =
            |rng: &mut Rng| weighted(rng, &[(40, Fate::Drop), (30, Fate::Pipe), (30, Fate::Ok)]);
        let rate = |rng: &mut Rng, rate: u32| Rate {
            rate,
            atm: rng.u32(0..4) == 0,
            overhead: one(rng, &[0, 0, 0, 4, 18]),
            mpu: one(rng, &[0, 0, 64, 90]),
        };
        let fast = |rng: &mut Rng| one(rng, &[1_000_000_000, 3_999_999_999, 2_000_000_007]);
        let limit = match rng.u32(0..100) {
            0..25 => Limit::Nothing,
            // A byte each second: of the half of one that is left none is made.
            25..60 => Limit::Bytes {
                rate: rate(rng, 1),
                peak: match rng.u32(0..4) {
                    0 => Some(rate(rng, 1)),
                    1 => {
                        let fast = fast(rng);
                        Some(rate(rng, fast))
                    }
                    _ => None,
                },
                burst: rng.u32(1..250) * TICKS + TICKS / 2,
            },
            // Whether a packet is larger than what can be saved.
            60..85 => {
                let fast = fast(rng);
                Limit::Bytes {
                    rate: rate(rng, fast),
                    peak: None,
                    burst: rng.u32(0..4),
                }
            }
            // Always within, and always beyond it.
            85..92 => Limit::Packets {
                rate: 1_000_000_000,
                burst: 1_000_000,
            },
            _ => Limit::Packets { rate: 1, burst: 1 },
        };
        let mtu = match limit {
            Limit::Nothing => rng.u32(30..120),
            _ => match rng.u32(0..3) {
                0 => rng.u32(30..120),
                _ => 0,
            },
        };
        Police {
            shared: 0,
            limit,
            mtu,
            exceed: fate(rng),
            conform: fate(rng),
        }
    }

    /// The checksums that a list of changes needs, or any.
    fn sums(&mut self, filter: &Filter) -> Action {
        const IPV4_HEADER: u32 = SUMS[0].0;
        let proto = filter.keys.iter().flatten().find_map(|key| match key {
            Key::IpProto(TCP) => Some(SUMS[3].0),
            Key::IpProto(UDP) => Some(SUMS[4].0),
            Key::IpProto(SCTP) => Some(SUMS[6].0),
            Key::IpProto(ICMP | ICMPV6) => Some(SUMS[1].0),
            _ => None,
        });
        let sums = match self.rng.u32(0..10) {
            0..6 => IPV4_HEADER | proto.unwrap_or(SUMS[3].0 | SUMS[4].0),
            6..8 => IPV4_HEADER,
            _ => SUMS
                .iter()
                .filter(|_| self.rng.bool())
                .fold(0, |all, (bit, _)| all | bit),
        };
        Action::Csum(if sums == 0 { IPV4_HEADER } else { sums })
    }

    /// A change of some bytes. Behind `pushes`, and where there may be tags and labels, the header
    /// of IP may be further back than where tc counts from. What lands on its length would have
    /// software read what is behind the frame, see `Packet::bytes`.
    fn munge(&mut self, filter: &Filter, pushes: usize, munges: &mut Vec<Munge>) {
        let is_deep = filter.protocol != ETH_IP || pushes != 0;
        let keys = || filter.keys.iter().flatten();
        let has = |wanted: &Key| keys().any(|key| key == wanted);
        let is_v6 = filter.protocol == ETH_IPV6
            || has(&Key::VlanType(ETH_IPV6))
            || has(&Key::CvlanType(ETH_IPV6));
        let rng = &mut self.rng;
        let ip = if is_v6 ^ (rng.u32(0..20) == 0) {
            Header::Ipv6
        } else {
            Header::Ipv4
        };
        let transport = if has(&Key::IpProto(TCP)) ^ (rng.u32(0..8) == 0) {
            Header::Tcp
        } else {
            Header::Udp
        };
        let header = weighted(
            rng,
            &[
                (25, Header::Eth),
                (if pushes < 2 { 45 } else { 0 }, ip),
                (27, transport),
                (3, Header::Network),
            ],
        );
        let mut put = |offset: i32, bits: [u8; 4], value: [u8; 4], add: bool, words: String| {
            munges.push(Munge {
                header,
                offset,
                bits,
                value,
                add,
                words,
            });
        };
        const ALL: [u8; 4] = [0xff; 4];
        match header {
            Header::Eth => {
                // Of six bytes, which are in two words.
                if rng.bool() {
                    let mac = one(rng, &DESTINATIONS);
                    let words = format!("eth dst set {}", MacText(mac));
                    let [a, b, c, d, e, f] = mac;
                    put(0, ALL, [a, b, c, d], false, words);
                    put(4, [0xff, 0xff, 0, 0], [e, f, 0, 0], false, String::new());
                } else {
                    let mac = one(rng, &SOURCES);
                    let words = format!("eth src set {}", MacText(mac));
                    let [a, b, c, d, e, f] = mac;
                    put(4, [0, 0, 0xff, 0xff], [0, 0, a, b], false, words);
                    put(8, ALL, [c, d, e, f], false, String::new());
                }
            }
            Header::Ipv4 => match rng.u32(0..5) {
                0 => {
                    let address = one(rng, &IPV4);
                    let words = format!("ip src set {}", std::net::Ipv4Addr::from(address));
                    put(12, ALL, address.to_be_bytes(), false, words);
                }
                1 => {
                    let address = one(rng, &IPV4);
                    let words = format!("ip dst set {}", std::net::Ipv4Addr::from(address));
                    put(16, ALL, address.to_be_bytes(), false, words);
                }
                2 => {
                    let tos = one(rng, &TOS);
                    let words = format!("ip tos set {tos:#x}");
                    put(0, [0, 0xff, 0, 0], [0, tos, 0, 0], false, words);
                }
                3 | 4 if is_deep => {
                    let ttl = one(rng, &TTL) & 0xf0;
                    let words = format!("ip ttl set {ttl} retain 0xf0");
                    put(8, [0xf0, 0, 0, 0], [ttl, 0, 0, 0], false, words);
                }
                3 => {
                    let ttl = one(rng, &TTL);
                    let words = format!("ip ttl set {ttl}");
                    put(8, [0xff, 0, 0, 0], [ttl, 0, 0, 0], false, words);
                }
                _ => {
                    let more = one(rng, &[0xff, 1, 0x80]);
                    let words = format!("ip ttl add {more:#x}");
                    put(8, [0xff, 0, 0, 0], [more, 0, 0, 0], true, words);
                }
            },
            Header::Ipv6 => match rng.u32(0..4) {
                way @ (0 | 1) => {
                    let address = one(rng, &IPV6);
                    let words = format!(
                        "ip6 {} set {}",
                        ["src", "dst"][way as usize],
                        std::net::Ipv6Addr::from(address)
                    );
                    let mut words = Some(words);
                    for (n, part) in (0..).zip(address.to_be_bytes().chunks_exact(4)) {
                        let offset = 8 + 16 * way as i32 + 4 * n;
                        let part = [part[0], part[1], part[2], part[3]];
                        put(offset, ALL, part, false, words.take().unwrap_or_default());
                    }
                }
                2 => {
                    let words = "ip6 traffic_class set 0x20".to_owned();
                    put(0, [0x0f, 0xf0, 0, 0], [0x02, 0, 0, 0], false, words);
                }
                _ => {
                    let more = rng.bool();
                    let value = [0, 0, 0, if more { 0xff } else { one(rng, &TTL) }];
                    let how = if more { "add" } else { "set" };
                    let words = format!("ip6 hoplimit {how} {}", value[3]);
                    put(4, [0, 0, 0, 0xff], value, more, words);
                }
            },
            Header::Tcp | Header::Udp => {
                let name = if header == Header::Tcp { "tcp" } else { "udp" };
                let [a, b] = one(rng, &TCP_UDP_PORTS).to_be_bytes();
                let port = u16::from_be_bytes([a, b]);
                match rng.u32(0..4) {
                    0 => {
                        let words = format!("{name} sport set {port}");
                        put(0, [0xff, 0xff, 0, 0], [a, b, 0, 0], false, words);
                    }
                    1 | 2 => {
                        let words = format!("{name} dport set {port}");
                        put(0, [0, 0, 0xff, 0xff], [0, 0, a, b], false, words);
                    }
                    _ => {
                        let words = format!("{name} dport add {port}");
                        put(0, [0, 0, 0xff, 0xff], [0, 0, a, b], true, words);
                    }
                }
            }
            Header::Network => {
                let offset = 4 * rng.i32(-5..20);
                let value = rng.u32(..).to_be_bytes();
                // Never the length of IP's header, see `Packet::bytes`.
                let bits = one(
                    rng,
                    &[
                        [0xf0, 0xff, 0xff, 0xff],
                        [0xf0, 0, 0, 0],
                        [0, 0, 0xff, 0xff],
                    ],
                );
                let words = format!("offset {offset} u32 set {:#x}", u32::from_be_bytes(value));
                put(offset, bits, value, false, words);
            }
        }
    }

    // ------------------------------------------------------- packets

    /// A packet, which is made to match a filter most of the time.
    fn packet(&mut self, filters: &[Filter], port: u8) -> Packet {
        let mut packet = self.random_packet();
        let place = Place {
            port,
            egress: false,
        };
        let here: Vec<&Filter> = filters
            .iter()
            .filter(|filter| filter.place == place)
            .collect();
        let first: Vec<&Filter> = here.iter().copied().filter(|f| f.chain == 0).collect();
        if !first.is_empty() && self.chance(92) {
            let mut path = vec![self.one(&first)];
            while let Some(Action::Goto(chain)) = path[path.len() - 1].actions.last() {
                let next: Vec<&Filter> =
                    here.iter().copied().filter(|f| f.chain == *chain).collect();
                if next.is_empty() || path.len() > 4 || self.chance(20) {
                    break;
                }
                path.push(self.one(&next));
            }
            // What the first one wants counts most.
            for filter in path.into_iter().rev() {
                self.match_filter(&mut packet, filter);
            }
        }
        self.spoil(&mut packet);
        packet
    }

    fn random_packet(&mut self) -> Packet {
        let rng = &mut self.rng;
        let network = weighted(
            rng,
            &[
                (55, Network::Ipv4),
                (27, Network::Ipv6),
                (10, Network::Arp),
                (3, Network::Other(0x0800)),
                (2, Network::Other(0x86dd)),
                (2, Network::Other(0x9999)),
                (1, Network::Other(0x0040)),
            ],
        );
        let v6 = network == Network::Ipv6;
        let tags = match rng.u32(0..10) {
            0..6 => 0,
            6..8 => 1,
            _ => 2,
        };
        let tags = (0..tags)
            .map(|n| {
                let outer = one(rng, &[ETH_8021Q, ETH_8021AD]);
                (if n == 0 { outer } else { ETH_8021Q }, tci(rng))
            })
            .collect();
        let labels = match rng.u32(0..12) {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let labels = (0..labels)
            .map(|n| {
                let bottom = if n + 1 == labels { BOTTOM } else { 0 };
                (one(rng, &LABELS) << 12)
                    | (rng.u32(0..2) << 9)
                    | bottom
                    | u32::from(one(rng, &LABEL_TTLS))
            })
            .collect();
        let ip_proto = match rng.u32(0..12) {
            0..5 => TCP,
            5..9 => UDP,
            9 => SCTP,
            10 if v6 => ICMPV6,
            10 => ICMP,
            _ => one(rng, &[2, 47, 50, 59, 136, ICMP, ICMPV6]),
        };
        let length = match rng.u32(0..8) {
            0 => 0,
            1 => rng.usize(0..200),
            _ => rng.usize(1..30),
        };
        let mut payload = vec![0; length];
        rng.fill(&mut payload);
        let icmp = if v6 { &ICMPV6_TYPES } else { &ICMP_TYPES };
        let fragment = match rng.u32(0..25) {
            0 => MORE_FRAGMENTS,
            1 => MORE_FRAGMENTS | 3,
            2 => 5,
            _ => 0,
        };
        let mut extensions = Vec::new();
        if v6 {
            for header in [HOP_BY_HOP, DESTINATION, ROUTING] {
                if rng.u32(0..16) == 0 {
                    extensions.push(header);
                }
            }
            if fragment != 0 || rng.u32(0..30) == 0 {
                extensions.push(FRAGMENT);
            }
        }
        Packet {
            dst: one(rng, &DESTINATIONS),
            src: one(rng, &SOURCES),
            tags,
            labels,
            network,
            src4: one(rng, &IPV4),
            dst4: one(rng, &IPV4),
            src6: one(rng, &IPV6),
            dst6: one(rng, &IPV6),
            tos: one(rng, &TOS),
            ttl: one(rng, &TTL),
            dont_fragment: rng.bool(),
            fragment: if network == Network::Arp { 0 } else { fragment },
            options: if rng.u32(0..15) == 0 {
                rng.u8(1..=10)
            } else {
                0
            },
            extensions,
            ip_proto,
            sport: one(rng, &TCP_UDP_PORTS),
            dport: one(rng, &TCP_UDP_PORTS),
            tcp_flags: one(rng, &TCP_FLAGS),
            icmp_type: one(rng, icmp),
            icmp_code: rng.u8(0..2),
            arp_op: one(rng, &ARP_OPS),
            arp_sha: one(rng, &SOURCES),
            arp_tha: one(rng, &SOURCES),
            payload,
            ip_sum: Sum::Right,
            sum: Sum::Right,
            excess: 0,
            padding: 0,
            cut: None,
            segment: None,
        }
    }

    /// Some packets have something wrong.
    fn spoil(&mut self, packet: &mut Packet) {
        let rng = &mut self.rng;
        match rng.u32(0..100) {
            0..3 => packet.ip_sum = Sum::Wrong,
            3..7 => packet.sum = Sum::Wrong,
            7..10 => packet.sum = Sum::Zero,
            10..12 => packet.excess = one(rng, &[-1, 1, 40, -9]),
            12..16 => packet.padding = rng.u8(1..20),
            16..20 => {
                let length = packet.bytes().len();
                packet.cut = Some(rng.usize(14..=length.max(14)) as u16);
            }
            20..35 if packet.is_plain() => {
                packet.sum = Sum::Later;
                if rng.u32(0..3) == 0 {
                    let length = one(rng, &[40, 100]);
                    packet.payload.resize(rng.usize(1..400), 0x5a);
                    packet.segment = Some(length);
                }
            }
            _ => {}
        }
    }

    fn match_filter(&mut self, packet: &mut Packet, filter: &Filter) {
        let keys = filter.keys.as_deref().unwrap_or(&[]);
        match filter.protocol {
            ETH_ALL => {}
            ETH_8021Q | ETH_8021AD => match packet.tags.first_mut() {
                Some((tpid, _)) => *tpid = filter.protocol,
                None => packet.tags.push((filter.protocol, tci(&mut self.rng))),
            },
            protocol => {
                packet.tags.clear();
                self.set_inner(packet, protocol);
            }
        }
        for key in keys {
            self.match_key(packet, key);
        }
    }

    /// Has a protocol come behind the tags.
    fn set_inner(&mut self, packet: &mut Packet, protocol: u16) {
        if protocol == ETH_MPLS {
            if packet.labels.is_empty() {
                packet.labels.push((100 << 12) | BOTTOM | 64);
            }
            return;
        }
        packet.labels.clear();
        let network = Network::of(protocol);
        if packet.network != network {
            packet.network = network;
            if network != Network::Ipv6 {
                packet.extensions.clear();
            }
        }
    }

    fn match_key(&mut self, packet: &mut Packet, key: &Key) {
        fn set<T>(field: &mut T, key: Masked<T>)
        where
            T: Copy + BitAnd<Output = T> + BitOr<Output = T> + Not<Output = T>,
        {
            *field = *field & !key.mask | key.value & key.mask;
        }
        fn set_mac(field: &mut Mac, key: &Masked<Mac>) {
            for ((field, value), mask) in field.iter_mut().zip(key.value).zip(key.mask) {
                *field = *field & !mask | value & mask;
            }
        }
        let set_label = |packet: &mut Packet, bits: u32, value: u32| {
            if let Some(label) = packet.labels.first_mut() {
                *label = *label & !bits | value & bits;
            }
        };
        let set_tci = |packet: &mut Packet, n: usize, bits: u16, value: u16| {
            if let Some((_, tci)) = packet.tags.get_mut(n) {
                *tci = *tci & !bits | value & bits;
            }
        };
        match *key {
            Key::Eth(End::Src, ref mac) => set_mac(&mut packet.src, mac),
            Key::Eth(End::Dst, ref mac) => set_mac(&mut packet.dst, mac),
            Key::Vlans(n) => {
                while packet.tags.len() < n.into() {
                    let tag = tci(&mut self.rng);
                    packet.tags.push((ETH_8021Q, tag));
                }
                packet.tags.truncate(n.into());
            }
            Key::VlanId(id) => set_tci(packet, 0, 0xfff, id),
            Key::VlanPrio(prio) => set_tci(packet, 0, 0xe000, u16::from(prio) << 13),
            Key::VlanType(kind @ (ETH_8021Q | ETH_8021AD)) => match packet.tags.get_mut(1) {
                Some((tpid, _)) => *tpid = kind,
                None => packet.tags.push((kind, tci(&mut self.rng))),
            },
            Key::VlanType(kind) => {
                packet.tags.truncate(1);
                self.set_inner(packet, kind);
            }
            Key::CvlanId(id) => set_tci(packet, 1, 0xfff, id),
            Key::CvlanPrio(prio) => set_tci(packet, 1, 0xe000, u16::from(prio) << 13),
            Key::CvlanType(kind) => self.set_inner(packet, kind),
            Key::IpProto(proto) => packet.ip_proto = proto,
            Key::Ipv4(End::Src, ip) | Key::ArpIp(End::Src, ip) => set(&mut packet.src4, ip),
            Key::Ipv4(End::Dst, ip) | Key::ArpIp(End::Dst, ip) => set(&mut packet.dst4, ip),
            Key::Ipv6(End::Src, ip) => set(&mut packet.src6, ip),
            Key::Ipv6(End::Dst, ip) => set(&mut packet.dst6, ip),
            Key::Tos(tos) => set(&mut packet.tos, tos),
            Key::Ttl(ttl) => set(&mut packet.ttl, ttl),
            Key::Port(End::Src, _, port) => set(&mut packet.sport, port),
            Key::Port(End::Dst, _, port) => set(&mut packet.dport, port),
            Key::Ports(End::Src, from, to) => packet.sport = self.rng.u16(from..=to),
            Key::Ports(End::Dst, from, to) => packet.dport = self.rng.u16(from..=to),
            Key::TcpFlags(flags) => set(&mut packet.tcp_flags, flags),
            Key::IcmpType(_, kind) => set(&mut packet.icmp_type, kind),
            Key::IcmpCode(_, code) => set(&mut packet.icmp_code, code),
            Key::Fragment(any, first) => {
                let (offset, more) = match (any, first) {
                    (Some(false), _) => (0, 0),
                    (_, Some(true)) => (0, MORE_FRAGMENTS),
                    (_, Some(false)) => (3, 0),
                    _ => (self.one(&[0, 3]), MORE_FRAGMENTS),
                };
                packet.fragment = (offset & FRAGMENT_OFFSET) | more;
                packet.extensions.retain(|header| *header != FRAGMENT);
                if packet.network == Network::Ipv6 && any != Some(false) {
                    packet.extensions.push(FRAGMENT);
                }
            }
            Key::ArpOp(op) => {
                let mut low = packet.arp_op as u8;
                set(&mut low, op);
                packet.arp_op = low.into();
            }
            Key::ArpMac(End::Src, ref mac) => set_mac(&mut packet.arp_sha, mac),
            Key::ArpMac(End::Dst, ref mac) => set_mac(&mut packet.arp_tha, mac),
            Key::MplsLabel(label) => set_label(packet, 0xffff_f000, label << 12),
            Key::MplsTc(tc) => set_label(packet, 0xe00, u32::from(tc) << 9),
            Key::MplsBottom(is) => set_label(packet, BOTTOM, if is { BOTTOM } else { 0 }),
            Key::MplsTtl(ttl) => set_label(packet, 0xff, ttl.into()),
        }
    }
}

/// What a tag says, but for its TPID.
fn tci(rng: &mut Rng) -> u16 {
    let dei = if rng.u32(0..8) == 0 { 0x1000 } else { 0 };
    (u16::from(one(rng, &VLAN_PRIOS)) << 13) | dei | one(rng, &VLANS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_set() {
        assert_eq!(set(1, 7, 20), set(1, 7, 20));
        assert_ne!(set(1, 7, 20).rounds, set(1, 8, 20).rounds);
        assert_ne!(set(1, 7, 20).rounds, set(2, 7, 20).rounds);
    }

    #[test]
    fn sets_are_as_large_as_wanted() {
        for number in 0..500 {
            let set = set(3, number, 20);
            let packets = set.rounds.iter().map(|round| round.packets.len());
            assert_eq!(packets.sum::<usize>(), 20);
            assert!((1..=12).contains(&set.rounds[0].changes.len()));
            for change in set.rounds.iter().flat_map(|round| &round.changes) {
                let filter = change.filter();
                assert!(!filter.actions.is_empty());
                assert!(filter
                    .words(Mode::SkipHw)
                    .starts_with("tc filter add dev p"));
                assert!(filter.add(0, Mode::SkipHw, 1).len() < 4096);
            }
            for packet in set.rounds.iter().flat_map(|round| &round.packets) {
                assert!((14..1000).contains(&packet.bytes().len()));
            }
        }
    }

    #[test]
    fn packets_match_what_they_are_made_for() {
        let mut generator = Generator {
            rng: Rng::with_seed(1),
            chains: 1,
            preferences: Vec::new(),
            handles: 0,
            shapes: Vec::new(),
            shared: Vec::new(),
            shares: 0,
        };
        let mut packet = crate::packet::tests::packet();
        generator.set_inner(&mut packet, ETH_MPLS);
        for key in [
            Key::MplsLabel(5),
            Key::MplsTc(1),
            Key::MplsTtl(9),
            Key::Ipv4(
                End::Dst,
                Masked {
                    value: 0xc000_0200,
                    mask: 0xffff_ff00,
                },
            ),
        ] {
            generator.match_key(&mut packet, &key);
        }
        assert_eq!(packet.labels, [(5 << 12) | (1 << 9) | BOTTOM | 9]);
        assert_eq!(packet.dst4, 0xc000_0202);
    }
}
