// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters from user space: what a vendor's SDK or an agent knows of a flow goes
//! into the map of its firmware, from which the kernel is answered.
//!
//! The convention of `ekho.bpf.h`: a hash map `flow_stats` with the flow's cookie
//! as key and [`Counters`] as value. Firmware makes the entry when it accepts a
//! flow and deletes it when the flow ends; user space only ever overwrites, so a
//! cookie that isn't there is an error and not a leak.
//!
//! Counters are totals that only grow: the module makes deltas of them.

use std::collections::HashMap;
use std::mem::offset_of;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::contract::tables::layout::ekho_flow_counters;
use crate::contract::STATS_MAP as MAP;
use crate::error::{Error, Result};
use crate::firmware::attachment::Attachment;
use crate::firmware::image::describe;
use crate::kernel::bpf::{self, Map, UpdateMode};
use crate::kernel::capability::{self, Capability};
use crate::kernel::clock;
use crate::kernel::netlink::device;
use crate::kernel::netlink::filter::{self, FilterSpec};
use crate::kernel::netlink::rule::{self, RuleSpec};
use crate::module::state::{Filter, Flow, State};
use crate::module::Module;
use crate::number::parse_number;

/// Size of a key: of a flow's cookie.
const KEY_SIZE: u32 = size_of::<u64>() as u32;
/// Size of a value.
const VALUE_SIZE: u32 = size_of::<ekho_flow_counters>() as u32;
/// How often a filter is read before it is given up as ambiguous.
const RESOLVE_ROUNDS: usize = 8;

/// `struct ekho_flow_counters`: totals since the flow was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets dropped.
    pub drops: u64,
    /// Time of the last hit as `bpf_ktime_get_ns()` counts, 0 for none.
    pub last_used_ns: u64,
}

impl Counters {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let word = bytes.get(at..at + size_of::<u64>())?;
            word.try_into().ok().map(u64::from_ne_bytes)
        };
        Some(Self {
            packets: word(offset_of!(ekho_flow_counters, packets))?,
            bytes: word(offset_of!(ekho_flow_counters, bytes))?,
            drops: word(offset_of!(ekho_flow_counters, drops))?,
            last_used_ns: word(offset_of!(ekho_flow_counters, last_used_ns))?,
        })
    }

    fn to_bytes(self) -> [u8; VALUE_SIZE as usize] {
        let mut bytes = [0; VALUE_SIZE as usize];
        for (at, word) in [
            (offset_of!(ekho_flow_counters, packets), self.packets),
            (offset_of!(ekho_flow_counters, bytes), self.bytes),
            (offset_of!(ekho_flow_counters, drops), self.drops),
            (
                offset_of!(ekho_flow_counters, last_used_ns),
                self.last_used_ns,
            ),
        ] {
            bytes[at..at + size_of::<u64>()].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// What to do with the given numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// They are the totals.
    #[default]
    Set,
    /// They are added to the totals.
    Add,
}

/// When a flow was hit last: `now`, `never`, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "LastUsedWord")]
pub enum LastUsed {
    /// At this moment.
    Now,
    /// Never.
    Never,
    /// Then, in ns as `bpf_ktime_get_ns()` (`CLOCK_MONOTONIC`) counts.
    At(u64),
}

impl std::str::FromStr for LastUsed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            "never" => Ok(Self::Never),
            number => parse_number(number).map(Self::At).ok_or_else(|| {
                format!("`{number}` is neither `now` nor `never` nor a number of ns")
            }),
        }
    }
}

/// [`LastUsed`] as JSON has it.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`last_used` is `now`, `never` or a number of ns"
)]
enum LastUsedWord {
    At(u64),
    Text(String),
}

impl TryFrom<LastUsedWord> for LastUsed {
    type Error = String;

    fn try_from(word: LastUsedWord) -> Result<Self, String> {
        match word {
            LastUsedWord::At(time) => Ok(Self::At(time)),
            LastUsedWord::Text(text) => text.parse(),
        }
    }
}

/// A change to the counters of a flow. What isn't given stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What to do with the numbers.
    pub op: Op,
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Packets dropped.
    pub drops: Option<u64>,
    /// Last hit; when not given: now if packets, bytes or drops grow, else unchanged.
    pub last_used: Option<LastUsed>,
}

