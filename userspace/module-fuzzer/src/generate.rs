// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random requests that the kernel should mostly take.

use ekho::kernel::netlink::{u32_at, Attributes};
use ekho_testkit::tc::{ifinfomsg, info, tcmsg, BLOCK, CLSACT_HANDLE, EGRESS, INGRESS};
use ekho_testkit::uapi;
use fastrand::Rng;

use crate::message::{bytes, damage, odd, Message, Node};

/// Devices that requests are about: two of EKHO's own, and one of another driver.
pub const DEVICES: [(&str, u32); 3] = [("ek0", 1000), ("ek1", 1001), ("dm0", 1002)];
/// Shared blocks.
const BLOCKS: [u32; 2] = [77, 78];
/// What firmware there is, and whether it is the tests'.
pub const FIRMWARE: [(&str, bool); 8] = [
    ("noop", false),
    ("stats", false),
    ("acl", false),
    ("events", false),
    ("connectx", false),
    ("record", true),
    ("qdisc", true),
    ("limits", true),
];

const SKIP_HW: u32 = uapi::TCA_CLS_FLAGS_SKIP_HW;
const SKIP_SW: u32 = uapi::TCA_CLS_FLAGS_SKIP_SW;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request is sent.
    Send(Vec<u8>),
    /// Firmware is attached to a device, or put in the place of what is there.
    Load(usize, (&'static str, bool)),
    /// It is detached.
    Unload(usize),
    /// A line for the module's control of faults.
    Fault(String),
}

/// Kinds of actions, which are flushed in the end.
pub const ACTIONS: [&str; 12] = [
    "gact",
    "mirred",
    "vlan",
    "tunnel_key",
    "csum",
    "police",
    "skbedit",
    "mpls",
    "pedit",
    "ct",
    "sample",
    "gate",
];

/// When a key of flower makes sense.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Any,
    V4,
    V6,
    Ip,
    Tcp,
    Udp,
    Sctp,
    Icmp4,
    Icmp6,
    Arp,
    Mpls,
    Vlan,
    Pppoe,
    L2tp,
    Esp,
}

