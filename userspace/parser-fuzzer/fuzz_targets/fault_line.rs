// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's own parser of the file `faults`, which gets what root writes.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "the module uses the rest of it")]
#[path = "../../../rust/contract/ops.rs"]
mod ops;
#[expect(dead_code, reason = "the module uses the rest of it")]
#[path = "../../../rust/faults/parse.rs"]
mod parse;

/// Where the parser finds the list of ops, as in the module.
mod contract {
    pub(crate) use super::ops;
}

fuzz_target!(|text: &str| {
    match parse::line(text) {
        Ok((_, parse::Change::Point(point, knob))) => {
            assert!(point.index() < parse::Point::COUNT);
            assert!(knob.errno == 0 || parse::errno_name(knob.errno) != "?");
        }
        Ok(_) => {}
        Err(parse::ParseError(word, why)) => {
            assert!(text.contains(word), "{word} isn't in {text}");
            assert!(!why.is_empty());
        }
    }
});