impl Change {
    /// Whether nothing is given at all.
    pub fn is_empty(&self) -> bool {
        self.packets.is_none()
            && self.bytes.is_none()
            && self.drops.is_none()
            && self.last_used.is_none()
    }

    /// The counters after the change, at time `now`.
    pub fn apply(&self, old: Counters, now: u64) -> Counters {
        let number = |old: u64, given: Option<u64>| match (self.op, given) {
            (_, None) => old,
            (Op::Set, Some(total)) => total,
            (Op::Add, Some(more)) => old.saturating_add(more),
        };
        let mut new = Counters {
            packets: number(old.packets, self.packets),
            bytes: number(old.bytes, self.bytes),
            drops: number(old.drops, self.drops),
            last_used_ns: old.last_used_ns,
        };
        let grew = new.packets > old.packets || new.bytes > old.bytes || new.drops > old.drops;
        new.last_used_ns = match self.last_used {
            Some(LastUsed::Now) => now,
            Some(LastUsed::Never) => 0,
            Some(LastUsed::At(time)) => time,
            None if grew => now,
            None => old.last_used_ns,
        };
        new
    }
}

/// Which flow is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// By the kernel's key, on a device if one is given.
    Cookie {
        /// The key.
        cookie: u64,
        /// Name of the device, needed when the flow is on several.
        dev: Option<String>,
    },
    /// By what `tc` calls it.
    Filter(FilterSpec),
    /// By what `nft` calls it.
    Rule(RuleSpec),
}

/// What user space can read of the kernel, and a flow is made of.
trait Readable {
    /// What messages call it.
    fn name(&self) -> String;
    /// Name of the device on which its flow is.
    fn dev(&self) -> &str;
    /// Whether a flow may be its.
    fn may_be(&self, flow: &Flow) -> bool;
    /// Reads it, which makes the kernel ask for the statistics of its flow. Returns the kind of a
    /// filter.
    fn poll(&self) -> Result<String>;
}

impl Readable for FilterSpec {
    fn name(&self) -> String {
        format!("filter {self}")
    }

    fn dev(&self) -> &str {
        &self.dev
    }

    fn may_be(&self, flow: &Flow) -> bool {
        flow.chain == self.chain && flow.prio == u32::from(self.prio)
    }

    fn poll(&self) -> Result<String> {
        filter::poll(self)
    }
}

impl Readable for RuleSpec {
    fn name(&self) -> String {
        format!("rule {self}")
    }

    fn dev(&self) -> &str {
        &self.dev
    }

    fn may_be(&self, flow: &Flow) -> bool {
        flow.classifier.as_deref() == Some("nft")
    }

    fn poll(&self) -> Result<String> {
        rule::poll(self).map(|()| String::new())
    }
}

/// What became of a flow's counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Updated {
    /// Name of the flow's device.
    pub dev: String,
    /// The kernel's key of the flow, as `"0x…"`.
    #[serde(serialize_with = "crate::number::serialize_hex")]
    pub cookie: u64,
    /// The totals now.
    #[serde(flatten)]
    pub counters: Counters,
}

/// Something that takes changes: the kernel's maps, or a test's.
pub trait Sink {
    /// Changes the counters of a flow.
    fn change(&mut self, target: &Target, change: &Change) -> Result<Updated>;
}

/// The statistics map of one attached firmware.
#[derive(Debug)]
struct Source {
    attachment: Attachment,
    map: Map,
}

impl Source {
    fn dev(&self) -> &str {
        &self.attachment.record().dev
    }
}

/// The statistics maps of the firmware that is attached.
#[derive(Debug)]
pub struct Stats<'state> {
    state: &'state dyn State,
    module: Module,
    filter: Filter,
    sources: Vec<Source>,
    /// Firmware that takes no statistics, and why.
    unfit: Vec<(String, Error)>,
    /// Cookies of filters that were looked up.
    resolved: HashMap<Target, u64>,
}

/// Finds and checks the statistics map of attached firmware.
fn statistics_map(attachment: &Attachment) -> Result<Map> {
    let record = attachment.record();
    let map = attachment.map(MAP)?.ok_or_else(|| Error::NoStatsMap {
        firmware: record.firmware.clone(),
        dev: record.dev.clone(),
        map: MAP.to_owned(),
    })?;
    let info = map.info();
    let fits = matches!(info.kind, bpf::MAP_TYPE_HASH | bpf::MAP_TYPE_LRU_HASH)
        && info.key_size == KEY_SIZE
        && info.value_size == VALUE_SIZE;
    if !fits {
        return Err(Error::StatsMapShape {
            firmware: record.firmware.clone(),
            dev: record.dev.clone(),
            map: MAP.to_owned(),
            found: describe(info),
            wanted: format!("a hash, key {KEY_SIZE} bytes, value {VALUE_SIZE} bytes"),
        });
    }
    Ok(map)
}

