// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stream of counters, as an agent writes it: one JSON object a line.
//!
//! ```text
//! {"cookie":"0xffff888012345678","packets":10,"bytes":1000}
//! {"dev":"ek0","prio":10,"handle":"0x1","op":"add","packets":1,"bytes":64}
//! ```
//!
//! A flow is named by `cookie` (with `dev` when it is on several devices), or by
//! `dev`, `prio` and `handle`, with `chain`, `protocol`, and `egress` or `block`
//! where the filter hangs there, or by `dev`, `nft` (`[TABLE, CHAIN]`) and `handle`.
//! `op` is `set` (default) or `add`; `packets`,
//! `bytes`, `drops` and `last_used` (`now`, `never` or ns) are what [`Change`] takes.
//! A misspelt key is an error, so that no counter gets lost silently.

use std::io::{self, BufRead};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::handle;

use crate::error::{Error, Result};
use crate::flows::stats::{protocol, Change, LastUsed, Op, Sink, Target};
use crate::kernel::netlink::filter::{FilterSpec, Hook};
use crate::kernel::netlink::rule::RuleSpec;
use crate::number::parse_number;

/// Longest line of a feed in bytes.
pub const LINE_MAX: usize = 64 * 1024;

/// What stands for a value in a line: a number, or a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number, or a text such as \"0x1f\"")]
enum Word {
    Number(u64),
    Text(String),
}

/// Reads a value that is a number, or a text that `parse` understands.
fn word<'de, D, T>(
    deserializer: D,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let wrong = |text: String| D::Error::custom(format!("`{text}` isn't {what}"));
    match Option::<Word>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Word::Number(number)) => T::try_from(number)
            .map(Some)
            .map_err(|_| D::Error::custom(format!("{number} is too large"))),
        Some(Word::Text(text)) => parse(&text).map(Some).ok_or_else(|| wrong(text)),
    }
}

fn number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    word(deserializer, "a number", |text| {
        T::try_from(parse_number(text)?).ok()
    })
}

fn handle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    word(deserializer, "a handle", handle::parse)
}

fn ether_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    word(deserializer, "a protocol", protocol)
}

/// One line of a feed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line {
    #[serde(deserialize_with = "number")]
    cookie: Option<u64>,
    dev: Option<String>,
    egress: bool,
    #[serde(deserialize_with = "number")]
    block: Option<u32>,
    #[serde(deserialize_with = "number")]
    chain: Option<u32>,
    #[serde(deserialize_with = "number")]
    prio: Option<u16>,
    #[serde(deserialize_with = "handle")]
    handle: Option<u32>,
    nft: Option<[String; 2]>,
    #[serde(deserialize_with = "ether_type")]
    protocol: Option<u16>,
    op: Op,
    #[serde(deserialize_with = "number")]
    packets: Option<u64>,
    #[serde(deserialize_with = "number")]
    bytes: Option<u64>,
    #[serde(deserialize_with = "number")]
    drops: Option<u64>,
    last_used: Option<LastUsed>,
}

/// Reads one line of a feed.
pub fn parse_line(text: &str) -> Result<(Target, Change), String> {
    let line: Line = serde_json::from_str(text).map_err(|err| {
        // "at line 1 column N": the line's number is the caller's to tell.
        err.to_string().replace(" at line 1 column", " at column")
    })?;
    let change = Change {
        op: line.op,
        packets: line.packets,
        bytes: line.bytes,
        drops: line.drops,
        last_used: line.last_used,
    };
    if change.is_empty() {
        return Err("none of `packets`, `bytes`, `drops` and `last_used` is given".into());
    }
    Ok((target(line)?, change))
}

