// SPDX-License-Identifier: GPL-2.0-only

//! The language of the file `faults`, one knob a line:
//!
//! ```text
//! DEVICE op=OP [nth=N] [errno=E] [delay_us=N] [stall_us=N] [recurse] [interrupt]
//! DEVICE op=end_link [nth=N] delay_us=N
//! DEVICE nospc_after=N
//! DEVICE stats=drop|freeze
//! DEVICE clear
//! new op=register [nth=N] [errno=E] [delay_us=N]
//! new clear
//! ```
//!
//! DEVICE is `dev=NAME` or `ifindex=N` in the network namespace of the writer, or `ifindex=N
//! netns=N` for a device that the file `devices` shows. `new` stands for future devices of kind
//! `ekho`, in any namespace.
//!
//! Depends on `core` and the list of ops only, and is tested on the host: `rustc --edition 2021
//! --test parse.rs`.

#[cfg(not(test))]
use crate::contract::ops::Op;
use core::str::SplitAsciiWhitespace;
#[cfg(test)]
use ops::Op;

#[cfg(test)]
#[path = "../contract/ops.rs"]
mod ops;

/// A call that faults can be injected into.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Point {
    /// An op of the firmware.
    Op(Op),
    /// A block is bound to the device.
    Bind,
    /// Filters are taken back from firmware that is detached.
    Withdraw,
    /// A device of kind `ekho` is registered; only for future devices.
    Register,
    /// A work item detaches the link of firmware that was stopped, or whose device has gone.
    EndLink,
}

impl Point {
    /// How many there are.
    pub(crate) const COUNT: usize = Op::COUNT + 4;

    /// All points, in the order of [`Self::index`].
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Op::ALL.iter().map(|op| Self::Op(*op)).chain([
            Self::Bind,
            Self::Withdraw,
            Self::Register,
            Self::EndLink,
        ])
    }

    /// Its index among all points, below [`Self::COUNT`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Op(op) => op as usize,
            Self::Bind => Op::COUNT,
            Self::Withdraw => Op::COUNT + 1,
            Self::Register => Op::COUNT + 2,
            Self::EndLink => Op::COUNT + 3,
        }
    }

    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Op(op) => op.name(),
            Self::Bind => "bind",
            Self::Withdraw => "withdraw",
            Self::Register => "register",
            Self::EndLink => "end_link",
        }
    }

    /// Whether it has a result, which could be an error.
    fn has_result(self) -> bool {
        match self {
            Self::Op(op) => op.has_result(),
            Self::EndLink => false,
            _ => true,
        }
    }

    /// The longest delay in microseconds, and what is said of one that is longer.
    fn delay_max(self) -> (u32, &'static str) {
        match self {
            Self::EndLink => (SLEEP_MAX_US, "too long: 10000000 at most"),
            _ => (DELAY_MAX_US, "too long: 100000 at most"),
        }
    }
}

/// The longest delay in microseconds, for which the CPU busy-waits.
pub(crate) const DELAY_MAX_US: u32 = 100_000;

/// The longest delay in microseconds at [`Point::EndLink`], where it sleeps.
pub(crate) const SLEEP_MAX_US: u32 = 10_000_000;

/// The longest stall in microseconds, for which interrupts are off.
pub(crate) const STALL_MAX_US: u32 = 2_000_000;

/// Errors that can be injected. Not EAGAIN: tc would repeat the request forever.
const ERRNOS: [(&str, i32); 26] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EINTR", 4),
    ("EIO", 5),
    ("ENXIO", 6),
    ("E2BIG", 7),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("ENODEV", 19),
    ("EINVAL", 22),
    ("ENOSPC", 28),
    ("EROFS", 30),
    ("ERANGE", 34),
    ("ENOSYS", 38),
    ("ENODATA", 61),
    ("ETIME", 62),
    ("EPROTO", 71),
    ("EOVERFLOW", 75),
    ("EMSGSIZE", 90),
    ("EOPNOTSUPP", 95),
    ("ENETDOWN", 100),
    ("ENOBUFS", 105),
    ("ETIMEDOUT", 110),
];

