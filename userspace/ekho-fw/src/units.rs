// SPDX-License-Identifier: MIT OR Apache-2.0

//! Times, percentages and rates, as `tc` writes them: `10ms`, `1%`, `100Mbit`.

/// Units of time, in microseconds.
const TIMES: &[(&str, f64)] = &[
    ("s", 1e6),
    ("sec", 1e6),
    ("secs", 1e6),
    ("ms", 1e3),
    ("msec", 1e3),
    ("msecs", 1e3),
    ("us", 1.0),
    ("usec", 1.0),
    ("usecs", 1.0),
];

/// What stands before `bit`, and before `bps` for bytes.
const PREFIXES: &[(&str, f64)] = &[
    ("", 1.0),
    ("k", 1e3),
    ("ki", 1024.0),
    ("m", 1e6),
    ("mi", 1_048_576.0),
    ("g", 1e9),
    ("gi", 1_073_741_824.0),
    ("t", 1e12),
    ("ti", 1_099_511_627_776.0),
];

/// Parts per million in a percent.
const PPM: f64 = 10_000.0;

fn find(table: &[(&str, f64)], name: &str) -> Option<f64> {
    table
        .iter()
        .find_map(|(is, factor)| (*is == name).then_some(*factor))
}

/// A number without a sign, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|char: char| !char.is_ascii_digit() && char != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// A number of the smallest units, if it is neither too large nor so small that nothing remains.
fn whole(number: f64, max: u64) -> Option<u64> {
    let rounded = number.round();
    let fits = rounded <= max as f64 && (rounded > 0.0 || number == 0.0);
    fits.then_some(rounded as u64)
}

/// A time with its unit, in microseconds.
pub fn parse_time(text: &str) -> Result<u32, String> {
    let us = split(text).and_then(|(number, unit)| {
        let factor = match unit {
            // Without a unit, one tool means microseconds and another milliseconds.
            "" if number == 0.0 => 1.0,
            unit => find(TIMES, unit)?,
        };
        u32::try_from(whole(number * factor, u32::MAX.into())?).ok()
    });
    us.ok_or_else(|| "not a time with its unit, such as 10ms, 500us or 1s (4294s at most)".into())
}

/// A percentage, in parts per million.
pub fn parse_percent(text: &str) -> Result<u32, String> {
    let ppm = split(text)
        .filter(|(_, rest)| matches!(*rest, "" | "%"))
        .and_then(|(percent, _)| u32::try_from(whole(percent * PPM, (100.0 * PPM) as u64)?).ok());
    ppm.ok_or_else(|| "not a percentage, such as 1% or 0.01% (100% at most)".into())
}

/// A rate, in bits per second.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let bits = split(text).and_then(|(number, unit)| {
        let unit = unit.to_ascii_lowercase();
        let factor = match (unit.strip_suffix("bit"), unit.strip_suffix("bps")) {
            _ if unit.is_empty() => 1.0,
            (Some(prefix), _) => find(PREFIXES, prefix)?,
            (_, Some(prefix)) => 8.0 * find(PREFIXES, prefix)?,
            (None, None) => return None,
        };
        // The largest number that has all its digits.
        whole(number * factor, 1 << f64::MANTISSA_DIGITS).filter(|bits| *bits != 0)
    });
    bits.ok_or_else(|| {
        "not a rate, such as 100mbit or 1gbit (bits a second), or 10kbps (bytes a second)".into()
    })
}

/// A number in the largest of these units that it fills.
fn scaled(number: u64, units: &[(&str, f64)]) -> String {
    let number = number as f64;
    let unit = units.iter().find(|(_, factor)| number >= *factor);
    match unit.or(units.last()) {
        Some((name, factor)) => format!("{}{name}", number / factor),
        None => number.to_string(),
    }
}

/// A time of so many microseconds.
pub fn time_text(us: u32) -> String {
    scaled(us.into(), &[("s", 1e6), ("ms", 1e3), ("us", 1.0)])
}

/// A percentage of so many parts per million.
pub fn percent_text(ppm: u32) -> String {
    format!("{}%", f64::from(ppm) / PPM)
}

/// A rate of so many bits per second.
pub fn rate_text(bits: u64) -> String {
    scaled(
        bits,
        &[
            ("Tbit", 1e12),
            ("Gbit", 1e9),
            ("Mbit", 1e6),
            ("Kbit", 1e3),
            ("bit", 1.0),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, us) in [
            ("0", 0),
            ("10ms", 10_000),
            ("1.5ms", 1500),
            ("1s", 1_000_000),
            ("2secs", 2_000_000),
            ("7usec", 7),
            (".5s", 500_000),
            ("4294s", 4_294_000_000),
        ] {
            assert_eq!(parse_time(text), Ok(us), "{text}");
        }
        for bad in [
            "",
            "10",
            "ms",
            "10 ms",
            "-1ms",
            "+1ms",
            "1e3ms",
            "nan",
            "infs",
            "10MS",
            "1ns",
            "0.1us",
            "4295s",
            "1.2.3ms",
            "10ms,",
            "\u{661}ms",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_may_leave_out_their_sign() {
        for (text, ppm) in [
            ("1%", 10_000),
            ("0.5", 5000),
            ("100%", 1_000_000),
            ("0", 0),
            ("0.0001%", 1),
        ] {
            assert_eq!(parse_percent(text), Ok(ppm), "{text}");
        }
        for bad in ["", "%", "101%", "-1%", "1%%", "1 %", "0.00001%", "one"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_in_bits_or_in_bytes() {
        for (text, bits) in [
            ("100mbit", 100_000_000),
            ("100Mbit", 100_000_000),
            ("1.5Gbit", 1_500_000_000),
            ("1kibit", 1024),
            ("10kbps", 80_000),
            ("1bps", 8),
            ("9600", 9600),
            ("2tbit", 2_000_000_000_000),
        ] {
            assert_eq!(parse_rate(text), Ok(bits), "{text}");
        }
        for bad in [
            "",
            "0",
            "0mbit",
            "mbit",
            "1mb",
            "1m",
            "-1mbit",
            "1xbit",
            "99999999tbit",
        ] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_what_would_be_read() {
        for us in [0, 1, 999, 1000, 1500, 10_000, 1_234_567, u32::MAX] {
            assert_eq!(parse_time(&time_text(us)), Ok(us));
        }
        for ppm in [0, 1, 333, 10_000, 999_999, 1_000_000] {
            assert_eq!(parse_percent(&percent_text(ppm)), Ok(ppm));
        }
        for bits in [
            1,
            999,
            1000,
            1_500_000,
            100_000_000,
            123_456_789_012,
            1 << 53,
        ] {
            assert_eq!(parse_rate(&rate_text(bits)), Ok(bits));
        }
        assert_eq!(time_text(1500), "1.5ms");
        assert_eq!(percent_text(5000), "0.5%");
        assert_eq!(rate_text(100_000_000), "100Mbit");
        assert_eq!(rate_text(u64::MAX).split_once('T').unwrap().1, "bit");
    }
}
