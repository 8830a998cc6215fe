// SPDX-License-Identifier: GPL-2.0-only

//! What flows have counted.

#![deny(unsafe_code)]

use crate::abstractions::tc::flow_offload::StatsDelta;

/// What a flow has counted since it was accepted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Packets that were dropped.
    pub(crate) drops: u64,
    /// Time of the last packet in `CLOCK_MONOTONIC` nanoseconds; 0 if not known.
    pub(crate) last_used_ns: u64,
}

/// The counters that firmware reports for a flow.
#[derive(Clone, Copy)]
pub(crate) enum StatsReport {
    /// In all.
    Totals {
        totals: Totals,
        /// The id of the map that they are of, and where they count from; 0 for since the flow was
        /// accepted.
        map: u32,
    },
    /// Since the last report.
    Deltas(StatsDelta),
}
