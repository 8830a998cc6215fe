// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's messages about devices, and what they tell of firmware.

#![no_main]

use ekho::kernel::uevent::Uevent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(message) = Uevent::parse(data) else {
        return;
    };
    for key in [
        "ACTION",
        "EKHO_EVENT",
        "EKHO_DEV",
        "EKHO_FIRMWARE",
        "EKHO_REASON",
    ] {
        if let Some(value) = message.get(key) {
            assert!(!value.contains(char::is_control), "{value:?}");
        }
    }
});