fn target(line: Line) -> Result<Target, String> {
    let names_filter = line.prio.is_some() || line.handle.is_some();
    if let Some([table, chain]) = line.nft {
        let of_filters = [
            line.prio.is_some(),
            line.chain.is_some(),
            line.protocol.is_some(),
            line.block.is_some(),
            line.egress,
            line.cookie.is_some(),
        ];
        if of_filters.contains(&true) {
            return Err(
                "`nft` takes `dev` and `handle` beside it, and nothing else of a flow".into(),
            );
        }
        let missing = |name: &str| format!("`nft` is given, and no `{name}`");
        return Ok(Target::Rule(RuleSpec {
            dev: line.dev.ok_or_else(|| missing("dev"))?,
            table,
            chain,
            handle: line.handle.ok_or_else(|| missing("handle"))?.into(),
        }));
    }
    match (line.cookie, names_filter) {
        (Some(_), true) => Err("`cookie` and `prio`, `handle` exclude each other".into()),
        (Some(cookie), false) => Ok(Target::Cookie {
            cookie,
            dev: line.dev,
        }),
        (None, _) => {
            let missing = |name: &str| format!("neither `cookie` nor `{name}` is given");
            let prio = line.prio.ok_or_else(|| missing("prio"))?;
            let hook = match (line.block, line.egress) {
                (Some(_), true) => return Err("`block` and `egress` exclude each other".into()),
                (Some(block), false) => Hook::Block(block),
                (None, true) => Hook::Egress,
                (None, false) => Hook::Ingress,
            };
            Ok(Target::Filter(FilterSpec {
                dev: line.dev.ok_or_else(|| missing("dev"))?,
                hook,
                chain: line.chain.unwrap_or(0),
                prio,
                protocol: line.protocol.unwrap_or(0),
                handle: line.handle.ok_or_else(|| missing("handle"))?,
            }))
        }
    }
}

/// What became of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Lines with something in them.
    pub lines: u64,
    /// Lines that changed counters.
    pub applied: u64,
    /// Lines that couldn't be understood.
    pub malformed: u64,
    /// Lines about flows that nobody knows.
    pub unknown: u64,
    /// Lines that failed for another reason.
    pub failed: u64,
}

impl Summary {
    /// Whether every line was applied.
    pub fn is_clean(&self) -> bool {
        self.applied == self.lines
    }
}

/// What is wrong with a line of a feed.
#[derive(Debug)]
pub enum LineError {
    /// It can't be understood.
    Malformed(String),
    /// It can't be applied.
    Failed(Error),
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// Reads a line of at most [`LINE_MAX`] bytes; of a longer one, its length.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
    line.clear();
    let mut length = 0;
    loop {
        let data = match input.fill_buf() {
            Ok(data) => data,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(err),
        };
        if data.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let (used, done) = match data.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (data.len(), false),
        };
        let room = LINE_MAX.saturating_sub(line.len());
        line.extend_from_slice(&data[..used.min(room)]);
        length += used;
        input.consume(used);
        if done {
            return Ok(Some(length));
        }
    }
}

fn apply_line(line: &[u8], length: usize, sink: &mut impl Sink) -> Result<(), LineError> {
    if length > LINE_MAX {
        return Err(LineError::Malformed(format!(
            "it has {length} bytes, and {LINE_MAX} are the limit"
        )));
    }
    let text =
        std::str::from_utf8(line).map_err(|_| LineError::Malformed("it isn't UTF-8".to_owned()))?;
    let (target, change) = parse_line(text.trim()).map_err(LineError::Malformed)?;
    sink.change(&target, &change)
        .map(drop)
        .map_err(LineError::Failed)
}

