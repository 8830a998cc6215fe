// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw unload`: detach the firmware of a device.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ekho::firmware::unload::unload;

use crate::context::Context;

const EXAMPLES: &str = "\
Example:
  ekho-fw unload --dev ek0

The module tells which firmware is attached, so this works whoever attached it and
wherever it is pinned. Filters that aren't skip_sw go on in software.";

/// Arguments of `unload`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Network device
    #[arg(long, value_name = "DEV")]
    dev: String,
}

/// Detaches firmware.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let dev = context.dev(&args.dev)?;
    let removal = unload(&dev, &*context.state, &context.pins)
        .with_context(|| format!("can't unload the firmware of {dev}"))?;
    context.output.print(&removal);
    Ok(ExitCode::SUCCESS)
}
