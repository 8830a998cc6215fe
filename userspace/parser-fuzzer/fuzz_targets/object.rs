// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware objects, with libbpf behind them.

#![no_main]

use std::path::Path;

use ekho::firmware::Firmware;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: ekho::kernel::libbpf_log::silence(), |data: &[u8]| {
    match Firmware::open_bytes(Path::new("mutant.bpf.o"), data) {
        Ok(firmware) => {
            let _ = serde_json::to_string(firmware.inspection());
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("mutant.bpf.o"), "{text}");
            assert!(!text.contains(|c: char| c.is_control() && !"\t\n".contains(c)), "{text:?}");
        }
    }
});
