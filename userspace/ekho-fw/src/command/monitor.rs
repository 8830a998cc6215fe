// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw monitor`: what becomes of firmware.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::Result;
use ekho::clock;
use ekho::story::Story;
use ekho::uevent::{Received, Uevents};

use super::watch::{Limits, Watch};
use super::Context;

const EXAMPLES: &str = "\
Examples:
  ekho-fw monitor
  ekho-fw monitor --dev ek0 --count 1       wait for the next that happens to it
  ekho-fw monitor --timeout 0               what has been, and is
  ekho-fw -j monitor | jq -r 'select(.event == \"exit\") | [.dev, .firmware, .reason] | @tsv'

It begins with what the module remembers: firmware that it stopped for breaking the
contract, and firmware that is attached. Then it tells what happens, in this network
namespace: the kernel keeps such messages within it.";

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
    let uevents = Uevents::open()?;
    let (mut story, begun) = Story::begin(&context.debugfs, args.dev.as_deref(), clock::now_ns())?;
    for happening in &begun {
        if !context.output.print(happening) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    loop {
        let happening = match uevents.take()? {
            Received::Message(message) => story.tell(&message, clock::now_ns())?,
            Received::Lost => Some(story.lost(clock::now_ns())?),
            Received::Nothing if watch.is_over() => break,
            Received::Nothing => {
                if watch.wait(&[uevents.as_fd()])?.is_some() {
                    break;
                }
                None
            }
        };
        if let Some(happening) = happening {
            if !context.output.print(&happening) || !watch.printed() {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
