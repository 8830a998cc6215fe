// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be done: operations as data, which can be written to a file and read again.
//!
//! Each can be tried in any state, so that a history stays meaningful when operations
//! are taken out of it.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// How many devices there can be: `ekho` ones first, the rest of a kind without an
/// offload of its own.
pub const SLOTS: u8 = 6;
/// How many of them are of kind `ekho`.
pub const OWN: u8 = 4;
/// How many network namespaces there can be. Number 0 is there all the time.
pub const NAMESPACES: u8 = 3;
/// The chain that actions go to, and in which there is never a filter: a chain that
/// only actions hold keeps its place in the kernel's list, unseen.
pub const GOTO_CHAIN: u32 = 9;

/// The index of the device in a slot, in whichever namespace it is.
pub fn ifindex(slot: u8) -> u32 {
    100 + u32::from(slot)
}

/// The other way round.
pub fn slot_of(ifindex: u32) -> Option<u8> {
    (ifindex >= 100 && ifindex < ifindex_end()).then(|| (ifindex - 100) as u8)
}

fn ifindex_end() -> u32 {
    ifindex(SLOTS)
}

/// The names that devices have.
pub fn name(number: u8) -> String {
    format!("md{number}")
}

/// A list of filters, as the user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum At {
    /// That of a device.
    Dev { slot: u8, egress: bool },
    /// One that devices share.
    Block { ns: u8, index: u32 },
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dev { slot, egress } => {
                let hook = if *egress { "egress" } else { "ingress" };
                write!(f, "slot {slot} {hook}")
            }
            Self::Block { ns, index } => write!(f, "ns {ns} block {index}"),
        }
    }
}

/// A classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Flower,
    Matchall,
    U32,
}

impl Kind {
    /// As tc has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flower => "flower",
            Self::Matchall => "matchall",
            Self::U32 => "u32",
        }
    }
}

/// The EtherType that filters of a preference are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    All,
    Ip,
    Ipv6,
}

impl Protocol {
    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Self::All => 0x0003,
            Self::Ip => 0x0800,
            Self::Ipv6 => 0x86dd,
        }
    }
}

/// Where a filter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Any,
    SkipSw,
    SkipHw,
}

/// What flower matches; each that is there, in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Last byte of the destination's MAC address.
    pub mac: Option<u8>,
    /// Last byte of the destination's address.
    pub dst: Option<u8>,
    /// Last byte of the source's address.
    pub src: Option<u8>,
    /// IP protocol: TCP, else UDP.
    pub tcp: Option<bool>,
    /// Destination port, if there is an IP protocol.
    pub port: Option<u8>,
}

/// What filters do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Pass,
    Drop,
    Trap,
    Goto,
    Mark,
    VlanPush,
    Redirect(u8),
    Mirror(u8),
}

impl Action {
    /// The device that it needs.
    pub fn target(self) -> Option<u8> {
        match self {
            Self::Redirect(slot) | Self::Mirror(slot) => Some(slot),
            _ => None,
        }
    }
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub kind: Kind,
    pub chain: u32,
    pub prio: u16,
    pub protocol: Protocol,
    /// Of no meaning for u32, which has one filter for each preference here.
    pub handle: u32,
    pub place: Place,
    pub keys: Keys,
    pub actions: Vec<Action>,
}

/// What may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Nothing: `tc filter add`.
    Add,
    /// Something: `tc filter replace`.
    Replace,
    /// Something must: `tc filter change`.
    Change,
}

/// Firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fw {
    /// `bpf/noop.bpf.c`
    Noop,
    /// `bpf/stats.bpf.c`
    Stats,
    /// `bpf/acl.bpf.c`
    Acl,
    /// `wide` of `selftests/bpf/model.bpf.c`
    Wide,
    /// `tight` of the same
    Tight,
}

impl Fw {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Noop, Self::Stats, Self::Acl, Self::Wide, Self::Tight];

    /// Its name, which it shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Stats => "stats",
            Self::Acl => "acl",
            Self::Wide => "wide",
            Self::Tight => "tight",
        }
    }

    /// Whether it keeps its flows in a map, by cookie.
    pub fn has_map(self) -> bool {
        matches!(self, Self::Stats | Self::Acl)
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    AddDevice {
        slot: u8,
        ns: u8,
        name: u8,
        queues: u8,
    },
    DelDevice {
        slot: u8,
    },
    SetUp {
        slot: u8,
        up: bool,
    },
    Rename {
        slot: u8,
        name: u8,
    },
    Move {
        slot: u8,
        ns: u8,
    },
    AddNetns {
        ns: u8,
    },
    DelNetns {
        ns: u8,
    },
    AddClsact {
        slot: u8,
        ingress: Option<u32>,
        egress: Option<u32>,
    },
    DelClsact {
        slot: u8,
    },
    SetFilter {
        at: At,
        mode: Mode,
        spec: Spec,
    },
    /// With handle 0 all of the preference.
    DelFilter {
        at: At,
        kind: Kind,
        chain: u32,
        prio: u16,
        protocol: Protocol,
        handle: u32,
    },
    Flush {
        at: At,
        chain: u32,
    },
    AddChain {
        at: At,
        chain: u32,
        template: Option<(Protocol, Keys)>,
    },
    DelChain {
        at: At,
        chain: u32,
    },
    /// Statistics of all filters.
    Dump {
        at: At,
    },
    /// A chain of nftables with a rule, or a flowtable, both with `flags offload`.
    AddNft {
        slot: u8,
        flowtable: bool,
    },
    DelNft {
        slot: u8,
        flowtable: bool,
    },
    /// Attaches firmware.
    Load {
        slot: u8,
        fw: Fw,
    },
    /// Replaces it.
    Swap {
        slot: u8,
        fw: Fw,
    },
    /// Detaches its link.
    Unload {
        slot: u8,
    },
    /// Closes its link, as the death of an agent does.
    Close {
        slot: u8,
    },
    /// `ethtool -K … hw-tc-offload`
    Offload {
        slot: u8,
        on: bool,
    },
    Rmmod,
    Insmod,
}

/// What comes of it: an errno by name, or nothing but success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed(Errno),
    /// It makes no sense in this state, and wasn't tried.
    Skipped,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("success"),
            Self::Failed(errno) => write!(f, "{errno:?}"),
            Self::Skipped => f.write_str("not tried"),
        }
    }
}

impl From<Result<(), Errno>> for Outcome {
    fn from(result: Result<(), Errno>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }
}
