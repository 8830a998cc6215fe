// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw completions`: scripts for shells.

use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;

use crate::render;

const EXAMPLES: &str = "\
Examples:
  ekho-fw completions bash > /usr/share/bash-completion/completions/ekho-fw
  ekho-fw completions zsh > /usr/share/zsh/site-functions/_ekho-fw";

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shell
    shell: Shell,
}

/// Prints a completion script.
pub fn run(args: &Args, mut command: clap::Command) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ekho-fw", &mut script);
    render::plain(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}
