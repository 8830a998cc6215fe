// SPDX-License-Identifier: GPL-2.0-only

//! Turns totals into deltas, exactly once.
//!
//! The rule itself is [`step`], which depends on `core` only and is tested on the host:
//! `rustc --edition 2021 --test counter.rs`.

/// The next last total, and the delta, after a report of `total`.
///
/// A total below the last one means, if the firmware was replaced (`restarted`), that it counts
/// from zero. Otherwise it is ignored: to add it would count packets twice.
const fn step(last: u64, total: u64, restarted: bool) -> (u64, u64) {
    if total >= last {
        (total, total - last)
    } else if restarted {
        (total, total)
    } else {
        (last, 0)
    }
}

#[cfg(not(test))]
pub(crate) use kernel_side::Counter;

#[cfg(not(test))]
mod kernel_side {
    use super::step;
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// A growing total, and how much of it was reported.
    pub(crate) struct Counter {
        /// The last total of the present firmware.
        last: Atomic<u64>,
        /// What earlier firmware had reported, if this one counts from zero.
        before: Atomic<u64>,
    }

    impl Counter {
        /// A counter at zero.
        pub(crate) const fn new() -> Self {
            Self {
                last: Atomic::new(0),
                before: Atomic::new(0),
            }
        }

        /// Records `total` and returns the delta. Any context, without a lock: with several reports
        /// in parallel, each packet is in exactly one delta.
        pub(crate) fn advance(&self, total: u64, restarted: bool) -> u64 {
            let mut last = self.last.load(Relaxed);
            loop {
                let (next, delta) = step(last, total, restarted);
                // Most counters don't change from one request to the next.
                if next == last {
                    return delta;
                }
                match self.last.cmpxchg(last, next, Relaxed) {
                    Ok(_) => {
                        if next < last {
                            self.before.add(last, Relaxed);
                        }
                        return delta;
                    }
                    Err(now) => last = now,
                }
            }
        }

        /// Adds `delta`, which was reported without a total. Any context.
        pub(crate) fn add(&self, delta: u64) {
            self.last.add(delta, Relaxed);
        }

        /// The sum of all deltas.
        pub(crate) fn reported(&self) -> u64 {
            self.before
                .load(Relaxed)
                .wrapping_add(self.last.load(Relaxed))
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(ekho_counter))]
mod tests {
    use super::step;

    fn sum(totals: &[(u64, bool)]) -> u64 {
        let mut last = 0;
        totals
            .iter()
            .map(|&(total, restarted)| {
                let (next, delta) = step(last, total, restarted);
                last = next;
                delta
            })
            .sum()
    }

    #[test]
    fn totals_add_up() {
        assert_eq!(sum(&[(10, false), (10, false), (25, false)]), 25);
    }

    #[test]
    fn repeated_totals_are_nothing_new() {
        assert_eq!(step(7, 7, false), (7, 0));
        assert_eq!(step(7, 7, true), (7, 0));
    }

    #[test]
    fn backwards_is_held() {
        assert_eq!(
            sum(&[(10, false), (4, false), (10, false), (12, false)]),
            12
        );
    }

    #[test]
    fn restart_counts_from_zero() {
        assert_eq!(sum(&[(10, false), (4, true), (6, false)]), 16);
    }

    #[test]
    fn swap_with_kept_map_goes_on() {
        assert_eq!(sum(&[(10, false), (15, true)]), 15);
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!(step(0, u64::MAX, false), (u64::MAX, u64::MAX));
        assert_eq!(step(u64::MAX, 0, false), (u64::MAX, 0));
        assert_eq!(step(u64::MAX, 0, true), (0, 0));
    }
}
