// SPDX-License-Identifier: GPL-2.0-only

//! Faults of a device, for tests: knobs in `/sys/kernel/debug/ekho/faults`.
//!
//! A fault is injected before the firmware is called, or after it has answered, as a failure of
//! hardware would be; firmware doesn't notice it and isn't stopped for it. A device without knobs
//! costs one load per request.
//!
//! [`parse`] is the language of the file. Knobs belong to a device; those for future devices belong
//! to the module.

#![deny(unsafe_code)]

pub(crate) mod parse;

use crate::abstractions::{
    interrupt::without_interrupts,
    net::net_device::Rtnl,
    stopwatch::Stopwatch,
    sync::rcu::RcuSlot, //
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta, //
    },
};
use parse::{
    Change,
    Knob,
    Point,
    Stats, //
};

/// The knobs for devices that don't exist yet.
pub(crate) static NEW: FaultSlot = FaultSlot::new();

/// A device of kind `ekho` is being registered: the fault for that.
pub(crate) fn inject_register() -> Fault {
    NEW.inject(Point::Register, &rcu::read_lock())
}

/// Drops the static knobs when the module is removed. Process context.
pub(crate) fn clear() {
    drop(NEW.0.replace(None));
}

/// A knob that is set, and how many calls it has seen.
struct Armed {
    knob: Knob,
    calls: Atomic<u64>,
}

/// The knobs of a device that are set.
struct Faults {
    points: [Option<Armed>; Point::COUNT],
    nospc_after: Option<u32>,
    stats: Option<Stats>,
}

impl Faults {
    /// The knob of `point` if it is for this call, which it counts.
    #[cold]
    fn call(&self, point: Point) -> Option<Knob> {
        let armed = self.points[point.index()].as_ref()?;
        let call = armed.calls.fetch_add(1, Relaxed) + 1;
        let knob = armed.knob;
        (knob.nth == 0 || knob.nth == call).then_some(knob)
    }

    #[cold]
    fn inject(&self, point: Point) -> Fault {
        let Some(knob) = self.call(point) else {
            return Fault::default();
        };
        busy_wait(knob.delay_us);
        Fault {
            error: (knob.errno != 0).then(|| Error::from_errno(-knob.errno)),
            recurse: knob.recurse,
            interrupt: knob.interrupt,
            stall_us: knob.stall_us,
        }
    }
}

/// See [`Fault::stall`].
#[cold]
fn stall(us: u32) {
    let watch = Stopwatch::start();
    without_interrupts(|| busy_wait(us));
    // The timer interrupt that was missed is pending, and brings the clock of the CPU up to date.
    for _ in 0..1000 {
        if watch.elapsed().ticked != 0 {
            break;
        }
        busy_wait(100);
    }
}

/// Doesn't sleep, as statistics are requested in atomic context.
fn busy_wait(us: u32) {
    // `udelay` takes short times only.
    let mut left = i64::from(us);
    while left > 0 {
        udelay(Delta::from_micros(left.min(1000)));
        left -= 1000;
    }
}

/// A knob that is set, for users.
pub(crate) enum Setting {
    /// That of a point, and how many calls it has seen.
    Point {
        point: Point,
        knob: Knob,
        calls: u64,
    },
    /// The limit of the number of flows.
    NospcAfter(u32),
    /// See [`Stats`].
    Stats(Stats),
}

/// How many settings there can be.
pub(crate) const SETTINGS: usize = Point::COUNT + 2;

/// How often knobs were changed.
static CHANGES: Atomic<u64> = Atomic::new(0);

/// How often knobs were changed so far, to notice that some were.
pub(crate) fn changes() -> u64 {
    CHANGES.fetch_add(0, Full)
}

/// The fault of one call.
#[derive(Default)]
pub(crate) struct Fault {
    /// It fails.
    pub(crate) error: Option<Error>,
    /// The op is treated as entered again while it runs.
    pub(crate) recurse: bool,
    /// An interrupt enters the op while it runs.
    pub(crate) interrupt: bool,
    stall_us: u32,
}

impl Fault {
    /// To be called while the op runs: stops the CPU as a hypervisor does that takes it away, with
    /// the clock going on and no interrupts. Any context.
    #[inline]
    pub(crate) fn stall(&self) {
        if self.stall_us != 0 {
            stall(self.stall_us);
        }
    }
}

/// The knobs of a device, if any are set.
pub(crate) struct FaultSlot(RcuSlot<Faults>);

impl FaultSlot {
    /// No knob is set.
    pub(crate) const fn new() -> Self {
        Self(RcuSlot::new())
    }

    /// Whether a knob is set.
    pub(crate) fn is_set(&self) -> bool {
        self.0.get(&rcu::read_lock()).is_some()
    }

