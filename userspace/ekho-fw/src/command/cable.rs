// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw cable`: cables between ports, or between a port and an Ethernet device.

use std::process::ExitCode;

use anyhow::Result;
use ekho::module::netlink::cable::{End, Impairment};
use ekho::module::Netlink;

use crate::context::Context;
use crate::results::CableChange;
use crate::units::{parse_percent, parse_rate, parse_time};

const EXAMPLES: &str = "\
Examples:
  ekho-fw cable connect ek0 ek1
  ekho-fw cable connect ek0 ek1@blue --delay 10ms --jitter 1ms --loss 1%
  ekho-fw cable list
  ekho-fw cable disconnect ek0

A cable carries frames between two devices, one of which at least is of kind ekho. The
other may be any Ethernet device that isn't enslaved, such as a veth.";

const CONNECT_EXAMPLES: &str = "\
Examples:
  ekho-fw cable connect ek0 ek1                      two ports of this network namespace
  ekho-fw cable connect ek0@red ek0@blue             of two others, by their names in ip netns
  ekho-fw cable connect ek0 eth0@/proc/1234/ns/net   a foreign device, of a process' namespace
  ekho-fw cable connect ek0 ek1 --delay 10ms --jitter 1ms --loss 0.1% --reorder 5%
  ekho-fw cable connect ek0 ek1 --rate 100mbit --limit 50

What the cable does to frames it does in each direction by itself. Words and units are those
of tc netem: times as 10ms, 500us or 1s, rates as 100mbit (bits a second) or 10kbps (bytes a
second). Needs CAP_NET_ADMIN in the network namespaces of both ends, and CAP_SYS_ADMIN for
ends with @NETNS. To change a cable, disconnect it first.";

const DISCONNECT_EXAMPLES: &str = "\
Examples:
  ekho-fw cable disconnect ek0          either end will do
  ekho-fw cable disconnect ek1@blue

Both ends lose their carrier. A cable also goes with a device that is deleted; a device that
moves to another network namespace keeps it.";

const LIST_EXAMPLES: &str = "\
Examples:
  ekho-fw cable list                in all network namespaces, as root; else in this one
  ekho-fw -n blue cable list        with an end in one
  ekho-fw cable list --dev ek0
  ekho-fw -j cable list | jq -r '.[] | select(.carrier | not) | .dev'

Each cable is one line. LOST is how many frames that DEVICE has sent the cable has lost,
PEER-LOST the same of PEER. A peer in a network namespace that isn't to be seen is shown by its
index.";

/// Arguments of `cable`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Connect two devices by a cable
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(Connect),
    /// Remove the cable of a device
    #[command(after_help = DISCONNECT_EXAMPLES)]
    Disconnect {
        /// Device at either end of the cable
        #[arg(value_name = "DEV[@NETNS]")]
        dev: End,
    },
    /// List cables with what they do to frames, and counters
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List {
        /// Only the cable of this network device
        #[arg(long, value_name = "DEV")]
        dev: Option<String>,
    },
}

/// A cable to be made.
#[derive(Debug, clap::Args)]
struct Connect {
    /// Device at one end, in network namespace NETNS (of `ip netns`, or a path) or in this one
    #[arg(value_name = "DEV[@NETNS]")]
    a: End,

    /// Device at the other end
    #[arg(value_name = "PEER[@NETNS]")]
    b: End,

    /// Delay of each frame
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "What it does to frames")]
    delay: Option<u32>,

    /// How much the delay varies, up and down; not more than the delay
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "delay", help_heading = "What it does to frames")]
    jitter: Option<u32>,

    /// How many frames are lost
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, help_heading = "What it does to frames")]
    loss: Option<u32>,

    /// How many frames aren't delayed, and so overtake others
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, requires = "delay", help_heading = "What it does to frames")]
    reorder: Option<u32>,

    /// Bits or bytes a second that it carries; no limit if not given
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "What it does to frames")]
    rate: Option<u64>,

    /// How many frames can be under way; further ones are lost [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "What it does to frames")]
    limit: Option<u32>,
}

impl Connect {
    fn impairment(&self) -> Impairment {
        Impairment {
            delay_us: self.delay.unwrap_or(0),
            jitter_us: self.jitter.unwrap_or(0),
            loss_ppm: self.loss.unwrap_or(0),
            reorder_ppm: self.reorder.unwrap_or(0),
            rate_bps: self.rate,
            limit: self.limit,
        }
    }
}

/// Connects, disconnects or lists.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Connect(connect) => {
            Netlink.connect(&connect.a, &connect.b, &connect.impairment())?;
            context.output.print(&CableChange {
                dev: connect.a.to_string(),
                peer: Some(connect.b.to_string()),
            });
        }
        Command::Disconnect { dev } => {
            Netlink.disconnect(dev)?;
            context.output.print(&CableChange {
                dev: dev.to_string(),
                peer: None,
            });
        }
        Command::List { dev } => {
            let cables = Netlink.cables(&context.filter(dev.as_deref())?)?;
            context.output.print(cables.as_slice());
        }
    }
    Ok(ExitCode::SUCCESS)
}
