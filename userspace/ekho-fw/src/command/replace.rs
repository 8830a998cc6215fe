// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw replace`: swap the firmware of a device.

use std::process::ExitCode;

use anyhow::Result;
use ekho::firmware::replace::replace;

use crate::args::FirmwareArgs;
use crate::context::{doing, keep_log, open_firmware, Context};

const EXAMPLES: &str = "\
Example:
  ekho-fw replace stats-2.bpf.o --dev ek0

The kernel swaps the firmware in one step: no flow is torn down, no counter starts
anew, and at no time is the device without firmware. Maps of the new firmware that the
old one has by the same name are carried over, and must have the same type, sizes and
flags; global variables (.data, .bss) start anew. If anything fails, the old firmware
stays as it was.";

/// Arguments of `replace`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    firmware: FirmwareArgs,
}

/// Replaces firmware.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let (file, dev) = (&args.firmware.file, &context.dev(&args.firmware.dev)?);
    let firmware = open_firmware(&args.firmware)?;
    let outcome = replace(firmware, dev, &*context.state, &context.pins);
    let outcome = doing(keep_log(&args.firmware, outcome), || {
        format!("can't replace the firmware of {dev} by {}", file.display())
    })?;
    context.output.print(&outcome);
    Ok(ExitCode::SUCCESS)
}
