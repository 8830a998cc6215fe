// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lists of `ekho_rule.h`: see build.rs.

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms)]
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

/// A number with a name.
#[derive(Clone, Copy, Debug)]
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) tag: u8,
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    /// 0 if the size differs.
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation has it"))]
    pub(crate) bits: u8,
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation has it"))]
    pub(crate) key: &'static str,
}

impl Field {
    const fn new(tag: u8, name: &'static str, format: Format, bits: u8, key: Named) -> Self {
        Self {
            tag,
            name,
            format,
            bits,
            key: key.name,
        }
    }
}

/// An action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    #[cfg_attr(not(test), expect(dead_code, reason = "it is the place in the list"))]
    pub(crate) number: u32,
    name: &'static str,
    pub(crate) argument: Format,
}

impl Action {
    /// `name` has a NUL at its end, for the module.
    const fn new(number: u32, name: &'static str, argument: Format) -> Self {
        Self {
            number,
            name,
            argument,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name.trim_end_matches('\0')
    }
}

/// What the lists are made into. Not all has users here.
#[allow(dead_code, missing_docs)]
mod generated {
    use super::{Action, Field, Format, Named};
    include!(concat!(env!("OUT_DIR"), "/tables.rs"));
}

pub(crate) use generated::{
    arg, ACTIONS, ARGS, CLASSIFIERS, EVENTS, FIELDS, HOOKS, HW_STATS, KEYS, QDISCS,
};

/// The structures of `ekho_maps.h`.
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals, dead_code)]
pub(crate) mod layout {
    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}