/// The name of an error that can be injected.
pub(crate) fn errno_name(errno: i32) -> &'static str {
    ERRNOS
        .iter()
        .find(|(_, number)| *number == errno)
        .map_or("?", |(name, _)| name)
}

/// The device that a line names.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Device<'a> {
    /// By its name.
    Name(&'a str),
    /// By its index, and by its namespace unless that is the writer's.
    Index(u32, Option<u32>),
    /// All future devices.
    New,
}

/// The fault that is set for a point.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Knob {
    /// The call that fails, counted from 1; 0 for all.
    pub(crate) nth: u64,
    /// The error; 0 for none.
    pub(crate) errno: i32,
    /// The delay in microseconds; 0 for none.
    pub(crate) delay_us: u32,
    /// Treat the op as entered again while it runs.
    pub(crate) recurse: bool,
    /// How long the CPU stops while the op runs, in microseconds; 0 for not at all.
    pub(crate) stall_us: u32,
    /// Let an interrupt enter the op while it runs.
    pub(crate) interrupt: bool,
}

/// What happens to statistics.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Stats {
    /// Firmware is asked, and its report is dropped.
    Drop,
    /// Firmware isn't asked.
    Freeze,
}

impl Stats {
    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Freeze => "freeze",
        }
    }
}

/// What a line sets.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Change {
    /// Remove all knobs of the device.
    Clear,
    /// Set the knob of a point.
    Point(Point, Knob),
    /// Limit the number of flows.
    NospcAfter(u32),
    /// See [`Stats`].
    Stats(Stats),
}

impl Change {
    /// Fails, and says why, if it isn't for these devices: future ones if `new`.
    pub(crate) fn fits(&self, new: bool) -> Result<(), &'static str> {
        match self {
            Self::Clear => Ok(()),
            Self::Point(Point::Register, _) if new => Ok(()),
            Self::Point(Point::Register, _) => Err("for devices to come only: new op=register"),
            _ if new => Err("new devices have op=register or clear only"),
            _ => Ok(()),
        }
    }
}

/// A word that is wrong, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct ParseError<'a>(pub(crate) &'a str, pub(crate) &'static str);

fn number<'a, T: core::str::FromStr>(word: &'a str, value: &str) -> Result<T, ParseError<'a>> {
    value.parse().map_err(|_| ParseError(word, "not a number"))
}

/// Parses a line that isn't empty.
pub(crate) fn line(text: &str) -> Result<(Device<'_>, Change), ParseError<'_>> {
    let mut words = text.split_ascii_whitespace();
    let (device, word) = device(&mut words)?;
    let word = word.ok_or(ParseError(
        text.trim_ascii(),
        "no knob: op=, nospc_after=, stats= or clear",
    ))?;
    let change = match word.split_once('=') {
        None if word == "clear" => Change::Clear,
        Some(("nospc_after", value)) => Change::NospcAfter(number(word, value)?),
        Some(("stats", "drop")) => Change::Stats(Stats::Drop),
        Some(("stats", "freeze")) => Change::Stats(Stats::Freeze),
        Some(("stats", _)) => return Err(ParseError(word, "drop or freeze")),
        Some(("op", name)) => op(word, name, &mut words)?,
        _ => {
            return Err(ParseError(
                word,
                "no such knob: op=, nospc_after=, stats= or clear",
            ))
        }
    };
    if let Some(word) = words.next() {
        return Err(ParseError(word, "too much: one knob a line"));
    }
    match change.fits(device == Device::New) {
        Ok(()) => Ok((device, change)),
        Err(why) => Err(ParseError(word, why)),
    }
}

/// Parses the device; also returns the word after it.
fn device<'a>(
    words: &mut SplitAsciiWhitespace<'a>,
) -> Result<(Device<'a>, Option<&'a str>), ParseError<'a>> {
    const FIRST: &str = "a line begins with dev=NAME, ifindex=N or new";
    let word = words.next().ok_or(ParseError("", FIRST))?;
    let ifindex = match word.split_once('=') {
        Some(("dev", "")) => return Err(ParseError(word, "no name")),
        Some(("dev", name)) => return Ok((Device::Name(name), words.next())),
        Some(("ifindex", value)) => number(word, value)?,
        None if word == "new" => return Ok((Device::New, words.next())),
        _ => return Err(ParseError(word, FIRST)),
    };
    let word = words.next();
    match word.and_then(|word| word.split_once('=').map(|(key, value)| (word, key, value))) {
        Some((word, "netns", value)) => {
            let netns = number(word, value)?;
            Ok((Device::Index(ifindex, Some(netns)), words.next()))
        }
        _ => Ok((Device::Index(ifindex, None), word)),
    }
}

