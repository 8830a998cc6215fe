// SPDX-License-Identifier: GPL-2.0-only

//! Faults of a device, for tests: knobs in `/sys/kernel/debug/ekho/faults`.
//!
//! They act where hardware would fail: before the firmware is asked, or after it has answered, so
//! firmware can't tell, and isn't blamed. A device without knobs pays for one load per request.
//!
//! [`parse`] is the language of the file, [`control`] the file; the knobs themselves go with the
//! device's port, and those of devices to come with the module.

#![deny(unsafe_code)]

pub(crate) mod control;
mod parse;

use crate::abstractions::sync::rcu::RcuSlot;
use core::fmt;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
    time::{
        delay::udelay,
        Delta, //
    },
};
use parse::{
    Change,
    Knob,
    Stats,
    OPS,
    REGISTER,
    SITES, //
};

// The places among [`SITES`] of what isn't an op; that of REGISTER is known to the language.
/// A block is bound to the device.
pub(crate) const BIND: usize = OPS;
/// The kernel takes filters back from firmware that leaves.
pub(crate) const WITHDRAW: usize = OPS + 1;

/// The knobs of devices to come.
static NEW: FaultSlot = FaultSlot::new();

/// A device of kind `ekho` is being registered: what becomes of that.
pub(crate) fn strike_new() -> Strike {
    NEW.strike(REGISTER, &rcu::read_lock())
}

/// Drops what is static; nobody can set knobs any more. Process context.
pub(crate) fn clear() {
    drop(NEW.0.replace(None));
}

/// A knob, and how many calls it has seen.
struct Site {
    knob: Knob,
    calls: Atomic<u64>,
}

/// The knobs of a device that are set.
struct Faults {
    sites: [Option<Site>; SITES.len()],
    nospc_after: Option<u32>,
    stats: Option<Stats>,
}

impl Faults {
    #[cold]
    fn strike(&self, site: usize) -> Strike {
        let Some(site) = self.sites.get(site).and_then(Option::as_ref) else {
            return Strike::default();
        };
        let call = site.calls.fetch_add(1, Relaxed) + 1;
        let knob = site.knob;
        if knob.nth != 0 && knob.nth != call {
            return Strike::default();
        }
        // Busy: statistics are asked for in atomic context. Some at a time, as `udelay` wants.
        let mut left = i64::from(knob.delay_us);
        while left > 0 {
            udelay(Delta::from_micros(left.min(1000)));
            left -= 1000;
        }
        Strike {
            error: (knob.errno != 0).then(|| Error::from_errno(-knob.errno)),
            recurse: knob.recurse,
        }
    }
}

/// What happens to a call.
#[derive(Default)]
pub(crate) struct Strike {
    /// It fails.
    pub(crate) error: Option<Error>,
    /// It is entered once more while it runs.
    pub(crate) recurse: bool,
}

/// The place for a device's knobs.
pub(crate) struct FaultSlot(RcuSlot<Faults>);

impl FaultSlot {
    /// Without any knob.
    pub(crate) const fn new() -> Self {
        Self(RcuSlot::new())
    }

    /// Whether there are knobs.
    pub(crate) fn is_set(&self) -> bool {
        self.0.get(&rcu::read_lock()).is_some()
    }

    /// One of [`SITES`] is called: waits if it has to. Any context.
    #[inline]
    pub(crate) fn strike(&self, site: usize, guard: &rcu::Guard) -> Strike {
        match self.0.get(guard) {
            Some(faults) => faults.strike(site),
            None => Strike::default(),
        }
    }

    /// Whether firmware isn't asked for statistics.
    pub(crate) fn freezes_stats(&self, guard: &rcu::Guard) -> bool {
        self.stats(guard) == Some(Stats::Freeze)
    }

    /// Whether what firmware says of statistics is lost.
    pub(crate) fn drops_stats(&self, guard: &rcu::Guard) -> bool {
        self.stats(guard) == Some(Stats::Drop)
    }

    fn stats(&self, guard: &rcu::Guard) -> Option<Stats> {
        self.0.get(guard)?.stats
    }

    /// How many flows the device holds, if not as many as it could.
    pub(crate) fn nospc_after(&self, guard: &rcu::Guard) -> Option<u32> {
        self.0.get(guard)?.nospc_after
    }

    /// Sets a knob. What the others have seen is kept. By one at a time, which RTNL sees to;
    /// process context.
    fn change(&self, change: Change) -> Result {
        if change == Change::Clear {
            drop(self.0.replace(None));
            return Ok(());
        }
        let mut faults = {
            let guard = rcu::read_lock();
            let old = self.0.get(&guard);
            Faults {
                sites: core::array::from_fn(|n| {
                    let site = old?.sites[n].as_ref()?;
                    Some(Site {
                        knob: site.knob,
                        calls: Atomic::new(site.calls.load(Relaxed)),
                    })
                }),
                nospc_after: old.and_then(|old| old.nospc_after),
                stats: old.and_then(|old| old.stats),
            }
        };
        match change {
            Change::Clear => {}
            Change::Site(site, knob) => {
                faults.sites[site] = Some(Site {
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

    /// Writes each knob on a line, with `who` in front.
    fn show(&self, f: &mut fmt::Formatter<'_>, who: &dyn fmt::Display) -> fmt::Result {
        let guard = rcu::read_lock();
        let Some(faults) = self.0.get(&guard) else {
            return Ok(());
        };
        for (name, site) in SITES.iter().zip(&faults.sites) {
            let Some(Site { knob, calls }) = site else {
                continue;
            };
            write!(f, "{who} op={name} calls={}", calls.load(Relaxed))?;
            if knob.nth != 0 {
                write!(f, " nth={}", knob.nth)?;
            }
            if knob.errno != 0 {
                write!(f, " errno={}", parse::errno_name(knob.errno))?;
            }
            if knob.delay_us != 0 {
                write!(f, " delay_us={}", knob.delay_us)?;
            }
            f.write_str(if knob.recurse { " recurse\n" } else { "\n" })?;
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
