// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-model-test`: random operations on devices, filters, firmware, namespaces and the module, and a
//! model of what must come of them.
//!
//! ```text
//!   seed ──▶ generate ──▶ Op ──┬──▶ model  ──▶ outcome, state ──┐
//!   file ──────────────────────┤                                ├─▶ the same?
//!                              └──▶ system ──▶ outcome, state ──┘
//! ```
//!
//! The result of each operation is compared at once and everything that can be seen every now and
//! then: filters with their counters, devices, firmware and flows. In the end all is taken away,
//! and nothing may be left.

#![deny(unsafe_code)]

mod generate;
mod model;
mod op;
mod run;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::json;

use generate::Generator;
use model::Model;
use op::Op;
use run::{Head, Mismatch, Run};
use system::{Paths, System};

/// Random operations on EKHO, against a model of what must come of them.
///
/// As root, on a machine to spare: the module is loaded, and removed again. Exit status 0 if
/// model and kernel agree, 1 if they don't, 2 if it can't be run.
#[derive(Parser)]
struct Arguments {
    /// Where operations come from; the same seed makes the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many.
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Compare everything after so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    check_every: u16,
    /// Have chains and flowtables of nftables come and go, too.
    #[arg(long)]
    nft: bool,
    /// Write the operations to FILE, one a line.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Do the operations of FILE.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "steps"])]
    replay: Option<PathBuf>,
    /// Leave out operations of FILE as long as it fails, and write the rest to FILE.min.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "steps", "replay"])]
    shrink: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Print each operation.
    #[arg(long, short)]
    verbose: bool,
    /// The module.
    #[arg(long, value_name = "FILE", env = "EKHO_MODULE")]
    module: PathBuf,
    /// Directory of EKHO's own firmware.
    #[arg(long, value_name = "DIR", env = "EKHO_FIRMWARE")]
    firmware: PathBuf,
    /// Directory of the tests' firmware.
    #[arg(long, value_name = "DIR", env = "EKHO_TEST_FIRMWARE")]
    test_firmware: PathBuf,
}

impl Arguments {
    fn paths(&self) -> Paths {
        Paths {
            module: self.module.clone(),
            firmware: self.firmware.clone(),
            test_firmware: self.test_firmware.clone(),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.shrink {
        Some(file) => shrink(&arguments, file),
        None => run(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ekho-model-test: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether model and kernel agree.
fn run(arguments: &Arguments) -> Result<bool> {
    let start = Instant::now();
    let (head, ops) = match &arguments.replay {
        Some(file) => {
            let (head, ops) = run::read(file)?;
            (head, Some(ops))
        }
        None => (
            Head {
                seed: arguments.seed,
                check_every: arguments.check_every.into(),
            },
            None,
        ),
    };
    let mut system = System::new(arguments.paths())?;
    let mut run = Run::new(Model::new(None), &mut system, head.check_every);
    let progress = |n: usize, op: &Op| {
        if arguments.verbose {
            eprintln!("{}: {op:?}", n + 1);
        } else if n > 0 && n % 500 == 0 {
            eprintln!("{n} steps, {:.1} s", start.elapsed().as_secs_f64());
        }
    };
    let result = match &ops {
        Some(ops) => run.replay(ops),
        None => {
            let generator = Generator::new(head.seed, arguments.nft);
            run.random(generator, arguments.steps, progress)
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if let Some(file) = &arguments.record {
        run::write(file, &head, &run.history)?;
    }
    if arguments.verbose {
        for ((op, outcome), (n, time)) in &run.counts {
            eprintln!("{n:6} {:6} ms {op} {outcome}", time.as_millis());
        }
    }
    let Err(mismatch) = result else {
        if arguments.json {
            let counts: Vec<_> = run
                .counts
                .iter()
                .map(|((op, outcome), (n, _))| json!({"op": op, "outcome": outcome, "count": n}))
                .collect();
            println!(
                "{}",
                json!({"seed": head.seed, "steps": run.history.len(), "seconds": seconds, "mismatch": null, "counts": counts})
            );
        } else {
            println!(
                "seed {}: {} steps in {seconds:.1} s, model and kernel agree",
                head.seed,
                run.history.len()
            );
        }
        return Ok(true);
    };
    let file = std::env::temp_dir().join(format!("ekho-model-test-{}.ops", head.seed));
    run::write(&file, &head, &run.history)?;
    report(arguments, &head, &run.history, &mismatch, &file);
    Ok(false)
}

/// How many operations are shown.
const SHOWN: usize = 30;

fn report(
    arguments: &Arguments,
    head: &Head,
    history: &[Op],
    mismatch: &Mismatch,
    file: &std::path::Path,
) {
    if arguments.json {
        println!(
            "{}",
            json!({"seed": head.seed, "steps": history.len(), "mismatch": mismatch, "history": file})
        );
        return;
    }
    println!("seed {}: mismatch at step {}", head.seed, mismatch.step);
    let first = history.len().saturating_sub(SHOWN);
    println!("the last operations:");
    for (n, op) in history.iter().enumerate().skip(first) {
        println!("  {:5} {op:?}", n + 1);
    }
    println!("expected (-) and seen (+):");
    for line in &mismatch.difference {
        println!("  {line}");
    }
    println!(
        "to do it again:    ekho-model-test --replay {}",
        file.display()
    );
    println!(
        "to make it short:  ekho-model-test --shrink {}",
        file.display()
    );
}

/// Makes a history that fails shorter.
fn shrink(arguments: &Arguments, file: &std::path::Path) -> Result<bool> {
    let (head, ops) = run::read(file)?;
    let mut last = None;
    let mut error = None;
    let mut fails = |ops: &[Op]| {
        let mut system = match System::new(arguments.paths()) {
            Ok(system) => system,
            Err(why) => {
                error = Some(why);
                return None;
            }
        };
        let mut run = Run::new(Model::new(None), &mut system, 1);
        let mismatch = run.replay(ops).err()?;
        eprintln!("{} operations: {}", ops.len(), mismatch.difference[0]);
        last = Some((mismatch.clone(), run.history));
        Some(mismatch)
    };
    if fails(&ops).is_none() {
        println!("{}: doesn't fail", file.display());
        return Ok(true);
    }
    run::shrink(ops, &mut fails);
    if let Some(error) = error {
        return Err(error);
    }
    let (mismatch, history) = last.context("it failed before")?;
    let mut path = file.as_os_str().to_owned();
    path.push(".min");
    let path = PathBuf::from(path);
    let head = Head {
        check_every: 1,
        ..head
    };
    run::write(&path, &head, &history)?;
    report(arguments, &head, &history, &mismatch, &path);
    Ok(false)
}
