// SPDX-License-Identifier: GPL-2.0-only

//! How often flows were refused, by reason.

#![deny(unsafe_code)]

use crate::contract::reason::Reason;
use kernel::prelude::*;

/// A flow was refused, and why.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) reason: Reason,
}

/// How often flows were refused for the same reason.
#[derive(Clone, Copy)]
pub(crate) struct RefusalCount {
    pub(crate) errno: i32,
    pub(crate) reason: Reason,
    pub(crate) count: u64,
}

/// How many reasons are counted separately; all others are counted together.
const REASONS: usize = 32;

/// Counts refusals by reason.
pub(super) struct Refusals([RefusalCount; REASONS]);

impl Refusals {
    pub(super) const fn new() -> Self {
        const NONE: RefusalCount = RefusalCount {
            errno: 0,
            reason: Reason::NONE,
            count: 0,
        };
        Self([NONE; REASONS])
    }

    pub(super) fn count(&mut self, refusal: &Refusal) {
        let errno = -refusal.error.to_errno();
        let Some((others, known)) = self.0.split_last_mut() else {
            return;
        };
        let same = |r: &&mut RefusalCount| {
            r.count == 0 || (r.errno == errno && r.reason == refusal.reason)
        };
        match known.iter_mut().find(same) {
            Some(entry) => {
                entry.errno = errno;
                entry.reason = refusal.reason;
                entry.count += 1;
            }
            None => others.count += 1,
        }
    }

    /// Entry `n` of the table; its count is 0 if it is unused.
    pub(super) fn get(&self, n: usize) -> Option<RefusalCount> {
        self.0.get(n).copied()
    }
}
