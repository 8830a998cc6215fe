// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw list`: what is attached, one line each.

use std::process::ExitCode;

use anyhow::Result;
use ekho::firmware::status;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  ekho-fw list              in all network namespaces, as root; else in this one
  ekho-fw -n blue list      in one
  ekho-fw -j list | jq -r '.[] | select(.calls.violations > 0).dev'

No privilege is needed for this network namespace. To see all of them takes CAP_SYS_ADMIN
and CAP_NET_ADMIN in the initial namespaces; a container sees its own.";

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Lists attached firmware.
pub fn run(context: &Context<'_>, _args: &Args) -> Result<ExitCode> {
    let firmware = status::list(&*context.state, &context.filter(None)?)?;
    context.output.print(firmware.as_slice());
    Ok(ExitCode::SUCCESS)
}
