// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's own text of a rule, which it writes in its records: one word, whatever the rule.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the module uses the rest of it")]
#[path = "../../../rust/contract/encoding/mod.rs"]
mod encoding;

use encoding::text;

fuzz_target!(|data: &[u8]| {
    for shown in [
        text::MatchText(data).to_string(),
        text::ActionsText(data).to_string(),
    ] {
        assert!(!shown.is_empty());
        assert!(
            !shown.contains(|c: char| c.is_control() || c == ' '),
            "{shown:?}"
        );
    }
});
