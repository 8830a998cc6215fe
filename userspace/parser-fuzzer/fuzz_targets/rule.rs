// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encoded rules, from events and from dumps: whatever is in there, text can be shown.

#![no_main]

use ekho::contract::rule::Rule;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rule = Rule::decode(data);
    rule.name_devices(&|ifindex| (ifindex % 2 == 0).then(|| format!("dev{ifindex}")));
    // Each attribute has two bytes at least.
    assert!(rule.matches.len() + rule.actions.len() <= data.len() / 2);
    for action in &rule.actions {
        assert!(!action.name.is_empty());
        assert!(action
            .arguments
            .iter()
            .all(|argument| !argument.name.is_empty()));
    }
    let text = serde_json::to_string(&rule).expect("a rule is plain data");
    // JSON escapes what a terminal would act on.
    assert!(!text.contains("\\u00"), "{text}");
});
