// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's own parser of the file `faults`, which gets what root writes.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "the module uses the rest of it")]
#[path = "../../../rust/faults/parse.rs"]
mod parse;

fuzz_target!(|text: &str| {
    match parse::line(text) {
        Ok((_, parse::Change::Site(site, knob))) => {
            assert!(site < parse::SITES.len());
            assert!(knob.errno == 0 || parse::errno_name(knob.errno) != "?");
        }
        Ok(_) => {}
        Err(parse::Mistake(word, why)) => {
            assert!(text.contains(word), "{word} isn't in {text}");
            assert!(!why.is_empty());
        }
    }
});
