// SPDX-License-Identifier: GPL-2.0-only

//! Controls which requests for new flows reach the firmware.

#![deny(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Which requests for new flows reach the firmware.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Gate {
    /// None.
    Closed,
    /// Those for filters that aren't `skip_sw`. Existing filters are being offered to new firmware;
    /// a new filter with `skip_sw` would be offered twice, and fail the second time.
    Attaching,
    /// All.
    Open,
}

/// The [`Gate`] of a binding. It is changed under RTNL; for a block of tc while no request runs.
pub(super) struct GateState(Atomic<u32>);

impl GateState {
    /// A closed gate.
    pub(super) fn new() -> Self {
        Self(Atomic::new(Gate::Closed as u32))
    }

    /// Changes its state.
    pub(super) fn set(&self, gate: Gate) {
        self.0.store(gate as u32, Relaxed);
    }

    /// Its state.
    pub(super) fn get(&self) -> Gate {
        match self.0.load(Relaxed) {
            gate if gate == Gate::Open as u32 => Gate::Open,
            gate if gate == Gate::Attaching as u32 => Gate::Attaching,
            _ => Gate::Closed,
        }
    }
}
