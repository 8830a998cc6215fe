// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw completions`: scripts for shells.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
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
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ekho-fw", &mut script);
    render::plain(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_gets_a_script() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ekho-fw", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("inspect"));
        }
    }
}
