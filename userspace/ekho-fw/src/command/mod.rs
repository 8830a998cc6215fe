// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands, one module each with one `run`.

pub mod completions;
pub mod device;
pub mod doctor;
pub mod events;
pub mod flows;
pub mod inspect;
pub mod list;
pub mod load;
pub mod man;
pub mod monitor;
pub mod replace;
pub mod show;
pub mod stats;
pub mod unload;
mod watch;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use ekho::debugfs::{Debugfs, Filter};
use ekho::error::Class;
use ekho::firmware::Firmware;
use ekho::pins::Pins;
use ekho::{messages, netns};

use crate::cli::{Cli, Command, FirmwareArgs, Global};
use crate::render::Output;

/// What the commands work with.
#[derive(Debug)]
pub struct Context<'output> {
    /// Where results go.
    pub output: &'output Output,
    /// The module's records.
    pub debugfs: Debugfs,
    /// Where firmware is pinned.
    pub pins: Pins,
    /// Whether one network namespace was chosen.
    one_netns: bool,
}

impl<'output> Context<'output> {
    fn new(global: &Global, output: &'output Output) -> Result<Self> {
        messages::set_debug(global.debug);
        if let Some(name) = &global.netns {
            netns::enter(name)?;
        }
        Ok(Self {
            output,
            debugfs: Debugfs::default(),
            pins: Pins::new(&global.pin_root),
            one_netns: global.netns.is_some(),
        })
    }

    /// Records to list: of one device of this namespace, else of the namespace that
    /// was chosen, else all.
    pub fn filter(&self, dev: Option<&str>) -> Result<Filter> {
        let netns = if self.one_netns || dev.is_some() {
            Some(netns::current()?)
        } else {
            None
        };
        Ok(Filter {
            netns,
            dev: dev.map(str::to_owned),
        })
    }
}

/// Opens the firmware that the command line means.
pub fn open_firmware(args: &FirmwareArgs) -> Result<Firmware> {
    let mut firmware = Firmware::open(&args.file)?;
    if let Some(variable) = &args.ops {
        firmware.select(variable)?;
    }
    if let Some(name) = &args.name {
        firmware.rename(name)?;
    }
    Ok(firmware)
}

/// Keeps the verifier's log where the command line wants it.
pub fn keep_log<T>(args: &FirmwareArgs, result: ekho::Result<T>) -> ekho::Result<T> {
    if let (Some(path), Err(ekho::Error::Verifier { rejection, .. })) = (&args.log, &result) {
        match std::fs::write(path, &rejection.log) {
            Ok(()) => eprintln!("ekho-fw: the verifier's log is in {}", path.display()),
            Err(err) => eprintln!("ekho-fw: can't write {}: {err}", path.display()),
        }
    }
    result
}

/// Says what was being done, unless the error is about the firmware itself: then it
/// names the file already.
pub fn doing<T>(result: ekho::Result<T>, what: impl FnOnce() -> String) -> Result<T> {
    match result {
        Err(error) if error.class() == Class::Firmware => Err(error.into()),
        other => other.with_context(what),
    }
}

/// Does what the command line says.
pub fn run(cli: Cli, output: &Output) -> Result<ExitCode> {
    // These two only write text about the tool itself.
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man(args) => return man::run(args),
        _ => {}
    }
    let context = Context::new(&cli.global, output)?;
    match &cli.command {
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
        Command::Inspect(args) => inspect::run(&context, args),
        Command::Doctor(args) => doctor::run(&context, args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}
