// SPDX-License-Identifier: MIT OR Apache-2.0

//! Words of the command line and of feeds.

#![no_main]

use ekho::flows::stats::{protocol, protocol_name, LastUsed};
use ekho::kernel::netlink::device;
use ekho::number::parse_number;
use ekho::object::struct_ops;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = text.parse::<LastUsed>();
    let _ = parse_number(text);
    let _ = struct_ops::essential_name(text);
    if let Some(number) = protocol(text) {
        assert_eq!(protocol(&protocol_name(number)), Some(number));
    }
    if struct_ops::name_is_valid(text) {
        assert!(text.len() < struct_ops::NAME_MAX && !text.contains(char::is_control));
    }
    if device::name_is_valid(text) {
        assert!(text.len() < 16);
    }
});
