// SPDX-License-Identifier: GPL-2.0-only

//! How long an op may take, and when firmware has taken too much time: the rule, without clocks.
//!
//! A program can't be stopped while it runs; what it took is known once it has returned. The time
//! that passed meanwhile isn't what the program used. The scheduler tells what other tasks had of
//! it, and a hypervisor that cares what other guests had, but an emulator, a paused or migrated
//! guest, or a host that sleeps tells nothing: for the guest an op of some microseconds has then
//! taken a second. So time by the clock is no proof against one op. Two things are:
//!
//! * **Ticks.** A CPU that stands still takes no timer interrupts; what it missed is made up for by
//!   one when it goes on. So the ticks that found the op at work are a second clock, coarse, which
//!   stops when the CPU does. An op that has used more than [`CEILING`] budgets by *both* clocks
//!   has worked for so long: `min(ran, ticked)`. Interruptions of a healthy op add one tick each,
//!   and it would take [`CEILING_MIN_NS`] divided by the length of a tick, 25 at 250 Hz, within an
//!   op of some microseconds.
//! * **Repetition.** To hit an op, an interruption must come while it runs. One in a hundred ops
//!   may be hit on a host that is badly overcommitted; those of firmware that is slow are over the
//!   budget each time. An op over the budget, by the clock, counts [`OVER`] points, one within it
//!   takes off [`WITHIN`]; at [`LIMIT`] the firmware is stopped. So it takes 16 ops in a row, or
//!   more than one in five in the long run. Points can't be gathered by chance: if one op in 14 is
//!   hit, the chance to get from 0 to 64 is about 1 in 10¹².
//!
//! The first rule ends what hardly ends by itself, at once. Firmware that keeps interrupts off for
//! so long that there are no ticks is left to the second.
//!
//! The rule is [`judge`], which depends on `core` only and is tested on the host:
//! `rustc --edition 2021 --test budget.rs`.

#![deny(unsafe_code)]

/// What an op has used, in nanoseconds.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Spent {
    /// By the clock, as far as known without what others had of it.
    pub(crate) ran: u64,
    /// By the timer interrupts that found it at work.
    pub(crate) ticked: u64,
}

/// Budgets that a single op may use, by both clocks.
const CEILING: u64 = 10;

/// What a single op may use at any rate, so that ticks can tell.
const CEILING_MIN_NS: u64 = 100_000_000;

/// Points for an op over the budget.
const OVER: u32 = 4;

/// Points taken off for one within it.
const WITHIN: u32 = 1;

/// Points at which it is enough.
const LIMIT: u32 = 64;

/// What is to be done about an op.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Verdict {
    /// Nothing; there are so many points from now on.
    Fine(u32),
    /// It was one too many over the budget.
    TooOften,
    /// It alone was too much.
    TooLong,
}

/// Judges an op, if there are so many points from those before it.
#[inline]
pub(crate) fn judge(points: u32, spent: Spent, budget_ns: u64) -> Verdict {
    if spent.ran <= budget_ns {
        return Verdict::Fine(points.saturating_sub(WITHIN));
    }
    let ceiling = budget_ns.saturating_mul(CEILING).max(CEILING_MIN_NS);
    if spent.ran.min(spent.ticked) > ceiling {
        return Verdict::TooLong;
    }
    match points.saturating_add(OVER) {
        points if points >= LIMIT => Verdict::TooOften,
        points => Verdict::Fine(points),
    }
}

#[cfg(not(test))]
pub(super) use kernel_side::of;
#[cfg(not(test))]
pub(crate) use kernel_side::set_default;

#[cfg(not(test))]
mod kernel_side {
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// The default of the module's parameter `budget_us`.
    const DEFAULT: u32 = 10_000;

    /// The budget of firmware that declares none, in microseconds.
    static DEFAULT_US: Atomic<u32> = Atomic::new(DEFAULT);

    /// Sets the budget of firmware that declares none; 0 stands for [`DEFAULT`].
    pub(crate) fn set_default(us: u32) {
        let us = if us == 0 { DEFAULT } else { us };
        DEFAULT_US.store(us, Relaxed);
    }

