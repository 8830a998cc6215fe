// SPDX-License-Identifier: GPL-2.0-only

//! The writer.

use super::{
    tables,
    Action,
    Field,
    ACTION,
    CUT,
    MASK, //
};

/// Writes attributes into memory.
pub(crate) struct Encoder<'a> {
    room: &'a mut [u8],
    len: usize,
    complete: bool,
}

/// The least significant bytes of a number that hold all of it.
#[inline(always)]
const fn significant(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()).div_ceil(8) as usize
}

impl<'a> Encoder<'a> {
    /// Starts at the beginning of `room`, which is zero.
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Self {
            room,
            len: 0,
            complete: true,
        }
    }

    /// Where an attribute with `N` bytes of payload goes, which may use fewer of them.
    #[inline(always)]
    fn place<const N: usize>(&mut self, tag: u8, used: usize) -> Option<&mut [u8; N]> {
        let place = self.room.get_mut(self.len..);
        // Once something is missing, nothing may follow it.
        match place.and_then(|place| place.split_first_chunk_mut::<2>()) {
            Some((head, rest)) if self.complete => {
                if let Some((payload, _)) = rest.split_first_chunk_mut::<N>() {
                    *head = [tag, used as u8];
                    self.len += 2 + used;
                    return Some(payload);
                }
            }
            _ => {}
        }
        self.complete = false;
        None
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, tag: u8, payload: &[u8; N]) {
        const { assert!(N <= u8::MAX as usize) };
        if let Some(place) = self.place::<N>(tag, N) {
            *place = *payload;
        }
    }

    #[inline(always)]
    fn put_number(&mut self, tag: u8, number: u64) {
        let used = significant(number);
        // The bytes that aren't used are zero, as they were.
        if let Some(place) = self.place::<8>(tag, used) {
            *place = number.to_le_bytes();
        }
    }

    fn put_slice(&mut self, tag: u8, payload: &[u8]) {
        let end = self.len + 2 + payload.len();
        match (
            u8::try_from(payload.len()),
            self.room.get_mut(self.len..end),
        ) {
            (Ok(size), Some([head_tag, head_size, place @ ..])) if self.complete => {
                (*head_tag, *head_size) = (tag, size);
                place.copy_from_slice(payload);
                self.len = end;
            }
            _ => self.complete = false,
        }
    }

    /// Adds a field that is matched, unless nothing of it is: returns whether. `N` is its length.
    #[inline(always)]
    pub(crate) fn field<const N: usize>(
        &mut self,
        field: Field,
        key: &[u8; N],
        mask: &[u8; N],
    ) -> bool {
        if *mask == [0; N] {
            return false;
        }
        self.put(field.tag, key);
        if *mask != [0xff; N] {
            self.put(MASK, mask);
        }
        true
    }

    /// The same with a number.
    #[inline(always)]
    pub(crate) fn number(&mut self, field: Field, key: u64, mask: u64) -> bool {
        if mask == 0 {
            return false;
        }
        self.put_number(field.tag, key);
        if mask != field.all() {
            self.put_number(MASK, mask);
        }
        true
    }

    /// The same with bytes whose number isn't known at build time.
    pub(crate) fn bytes(&mut self, field: Field, key: &[u8], mask: &[u8]) {
        self.put_slice(field.tag, key);
        if mask.iter().any(|byte| *byte != 0xff) {
            self.put_slice(MASK, mask);
        }
    }

    /// Adds an action by its number, with the argument that is in its own payload.
    #[inline(always)]
    pub(crate) fn action(&mut self, number: u32, argument: Option<u32>) {
        let tag = ACTION | number as u8;
        match argument {
            None => self.put(tag, &[]),
            Some(argument) => self.put_number(tag, argument.into()),
        }
    }

    /// Adds another argument of the action before.
    #[inline(always)]
    pub(crate) fn arg(&mut self, arg: Field, number: u64) {
        self.put_number(arg.tag, number);
    }

    /// The same unless it is 0.
    #[inline(always)]
    pub(crate) fn arg_if(&mut self, arg: Field, number: u64) {
        if number != 0 {
            self.put_number(arg.tag, number);
        }
    }

    /// The same with bytes.
    #[inline(always)]
    pub(crate) fn arg_bytes<const N: usize>(&mut self, arg: Field, bytes: &[u8; N]) {
        self.put(arg.tag, bytes);
    }

    /// How many bytes were written, and whether all attributes found room.
    pub(crate) fn finish(self) -> (usize, bool) {
        (self.len, self.complete)
    }

    /// The same, with a mark if something is missing, for which an attribute may have to go. The
    /// memory must have room for it.
    pub(crate) fn finish_cut(self) -> usize {
        if self.complete {
            return self.len;
        }
        let mut len = self.len;
        while len + 2 > self.room.len() {
            // The last attribute.
            let mut at = 0;
            while let Some(next) = self
                .room
                .get(at + 1)
                .map(|size| at + 2 + usize::from(*size))
            {
                if next >= len {
                    break;
                }
                at = next;
            }
            len = at;
        }
        for byte in &mut self.room[len..] {
            *byte = 0;
        }
        if let Some(place) = self.room.get_mut(len..len + 2) {
            place[0] = CUT;
        }
        len + 2
    }
}

impl Action {
    /// Whether its own payload has an argument.
    #[inline(always)]
    pub(crate) fn has_argument(number: u32) -> bool {
        const WITH: u64 = {
            let (mut with, mut n) = (0, 0);
            while n < tables::ACTIONS.len() {
                if tables::ACTIONS[n].argument.is_number() {
                    with |= 1 << n;
                }
                n += 1;
            }
            with
        };
        number < u64::BITS && WITH & (1 << number) != 0
    }
}
