// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw device`: devices of kind `ekho`, and others that take firmware.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ekho::kernel::netlink::device;

use crate::context::Context;
use crate::results::DeviceChange;

const EXAMPLES: &str = "\
Examples:
  ekho-fw device add ek0               as: ip link add ek0 type ekho
  ekho-fw -n blue device add ek0       in network namespace blue
  ekho-fw device list
  ekho-fw device del ek0

Any other device whose driver has no offload of its own (veth, bridge, vxlan, tun, …)
takes firmware as well, but no skip_sw filters.";

/// Arguments of `device`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a device of kind ekho
    #[command(after_help = "Example:\n  ekho-fw device add ek0")]
    Add {
        /// Name of the new device
        name: String,
    },
    /// Delete a device of kind ekho
    #[command(
        visible_alias = "delete",
        after_help = "Example:\n  ekho-fw device del ek0"
    )]
    Del {
        /// Name of the device
        name: String,
    },
    /// List devices that take firmware
    #[command(
        visible_alias = "ls",
        after_help = "Example:\n  ekho-fw -p device list"
    )]
    List,
}

/// Adds, deletes or lists devices.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Add { name } => {
            let ifindex = device::add(name).with_context(|| format!("can't add device {name}"))?;
            context.output.print(&DeviceChange {
                dev: name.clone(),
                ifindex: Some(ifindex),
            });
        }
        Command::Del { name } => {
            device::delete(name).with_context(|| format!("can't delete device {name}"))?;
            context.output.print(&DeviceChange {
                dev: name.clone(),
                ifindex: None,
            });
        }
        Command::List => {
            let devices = context.state.devices(&context.filter(None)?)?;
            context.output.print(devices.as_slice());
        }
    }
    Ok(ExitCode::SUCCESS)
}
