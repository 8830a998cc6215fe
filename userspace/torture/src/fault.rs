// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocations of this thread that fail on demand (the kernel's `fail-nth`, in
//! Documentation/fault-injection).

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

const DEBUGFS: &str = "/sys/kernel/debug";

/// The calling thread's allocations.
pub struct Allocations(File);

impl Allocations {
    /// Those of the calling thread.
    pub fn new() -> Result<Self> {
        for (knob, value) in [
            // Those that may sleep are nearly all.
            ("failslab/ignore-gfp-wait", "N"),
            ("failslab/verbose", "0"),
            ("fail_page_alloc/verbose", "0"),
        ] {
            fs::write(format!("{DEBUGFS}/{knob}"), value)
                .with_context(|| format!("no fault injection in this kernel: {knob}"))?;
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth")
            .context("no fail-nth in this kernel")?;
        Ok(Self(file))
    }

    /// Runs `run` with its `nth` allocation failing, counted from 1. Also tells whether it made
    /// so many.
    pub fn with_nth_failing<T>(&self, nth: u32, run: impl FnOnce() -> T) -> Result<(T, bool)> {
        let (result, left) = self.counting_down(nth, run)?;
        Ok((result, left == 0))
    }

    /// Runs `run`, and tells how many allocations it made.
    pub fn count<T>(&self, run: impl FnOnce() -> T) -> Result<(T, u32)> {
        const MANY: u32 = i32::MAX as u32;
        let (result, left) = self.counting_down(MANY, run)?;
        Ok((result, MANY - left))
    }

    /// Runs `run` with an allocation failing after as many, and tells how many of them are left.
    fn counting_down<T>(&self, from: u32, run: impl FnOnce() -> T) -> Result<(T, u32)> {
        self.0.write_all_at(from.to_string().as_bytes(), 0)?;
        let result = run();
        let mut left = [0; 16];
        let read = self.0.read_at(&mut left, 0);
        self.0.write_all_at(b"0", 0)?;
        let left = std::str::from_utf8(&left[..read?])?;
        Ok((result, left.trim().parse()?))
    }
}
