// SPDX-License-Identifier: MIT OR Apache-2.0

//! How text looks on a terminal.

/// What text may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Colours and bold.
    pub color: bool,
    /// Whether a person is watching: say so when there is nothing to show.
    pub terminal: bool,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
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
