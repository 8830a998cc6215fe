// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fuzz`: what is almost right, against the kernel.
//!
//! ```text
//!   seed ──▶ requests of tc  ──▶ devices with firmware ─┐
//!   seed ──▶ firmware objects ──▶ the loader, a device ─┴──▶ the kernel is silent, nothing is left
//! ```

#![deny(unsafe_code)]

mod generate;
mod kernel;
mod message;
mod netlink;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use kernel::Paths;

/// Requests and firmware that are almost right, against the kernel.
///
/// As root, on a machine to spare: the module is loaded, and removed again. The last line says
/// what was done. Exit status 0 if all went well, 1 if there is a bug, which is printed with what
/// does it again.
///
/// When the kernel died, its log has the last seed and round (`ekho-fuzz: netlink seed=… round=…
/// step=…`): `netlink --seed S --round R --steps N --trace` does that round again, and has each
/// step in the log before it is done.
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.what {
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
            let mut tally = netlink::Tally::default();
            let result = netlink::run(&plan, &arguments.paths, &mut tally);
            if answers {
                let mut answers: Vec<_> = tally.answers.iter().collect();
                answers.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
                for (answer, (n, time)) in answers {
                    println!("{n:7} {:6} ms {answer}", time.as_millis());
                }
            }
            let summary = format!(
                "netlink seed={seed} rounds={} messages={} accepted={} refused={} firmware={} faults={}",
                tally.rounds, tally.messages, tally.accepted, tally.refused, tally.firmware, tally.faults,
            );
            (summary, result)
        }
    };
    let (summary, result) = result;
    if let Err(error) = &result {
        println!("bug: {error:#}");
    }
    println!("ekho-fuzz: {summary} bugs={}", u8::from(result.is_err()));
    ExitCode::from(u8::from(result.is_err()))
}
