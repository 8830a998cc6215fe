// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw device`: devices of kind `ekho`, and others that take firmware.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ekho::error::Error;
use ekho::kernel::netlink::device;
use ekho::module::netlink::nic::port_names;
use ekho::module::netlink::Netlink;
use ekho::module::state::{Filter, State as _};

use crate::context::Context;
use crate::results::DeviceChange;

const EXAMPLES: &str = "\
Examples:
  ekho-fw device add ek0               as: ip link add ek0 type ekho
  ekho-fw -n blue device add ek0       in network namespace blue
  ekho-fw device add nic0 --ports 4    nic0p0 to nic0p3, and devlink dev ekho/nic0
  ekho-fw device list
  ekho-fw device del ek0

Any other device whose driver has no offload of its own (veth, bridge, vxlan, tun, …)
takes firmware as well, but no skip_sw filters.";

const ADD_EXAMPLES: &str = "\
Examples:
  ekho-fw device add ek0
  ekho-fw device add nic0 --ports 4

The ports of a device NAME are called NAMEp0, NAMEp1 and so on, and are made in the initial
network namespace. They have no carrier before they have a cable, can be moved to other
namespaces, and come back when those end. `devlink dev reload ekho/NAME netns NETNS` makes
them anew in another namespace.";

/// Arguments of `device`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a device of kind ekho, or one with several ports
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// Name of the new device
        name: String,
        /// Make a device with N ports in place of one of kind ekho
        #[arg(long, value_name = "N")]
        ports: Option<u32>,
    },
    /// Delete a device of kind ekho, or one with several ports
    #[command(
        visible_alias = "delete",
        after_help = "Examples:\n  ekho-fw device del ek0\n  ekho-fw device del nic0"
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

/// Deletes the device of kind `ekho` with this name, or else the one with several ports.
fn delete(name: &str) -> ekho::Result<()> {
    let Err(error) = device::delete(name) else {
        return Ok(());
    };
    match error {
        Error::NoDevice { .. } | Error::NotEkhoDevice { .. } | Error::BadDeviceName { .. } => {}
        error => return Err(error),
    }
    if Netlink.delete_nic(name)? {
        return Ok(());
    }
    if matches!(error, Error::NotEkhoDevice { .. }) {
        let port = Netlink.devices(&Filter::device(name)?)?.pop();
        if let Some(nic) = port.and_then(|port| port.nic) {
            return Err(Error::PortOfNic {
                dev: name.to_owned(),
                nic,
            });
        }
    }
    Err(error)
}

/// Adds, deletes or lists devices.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Add {
            name,
            ports: Some(ports),
        } => {
            Netlink.add_nic(name, *ports)?;
            context.output.print(&DeviceChange {
                dev: name.clone(),
                ifindex: None,
                ports: Some(port_names(name, *ports)),
            });
        }
        Command::Add { name, ports: None } => {
            let ifindex = device::add(name).with_context(|| format!("can't add device {name}"))?;
            context.output.print(&DeviceChange {
                dev: name.clone(),
                ifindex: Some(ifindex),
                ports: None,
            });
        }
        Command::Del { name } => {
            delete(name).with_context(|| format!("can't delete device {name}"))?;
            context.output.print(&DeviceChange {
                dev: name.clone(),
                ifindex: None,
                ports: None,
            });
        }
        Command::List => {
            let devices = context.state.devices(&context.filter(None)?)?;
            context.output.print(devices.as_slice());
        }
    }
    Ok(ExitCode::SUCCESS)
}
