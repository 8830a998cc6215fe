// SPDX-License-Identifier: MIT OR Apache-2.0

//! The clock that the kernel and firmware tell the time by.

use nix::time::{clock_gettime, ClockId};

/// Nanoseconds of `CLOCK_MONOTONIC`, as `bpf_ktime_get_ns()` counts.
pub fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}