/// A part of a knob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The point that it is for.
    Point,
    /// [`Knob::nth`].
    Nth,
    /// [`Knob::errno`].
    Errno,
    /// [`Knob::delay_us`].
    Delay,
    /// [`Knob::recurse`].
    Recurse,
    /// [`Knob::stall_us`].
    Stall,
    /// [`Knob::interrupt`].
    Interrupt,
}

/// Makes the knob of a point from the parts that are given. Fails with the part that is wrong, and
/// why.
pub(crate) fn knob(
    point: Point,
    nth: Option<u64>,
    errno: Option<i32>,
    delay_us: Option<u32>,
    recurse: bool,
    stall_us: Option<u32>,
    interrupt: bool,
) -> Result<Knob, (Part, &'static str)> {
    if nth == Some(0) {
        return Err((Part::Nth, "calls are counted from 1"));
    }
    if errno.is_some() && !point.has_result() {
        return Err((Part::Errno, "detach and end_link have no result"));
    }
    if errno.is_some_and(|errno| ERRNOS.iter().all(|(_, number)| *number != errno)) {
        return Err((Part::Errno, "not an errno that can be injected"));
    }
    match delay_us {
        Some(0) => return Err((Part::Delay, "no delay")),
        Some(delay) if delay > point.delay_max().0 => {
            return Err((Part::Delay, point.delay_max().1));
        }
        _ => {}
    }
    match stall_us {
        Some(0) => return Err((Part::Stall, "no stall")),
        Some(stall) if stall > STALL_MAX_US => {
            return Err((Part::Stall, "too long: 2000000 at most"));
        }
        _ => {}
    }
    if !matches!(point, Point::Op(_)) {
        for (set, part, why) in [
            (recurse, Part::Recurse, "only ops can be entered again"),
            (stall_us.is_some(), Part::Stall, "only ops can be stalled"),
            (interrupt, Part::Interrupt, "only ops can be interrupted"),
        ] {
            if set {
                return Err((part, why));
            }
        }
    }
    if errno.is_none() && delay_us.is_none() && !recurse && stall_us.is_none() && !interrupt {
        return Err((
            Part::Point,
            "no fault: errno, delay_us, stall_us, recurse or interrupt",
        ));
    }
    Ok(Knob {
        nth: nth.unwrap_or(0),
        errno: errno.unwrap_or(0),
        delay_us: delay_us.unwrap_or(0),
        recurse,
        stall_us: stall_us.unwrap_or(0),
        interrupt,
    })
}

/// The number of an error, from its name or digits; 0 for anything else.
fn errno_number(value: &str) -> i32 {
    ERRNOS
        .iter()
        .find(|(name, _)| *name == value)
        .map_or_else(|| value.parse().unwrap_or(0), |(_, number)| *number)
}

