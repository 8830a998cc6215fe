// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line: what is said on it, and what `--help` and the man pages teach.

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::args::Global;
use crate::command::{
    cable, completions, device, doctor, events, fault, flows, inspect, list, load, man, monitor,
    replace, show, stats, unload,
};
use crate::context::Context;
use crate::render::Output;

const ABOUT: &str = "Load, replace, show and feed flow-offload firmware";

const LONG_ABOUT: &str = "\
Load, replace, show and feed flow-offload firmware.

EKHO lets a BPF program, the firmware, answer the kernel's requests to offload \
flows to hardware: tc flower filters on a network device become calls of the \
firmware's replace, destroy and stats. ekho-fw attaches firmware to a device, \
replaces it without losing a flow or a counter, shows what is going on, and writes \
the counters that the firmware reports. What it attaches stays after it ends: the \
link is pinned on bpffs.";

const AFTER_HELP: &str = "\
Examples:
  ekho-fw doctor                               is this system ready?
  ekho-fw device add ek0                       a device that takes firmware
  ekho-fw load stats.bpf.o --dev ek0           attach firmware to it
  tc qdisc add dev ek0 clsact
  tc filter add dev ek0 ingress prio 10 protocol ip \\
     flower skip_sw ip_proto tcp action drop
  ekho-fw flows                                what is offloaded, with cookies
  ekho-fw stats set --dev ek0 --prio 10 --handle 1 --packets 10 --bytes 1000
  tc -s filter show dev ek0 ingress            Sent hardware 1000 bytes 10 pkt
  ekho-fw replace new.bpf.o --dev ek0          flows and counters stay
  ekho-fw show --dev ek0                       what it can do, what it refused and why
  ekho-fw events --dev ek0                     each request, with events.bpf.o
  ekho-fw monitor                              follow attach, replace, detach, exit
  ekho-fw cable connect ek0 ek1 --delay 10ms   packets pass between two devices
  ekho-fw fault set --dev ek0 --point replace --nth 3 --errno ENOMEM
  ekho-fw unload --dev ek0";

pub const EXIT_STATUS: &str = "\
Exit status:
  0  success
  1  any other failure
  2  usage error
  3  a privilege is missing
  4  the system isn't ready: module, BTF, JIT, bpffs (see doctor)
  5  the firmware object can't be used, or inspect found a problem in it
  6  no such device, or its firmware, a pin or a cable conflicts
  7  statistics can't be written, or lines of a feed failed

Files:
  /sys/fs/bpf/ekho/DEV/link      pin of the link: keeps the firmware attached
  /sys/fs/bpf/ekho/DEV/maps/     pins of the firmware's maps

