// SPDX-License-Identifier: MIT OR Apache-2.0

//! The report: goals and whether they are met, all figures, a chart, and what changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::chart;
use crate::figures::{Figures, Summary};
use crate::guest::{MEMORY_PART, PROFILE};
use crate::kernel::CHARGED;

#[derive(clap::Args)]
pub struct Arguments {
    /// Figures of the boots, the full one first.
    #[arg(required = true)]
    boots: Vec<PathBuf>,
    /// Figures of the guest with two CPUs.
    #[arg(long)]
    parallel: Option<PathBuf>,
    /// Where the report goes.
    #[arg(long)]
    out: PathBuf,
    /// An earlier report's JSON to compare with.
    #[arg(long)]
    base: Option<PathBuf>,
    /// What was measured, and when.
    #[arg(long)]
    title: String,
}

/// A figure of all boots.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Figure {
    #[serde(flatten)]
    summary: Summary,
    /// How far the medians of boots are apart, as a share; none if there was one boot.
    between_boots: Option<f64>,
}

/// A report, as its JSON has it.
#[derive(Serialize, Deserialize)]
struct Report {
    title: String,
    goals: Vec<Goal>,
    figures: BTreeMap<String, Figure>,
}

/// A goal, and whether it is met.
#[derive(Serialize, Deserialize)]
struct Goal {
    what: String,
    /// Instructions, bytes or adds a second of it and of what it is compared with.
    value: Option<f64>,
    compared: Option<f64>,
    /// What the goal is about.
    result: Option<f64>,
    goal: String,
    met: Option<bool>,
    /// What was measured of the reason, if it isn't met.
    why: Option<String>,
}

/// What a result must be.
enum Want {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

fn collect(boots: &[Figures]) -> BTreeMap<String, Figure> {
    let Some((first, rest)) = boots.split_first() else {
        return BTreeMap::new();
    };
    let figure = |(name, samples): (&String, &Vec<f64>)| {
        let summary = Summary::of(samples)?;
        let medians: Vec<f64> = rest
            .iter()
            .filter_map(|boot| Some(Summary::of(boot.0.get(name)?)?.median))
            .chain([summary.median])
            .collect();
        let high = medians.iter().copied().fold(f64::MIN, f64::max);
        let low = medians.iter().copied().fold(f64::MAX, f64::min);
        let between_boots = (medians.len() > 1 && low > 0.0).then(|| (high - low) / low);
        Some((
            name.clone(),
            Figure {
                summary,
                between_boots,
            },
        ))
    };
    first.0.iter().filter_map(figure).collect()
}

/// Builds the table of goals.
struct Goals<'a> {
    figures: &'a BTreeMap<String, Figure>,
    goals: Vec<Goal>,
}

