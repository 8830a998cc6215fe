// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-equality-test`: random filters on random packets, executed once by the kernel's software
//! and once by the tables of EKHO devices. What comes out of each port must be equal, byte for byte
//! and in the same order, and so must the counters of each action of each filter.
//!
//! ```text
//!                         ┌──▶ software (skip_hw) ──▶ frames, counters ──┐
//!   seed ──▶ set of       │                                              ├─▶ the same?
//!            filters and ─┴──▶ hardware (skip_sw) ──▶ frames, counters ──┘
//!            packets
//! ```
//!
//! A set that differs is made smaller, and told as a person reads it.

#![deny(unsafe_code)]

mod filter;
mod generate;
mod lab;
mod packet;
mod ports;
mod run;
#[expect(unsafe_code, reason = "sendmmsg() and recvmmsg() of packet sockets")]
mod socket;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::sched::{sched_setaffinity, CpuSet};
use nix::unistd::Pid;

use lab::{Engine, Side};
use packet::Summary;
use run::{Fault, Pair, Totals};

/// Random filters on random packets: what EKHO's tables make of them, and what the kernel does.
///
/// As root, with the module loaded. Exit status 0 if both sides are equal, 1 if they aren't, 2 if
/// it can't be run.
#[derive(Parser)]
struct Arguments {
    /// Where filters and packets come from; the same seed makes the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many sets of filters.
    #[arg(long, default_value_t = 1000)]
    sets: u64,
    /// How many packets for each.
    #[arg(long, default_value_t = 20)]
    packets: usize,
    /// Only the set with this number.
    #[arg(long, value_name = "K", conflicts_with = "sets")]
    set: Option<u64>,
    /// Have software execute both sides.
    #[arg(long, conflicts_with_all = ["firmware", "single"])]
    software: bool,
    /// The firmware that has filters inserted into the tables.
    #[arg(long, value_name = "FILE", required_unless_present = "software")]
    firmware: Option<PathBuf>,
    /// Have each port be a device of its own, rather than all be ports of one.
    #[arg(long)]
    single: bool,
    /// Go on after sets that differ, and tell of the first ones.
    #[arg(long)]
    keep_going: bool,
    /// Don't make a set that differs smaller.
    #[arg(long)]
    no_shrink: bool,
    /// Make the sides differ from this set on, to see that it is noticed.
    #[arg(long = "break", value_name = "K")]
    fault_from: Option<u64>,
    /// How they are made to differ.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "rule",
        requires = "fault_from"
    )]
    how: Fault,
    /// Print where time went, and how many packets saw which keys and actions.
    #[arg(long)]
    statistics: bool,
    /// Print filters and packets.
    #[arg(long, short)]
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ekho-equality-test: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// How many sets that differ in the same are told.
const TOLD: usize = 5;

/// Whether both sides are equal.
fn run(arguments: &Arguments) -> Result<bool> {
    ekho::kernel::libbpf_log::silence();
    // All that is sent is processed by this processor, in order, and most of it before the call
    // returns that sends it.
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).context("can't stay on one processor")?;

    let engine = match &arguments.firmware {
        Some(path) if !arguments.software => match arguments.single {
            true => Engine::Single(path),
            false => Engine::Device(path),
        },
        _ => Engine::Software,
    };
    let mut pair = Pair {
        software: Side::new("software", &Engine::Software)?,
        hardware: Side::new("hardware", &engine)?,
        fault: arguments.fault_from.map(|set| (set, arguments.how)),
        runs: 0,
    };
    let numbers = match arguments.set {
        Some(number) => number..number + 1,
        None => 0..arguments.sets,
    };
    let start = Instant::now();
    let mut totals = Totals {
        seen: arguments.statistics.then(BTreeMap::new),
        ..Totals::default()
    };
    let mut differing: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for number in numbers {
        let mut set = generate::set(arguments.seed, number, arguments.packets);
        if arguments.single {
            generate::separate(&mut set);
        }
        if arguments.verbose {
            show(&set, &engine);
        } else if number % 1000 == 0 && number != 0 {
            eprintln!("{number} sets, {:.1} s", start.elapsed().as_secs_f64());
        }
        let difference = pair
            .run(&set, false, &mut totals)
            .with_context(|| format!("seed {} set {number}", arguments.seed))?;
        let Some(difference) = difference else {
            continue;
        };
        differing.entry(difference.kind()).or_default().push(number);
        let alike = differing.get(difference.kind()).map_or(0, Vec::len);
        if alike <= TOLD {
            report(arguments, &mut pair, &set, difference, &engine)?;
        }
        if !arguments.keep_going {
            break;
        }
    }
    summarize(arguments, &totals, &differing, start);
    Ok(differing.is_empty())
}