/// The flow whose statistics were asked for, out of flows before and after a
/// filter was read.
fn polled(before: &[Flow], after: &[Flow]) -> Vec<u64> {
    after
        .iter()
        .filter(|flow| {
            before
                .iter()
                .any(|old| old.cookie == flow.cookie && flow.stats_requests > old.stats_requests)
        })
        .filter_map(|flow| flow.cookie)
        .collect()
}

impl<'state> Stats<'state> {
    /// Opens the statistics maps of the firmware on devices that `filter` selects
    /// (`CAP_SYS_ADMIN`). Firmware without such a map only matters when a flow of it
    /// is meant.
    pub fn open(state: &'state dyn State, filter: Filter) -> Result<Self> {
        capability::require("writing statistics", &[Capability::SysAdmin])?;
        let mut stats = Self {
            state,
            module: Module::open()?,
            filter,
            sources: Vec::new(),
            unfit: Vec::new(),
            resolved: HashMap::new(),
        };
        stats.refresh()?;
        Ok(stats)
    }

    /// Looks again at what is attached.
    fn refresh(&mut self) -> Result<()> {
        self.sources.clear();
        self.unfit.clear();
        for record in self.state.firmware(&self.filter)? {
            let dev = record.dev.clone();
            // Firmware may go away between the record and the look at it.
            let attachment = match Attachment::open(&self.module, record) {
                Ok(attachment) => attachment,
                Err(Error::Io { source, .. }) if source.raw_os_error() == Some(2) => continue,
                Err(Error::NotAttached { .. }) => continue,
                Err(error) => return Err(error),
            };
            match statistics_map(&attachment) {
                Ok(map) => self.sources.push(Source { attachment, map }),
                Err(error) => self.unfit.push((dev, error)),
            }
        }
        Ok(())
    }

    /// The counters of a cookie in one map.
    fn lookup(source: &Source, cookie: u64) -> Result<Option<Counters>> {
        let value = source
            .map
            .lookup(&cookie.to_ne_bytes())
            .map_err(Error::io(format!(
                "can't read map `{MAP}` of `{}`",
                source.dev()
            )))?;
        Ok(value.and_then(|bytes| Counters::from_bytes(&bytes)))
    }

    fn find(&self, cookie: u64, dev: Option<&str>) -> Result<Vec<(&Source, Counters)>> {
        let mut found = Vec::new();
        for source in &self.sources {
            if dev.is_some_and(|dev| dev != source.dev()) {
                continue;
            }
            if let Some(counters) = Self::lookup(source, cookie)? {
                found.push((source, counters));
            }
        }
        Ok(found)
    }

    fn change_cookie(
        &mut self,
        cookie: u64,
        dev: Option<&str>,
        change: &Change,
    ) -> Result<Updated> {
        // Firmware that was swapped in the meantime may have other maps.
        if self
            .sources
            .iter()
            .any(|source| !source.attachment.is_current())
        {
            self.refresh()?;
        }
        let mut refreshed = false;
        loop {
            let found = self.find(cookie, dev)?;
            match found.as_slice() {
                [(source, old)] => {
                    let counters = change.apply(*old, clock::now_ns());
                    let written = source.map.update(
                        &cookie.to_ne_bytes(),
                        &counters.to_bytes(),
                        UpdateMode::Existing,
                    );
                    match written {
                        Ok(()) => {
                            return Ok(Updated {
                                dev: source.dev().to_owned(),
                                cookie,
                                counters,
                            })
                        }
                        Err(err) if err.raw_os_error() == Some(Errno::ENOENT as i32) => {
                            return Err(self.unknown(cookie, dev));
                        }
                        Err(err) => {
                            return Err(Error::Io {
                                what: format!("can't write map `{MAP}` of `{}`", source.dev()),
                                source: err,
                            })
                        }
                    }
                }
                [] if !refreshed => {
                    // Firmware may have been attached since the last look.
                    drop(found);
                    self.refresh()?;
                    refreshed = true;
                }
                [] => return Err(self.unknown(cookie, dev)),
                several => {
                    return Err(Error::SeveralCookies {
                        cookie,
                        devices: several
                            .iter()
                            .map(|(source, _)| source.dev().to_owned())
                            .collect(),
                    })
                }
            }
        }
    }

