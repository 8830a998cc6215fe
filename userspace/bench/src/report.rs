// SPDX-License-Identifier: MIT OR Apache-2.0

//! The report: goals and whether they are met, all figures, a chart, and what changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::chart;
use crate::figures::{collect, number, Figure, Figures, MEMORY_PART, PROFILE};
use crate::goals::{goals, Goal};
use crate::kernel::CHARGED;

#[derive(clap::Args)]
pub struct Arguments {
    /// Figures of the boots, the full one first.
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

/// A report, as its JSON has it.
#[derive(Serialize, Deserialize)]
struct Report {
    title: String,
    goals: Vec<Goal>,
    figures: BTreeMap<String, Figure>,
}

/// Figures that have tables of their own.
fn is_detail(name: &str) -> bool {
    name.starts_with(PROFILE) || name.starts_with(MEMORY_PART)
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
    let driver = median("add/driver")?;
    let parts = [
        ("the kernel with netdevsim, which keeps nothing", netdevsim),
        ("a driver's record of the flow", driver - netdevsim),
        (
            "what the module's record and the op's argument are more than that",
            native - driver - op,
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

/// Leaves out parts of memory in which other tasks' comings and goings are: they don't reach half a
/// byte a flow.
fn drop_trifles(figures: &mut BTreeMap<String, Figure>) {
    figures.retain(|name, figure| {
        let trifle = figure.summary.median.abs() < 0.5;
        !(name.starts_with(MEMORY_PART) && trifle && !name.ends_with(CHARGED))
    });
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

/// Whose a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// EKHO's module, kfuncs included.
    Module,
    /// BPF's, and firmware itself.
    Bpf,
    /// All other.
    Kernel,
}

fn owner(function: &str) -> Owner {
    let begins = |with: &[&str]| with.iter().any(|with| function.starts_with(with));
    if begins(&["bpf_prog_"]) {
        // Firmware's own functions may have the module in their name.
        Owner::Bpf
    } else if function.contains("ekho") || begins(&["bpf_flow_offload_", "bpf_iter_flow_action_"]) {
        Owner::Module
    } else if function.contains("bpf_") || function.contains("htab_") {
        Owner::Bpf
    } else {
        Owner::Kernel
    }
}

/// The functions in which the kernel is most while filters are added, or packets sent.
fn profile(figures: &BTreeMap<String, Figure>) -> String {
    const MOST: usize = 15;
    let mut out = String::new();
    const WHAT: [(&str, &str); 8] = [
        ("software", "adds, `software`"),
        ("noop", "adds, `noop`"),
        ("stats", "adds, `stats`"),
        ("acl", "adds, `acl`"),
        ("packet-cable-veth", "packets between veths"),
        ("packet-cable-ekho", "packets over a cable"),
        (
            "packet-redirect-veth",
            "packets redirected by software between veths",
        ),
        (
            "packet-redirect-ekho",
            "packets redirected by a rule in the device",
        ),
    ];
    for (key, what) in WHAT {
        let prefix = format!("{PROFILE}{key}/");
        let mut functions: Vec<_> = figures
            .iter()
            .filter_map(|(name, figure)| Some((name.strip_prefix(&prefix)?, figure.summary.median)))
            .collect();
        functions.sort_by(|a, b| b.1.total_cmp(&a.1));
        if functions.is_empty() {
            continue;
        }
        // From 0.0 on: the sum of nothing is -0.0.
        let sum = |which: Owner| {
            let of_them = functions.iter().filter(|f| owner(f.0) == which);
            of_them.fold(0.0, |sum, f| sum + f.1)
        };
        let _ = writeln!(
            out,
            "\n| {what}: the kernel's time, by function | % |\n|---|--:|\n\
             | the module's among the first {n} | {:.1} |\n\
             | BPF's among the first {n}, firmware included | {:.1} |",
            sum(Owner::Module),
            sum(Owner::Bpf),
            n = functions.len()
        );
        // Of the others all is said by then; in this one the op is what is of interest.
        let shown = |name: &str| key != "acl" || owner(name) != Owner::Kernel;
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
is the same module with the firmware's functions in Rust (bench/native/native.rs). The driver in C \
(bench/driver/bench_driver.c) reads a rule and keeps a record of it by cookie, as drivers of devices \
with a flow table do, and has no device. Callbacks alone are \
what the tracepoint says they took with 500 flows there, as `acl` holds no more than 1 024, less \
the same of a native one that does nothing: `stats` keeps \
an entry of a map for each flow, `acl` reads the match and the actions, keeps the same, and sends \
an event. Its events are read between rounds, and none is lost; native ones go into a ring that \
nobody reads and that wakes nobody. Profiles are of 500 adds to an empty device, twenty times. \
A packet goes from a socket in one network namespace to one in another, by itself; the system \
call that sends it counts, and the one that receives it doesn't, but of TCP, whose confirmations \
count too. TCP's packets of 1 500 bytes come ten at a time, without TSO; ports of EKHO merge them when they \
are received (GRO), and veths, as they come, don't. What it is compared with \
is a pair of veth for each cable. \
Memory is measured in a memory cgroup, all else outside of one, with 10 000 flows, and with all \
that slabs keep in reserve given back. Two CPUs are measured in real time, and what else the \
host does shows. Each goal is judged by the boot in which it was met least; all figures, in the \
end, are of the first boot.\n";

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut boots = Vec::new();
    for path in &arguments.boots {
        boots.push(Figures::read(path)?);
    }
    let parallel = arguments.parallel.as_deref().map(Figures::read);
    let parallel = parallel.transpose()?;
    let mut figures = collect(&boots);
    figures.extend(collect(parallel.as_slice()));
    drop_trifles(&mut figures);
    ensure!(!figures.is_empty(), "nothing was measured");
    let base = arguments.base.as_deref().map(read_base).transpose()?;
    let goals = goals(&boots, parallel.as_ref());

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
        let boots = [boot(samples)];
        Report {
            title: "then".to_owned(),
            goals: goals(&boots, None),
            figures: collect(&boots),
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
        let text = reasons(&goals(&[figures], None));
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
        let mut figures = collect(&[figures]);
        drop_trifles(&mut figures);
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
    fn a_goal_is_met_if_it_is_in_each_boot() {
        let goal = |samples: [f64; 3]| {
            let boots = samples.map(|sample| boot(&[sample; 3]));
            let goal = goals(&boots, None).swap_remove(0);
            (goal.met, goal.value)
        };
        assert_eq!(goal([103.0, 102.0, 101.0]), (Some(true), Some(103.0)));
        assert_eq!(goal([102.0, 104.0, 103.5]), (Some(false), Some(104.0)));
    }

    #[test]
    fn two_cpus_say_how_far_rounds_are_apart() {
        let mut parallel = Figures::default();
        for ratio in [1.5, 1.8, 1.9] {
            parallel.push("parallel/ratio", ratio);
        }
        let goal = goals(&[], Some(&parallel)).pop().unwrap();
        assert_eq!((goal.result, goal.met), (Some(1.8), Some(true)));
        assert!(goal
            .what
            .ends_with("(one round in ten below 1.500, one above 1.900)"));
    }

    #[test]
    fn functions_are_of_the_module_of_bpf_or_of_the_kernel() {
        for (function, whose) in [
            ("ekho_kfunc_get_match", Owner::Module),
            ("<ekho::flows::Flow>::new", Owner::Module),
            ("bpf_flow_offload_get_match", Owner::Module),
            ("bpf_iter_flow_action_next", Owner::Module),
            ("bpf_prog_3960b794c8124f1c_ekho_event_replace", Owner::Bpf),
            ("__bpf_ringbuf_reserve", Owner::Bpf),
            ("__htab_map_lookup_elem", Owner::Bpf),
            ("fl_change", Owner::Kernel),
        ] {
            assert_eq!(owner(function), whose, "{function}");
        }
    }

    #[test]
    fn a_change_counts_beyond_the_spread() {
        let then = report(&[100.0, 101.0, 102.0]);
        let now = |samples: &[f64]| changes(&then, &collect(&[boot(samples)]));
        assert!(!now(&[101.0, 102.0, 102.5]).contains("add/noop-ekho"));
        assert!(now(&[105.0, 105.0, 105.0]).contains("add/noop-ekho"));
    }
}
