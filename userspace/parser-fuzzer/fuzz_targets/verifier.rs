// SPDX-License-Identifier: MIT OR Apache-2.0

//! Logs of the kernel's verifier, of any length and in any shape.

#![no_main]

use ekho::object::verifier::excerpt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|log: &str| {
    let lines = excerpt(log).lines();
    assert!(lines.len() < 64, "an excerpt of {} lines", lines.len());
});
