// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw stats`: write the counters that firmware reports.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ArgGroup;
use ekho::error::Class;
use ekho::flows::feed::{self, LineError};
use ekho::flows::handle;
use ekho::flows::stats::{protocol, Change, LastUsed, Op, Sink as _, Stats, Target};
use ekho::kernel::netlink::filter::{FilterSpec, Hook};
use ekho::kernel::netlink::rule::RuleSpec;
use ekho::number::parse_number;

use crate::context::Context;
use crate::failure;
use crate::render::note;

const EXAMPLES: &str = "\
Examples:
  ekho-fw stats set --cookie 0xffff888012345678 --packets 10 --bytes 1000
  ekho-fw stats add --dev ek0 --prio 10 --handle 1 --packets 1 --bytes 64
  ekho-fw stats add --dev ek0 --nft t c --handle 4 --packets 1 --bytes 64
  agent | ekho-fw stats feed -

The numbers go into the firmware's map `flow_stats`; the kernel is told when it asks
next, and tc shows them as sent by hardware. They are totals that must not shrink.";

const ONE_EXAMPLES: &str = "\
Examples:
  --cookie 0xffff888012345678 --packets 10 --bytes 1000
  --dev ek0 --prio 10 --handle 1 --packets 10 --bytes 1000
  --dev ek0 --nft t c --handle 4 --packets 10 --bytes 1000
  --dev ek0 --block 22 --chain 5 --prio 10 --handle 0x3 --protocol ip --drops 2

The cookie is the kernel's key of a flow (ekho-fw flows). A filter's handle is what
`tc filter show` prints, that of a rule of nftables what `nft -a list ruleset` prints;
--nft names the table (of the family netdev) and the chain of the rule. What isn't given
stays as it is.";

const FEED_EXAMPLES: &str = "\
Examples:
  agent | ekho-fw stats feed -
  ekho-fw stats feed counters.jsonl

