// SPDX-License-Identifier: MIT OR Apache-2.0
//! x
use anyhow::Result;
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long)]
    out: std::path::PathBuf,
}
pub fn run(_a: &Arguments) -> Result<()> { Ok(()) }
