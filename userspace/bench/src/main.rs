// SPDX-License-Identifier: MIT OR Apache-2.0

//! What EKHO costs: `make bench` runs this in the test kernel, and then on the host to report.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

mod chart;
mod figures;
mod goals;
mod guest;
mod kernel;
mod netlink;
mod packets;
mod parallel;
mod profile;
mod report;

#[derive(Parser)]
#[command(version, about)]
enum Command {
    /// Measure in a guest in which a nanosecond is an instruction.
    Measure {
        /// What was built: the clone.
        #[arg(long)]
        source: PathBuf,
        /// Where the figures go.
        #[arg(long)]
        out: PathBuf,
        /// What is measured; all if nothing is said.
        #[arg(long, value_delimiter = ',')]
        only: Vec<guest::Part>,
    },
    /// Measure two threads against one, on two CPUs and in real time.
    Parallel {
        /// What was built: the clone.
        #[arg(long)]
        source: PathBuf,
        /// Where the figures go.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make a report of the figures of all boots.
    Report(report::Arguments),
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Measure { source, out, only } => guest::run(&source, &only)?.write(&out),
        Command::Parallel { source, out } => parallel::run(&source)?.write(&out),
        Command::Report(arguments) => report::run(&arguments),
    }
}
