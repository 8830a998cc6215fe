// SPDX-License-Identifier: GPL-2.0-only

//! What firmware is told of a flow: who asks for it, and its position among others.

#![deny(unsafe_code)]

use crate::{
    bindings,
    contract::encoding::{
        tables::{
            classifier,
            CLASSIFIERS, //
        },
        Named, //
    },
};
use kernel::sync::atomic::Atomic;

/// Who asks for a flow: `enum ekho_classifier`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Classifier {
    /// A flower filter of tc.
    Flower,
    /// A matchall filter of tc.
    Matchall,
    /// A node of a u32 filter of tc.
    U32,
    /// A rule in a chain of nftables.
    Nft,
    /// One direction of a connection in a flowtable of nftables.
    Flowtable,
    /// An action that filters share.
    Action,
    /// One direction of a connection in a zone that flows of tc send packets to.
    Ct,
}

impl Classifier {
    const ALL: [Self; 7] = [
        Self::Flower,
        Self::Matchall,
        Self::U32,
        Self::Nft,
        Self::Flowtable,
        Self::Action,
        Self::Ct,
    ];

    const fn named(self) -> Named {
        match self {
            Self::Flower => classifier::FLOWER,
            Self::Matchall => classifier::MATCHALL,
            Self::U32 => classifier::U32,
            Self::Nft => classifier::NFT,
            Self::Flowtable => classifier::FLOWTABLE,
            Self::Action => classifier::ACTION,
            Self::Ct => classifier::CT,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.named().name
    }

    /// The names of the classifiers in a set of bits.
    pub(crate) fn names(set: u32) -> impl Iterator<Item = &'static str> {
        Self::of(set).map(Self::name)
    }

    /// The classifiers in a set of bits.
    pub(crate) fn of(set: u32) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |classifier| set & (1 << classifier.number()) != 0)
    }

    /// Its number in `enum ekho_classifier`.
    pub(crate) const fn number(self) -> u32 {
        self.named().number
    }

    /// Whether its flows are in a chain and have a preference.
    pub(crate) fn has_place(self) -> bool {
        !matches!(self, Self::Action | Self::Flowtable | Self::Ct)
    }

    /// Whether they come from a flowtable, of nftables or of a conntrack zone.
    pub(crate) fn is_connection(self) -> bool {
        matches!(self, Self::Flowtable | Self::Ct)
    }
}

const _: () = assert!(Classifier::ALL.len() == CLASSIFIERS.len());

impl kernel::fmt::Display for Classifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The position of a flow among others.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// Who asks for it.
    pub(crate) classifier: Classifier,
    /// Chain.
    pub(crate) chain_index: u32,
    /// Preference; the lowest is matched first.
    pub(crate) prio: u32,
    /// EtherType that it is bound to.
    pub(crate) protocol: u16,
    /// Whether it must be in hardware.
    pub(crate) skip_sw: bool,
    /// The number of the shared block that it is in, or 0.
    pub(crate) block_index: u32,
    /// Where packets are matched: bits of `enum ekho_hook`.
    pub(crate) hooks: u8,
    /// The conntrack zone of a connection of tc, else 0.
    pub(crate) ct_zone: u16,
    /// Of such a connection, what conntrack says of its packets: `enum ip_conntrack_info`. Of other
    /// flows, 1 if they send packets to conntrack.
    pub(crate) ct_state: u8,
}

impl Position {
    /// Whether it sends packets to conntrack zones, and so brings connections along.
    pub(crate) fn tracks(&self) -> bool {
        !self.classifier.is_connection() && self.ct_state != 0
    }
}

/// Bits of `enum ekho_hook`.
pub(crate) const HOOK_INGRESS: u8 = bindings::ekho_hook_EKHO_HOOK_INGRESS as u8;
/// See [`HOOK_INGRESS`].
pub(crate) const HOOK_EGRESS: u8 = bindings::ekho_hook_EKHO_HOOK_EGRESS as u8;

/// What an op is told of a flow.
#[derive(Clone, Copy)]
pub(crate) struct FlowArg<'a> {
    pub(crate) cookie: u64,
    pub(crate) position: &'a Position,
    /// The firmware's private memory.
    pub(crate) data: &'a [Atomic<u64>],
}
