// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw load`: attach firmware to a device.

use std::process::ExitCode;

use anyhow::Result;
use ekho::firmware::load::load;
use ekho::firmware::replace::replace;

use crate::args::FirmwareArgs;
use crate::context::{doing, keep_log, open_firmware, Context};

const EXAMPLES: &str = "\
Examples:
  ekho-fw load stats.bpf.o --dev ek0
  ekho-fw load nic --dev ek0                     comes with EKHO: executes filters on packets
  ekho-fw load stats.bpf.o --dev ek0 --replace   whatever is attached now
  ekho-fw -n blue load stats.bpf.o --dev veth0   in network namespace blue
  ekho-fw load two.bpf.o --dev ek0 --ops fast_fw --name fast-1.2

The link and the firmware's maps are pinned at /sys/fs/bpf/ekho/DEV (--pin-root), so
that they outlive this command; at DEV%NETNS-IFINDEX where another device of that name
has its pins. Pins that a vanished device left are cleared away.
On failure nothing stays behind.

A FILE such as nic, which is neither here nor ends in .o, is looked for as nic.bpf.o in
$EKHO_FIRMWARE_DIR, the source tree that ekho-fw was built in, /usr/local/lib/ekho/firmware
and /usr/lib/ekho/firmware.";

/// Arguments of `load`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    firmware: FirmwareArgs,

    /// If the device has firmware already, replace it (as `replace` does)
    #[arg(long)]
    replace: bool,
}

/// Attaches firmware.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let (file, dev) = (&args.firmware.file, &context.dev(&args.firmware.dev)?);
    let firmware = open_firmware(&args.firmware)?;
    let attached = args.replace && context.state.attached(dev)?.is_some();
    let operation = if attached { replace } else { load };
    let outcome = operation(firmware, dev, &*context.state, &context.pins);
    let outcome = doing(keep_log(&args.firmware, outcome), || {
        format!("can't load {} on {dev}", file.display())
    })?;
    context.output.print(&outcome);
    Ok(ExitCode::SUCCESS)
}
