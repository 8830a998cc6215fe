// SPDX-License-Identifier: GPL-2.0-only

//! The reader.

use super::{
    tables,
    Field,
    ACTION,
    CUT,
    MASK, //
};

/// What an attribute is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A field that is matched, or that the action before sets; or another argument of it.
    Field(Field),
    /// An action, by its number.
    Action(u32),
    /// Something is missing here.
    Cut,
    /// A type that isn't known.
    Unknown(u8),
}

impl Kind {
    fn of(tag: u8) -> Self {
        let find = |list: &[Field]| {
            let first = list.first()?.tag;
            list.get(usize::from(tag.checked_sub(first)?)).copied()
        };
        match tag {
            CUT => Self::Cut,
            _ if tag >= ACTION && tag < tables::ARGS[0].tag => Self::Action((tag - ACTION).into()),
            _ => find(tables::FIELDS)
                .or_else(|| find(tables::ARGS))
                .map_or(Self::Unknown(tag), Self::Field),
        }
    }
}

/// An attribute, with its mask if it has one.
pub(super) struct Attribute<'a> {
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    pub(super) mask: Option<&'a [u8]>,
}

/// Reads attributes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn one(&mut self) -> Option<(u8, &'a [u8])> {
        let ([tag, size], rest) = self.0.split_first_chunk::<2>()?;
        let (payload, rest) = rest.split_at_checked(usize::from(*size))?;
        if *tag == 0 {
            return None;
        }
        self.0 = rest;
        Some((*tag, payload))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (tag, payload) = self.one()?;
        let mut ahead = *self;
        let mask = match ahead.one() {
            Some((MASK, mask)) => {
                *self = ahead;
                Some(mask)
            }
            _ => None,
        };
        Some(Attribute {
            kind: Kind::of(tag),
            payload,
            mask,
        })
    }
}

/// The first field of a key that is matched in an encoded rule: its name.
pub(crate) fn first_field(rule: &[u8], key: u32) -> Option<&'static str> {
    Reader(rule).find_map(|attribute| match attribute.kind {
        Kind::Field(field) if field.key == key => Some(field.name),
        _ => None,
    })
}