    /// The budget of firmware that declares `us`; 0 declares none.
    pub(in crate::firmware) fn of(us: u32) -> u32 {
        match us {
            0 => DEFAULT_US.load(Relaxed),
            us => us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const BUDGET: u64 = 10 * MS;

    /// An op that worked for so long.
    fn worked(ms: u64) -> Spent {
        // Ticks come every 4 ms.
        let ticked = ms / 4 * 4 * MS;
        Spent {
            ran: ms * MS,
            ticked,
        }
    }

    /// A short one, while the CPU stood still.
    fn stalled(ms: u64) -> Spent {
        Spent {
            ran: ms * MS,
            ticked: 4 * MS,
        }
    }

    /// How many of these ops run before the firmware is stopped, and why.
    fn stops(ops: impl Iterator<Item = Spent>) -> Option<(usize, Verdict)> {
        let mut points = 0;
        for (n, spent) in ops.enumerate() {
            match judge(points, spent, BUDGET) {
                Verdict::Fine(now) => points = now,
                verdict => return Some((n + 1, verdict)),
            }
        }
        None
    }

    #[test]
    fn work_within_the_budget_is_fine() {
        assert_eq!(stops(core::iter::repeat_n(worked(10), 1000)), None);
        assert_eq!(judge(0, worked(1), BUDGET), Verdict::Fine(0));
    }

    #[test]
    fn long_work_is_stopped_at_once() {
        assert_eq!(
            stops([worked(104)].into_iter()),
            Some((1, Verdict::TooLong))
        );
        assert_eq!(
            stops([worked(60_000)].into_iter()),
            Some((1, Verdict::TooLong))
        );
        assert_eq!(judge(0, worked(100), BUDGET), Verdict::Fine(OVER));
    }

    #[test]
    fn slow_firmware_is_stopped_soon() {
        assert_eq!(
            stops(core::iter::repeat(worked(11))),
            Some((16, Verdict::TooOften))
        );
        // One op in four.
        let ops = (0..).map(|n| worked(if n % 4 == 0 { 20 } else { 1 }));
        assert!(matches!(stops(ops), Some((200..=260, Verdict::TooOften))));
    }

    #[test]
    fn a_cpu_that_stands_still_stops_nothing() {
        assert_eq!(judge(0, stalled(60_000), BUDGET), Verdict::Fine(OVER));
        // One op in ten, each time for a minute.
        let ops = (0..1_000_000).map(|n| {
            if n % 10 == 0 {
                stalled(60_000)
            } else {
                worked(1)
            }
        });
        assert_eq!(stops(ops), None);
        // A burst of ten.
        let ops = (0..1_000_000).map(|n| {
            if n % 1000 < 10 {
                stalled(30)
            } else {
                worked(1)
            }
        });
        assert_eq!(stops(ops), None);
    }

    #[test]
    fn interruptions_at_random_stop_nothing() {
        let mut random: u64 = 1;
        let ops = (0..10_000_000).map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random % 14 == 0 {
                stalled(50)
            } else {
                worked(1)
            }
        });
        assert_eq!(stops(ops), None);
    }

    #[test]
    fn work_without_ticks_is_left_to_repetition() {
        let silent = Spent {
            ran: 500 * MS,
            ticked: 4 * MS,
        };
        assert_eq!(
            stops(core::iter::repeat(silent)),
            Some((16, Verdict::TooOften))
        );
    }

    #[test]
    fn budgets_of_all_sizes_have_a_ceiling() {
        let long = worked(200);
        assert_eq!(judge(0, long, 1), Verdict::TooLong);
        assert_eq!(judge(0, long, 0), Verdict::TooLong);
        assert_eq!(judge(0, long, 30 * MS), Verdict::Fine(OVER));
        assert_eq!(judge(0, worked(400), 30 * MS), Verdict::TooLong);
        assert_eq!(judge(0, long, u64::MAX), Verdict::Fine(0));
        let all = Spent {
            ran: u64::MAX,
            ticked: u64::MAX,
        };
        assert_eq!(judge(LIMIT - 1, all, u64::MAX - 1), Verdict::TooOften);
    }
}