One JSON object a line:
  {\"cookie\":\"0xffff888012345678\",\"packets\":10,\"bytes\":1000}
  {\"cookie\":\"0xffff888012345678\",\"op\":\"add\",\"packets\":1,\"bytes\":64,\"drops\":0}
  {\"dev\":\"ek0\",\"prio\":10,\"handle\":\"0x1\",\"packets\":10,\"last_used\":\"now\"}
  {\"dev\":\"ek0\",\"nft\":[\"t\",\"c\"],\"handle\":4,\"packets\":10}
Keys: cookie, or dev, prio, handle and if need be chain, protocol, egress (true) or
block, or dev, nft (table and chain), handle; op (set or add); packets, bytes, drops,
last_used (\"now\", \"never\" or ns).

Each line is applied as it comes. A line that fails is reported with its number, and
the next one is read; a summary comes at the end, and exit status 7 if lines failed.";

/// Arguments of `stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Set the totals of a flow
    #[command(after_help = ONE_EXAMPLES)]
    Set(One),
    /// Add to the totals of a flow
    #[command(after_help = ONE_EXAMPLES)]
    Add(One),
    /// Apply a stream of JSON lines
    #[command(after_help = FEED_EXAMPLES)]
    Feed {
        /// File with JSON lines, or - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// One flow, and its numbers.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("flow").args(["cookie", "handle"]).required(true))]
#[command(group = ArgGroup::new("place").args(["prio", "nft"]))]
#[command(group = ArgGroup::new("hook").args(["ingress", "egress", "block"]).conflicts_with("cookie"))]
#[command(group = ArgGroup::new("numbers").args(["packets", "bytes", "drops", "last_used"]).multiple(true).required(true))]
struct One {
    /// The kernel's key of the flow, as `ekho-fw flows` shows it
    #[arg(long, value_parser = number, help_heading = "Which flow")]
    cookie: Option<u64>,

    /// Network device of the flow
    #[arg(long, value_name = "DEV", help_heading = "Which flow")]
    dev: Option<String>,

    /// Handle of the filter, as tc prints it: 0x1, or 800::800 of u32; or of the rule, as nft does
    #[arg(long, visible_alias = "fh", value_parser = filter_handle, requires_all = ["dev", "place"], help_heading = "Which flow")]
    handle: Option<u32>,

    /// Preference of the filter
    #[arg(long, requires = "handle", help_heading = "Which flow")]
    prio: Option<u16>,

    /// Table and chain of a rule of nftables
    #[arg(
        long,
        action = clap::ArgAction::Set,
        num_args = 2,
        value_names = ["TABLE", "CHAIN"],
        requires = "handle",
        conflicts_with_all = ["chain", "protocol", "hook"],
        help_heading = "Which flow"
    )]
    nft: Option<Vec<String>>,

    /// Chain of the filter
    #[arg(
        long,
        default_value_t = 0,
        conflicts_with = "cookie",
        help_heading = "Which flow"
    )]
    chain: u32,

    /// Protocol of the filter (ip, ipv6, arp, all, 802.1q, or a number); any if not given
    #[arg(long, value_parser = ether_type, conflicts_with = "cookie", help_heading = "Which flow")]
    protocol: Option<u16>,

    /// The filter is on ingress (the default)
    #[arg(long, help_heading = "Which flow")]
    ingress: bool,

    /// The filter is on egress
    #[arg(long, help_heading = "Which flow")]
    egress: bool,

    /// The filter is in a shared block
    #[arg(long, value_name = "INDEX", help_heading = "Which flow")]
    block: Option<u32>,

    /// Packets
    #[arg(long, value_parser = number, help_heading = "Numbers")]
    packets: Option<u64>,

    /// Bytes
    #[arg(long, value_parser = number, help_heading = "Numbers")]
    bytes: Option<u64>,

    /// Packets dropped
    #[arg(long, value_parser = number, help_heading = "Numbers")]
    drops: Option<u64>,

    /// Last hit: now, never, or ns of CLOCK_MONOTONIC; now if not given and a number grows
    #[arg(long, value_name = "TIME", help_heading = "Numbers")]
    last_used: Option<LastUsed>,
}

fn number(text: &str) -> Result<u64, String> {
    parse_number(text).ok_or_else(|| "not a number (decimal, or hexadecimal with 0x)".into())
}

fn filter_handle(text: &str) -> Result<u32, String> {
    handle::parse(text).ok_or_else(|| "not a handle (0x1, or 800::800)".into())
}

fn ether_type(text: &str) -> Result<u16, String> {
    protocol(text).ok_or_else(|| "not a protocol".into())
}

impl One {
    fn target(&self, dev: Option<String>) -> Target {
        if let (Some(dev), Some(handle), Some([table, chain])) =
            (&dev, self.handle, self.nft.as_deref())
        {
            return Target::Rule(RuleSpec {
                dev: dev.clone(),
                table: table.clone(),
                chain: chain.clone(),
                handle: handle.into(),
            });
        }
        match (self.cookie, dev, self.prio, self.handle) {
            (None, Some(dev), Some(prio), Some(handle)) => Target::Filter(FilterSpec {
                dev,
                hook: match (self.block, self.egress) {
                    (Some(block), _) => Hook::Block(block),
                    (None, true) => Hook::Egress,
                    (None, false) => Hook::Ingress,
                },
                chain: self.chain,
                prio,
                protocol: self.protocol.unwrap_or(0),
                handle,
            }),
            (cookie, dev, ..) => Target::Cookie {
                cookie: cookie.unwrap_or(0),
                dev,
            },
        }
    }

    fn change(&self, op: Op) -> Change {
        Change {
            op,
            packets: self.packets,
            bytes: self.bytes,
            drops: self.drops,
            last_used: self.last_used,
        }
    }
}

fn change(context: &Context<'_>, one: &One, op: Op) -> Result<ExitCode> {
    let dev = context.dev_of(one.dev.as_deref())?;
    let mut stats = Stats::open(&*context.state, context.filter(dev.as_deref())?)?;
    let updated = stats
        .change(&one.target(dev), &one.change(op))
        .context("can't write statistics")?;
    context.output.print(&updated);
    Ok(ExitCode::SUCCESS)
}

fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened =
        File::open(file).map_err(ekho::Error::io(format!("can't open {}", file.display())))?;
    Ok(Box::new(BufReader::new(opened)))
}

fn feed(context: &Context<'_>, file: &Path) -> Result<ExitCode> {
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let input = open(file)?;
    let mut stats = Stats::open(&*context.state, context.filter(None)?)?;
    let report = |line: u64, error: &LineError| {
        note(&format!("{name}, line {line}: {error}"));
    };
    let summary =
        feed::feed(input, &mut stats, report).with_context(|| format!("can't read {name}"))?;
    context.output.print(&summary);
    Ok(if summary.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(failure::status(Class::Statistics))
    })
}

/// Writes statistics.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Set(one) => change(context, one, Op::Set),
        Command::Add(one) => change(context, one, Op::Add),
        Command::Feed { file } => feed(context, file),
    }
}
