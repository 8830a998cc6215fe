// SPDX-License-Identifier: MIT OR Apache-2.0

//! What EKHO may cost, and whether it costs no more in any boot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::slice;

use serde::{Deserialize, Serialize};

use crate::figures::{collect, number, Figure, Figures, MEMORY_PART, PROFILE};
use crate::kernel::{FLOW_SLAB, LARGER};
use crate::packets::{FEW, MANY, MASKS, MORE_MASKS};

/// A goal, and whether it is met.
#[derive(Serialize, Deserialize)]
pub struct Goal {
    pub what: String,
    /// Instructions, bytes or adds a second of it and of what it is compared with.
    pub value: Option<f64>,
    pub compared: Option<f64>,
    /// What the goal is about.
    pub result: Option<f64>,
    pub goal: String,
    pub met: Option<bool>,
    /// What was measured of the reason, if it isn't met.
    pub why: Option<String>,
}

/// What a result must be.
enum Want {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Goal {
    fn new(
        what: &str,
        value: Option<f64>,
        compared: Option<f64>,
        result: Option<f64>,
        want: &Want,
    ) -> Self {
        let (goal, met) = match *want {
            Want::AtMost(most) => (format!("≤ {most}"), result.map(|r| r <= most)),
            Want::AtLeast(least) => (format!("≥ {least}"), result.map(|r| r >= least)),
        };
        Self {
            what: what.to_owned(),
            value,
            compared,
            result,
            goal,
            met,
            why: None,
        }
    }
}

/// Builds goals from figures.
struct Goals<'a> {
    figures: &'a BTreeMap<String, Figure>,
    goals: Vec<Goal>,
}

impl<'a> Goals<'a> {
    fn of(figures: &'a BTreeMap<String, Figure>) -> Self {
        let goals = Vec::new();
        Self { figures, goals }
    }

    fn median(&self, name: &str) -> Option<f64> {
        Some(self.figures.get(name)?.summary.median)
    }

    fn add(
        &mut self,
        what: &str,
        value: Option<f64>,
        compared: Option<f64>,
        result: Option<f64>,
        want: &Want,
    ) {
        let goal = Goal::new(what, value, compared, result, want);
        self.goals.push(goal);
    }

    /// A figure to be at most `goal`, and by all means at most `must`.
    fn with_limit(
        &mut self,
        what: &str,
        (value, compared): (Option<f64>, Option<f64>),
        result: Option<f64>,
        (goal, must): (f64, f64),
    ) {
        self.add(what, value, compared, result, &Want::AtMost(goal));
        if let Some(last) = self.goals.last_mut() {
            let _ = write!(last.goal, " (must: ≤ {must})");
        }
    }

    /// The same of a ratio.
    fn limited_ratio(&mut self, what: &str, value: &str, compared: &str, limits: (f64, f64)) {
        let (value, compared) = (self.median(value), self.median(compared));
        let result = value.zip(compared).map(|(v, c)| v / c);
        self.with_limit(what, (value, compared), result, limits);
    }