impl Goals<'_> {
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
        let (goal, met) = match *want {
            Want::AtMost(most) => (format!("≤ {most}"), result.map(|r| r <= most)),
            Want::AtLeast(least) => (format!("≥ {least}"), result.map(|r| r >= least)),
        };
        self.goals.push(Goal {
            what: what.to_owned(),
            value,
            compared,
            result,
            goal,
            met,
            why: None,
        });
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

    /// Why an op of EKHO's is more than one of a driver which keeps nothing.
    fn why_record(&self, op: &str) -> Option<String> {
        let whole = self.more(&format!("{op}/noop-ekho"), &format!("{op}/netdevsim"))?;
        let call = self.more(&format!("{op}/noop-ekho"), &format!("{op}/noop-native"))?;
        let callback = if op == "add" { "replace" } else { "destroy" };
        let native = self.median(&format!("op-{callback}/noop-native"))?;
        Some(format!(
            "netdevsim keeps nothing of a flow and asks nobody. Of {} more, {} are the call into \
             BPF and {} its timing and its guard against misuse; {} are the flow's record and \
             the op's argument",
            number(Some(whole)),
            number(Some(call)),
            number(Some(native)),
            number(Some(whole - call - native)),
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
                "kfuncs, which copy keys and actions that native code reads in place, and "
            } else {
                ""
            };
            let _ = write!(
                why,
                "; {rest} are {read}the event, each part of which a helper reserves, checks or commits"
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

    fn memory(&mut self, firmware: &str) {
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
        self.add(&what, value, software, result, &Want::AtMost(320.0));
    }
}

/// Figures whose repetition isn't measured by instructions.
fn is_exact(name: &str) -> bool {
    !name.starts_with("parallel/")
}

fn goals(figures: &BTreeMap<String, Figure>) -> Vec<Goal> {
    let mut goals = Goals {
        figures,
        goals: Vec::new(),
    };
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
        1.15,
    );
    goals.why(Goals::why_add);
    for op in ["add", "delete"] {
        goals.ratio(
            &format!("`skip_sw` {op}: EKHO with `noop` / netdevsim"),
            &format!("{op}/noop-ekho"),
            &format!("{op}/netdevsim"),
            1.05,
        );
        goals.why(|goals| goals.why_record(op));
    }
    goals.ratio(
        "dump of a flow's statistics: `stats` / software only",
        "dump/stats",
        "dump/software",
        1.25,
    );
    for op in ["add", "delete", "dump"] {
        goals.ratio(
            &format!("{op}, `noop`: at 100 000 flows / at 1 000"),
            &format!("{op}/noop@100000"),
            &format!("{op}/noop@1000"),
            1.10,
        );
        goals.why(|goals| goals.why_scale(op));
    }
    for (op, firmware) in [
        ("replace", "stats"),
        ("replace", "acl"),
        ("destroy", "stats"),
        ("destroy", "acl"),
        ("stats", "stats"),
    ] {
        goals.callback(op, firmware);
    }
    goals.ratio(
        "replacement of firmware: at 100 000 flows / at 1 000",
        "replacement/noop@100000",
        "replacement/noop@1000",
        1.10,
    );
    goals.memory("noop");
    goals.memory("stats");
    let worst = figures
        .iter()
        .filter(|(name, _)| is_exact(name))
        .filter_map(|(name, figure)| Some((name, figure.between_boots?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let repeated: Vec<_> = figures.values().filter_map(|f| f.between_boots).collect();
    let good = repeated.iter().filter(|share| **share <= 0.005).count();
    let what = match worst {
        Some((name, _)) => format!(
            "medians of 3 boots apart, %: the worst figure, `{name}` ({good} of {} are within 0.5)",
            repeated.len()
        ),
        None => "medians of boots apart, %: the worst figure".to_owned(),
    };
    let percent = worst.map(|(_, share)| share * 100.0);
    goals.add(&what, None, None, percent, &Want::AtMost(0.5));
    goals.why(|goals| {
        let figure = goals.figures.get(worst?.0)?;
        let spread = figure.summary.spread() * 100.0;
        Some(format!(
            "Within one boot its samples are {} % apart",
            number(Some(spread))
        ))
    });
    let (two, one) = (goals.median("parallel/2"), goals.median("parallel/1"));
    let ratio = goals.median("parallel/ratio");
    goals.add(
        "adds a second, real time: two threads on 2 CPUs / one",
        two,
        one,
        ratio,
        &Want::AtLeast(1.4),
    );
    goals.why(|goals| {
        let rounds = goals.figures.get("parallel/ratio")?.summary;
        Some(format!(
            "One round in ten was below {}, one in ten above {}: what else the host does shows",
            number(Some(rounds.low)),
            number(Some(rounds.high))
        ))
    });
    goals.goals
}

/// Figures that have tables of their own.
fn is_detail(name: &str) -> bool {
    name.starts_with(PROFILE) || name.starts_with(MEMORY_PART)
}

/// A number for people: no more digits than are of use.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    // Thousands are set apart.
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 && !out.ends_with('-') {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

fn goals_table(goals: &[Goal]) -> String {
    let mut out = String::from(
        "| figure | value | compared with | result | goal | met |\n|---|--:|--:|--:|--:|---|\n",
    );
    for goal in goals {
        let met = match goal.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        // Writing to a string can't fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {met} |",
            goal.what,
            number(goal.value),
            number(goal.compared),
            number(goal.result),
            goal.goal,
        );
    }
    out
}

/// Why goals aren't met.
fn reasons(goals: &[Goal]) -> String {
    let mut out = String::new();
    for goal in goals.iter().filter(|goal| goal.met == Some(false)) {
        let why = goal.why.as_deref().unwrap_or("See the profile");
        let _ = writeln!(out, "- {}: {why}.", goal.what);
    }
    if !out.is_empty() {
        out.insert_str(0, "\n## Goals that aren't met\n\n");
    }
    out
}

/// Where the instructions of an add go, from differences of figures.
fn breakdown(figures: &BTreeMap<String, Figure>) -> Option<String> {
    let median = |name: &str| Some(figures.get(name)?.summary.median);
    let netdevsim = median("add/netdevsim")?;
    let op = median("op-replace/noop-native")?;
    let native = median("add/noop-native")?;
    let noop = median("add/noop-ekho")?;
    let parts = [
        ("the kernel with a driver that does nothing", netdevsim),
        (
            "the module's record of the flow, and the op's argument",
            native - netdevsim - op,
        ),
        ("the op's timing and its guard against misuse", op),
        ("BPF instead of a native call", noop - native),
        ("the map of `stats`", median("add/stats")? - noop),
    ];
    let mut out = String::from("| part of an add with `stats` | instructions |\n|---|--:|\n");
    for (what, value) in parts {
        let _ = writeln!(out, "| {what} | {} |", number(Some(value)));
    }
    Some(out)
}

/// In what the kernel has a flow's memory, in bytes.
fn memory_table(figures: &BTreeMap<String, Figure>) -> Option<String> {
    const COLUMNS: [&str; 4] = ["software", "noop", "stats", "stats-map"];
    let median = |name: &str| Some(figures.get(name)?.summary.median);
    let mut parts: BTreeMap<&str, [Option<f64>; COLUMNS.len()]> = BTreeMap::new();
    for (n, column) in COLUMNS.iter().enumerate() {
        let prefix = format!("{MEMORY_PART}{column}/");
        for (name, figure) in figures {
            if let Some(part) = name.strip_prefix(&prefix) {
                parts.entry(part).or_default()[n] = Some(figure.summary.median);
            }
        }
    }
    // Other tasks' comings and goings don't reach half a byte a flow.
    parts.retain(|part, values| {
        let some = values.iter().flatten().any(|value| value.abs() >= 0.5);
        *part == CHARGED || some
    });
    if parts.is_empty() {
        return None;
    }
    let row = |out: &mut String, what: &str, values: [Option<f64>; COLUMNS.len()]| {
        let _ = write!(out, "| {what} |");
        for value in values {
            let _ = write!(out, " {:.0} |", value.unwrap_or(0.0).round() + 0.0);
        }
        out.push('\n');
    };
    let mut out = String::from(
        "| bytes of a flow | software only | with `noop` | with `stats` | an entry of the map of `stats` |\n\
         |---|--:|--:|--:|--:|\n",
    );
    let charged = parts.remove(CHARGED);
    for (part, values) in parts {
        row(&mut out, part, values);
    }
    let all = COLUMNS.map(|column| median(&format!("memory/{column}")));
    row(&mut out, "together, parts too small to show included", all);
    if let Some(charged) = charged {
        row(&mut out, CHARGED, charged);
    }
    Some(out)
}

/// The functions in which the kernel is most while filters are added.
fn profile(figures: &BTreeMap<String, Figure>) -> String {
    const MOST: usize = 15;
    let module = |name: &str| name.contains("ekho") || name.starts_with("bpf_flow_offload_");
    let bpf = |name: &str| name.contains("bpf_") || name.starts_with("htab_");
    let mut out = String::new();
    for firmware in ["software", "noop", "stats", "acl"] {
        let prefix = format!("{PROFILE}{firmware}/");
        let mut functions: Vec<_> = figures
            .iter()
            .filter_map(|(name, figure)| Some((name.strip_prefix(&prefix)?, figure.summary.median)))
            .collect();
        functions.sort_by(|a, b| b.1.total_cmp(&a.1));
        if functions.is_empty() {
            continue;
        }
        // From 0.0 on: the sum of nothing is -0.0.
        let sum = |which: &dyn Fn(&str) -> bool| {
            let of_them = functions.iter().filter(|f| which(f.0));
            of_them.fold(0.0, |sum, f| sum + f.1)
        };
        let _ = writeln!(
            out,
            "\n| adds, `{firmware}`: the kernel's time, by function | % |\n|---|--:|\n\
             | the module's among the first {n} | {:.1} |\n\
             | BPF's among the first {n}, firmware included | {:.1} |",
            sum(&module),
            sum(&|name| bpf(name) && !module(name)),
            n = functions.len()
        );
        // Of the others all is said by then; in this one the op is what is of interest.
        let shown = |name: &str| firmware != "acl" || module(name) || bpf(name);
        for (name, share) in functions.iter().filter(|f| shown(f.0)).take(MOST) {
            let _ = writeln!(out, "| `{name}` | {share:.1} |");
        }
    }
    out
}

/// Figures that differ from those of an earlier report by more than either spreads.
fn changes(base: &Report, figures: &BTreeMap<String, Figure>) -> String {
    let mut out = String::from("| figure | then | now | change |\n|---|--:|--:|--:|\n");
    let mut any = false;
    for (name, now) in figures.iter().filter(|(name, _)| !is_detail(name)) {
        let Some(then) = base.figures.get(name) else {
            continue;
        };
        let noise = [now, then]
            .iter()
            .flat_map(|f| [f.summary.spread(), f.between_boots.unwrap_or(0.0)])
            // What boots are allowed to be apart; some figures are only in one.
            .fold(0.005, f64::max);
        let change = now.summary.median / then.summary.median - 1.0;
        if change.abs() > noise {
            any = true;
            let _ = writeln!(
                out,
                "| `{name}` | {} | {} | **{:+.2} %** |",
                number(Some(then.summary.median)),
                number(Some(now.summary.median)),
                change * 100.0
            );
        }
    }
    if any {
        out
    } else {
        "No figure has changed by more than it spreads.\n".to_owned()
    }
}

fn figures_table(figures: &BTreeMap<String, Figure>) -> String {
    let mut out = String::from(
        "| figure | median | 10th percentile | 90th | samples | between boots |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for (
        name,
        Figure {
            summary,
            between_boots,
        },
    ) in figures.iter().filter(|(name, _)| !is_detail(name))
    {
        let between = between_boots.map_or_else(String::new, |b| format!("{:.3} %", b * 100.0));
        let _ = writeln!(
            out,
            "| `{name}` | {} | {} | {} | {} | {between} |",
            number(Some(summary.median)),
            number(Some(summary.low)),
            number(Some(summary.high)),
            summary.samples,
        );
    }
    out
}

const METHOD: &str = "\
The guest has one CPU on which a nanosecond is an instruction (QEMU's `-icount`): what else \
the host does makes no difference, and nothing is said of caches and locks. An op is a request \
through rtnetlink and its answer, system calls included; 1 000 flows are there unless a figure \
says another number. Filters are flower, TCP to port 80 of one address, drop, without per-CPU \
counters. What the kernel frees after a grace period isn't in the figures of delete. `native` \
is the same module with the firmware's functions in Rust (rust/native.rs). Callbacks alone are \
what the tracepoint says they took with 500 flows there, as `acl` holds no more than 1 024, less \
the same of a native one that does nothing: `stats` keeps \
an entry of a map for each flow, `acl` reads the match and the actions, keeps the same, and sends \
an event. Its events are read between rounds, and none is lost; native ones go into a ring that \
nobody reads and that wakes nobody. Profiles are of 1 000 adds to an empty device, ten times. \
Memory is measured in a memory cgroup, all else outside of \
one. Two CPUs are measured in real time, and what else the host does shows.\n";

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut boots = Vec::new();
    for path in &arguments.boots {
        boots.push(Figures::read(path)?);
    }
    let mut figures = collect(&boots);
    if let Some(path) = &arguments.parallel {
        figures.extend(collect(&[Figures::read(path)?]));
    }
    ensure!(!figures.is_empty(), "nothing was measured");
    let base = arguments.base.as_deref().map(read_base).transpose()?;
    let goals = goals(&figures);

    let mut text = format!("# What EKHO costs\n\n{}\n\n{METHOD}\n", arguments.title);
    text += &goals_table(&goals);
    text += &reasons(&goals);
    if let Some(parts) = breakdown(&figures) {
        let _ = write!(text, "\n## Where an add goes\n\n{parts}");
        text += &profile(&figures);
    }
    if let Some(parts) = memory_table(&figures) {
        let _ = write!(text, "\n## Where a flow's memory is\n\n{parts}");
    }
    text += "\n![cost against number of flows](flows.svg)\n";
    if let Some(base) = &base {
        let changes = changes(base, &figures);
        let _ = write!(text, "\n## Compared with: {}\n\n{changes}", base.title);
        println!("\nCompared with: {}\n\n{changes}", base.title);
    }
    let _ = write!(text, "\n## All figures\n\n{}", figures_table(&figures));

    println!("{}", goals_table(&goals));
    let medians = |name: &str| Some(figures.get(name)?.summary.median);
    write(&arguments.out.join("flows.svg"), &chart::svg(medians))?;
    write(&arguments.out.join("README.md"), &text)?;
    let report = Report {
        title: arguments.title.clone(),
        goals,
        figures,
    };
    let json = serde_json::to_string_pretty(&report)? + "\n";
    write(&arguments.out.join("figures.json"), &json)
}

fn read_base(path: &Path) -> Result<Report> {
    let text =
        fs::read_to_string(path).with_context(|| format!("no report in {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} isn't the figures.json of a report", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(samples: &[f64]) -> Figures {
        let mut figures = Figures::default();
        for sample in samples {
            figures.push("add/noop-ekho", *sample);
            figures.push("add/noop-native", 100.0);
        }
        figures
    }

    fn report(samples: &[f64]) -> Report {
        let figures = collect(&[boot(samples)]);
        Report {
            title: "then".to_owned(),
            goals: goals(&figures),
            figures,
        }
    }

    #[test]
    fn a_goal_is_met_or_not_or_not_measured() {
        assert_eq!(report(&[103.0; 3]).goals[0].met, Some(true));
        assert_eq!(report(&[104.0; 3]).goals[0].met, Some(false));
        assert_eq!(report(&[104.0; 3]).goals[1].met, None);
    }

    #[test]
    fn a_goal_that_is_not_met_says_why() {
        let mut figures = Figures::default();
        for (name, value) in [
            ("add/noop@1000", 100.0),
            ("add/noop@100000", 150.0),
            ("add/software@1000", 90.0),
            ("add/software@100000", 135.0),
        ] {
            figures.push(name, value);
        }
        let text = reasons(&goals(&collect(&[figures])));
        assert!(text.contains("it is 1.500; what EKHO adds is 15.0 at 100 000 and 10.0 at"));
        assert_eq!(text.lines().filter(|line| line.starts_with('-')).count(), 1);
        assert_eq!(reasons(&report(&[100.0; 3]).goals), "");
    }

    #[test]
    fn a_part_of_memory_is_shown_if_it_is_of_any_flow() {
        let mut figures = Figures::default();
        for (name, value) in [
            ("memory/noop", 190.6),
            ("memory-part/noop/slab `a`", 189.7),
            ("memory-part/noop/slab `b`", 0.4),
            ("memory-part/stats-map/vmalloc", 104.0),
            (
                "memory-part/noop/charged to the memory cgroup, with page tables and per-CPU memory",
                0.0,
            ),
        ] {
            figures.push(name, value);
        }
        let figures = collect(&[figures]);
        let table = memory_table(&figures).unwrap();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| slab `a` | 0 | 190 | 0 | 0 |",
                "| vmalloc | 0 | 0 | 0 | 104 |",
                "| together, parts too small to show included | 0 | 191 | 0 | 0 |",
                "| charged to the memory cgroup, with page tables and per-CPU memory | 0 | 0 | 0 | 0 |",
            ]
        );
        assert!(!figures_table(&figures).contains("slab"));
        assert!(memory_table(&collect(&[boot(&[1.0])])).is_none());
    }

    #[test]
    fn boots_are_compared_by_their_medians() {
        let figures = collect(&[boot(&[100.0; 3]), boot(&[102.0; 3]), boot(&[101.0; 3])]);
        let between = figures["add/noop-ekho"].between_boots.unwrap();
        assert!((between - 0.02).abs() < 1e-9);
    }

    #[test]
    fn a_change_counts_beyond_the_spread() {
        let then = report(&[100.0, 101.0, 102.0]);
        let now = |samples: &[f64]| changes(&then, &collect(&[boot(samples)]));
        assert!(!now(&[101.0, 102.0, 102.5]).contains("add/noop-ekho"));
        assert!(now(&[105.0, 105.0, 105.0]).contains("add/noop-ekho"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(Some(1.23456)), "1.235");
        assert_eq!(number(Some(12.345)), "12.3");
        assert_eq!(number(Some(1234567.8)), "1\u{202f}234\u{202f}568");
        assert_eq!(number(None), "");
    }
}