/// Attribute of a key, that of its mask or 0, bytes, and when.
const KEYS: [(u16, u16, usize, Layer); 65] = [
    (
        uapi::TCA_FLOWER_KEY_ETH_DST,
        uapi::TCA_FLOWER_KEY_ETH_DST_MASK,
        6,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ETH_SRC,
        uapi::TCA_FLOWER_KEY_ETH_SRC_MASK,
        6,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_IPV4_SRC,
        uapi::TCA_FLOWER_KEY_IPV4_SRC_MASK,
        4,
        Layer::V4,
    ),
    (
        uapi::TCA_FLOWER_KEY_IPV4_DST,
        uapi::TCA_FLOWER_KEY_IPV4_DST_MASK,
        4,
        Layer::V4,
    ),
    (
        uapi::TCA_FLOWER_KEY_IPV6_SRC,
        uapi::TCA_FLOWER_KEY_IPV6_SRC_MASK,
        16,
        Layer::V6,
    ),
    (
        uapi::TCA_FLOWER_KEY_IPV6_DST,
        uapi::TCA_FLOWER_KEY_IPV6_DST_MASK,
        16,
        Layer::V6,
    ),
    (
        uapi::TCA_FLOWER_KEY_TCP_SRC,
        uapi::TCA_FLOWER_KEY_TCP_SRC_MASK,
        2,
        Layer::Tcp,
    ),
    (
        uapi::TCA_FLOWER_KEY_TCP_DST,
        uapi::TCA_FLOWER_KEY_TCP_DST_MASK,
        2,
        Layer::Tcp,
    ),
    (
        uapi::TCA_FLOWER_KEY_UDP_SRC,
        uapi::TCA_FLOWER_KEY_UDP_SRC_MASK,
        2,
        Layer::Udp,
    ),
    (
        uapi::TCA_FLOWER_KEY_UDP_DST,
        uapi::TCA_FLOWER_KEY_UDP_DST_MASK,
        2,
        Layer::Udp,
    ),
    (
        uapi::TCA_FLOWER_KEY_SCTP_SRC,
        uapi::TCA_FLOWER_KEY_SCTP_SRC_MASK,
        2,
        Layer::Sctp,
    ),
    (
        uapi::TCA_FLOWER_KEY_SCTP_DST,
        uapi::TCA_FLOWER_KEY_SCTP_DST_MASK,
        2,
        Layer::Sctp,
    ),
    (uapi::TCA_FLOWER_KEY_VLAN_ID, 0, 2, Layer::Vlan),
    (uapi::TCA_FLOWER_KEY_VLAN_PRIO, 0, 1, Layer::Vlan),
    (uapi::TCA_FLOWER_KEY_VLAN_ETH_TYPE, 0, 2, Layer::Vlan),
    (uapi::TCA_FLOWER_KEY_CVLAN_ID, 0, 2, Layer::Vlan),
    (uapi::TCA_FLOWER_KEY_CVLAN_PRIO, 0, 1, Layer::Vlan),
    (uapi::TCA_FLOWER_KEY_CVLAN_ETH_TYPE, 0, 2, Layer::Vlan),
    (uapi::TCA_FLOWER_KEY_ENC_KEY_ID, 0, 4, Layer::Any),
    (
        uapi::TCA_FLOWER_KEY_ENC_IPV4_SRC,
        uapi::TCA_FLOWER_KEY_ENC_IPV4_SRC_MASK,
        4,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_IPV4_DST,
        uapi::TCA_FLOWER_KEY_ENC_IPV4_DST_MASK,
        4,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_IPV6_SRC,
        uapi::TCA_FLOWER_KEY_ENC_IPV6_SRC_MASK,
        16,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_IPV6_DST,
        uapi::TCA_FLOWER_KEY_ENC_IPV6_DST_MASK,
        16,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_UDP_SRC_PORT,
        uapi::TCA_FLOWER_KEY_ENC_UDP_SRC_PORT_MASK,
        2,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_UDP_DST_PORT,
        uapi::TCA_FLOWER_KEY_ENC_UDP_DST_PORT_MASK,
        2,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_IP_TOS,
        uapi::TCA_FLOWER_KEY_ENC_IP_TOS_MASK,
        1,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_IP_TTL,
        uapi::TCA_FLOWER_KEY_ENC_IP_TTL_MASK,
        1,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_ENC_FLAGS,
        uapi::TCA_FLOWER_KEY_ENC_FLAGS_MASK,
        4,
        Layer::Any,
    ),
    (
        uapi::TCA_FLOWER_KEY_FLAGS,
        uapi::TCA_FLOWER_KEY_FLAGS_MASK,
        4,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_IP_TOS,
        uapi::TCA_FLOWER_KEY_IP_TOS_MASK,
        1,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_IP_TTL,
        uapi::TCA_FLOWER_KEY_IP_TTL_MASK,
        1,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_ICMPV4_CODE,
        uapi::TCA_FLOWER_KEY_ICMPV4_CODE_MASK,
        1,
        Layer::Icmp4,
    ),
    (
        uapi::TCA_FLOWER_KEY_ICMPV4_TYPE,
        uapi::TCA_FLOWER_KEY_ICMPV4_TYPE_MASK,
        1,
        Layer::Icmp4,
    ),
    (
        uapi::TCA_FLOWER_KEY_ICMPV6_CODE,
        uapi::TCA_FLOWER_KEY_ICMPV6_CODE_MASK,
        1,
        Layer::Icmp6,
    ),
    (
        uapi::TCA_FLOWER_KEY_ICMPV6_TYPE,
        uapi::TCA_FLOWER_KEY_ICMPV6_TYPE_MASK,
        1,
        Layer::Icmp6,
    ),
    (
        uapi::TCA_FLOWER_KEY_ARP_SIP,
        uapi::TCA_FLOWER_KEY_ARP_SIP_MASK,
        4,
        Layer::Arp,
    ),
    (
        uapi::TCA_FLOWER_KEY_ARP_TIP,
        uapi::TCA_FLOWER_KEY_ARP_TIP_MASK,
        4,
        Layer::Arp,
    ),
    (
        uapi::TCA_FLOWER_KEY_ARP_OP,
        uapi::TCA_FLOWER_KEY_ARP_OP_MASK,
        1,
        Layer::Arp,
    ),
    (
        uapi::TCA_FLOWER_KEY_ARP_SHA,
        uapi::TCA_FLOWER_KEY_ARP_SHA_MASK,
        6,
        Layer::Arp,
    ),
    (
        uapi::TCA_FLOWER_KEY_ARP_THA,
        uapi::TCA_FLOWER_KEY_ARP_THA_MASK,
        6,
        Layer::Arp,
    ),
    (uapi::TCA_FLOWER_KEY_MPLS_TTL, 0, 1, Layer::Mpls),
    (uapi::TCA_FLOWER_KEY_MPLS_BOS, 0, 1, Layer::Mpls),
    (uapi::TCA_FLOWER_KEY_MPLS_TC, 0, 1, Layer::Mpls),
    (uapi::TCA_FLOWER_KEY_MPLS_LABEL, 0, 4, Layer::Mpls),
    (
        uapi::TCA_FLOWER_KEY_TCP_FLAGS,
        uapi::TCA_FLOWER_KEY_TCP_FLAGS_MASK,
        2,
        Layer::Tcp,
    ),
    (uapi::TCA_FLOWER_KEY_PORT_SRC_MIN, 0, 2, Layer::Tcp),
    (uapi::TCA_FLOWER_KEY_PORT_SRC_MAX, 0, 2, Layer::Tcp),
    (uapi::TCA_FLOWER_KEY_PORT_DST_MIN, 0, 2, Layer::Udp),
    (uapi::TCA_FLOWER_KEY_PORT_DST_MAX, 0, 2, Layer::Udp),
    (
        uapi::TCA_FLOWER_KEY_CT_STATE,
        uapi::TCA_FLOWER_KEY_CT_STATE_MASK,
        2,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_CT_ZONE,
        uapi::TCA_FLOWER_KEY_CT_ZONE_MASK,
        2,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_CT_MARK,
        uapi::TCA_FLOWER_KEY_CT_MARK_MASK,
        4,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_CT_LABELS,
        uapi::TCA_FLOWER_KEY_CT_LABELS_MASK,
        16,
        Layer::Ip,
    ),
    (
        uapi::TCA_FLOWER_KEY_HASH,
        uapi::TCA_FLOWER_KEY_HASH_MASK,
        4,
        Layer::Any,
    ),
    (uapi::TCA_FLOWER_KEY_NUM_OF_VLANS, 0, 1, Layer::Any),
    (uapi::TCA_FLOWER_KEY_PPPOE_SID, 0, 2, Layer::Pppoe),
    (uapi::TCA_FLOWER_KEY_PPP_PROTO, 0, 2, Layer::Pppoe),
    (uapi::TCA_FLOWER_KEY_L2TPV3_SID, 0, 4, Layer::L2tp),
    (uapi::TCA_FLOWER_L2_MISS, 0, 1, Layer::Any),
    (
        uapi::TCA_FLOWER_KEY_SPI,
        uapi::TCA_FLOWER_KEY_SPI_MASK,
        4,
        Layer::Esp,
    ),
    // Structures of their own: opaque here, which their parsers must survive.
    (
        uapi::TCA_FLOWER_KEY_ENC_OPTS,
        uapi::TCA_FLOWER_KEY_ENC_OPTS_MASK,
        12,
        Layer::Any,
    ),
    (uapi::TCA_FLOWER_KEY_MPLS_OPTS, 0, 16, Layer::Mpls),
    (uapi::TCA_FLOWER_KEY_CFM, 0, 8, Layer::Any),
    (uapi::TCA_FLOWER_CLASSID, 0, 4, Layer::Any),
    (uapi::TCA_FLOWER_INDEV, 0, 4, Layer::Any),
];

const PROTOCOLS: [(u16, Layer); 8] = [
    (0x0800, Layer::V4),
    (0x86dd, Layer::V6),
    (0x8100, Layer::Vlan),
    (0x88a8, Layer::Vlan),
    (0x0806, Layer::Arp),
    (0x8847, Layer::Mpls),
    (0x8864, Layer::Pppoe),
    (0x0003, Layer::Any),
];

