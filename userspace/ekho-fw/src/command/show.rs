// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw show`: everything about attached firmware.

use std::process::ExitCode;

use anyhow::Result;
use ekho::firmware::{attachment, status};

use crate::context::Context;
use crate::results::Shown;

const EXAMPLES: &str = "\
Examples:
  ekho-fw show --dev ek0
  sysctl kernel.bpf_stats_enabled=1     then RUNS and TIME NS are counted
  ekho-fw -j show --dev ek0 | jq '.[0].programs[] | {op, run_count, run_time_ns}'
  ekho-fw -j show | jq -r '.[] | .dev as $d | .refusals[] | [$d, .count, .reason] | @tsv'

What the device can do is what its firmware declares; the module refuses the rest, and
counts refusals by reason, those of the firmware too. Firmware that broke the contract
before is listed as well; see also ekho-fw monitor.";

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this network device; all that have firmware when it isn't given
    #[arg(long, value_name = "DEV")]
    dev: Option<String>,

    /// The same, as earlier versions take it
    #[arg(value_name = "DEV", hide = true, conflicts_with = "dev")]
    positional: Option<String>,
}

/// Shows attached firmware.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let dev = context.dev_of(args.dev.as_deref().or(args.positional.as_deref()))?;
    let dev = dev.as_deref();
    if let Some(dev) = dev {
        attachment::find(&*context.state, dev)?;
    }
    let filter = context.filter(dev)?;
    let status = status::status(&*context.state, &context.pins, &filter)?;
    let mut stopped = context.state.exits(&filter)?;
    stopped.retain(|exit| !status.iter().any(|status| status.exits.contains(exit)));
    context.output.print(&Shown { status, stopped });
    Ok(ExitCode::SUCCESS)
}
