// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stress tests for a debug kernel, run by `make torture`: [`fail`] makes one allocation after the
//! other fail, [`race`] does everything at the same time. Each prints in its last line what it did.

#![deny(unsafe_code)]

mod fail;
mod fault;
mod lab;
mod race;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use lab::Paths;

/// Stress tests of the module ekho.
///
/// Needs a kernel of its own, as root, in which nobody else uses the module: it is loaded and
/// removed, and devices ek0 and ek1 are made and deleted.
#[derive(Parser)]
#[command(name = "ekho-torture", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    paths: Paths,
}

#[derive(Subcommand)]
enum Command {
    /// Fail every allocation of every step, one at a time
    ///
    /// A step is one thing that a user does: insmod, attach, add a filter. It is done again and
    /// again; the first time its first allocation fails, then its second, until it makes no more.
    /// After each time all must be as it was before the step, or as it is after it. Needs a kernel
    /// with CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS.
    Fail {
        /// Only steps whose names begin so
        #[arg(default_value = "")]
        step: String,
        /// At most so many allocations a step
        #[arg(long, default_value_t = u32::MAX)]
        most: u32,
    },
    /// Add, delete, dump, count, replace firmware and detach at the same time
    Race {
        /// For how long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Seed of the random numbers
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    ekho::kernel::libbpf_log::silence();
    let is_good = match cli.command {
        Command::Fail { step, most } => fail::run(&cli.paths, &step, most)?,
        Command::Race { seconds, seed } => {
            race::run(&cli.paths, Duration::from_secs(seconds), seed)?
        }
    };
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
