// SPDX-License-Identifier: GPL-2.0-only

//! The reason of a refusal, as one sentence.

#![deny(unsafe_code)]

use crate::bindings;
use core::fmt;

/// The reason of a refusal: printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason([u8; bindings::EKHO_REASON_MAX as usize]);

impl Reason {
    /// No reason.
    pub(crate) const NONE: Self = Self([0; bindings::EKHO_REASON_MAX as usize]);

    /// Takes what a kfunc stored in a context.
    pub(super) const fn from_bytes(bytes: [u8; bindings::EKHO_REASON_MAX as usize]) -> Self {
        Self(bytes)
    }

    /// The text up to the first NUL. It is cut to the maximum length, and each byte that isn't
    /// printable is replaced by `?`.
    pub(crate) fn new(text: impl Iterator<Item = u8>) -> Self {
        let mut reason = Self::NONE;
        let room = reason.0.len() - 1;
        let printable = |c: u8| if matches!(c, b' '..=b'~') { c } else { b'?' };
        let text = text.take_while(|&c| c != 0);
        for (to, c) in reason.0[..room].iter_mut().zip(text) {
            *to = printable(c);
        }
        reason
    }

    /// Formats a reason that the module gives.
    pub(crate) fn of(text: kernel::fmt::Arguments<'_>) -> Self {
        struct Cut(Reason, usize);

        impl kernel::fmt::Write for Cut {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                let room = self.0 .0.len() - 1;
                for c in s.bytes() {
                    if self.1 < room {
                        self.0 .0[self.1] = c;
                        self.1 += 1;
                    }
                }
                Ok(())
            }
        }
        let mut cut = Cut(Self::NONE, 0);
        // Never fails.
        let _ = kernel::fmt::Write::write_fmt(&mut cut, text);
        cut.0
    }

    /// Whether there is no reason.
    pub(crate) fn is_none(&self) -> bool {
        self.0[0] == 0
    }

    /// For C.
    pub(crate) fn bytes(&self) -> &[u8; bindings::EKHO_REASON_MAX as usize] {
        &self.0
    }
}

impl kernel::fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.iter().position(|&c| c == 0).unwrap_or(0);
        f.write_str(core::str::from_utf8(&self.0[..len]).unwrap_or("?"))
    }
}