    /// The fault for a call of `point`; waits if a delay is set. Any context.
    #[inline]
    pub(crate) fn inject(&self, point: Point, guard: &rcu::Guard) -> Fault {
        match self.0.get(guard) {
            Some(faults) => faults.inject(point),
            None => Fault::default(),
        }
    }

    /// Sleeps if a delay is set for `point`, which has no other fault. Process context, without RTNL.
    pub(crate) fn sleep(&self, point: Point) {
        let knob = self
            .0
            .get(&rcu::read_lock())
            .and_then(|faults| faults.call(point));
        if let Some(knob) = knob {
            fsleep(Delta::from_micros(i64::from(knob.delay_us)));
        }
    }

    /// Whether firmware isn't asked for statistics.
    pub(crate) fn freezes_stats(&self, guard: &rcu::Guard) -> bool {
        self.stats(guard) == Some(Stats::Freeze)
    }

    /// Whether the firmware's report is dropped.
    pub(crate) fn drops_stats(&self, guard: &rcu::Guard) -> bool {
        self.stats(guard) == Some(Stats::Drop)
    }

    fn stats(&self, guard: &rcu::Guard) -> Option<Stats> {
        self.0.get(guard)?.stats
    }

    /// The number of flows that the device is limited to, if a knob limits it.
    pub(crate) fn nospc_after(&self, guard: &rcu::Guard) -> Option<u32> {
        self.0.get(guard)?.nospc_after
    }

    /// Setting `n` of those that there can be, below [`SETTINGS`], if it is set.
    pub(crate) fn get(&self, n: usize) -> Option<Setting> {
        let guard = rcu::read_lock();
        let faults = self.0.get(&guard)?;
        match Point::all().nth(n) {
            Some(point) => faults.points[point.index()]
                .as_ref()
                .map(|armed| Setting::Point {
                    point,
                    knob: armed.knob,
                    calls: armed.calls.load(Relaxed),
                }),
            None if n == Point::COUNT => faults.nospc_after.map(Setting::NospcAfter),
            None => faults.stats.map(Setting::Stats),
        }
    }

    /// Sets a knob; the call counts of the other knobs are kept. Process context. RTNL serializes
    /// changes.
    pub(crate) fn change(&self, change: Change, _rtnl: &Rtnl) -> Result {
        let result = self.set(change);
        CHANGES.fetch_add(1, Full);
        result
    }

    fn set(&self, change: Change) -> Result {
        if change == Change::Clear {
            drop(self.0.replace(None));
            return Ok(());
        }
        let mut faults = {
            let guard = rcu::read_lock();
            let old = self.0.get(&guard);
            Faults {
                points: core::array::from_fn(|n| {
                    let armed = old?.points[n].as_ref()?;
                    Some(Armed {
                        knob: armed.knob,
                        calls: Atomic::new(armed.calls.load(Relaxed)),
                    })
                }),
                nospc_after: old.and_then(|old| old.nospc_after),
                stats: old.and_then(|old| old.stats),
            }
        };
        match change {
            Change::Clear => {}
            Change::Point(point, knob) => {
                faults.points[point.index()] = Some(Armed {
                    knob,
                    calls: Atomic::new(0),
                });
            }
            Change::NospcAfter(n) => faults.nospc_after = Some(n),
            Change::Stats(stats) => faults.stats = Some(stats),
        }
        drop(self.0.replace(Some(Arc::new(faults, GFP_KERNEL)?)));
        Ok(())
    }

    /// Writes one line for each knob, beginning with `who`.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>, who: &dyn fmt::Display) -> fmt::Result {
        let guard = rcu::read_lock();
        let Some(faults) = self.0.get(&guard) else {
            return Ok(());
        };
        for (point, armed) in Point::all().zip(&faults.points) {
            let Some(Armed { knob, calls }) = armed else {
                continue;
            };
            write!(f, "{who} op={} calls={}", point.name(), calls.load(Relaxed))?;
            if knob.nth != 0 {
                write!(f, " nth={}", knob.nth)?;
            }
            if knob.errno != 0 {
                write!(f, " errno={}", parse::errno_name(knob.errno))?;
            }
            if knob.delay_us != 0 {
                write!(f, " delay_us={}", knob.delay_us)?;
            }
            if knob.stall_us != 0 {
                write!(f, " stall_us={}", knob.stall_us)?;
            }
            f.write_str(if knob.recurse { " recurse" } else { "" })?;
            f.write_str(if knob.interrupt { " interrupt\n" } else { "\n" })?;
        }
        if let Some(n) = faults.nospc_after {
            writeln!(f, "{who} nospc_after={n}")?;
        }
        if let Some(stats) = faults.stats {
            writeln!(f, "{who} stats={}", stats.name())?;
        }
        Ok(())
    }
}