    /// Packets of EKHO's next to those of the kernel without it.
    fn packets(&mut self) {
        const KINDS: [(&str, &str); 4] = [
            ("udp64", "UDP, 64 bytes"),
            ("udp1500", "UDP, 1 500 bytes"),
            ("tcp64", "TCP, small"),
            ("tcp1500", "TCP, 1 500 bytes"),
        ];
        for (way, what, limits) in [
            ("cable", "packet over a cable / between veths", (1.0, 1.15)),
            (
                "redirect",
                "packet redirected by a rule in the device / by flower and mirred between veths",
                (0.6, 1.0),
            ),
        ] {
            for (kind, kind_text) in KINDS {
                self.limited_ratio(
                    &format!("{what}: {kind_text}"),
                    &format!("packet/{way}-ekho-{kind}"),
                    &format!("packet/{way}-veth-{kind}"),
                    limits,
                );
                self.why(|goals| goals.why_packets(way));
            }
        }
        let lookup = |rules: u32, masks: u32| format!("packet/lookup@{rules}x{masks}-udp64");
        self.limited_ratio(
            "packet redirected behind 100 000 rules of 8 masks / behind 1 000",
            &lookup(MANY, MASKS),
            &lookup(FEW, MASKS),
            (1.02, 1.1),
        );
        self.why(|goals| {
            let pruned = goals.more(&lookup(MANY, MASKS), &lookup(FEW, MASKS))?;
            Some(format!(
                "{} more are looks into the hash table, which few rules of a mask save by a filter in \
                 front of it, and many don't",
                number(Some(pruned))
            ))
        });
        let none = "packet/redirect-ekho-udp64";
        let probe = self
            .more(&lookup(MANY, MASKS), none)
            .map(|more| more / f64::from(MASKS - 1));
        let more = self.more(&lookup(FEW, MORE_MASKS), none);
        let result = more.zip(probe).map(|(m, p)| m / p);
        self.with_limit(
            "instructions for 63 masks of few rules that don't match / for one mask of many rules",
            (more, probe),
            result,
            (8.0, 64.0),
        );
        self.why(|goals| {
            let each = goals.more(&lookup(FEW, MORE_MASKS), none)? / f64::from(MORE_MASKS - 1);
            Some(format!(
                "A mask that the filter in front of the hash table rules out takes {}",
                number(Some(each))
            ))
        });
        let (nic, noop) = (self.median("memory/nic"), self.median("memory/noop"));
        let more = nic.zip(noop).map(|(n, m)| n - m);
        self.with_limit(
            "memory of a rule that is executed, bytes: with `nic` − with `noop`",
            (nic, noop),
            more,
            (320.0, 512.0),
        );
        self.limited_ratio(
            "`skip_sw` add: with `nic`, which has it executed / with `noop`",
            "add/rule-nic",
            "add/rule-noop",
            (1.1, 1.25),
        );
        self.why(|goals| {
            Some(format!(
                "{} more make the rule: its key under the mask, its actions, its place in the table",
                number(Some(goals.more("add/rule-nic", "add/rule-noop")?))
            ))
        });
    }

    /// In which functions small packets take more than those of the kernel without EKHO.
    fn why_packets(&self, way: &str) -> Option<String> {
        const MOST: usize = 8;
        let of = |with: &str| {
            let prefix = format!("{PROFILE}packet-{way}-{with}/");
            let all = self.median(&format!("packet/{way}-{with}-udp64"))?;
            let shares = self.figures.iter().filter_map(move |(name, figure)| {
                let function = name.strip_prefix(&prefix)?;
                Some((function, figure.summary.median / 100.0 * all))
            });
            Some(shares.collect::<BTreeMap<_, _>>())
        };
        let (ours, theirs) = (of("ekho")?, of("veth")?);
        // Profiles have the first functions only: one of the kernel's that isn't in both isn't compared.
        let mut more: Vec<_> = ours
            .iter()
            .filter_map(|(function, own)| match theirs.get(function) {
                Some(other) => Some((function, own - other)),
                None => function.contains("ekho").then_some((function, *own)),
            })
            .collect();
        more.sort_by(|a, b| b.1.total_cmp(&a.1));
        let functions: Vec<_> = more
            .iter()
            .take(MOST)
            .map(|(function, more)| format!("`{function}` {more:.0}"))
            .collect();
        Some(format!(
            "By samples of the kernel's part of small UDP packets, the functions that take most more of \
             each are {}; each port is polled by itself (NAPI), where veths share the backlog of the \
             CPU, and packets come one by one here",
            functions.join(", ")
        ))
    }

    /// Says why the last one isn't met, if it isn't and what it takes was measured.
    fn why(&mut self, why: impl FnOnce(&Self) -> Option<String>) {
        if self
            .goals
            .last()
            .is_some_and(|goal| goal.met == Some(false))
        {
            let why = why(self);
            if let Some(goal) = self.goals.last_mut() {
                goal.why = why;
            }
        }
    }

    /// By how much one figure is larger than another.
    fn more(&self, name: &str, than: &str) -> Option<f64> {
        Some(self.median(name)? - self.median(than)?)
    }

