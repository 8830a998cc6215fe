// SPDX-License-Identifier: GPL-2.0-only

//! Measures the time that the current task uses.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::bindings;
use core::mem::MaybeUninit;

/// The time of a task by several clocks; see `ekho_helper_task_time()` in `c/helpers.c`.
pub(crate) struct Stopwatch(bindings::ekho_task_time);

/// What a [`Stopwatch`] measured, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Elapsed {
    /// The run time of the task: less than has passed if it was preempted, or if a hypervisor says
    /// that other guests had the CPU.
    pub(crate) ran: u64,
    /// The same by timer interrupts: the length of a tick for each that found the task at work.
    pub(crate) ticked: u64,
}

impl Stopwatch {
    /// Starts. Any context.
    #[inline]
    pub(crate) fn start() -> Self {
        let mut time = MaybeUninit::uninit();
        // SAFETY: Fills in all of it.
        unsafe {
            bindings::ekho_helper_task_time(time.as_mut_ptr());
            Self(time.assume_init())
        }
    }

    /// When it started, in nanoseconds of `CLOCK_MONOTONIC`. By the same task.
    pub(crate) fn started_ns(&self) -> u64 {
        // SAFETY: Reads a clock; any context.
        let now = unsafe { bindings::ekho_helper_ktime_ns() };
        now.wrapping_sub(self.wall())
    }

    /// The time that has passed since the start, and nothing else of [`Self::elapsed`], at less cost.
    /// By the same task, on the same CPU.
    #[inline]
    pub(crate) fn wall(&self) -> u64 {
        // SAFETY: Reads a clock; any context.
        let now = unsafe { bindings::ekho_helper_clock() };
        // The clocks of CPUs differ a little, if the task has moved.
        now.saturating_sub(self.0.now_ns)
    }

    /// The time since the start. To be called by the same task, on the same CPU.
    pub(crate) fn elapsed(&self) -> Elapsed {
        let Self(now) = Self::start();
        // The clocks of CPUs differ a little, if the task has moved.
        let wall = now.now_ns.saturating_sub(self.0.now_ns);
        let steal = now.steal_ns.saturating_sub(self.0.steal_ns);
        // Between two updates by the scheduler the task ran, or others did.
        let between = now.exec_start_ns.saturating_sub(self.0.exec_start_ns);
        let others = between.saturating_sub(now.runtime_ns.wrapping_sub(self.0.runtime_ns));
        Elapsed {
            ran: wall.saturating_sub(others).saturating_sub(steal),
            ticked: now.ticks_ns.saturating_sub(self.0.ticks_ns),
        }
    }
}

/// A time in nanoseconds of `CLOCK_MONOTONIC` that is cheap to read, as of the last tick. Any context.
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    // SAFETY: Reads a clock.
    unsafe { bindings::ekho_helper_coarse_time_ns() }
}

/// A time in nanoseconds of `CLOCK_MONOTONIC` that never goes back, as `ktime_get_ns()` has it. Not in an
/// NMI.
#[inline]
pub(crate) fn now_ns() -> i64 {
    // SAFETY: Reads a clock.
    unsafe { bindings::ekho_helper_time_ns() }
}
