// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers as text.

use std::fmt::Write as _;

use serde::Serializer;

/// A number in decimal, or in hexadecimal with `0x`.
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// Writes a cookie as text: JSON numbers lose precision above 2^53.
pub fn serialize_hex<S: Serializer>(cookie: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{cookie:#x}"))
}

/// The same where there may be none.
pub fn serialize_hex_or_null<S: Serializer>(
    cookie: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match cookie {
        Some(cookie) => serialize_hex(cookie, serializer),
        None => serializer.serialize_none(),
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_number("0x10"), Some(16));
        assert_eq!(parse_number("16"), Some(16));
        for bad in ["", "-1", "+1", "0x", "0x+1", "1e3", "18446744073709551616"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }
}
