// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw`: load, replace, show and feed EKHO firmware.
//!
//! A thin command line on the library `ekho`. A subcommand is a module below
//! [`command`] with its arguments and one `run`; what it prints is data of the
//! library, turned into text or JSON by [`render`] and nowhere else.

#![forbid(unsafe_code)]

mod args;
mod cli;
mod command;
mod context;
mod failure;
mod render;
mod results;
mod units;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let output = render::Output::new(cli.global.json, cli.global.pretty);
    match cli.run(&output) {
        Ok(code) => code,
        Err(error) => failure::report(&error, &output),
    }
}
