// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw show`: everything about attached firmware.

use std::process::ExitCode;

use anyhow::Result;
use ekho::attach;

use super::Context;

const EXAMPLES: &str = "\
Examples:
  ekho-fw show ek0
  sysctl kernel.bpf_stats_enabled=1     then RUNS and TIME NS are counted
  ekho-fw -j show ek0 | jq '.[0].programs[] | {op, run_count, run_time_ns}'";

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Network device; all that have firmware when it isn't given
    #[arg(value_name = "DEV")]
    dev: Option<String>,
}

/// Shows attached firmware.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    if let Some(dev) = &args.dev {
        attach::find(&context.debugfs, dev)?;
    }
    let filter = context.filter(args.dev.as_deref())?;
    let status = attach::status(&context.debugfs, &context.pins, &filter)?;
    context.output.print(status.as_slice());
    Ok(ExitCode::SUCCESS)
}
