// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw monitor`: what becomes of firmware.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::Result;
use ekho::kernel::clock;
use ekho::module::netlink::notification::{Notifications, Received};
use ekho::monitor::Monitor;

use crate::context::Context;
use crate::watch::{Limits, Watch};

const EXAMPLES: &str = "\
Examples:
  ekho-fw monitor
  ekho-fw monitor --dev ek0 --count 1       print one notification and exit
  ekho-fw monitor --timeout 0               past exits and attached firmware only
  ekho-fw -j monitor | jq -r 'select(.event == \"exit\") | [.dev, .firmware, .reason] | @tsv'

It begins with what the module remembers: firmware that it stopped for breaking the
contract, and firmware that is attached. Then it tells what happens, in this network
namespace: the module keeps such messages within it. It ends when the module is removed.
No privilege is needed.";

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
    let mut notifications = Notifications::open()?;
    let dev = context.dev_of(args.dev.as_deref())?;
    let (mut monitor, known) = Monitor::start(&*context.state, dev.as_deref(), clock::now_ns())?;
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
