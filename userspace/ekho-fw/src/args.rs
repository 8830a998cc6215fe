// SPDX-License-Identifier: MIT OR Apache-2.0

//! Options that several commands have.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use ekho::firmware::pins;

/// Options that every command has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print JSON instead of text
    #[arg(short, long, global = true)]
    pub json: bool,

    /// Print JSON for reading: indented
    #[arg(short, long, global = true)]
    pub pretty: bool,

    /// Work in this network namespace (of `ip netns`, or a path); mounts stay as they are
    #[arg(short, long, global = true, value_name = "NAME")]
    pub netns: Option<String>,

    /// Pin below this directory of a bpffs
    #[arg(long, global = true, value_name = "DIR", default_value = pins::DEFAULT_ROOT)]
    pub pin_root: PathBuf,

    /// Show what libbpf and the verifier say
    #[arg(short, long, global = true)]
    pub debug: bool,
}

/// Which firmware is meant, and how it is to be called.
#[derive(Debug, Args)]
pub struct FirmwareArgs {
    /// Firmware object: BPF compiled by clang; or the name of firmware that comes with EKHO, such as `nic`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Network device
    #[arg(long, value_name = "DEV")]
    pub dev: String,

    /// Name of the firmware, instead of the one in the object
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Variable with the ops, when the object has several
    #[arg(long, value_name = "VARIABLE")]
    pub ops: Option<String>,

    /// Write the verifier's whole log to this file when it rejects a program
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// Whether JSON is wanted, and whether indented, by a command line that can't be understood
/// as a whole.
pub fn wants_json(args: impl IntoIterator<Item = OsString>) -> (bool, bool) {
    /// Options with one letter that take no value: others may follow in the same word.
    const FLAGS: &str = "djp";
    let (mut json, mut pretty) = (false, false);
    for arg in args {
        let Some(arg) = arg.to_str() else { continue };
        match arg {
            "--" => break,
            "--json" => json = true,
            "--pretty" => pretty = true,
            _ if arg.starts_with("--") => {}
            _ => {
                let letters = arg.strip_prefix('-').unwrap_or_default();
                for letter in letters.chars().take_while(|char| FLAGS.contains(*char)) {
                    json |= letter == 'j';
                    pretty |= letter == 'p';
                }
            }
        }
    }
    (json, pretty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(line: &str) -> (bool, bool) {
        wants_json(line.split(' ').map(OsString::from))
    }

    #[test]
    fn what_is_wanted_is_seen_in_a_command_line_with_errors() {
        assert_eq!(wanted("-j nonsense"), (true, false));
        assert_eq!(wanted("load -dp"), (false, true));
        assert_eq!(wanted("stats set --json --pretty"), (true, true));
        assert_eq!(wanted("-n jp list"), (false, false));
        assert_eq!(wanted("-njp list"), (false, false));
        assert_eq!(wanted("--netns j -- -j"), (false, false));
    }
}
