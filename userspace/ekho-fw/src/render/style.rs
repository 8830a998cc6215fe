// SPDX-License-Identifier: MIT OR Apache-2.0

//! How text looks on a terminal.

use super::escape;

/// What text may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Colours and bold.
    pub color: bool,
    /// Columns of the terminal, if a person is watching: lines are wrapped, and that there
    /// is nothing to show is said.
    pub terminal: Option<u16>,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color {
            format!("{}{text}{}", escape::style(code), escape::style("0"))
        } else {
            text.to_owned()
        }
    }

    /// Text that heads something.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Text about something that is well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Text about something that deserves a look.
    pub fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Text about something that is broken.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// Data that has a form for a person.
pub trait Text {
    /// That form, each line with its newline.
    fn text(&self, style: Style) -> String;
}
