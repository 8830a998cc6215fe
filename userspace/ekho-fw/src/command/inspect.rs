// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw inspect`: what is in a firmware object.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use ekho::error::Class;
use ekho::firmware::{shipped, Firmware};

use crate::context::Context;
use crate::failure;

const EXAMPLES: &str = "\
Examples:
  ekho-fw inspect stats.bpf.o
  ekho-fw -j inspect stats.bpf.o | jq -r .sha256

Problems that would keep the firmware from being loaded are listed, and exit status 5
reports them. Problems that only the kernel can find aren't among them.";

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Firmware object, or the name of firmware that comes with EKHO, such as `nic`
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Looks into a firmware object.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let firmware = Firmware::open(&shipped::find(&args.file))?;
    let inspection = firmware.inspection();
    context.output.print(inspection);
    Ok(if inspection.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(failure::status(Class::Firmware))
    })
}
