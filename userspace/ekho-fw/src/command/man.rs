// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw man`: manual pages, from the same words as `--help`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap_mangen::Man;

use crate::render;

const EXAMPLES: &str = "\
Examples:
  ekho-fw man | man -l -
  ekho-fw man --dir /usr/local/share/man/man1";

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A page whose examples and tables keep their lines: clap_mangen sets them as
/// paragraphs, under a heading that says nothing.
fn page(man: &Man) -> Result<String> {
    const HEADING: &str = ".SH EXTRA\n";

    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    let Some((start, rest)) = page.split_once(HEADING) else {
        return Ok(page.into_owned());
    };
    let (notes, end) = match rest.find("\n.SH ") {
        Some(at) => rest.split_at(at + 1),
        None => (rest, ""),
    };
    Ok(format!("{start}.SH NOTES\n.nf\n{notes}\n.fi\n{end}"))
}

fn write_all(directory: &Path, command: &clap::Command) -> Result<()> {
    for subcommand in command.get_subcommands() {
        write_all(directory, subcommand)?;
    }
    let man = Man::new(command.clone());
    fs::write(directory.join(man.get_filename()), page(&man)?)?;
    Ok(())
}

fn write_to(directory: &Path, mut command: clap::Command) -> Result<()> {
    fs::create_dir_all(directory)?;
    command.build();
    write_all(directory, &command)
}

/// Prints or writes manual pages.
pub fn run(args: &Args, command: clap::Command) -> Result<ExitCode> {
    match &args.dir {
        None => render::plain(&page(&Man::new(command))?),
        Some(directory) => write_to(directory, command)
            .with_context(|| format!("can't write manual pages to {}", directory.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
