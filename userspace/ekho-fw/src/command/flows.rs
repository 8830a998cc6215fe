// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw flows`: what is offloaded.

use std::process::ExitCode;

use anyhow::Result;
use ekho::kernel::netlink::device;

use crate::context::Context;

const EXAMPLES: &str = "\
Examples:
  ekho-fw flows
  ekho-fw flows --dev ek0
  ekho-fw -j flows | jq -r '.[] | [.cookie, .packets] | @tsv'

Packets, bytes and drops are what the kernel was told of so far. Flows are listed as of
one moment; if they come and go all the time, list one device.

Needs CAP_NET_ADMIN. Without --dev and -n it lists the flows of all network namespaces, as
root; a container sees its own. Cookies are addresses of the kernel: without CAP_SYSLOG
they aren't shown.";

/// Arguments of `flows`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only flows of this network device
    #[arg(long, value_name = "DEV")]
    dev: Option<String>,
}

/// Lists flows.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let dev = context.dev_of(args.dev.as_deref())?;
    let flows = context.state.flows(&context.filter(dev.as_deref())?)?;
    if let (Some(dev), true) = (&dev, flows.is_empty()) {
        device::ifindex(dev)?;
    }
    context.output.print(flows.as_slice());
    Ok(ExitCode::SUCCESS)
}
