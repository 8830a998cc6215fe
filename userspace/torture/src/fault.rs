// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocations of this thread that fail on demand (the kernel's `fail-nth`, in
//! Documentation/fault-injection).

use std::fs::{self, File};
use std::io::Write as _;
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
        let mut number = [0; 16];
        let mut rest = &mut number[..];
        write!(rest, "{nth}")?;
        let length = 16 - rest.len();
        self.0.write_all_at(&number[..length], 0)?;
        let result = run();
        let mut left = [0; 16];
        let read = self.0.read_at(&mut left, 0);
        self.0.write_all_at(b"0", 0)?;
        Ok((result, left[..read?].starts_with(b"0")))
    }
}