    /// Why a cookie isn't in any map: firmware that keeps none says more.
    fn unknown(&mut self, cookie: u64, dev: Option<&str>) -> Error {
        let position = self.unfit.iter().position(|(unfit, _)| match dev {
            Some(dev) => dev == unfit,
            None => self.sources.is_empty(),
        });
        if let Some(position) = position {
            return self.unfit.swap_remove(position).1;
        }
        if let Some(dev) = dev {
            if !self.sources.iter().any(|source| source.dev() == dev) {
                return match device::ifindex(dev) {
                    Ok(_) => Error::NotAttached {
                        dev: dev.to_owned(),
                    },
                    Err(error) => error,
                };
            }
        }
        Error::UnknownCookie {
            cookie,
            dev: dev.map(str::to_owned),
        }
    }

    /// The cookie of a filter or a rule. The kernel never tells a driver its handle, so it is read,
    /// and the flow that was asked for its statistics is it.
    fn resolve(&self, read: &dyn Readable) -> Result<u64> {
        let flows = || -> Result<Vec<Flow>> {
            let mut flows = self.state.flows(&Filter::device(read.dev())?)?;
            flows.retain(|flow| read.may_be(flow));
            Ok(flows)
        };
        let mut candidates: Option<Vec<u64>> = None;
        for _ in 0..RESOLVE_ROUNDS {
            let before = flows()?;
            let kind = read.poll()?;
            let after = flows()?;
            let is_u32 = |flow: &Flow| flow.classifier.as_deref() == Some("u32");
            if kind == "u32" && after.iter().any(is_u32) {
                return Err(Error::NoCounters {
                    filter: read.name(),
                });
            }
            if after.iter().any(|flow| flow.cookie.is_none()) {
                return Err(Error::Capabilities {
                    action: "finding the flow of a filter",
                    missing: vec![Capability::Syslog],
                });
            }
            let hit = polled(&before, &after);
            let left: Vec<u64> = match candidates {
                None => hit,
                Some(known) => known
                    .into_iter()
                    .filter(|cookie| hit.contains(cookie))
                    .collect(),
            };
            match left.as_slice() {
                [] => {
                    return Err(Error::NotOffloaded {
                        filter: read.name(),
                        dev: read.dev().to_owned(),
                    })
                }
                [cookie] => return Ok(*cookie),
                _ => candidates = Some(left),
            }
        }
        Err(Error::AmbiguousFilter {
            filter: read.name(),
            count: candidates.map_or(0, |candidates| candidates.len()),
        })
    }

    fn change_read(
        &mut self,
        target: &Target,
        read: &dyn Readable,
        change: &Change,
    ) -> Result<Updated> {
        if let Some(cookie) = self.resolved.get(target).copied() {
            if let Target::Rule(rule) = target {
                // The kernel never uses a handle again, but a rule's address, which is the cookie.
                rule::poll(rule).inspect_err(|_| {
                    self.resolved.remove(target);
                })?;
            }
            let result = self.change_cookie(cookie, Some(read.dev()), change);
            if !matches!(result, Err(Error::UnknownCookie { .. })) {
                return result;
            }
            // It was replaced: another flow has its handle now.
            self.resolved.remove(target);
        }
        let cookie = self.resolve(read)?;
        let updated = self.change_cookie(cookie, Some(read.dev()), change)?;
        self.resolved.insert(target.clone(), cookie);
        Ok(updated)
    }
}

impl Sink for Stats<'_> {
    fn change(&mut self, target: &Target, change: &Change) -> Result<Updated> {
        match target {
            Target::Cookie { cookie, dev } => self.change_cookie(*cookie, dev.as_deref(), change),
            Target::Filter(filter) => self.change_read(target, filter, change),
            Target::Rule(rule) => self.change_read(target, rule, change),
        }
    }
}