    /// Why an op of EKHO's is more than one of a driver in C.
    fn why_driver(&self, op: &str) -> Option<String> {
        let whole = self.more(&format!("{op}/noop-ekho"), &format!("{op}/driver"))?;
        let nothing = self.more(&format!("{op}/driver"), &format!("{op}/netdevsim"))?;
        let call = self.more(&format!("{op}/noop-ekho"), &format!("{op}/noop-native"))?;
        let callback = if op == "add" { "replace" } else { "destroy" };
        let native = self.median(&format!("op-{callback}/noop-native"))?;
        Some(format!(
            "Of {} more, {} are the call into BPF and {} its timing and its guard against misuse, \
             for which the driver has no need; {} are what EKHO's record of the flow and the \
             op's argument take beyond the driver's record. That one takes {} more than \
             netdevsim, which keeps nothing",
            number(Some(whole)),
            number(Some(call)),
            number(Some(native)),
            number(Some(whole - call - native)),
            number(Some(nothing)),
        ))
    }

    fn why_add(&self) -> Option<String> {
        let whole = self.more("add/stats", "add/software")?;
        let kernel = self.more("add/netdevsim", "add/software")?;
        let map = self.more("add/stats", "add/noop-ekho")?;
        let call = self.more("add/noop-ekho", "add/noop-native")?;
        Some(format!(
            "Of {} more, {} are the kernel's own for any driver (netdevsim's), {} BPF's hash map, \
             {} the call into BPF, and {} EKHO's",
            number(Some(whole)),
            number(Some(kernel)),
            number(Some(map)),
            number(Some(call)),
            number(Some(whole - kernel - map - call)),
        ))
    }

    fn why_dump(&self) -> Option<String> {
        let whole = self.more("dump/stats", "dump/software")?;
        let kernel = self.more("dump/driver", "dump/software")?;
        let call = self.median("op-stats/noop-ekho")?;
        let map = self.more("op-stats/stats-ekho", "op-stats/noop-ekho")?;
        Some(format!(
            "Of {} more, {} are the kernel's own for any driver, {} the call of an op that does nothing, \
             with its timing and its guard against misuse, {} the map of `stats`; {} are what EKHO takes to \
             find the flow and to make a delta of its totals",
            number(Some(whole)),
            number(Some(kernel)),
            number(Some(call)),
            number(Some(map)),
            number(Some(whole - kernel - call - map)),
        ))
    }

    /// Why an op costs more where there are many flows.
    fn why_scale(&self, op: &str) -> Option<String> {
        let at = |with: &str, flows: &str| self.median(&format!("{op}/{with}@{flows}"));
        let own = |flows: &str| Some(at("noop", flows)? - at("software", flows)?);
        Some(format!(
            "Without EKHO (`skip_hw`) it is {}; what EKHO adds is {} at 100 000 and {} at 1 000",
            number(Some(at("software", "100000")? / at("software", "1000")?)),
            number(own("100000")),
            number(own("1000")),
        ))
    }

    fn why_callback(&self, op: &str, firmware: &str) -> Option<String> {
        let name = |firmware: &str, with: &str| format!("op-{op}/{firmware}-{with}");
        let more = |firmware: &str| self.more(&name(firmware, "ekho"), &name(firmware, "native"));
        let (whole, call) = (more(firmware)?, more("noop")?);
        let map = more("stats")? - call;
        let mut why = format!(
            "Of {} more, {} are the call into BPF, which an op that does nothing pays too, and {} \
             BPF's hash map in place of one whose keys the compiler knows",
            number(Some(whole)),
            number(Some(call)),
            number(Some(map)),
        );
        if firmware != "stats" {
            let rest = number(Some(whole - call - map));
            // An op that takes a flow reads it; one that takes it away only tells of it.
            let read = if op == "replace" {
                "the rule's encoding, which BPF gets from a kfunc and reads within bounds that its \
                 verifier can check, and "
            } else {
                ""
            };
            let _ = write!(
                why,
                "; {rest} are {read}the event, for which helpers are called to read the clock, to \
                 reserve room and to submit it"
            );
        }
        Some(why)
    }

    /// A figure to be at most `most` times another.
    fn ratio(&mut self, what: &str, value: &str, compared: &str, most: f64) {
        let (value, compared) = (self.median(value), self.median(compared));
        let result = value.zip(compared).map(|(v, c)| v / c);
        self.add(what, value, compared, result, &Want::AtMost(most));
    }

