// SPDX-License-Identifier: GPL-2.0-only

//! Why firmware was stopped.
//!
//! ```text
//!   an op violates the contract ──▶ Exit (the first one counts) ──▶ no op is called any more
//!                                     │
//!                                     └─▶ work item: filters go back to software, record in the
//!                                         file `exits`, uevent, link detached
//! ```

#![deny(unsafe_code)]

use crate::contract::{
    name::Name,
    ops::Op,
    reason::Reason, //
};
use core::fmt;
use kernel::prelude::*;

/// What firmware did wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// It returned neither 0 nor an errno that tc can use; the value is what it returned.
    Return,
    /// It exceeded its budget by too much or too often; the value is the time in microseconds.
    Budget,
    /// An op led to another one of the same device; no value.
    Recursion,
    /// It gave an answer that isn't possible on the device; the value is the answer.
    Contract,
}

impl Code {
    /// Its name in records and events.
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Return => c"return",
            Self::Budget => c"budget",
            Self::Recursion => c"recursion",
            Self::Contract => c"contract",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().to_str().unwrap_or("?"))
    }
}

impl kernel::fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The record of a firmware that was stopped.
#[derive(Clone, Copy)]
pub(crate) struct Exit {
    pub(crate) firmware: Name,
    pub(crate) generation: u32,
    pub(crate) op: Op,
    pub(crate) code: Code,
    pub(crate) value: i64,
    /// When, in `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) time_ns: u64,
    /// What happened, as one sentence.
    pub(crate) reason: Reason,
}

/// What users of the device read in the extack, which cuts what is longer than 79 bytes: the remedy is
/// last.
impl kernel::fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "firmware '{}' stopped: {}; load another",
            self.firmware, self.reason
        )
    }
}
