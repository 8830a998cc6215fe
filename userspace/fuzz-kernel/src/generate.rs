// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random requests that the kernel should mostly take.

use ekho_rtnl::{
    flag, ifinfomsg, info, kind, tcmsg, u32_at, Attributes, BLOCK, CLSACT, EGRESS, INGRESS,
    TCA_CHAIN, TCA_KIND, TCA_OPTIONS,
};
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

const TCA_INGRESS_BLOCK: u16 = 13;
const TCA_EGRESS_BLOCK: u16 = 14;

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
    (4, 5, 6, Layer::Any),
    (6, 7, 6, Layer::Any),
    (10, 11, 4, Layer::V4),
    (12, 13, 4, Layer::V4),
    (14, 15, 16, Layer::V6),
    (16, 17, 16, Layer::V6),
    (18, 35, 2, Layer::Tcp),
    (19, 36, 2, Layer::Tcp),
    (20, 37, 2, Layer::Udp),
    (21, 38, 2, Layer::Udp),
    (41, 39, 2, Layer::Sctp),
    (42, 40, 2, Layer::Sctp),
    (23, 0, 2, Layer::Vlan),
    (24, 0, 1, Layer::Vlan),
    (25, 0, 2, Layer::Vlan),
    (77, 0, 2, Layer::Vlan),
    (78, 0, 1, Layer::Vlan),
    (79, 0, 2, Layer::Vlan),
    (26, 0, 4, Layer::Any),
    (27, 28, 4, Layer::Any),
    (29, 30, 4, Layer::Any),
    (31, 32, 16, Layer::Any),
    (33, 34, 16, Layer::Any),
    (43, 44, 2, Layer::Any),
    (45, 46, 2, Layer::Any),
    (80, 81, 1, Layer::Any),
    (82, 83, 1, Layer::Any),
    (110, 111, 4, Layer::Any),
    (47, 48, 4, Layer::Ip),
    (73, 74, 1, Layer::Ip),
    (75, 76, 1, Layer::Ip),
    (49, 50, 1, Layer::Icmp4),
    (51, 52, 1, Layer::Icmp4),
    (53, 54, 1, Layer::Icmp6),
    (55, 56, 1, Layer::Icmp6),
    (57, 58, 4, Layer::Arp),
    (59, 60, 4, Layer::Arp),
    (61, 62, 1, Layer::Arp),
    (63, 64, 6, Layer::Arp),
    (65, 66, 6, Layer::Arp),
    (67, 0, 1, Layer::Mpls),
    (68, 0, 1, Layer::Mpls),
    (69, 0, 1, Layer::Mpls),
    (70, 0, 4, Layer::Mpls),
    (71, 72, 2, Layer::Tcp),
    (87, 0, 2, Layer::Tcp),
    (88, 0, 2, Layer::Tcp),
    (89, 0, 2, Layer::Udp),
    (90, 0, 2, Layer::Udp),
    (91, 92, 2, Layer::Ip),
    (93, 94, 2, Layer::Ip),
    (95, 96, 4, Layer::Ip),
    (97, 98, 16, Layer::Ip),
    (100, 101, 4, Layer::Any),
    (102, 0, 1, Layer::Any),
    (103, 0, 2, Layer::Pppoe),
    (104, 0, 2, Layer::Pppoe),
    (105, 0, 4, Layer::L2tp),
    (106, 0, 1, Layer::Any),
    (108, 109, 4, Layer::Esp),
    // Structures of their own: opaque here, which their parsers must survive.
    (84, 85, 12, Layer::Any),
    (99, 0, 16, Layer::Mpls),
    (107, 0, 8, Layer::Any),
    (1, 0, 4, Layer::Any),
    (2, 0, 4, Layer::Any),
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
    let options = attributes.iter().filter(|(kind, _)| *kind == TCA_OPTIONS);
    let mut tables = options.flat_map(|(_, options)| Attributes(options).iter());
    tables.any(|(_, table)| {
        let mut kinds = Vec::new();
        let mut is_twice = false;
        let mut has_index = false;
        for (_, action) in Attributes(table).iter() {
            for (kind, value) in Attributes(action).iter() {
                match kind {
                    1 if kinds.contains(&value) => is_twice = true,
                    1 => kinds.push(value),
                    // The index is the first member of the parameters of each kind.
                    2 => {
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
            "replace", "destroy", "stats", "bind", "qdisc", "attach", "detach", "hnode", "x",
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
        if message.kind != kind::RTM_NEWLINK && self.once_in(4) {
            for _ in 0..self.rng.u8(1..4) {
                message.mutate(&mut self.rng);
            }
        }
        let mut data = message.encode();
        if message.kind != kind::RTM_NEWLINK && self.once_in(25) {
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
            _ => (self.ifindex(), self.choose(&[0, 0x1_0000, CLSACT])),
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
            flag::CREATE | flag::EXCL,
            flag::CREATE,
            flag::CREATE | flag::ECHO,
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
            kind: kind::RTM_NEWTFILTER,
            flags,
            header: tcmsg(ifindex, handle, parent, info(prio, protocol)).to_vec(),
            attributes: vec![
                Node::text(TCA_KIND, name),
                Node::u32(TCA_CHAIN, self.chain_number()),
                Node::Nest(TCA_OPTIONS, options),
            ],
        }
    }

    /// `skip_hw`, `skip_sw`, both or none.
    fn place(&mut self) -> u32 {
        match self.rng.u8(..20) {
            0..=9 => 2,
            10..=16 => 0,
            17 => 1,
            18 => 3,
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
            nodes.push(Node::be16(8, protocol));
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
            nodes.push(Node::u8(9, number));
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
        nodes.push(Node::Nest(3, self.actions()));
        nodes.push(Node::u32(22, self.place()));
        nodes
    }

    fn matchall(&mut self) -> Vec<Node> {
        let mut nodes = vec![Node::Nest(2, self.actions()), Node::u32(3, self.place())];
        if self.once_in(8) {
            nodes.push(Node::u32(1, self.number(0x2_0000)));
        }
        nodes
    }

    fn u32(&mut self) -> Vec<Node> {
        let flags = Node::u32(11, self.place());
        if self.once_in(5) {
            // A hash table.
            return vec![Node::u32(4, self.choose(&[1, 2, 16, 256])), flags];
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
            Node::Value(5, selector),
            Node::Nest(7, self.actions()),
            flags,
        ];
        if self.once_in(4) {
            nodes.push(Node::u32(2, self.choose(&[0x8000_0000, 0x0010_0000])));
        }
        if self.once_in(8) {
            nodes.push(Node::u32(3, self.choose(&[0x8000_0000, 0x0010_0000])));
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
            0..=2 => self.choose(&[0, 2, 3, 8]),
            3..=5 => 3,
            6 => (2 << 28) | self.number(4),
            _ => self.choose(&[u32::MAX, 1, 4, 5, 6, 7, (1 << 28) | 2]),
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
            Node::text(1, name),
            Node::Nest(2, self.action_options(name)),
        ];
        if self.once_in(6) {
            nodes.push(Node::Value(6, bytes(&mut self.rng, 16)));
        }
        if self.once_in(4) {
            let bits = self.choose(&[1, 2, 4, 8, 16]);
            nodes.push(Node::words(7, &[bits, bits]));
        }
        if self.once_in(4) {
            nodes.push(Node::words(8, &[self.rng.u32(..4), 3]));
        }
        if self.once_in(8) {
            nodes.push(Node::u32(3, self.number(6)));
        }
        Node::Nest(number, nodes)
    }

    fn action_options(&mut self, name: &str) -> Vec<Node> {
        match name {
            "gact" => vec![self.parameters(2, &[])],
            "mirred" => {
                let target = self.ifindex();
                let how = self.rng.u32(..6);
                let mut nodes = vec![self.parameters(2, &[how, target])];
                if self.once_in(10) {
                    nodes.push(Node::u32(4, self.choose(&BLOCKS)));
                }
                nodes
            }
            "vlan" => {
                let how = self.rng.u32(..7);
                vec![
                    self.parameters(2, &[how]),
                    Node::u16(3, self.number(4100) as u16),
                    Node::be16(4, self.choose(&[0x8100, 0x88a8, 0x0800])),
                    Node::u8(6, self.rng.u8(..9)),
                    Node::Value(7, vec![2, 0, 0, 0, 0, 1]),
                    Node::Value(8, vec![2, 0, 0, 0, 0, 2]),
                ]
            }
            "tunnel_key" => {
                let how = self.rng.u32(..4);
                let mut nodes = vec![self.parameters(2, &[how]), Node::u32(7, self.rng.u32(..))];
                if self.rng.bool() {
                    nodes.push(Node::u32(3, self.rng.u32(..)));
                    nodes.push(Node::u32(4, self.rng.u32(..)));
                } else {
                    nodes.push(Node::Value(5, vec![0xfd; 16]));
                    nodes.push(Node::Value(6, vec![0xfd; 16]));
                }
                nodes.push(Node::be16(9, self.rng.u16(..)));
                if self.once_in(3) {
                    let length = self.choose(&[4, 8, 64, 124]);
                    let geneve = vec![
                        Node::be16(1, 0x102),
                        Node::u8(2, 0x80),
                        Node::Value(3, vec![7; length]),
                    ];
                    let options = match self.rng.u8(..3) {
                        0 => Node::Nest(2, vec![Node::u32(1, self.rng.u32(..))]),
                        _ => Node::Nest(1, geneve),
                    };
                    nodes.push(Node::Nest(11, vec![options]));
                }
                nodes
            }
            "csum" => {
                let what = self.number(128);
                vec![self.parameters(1, &[what])]
            }
            "police" => self.police(),
            "skbedit" => {
                let mut nodes = vec![self.parameters(2, &[])];
                let n = match self.once_in(6) {
                    true => 3,
                    false => 1,
                };
                for _ in 0..n {
                    let node = match self.rng.u8(..5) {
                        0 => Node::u32(3, self.rng.u32(..)),
                        1 => Node::u16(4, self.rng.u16(..6)),
                        2 => Node::u32(5, self.rng.u32(..)),
                        3 => Node::u16(7, self.rng.u16(..8)),
                        _ => Node::u64(9, self.rng.u64(..4)),
                    };
                    nodes.push(node);
                }
                nodes
            }
            "mpls" => {
                let how = self.rng.u32(1..6);
                vec![
                    self.parameters(2, &[how]),
                    Node::be16(4, self.choose(&[0x8847, 0x8848, 0x0800])),
                    Node::u32(5, self.number(1 << 20)),
                    Node::u8(6, self.rng.u8(..9)),
                    Node::u8(7, self.rng.u8(..)),
                    Node::u8(8, self.rng.u8(..3)),
                ]
            }
            "pedit" => self.pedit(),
            "ct" => vec![
                self.parameters(1, &[]),
                Node::u16(3, self.choose(&[0, 1, 3, 4, 5, 8])),
                Node::u16(4, self.rng.u16(..4)),
            ],
            "sample" => vec![
                self.parameters(2, &[]),
                Node::u32(3, self.number(1000)),
                Node::u32(5, self.number(8)),
                Node::u32(4, self.number(200)),
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
            Node::words(1, &words),
            Node::u64(10, u64::from(self.number(5000))),
            Node::u64(11, u64::from(self.number(500))),
        ];
        if self.rng.bool() {
            nodes.push(Node::u32(5, self.control()));
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
                6,
                vec![
                    Node::u16(1, self.rng.u16(..6)),
                    Node::u16(2, self.rng.u16(..2)),
                ],
            ));
        }
        vec![Node::Value(4, selector), Node::Nest(5, extended)]
    }

    fn gate(&mut self) -> Vec<Node> {
        let entries = (0..self.rng.u8(1..5))
            .map(|_| {
                let mut nodes = vec![Node::u32(3, self.number(1_000_000_000) | 0x10_0000)];
                if self.rng.bool() {
                    nodes.push(Node::Value(2, Vec::new()));
                }
                nodes.push(Node::u32(4, self.number(8)));
                nodes.push(Node::u32(5, self.number(1500)));
                Node::Nest(1, nodes)
            })
            .collect();
        vec![
            self.parameters(2, &[]),
            Node::u32(4, self.number(8)),
            Node::u64(6, self.rng.u64(..1_000_000)),
            Node::u32(10, self.choose(&[0, 1, 7, 11])),
            Node::Nest(5, entries),
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
            kind: kind::RTM_DELTFILTER,
            flags: 0,
            header: tcmsg(ifindex, handle, parent, prio).to_vec(),
            attributes: vec![
                Node::text(TCA_KIND, name),
                Node::u32(TCA_CHAIN, self.chain_number()),
            ],
        }
    }

    fn dump(&mut self) -> Message {
        let (ifindex, parent) = self.list();
        let (kind, handle, flags) = match self.rng.u8(..8) {
            0..=3 => (kind::RTM_GETTFILTER, 0, flag::DUMP),
            4 => (kind::RTM_GETTFILTER, self.number(24), 0),
            5 => (kind::RTM_GETQDISC, 0, flag::DUMP),
            6 => (kind::RTM_GETCHAIN, 0, flag::DUMP),
            _ => {
                let name = self.choose(&ACTIONS);
                return Message {
                    kind: kind::RTM_GETACTION,
                    flags: flag::DUMP,
                    header: vec![0; 4],
                    attributes: vec![Node::Nest(
                        1,
                        vec![Node::Nest(1, vec![Node::text(1, name)])],
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
            attributes: vec![Node::u32(TCA_CHAIN, self.chain_number())],
        }
    }

    fn chain(&mut self) -> Message {
        let (ifindex, parent) = self.list();
        let mut attributes = vec![Node::u32(TCA_CHAIN, self.number(4))];
        let is_new = self.rng.bool();
        let (protocol, layer) = self.protocol();
        if is_new && self.rng.bool() {
            attributes.push(Node::text(TCA_KIND, "flower"));
            let keys = self.keys(protocol, layer);
            attributes.push(Node::Nest(TCA_OPTIONS, keys));
        }
        let (kind, flags) = if is_new {
            (kind::RTM_NEWCHAIN, flag::CREATE | flag::EXCL)
        } else {
            (kind::RTM_DELCHAIN, 0)
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
            (0xffff_0000, CLSACT)
        } else {
            let handle = self.choose(&[0, 0x1_0000, 0x2_0000]);
            (handle, self.choose(&[u32::MAX, u32::MAX, 0x1_0001]))
        };
        let header = tcmsg(ifindex, handle, parent, 0).to_vec();
        // Without it most of what follows is refused.
        if self.once_in(if holds { 15 } else { 3 }) {
            return Message {
                kind: kind::RTM_DELQDISC,
                flags: 0,
                header,
                attributes: Vec::new(),
            };
        }
        let mut attributes = Vec::new();
        if holds {
            let name = if self.once_in(8) { "ingress" } else { "clsact" };
            attributes.push(Node::text(TCA_KIND, name));
            for attribute in [TCA_INGRESS_BLOCK, TCA_EGRESS_BLOCK] {
                if self.once_in(8) {
                    attributes.push(Node::u32(attribute, self.choose(&BLOCKS)));
                }
            }
        } else {
            let (name, options) = self.scheduler();
            attributes.push(Node::text(TCA_KIND, name));
            attributes.push(options);
        }
        let flags = self.choose(&[
            flag::CREATE | flag::EXCL,
            flag::CREATE | flag::REPLACE,
            flag::CREATE,
            0,
        ]);
        Message {
            kind: kind::RTM_NEWQDISC,
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
        let nest = |nodes| Node::Nest(TCA_OPTIONS, nodes);
        match self.rng.u8(..11) {
            0 => {
                let mut red: Vec<u8> = [100_000, 10_000, 30_000]
                    .iter()
                    .flat_map(|word: &u32| word.to_ne_bytes())
                    .collect();
                red.extend([9, 10, 10, self.rng.u8(..16)]);
                let stab = Node::Value(2, vec![0; 256]);
                ("red", nest(vec![Node::Value(1, red), stab]))
            }
            1 => {
                let rate = [0x0001_0003, 0, 1_000_000 + self.number(1000)];
                let mut words = rate.to_vec();
                words.extend([0, 0, 0, self.number(100_000), 2_000_000, 2000]);
                (
                    "tbf",
                    nest(vec![Node::words(1, &words), Node::u32(6, 100_000)]),
                )
            }
            2 => {
                let mut prio = 3u32.to_ne_bytes().to_vec();
                prio.extend((0..16).map(|_| self.rng.u8(..3)));
                ("prio", Node::Value(TCA_OPTIONS, prio))
            }
            3 => {
                let bands = self.rng.u8(1..9);
                let strict = self.rng.u8(..=bands);
                let quanta = (strict..bands).map(|_| Node::u32(4, 1514)).collect();
                let map = (0..16).map(|_| Node::u8(6, self.rng.u8(..bands))).collect();
                (
                    "ets",
                    nest(vec![
                        Node::u8(1, bands),
                        Node::u8(2, strict),
                        Node::Nest(3, quanta),
                        Node::Nest(5, map),
                    ]),
                )
            }
            4 => (
                self.choose(&["pfifo", "bfifo"]),
                Node::u32(TCA_OPTIONS, self.number(5000)),
            ),
            5 => ("mq", Node::Value(TCA_OPTIONS, Vec::new())),
            6 => {
                let hw = self.rng.u8(..3);
                ("mqprio", Node::Value(TCA_OPTIONS, self.queues(hw)))
            }
            7 => {
                let entries = (0..self.rng.u8(1..4))
                    .map(|_| {
                        Node::Nest(
                            1,
                            vec![
                                Node::u8(2, 0),
                                Node::u32(3, self.rng.u32(..16)),
                                Node::u32(4, 300_000 + self.number(1000)),
                            ],
                        )
                    })
                    .collect();
                // Always in hardware: otherwise Linux takes turns itself, and once the taprio that
                // is to come next has mapped the queues anew it may take them for ever
                // (taprio_dequeue_tc_priority() waits for a queue that isn't one of the class).
                let nodes = vec![
                    Node::Value(1, self.queues(0)),
                    Node::u64(3, 0),
                    Node::Nest(2, entries),
                    Node::u32(10, 2),
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
                ("cbs", nest(vec![Node::words(1, &words)]))
            }
            9 => {
                let words = [self.number(1000), 11, self.rng.u32(..8)];
                ("etf", nest(vec![Node::words(1, &words)]))
            }
            _ => {
                let glob = [3, 10, self.number(4), 0, 0];
                let mut nodes = vec![Node::words(2, &glob)];
                if self.rng.bool() {
                    nodes.push(Node::Value(9, Vec::new()));
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
                kind: kind::RTM_DELTCLASS,
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
            kind: kind::RTM_NEWTCLASS,
            flags: flag::CREATE,
            header,
            attributes: vec![
                Node::text(TCA_KIND, "htb"),
                Node::Nest(TCA_OPTIONS, vec![Node::words(1, &words)]),
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
                let one = vec![Node::text(1, name), Node::u32(3, index)];
                (kind::RTM_DELACTION, 0, vec![Node::Nest(1, one)])
            }
            1 => {
                let name = self.choose(&ACTIONS);
                let one = vec![Node::text(1, name), Node::u32(3, self.number(6))];
                (kind::RTM_GETACTION, 0, vec![Node::Nest(1, one)])
            }
            _ => {
                let flags = self.choose(&[flag::CREATE | flag::EXCL, flag::CREATE | flag::REPLACE]);
                let actions = (1..=n)
                    .map(|number| {
                        let mut action = self.action(number);
                        if let Node::Nest(_, nodes) = &mut action {
                            // skip_hw, skip_sw
                            let bits = self.choose(&[0, 2, 4]);
                            nodes.push(Node::words(7, &[bits, bits]));
                        }
                        action
                    })
                    .collect();
                (kind::RTM_NEWACTION, flags, actions)
            }
        };
        Message {
            kind,
            flags,
            header: vec![0; 4],
            attributes: vec![Node::Nest(1, actions)],
        }
    }

    /// A device goes up or down.
    fn link(&mut self) -> Message {
        let up = self.rng.u32(..2);
        Message {
            kind: kind::RTM_NEWLINK,
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
            kind::RTM_NEWLINK,
            kind::RTM_NEWQDISC,
            kind::RTM_DELQDISC,
            kind::RTM_NEWTCLASS,
            kind::RTM_NEWTFILTER,
            kind::RTM_DELTFILTER,
            kind::RTM_GETTFILTER,
            kind::RTM_NEWACTION,
            kind::RTM_DELACTION,
            kind::RTM_NEWCHAIN,
            kind::RTM_DELCHAIN,
        ] {
            assert!(kinds.contains(&kind), "{kind}");
        }
    }

    #[test]
    fn what_never_ends_is_known() {
        let gact = |number, index| {
            let parameters = Node::words(2, &[index, 0, 0, 0, 0]);
            Node::Nest(
                number,
                vec![Node::text(1, "gact"), Node::Nest(2, vec![parameters])],
            )
        };
        let filter = |actions| {
            let message = Message {
                kind: kind::RTM_NEWTFILTER,
                flags: 0,
                header: vec![0; 20],
                attributes: vec![Node::Nest(TCA_OPTIONS, vec![Node::Nest(3, actions)])],
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