    /// The same without what it takes to ask for nothing.
    fn callback(&mut self, op: &str, firmware: &str) {
        let base = self.median(&format!("op-{op}/noop-native"));
        let of = |with: &str| {
            let whole = self.median(&format!("op-{op}/{firmware}-{with}"))?;
            Some(whole - base?)
        };
        let (value, compared) = (of("ekho"), of("native"));
        let result = value.zip(compared).map(|(v, c)| v / c);
        let what = format!("callback alone: `{op}` of `{firmware}` in BPF / in native Rust");
        self.add(&what, value, compared, result, &Want::AtMost(1.5));
        self.why(|goals| goals.why_callback(op, firmware));
    }

    /// The same of BPF, to be at most so many instructions.
    fn callback_alone(&mut self, op: &str, firmware: &str, most: f64) {
        let result = self.more(
            &format!("op-{op}/{firmware}-ekho"),
            &format!("op-{op}/noop-native"),
        );
        let what = format!("callback alone: `{op}` of `{firmware}`, instructions");
        self.add(&what, result, None, result, &Want::AtMost(most));
        self.why(|goals| {
            let call = goals.more(
                &format!("op-{op}/noop-ekho"),
                &format!("op-{op}/noop-native"),
            )?;
            Some(format!(
                "{} are the call into BPF, which an op that does nothing pays too",
                number(Some(call))
            ))
        });
    }

    fn memory(&mut self, firmware: &str, most: f64) {
        let software = self.median("memory/software");
        let value = self.median(&format!("memory/{firmware}"));
        // A map's memory comes with the firmware.
        let (map, with) = match firmware {
            "stats" => (
                self.median("memory/stats-map"),
                "`stats` and an entry of its map",
            ),
            _ => (Some(0.0), "`noop`"),
        };
        let value = value.zip(map).map(|(v, m)| v + m);
        let result = value.zip(software).map(|(v, c)| v - c);
        let what = format!("memory of a flow, bytes: with {with} − software only");
        self.add(&what, value, software, result, &Want::AtMost(most));
        self.why(|goals| goals.why_memory(firmware, map?));
    }

    /// Of what a flow's memory is made.
    fn why_memory(&self, firmware: &str, map: f64) -> Option<String> {
        let part = |with: &str, part: &str| self.median(&format!("{MEMORY_PART}{with}/{part}"));
        let more = |name: &str| Some(part(firmware, name)? - part("software", name).unwrap_or(0.0));
        let record = more(FLOW_SLAB)?;
        // What else the kernel has in large pieces comes and goes.
        let name = format!("{MEMORY_PART}{firmware}/{LARGER}");
        let with = self.figures.get(&name)?.summary;
        let without = part("software", LARGER).unwrap_or(0.0);
        Some(format!(
            "{} are the flow's record, {} the hash table by cookie (an array of a power of two with a \
             head, for which the kernel takes the next power; {} to {} in rounds, as others take large \
             pieces too), {} the entry of the map, of which BPF's own is more than half",
            number(Some(record)),
            number(more(LARGER)),
            number(Some(with.low - without)),
            number(Some(with.high - without)),
            number(Some(map)),
        ))
    }
}

/// What of goals was met: each has the numbers of the boot in which it was met least.
pub fn goals(boots: &[Figures], parallel: Option<&Figures>) -> Vec<Goal> {
    let mut of_boots = boots
        .iter()
        .map(|boot| of_boot(&collect(slice::from_ref(boot))));
    let mut goals = of_boots.next().unwrap_or_default();
    for others in of_boots {
        for (goal, other) in goals.iter_mut().zip(others) {
            if other.result > goal.result {
                *goal = other;
            }
        }
    }
    goals.push(repeatability(&collect(boots)));
    goals.push(two_cpus(&collect(parallel.map_or(&[], slice::from_ref))));
    goals
}

