// SPDX-License-Identifier: MIT OR Apache-2.0

//! Handles of filters, as tc prints and takes them.

use crate::number::parse_number;

/// A handle as `tc filter show` prints it: `0x1`, or u32's `800::800` (hash table, bucket
/// and node, in hexadecimal), with or without the `fh` before it. A number in decimal, as
/// JSON of tc has it, is taken as well.
pub fn parse(text: &str) -> Option<u32> {
    let text = text.strip_prefix("fh ").unwrap_or(text).trim();
    match text.split_once(':') {
        Some((table, rest)) => {
            let (bucket, node) = rest.split_once(':').unwrap_or((rest, ""));
            Some((part(table, 12)? << 20) | (part(bucket, 8)? << 12) | part(node, 12)?)
        }
        None => u32::try_from(parse_number(text)?).ok(),
    }
}

/// A part of u32's handle, which has so many bits; 0 if it isn't there.
fn part(text: &str, bits: u32) -> Option<u32> {
    if text.is_empty() {
        return Some(0);
    }
    if text.starts_with('+') {
        return None;
    }
    u32::from_str_radix(text, 16)
        .ok()
        .filter(|number| *number < 1 << bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handle_that_tc_prints_is_taken() {
        for (text, handle) in [
            ("1", 1),
            ("0x1f", 0x1f),
            ("800::800", 0x8000_0800),
            ("fh 800::800", 0x8000_0800),
            ("800:", 0x8000_0000),
            ("1:ff:3", 0x001f_f003),
            ("2147485696", 0x8000_0800),
        ] {
            assert_eq!(parse(text), Some(handle), "{text}");
        }
        for text in [
            "",
            "x",
            "1000::1",
            "1:100:1",
            "1:1:1000",
            "1:1:1:1",
            "-1",
            "+1:",
            "0x1ffffffff",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