fn show(set: &generate::Set, engine: &Engine<'_>) {
    println!("set {}:", set.number);
    for round in &set.rounds {
        for change in &round.changes {
            println!("  {}", change.words(engine.mode()));
        }
        for packet in &round.packets {
            let port = ports::port_name(round.port);
            println!("  into {port}: {}", Summary(&packet.bytes()));
        }
    }
}

fn report(
    arguments: &Arguments,
    pair: &mut Pair,
    set: &generate::Set,
    difference: run::Difference,
    engine: &Engine<'_>,
) -> Result<()> {
    println!(
        "seed {} set {}: software and hardware differ in {}",
        arguments.seed,
        set.number,
        difference.kind()
    );
    let (set, difference) = match arguments.no_shrink {
        true => (set.clone(), difference),
        false => match pair.shrink(set)? {
            (small, Some(found)) => (small, found),
            (_, None) => (set.clone(), difference),
        },
    };
    print!("{}", difference.text(&set, engine.mode()));
    let by = match &arguments.firmware {
        Some(file) if !arguments.software => format!("--firmware {}", file.display()),
        _ => "--software".to_owned(),
    };
    println!(
        "to do it again: ekho-equality-test {by} --seed {} --packets {} --set {}{}",
        arguments.seed,
        arguments.packets,
        set.number,
        if arguments.single { " --single" } else { "" }
    );
    Ok(())
}

fn summarize(
    arguments: &Arguments,
    totals: &Totals,
    differing: &BTreeMap<&str, Vec<u64>>,
    start: Instant,
) {
    let refused: u64 = totals.refusals.values().map(|(n, _)| n).sum();
    let share = |part: u64, whole: u64| 100 * part / whole.max(1);
    println!(
        "seed {}: {} sets, {} filters, {} refused, {} packets, {} % of which hit a filter, {} frames came out, {:.1} s",
        arguments.seed,
        totals.sets,
        totals.filters,
        refused,
        totals.packets,
        share(totals.hits, totals.segments),
        totals.frames,
        start.elapsed().as_secs_f64()
    );
    let mut reasons: Vec<_> = totals.refusals.iter().collect();
    reasons.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    for (reason, (n, examples)) in reasons {
        println!("  {n:6} refused: {reason}");
        let shown = if arguments.statistics {
            examples.len()
        } else {
            1
        };
        for example in examples.iter().take(shown) {
            println!("         such as {example}");
        }
    }
    if arguments.statistics {
        for (what, time) in totals.times {
            println!("  {:6.1} s to {what}", time.as_secs_f64());
        }
        for (what, n) in totals.seen.iter().flatten() {
            println!("  {n:6} packets: {what}");
        }
    }
    for (kind, sets) in differing {
        let shown: Vec<_> = sets.iter().take(20).map(u64::to_string).collect();
        println!(
            "  {} sets differ in {kind}: {}{}",
            sets.len(),
            shown.join(" "),
            if sets.len() > 20 { " …" } else { "" }
        );
    }
    if totals.late != 0 {
        println!("  {:6} times frames came late", totals.late);
    }
    if differing.is_empty() {
        println!("software and hardware are equal");
    }
}
