// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw monitor`: what becomes of firmware.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::Result;
use ekho::kernel::{clock, netns};
use ekho::module::netlink::notification::{Notifications, Received};
use ekho::monitor::Monitor;

use crate::context::Context;
use crate::watch::{Limits, Watch};

const EXAMPLES: &str = "\
Examples:
  ekho-fw monitor                           in all network namespaces, as root; else in this one
  ekho-fw -n blue monitor                   in one
  ekho-fw monitor --dev ek0 --count 1       print one notification and exit
  ekho-fw monitor --timeout 0               past exits and attached firmware only
  ekho-fw -j monitor | jq -r 'select(.event == \"exit\") | [.dev, .firmware, .reason] | @tsv'

It begins with what the module remembers: firmware that it stopped for breaking the
contract, and firmware that is attached. Then it tells what happens. It ends when the
module is removed.

No privilege is needed for this network namespace. To see all of them, as `list` does, takes
CAP_SYS_ADMIN and CAP_NET_ADMIN in the initial namespaces; a container sees its own.";

/// Arguments of `monitor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this network device
    #[arg(long, value_name = "DEV")]
    dev: Option<String>,

    #[command(flatten)]
    limits: Limits,
}

/// Tells what happens.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let mut watch = Watch::start(&args.limits)?;
    // Before the beginning is looked up, so that nothing falls between.
    let dev = context.dev_of(args.dev.as_deref())?;
    let mut filter = context.filter(dev.as_deref())?;
    let mut notifications = match filter.netns {
        Some(_) => Notifications::open()?,
        None => Notifications::open_all()?,
    };
    if !notifications.all_netns {
        filter.netns = Some(netns::current()?);
    }
    let (mut monitor, known) = Monitor::start(&*context.state, filter, clock::now_ns())?;
    for notification in &known {
        if !context.output.print(notification) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    loop {
        let notification = match notifications.take()? {
            Received::Notification(notification) => monitor.receive(notification, clock::now_ns()),
            Received::Lost => Some(monitor.lost(clock::now_ns())?),
            Received::Nothing if watch.is_over() => break,
            Received::Nothing => {
                if watch.wait(&[notifications.as_fd()])?.is_some() {
                    break;
                }
                None
            }
        };
        if let Some(notification) = notification {
            if !context.output.print(&notification) || !watch.printed() {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
