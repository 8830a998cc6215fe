// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where results go, and in which form.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::escape;
use super::style::{Style, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Pretty,
}

/// Where results go, and in which form.
#[derive(Debug)]
pub struct Output {
    format: Format,
    style: Style,
}

impl Output {
    /// As the command line and the terminal say.
    pub fn new(json: bool, pretty: bool) -> Self {
        let format = match (json, pretty) {
            (_, true) => Format::Pretty,
            (true, false) => Format::Json,
            (false, false) => Format::Text,
        };
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            format,
            style: Style {
                color: terminal && !no_color && !dumb,
                terminal: terminal
                    .then(|| terminal_size::terminal_size().map_or(80, |(width, _)| width.0)),
            },
        }
    }

    /// Prints a result. False if nobody reads any more, which is for commands that would
    /// go on and on.
    pub fn print<T: Serialize + Text + ?Sized>(&self, data: &T) -> bool {
        match self.format {
            Format::Text => write_out(&escape::text(&data.text(self.style))),
            Format::Json | Format::Pretty => self.json(data),
        }
    }

    /// Prints data when JSON is wanted, and nothing otherwise.
    pub fn json<T: Serialize + ?Sized>(&self, data: &T) -> bool {
        let text = match self.format {
            Format::Text => return true,
            Format::Json => serde_json::to_string(data),
            Format::Pretty => serde_json::to_string_pretty(data),
        };
        match text {
            Ok(text) => write_out(&escape::json(&format!("{text}\n"))),
            Err(err) => {
                note(&format!("can't write JSON: {err}"));
                true
            }
        }
    }
}

/// Writes to standard output; a reader that left early (`| head`) is no failure, and
/// false.
fn write_out(text: &str) -> bool {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => false,
        Err(err) => {
            note(&format!("can't write to standard output: {err}"));
            std::process::exit(1);
        }
    }
}

/// Writes plain text, such as a manual page.
pub fn plain(text: &str) {
    write_out(text);
}

/// Tells something on standard error.
pub fn note(text: &str) {
    eprintln!("{}", escape::text(&format!("ekho-fw: {text}")));
}
