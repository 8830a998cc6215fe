// SPDX-License-Identifier: MIT OR Apache-2.0

//! A set is done on both sides, and what comes of it is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ekho_testkit::tc::NEW;
use ekho_testkit::uapi;
use nix::errno::Errno;

use crate::filter::{flush, Action, Count, Filter, Id, Mode, Place};
use crate::generate::{Change, Round, Set};
use crate::lab::{Refused, Side};
use crate::packet::{Frame, Hex, Summary};
use crate::ports::{port_name, ALL};
use crate::socket::Arrived;

/// What makes the sides differ, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Hardware's filters do something else.
    Rule,
    /// A bit of what comes out of hardware is another.
    Frame,
    /// Two of what comes out of hardware come the other way round.
    Order,
    /// Hardware counts a byte more.
    Count,
}

/// What was done in all.
pub struct Totals {
    pub sets: u64,
    pub packets: u64,
    /// As how many they count, as some are of several segments.
    pub segments: u64,
    /// How many of these a filter of the port where they arrived matched.
    pub hits: u64,
    pub frames: u64,
    /// How often some came late.
    pub late: u64,
    pub filters: u64,
    /// Why filters were refused, how often, and some of them.
    pub refusals: BTreeMap<String, (u64, Vec<String>)>,
    /// How many packets saw which keys and actions, if somebody wants to know.
    pub seen: Option<BTreeMap<String, u64>>,
    /// Where time went.
    pub times: [(&'static str, Duration); 5],
}

impl Default for Totals {
    fn default() -> Self {
        let times = ["add", "send", "receive", "count", "delete"];
        Self {
            sets: 0,
            packets: 0,
            segments: 0,
            hits: 0,
            frames: 0,
            late: 0,
            filters: 0,
            refusals: BTreeMap::new(),
            seen: None,
            times: times.map(|what| (what, Duration::ZERO)),
        }
    }
}

impl Totals {
    /// Counts packets that a filter matched.
    fn saw(&mut self, filter: &Filter, packets: u64) {
        let Some(seen) = self.seen.as_mut().filter(|_| packets != 0) else {
            return;
        };
        let mut see = |words: &str| *seen.entry(words.to_owned()).or_insert(0) += packets;
        see(if filter.place.egress {
            "on egress"
        } else {
            "on ingress"
        });
        if filter.chain != 0 {
            see("in another chain");
        }
        if filter.keys.is_none() {
            see("matchall");
        }
        for key in filter.keys.iter().flatten() {
            let words = key.to_string();
            let word = words.split(' ').next().unwrap_or_default();
            let part = if words.contains('/') { ", in part" } else { "" };
            let range = matches!(key, crate::filter::Key::Ports(..));
            see(&format!(
                "{word}{part}{}",
                if range { ", range" } else { "" }
            ));
        }
        for action in &filter.actions {
            let words = action.to_string();
            let kind: Vec<_> = words.split(' ').take(3).collect();
            let kind = match action {
                Action::Redirect { .. } | Action::Mirror { .. } => &kind[..],
                Action::VlanPush { .. } | Action::VlanModify { .. } | Action::VlanPop => &kind[..2],
                Action::MplsPush { .. } | Action::MplsModify { .. } | Action::MplsPop(_) => {
                    &kind[..2]
                }
                _ => &kind[..1],
            };
            see(&format!("action {}", kind.join(" ")));
        }
    }

    /// Counts time for something, and begins anew.
    fn time(&mut self, what: &str, since: &mut Instant) {
        let now = Instant::now();
        for (name, time) in &mut self.times {
            if *name == what {
                *time += now - *since;
            }
        }
        *since = now;
    }
}

/// That the sides differ.
pub struct Difference {
    round: usize,
    /// Which packet of the round, if it was one alone.
    packet: Option<usize>,
    /// The filters that were there.
    filters: Vec<Filter>,
    /// What came out, of both sides.
    frames: [Vec<Vec<Arrived>>; 2],
    /// Counters that differ, of both sides.
    counts: Vec<(Id, [Option<Vec<Count>>; 2])>,
}

/// How many filters that were refused are told, for each reason.
const EXAMPLES: usize = 5;
const SIDES: [&str; 2] = ["software", "hardware"];

/// What each side counted, by filter.
type Counts = BTreeMap<Id, Vec<Count>>;

/// The two sides.
pub struct Pair {
    pub software: Side,
    pub hardware: Side,
    /// From which set on they are made to differ.
    pub fault: Option<(u64, Fault)>,
    /// How many sets were done.
    pub runs: u32,
}

impl Pair {
    /// Does a set, and leaves no filters. With `slow` each packet alone.
    pub fn run(
        &mut self,
        set: &Set,
        slow: bool,
        totals: &mut Totals,
    ) -> Result<Option<Difference>> {
        self.runs += 1;
        let mut filters = BTreeMap::new();
        let mut difference = None;
        let mut before = Counts::new();
        for (number, round) in set.rounds.iter().enumerate() {
            let mut clock = Instant::now();
            self.change(set.number, &round.changes, &mut filters, totals)
                .context("can't change filters")?;
            totals.time("add", &mut clock);
            let step = if slow { 1 } else { round.packets.len().max(1) };
            for first in (0..round.packets.len()).step_by(step) {
                let range = first..(first + step).min(round.packets.len());
                difference = self.burst(set.number, round, range, &filters, &mut before, totals)?;
                if let Some(difference) = &mut difference {
                    difference.round = number;
                    difference.packet = slow.then_some(first);
                    difference.filters = filters.values().cloned().collect();
                    break;
                }
            }
            if difference.is_some() {
                break;
            }
        }
        let mut clock = Instant::now();
        self.clear(set)?;
        totals.time("delete", &mut clock);
        totals.sets += 1;
        Ok(difference)
    }

    fn fault(&self, set: u64) -> Option<Fault> {
        let (from, fault) = self.fault?;
        (set >= from).then_some(fault)
    }

    /// Changes filters on both sides. One that hardware refuses software doesn't get.
    fn change(
        &mut self,
        set: u64,
        changes: &[Change],
        filters: &mut BTreeMap<Id, Filter>,
        totals: &mut Totals,
    ) -> Result<()> {
        let is_possible = |change: &&Change| match change {
            Change::Add(_) => true,
            Change::Replace(filter) | Change::Delete(filter) => filters.contains_key(&filter.id()),
        };
        let changes: Vec<&Change> = changes.iter().filter(is_possible).collect();
        let run = self.runs;
        let request = |change: &Change, mode: Mode, fault: Option<Fault>| match change {
            Change::Add(filter) | Change::Replace(filter) => {
                let flags = match change {
                    Change::Add(_) => NEW,
                    _ => uapi::NLM_F_CREATE,
                };
                match fault {
                    Some(Fault::Rule) => faulty(filter).add(flags, mode, run),
                    _ => filter.add(flags, mode, run),
                }
            }
            Change::Delete(filter) => filter.delete(),
        };
        let fault = self.fault(set);
        let mode = self.hardware.mode;
        let requests: Vec<_> = changes
            .iter()
            .map(|change| request(change, mode, fault))
            .collect();
        let results = self.hardware.requests(&requests)?;
        let mut accepted = Vec::new();
        for (change, result) in changes.into_iter().zip(results) {
            if !matches!(change, Change::Delete(_)) {
                totals.filters += 1;
            }
            match result {
                Ok(()) => accepted.push(change),
                // A filter that the first of the same batch has not let in.
                Err(refused) => refuse(change, "", &refused, mode, totals),
            }
        }
        let mode = self.software.mode;
        let requests: Vec<_> = accepted
            .iter()
            .map(|change| request(change, mode, None))
            .collect();
        let results = self.software.requests(&requests)?;
        let mut back = Vec::new();
        for (change, result) in accepted.into_iter().zip(results) {
            let filter = change.filter();
            match (change, result) {
                (Change::Delete(_), Ok(())) => {
                    filters.remove(&filter.id());
                }
                (_, Ok(())) => {
                    filters.insert(filter.id(), filter.clone());
                }
                (_, Err(refused)) => {
                    refuse(change, "software only: ", &refused, mode, totals);
                    filters.remove(&filter.id());
                    back.push(filter.delete());
                }
            }
        }
        if !back.is_empty() {
            // Neither side has it then.
            self.hardware.requests(&back)?;
            self.software.requests(&back)?;
        }
        Ok(())
    }

    /// Sends some packets of a round on both sides, and compares all that comes of it.
    fn burst(
        &mut self,
        set: u64,
        round: &Round,
        range: std::ops::Range<usize>,
        filters: &BTreeMap<Id, Filter>,
        before: &mut Counts,
        totals: &mut Totals,
    ) -> Result<Option<Difference>> {
        let packets: Vec<_> = round.packets[range].iter().map(|p| p.frame()).collect();
        totals.packets += packets.len() as u64;
        totals.segments += packets.iter().map(|frame| frame.count).sum::<u64>();
        let mut clock = Instant::now();
        self.software.send(round.port, packets.clone())?;
        self.hardware.send(round.port, packets)?;
        totals.time("send", &mut clock);
        let mut frames = [self.software.collect()?, self.hardware.collect()?];
        if frames[0] != frames[1] {
            // A packet may have been queued behind the last one.
            self.software.collect_late(&mut frames[0])?;
            self.hardware.collect_late(&mut frames[1])?;
            totals.late += u64::from(frames[0] == frames[1]);
        }
        totals.time("receive", &mut clock);
        match self.fault(set) {
            Some(Fault::Frame) => {
                let frame = frames[1].iter_mut().flatten().last();
                if let Some(byte) = frame.and_then(|frame| frame.bytes.last_mut()) {
                    *byte ^= 1;
                }
            }
            Some(Fault::Order) => {
                for port in &mut frames[1] {
                    let n = port.len();
                    if n > 1 {
                        port.swap(n - 1, n - 2);
                    }
                }
            }
            _ => {}
        }
        totals.frames += frames[0].iter().flatten().count() as u64;
        let mut places: Vec<Place> = filters.keys().map(|id| id.place).collect();
        places.dedup();
        if filters.values().any(Filter::shares) {
            // The kernel asks for what a filter has counted when it tells of that one: what others have
            // counted for the same action it tells later.
            for place in &places {
                self.hardware.counts(*place)?;
            }
        }
        let mut all = [Counts::new(), Counts::new()];
        for place in places {
            all[0].extend(self.software.counts(place)?);
            all[1].extend(self.hardware.counts(place)?);
        }
        totals.time("count", &mut clock);
        if self.fault(set) == Some(Fault::Count) {
            if let Some(count) = all[1].values_mut().flatten().next() {
                count.bytes += 1;
            }
        }
        let here = Place {
            port: round.port,
            egress: false,
        };
        for (id, counts) in &all[0] {
            // Some actions count nothing, see `filter::counts`.
            let packets = |counts: &[Count]| {
                let counts = counts.iter().map(|count| count.packets);
                counts.max().unwrap_or(0)
            };
            let (now, then) = (
                packets(counts),
                before.get(id).map_or(0, |counts| packets(counts)),
            );
            // One that was replaced began anew.
            let new = now.checked_sub(then).unwrap_or(now);
            if (id.place, id.chain) == (here, 0) {
                totals.hits += new;
            }
            if let Some(filter) = filters.get(id) {
                totals.saw(filter, new);
            }
        }
        let counts = compare(&all, filters, self.hardware.mode == Mode::SkipSw);
        let is_equal = frames[0] == frames[1] && counts.is_empty();
        *before = std::mem::take(&mut all[0]);
        Ok((!is_equal).then(|| Difference {
            round: 0,
            packet: None,
            filters: Vec::new(),
            frames,
            counts,
        }))
    }

    /// Deletes all filters that a set may have left.
    fn clear(&mut self, set: &Set) -> Result<()> {
        let ids = set.rounds.iter().flat_map(|round| &round.changes);
        let mut lists: Vec<_> = ids
            .map(|change| change.filter().id())
            // All of a chain but of the first, where one filter stays.
            .map(|id| (id.place, id.chain, if id.chain == 0 { id.prio } else { 0 }))
            .collect();
        lists.sort_unstable();
        lists.dedup();
        let requests: Vec<_> = lists
            .into_iter()
            .map(|(place, chain, prio)| flush(place, chain, prio))
            .collect();
        for side in [&mut self.software, &mut self.hardware] {
            for result in side.requests(&requests)? {
                match result {
                    // What was refused, or deleted.
                    Ok(())
                    | Err(Refused {
                        errno: Errno::ENOENT | Errno::EINVAL,
                        ..
                    }) => {}
                    Err(refused) => {
                        anyhow::bail!("{}: filters stay: {}", side.name, refused.reason())
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds the packet that makes the sides differ, and leaves out filters, keys and actions as long
    /// as they do.
    pub fn shrink(&mut self, set: &Set) -> Result<(Set, Option<Difference>)> {
        let mut totals = Totals::default();
        let Some(difference) = self.run(set, true, &mut totals)? else {
            return Ok((set.clone(), None));
        };
        let mut small = set.clone();
        small.rounds.truncate(difference.round + 1);
        let mut best = difference;
        // Only the packet by which they were found to differ.
        let mut alone = small.clone();
        for (n, round) in alone.rounds.iter_mut().enumerate() {
            match best.packet.filter(|_| n == best.round) {
                Some(packet) => round.packets = vec![round.packets[packet].clone()],
                None => round.packets.clear(),
            }
        }
        if let Some(difference) = self.run(&alone, true, &mut totals)? {
            (small, best) = (alone, difference);
        }
        let mut changed = true;
        while changed {
            changed = false;
            let mut n = 0;
            while let Some(candidates) = variants(&small, n) {
                for candidate in candidates {
                    if let Some(difference) = self.run(&candidate, true, &mut totals)? {
                        (small, best) = (candidate, difference);
                        changed = true;
                        break;
                    }
                }
                n += 1;
            }
        }
        Ok((small, Some(best)))
    }
}

/// Sets that have a little less than this one at the `n`th change; none if there is no such change.
fn variants(set: &Set, n: usize) -> Option<Vec<Set>> {
    let at = |set: &Set| {
        let mut left = n;
        for (number, round) in set.rounds.iter().enumerate() {
            if left < round.changes.len() {
                return Some((number, left));
            }
            left -= round.changes.len();
        }
        None
    };
    let (round, change) = at(set)?;
    let mut all = Vec::new();
    let mut without = set.clone();
    without.rounds[round].changes.remove(change);
    all.push(without);
    let filter = set.rounds[round].changes[change].filter();
    let mut smaller = Vec::new();
    for key in 0..filter.keys.as_ref().map_or(0, Vec::len) {
        let mut filter = filter.clone();
        filter.keys.as_mut().map(|keys| keys.remove(key));
        smaller.push(filter);
    }
    for action in 0..filter.actions.len() {
        if filter.actions.len() > 1 {
            let mut filter = filter.clone();
            filter.actions.remove(action);
            smaller.push(filter);
        }
        if let Action::Pedit(munges) = &filter.actions[action] {
            // With its other parts, which have no words.
            let starts = || (0..munges.len()).filter(|n| !munges[*n].words.is_empty());
            for start in starts().filter(|_| starts().count() > 1) {
                let end = starts().find(|n| *n > start).unwrap_or(munges.len());
                let mut filter = filter.clone();
                if let Action::Pedit(munges) = &mut filter.actions[action] {
                    munges.drain(start..end);
                }
                smaller.push(filter);
            }
        }
    }
    for filter in smaller {
        let mut set = set.clone();
        let change = &mut set.rounds[round].changes[change];
        *change = match change {
            Change::Add(_) => Change::Add(filter),
            Change::Replace(_) => Change::Replace(filter),
            Change::Delete(_) => continue,
        };
        all.push(set);
    }
    Some(all)
}

/// Notes that a filter was refused.
fn refuse(change: &Change, who: &str, refused: &Refused, mode: Mode, totals: &mut Totals) {
    if matches!(change, Change::Delete(_)) {
        return;
    }
    let reason = totals.refusals.entry(format!("{who}{}", refused.reason()));
    let (number, examples) = reason.or_default();
    *number += 1;
    if examples.len() < EXAMPLES {
        examples.push(change.words(mode));
    }
}

/// The same filter, which does something else in the end.
fn faulty(filter: &Filter) -> Filter {
    let mut filter = filter.clone();
    if let Some(last) = filter.actions.last_mut() {
        *last = match last {
            Action::Drop => Action::Ok,
            _ => Action::Drop,
        };
    }
    filter
}

/// The counters that differ. What filters in hardware alone have counted hardware must have.
fn compare(
    all: &[Counts; 2],
    filters: &BTreeMap<Id, Filter>,
    by_hardware: bool,
) -> Vec<(Id, [Option<Vec<Count>>; 2])> {
    let mut ids: Vec<Id> = all
        .iter()
        .flat_map(|counts| counts.keys().copied())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let differ = |id: &Id| {
        let (Some(software), Some(hardware)) = (all[0].get(id), all[1].get(id)) else {
            return true;
        };
        let actions = filters.get(id).map_or(&[][..], |filter| &filter.actions);
        software.len() != hardware.len()
            || (0..software.len()).any(|n| {
                let is_drop = by_hardware && actions.get(n) == Some(&Action::Drop);
                !are_equal(software[n], hardware[n], is_drop, by_hardware)
            })
    };
    ids.into_iter()
        .filter(differ)
        .map(|id| (id, [0, 1].map(|side| all[side].get(&id).cloned())))
        .collect()
}

/// Whether an action counted the same. To the kernel all packets of a drop that is in hardware are
/// drops, and a packet of several segments so many; software drops it as one.
fn are_equal(software: Count, hardware: Count, is_drop: bool, by_hardware: bool) -> bool {
    (software.packets, software.bytes) == (hardware.packets, hardware.bytes)
        && match is_drop {
            true => u64::from(hardware.drops) == hardware.packets,
            false => hardware.drops == software.drops,
        }
        && (!by_hardware || hardware.hardware == hardware.packets)
}

impl Difference {
    /// For people: the filters, the packet, and what each side made of it.
    pub fn text(&self, set: &Set, mode: Mode) -> String {
        let mut text = String::new();
        self.write(&mut text, set, mode)
            .unwrap_or_else(|_| unreachable!("a string takes all"));
        text
    }

    fn write(&self, text: &mut String, set: &Set, mode: Mode) -> std::fmt::Result {
        let rounds = &set.rounds[..=self.round];
        let changes = || rounds.iter().flat_map(|round| &round.changes);
        if changes().all(|change| matches!(change, Change::Add(_))) {
            writeln!(text, "filters:")?;
            for filter in &self.filters {
                writeln!(text, "  {}", filter.words(mode))?;
            }
        } else {
            // Their order may count.
            writeln!(text, "changes of filters, as far as they weren't refused:")?;
            for change in changes() {
                writeln!(text, "  {}", change.words(mode))?;
            }
        }
        let round = &set.rounds[self.round];
        let port = port_name(round.port);
        match self.packet.map(|n| &round.packets[n]) {
            Some(packet) => {
                let Frame {
                    bytes,
                    sum,
                    segments,
                    ..
                } = packet.frame();
                writeln!(text, "packet into {port}:")?;
                write!(text, "  {}", Summary(&bytes))?;
                if sum.0 != 0 {
                    write!(text, ", checksum to be made")?;
                }
                if segments.0 != 0 {
                    write!(text, ", segments of {} bytes", segments.1)?;
                }
                writeln!(text, "\n    {}", Hex(&bytes))?;
            }
            None => {
                let n = round.packets.len();
                writeln!(
                    text,
                    "{n} packets into {port}, not one of which does it alone"
                )?;
            }
        }
        for port in 0..ALL {
            self.write_port(text, port)?;
        }
        for (id, both) in &self.counts {
            writeln!(
                text,
                "counters of dev {} {} chain {} pref {} handle {:#x}:",
                port_name(id.place.port),
                if id.place.egress { "egress" } else { "ingress" },
                id.chain,
                id.prio,
                id.handle
            )?;
            for (name, counts) in SIDES.into_iter().zip(both) {
                let Some(counts) = counts else {
                    writeln!(text, "  {name}: no such filter")?;
                    continue;
                };
                for (n, count) in (1..).zip(counts) {
                    write!(text, "  {name}, action {n}: {count}")?;
                    if name == "hardware" && mode == Mode::SkipSw {
                        write!(text, ", {} of the packets by hardware", count.hardware)?;
                    }
                    writeln!(text)?;
                }
            }
        }
        Ok(())
    }

    /// What came out of a port: of one packet all, of several the first that differs.
    fn write_port(&self, text: &mut String, port: u8) -> std::fmt::Result {
        let name = port_name(port);
        let [software, hardware] = self
            .frames
            .each_ref()
            .map(|ports| &ports[usize::from(port)]);
        let mut show = |whose: &str, frame: Option<&Arrived>| {
            let Some(Arrived { bytes, sum_later }) = frame else {
                return writeln!(text, "    {whose}: nothing");
            };
            let later = if *sum_later {
                ", checksum to be made"
            } else {
                ""
            };
            let (summary, hex) = (Summary(bytes), Hex(bytes));
            writeln!(text, "    {whose}: {summary}{later}\n      {hex}")
        };
        if software == hardware {
            if self.packet.is_some() {
                for frame in software {
                    show(&format!("out of {name}, on both sides"), Some(frame))?;
                }
            }
            return Ok(());
        }
        let longest = software.len().max(hardware.len());
        let differ = |n: &usize| software.get(*n) != hardware.get(*n);
        for n in (0..longest).filter(differ) {
            let whose = format!("out of {name}, frame {} of {longest}", n + 1);
            show(&format!("{whose}, software"), software.get(n))?;
            show(&format!("{whose}, hardware"), hardware.get(n))?;
            if self.packet.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// What differs, in a word, to see which differences are alike.
    pub fn kind(&self) -> &'static str {
        match (self.frames[0] == self.frames[1], self.counts.is_empty()) {
            (false, false) => "frames and counters",
            (false, true) => "frames",
            _ => "counters",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    #[test]
    fn variants_have_less() {
        let set = generate::set(1, 5, 20);
        let size = |set: &Set| format!("{set:?}").len();
        let mut n = 0;
        while let Some(variants) = variants(&set, n) {
            assert!(variants.iter().all(|variant| size(variant) < size(&set)));
            n += 1;
        }
        let changes = set.rounds.iter().map(|round| round.changes.len());
        assert_eq!(n, changes.sum::<usize>());
    }

    #[test]
    fn counters_that_differ_are_found() {
        let id = Id {
            place: Place {
                port: 1,
                egress: false,
            },
            chain: 0,
            prio: 2,
            handle: 3,
        };
        let count = |packets, bytes, hardware| Count {
            packets,
            bytes,
            drops: 0,
            hardware,
        };
        let both = |a, b| [Counts::from([(id, vec![a])]), Counts::from([(id, vec![b])])];
        let filters = BTreeMap::new();
        let compare = |all: &_, by_hardware| compare(all, &filters, by_hardware);
        let equal = both(count(2, 9, 0), count(2, 9, 2));
        assert!(compare(&equal, true).is_empty());
        assert_eq!(
            compare(&both(count(2, 9, 0), count(2, 9, 1)), true).len(),
            1
        );
        assert_eq!(
            compare(&both(count(2, 9, 0), count(2, 8, 2)), true).len(),
            1
        );
        assert!(compare(&both(count(2, 9, 0), count(2, 9, 0)), false).is_empty());
        assert_eq!(compare(&[equal[0].clone(), Counts::new()], true).len(), 1);
    }
}
