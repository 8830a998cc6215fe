// SPDX-License-Identifier: GPL-2.0-only

//! How a rule is encoded: `bpf/ekho_rule.h`, with its writer, its reader, and its text.
//!
//! Depends on `core` only, so that it is tested on the host, once the module was built, which makes
//! the tables: `rustc --edition 2021 --test mod.rs`.

#![deny(unsafe_code)]

pub(crate) mod encoder;
pub(crate) mod reader;
#[cfg(test)]
mod tests;
pub(crate) mod text;

/// How a payload is written: see `bpf/ekho_rule.h`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::upper_case_acronyms, reason = "as in C")]
pub(crate) enum Format {
    NONE,
    DEC,
    HEX,
    NUM,
    FLAGS,
    DEV,
    IP4,
    IP6,
    MAC,
    LSE,
    BYTES,
    GENEVE,
    ERSPAN,
    GTP,
    PFCP,
    GATE,
}

impl Format {
    /// Whether it is a number without zero bytes at its end.
    const fn is_number(self) -> bool {
        matches!(self, Self::NUM | Self::FLAGS | Self::DEV)
    }
}

/// A number with a name.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
}

impl Named {
    const fn new(number: u32, name: &'static str) -> Self {
        Self { number, name }
    }
}

/// A field that can be matched or set, or an argument of an action.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    tag: u8,
    pub(crate) name: &'static str,
    format: Format,
    bits: u8,
    /// The key that has it.
    pub(crate) key: u32,
}

impl Field {
    const fn new(tag: u8, name: &'static str, format: Format, bits: u8, key: Named) -> Self {
        Self {
            tag,
            name,
            format,
            bits,
            key: key.number,
        }
    }

    /// How many bytes it has in the kernel's structures, if it isn't a number.
    pub(crate) const fn len(self) -> usize {
        self.bits as usize / 8
    }

    /// All bits of a number.
    const fn all(self) -> u64 {
        u64::MAX >> (64 - self.bits as u32)
    }
}

/// An action.
#[derive(Clone, Copy)]
pub(crate) struct Action {
    pub(crate) number: u32,
    /// With a NUL at its end.
    name: &'static str,
    argument: Format,
}

impl Action {
    const fn new(number: u32, name: &'static str, argument: Format) -> Self {
        Self {
            number,
            name,
            argument,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.name.trim_end_matches('\0')
    }

    /// The same for C.
    #[cfg_attr(test, expect(dead_code, reason = "firmware has it"))]
    pub(crate) fn c_name(self) -> *const u8 {
        self.name.as_ptr()
    }

    /// The action with a number; none that isn't known.
    pub(crate) fn of(number: u32) -> Option<Self> {
        tables::ACTIONS.get(number as usize).copied()
    }
}

/// The lists.
#[allow(dead_code, reason = "generated code: not all has users in the kernel")]
pub(crate) mod tables {
    use super::{
        Action,
        Field,
        Format,
        Named, //
    };
    include!("../../bindings/rule_generated.rs");
}

/// The type of a mask.
const MASK: u8 = 1;
/// The type that says that something is missing.
const CUT: u8 = 2;
/// What is added to the number of an action.
const ACTION: u8 = 0x80;

const _: () = {
    let mut n = 0;
    while n < tables::KEYS.len() {
        assert!(tables::KEYS[n].number as usize == n);
        n += 1;
    }
    n = 0;
    while n < tables::ACTIONS.len() {
        assert!(tables::ACTIONS[n].number as usize == n);
        n += 1;
    }
    // They stand in the order of their types, from the first on.
    n = 0;
    while n < tables::FIELDS.len() {
        assert!(tables::FIELDS[n].tag as usize == tables::FIELDS[0].tag as usize + n);
        n += 1;
    }
    assert!(tables::FIELDS[0].tag > CUT && tables::FIELDS[n - 1].tag < ACTION);
    n = 0;
    while n < tables::ARGS.len() {
        assert!(tables::ARGS[n].tag as usize == tables::ARGS[0].tag as usize + n);
        n += 1;
    }
    assert!(tables::ARGS[0].tag as usize >= ACTION as usize + 64);
};
