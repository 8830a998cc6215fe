// SPDX-License-Identifier: GPL-2.0-only

//! Cables, each of which joins two network interfaces.
//!
//! A stub with the interface that netlink uses: there is no cable, and none can be made.

#![expect(dead_code, reason = "a stub")]

use crate::abstractions::{
    error::eopnotsupp,
    net::net_device::{
        NetDevice,
        Rtnl, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// What a cable does to frames, in each direction by itself.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Impairment {
    /// Microseconds by which a frame is delayed.
    pub(crate) delay_us: u32,
    /// Microseconds by which the delay varies.
    pub(crate) jitter_us: u32,
    /// Parts per million of the frames that are lost.
    pub(crate) loss_ppm: u32,
    /// Parts per million of the frames that overtake others.
    pub(crate) reorder_ppm: u32,
    /// Bits per second; 0 for no limit.
    pub(crate) rate_bps: u64,
    /// Frames under way; 0 for the default of 1000.
    pub(crate) limit: u32,
}

/// An end of a cable.
pub(crate) enum Side {
    /// The first.
    A,
    /// The other one.
    B,
}

/// Why a cable isn't made.
pub(crate) enum Refusal {
    /// Both ends are the same interface.
    Same,
    /// Neither is a port of EKHO.
    NoPort,
    /// It isn't an Ethernet interface.
    NotEthernet(Side),
    /// It has a cable.
    Taken(Side),
    /// It is enslaved, to a bridge or a bond.
    InUse(Side),
    /// Anything else.
    Failed(Error),
}

/// A cable.
pub(crate) struct Cable {
    a: ARef<NetDevice>,
    b: ARef<NetDevice>,
}

impl Cable {
    /// Its number, from 1.
    pub(crate) fn number(&self) -> u64 {
        1
    }

    /// The first end.
    pub(crate) fn a(&self) -> &NetDevice {
        &self.a
    }

    /// The other end.
    pub(crate) fn b(&self) -> &NetDevice {
        &self.b
    }

    /// What it does to frames.
    pub(crate) fn impairment(&self) -> Impairment {
        Impairment::default()
    }

    /// Whether frames can pass.
    pub(crate) fn has_carrier(&self) -> bool {
        false
    }

    /// How many frames an end has sent.
    pub(crate) fn frames(&self, _side: Side) -> u64 {
        0
    }

    /// How many of these the cable has lost.
    pub(crate) fn lost(&self, _side: Side) -> u64 {
        0
    }
}

/// Joins two interfaces.
pub(crate) fn connect(
    _a: &NetDevice,
    _b: &NetDevice,
    _impairment: Impairment,
    _rtnl: &Rtnl,
) -> Result<(), Refusal> {
    Err(Refusal::Failed(eopnotsupp()))
}

/// Ends the cable of an interface; fails with [`ENOENT`] if it has none.
pub(crate) fn disconnect(_dev: &NetDevice, _rtnl: &Rtnl) -> Result {
    Err(ENOENT)
}

/// The cable of an interface.
pub(crate) fn of(_dev: &NetDevice, _rtnl: &Rtnl) -> Option<Arc<Cable>> {
    None
}

/// The cable with the next number after this one.
pub(crate) fn next(_after: u64, _rtnl: &Rtnl) -> Option<Arc<Cable>> {
    None
}

/// How often a cable has come or gone.
pub(crate) fn changes() -> u64 {
    0
}
