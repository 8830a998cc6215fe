// SPDX-License-Identifier: GPL-2.0-only

//! Which requests for new flows reach the firmware.

#![deny(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Which requests for new flows go to the firmware.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Gate {
    /// None.
    Closed,
    /// Those for filters that may stay in software. The filters that are there are being offered;
    /// one that must be in hardware, and was accepted already, would fail that.
    Attaching,
    /// All.
    Open,
}

/// The [`Gate`] of a binding. Changed under RTNL, and for tc at a time when no request runs.
pub(super) struct GateState(Atomic<u32>);

impl GateState {
    /// Closed.
    pub(super) fn new() -> Self {
        Self(Atomic::new(Gate::Closed as u32))
    }

    /// Changes it.
    pub(super) fn set(&self, gate: Gate) {
        self.0.store(gate as u32, Relaxed);
    }

    /// What it is.
    pub(super) fn get(&self) -> Gate {
        match self.0.load(Relaxed) {
            gate if gate == Gate::Open as u32 => Gate::Open,
            gate if gate == Gate::Attaching as u32 => Gate::Attaching,
            _ => Gate::Closed,
        }
    }
}
