// SPDX-License-Identifier: GPL-2.0-only

//! Turns totals into deltas, exactly once.
//!
//! The kernel wants to hear what is new, firmware tells totals. What is new depends on where a total
//! counts from, which isn't seen from its value: firmware that replaces another goes on with the
//! counters of the old one, or begins with its own. So firmware says it with each report:
//!
//! | report | counts from | what is new |
//! |---|---|---|
//! | totals of a map, which firmware names | 0 in that map | what the map has more than last time; all of it if the last report was from another map |
//! | totals without a map | the flow's acceptance, whoever has counted since | what is more than the kernel was told so far |
//! | deltas | the last report | all of it |
//!
//! A map is known by the kernel's id of it: a map that replaces another has another id, one that is
//! carried over keeps its own. Reports of different kinds may follow one another in any order, but
//! for one thing: of a map that comes back after another one was in use, it isn't remembered how
//! far it had got. A total that is less than before says nothing new.
//!
//! The rule itself is [`step`], which depends on `core` only and is tested on the host:
//! `rustc --edition 2021 --test delta.rs`.

/// Where a total counts from.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Base {
    /// The flow's acceptance.
    Acceptance,
    /// 0 in the map of the report before.
    SameMap,
    /// 0 in another map.
    NewMap,
}

impl Base {
    /// Of totals from a map (its id, or 0 for none), after those from another.
    pub(crate) const fn of(before: u32, map: u32) -> Self {
        match map {
            0 => Self::Acceptance,
            map if map == before => Self::SameMap,
            _ => Self::NewMap,
        }
    }
}

/// One counter of a flow.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
struct Account {
    /// What the kernel was told in all.
    told: u64,
    /// How far the map had got that the last report from a map was of.
    map: u64,
}

/// What a counter does with a total: how the account stands then, and what is new.
const fn step(account: Account, total: u64, base: Base) -> (Account, u64) {
    let known = match base {
        Base::Acceptance => account.told,
        Base::SameMap => account.map,
        Base::NewMap => 0,
    };
    let new = total.saturating_sub(known);
    let map = match base {
        Base::Acceptance => account.map,
        Base::SameMap | Base::NewMap => known + new,
    };
    let told = account.told.wrapping_add(new);
    (Account { told, map }, new)
}

#[cfg(not(test))]
pub(crate) use kernel_side::Counter;

#[cfg(not(test))]
mod kernel_side {
    use super::{
        step,
        Account,
        Base, //
    };
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// An [`Account`] that changes.
    pub(crate) struct Counter {
        told: Atomic<u64>,
        map: Atomic<u64>,
    }

    impl Counter {
        /// A counter at zero.
        pub(crate) const fn new() -> Self {
            Self {
                told: Atomic::new(0),
                map: Atomic::new(0),
            }
        }

        /// Records a total and returns what is new. By one at a time; [`Self::add`] may run
        /// meanwhile.
        pub(crate) fn advance(&self, total: u64, base: Base) -> u64 {
            let account = Account {
                told: self.told.load(Relaxed),
                map: self.map.load(Relaxed),
            };
            let (next, new) = step(account, total, base);
            // Most counters don't change from one request to the next.
            if next.map != account.map {
                self.map.store(next.map, Relaxed);
            }
            self.add(new);
            new
        }

        /// Records a delta. Any context.
        pub(crate) fn add(&self, new: u64) {
            if new != 0 {
                self.told.add(new, Relaxed);
            }
        }

        /// What the kernel was told in all.
        pub(crate) fn told(&self) -> u64 {
            self.told.load(Relaxed)
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(ekho_delta))]
mod tests {
    use super::{
        step,
        Account,
        Base, //
    };

    enum Report {
        /// From the map with this id.
        Map(u32, u64),
        /// Without a map.
        Total(u64),
        Delta(u64),
    }
    use Report::*;

    /// What the kernel is told of each report, and what was told in all.
    fn told<const N: usize>(reports: [Report; N]) -> ([u64; N], u64) {
        let (mut account, mut map) = (Account { told: 0, map: 0 }, 0);
        let new = reports.map(|report| {
            let (from, total) = match report {
                Map(id, total) => (id, total),
                Total(total) => (0, total),
                Delta(new) => {
                    account.told += new;
                    return new;
                }
            };
            let base = Base::of(map, from);
            if base == Base::NewMap {
                map = from;
            }
            let new;
            (account, new) = step(account, total, base);
            new
        });
        (new, account.told)
    }

    #[test]
    fn totals_add_up() {
        assert_eq!(
            told([Map(1, 10), Map(1, 10), Map(1, 25)]),
            ([10, 0, 15], 25)
        );
        assert_eq!(told([Total(10), Total(10), Total(25)]), ([10, 0, 15], 25));
        assert_eq!(told([Delta(10), Delta(0), Delta(15)]), ([10, 0, 15], 25));
    }

    #[test]
    fn backwards_is_nothing_new() {
        assert_eq!(
            told([Map(1, 10), Map(1, 4), Map(1, 10), Map(1, 12)]),
            ([10, 0, 0, 2], 12)
        );
        assert_eq!(
            told([Total(10), Total(4), Total(10), Total(12)]),
            ([10, 0, 0, 2], 12)
        );
    }

    #[test]
    fn a_map_that_is_kept_goes_on() {
        assert_eq!(told([Map(1, 10), Map(1, 15)]), ([10, 5], 15));
    }

    #[test]
    fn another_map_counts_from_zero_however_far_it_is() {
        assert_eq!(told([Map(1, 10), Map(2, 4), Map(2, 6)]), ([10, 4, 2], 16));
        assert_eq!(told([Map(1, 10), Map(2, 10)]), ([10, 10], 20));
        assert_eq!(
            told([Map(1, 10), Map(2, 40), Map(2, 45)]),
            ([10, 40, 5], 55)
        );
    }

    #[test]
    fn totals_without_a_map_count_since_the_flow_was_accepted() {
        assert_eq!(told([Map(1, 10), Total(15)]), ([10, 5], 15));
        assert_eq!(told([Delta(10), Total(15)]), ([10, 5], 15));
        assert_eq!(told([Map(1, 10), Map(2, 10), Total(21)]), ([10, 10, 1], 21));
    }

    #[test]
    fn a_map_goes_on_where_it_was_after_reports_without_one() {
        assert_eq!(told([Map(1, 10), Delta(5), Map(1, 12)]), ([10, 5, 2], 17));
        assert_eq!(told([Map(1, 10), Total(15), Map(1, 12)]), ([10, 5, 2], 17));
    }

    #[test]
    fn deltas_and_then_totals() {
        assert_eq!(told([Delta(10), Map(1, 3)]), ([10, 3], 13));
        assert_eq!(told([Delta(10), Map(1, 30)]), ([10, 30], 40));
        assert_eq!(told([Delta(10), Total(3), Total(11)]), ([10, 0, 1], 11));
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!(
            told([Map(1, u64::MAX), Map(1, 0)]),
            ([u64::MAX, 0], u64::MAX)
        );
        let full = Account {
            told: u64::MAX,
            map: u64::MAX,
        };
        // The kernel's own sum wraps as well.
        assert_eq!(
            step(full, 2, Base::NewMap),
            (Account { told: 1, map: 2 }, 2)
        );
        assert_eq!(step(full, u64::MAX, Base::Acceptance), (full, 0));
    }
}