Environment:
  NO_COLOR  when set, text output has no colours, even on a terminal";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "ekho-fw",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    after_long_help = format!("{AFTER_HELP}\n\n{EXIT_STATUS}"),
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Options that every command has.
    #[command(flatten)]
    pub global: Global,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach firmware to a device
    Load(load::Args),
    /// Replace a device's firmware atomically: flows, counters and maps stay
    Replace(replace::Args),
    /// Detach a device's firmware and remove its pins
    Unload(unload::Args),
    /// List attached firmware
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Show attached firmware: what its device can do, what was refused, programs, maps
    Show(show::Args),
    /// Add, delete or list devices that take firmware
    Device(device::Args),
    /// List offloaded flows with match, actions and counters
    Flows(flows::Args),
    /// Print the kernel's offload requests to a device, as its firmware reports them
    Events(events::Args),
    /// Follow firmware: attached, replaced, detached, stopped by the module
    Monitor(monitor::Args),
    /// Write the counters that firmware reports for its flows
    Stats(stats::Args),
    /// Connect devices by cables, disconnect them, list cables
    Cable(cable::Args),
    /// Inject faults into a device, for tests: list, set, clear
    Fault(fault::Args),
    /// Look into a firmware object, without loading it and without privileges
    Inspect(inspect::Args),
    /// Check whether this system is ready for EKHO
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all of them to a directory
    Man(man::Args),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(&self, output: &Output) -> Result<ExitCode> {
        // These two only write text about the tool itself.
        match &self.command {
            Command::Completions(args) => return completions::run(args, Self::command()),
            Command::Man(args) => return man::run(args, Self::command()),
            _ => {}
        }
        let context = Context::new(&self.global, output)?;
        match &self.command {
            Command::Load(args) => load::run(&context, args),
            Command::Replace(args) => replace::run(&context, args),
            Command::Unload(args) => unload::run(&context, args),
            Command::List(args) => list::run(&context, args),
            Command::Show(args) => show::run(&context, args),
            Command::Device(args) => device::run(&context, args),
            Command::Flows(args) => flows::run(&context, args),
            Command::Events(args) => events::run(&context, args),
            Command::Monitor(args) => monitor::run(&context, args),
            Command::Stats(args) => stats::run(&context, args),
            Command::Cable(args) => cable::run(&context, args),
            Command::Fault(args) => fault::run(&context, args),
            Command::Inspect(args) => inspect::run(&context, args),
            Command::Doctor(args) => doctor::run(&context, args),
            Command::Completions(_) | Command::Man(_) => Ok(ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn refused(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_example() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }

    #[test]
    fn global_options_may_stand_anywhere() {
        for line in [
            "ekho-fw -j -n blue list",
            "ekho-fw list -j -n blue",
            "ekho-fw list --json --netns blue",
        ] {
            let cli = parse(line).unwrap();
            assert!(cli.global.json);
            assert_eq!(cli.global.netns.as_deref(), Some("blue"));
        }
        let cli = parse("ekho-fw load a.o --dev ek0 --pin-root /x -d").unwrap();
        assert_eq!(cli.global.pin_root, PathBuf::from("/x"));
        assert!(cli.global.debug);
        let cli = parse("ekho-fw device list -p").unwrap();
        assert_eq!(cli.global.pin_root, PathBuf::from("/sys/fs/bpf/ekho"));
    }

    #[test]
    fn firmware_and_device_are_needed() {
        assert!(refused("ekho-fw load a.o").contains("--dev <DEV>"));
        assert!(refused("ekho-fw load --dev ek0").contains("<FILE>"));
        assert!(refused("ekho-fw unload").contains("--dev <DEV>"));
    }

    #[test]
    fn statistics_need_one_flow_and_one_number() {
        let good = [
            "ekho-fw stats set --cookie 0x10 --packets 1",
            "ekho-fw stats add --cookie 16 --dev ek0 --bytes 1 --last-used now",
            "ekho-fw stats set --dev ek0 --prio 1 --handle 0x1 --last-used never",
            "ekho-fw stats set --dev ek0 --prio 1 --handle 800::800 --packets 1",
            "ekho-fw stats set --dev ek0 --prio 1 --fh 800::800 --packets 1",
            "ekho-fw stats set --dev ek0 --egress --prio 1 --handle 1 --protocol ip --drops 1",
            "ekho-fw stats set --dev ek0 --block 22 --chain 3 --prio 1 --handle 1 --drops 1",
            "ekho-fw stats set --dev ek0 --nft t c --handle 4 --packets 1",
            "ekho-fw stats feed -",
        ];
        for line in good {
            parse(line).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
        let bad = [
            "ekho-fw stats set --packets 1",
            "ekho-fw stats set --cookie 0x10",
            "ekho-fw stats set --cookie zz --packets 1",
            "ekho-fw stats set --cookie 1 --packets -1",
            "ekho-fw stats set --cookie 1 --prio 1 --handle 1 --packets 1",
            "ekho-fw stats set --prio 1 --handle 1 --packets 1",
            "ekho-fw stats set --dev ek0 --prio 1 --packets 1",
            "ekho-fw stats set --dev ek0 --handle 1 --packets 1",
            "ekho-fw stats set --dev ek0 --prio 70000 --handle 1 --packets 1",
            "ekho-fw stats set --dev ek0 --ingress --egress --prio 1 --handle 1 --packets 1",
            "ekho-fw stats set --dev ek0 --prio 1 --handle 1 --protocol none --packets 1",
            "ekho-fw stats set --cookie 1 --chain 1 --packets 1",
            "ekho-fw stats set --dev ek0 --nft t --handle 4 --packets 1",
            "ekho-fw stats set --dev ek0 --nft t c --nft t d --handle 4 --packets 1",
            "ekho-fw stats set --dev ek0 --nft t c --packets 1",
            "ekho-fw stats set --nft t c --handle 4 --packets 1",
            "ekho-fw stats set --dev ek0 --nft t c --prio 1 --handle 4 --packets 1",
            "ekho-fw stats set --dev ek0 --nft t c --egress --handle 4 --packets 1",
            "ekho-fw stats feed",
        ];
        for line in bad {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn watching_can_be_limited() {
        let good = [
            "ekho-fw events --dev ek0",
            "ekho-fw events --dev ek0 --count 3 --timeout 1.5 --only replace,destroy",
            "ekho-fw -j monitor",
            "ekho-fw monitor --dev ek0 --timeout 0 --count 1",
            "ekho-fw show --dev ek0",
            "ekho-fw show ek0",
        ];
        for line in good {
            parse(line).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
        let bad = [
            "ekho-fw events",
            "ekho-fw events --dev ek0 --count 0",
            "ekho-fw events --dev ek0 --timeout -1",
            "ekho-fw events --dev ek0 --timeout nan",
            "ekho-fw events --dev ek0 --only frob",
            "ekho-fw monitor --timeout soon",
            "ekho-fw show ek0 --dev ek1",
        ];
        for line in bad {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_fault_is_one_thing_of_one_target() {
        let good = [
            "ekho-fw fault list",
            "ekho-fw fault list --dev ek0",
            "ekho-fw fault set --dev ek0 --point replace --nth 3 --errno ENOMEM",
            "ekho-fw fault set --dev ek0 --point stats --delay-us 5 --recurse --interrupt --stall-us 9",
            "ekho-fw fault set --dev ek0 --point end_link --nth 2 --delay-us 5000000",
            "ekho-fw fault set --new-devices --point register --errno 12",
            "ekho-fw fault set --dev ek0 --nospc-after 0",
            "ekho-fw fault set --dev ek0 --stats drop",
            "ekho-fw fault clear --dev ek0",
            "ekho-fw fault clear --new-devices",
        ];
        for line in good {
            parse(line).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
        let bad = [
            "ekho-fw fault set --point replace --errno EIO",
            "ekho-fw fault set --dev ek0",
            "ekho-fw fault set --dev ek0 --new-devices --point register --errno EIO",
            "ekho-fw fault set --dev ek0 --point replace",
            "ekho-fw fault set --dev ek0 --point replace --nth 2",
            "ekho-fw fault set --dev ek0 --point replace --nth 0 --errno EIO",
            "ekho-fw fault set --dev ek0 --point replace --errno ENOSUCH",
            "ekho-fw fault set --dev ek0 --errno EIO",
            "ekho-fw fault set --dev ek0 --nth 2 --nospc-after 3",
            "ekho-fw fault set --dev ek0 --nospc-after 3 --recurse",
            "ekho-fw fault set --dev ek0 --stats lose",
            "ekho-fw fault set --dev ek0 --stats drop --nospc-after 3",
            "ekho-fw fault clear",
        ];
        for line in bad {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_cable_has_two_ends_and_numbers_with_units() {
        let good = [
            "ekho-fw cable connect ek0 ek1",
            "ekho-fw cable connect ek0@red ek1@/proc/1/ns/net --delay 10ms --jitter 1ms",
            "ekho-fw cable connect ek0 ek1 --delay 1s --reorder 5% --loss 0.5 --rate 100mbit --limit 1",
            "ekho-fw cable disconnect ek0",
            "ekho-fw cable disconnect ek0@blue",
            "ekho-fw cable list",
            "ekho-fw -n blue cable ls --dev ek0",
        ];
        for line in good {
            parse(line).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
        let bad = [
            "ekho-fw cable",
            "ekho-fw cable connect ek0",
            "ekho-fw cable connect ek0 ek1 ek2",
            "ekho-fw cable connect ek0 @blue",
            "ekho-fw cable connect ek0 ek1@",
            "ekho-fw cable connect ek0 ek1 --delay 10",
            "ekho-fw cable connect ek0 ek1 --jitter 1ms",
            "ekho-fw cable connect ek0 ek1 --reorder 5%",
            "ekho-fw cable connect ek0 ek1 --loss 101%",
            "ekho-fw cable connect ek0 ek1 --rate 0",
            "ekho-fw cable connect ek0 ek1 --limit 0",
            "ekho-fw cable disconnect",
            "ekho-fw cable disconnect ek0 ek1",
        ];
        for line in bad {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_exit_status_is_documented() {
        let help = Cli::command().render_long_help().to_string();
        for status in 0..=7 {
            assert!(help.contains(&format!("\n  {status}  ")), "{status}");
        }
    }
}