fn op<'a>(
    word: &'a str,
    name: &str,
    words: &mut SplitAsciiWhitespace<'a>,
) -> Result<Change, ParseError<'a>> {
    let point = Point::all()
        .find(|point| point.name() == name)
        .ok_or(ParseError(word, "no such op"))?;
    let (mut nth, mut errno, mut delay_us, mut stall_us) = (None, None, None, None);
    let (mut recurse, mut interrupt) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("nth", value)) => nth = Some((word, number(word, value)?)),
            Some(("errno", value)) => errno = Some((word, errno_number(value))),
            Some(("delay_us", value)) => delay_us = Some((word, number(word, value)?)),
            Some(("stall_us", value)) => stall_us = Some((word, number(word, value)?)),
            None if word == "recurse" => recurse = Some(word),
            None if word == "interrupt" => interrupt = Some(word),
            _ => {
                return Err(ParseError(
                    word,
                    "no such fault: nth=, errno=, delay_us=, stall_us=, recurse or interrupt",
                ))
            }
        }
    }
    knob(
        point,
        nth.map(|(_, nth)| nth),
        errno.map(|(_, errno)| errno),
        delay_us.map(|(_, delay_us)| delay_us),
        recurse.is_some(),
        stall_us.map(|(_, stall_us)| stall_us),
        interrupt.is_some(),
    )
    .map(|knob| Change::Point(point, knob))
    .map_err(|(part, why)| {
        let wrong = match part {
            Part::Point => None,
            Part::Nth => nth.map(|(word, _)| word),
            Part::Errno => errno.map(|(word, _)| word),
            Part::Delay => delay_us.map(|(word, _)| word),
            Part::Recurse => recurse,
            Part::Stall => stall_us.map(|(word, _)| word),
            Part::Interrupt => interrupt,
        };
        ParseError(wrong.unwrap_or(word), why)
    })
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(ekho_faults))]
mod tests {
    use super::*;

    const EK0: Device<'_> = Device::Name("ek0");

    fn knob(nth: u64, errno: i32, delay_us: u32, recurse: bool) -> Knob {
        Knob {
            nth,
            errno,
            delay_us,
            recurse,
            stall_us: 0,
            interrupt: false,
        }
    }

    #[test]
    fn each_knob_is_understood() {
        for (text, change) in [
            ("dev=ek0 clear", Change::Clear),
            ("dev=ek0 nospc_after=0", Change::NospcAfter(0)),
            ("  dev=ek0\tstats=drop ", Change::Stats(Stats::Drop)),
            ("dev=ek0 stats=freeze", Change::Stats(Stats::Freeze)),
            (
                "dev=ek0 op=replace nth=3 errno=ENOMEM",
                Change::Point(Point::Op(Op::Replace), knob(3, 12, 0, false)),
            ),
            (
                "dev=ek0 op=stats delay_us=500 errno=5",
                Change::Point(Point::Op(Op::Stats), knob(0, 5, 500, false)),
            ),
            (
                "dev=ek0 op=bind errno=EBUSY",
                Change::Point(Point::Bind, knob(0, 16, 0, false)),
            ),
            (
                "dev=ek0 op=end_link nth=2 delay_us=10000000",
                Change::Point(Point::EndLink, knob(2, 0, 10_000_000, false)),
            ),
            (
                "dev=ek0 op=detach recurse",
                Change::Point(Point::Op(Op::Detach), knob(0, 0, 0, true)),
            ),
            (
                "dev=ek0 op=stats interrupt stall_us=2000000",
                Change::Point(
                    Point::Op(Op::Stats),
                    Knob {
                        stall_us: 2_000_000,
                        interrupt: true,
                        ..knob(0, 0, 0, false)
                    },
                ),
            ),
        ] {
            assert_eq!((text, line(text)), (text, Ok((EK0, change))));
        }
    }

    #[test]
    fn devices_have_names_or_numbers() {
        assert_eq!(
            line("ifindex=7 clear"),
            Ok((Device::Index(7, None), Change::Clear))
        );
        assert_eq!(
            line("ifindex=7 netns=4026531840 clear"),
            Ok((Device::Index(7, Some(4026531840)), Change::Clear))
        );
    }