/// Goals that figures of one boot are about. All are met by what is small.
fn of_boot(figures: &BTreeMap<String, Figure>) -> Vec<Goal> {
    let mut goals = Goals::of(figures);
    for op in ["add", "delete"] {
        goals.ratio(
            &format!("`skip_sw` {op}, `noop`: in BPF / in native Rust"),
            &format!("{op}/noop-ekho"),
            &format!("{op}/noop-native"),
            1.03,
        );
    }
    goals.ratio(
        "add: `skip_sw` with `stats` / `skip_hw`",
        "add/stats",
        "add/software",
        1.12,
    );
    goals.why(Goals::why_add);
    for op in ["add", "delete"] {
        goals.ratio(
            &format!("`skip_sw` {op}: EKHO with `noop` / a driver in C that keeps a record"),
            &format!("{op}/noop-ekho"),
            &format!("{op}/driver"),
            1.02,
        );
        goals.why(|goals| goals.why_driver(op));
    }
    goals.ratio(
        "dump of a flow's statistics: `stats` / software only",
        "dump/stats",
        "dump/software",
        1.25,
    );
    goals.why(Goals::why_dump);
    for op in ["add", "delete", "dump"] {
        goals.ratio(
            &format!("{op}, `noop`: at 100 000 flows / at 1 000"),
            &format!("{op}/noop@100000"),
            &format!("{op}/noop@1000"),
            1.10,
        );
        goals.why(|goals| goals.why_scale(op));
    }
    goals.ratio(
        "list of flows, each: over netlink / as text in debugfs",
        "list/netlink@1000",
        "list/debugfs@1000",
        1.0,
    );
    goals.ratio(
        "list of flows over netlink, each: at 100 000 flows / at 1 000",
        "list/netlink@100000",
        "list/netlink@1000",
        1.10,
    );
    for (op, firmware) in [
        ("replace", "stats"),
        ("replace", "acl"),
        ("destroy", "stats"),
        ("destroy", "acl"),
    ] {
        goals.callback(op, firmware);
    }
    goals.callback_alone("stats", "stats", 250.0);
    goals.ratio(
        "replacement of firmware: at 100 000 flows / at 1 000",
        "replacement/noop@100000",
        "replacement/noop@1000",
        1.10,
    );
    goals.packets();
    goals.memory("noop", 320.0);
    goals.memory("stats", 316.0);
    goals.goals
}

fn repeatability(figures: &BTreeMap<String, Figure>) -> Goal {
    let repeated: Vec<_> = figures
        .iter()
        .filter_map(|(name, figure)| Some((name, figure.between_boots?)))
        .collect();
    let worst = repeated.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let good = repeated.iter().filter(|(_, share)| *share <= 0.005).count();
    let what = match worst {
        Some((name, _)) => format!(
            "medians of boots apart, %: the worst figure, `{name}` ({good} of {} are within 0.5)",
            repeated.len()
        ),
        None => "medians of boots apart, %: the worst figure".to_owned(),
    };
    let percent = worst.map(|(_, share)| share * 100.0);
    let want = Want::AtMost(0.5);
    let mut goal = Goal::new(&what, None, None, percent, &want);
    goal.why = worst.filter(|_| goal.met == Some(false)).map(|(name, _)| {
        let spread = figures[*name].summary.spread() * 100.0;
        format!(
            "Within one boot its samples are {} % apart",
            number(Some(spread))
        )
    });
    goal
}

fn two_cpus(figures: &BTreeMap<String, Figure>) -> Goal {
    let summary = |name: &str| Some(figures.get(name)?.summary);
    let median = |name: &str| Some(summary(name)?.median);
    let spread = summary("parallel/ratio").map_or(String::new(), |rounds| {
        format!(
            " (one round in ten below {}, one above {})",
            number(Some(rounds.low)),
            number(Some(rounds.high))
        )
    });
    let what = format!("adds a second, real time: two threads on 2 CPUs / one{spread}");
    let ratio = median("parallel/ratio");
    let (two, one) = (median("parallel/2"), median("parallel/1"));
    let mut goal = Goal::new(&what, two, one, ratio, &Want::AtLeast(1.7));
    if goal.met == Some(false) {
        goal.why = Some(format!(
            "Without EKHO (`skip_hw`) it is {}: adds wait for each other at locks of the kernel's \
             own, and what else the host does takes more of two CPUs than of one",
            number(median("parallel-software/ratio"))
        ));
    }
    goal
}