/// Whether Linux 7.2 would try a request for a filter again without end, deaf to signals, on any
/// device: two of its actions are of the same kind, and one has the index that the other was
/// given (`tcf_idr_check_alloc()` takes its own reservation for somebody else's).
fn never_ends(request: &[u8]) -> bool {
    let attributes = Attributes(request.get(36..).unwrap_or(&[]));
    let options = attributes
        .iter()
        .filter(|(kind, _)| *kind == uapi::TCA_OPTIONS);
    let mut tables = options.flat_map(|(_, options)| Attributes(options).iter());
    tables.any(|(_, table)| {
        let mut kinds = Vec::new();
        let mut is_twice = false;
        let mut has_index = false;
        for (_, action) in Attributes(table).iter() {
            for (kind, value) in Attributes(action).iter() {
                match kind {
                    uapi::TCA_ACT_KIND if kinds.contains(&value) => is_twice = true,
                    uapi::TCA_ACT_KIND => kinds.push(value),
                    // The index is the first member of the parameters of each kind.
                    uapi::TCA_ACT_OPTIONS => {
                        has_index |= Attributes(value).iter().any(|(kind, value)| {
                            matches!(kind, 1 | 2 | 4) && u32_at(value, 0).unwrap_or(0) != 0
                        });
                    }
                    _ => {}
                }
            }
        }
        is_twice && has_index
    })
}

/// Where steps come from.
pub struct Generator {
    rng: Rng,
}