    #[test]
    fn devices_to_come_have_no_name() {
        for (text, change) in [
            ("new clear", Change::Clear),
            (
                "new op=register nth=2 errno=ENOMEM",
                Change::Point(Point::Register, knob(2, 12, 0, false)),
            ),
        ] {
            assert_eq!((text, line(text)), (text, Ok((Device::New, change))));
        }
        for (text, word) in [
            ("new", "new"),
            ("new=ek0 clear", "new=ek0"),
            ("new op=bind errno=EIO", "op=bind"),
            ("new nospc_after=1", "nospc_after=1"),
            ("new stats=drop", "stats=drop"),
            ("new op=register recurse", "recurse"),
            ("new op=register", "op=register"),
            ("dev=ek0 op=register errno=EIO", "op=register"),
            ("ifindex=7 op=register errno=EIO", "op=register"),
        ] {
            assert_eq!(
                (text, line(text).err().map(|error| error.0)),
                (text, Some(word))
            );
        }
    }

    #[test]
    fn errors_name_the_word() {
        for (text, word) in [
            ("", ""),
            ("clear", "clear"),
            ("dev= clear", "dev="),
            ("dev=ek0", "dev=ek0"),
            ("ifindex=x clear", "ifindex=x"),
            ("ifindex=-1 clear", "ifindex=-1"),
            ("ifindex=7 netns= clear", "netns="),
            ("dev=ek0 clear now", "now"),
            ("dev=ek0 clear=1", "clear=1"),
            ("dev=ek0 nospc_after=-1", "nospc_after=-1"),
            ("dev=ek0 nospc_after=4294967296", "nospc_after=4294967296"),
            ("dev=ek0 stats=lose", "stats=lose"),
            ("dev=ek0 op=replaced errno=EIO", "op=replaced"),
            ("dev=ek0 op=replace", "op=replace"),
            ("dev=ek0 op=replace nth=1", "op=replace"),
            ("dev=ek0 op=replace nth=0 errno=EIO", "nth=0"),
            ("dev=ek0 op=replace errno=EFOO", "errno=EFOO"),
            ("dev=ek0 op=replace errno=0", "errno=0"),
            ("dev=ek0 op=replace errno=EAGAIN", "errno=EAGAIN"),
            ("dev=ek0 op=replace errno=11", "errno=11"),
            ("dev=ek0 op=detach errno=EIO", "errno=EIO"),
            ("dev=ek0 op=bind recurse", "recurse"),
            ("dev=ek0 op=bind interrupt", "interrupt"),
            ("dev=ek0 op=withdraw stall_us=1", "stall_us=1"),
            ("dev=ek0 op=stats stall_us=0", "stall_us=0"),
            ("dev=ek0 op=stats stall_us=2000001", "stall_us=2000001"),
            ("dev=ek0 op=stats delay_us=100001", "delay_us=100001"),
            ("dev=ek0 op=stats delay_us=0", "delay_us=0"),
            ("dev=ek0 op=bind delay_us=100001", "delay_us=100001"),
            ("dev=ek0 op=end_link delay_us=10000001", "delay_us=10000001"),
            ("dev=ek0 op=end_link errno=EIO", "errno=EIO"),
            ("dev=ek0 op=end_link recurse", "recurse"),
            ("new op=end_link delay_us=1", "op=end_link"),
            ("dev=ek0 op=stats delay=1", "delay=1"),
        ] {
            assert_eq!(
                (text, line(text).err().map(|error| error.0)),
                (text, Some(word))
            );
        }
    }

    #[test]
    fn points_are_numbered_in_order() {
        assert_eq!(Point::all().count(), Point::COUNT);
        for (index, point) in Point::all().enumerate() {
            assert_eq!(point.index(), index);
        }
    }

    #[test]
    fn what_is_shown_is_understood() {
        for (name, errno) in ERRNOS {
            assert_eq!(errno_name(errno), name);
        }
        for (text, stats) in [
            ("dev=ek0 stats=drop", Stats::Drop),
            ("dev=ek0 stats=freeze", Stats::Freeze),
        ] {
            assert!(text.ends_with(stats.name()));
            assert_eq!(line(text), Ok((EK0, Change::Stats(stats))));
        }
    }
}
