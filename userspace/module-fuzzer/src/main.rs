// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-module-fuzzer`: mutated requests and firmware, against the kernel.
//!
//! ```text
//!   seed ──▶ requests of tc  ──▶ devices with firmware ─┐
//!   seed ──▶ firmware objects ──▶ the loader, a device ─┴──▶ the kernel is silent, nothing is left
//! ```

#![deny(unsafe_code)]

mod firmware;
mod generate;
mod kernel;
mod message;
mod netlink;
mod object;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use kernel::Paths;

/// Mutated requests and firmware, against the kernel.
///
/// As root, on a machine to spare: the module is loaded, and removed again. The last line says
/// what was done. Exit status 0 if all went well, 1 if there is a bug, which is printed with what
/// does it again.
///
/// When the kernel died, its log has the last seed and round (`ekho-module-fuzzer: netlink seed=… round=…
/// step=…`): `netlink --seed S --round R --steps N --trace` does that round again, and has each
/// step in the log before it is done. `firmware --seed S --first N --cases 1` does a case again.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    paths: Paths,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Requests about filters, chains, actions and qdiscs of devices whose firmware changes.
    Netlink {
        /// Where requests come from; the same seed makes the same ones.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// For how long.
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
        /// The round to begin with.
        #[arg(long, value_name = "N", default_value_t = 0)]
        round: u32,
        /// That round only, and only so many steps of it, however long they take.
        #[arg(long, value_name = "N")]
        steps: Option<u32>,
        /// Write each step to the kernel's log first.
        #[arg(long)]
        trace: bool,
        /// Print how often the kernel answered what, and how long it took.
        #[arg(long)]
        answers: bool,
    },
    /// Objects whose ELF structures, types, ops and programs were changed.
    Firmware {
        /// Where objects come from; the same seed makes the same ones.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// For how long.
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
        /// The case to begin with.
        #[arg(long, value_name = "N", default_value_t = 0)]
        first: u64,
        /// How many cases at most.
        #[arg(long, value_name = "N", default_value_t = u64::MAX)]
        cases: u64,
        /// Keep objects that show a bug in DIR.
        #[arg(long, value_name = "DIR", default_value = "/tmp")]
        keep: PathBuf,
        /// The tool that some objects go through.
        #[arg(long, value_name = "FILE", env = "EKHO_FW", default_value = "ekho-fw")]
        tool: PathBuf,
    },
    /// Some cases of `firmware`, in this process.
    #[command(hide = true)]
    Cases {
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        first: u64,
        #[arg(long)]
        end: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.what {
        What::Netlink {
            seed,
            seconds,
            round,
            steps,
            trace,
            answers,
        } => {
            let plan = netlink::Plan {
                seed,
                round,
                steps,
                time: Duration::from_secs(seconds),
                trace,
            };
            let mut counts = netlink::Counts::default();
            let result = netlink::run(&plan, &arguments.paths, &mut counts);
            if answers {
                let mut answers: Vec<_> = counts.answers.iter().collect();
                answers.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
                for (answer, (n, time)) in answers {
                    println!("{n:7} {:6} ms {answer}", time.as_millis());
                }
            }
            let summary = format!(
                "netlink seed={seed} rounds={} messages={} accepted={} refused={} firmware={} faults={}",
                counts.rounds, counts.messages, counts.accepted, counts.refused, counts.firmware, counts.faults,
            );
            (summary, 0, result)
        }
        What::Firmware {
            seed,
            seconds,
            first,
            cases,
            keep,
            tool,
        } => {
            let plan = firmware::Plan {
                seed,
                first,
                cases,
                time: Duration::from_secs(seconds),
                keep,
                tool,
            };
            let mut counts = firmware::Counts::default();
            let result = firmware::run(&plan, &arguments.paths, &mut counts);
            let summary = format!(
                "firmware seed={seed} cases={} malformed={} refused={} loaded={} attached={} tool={}",
                counts.cases, counts.malformed, counts.refused, counts.loaded, counts.attached, counts.tool,
            );
            (summary, counts.bugs, result)
        }
        What::Cases { seed, first, end } => {
            return match firmware::cases(seed, first..end, &arguments.paths) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("ekho-module-fuzzer: {error:#}");
                    ExitCode::from(2)
                }
            };
        }
    };
    let (summary, bugs, result) = outcome;
    if let Err(error) = &result {
        println!("bug: {error:#}");
    }
    let bugs = bugs + u64::from(result.is_err());
    println!("ekho-module-fuzzer: {summary} bugs={bugs}");
    ExitCode::from(u8::from(bugs > 0))
}
