// SPDX-License-Identifier: MIT OR Apache-2.0

//! Records that firmware writes to its ring buffer: whatever it writes, text can be shown.

#![no_main]

use ekho::events::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let device = |ifindex: u32| (ifindex % 2 == 0).then(|| format!("dev{ifindex}"));
    match Event::parse(data, &device) {
        Ok(event) => {
            let text = serde_json::to_string(&event).expect("an event is plain data");
            // JSON escapes what a terminal would act on.
            assert!(!text.contains("\\u00"), "{text}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