/// EtherType by the name that `tc` gives it, or as a number.
pub fn protocol(text: &str) -> Option<u16> {
    Some(match text {
        "all" => 0x0003,
        "ip" | "ipv4" => 0x0800,
        "arp" => 0x0806,
        "802.1q" | "802.1Q" => 0x8100,
        "ipv6" => 0x86dd,
        "mpls_uc" => 0x8847,
        "mpls_mc" => 0x8848,
        "ppp_ses" => 0x8864,
        "802.1ad" => 0x88a8,
        "lldp" => 0x88cc,
        number => u16::try_from(parse_number(number)?).ok()?,
    })
}

/// The name that `tc` gives an EtherType, or a number.
pub fn protocol_name(protocol: u16) -> String {
    let name = match protocol {
        0x0003 => "all",
        0x0800 => "ip",
        0x0806 => "arp",
        0x8100 => "802.1Q",
        0x86dd => "ipv6",
        0x8847 => "mpls_uc",
        0x8848 => "mpls_mc",
        0x8864 => "ppp_ses",
        0x88a8 => "802.1ad",
        0x88cc => "lldp",
        other => return format!("{other:#06x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let old = Counters {
            packets: 1,
            bytes: 2,
            drops: 3,
            last_used_ns: 4,
        };
        let change = Change {
            packets: Some(9),
            ..Change::default()
        };
        assert_eq!(
            change.apply(old, 50),
            Counters {
                packets: 9,
                last_used_ns: 50,
                ..old
            }
        );
    }

    #[test]
    fn idle_flows_stay_idle() {
        let old = Counters {
            packets: 5,
            bytes: 5,
            drops: 0,
            last_used_ns: 4,
        };
        let same = Change {
            packets: Some(5),
            bytes: Some(5),
            ..Change::default()
        };
        assert_eq!(same.apply(old, 50).last_used_ns, 4);
        let never = Change {
            last_used: Some(LastUsed::Never),
            ..same
        };
        assert_eq!(never.apply(old, 50).last_used_ns, 0);
    }

    #[test]
    fn sums_do_not_wrap() {
        let old = Counters {
            packets: u64::MAX - 1,
            ..Counters::default()
        };
        let change = Change {
            op: Op::Add,
            packets: Some(5),
            ..Change::default()
        };
        assert_eq!(change.apply(old, 0).packets, u64::MAX);
    }

    #[test]
    fn counters_survive_the_map() {
        let counters = Counters {
            packets: 1,
            bytes: 2,
            drops: 3,
            last_used_ns: 4,
        };
        assert_eq!(Counters::from_bytes(&counters.to_bytes()), Some(counters));
        assert_eq!(Counters::from_bytes(&[0; 31]), None);
    }

    fn flow(cookie: u64, stats_requests: u64) -> Flow {
        Flow {
            ifindex: 1,
            dev: "ek0".into(),
            netns: 1,
            netns_name: None,
            cookie: Some(cookie),
            classifier: None,
            chain: 0,
            prio: 1,
            protocol: 0x800,
            skip_sw: false,
            packets: 0,
            bytes: 0,
            drops: 0,
            last_used_ms: None,
            stats_requests,
            matches: Vec::new(),
            actions: Vec::new(),
            complete: true,
        }
    }

    #[test]
    fn the_flow_that_was_asked_is_found() {
        let before = [flow(1, 4), flow(2, 0)];
        assert_eq!(polled(&before, &[flow(1, 4), flow(2, 1)]), [2]);
        assert_eq!(polled(&before, &[flow(1, 5), flow(2, 1)]), [1, 2]);
        // A flow that came in between says nothing.
        assert_eq!(
            polled(&before, &[flow(1, 4), flow(2, 0), flow(3, 1)]),
            [0u64; 0]
        );
    }

    #[test]
    fn protocols_have_the_names_of_tc() {
        for name in ["ip", "ipv6", "arp", "all", "802.1Q", "0x1234"] {
            assert_eq!(protocol_name(protocol(name).unwrap()), name);
        }
        assert_eq!(protocol("0x12345"), None);
    }

    #[test]
    fn the_schema_of_updates_is_stable() {
        let updated = Updated {
            dev: "ek0".into(),
            cookie: 0xffff_8880_0000_0001,
            counters: Counters {
                packets: 1,
                bytes: 2,
                drops: 3,
                last_used_ns: 4,
            },
        };
        assert_eq!(
            serde_json::to_string(&updated).unwrap(),
            r#"{"dev":"ek0","cookie":"0xffff888000000001","packets":1,"bytes":2,"drops":3,"last_used_ns":4}"#
        );
    }
}
