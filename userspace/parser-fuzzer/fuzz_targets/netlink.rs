// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attributes of netlink, at any depth.

#![no_main]

use ekho::kernel::netlink::{u32_at, Attributes};
use libfuzzer_sys::fuzz_target;

fn walk(data: &[u8], depth: u32) -> usize {
    let attributes = Attributes(data);
    let mut size = 0;
    for (kind, value) in attributes.iter() {
        size += 4 + value.len();
        assert!(attributes.get(kind).is_some());
        let _ = (
            attributes.u32(kind),
            attributes.text(kind),
            u32_at(value, 1),
        );
        if depth > 0 {
            assert!(walk(value, depth - 1) <= value.len());
        }
    }
    size
}

fuzz_target!(|data: &[u8]| {
    assert!(walk(data, 3) <= data.len());
});