impl Generator {
    /// The same seed and round give the same steps.
    pub fn new(seed: u64, round: u32) -> Self {
        let mixed = (seed ^ (u64::from(round) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            rng: Rng::with_seed(mixed ^ seed),
        }
    }

    /// The next step.
    pub fn next(&mut self) -> Step {
        match self.rng.u16(..400) {
            0 => {
                let dev = self.rng.usize(..DEVICES.len());
                let firmware = self.choose(&FIRMWARE);
                Step::Load(dev, firmware)
            }
            1 => Step::Unload(self.rng.usize(..DEVICES.len())),
            2 => Step::Fault(self.fault()),
            _ => Step::Send(self.request()),
        }
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    /// Once in so many times.
    fn once_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn ifindex(&mut self) -> u32 {
        DEVICES[self.rng.usize(..DEVICES.len())].1
    }

    /// A number that is mostly small.
    fn number(&mut self, max: u32) -> u32 {
        if self.once_in(40) {
            odd(&mut self.rng)
        } else {
            self.rng.u32(..max)
        }
    }

    fn fault(&mut self) -> String {
        let dev = DEVICES[self.rng.usize(..DEVICES.len())].0;
        let op = self.choose(&[
            "replace", "destroy", "stats", "bind", "qdisc", "attach", "detach", "hnode",
            "end_link", "x",
        ]);
        let errno = self.choose(&["ENOMEM", "EBUSY", "EOPNOTSUPP", "-22", "EAGAIN", "E"]);
        match self.rng.u8(..6) {
            0 => format!("dev={dev} op={op} nth={} errno={errno}", self.number(8)),
            1 => format!("dev={dev} nospc_after={}", self.number(40)),
            2 => format!("dev={dev} stats={}", self.choose(&["freeze", "drop", "x"])),
            3 => format!("dev={dev} op={op} delay_us={}", self.rng.u8(..50)),
            4 => String::from_utf8_lossy(&bytes(&mut self.rng, 60)).into_owned(),
            _ => format!("dev={dev} clear"),
        }
    }

    fn request(&mut self) -> Vec<u8> {
        loop {
            let data = self.any_request();
            if !never_ends(&data) {
                return data;
            }
        }
    }

    fn any_request(&mut self) -> Vec<u8> {
        let mut message = match self.rng.u8(..100) {
            0..=54 => self.filter(),
            55..=69 => self.delete_filter(),
            70..=75 => self.dump(),
            76..=80 => self.chain(),
            81..=87 => self.qdisc(),
            88..=89 => self.class(),
            90..=98 => self.shared_action(),
            _ => self.link(),
        };
        // One that is refused at once finds less than one that goes a long way. Devices are left
        // alone: random attributes move them elsewhere.
        if message.kind != uapi::RTM_NEWLINK && self.once_in(4) {
            for _ in 0..self.rng.u8(1..4) {
                message.mutate(&mut self.rng);
            }
        }
        let mut data = message.encode();
        if message.kind != uapi::RTM_NEWLINK && self.once_in(25) {
            damage(&mut data, &mut self.rng);
        }
        data
    }

    /// Device and parent of a list of filters.
    fn list(&mut self) -> (u32, u32) {
        match self.rng.u8(..20) {
            0..=12 => (self.ifindex(), INGRESS),
            13..=16 => (self.ifindex(), EGRESS),
            17..=18 => (BLOCK, self.choose(&BLOCKS)),
            _ => (
                self.ifindex(),
                self.choose(&[0, 0x1_0000, uapi::TC_H_CLSACT]),
            ),
        }
    }

    fn chain_number(&mut self) -> u32 {
        if self.once_in(3) {
            self.number(4)
        } else {
            0
        }
    }

    /// Preference and protocol.
    fn protocol(&mut self) -> (u16, Layer) {
        self.choose(&PROTOCOLS)
    }

    fn filter(&mut self) -> Message {
        let (ifindex, parent) = self.list();
        let (protocol, layer) = self.protocol();
        // Few, so that what is added is found again by what changes and deletes.
        let prio = self.rng.u16(..6) * 10 + protocol % 7;
        let handle = self.number(24);
        let flags = self.choose(&[
            uapi::NLM_F_CREATE | uapi::NLM_F_EXCL,
            uapi::NLM_F_CREATE,
            uapi::NLM_F_CREATE | uapi::NLM_F_ECHO,
        ]);
        // To change what is there.
        let flags = if self.once_in(16) { 0 } else { flags };
        let what = prio % 3;
        let (name, options) = match what {
            0 | 1 => ("flower", self.flower(protocol, layer)),
            _ if prio < 30 => ("matchall", self.matchall()),
            _ => ("u32", self.u32()),
        };
        Message {
            kind: uapi::RTM_NEWTFILTER,
            flags,
            header: tcmsg(ifindex, handle, parent, info(prio, protocol)).to_vec(),
            attributes: vec![
                Node::text(uapi::TCA_KIND, name),
                Node::u32(uapi::TCA_CHAIN, self.chain_number()),
                Node::Nest(uapi::TCA_OPTIONS, options),
            ],
        }
    }

    /// `skip_hw`, `skip_sw`, both or none.
    fn place(&mut self) -> u32 {
        match self.rng.u8(..20) {
            0..=9 => SKIP_SW,
            10..=16 => 0,
            17 => SKIP_HW,
            18 => SKIP_HW | SKIP_SW,
            _ => odd(&mut self.rng),
        }
    }

    fn mask(&mut self, size: usize) -> Vec<u8> {
        match self.rng.u8(..4) {
            0 => bytes(&mut self.rng, size),
            1 => vec![0; size],
            _ => vec![0xff; size],
        }
    }

    fn keys(&mut self, protocol: u16, layer: Layer) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut layers = vec![Layer::Any, layer];
        let is_ip = matches!(layer, Layer::V4 | Layer::V6);
        if layer != Layer::Any {
            nodes.push(Node::be16(uapi::TCA_FLOWER_KEY_ETH_TYPE, protocol));
        }
        if is_ip {
            layers.push(Layer::Ip);
            let (number, above) = self.choose(&[
                (6, Layer::Tcp),
                (17, Layer::Udp),
                (132, Layer::Sctp),
                (1, Layer::Icmp4),
                (58, Layer::Icmp6),
                (115, Layer::L2tp),
                (50, Layer::Esp),
            ]);
            nodes.push(Node::u8(uapi::TCA_FLOWER_KEY_IP_PROTO, number));
            layers.push(above);
        }
        for _ in 0..self.rng.u8(..5) {
            let (value, mask, size, when) = self.choose(&KEYS);
            if !layers.contains(&when) && !self.once_in(16) {
                continue;
            }
            let content = std::iter::repeat_with(|| self.rng.u8(..))
                .take(size)
                .collect();
            nodes.push(Node::Value(value, content));
            if mask != 0 {
                let mask = Node::Value(mask, self.mask(size));
                nodes.push(mask);
            }
        }
        nodes
    }

    fn flower(&mut self, protocol: u16, layer: Layer) -> Vec<Node> {
        let mut nodes = self.keys(protocol, layer);
        nodes.push(Node::Nest(uapi::TCA_FLOWER_ACT, self.actions()));
        nodes.push(Node::u32(uapi::TCA_FLOWER_FLAGS, self.place()));
        nodes
    }

    fn matchall(&mut self) -> Vec<Node> {
        let mut nodes = vec![
            Node::Nest(uapi::TCA_MATCHALL_ACT, self.actions()),
            Node::u32(uapi::TCA_MATCHALL_FLAGS, self.place()),
        ];
        if self.once_in(8) {
            nodes.push(Node::u32(uapi::TCA_MATCHALL_CLASSID, self.number(0x2_0000)));
        }
        nodes
    }

    fn u32(&mut self) -> Vec<Node> {
        let flags = Node::u32(uapi::TCA_U32_FLAGS, self.place());
        if self.once_in(5) {
            // A hash table.
            return vec![
                Node::u32(uapi::TCA_U32_DIVISOR, self.choose(&[1, 2, 16, 256])),
                flags,
            ];
        }
        // `struct tc_u32_sel` with its keys.
        let n = self.rng.u8(..4);
        let mut selector = vec![1, 0, n, 0];
        selector.extend([0; 12]);
        for _ in 0..n {
            for word in [odd(&mut self.rng), odd(&mut self.rng), 16, 0] {
                selector.extend(word.to_ne_bytes());
            }
        }
        let mut nodes = vec![
            Node::Value(uapi::TCA_U32_SEL, selector),
            Node::Nest(uapi::TCA_U32_ACT, self.actions()),
            flags,
        ];
        if self.once_in(4) {
            nodes.push(Node::u32(
                uapi::TCA_U32_HASH,
                self.choose(&[0x8000_0000, 0x0010_0000]),
            ));
        }
        if self.once_in(8) {
            nodes.push(Node::u32(
                uapi::TCA_U32_LINK,
                self.choose(&[0x8000_0000, 0x0010_0000]),
            ));
        }
        nodes
    }

    fn actions(&mut self) -> Vec<Node> {
        let n = match self.rng.u8(..20) {
            0 => 0,
            1..=13 => 1,
            14..=18 => self.rng.u16(2..5),
            _ => self.rng.u16(5..36),
        };
        (1..=n).map(|number| self.action(number)).collect()
    }

    fn control(&mut self) -> u32 {
        match self.rng.u8(..8) {
            0..=2 => self.choose(&[
                uapi::TC_ACT_OK,
                uapi::TC_ACT_SHOT,
                uapi::TC_ACT_PIPE,
                uapi::TC_ACT_TRAP,
            ]),
            3..=5 => uapi::TC_ACT_PIPE,
            6 => uapi::TC_GOTO_CHAIN | self.number(4),
            _ => self.choose(&[u32::MAX, 1, 4, 5, 6, 7, uapi::TC_JUMP | 2]),
        }
    }

    /// `tc_gen`, and what comes after it.
    fn parameters(&mut self, kind: u16, more: &[u32]) -> Node {
        // An index is shared by all that give it.
        let index = if self.once_in(5) { self.number(6) } else { 0 };
        let mut words = vec![index, 0, self.control(), 0, 0];
        words.extend(more);
        Node::words(kind, &words)
    }

    fn action(&mut self, number: u16) -> Node {
        let name = self.choose(&ACTIONS);
        let mut nodes = vec![
            Node::text(uapi::TCA_ACT_KIND, name),
            Node::Nest(uapi::TCA_ACT_OPTIONS, self.action_options(name)),
        ];
        if self.once_in(6) {
            nodes.push(Node::Value(uapi::TCA_ACT_COOKIE, bytes(&mut self.rng, 16)));
        }
        if self.once_in(4) {
            let bits = self.choose(&[1, 2, 4, 8, 16]);
            nodes.push(Node::words(uapi::TCA_ACT_FLAGS, &[bits, bits]));
        }
        if self.once_in(4) {
            nodes.push(Node::words(uapi::TCA_ACT_HW_STATS, &[self.rng.u32(..4), 3]));
        }
        if self.once_in(8) {
            nodes.push(Node::u32(uapi::TCA_ACT_INDEX, self.number(6)));
        }
        Node::Nest(number, nodes)
    }

    fn action_options(&mut self, name: &str) -> Vec<Node> {
        match name {
            "gact" => vec![self.parameters(uapi::TCA_GACT_PARMS, &[])],
            "mirred" => {
                let target = self.ifindex();
                let how = self.rng.u32(..6);
                let mut nodes = vec![self.parameters(uapi::TCA_MIRRED_PARMS, &[how, target])];
                if self.once_in(10) {
                    nodes.push(Node::u32(uapi::TCA_MIRRED_BLOCKID, self.choose(&BLOCKS)));
                }
                nodes
            }
            "vlan" => {
                let how = self.rng.u32(..7);
                vec![
                    self.parameters(uapi::TCA_VLAN_PARMS, &[how]),
                    Node::u16(uapi::TCA_VLAN_PUSH_VLAN_ID, self.number(4100) as u16),
                    Node::be16(
                        uapi::TCA_VLAN_PUSH_VLAN_PROTOCOL,
                        self.choose(&[0x8100, 0x88a8, 0x0800]),
                    ),
                    Node::u8(uapi::TCA_VLAN_PUSH_VLAN_PRIORITY, self.rng.u8(..9)),
                    Node::Value(uapi::TCA_VLAN_PUSH_ETH_DST, vec![2, 0, 0, 0, 0, 1]),
                    Node::Value(uapi::TCA_VLAN_PUSH_ETH_SRC, vec![2, 0, 0, 0, 0, 2]),
                ]
            }
            "tunnel_key" => {
                let how = self.rng.u32(..4);
                let mut nodes = vec![
                    self.parameters(uapi::TCA_TUNNEL_KEY_PARMS, &[how]),
                    Node::u32(uapi::TCA_TUNNEL_KEY_ENC_KEY_ID, self.rng.u32(..)),
                ];
                if self.rng.bool() {
                    nodes.push(Node::u32(
                        uapi::TCA_TUNNEL_KEY_ENC_IPV4_SRC,
                        self.rng.u32(..),
                    ));
                    nodes.push(Node::u32(
                        uapi::TCA_TUNNEL_KEY_ENC_IPV4_DST,
                        self.rng.u32(..),
                    ));
                } else {
                    nodes.push(Node::Value(
                        uapi::TCA_TUNNEL_KEY_ENC_IPV6_SRC,
                        vec![0xfd; 16],
                    ));
                    nodes.push(Node::Value(
                        uapi::TCA_TUNNEL_KEY_ENC_IPV6_DST,
                        vec![0xfd; 16],
                    ));
                }
                nodes.push(Node::be16(
                    uapi::TCA_TUNNEL_KEY_ENC_DST_PORT,
                    self.rng.u16(..),
                ));
                if self.once_in(3) {
                    let length = self.choose(&[4, 8, 64, 124]);
                    let geneve = vec![
                        Node::be16(uapi::TCA_TUNNEL_KEY_ENC_OPT_GENEVE_CLASS, 0x102),
                        Node::u8(uapi::TCA_TUNNEL_KEY_ENC_OPT_GENEVE_TYPE, 0x80),
                        Node::Value(uapi::TCA_TUNNEL_KEY_ENC_OPT_GENEVE_DATA, vec![7; length]),
                    ];
                    let options = match self.rng.u8(..3) {
                        0 => {
                            let gbp = self.rng.u32(..);
                            let vxlan =
                                vec![Node::u32(uapi::TCA_TUNNEL_KEY_ENC_OPT_VXLAN_GBP, gbp)];
                            Node::Nest(uapi::TCA_TUNNEL_KEY_ENC_OPTS_VXLAN, vxlan)
                        }
                        _ => Node::Nest(uapi::TCA_TUNNEL_KEY_ENC_OPTS_GENEVE, geneve),
                    };
                    nodes.push(Node::Nest(uapi::TCA_TUNNEL_KEY_ENC_OPTS, vec![options]));
                }
                nodes
            }
            "csum" => {
                let what = self.number(128);
                vec![self.parameters(uapi::TCA_CSUM_PARMS, &[what])]
            }
            "police" => self.police(),
            "skbedit" => {
                let mut nodes = vec![self.parameters(uapi::TCA_SKBEDIT_PARMS, &[])];
                let n = match self.once_in(6) {
                    true => 3,
                    false => 1,
                };
                for _ in 0..n {
                    let node = match self.rng.u8(..5) {
                        0 => Node::u32(uapi::TCA_SKBEDIT_PRIORITY, self.rng.u32(..)),
                        1 => Node::u16(uapi::TCA_SKBEDIT_QUEUE_MAPPING, self.rng.u16(..6)),
                        2 => Node::u32(uapi::TCA_SKBEDIT_MARK, self.rng.u32(..)),
                        3 => Node::u16(uapi::TCA_SKBEDIT_PTYPE, self.rng.u16(..8)),
                        _ => Node::u64(uapi::TCA_SKBEDIT_FLAGS, self.rng.u64(..4)),
                    };
                    nodes.push(node);
                }
                nodes
            }
            "mpls" => {
                let how = self.rng.u32(1..6);
                vec![
                    self.parameters(uapi::TCA_MPLS_PARMS, &[how]),
                    Node::be16(uapi::TCA_MPLS_PROTO, self.choose(&[0x8847, 0x8848, 0x0800])),
                    Node::u32(uapi::TCA_MPLS_LABEL, self.number(1 << 20)),
                    Node::u8(uapi::TCA_MPLS_TC, self.rng.u8(..9)),
                    Node::u8(uapi::TCA_MPLS_TTL, self.rng.u8(..)),
                    Node::u8(uapi::TCA_MPLS_BOS, self.rng.u8(..3)),
                ]
            }
            "pedit" => self.pedit(),
            "ct" => vec![
                self.parameters(uapi::TCA_CT_PARMS, &[]),
                Node::u16(uapi::TCA_CT_ACTION, self.choose(&[0, 1, 3, 4, 5, 8])),
                Node::u16(uapi::TCA_CT_ZONE, self.rng.u16(..4)),
            ],
            "sample" => vec![
                self.parameters(uapi::TCA_SAMPLE_PARMS, &[]),
                Node::u32(uapi::TCA_SAMPLE_RATE, self.number(1000)),
                Node::u32(uapi::TCA_SAMPLE_PSAMPLE_GROUP, self.number(8)),
                Node::u32(uapi::TCA_SAMPLE_TRUNC_SIZE, self.number(200)),
            ],
            _ => self.gate(),
        }
    }

    fn police(&mut self) -> Vec<Node> {
        // `struct tc_police`: index, action, limit, burst, mtu, two `tc_ratespec`, three counts.
        let index = if self.once_in(4) { self.number(6) } else { 0 };
        let mut words = vec![
            index,
            self.control(),
            0,
            self.number(20000),
            self.number(2000),
        ];
        words.extend([0; 6]);
        words.extend([0; 3]);
        let mut nodes = vec![
            Node::words(uapi::TCA_POLICE_TBF, &words),
            Node::u64(uapi::TCA_POLICE_PKTRATE64, u64::from(self.number(5000))),
            Node::u64(uapi::TCA_POLICE_PKTBURST64, u64::from(self.number(500))),
        ];
        if self.rng.bool() {
            nodes.push(Node::u32(uapi::TCA_POLICE_RESULT, self.control()));
        }
        nodes
    }

    fn pedit(&mut self) -> Vec<Node> {
        let n = self.rng.u8(1..4);
        // An index is shared by all that give it.
        let mut selector: Vec<u8> = [0, 0, self.control(), 0, 0]
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        selector.extend([n, 0, 0, 0]);
        let mut extended = Vec::new();
        for _ in 0..n {
            let offset = self.rng.u32(..10) * 4;
            let mask = odd(&mut self.rng);
            let value = odd(&mut self.rng) & !mask;
            for word in [mask, value, offset, 0, 0, 0] {
                selector.extend(word.to_ne_bytes());
            }
            extended.push(Node::Nest(
                uapi::TCA_PEDIT_KEY_EX,
                vec![
                    Node::u16(uapi::TCA_PEDIT_KEY_EX_HTYPE, self.rng.u16(..6)),
                    Node::u16(uapi::TCA_PEDIT_KEY_EX_CMD, self.rng.u16(..2)),
                ],
            ));
        }
        vec![
            Node::Value(uapi::TCA_PEDIT_PARMS_EX, selector),
            Node::Nest(uapi::TCA_PEDIT_KEYS_EX, extended),
        ]
    }

    fn gate(&mut self) -> Vec<Node> {
        let entries = (0..self.rng.u8(1..5))
            .map(|_| {
                let mut nodes = vec![Node::u32(
                    uapi::TCA_GATE_ENTRY_INTERVAL,
                    self.number(1_000_000_000) | 0x10_0000,
                )];
                if self.rng.bool() {
                    nodes.push(Node::Value(uapi::TCA_GATE_ENTRY_GATE, Vec::new()));
                }
                nodes.push(Node::u32(uapi::TCA_GATE_ENTRY_IPV, self.number(8)));
                nodes.push(Node::u32(
                    uapi::TCA_GATE_ENTRY_MAX_OCTETS,
                    self.number(1500),
                ));
                Node::Nest(uapi::TCA_GATE_ONE_ENTRY, nodes)
            })
            .collect();
        vec![
            self.parameters(uapi::TCA_GATE_PARMS, &[]),
            Node::u32(uapi::TCA_GATE_PRIORITY, self.number(8)),
            Node::u64(uapi::TCA_GATE_BASE_TIME, self.rng.u64(..1_000_000)),
            Node::u32(uapi::TCA_GATE_CLOCKID, self.choose(&[0, 1, 7, 11])),
            Node::Nest(uapi::TCA_GATE_ENTRY_LIST, entries),
        ]
    }

    fn delete_filter(&mut self) -> Message {
        let (ifindex, parent) = self.list();
        let (protocol, _) = self.protocol();
        let prio = self.rng.u16(..6) * 10 + protocol % 7;
        let name = match prio % 3 {
            0 | 1 => "flower",
            _ if prio < 30 => "matchall",
            _ => "u32",
        };
        let (handle, prio) = match self.rng.u8(..30) {
            // All of a preference, or of the chain.
            0 | 1 => (0, info(prio, protocol)),
            2 => (0, 0),
            _ => (self.number(24), info(prio, protocol)),
        };
        Message {
            kind: uapi::RTM_DELTFILTER,
            flags: 0,
            header: tcmsg(ifindex, handle, parent, prio).to_vec(),
            attributes: vec![
                Node::text(uapi::TCA_KIND, name),
                Node::u32(uapi::TCA_CHAIN, self.chain_number()),
            ],
        }
    }

    fn dump(&mut self) -> Message {
        let (ifindex, parent) = self.list();
        let (kind, handle, flags) = match self.rng.u8(..8) {
            0..=3 => (uapi::RTM_GETTFILTER, 0, uapi::NLM_F_DUMP),
            4 => (uapi::RTM_GETTFILTER, self.number(24), 0),
            5 => (uapi::RTM_GETQDISC, 0, uapi::NLM_F_DUMP),
            6 => (uapi::RTM_GETCHAIN, 0, uapi::NLM_F_DUMP),
            _ => {
                let name = self.choose(&ACTIONS);
                return Message {
                    kind: uapi::RTM_GETACTION,
                    flags: uapi::NLM_F_DUMP,
                    header: vec![0; 4],
                    attributes: vec![Node::Nest(
                        uapi::TCA_ROOT_TAB,
                        vec![Node::Nest(1, vec![Node::text(uapi::TCA_ACT_KIND, name)])],
                    )],
                };
            }
        };
        let (protocol, _) = self.protocol();
        let prio = self.rng.u16(..6) * 10 + protocol % 7;
        let info = if handle == 0 { 0 } else { info(prio, protocol) };
        Message {
            kind,
            flags,
            header: tcmsg(ifindex, handle, parent, info).to_vec(),
            attributes: vec![Node::u32(uapi::TCA_CHAIN, self.chain_number())],
        }
    }

    fn chain(&mut self) -> Message {
        let (ifindex, parent) = self.list();
        let mut attributes = vec![Node::u32(uapi::TCA_CHAIN, self.number(4))];
        let is_new = self.rng.bool();
        let (protocol, layer) = self.protocol();
        if is_new && self.rng.bool() {
            attributes.push(Node::text(uapi::TCA_KIND, "flower"));
            let keys = self.keys(protocol, layer);
            attributes.push(Node::Nest(uapi::TCA_OPTIONS, keys));
        }
        let (kind, flags) = if is_new {
            (uapi::RTM_NEWCHAIN, uapi::NLM_F_CREATE | uapi::NLM_F_EXCL)
        } else {
            (uapi::RTM_DELCHAIN, 0)
        };
        Message {
            kind,
            flags,
            header: tcmsg(ifindex, 0, parent, info(0, protocol)).to_vec(),
            attributes,
        }
    }

    /// A qdisc that holds filters, mostly, else one that can be offloaded.
    fn qdisc(&mut self) -> Message {
        let ifindex = self.ifindex();
        let holds = self.once_in(2);
        let (handle, parent) = if holds {
            (CLSACT_HANDLE, uapi::TC_H_CLSACT)
        } else {
            let handle = self.choose(&[0, 0x1_0000, 0x2_0000]);
            (handle, self.choose(&[u32::MAX, u32::MAX, 0x1_0001]))
        };
        let header = tcmsg(ifindex, handle, parent, 0).to_vec();
        // Without it most of what follows is refused.
        if self.once_in(if holds { 15 } else { 3 }) {
            return Message {
                kind: uapi::RTM_DELQDISC,
                flags: 0,
                header,
                attributes: Vec::new(),
            };
        }
        let mut attributes = Vec::new();
        if holds {
            let name = if self.once_in(8) { "ingress" } else { "clsact" };
            attributes.push(Node::text(uapi::TCA_KIND, name));
            for attribute in [uapi::TCA_INGRESS_BLOCK, uapi::TCA_EGRESS_BLOCK] {
                if self.once_in(8) {
                    attributes.push(Node::u32(attribute, self.choose(&BLOCKS)));
                }
            }
        } else {
            let (name, options) = self.scheduler();
            attributes.push(Node::text(uapi::TCA_KIND, name));
            attributes.push(options);
        }
        let flags = self.choose(&[
            uapi::NLM_F_CREATE | uapi::NLM_F_EXCL,
            uapi::NLM_F_CREATE | uapi::NLM_F_REPLACE,
            uapi::NLM_F_CREATE,
            0,
        ]);
        Message {
            kind: uapi::RTM_NEWQDISC,
            flags,
            header,
            attributes,
        }
    }

    /// `struct tc_mqprio_qopt`
    fn queues(&mut self, hw: u8) -> Vec<u8> {
        let n = self.rng.u8(1..5);
        let mut value = vec![n];
        value.extend((0..16).map(|_| self.rng.u8(..n)));
        value.push(hw);
        for queue in 0..16u16 {
            value.extend(u16::from(queue < u16::from(n)).to_ne_bytes());
        }
        for queue in 0..16u16 {
            let at = if queue < u16::from(n) { queue } else { 0 };
            value.extend(at.to_ne_bytes());
        }
        value
    }

    fn scheduler(&mut self) -> (&'static str, Node) {
        let nest = |nodes| Node::Nest(uapi::TCA_OPTIONS, nodes);
        match self.rng.u8(..11) {
            0 => {
                let mut red: Vec<u8> = [100_000, 10_000, 30_000]
                    .iter()
                    .flat_map(|word: &u32| word.to_ne_bytes())
                    .collect();
                red.extend([9, 10, 10, self.rng.u8(..16)]);
                let stab = Node::Value(uapi::TCA_RED_STAB, vec![0; 256]);
                (
                    "red",
                    nest(vec![Node::Value(uapi::TCA_RED_PARMS, red), stab]),
                )
            }
            1 => {
                let rate = [0x0001_0003, 0, 1_000_000 + self.number(1000)];
                let mut words = rate.to_vec();
                words.extend([0, 0, 0, self.number(100_000), 2_000_000, 2000]);
                (
                    "tbf",
                    nest(vec![
                        Node::words(uapi::TCA_TBF_PARMS, &words),
                        Node::u32(uapi::TCA_TBF_BURST, 100_000),
                    ]),
                )
            }
            2 => {
                let mut prio = 3u32.to_ne_bytes().to_vec();
                prio.extend((0..16).map(|_| self.rng.u8(..3)));
                ("prio", Node::Value(uapi::TCA_OPTIONS, prio))
            }
            3 => {
                let bands = self.rng.u8(1..9);
                let strict = self.rng.u8(..=bands);
                let quanta = (strict..bands)
                    .map(|_| Node::u32(uapi::TCA_ETS_QUANTA_BAND, 1514))
                    .collect();
                let map = (0..16)
                    .map(|_| Node::u8(uapi::TCA_ETS_PRIOMAP_BAND, self.rng.u8(..bands)))
                    .collect();
                (
                    "ets",
                    nest(vec![
                        Node::u8(uapi::TCA_ETS_NBANDS, bands),
                        Node::u8(uapi::TCA_ETS_NSTRICT, strict),
                        Node::Nest(uapi::TCA_ETS_QUANTA, quanta),
                        Node::Nest(uapi::TCA_ETS_PRIOMAP, map),
                    ]),
                )
            }
            4 => (
                self.choose(&["pfifo", "bfifo"]),
                Node::u32(uapi::TCA_OPTIONS, self.number(5000)),
            ),
            5 => ("mq", Node::Value(uapi::TCA_OPTIONS, Vec::new())),
            6 => {
                let hw = self.rng.u8(..3);
                ("mqprio", Node::Value(uapi::TCA_OPTIONS, self.queues(hw)))
            }
            7 => {
                let entries = (0..self.rng.u8(1..4))
                    .map(|_| {
                        Node::Nest(
                            uapi::TCA_TAPRIO_SCHED_ENTRY,
                            vec![
                                Node::u8(uapi::TCA_TAPRIO_SCHED_ENTRY_CMD, 0),
                                Node::u32(
                                    uapi::TCA_TAPRIO_SCHED_ENTRY_GATE_MASK,
                                    self.rng.u32(..16),
                                ),
                                Node::u32(
                                    uapi::TCA_TAPRIO_SCHED_ENTRY_INTERVAL,
                                    300_000 + self.number(1000),
                                ),
                            ],
                        )
                    })
                    .collect();
                // Always in hardware: otherwise Linux takes turns itself, and once the taprio that
                // is to come next has mapped the queues anew it may take them for ever
                // (taprio_dequeue_tc_priority() waits for a queue that isn't one of the class).
                let nodes = vec![
                    Node::Value(uapi::TCA_TAPRIO_ATTR_PRIOMAP, self.queues(0)),
                    Node::u64(uapi::TCA_TAPRIO_ATTR_SCHED_BASE_TIME, 0),
                    Node::Nest(uapi::TCA_TAPRIO_ATTR_SCHED_ENTRY_LIST, entries),
                    Node::u32(uapi::TCA_TAPRIO_ATTR_FLAGS, 2),
                ];
                ("taprio", nest(nodes))
            }
            8 => {
                let words = [
                    1,
                    1000,
                    0u32.wrapping_sub(1000),
                    20_000,
                    0u32.wrapping_sub(980_000),
                ];
                ("cbs", nest(vec![Node::words(uapi::TCA_CBS_PARMS, &words)]))
            }
            9 => {
                let words = [self.number(1000), 11, self.rng.u32(..8)];
                ("etf", nest(vec![Node::words(uapi::TCA_ETF_PARMS, &words)]))
            }
            _ => {
                let glob = [3, 10, self.number(4), 0, 0];
                let mut nodes = vec![Node::words(uapi::TCA_HTB_INIT, &glob)];
                if self.rng.bool() {
                    nodes.push(Node::Value(uapi::TCA_HTB_OFFLOAD, Vec::new()));
                }
                ("htb", nest(nodes))
            }
        }
    }

    /// A class of htb.
    fn class(&mut self) -> Message {
        let minor = self.rng.u32(1..5);
        let parent = self.choose(&[u32::MAX, 0x1_0001, 0x1_0000]);
        let header = tcmsg(self.ifindex(), 0x1_0000 | minor, parent, 0).to_vec();
        if self.once_in(3) {
            return Message {
                kind: uapi::RTM_DELTCLASS,
                flags: 0,
                header,
                attributes: Vec::new(),
            };
        }
        // `struct tc_htb_opt`: two `tc_ratespec`, buffer, cbuffer, quantum, level, prio.
        let rate = [0x0001_0003, 0, 1_000_000];
        let mut words = [rate, rate].concat();
        words.extend([100_000, 100_000, self.number(60_000), 0, self.number(8)]);
        Message {
            kind: uapi::RTM_NEWTCLASS,
            flags: uapi::NLM_F_CREATE,
            header,
            attributes: vec![
                Node::text(uapi::TCA_KIND, "htb"),
                Node::Nest(
                    uapi::TCA_OPTIONS,
                    vec![Node::words(uapi::TCA_HTB_PARMS, &words)],
                ),
            ],
        }
    }

    /// Actions that filters share.
    fn shared_action(&mut self) -> Message {
        let n = self.rng.u16(1..3);
        let (kind, flags, actions) = match self.rng.u8(..4) {
            0 => {
                let name = self.choose(&ACTIONS);
                let index = self.number(6);
                let one = vec![
                    Node::text(uapi::TCA_ACT_KIND, name),
                    Node::u32(uapi::TCA_ACT_INDEX, index),
                ];
                (uapi::RTM_DELACTION, 0, vec![Node::Nest(1, one)])
            }
            1 => {
                let name = self.choose(&ACTIONS);
                let one = vec![
                    Node::text(uapi::TCA_ACT_KIND, name),
                    Node::u32(uapi::TCA_ACT_INDEX, self.number(6)),
                ];
                (uapi::RTM_GETACTION, 0, vec![Node::Nest(1, one)])
            }
            _ => {
                let flags = self.choose(&[
                    uapi::NLM_F_CREATE | uapi::NLM_F_EXCL,
                    uapi::NLM_F_CREATE | uapi::NLM_F_REPLACE,
                ]);
                let actions = (1..=n)
                    .map(|number| {
                        let mut action = self.action(number);
                        if let Node::Nest(_, nodes) = &mut action {
                            let bits = self.choose(&[
                                0,
                                uapi::TCA_ACT_FLAGS_SKIP_HW,
                                uapi::TCA_ACT_FLAGS_SKIP_SW,
                            ]);
                            nodes.push(Node::words(uapi::TCA_ACT_FLAGS, &[bits, bits]));
                        }
                        action
                    })
                    .collect();
                (uapi::RTM_NEWACTION, flags, actions)
            }
        };
        Message {
            kind,
            flags,
            header: vec![0; 4],
            attributes: vec![Node::Nest(uapi::TCA_ROOT_TAB, actions)],
        }
    }

    /// A device goes up or down.
    fn link(&mut self) -> Message {
        let up = self.rng.u32(..2);
        Message {
            kind: uapi::RTM_NEWLINK,
            flags: 0,
            header: ifinfomsg(self.ifindex(), up, 1).to_vec(),
            attributes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn steps(seed: u64, round: u32) -> Vec<Step> {
        let mut generator = Generator::new(seed, round);
        (0..3000).map(|_| generator.next()).collect()
    }

    #[test]
    fn a_seed_and_a_round_are_the_same_steps() {
        assert_eq!(steps(7, 3), steps(7, 3));
        assert_ne!(steps(7, 3), steps(7, 4));
        assert_ne!(steps(7, 3), steps(8, 3));
    }

    #[test]
    fn everything_comes_up() {
        let mut kinds = HashSet::new();
        let mut others = HashSet::new();
        for step in steps(1, 0) {
            match step {
                Step::Send(data) => {
                    assert!(data.len() >= 16);
                    kinds.insert(u16::from_ne_bytes([data[4], data[5]]));
                }
                other => {
                    others.insert(std::mem::discriminant(&other));
                }
            }
        }
        assert_eq!(others.len(), 3, "load, unload and faults");
        for kind in [
            uapi::RTM_NEWLINK,
            uapi::RTM_NEWQDISC,
            uapi::RTM_DELQDISC,
            uapi::RTM_NEWTCLASS,
            uapi::RTM_NEWTFILTER,
            uapi::RTM_DELTFILTER,
            uapi::RTM_GETTFILTER,
            uapi::RTM_NEWACTION,
            uapi::RTM_DELACTION,
            uapi::RTM_NEWCHAIN,
            uapi::RTM_DELCHAIN,
        ] {
            assert!(kinds.contains(&kind), "{kind}");
        }
    }

    #[test]
    fn what_never_ends_is_known() {
        let gact = |number, index| {
            let parameters = Node::words(uapi::TCA_GACT_PARMS, &[index, 0, 0, 0, 0]);
            Node::Nest(
                number,
                vec![
                    Node::text(uapi::TCA_ACT_KIND, "gact"),
                    Node::Nest(uapi::TCA_ACT_OPTIONS, vec![parameters]),
                ],
            )
        };
        let filter = |actions| {
            let message = Message {
                kind: uapi::RTM_NEWTFILTER,
                flags: 0,
                header: vec![0; 20],
                attributes: vec![Node::Nest(
                    uapi::TCA_OPTIONS,
                    vec![Node::Nest(uapi::TCA_FLOWER_ACT, actions)],
                )],
            };
            never_ends(&message.encode())
        };
        assert!(filter(vec![gact(1, 5), gact(2, 5)]));
        assert!(
            filter(vec![gact(1, 0), gact(2, 1)]),
            "which may be the first's"
        );
        assert!(!filter(vec![gact(1, 0), gact(2, 0)]));
        assert!(!filter(vec![gact(1, 5)]));
    }

    #[test]
    fn keys_are_not_told_twice() {
        let values: HashSet<_> = KEYS.iter().map(|key| key.0).collect();
        assert_eq!(values.len(), KEYS.len());
    }
}