/// Applies a stream of JSON lines, each as it comes.
///
/// Empty lines and lines that start with `#` are skipped. A line that fails is
/// given to `report` with its number, counted, and the next one is read. Fails only
/// when the input itself does.
pub fn feed(
    mut input: impl BufRead,
    sink: &mut impl Sink,
    mut report: impl FnMut(u64, &LineError),
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut line = Vec::new();
    let mut number = 0;
    while let Some(length) = read_line(&mut input, &mut line)? {
        number += 1;
        let blank = line.iter().all(u8::is_ascii_whitespace);
        if blank || line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        summary.lines += 1;
        match apply_line(&line, length, sink) {
            Ok(()) => summary.applied += 1,
            Err(error) => {
                match &error {
                    LineError::Malformed(_) => summary.malformed += 1,
                    LineError::Failed(
                        Error::UnknownCookie { .. }
                        | Error::NoFilter { .. }
                        | Error::NoRule { .. }
                        | Error::NoCounters { .. }
                        | Error::NotOffloaded { .. },
                    ) => summary.unknown += 1,
                    LineError::Failed(_) => summary.failed += 1,
                }
                report(number, &error);
            }
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::flows::stats::{Counters, Updated};

    #[test]
    fn a_rule_of_nftables_is_named_by_table_chain_and_handle() {
        let (target, _) =
            parse_line(r#"{"dev":"ek0","nft":["t","c"],"handle":4,"packets":1}"#).unwrap();
        let rule = RuleSpec {
            dev: "ek0".into(),
            table: "t".into(),
            chain: "c".into(),
            handle: 4,
        };
        assert_eq!(target, Target::Rule(rule));
        for wrong in [
            r#"{"nft":["t","c"],"handle":4,"packets":1}"#,
            r#"{"dev":"ek0","nft":["t","c"],"packets":1}"#,
            r#"{"dev":"ek0","nft":["t"],"handle":4,"packets":1}"#,
            r#"{"dev":"ek0","nft":["t","c"],"handle":4,"prio":1,"packets":1}"#,
            r#"{"dev":"ek0","nft":["t","c"],"handle":4,"egress":true,"packets":1}"#,
        ] {
            assert!(parse_line(wrong).is_err(), "{wrong}");
        }
    }

    /// Knows the cookies 1 and 2, on `ek0`.
    #[derive(Default)]
    struct Fake {
        counters: HashMap<u64, Counters>,
        filters: Vec<FilterSpec>,
    }

    impl Sink for Fake {
        fn change(&mut self, target: &Target, change: &Change) -> Result<Updated> {
            let cookie = match target {
                Target::Cookie { cookie, .. } => *cookie,
                Target::Filter(filter) => {
                    self.filters.push(filter.clone());
                    2
                }
                Target::Rule(_) => 2,
            };
            if cookie > 2 {
                return Err(Error::UnknownCookie { cookie, dev: None });
            }
            let counters = self.counters.entry(cookie).or_default();
            *counters = change.apply(*counters, 77);
            Ok(Updated {
                dev: "ek0".into(),
                cookie,
                counters: *counters,
            })
        }
    }

    fn run(input: &[u8]) -> (Fake, Summary, Vec<String>) {
        let mut fake = Fake::default();
        let mut reports = Vec::new();
        let summary = feed(input, &mut fake, |line, error| {
            reports.push(format!("{line}: {error}"));
        })
        .unwrap();
        (fake, summary, reports)
    }

    #[test]
    fn a_feed_sets_and_adds() {
        let (fake, summary, reports) = run(br#"
# comment
{"cookie":"0x1","packets":10,"bytes":1000}
{"cookie":1,"op":"add","packets":1,"bytes":64,"drops":2}
{"dev":"ek0","chain":3,"prio":10,"handle":"0x1","packets":5}
"#);
        assert_eq!(reports, [""; 0]);
        assert_eq!((summary.lines, summary.applied), (3, 3));
        assert!(summary.is_clean());
        assert_eq!(
            fake.counters[&1],
            Counters {
                packets: 11,
                bytes: 1064,
                drops: 2,
                last_used_ns: 77
            }
        );
        assert_eq!(fake.filters[0].chain, 3);
        assert_eq!(fake.filters[0].handle, 1);
    }

    #[test]
    fn bad_lines_are_numbered_counted_and_passed_over() {
        let (fake, summary, reports) = run(
            b"{\"cookie\":1,\"packets\":1}\nnot json\n\n{\"cookie\":9,\"packets\":1}\n\xff\n{\"cookie\":2,\"packets\":2}",
        );
        assert_eq!(
            summary,
            Summary {
                lines: 5,
                applied: 2,
                malformed: 2,
                unknown: 1,
                failed: 0
            }
        );
        assert!(!summary.is_clean());
        assert_eq!(
            reports,
            [
                "2: malformed: expected ident at column 2",
                "4: no attached firmware has a flow with cookie 0x9",
                "5: malformed: it isn't UTF-8"
            ]
        );
        assert_eq!(fake.counters[&2].packets, 2, "the last line has no newline");
    }

    #[test]
    fn an_endless_line_costs_no_memory_and_spares_the_next() {
        let mut input = vec![b'x'; 3 * LINE_MAX];
        input.extend_from_slice(b"\n{\"cookie\":1,\"packets\":1}\n");
        let (_, summary, reports) = run(&input);
        assert_eq!((summary.applied, summary.malformed), (1, 1));
        assert_eq!(
            reports,
            ["1: malformed: it has 196609 bytes, and 65536 are the limit"]
        );
        let mut line = Vec::new();
        read_line(&mut &input[..], &mut line).unwrap();
        assert_eq!(line.len(), LINE_MAX);
    }

    #[test]
    fn lines_are_applied_before_the_next_one_is_read() {
        /// Fails the test when it is read to the end before the first line counted.
        struct Slow<'a> {
            chunks: Vec<&'a [u8]>,
        }
        impl io::Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let chunk = self.fill_buf()?;
                let count = chunk.len().min(buffer.len());
                buffer[..count].copy_from_slice(&chunk[..count]);
                self.consume(count);
                Ok(count)
            }
        }
        impl BufRead for Slow<'_> {
            fn fill_buf(&mut self) -> io::Result<&[u8]> {
                self.chunks
                    .first()
                    .copied()
                    .ok_or_else(|| io::Error::other("asked for more"))
            }
            fn consume(&mut self, count: usize) {
                if let Some(chunk) = self.chunks.first_mut() {
                    *chunk = &chunk[count..];
                    if chunk.is_empty() {
                        self.chunks.remove(0);
                    }
                }
            }
        }
        let mut fake = Fake::default();
        let input = Slow {
            chunks: vec![b"{\"cookie\":1,", b"\"packets\":4}\n"],
        };
        assert!(feed(input, &mut fake, |_, _| {}).is_err());
        assert_eq!(fake.counters[&1].packets, 4);
    }

    #[test]
    fn malformed_lines_say_why() {
        for (line, why) in [
            (r#"{"packets":1}"#, "neither `cookie` nor `prio` is given"),
            (
                r#"{"cookie":"0x1"}"#,
                "none of `packets`, `bytes`, `drops` and `last_used` is given",
            ),
            (
                r#"{"cookie":1,"prio":1,"packets":1}"#,
                "`cookie` and `prio`, `handle` exclude each other",
            ),
            (r#"{"cookie":"zz","packets":1}"#, "`zz` isn't a number"),
            (
                r#"{"prio":70000,"handle":1,"dev":"a","packets":1}"#,
                "70000 is too large",
            ),
            (
                r#"{"prio":1,"handle":1,"packets":1}"#,
                "neither `cookie` nor `dev` is given",
            ),
            (
                r#"{"prio":1,"handle":1,"dev":"a","protocol":"x","packets":1}"#,
                "`x` isn't a protocol",
            ),
            (
                r#"{"prio":1,"handle":"800::1000","dev":"a","packets":1}"#,
                "`800::1000` isn't a handle",
            ),
            (
                r#"{"cookie":1,"last_used":-5}"#,
                "`last_used` is `now`, `never` or a number of ns",
            ),
            (
                r#"{"cookie":1,"last_used":"soon"}"#,
                "`soon` is neither `now` nor `never` nor a number of ns",
            ),
        ] {
            let said = parse_line(line).unwrap_err();
            let said = said.split(" at column ").next();
            assert_eq!(said, Some(why), "{line}");
        }
        let error = parse_line(r#"{"cookie":"zz","packets":1}"#).unwrap_err();
        assert!(error.ends_with(" at column 14"), "{error}");
        let u32 = parse_line(r#"{"dev":"a","prio":5,"handle":"800::800","packets":1}"#);
        let Ok((Target::Filter(filter), _)) = u32 else {
            panic!("{u32:?}");
        };
        assert_eq!(filter.handle, 0x8000_0800);
        let typo = parse_line(r#"{"cookie":1,"packet":1}"#).unwrap_err();
        assert!(typo.starts_with("unknown field `packet`"), "{typo}");
        assert!(parse_line(r#"{"cookie":-1,"packets":1}"#).is_err());
        assert!(parse_line(r#"{"cookie":1,"packets":1.5}"#).is_err());
    }

    #[test]
    fn the_schema_of_summaries_is_stable() {
        assert_eq!(
            serde_json::to_string(&Summary::default()).unwrap(),
            r#"{"lines":0,"applied":0,"malformed":0,"unknown":0,"failed":0}"#
        );
    }
}
