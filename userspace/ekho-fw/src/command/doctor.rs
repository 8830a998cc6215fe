// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw doctor`: is this system ready?

use std::process::ExitCode;

use anyhow::Result;
use ekho::doctor::Doctor;
use ekho::error::Class;

use crate::context::Context;
use crate::failure;

const EXAMPLES: &str = "\
Examples:
  ekho-fw doctor
  ekho-fw -j doctor | jq -r '.checks[] | select(.verdict != \"ok\").remedy'

Exit status 4 tells that something essential is missing.";

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Checks the system.
pub fn run(context: &Context<'_>, _args: &Args) -> Result<ExitCode> {
    let report = Doctor::new(&context.pins).examine();
    context.output.print(&report);
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(failure::status(Class::System))
    })
}
