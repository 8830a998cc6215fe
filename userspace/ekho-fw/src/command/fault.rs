// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw fault`: failures of a device that tests inject.

use std::process::ExitCode;

use anyhow::Result;
use clap::ArgGroup;
use ekho::kernel::netlink::device;
use ekho::module::netlink::fault::{errno, Setting, Target};
use ekho::module::Netlink;

use crate::context::Context;
use crate::results::FaultChange;

const EXAMPLES: &str = "\
Examples:
  ekho-fw fault set --dev ek0 --point replace --nth 3 --errno ENOMEM
  ekho-fw fault list
  ekho-fw fault clear --dev ek0

A fault happens before the firmware is asked or after it has answered, as one of hardware
would: the firmware doesn't notice, and isn't stopped for it.";

const LIST_EXAMPLES: &str = "\
Examples:
  ekho-fw fault list                in all network namespaces, as root; else in this one
  ekho-fw fault list --dev ek0
  ekho-fw -j fault list | jq -r '.[] | select(.point) | [.dev, .point, .calls] | @tsv'";

const SET_EXAMPLES: &str = "\
Examples:
  --dev ek0 --point replace --nth 3 --errno ENOMEM   the third filter from now is refused
  --dev ek0 --point replace --delay-us 500           each takes half a millisecond longer
  --dev ek0 --point stats --recurse                  the op seems to be entered again
  --dev ek0 --point bind --errno EBUSY               no block can be bound
  --dev ek0 --nospc-after 7                          the device holds seven flows
  --dev ek0 --stats freeze                           counters stand still
  --new-devices --point register --errno ENOMEM      no device of kind ekho can be made

Points are the ops of firmware (attach, detach, replace, destroy, stats, ...), bind (a
block is bound), withdraw (filters are taken back from firmware that is detached), register
(a device is made) and end_link (the link of firmware that was stopped, or whose device
went, is detached; --delay-us only). A fault takes the place of another of the same
point; what the others have counted is kept. Needs CAP_NET_ADMIN, and for --delay-us,
--stall-us, --interrupt and --new-devices that of the initial user namespace.";

const CLEAR_EXAMPLES: &str = "\
Examples:
  ekho-fw fault clear --dev ek0
  ekho-fw fault clear --new-devices

All faults of the device go, with what they have counted.";

/// Arguments of `fault`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List faults that are set
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List {
        /// Only this network device
        #[arg(long, value_name = "DEV")]
        dev: Option<String>,
    },
    /// Set a fault, or change it
    #[command(after_help = SET_EXAMPLES)]
    Set(Set),
    /// Clear all faults of a device
    #[command(after_help = CLEAR_EXAMPLES)]
    Clear(Devices),
}

/// Which devices are meant.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("devices").args(["dev", "new_devices"]).required(true))]
struct Devices {
    /// Network device
    #[arg(long, value_name = "DEV")]
    dev: Option<String>,

    /// Devices of kind ekho that are yet to come, in any network namespace
    #[arg(long)]
    new_devices: bool,
}

impl Devices {
    fn target(&self, context: &Context<'_>) -> Result<Target> {
        Ok(match &self.dev {
            Some(dev) => Target::Device(context.dev(dev)?),
            None => Target::New,
        })
    }
}

/// A fault.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["point", "nospc_after", "stats"]).required(true))]
#[command(group = ArgGroup::new("happens").args(["errno", "delay_us", "stall_us", "recurse", "interrupt"]).multiple(true).requires("point").conflicts_with_all(["nospc_after", "stats"]))]
struct Set {
    #[command(flatten)]
    devices: Devices,

    /// Call that it happens to: the name of an op, bind, withdraw, register or end_link
    #[arg(long, requires = "happens", help_heading = "At a call")]
    point: Option<String>,

    /// Only the N-th call from now on; each if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "point", help_heading = "At a call")]
    nth: Option<u64>,

    /// The call fails with this error (ENOMEM, or a number)
    #[arg(long, value_parser = parse_errno, help_heading = "At a call")]
    errno: Option<i32>,

    /// The call takes so many microseconds longer, 100000 at most; 10000000 at end_link
    #[arg(long, value_name = "US", help_heading = "At a call")]
    delay_us: Option<u32>,

    /// The CPU stops for so many microseconds while the op runs, 2000000 at most
    #[arg(long, value_name = "US", help_heading = "At a call")]
    stall_us: Option<u32>,

    /// The op is entered again while it runs
    #[arg(long, help_heading = "At a call")]
    recurse: bool,

    /// An interrupt enters the op while it runs
    #[arg(long, help_heading = "At a call")]
    interrupt: bool,

    /// The device's table has so many places
    #[arg(long, value_name = "N", help_heading = "Of the device")]
    nospc_after: Option<u32>,

    /// What the firmware says is dropped, or it isn't asked at all
    #[arg(long, value_name = "HOW", value_parser = ["drop", "freeze"], help_heading = "Of the device")]
    stats: Option<String>,
}

impl Set {
    fn setting(&self) -> Setting {
        Setting {
            point: self.point.clone(),
            nth: self.nth,
            errno: self.errno,
            delay_us: self.delay_us,
            stall_us: self.stall_us,
            recurse: self.recurse,
            interrupt: self.interrupt,
            nospc_after: self.nospc_after,
            stats: self.stats.clone(),
        }
    }
}

fn parse_errno(text: &str) -> Result<i32, String> {
    errno(text).ok_or_else(|| "not the name or number of an error, such as ENOMEM or 12".into())
}

/// Lists, sets or clears faults.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let target = match &args.command {
        Command::List { dev } => {
            let faults = Netlink.faults(&context.filter(dev.as_deref())?)?;
            if let (Some(dev), true) = (dev, faults.is_empty()) {
                device::ifindex(dev)?;
            }
            context.output.print(faults.as_slice());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Set(set) => {
            let target = set.devices.target(context)?;
            Netlink.set_fault(&target, &set.setting())?;
            target
        }
        Command::Clear(devices) => {
            let target = devices.target(context)?;
            Netlink.clear_faults(&target)?;
            target
        }
    };
    let (dev, new_devices) = match target {
        Target::Device(dev) => (Some(dev), false),
        Target::New => (None, true),
    };
    context.output.print(&FaultChange {
        dev,
        new_devices,
        set: matches!(args.command, Command::Set(_)),
    });
    Ok(ExitCode::SUCCESS)
}
