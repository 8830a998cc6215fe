// SPDX-License-Identifier: GPL-2.0-only

//! Which attributes a request can have. The kernel checks requests by this before it makes the
//! call, strictly: what isn't listed is refused, and user space is told which attribute was wrong.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use crate::bindings::{
    self,
    netlink_range_validation,
    nla_policy,
    nla_policy__bindgen_ty_1,
    nla_policy__bindgen_ty_1__bindgen_ty_1, //
};
use core::ptr;

/// The type of an attribute, and the values that it can have.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Attribute(nla_policy);

impl Attribute {
    /// None: the request can't have it.
    const REFUSED: Self = Self::of(bindings::NLA_UNSPEC);

    const fn of(kind: u32) -> Self {
        Self(nla_policy {
            type_: kind as u8,
            validation_type: 0,
            len: 0,
            __bindgen_anon_1: nla_policy__bindgen_ty_1 { range: ptr::null() },
        })
    }

    /// An attribute without a value, which is there or not.
    pub(crate) const fn flag() -> Self {
        Self::of(bindings::NLA_FLAG)
    }

    /// A `u32`.
    pub(crate) const fn u32() -> Self {
        Self::of(bindings::NLA_U32)
    }

    /// A `u64`.
    pub(crate) const fn u64() -> Self {
        Self::of(bindings::NLA_U64)
    }

    /// An unsigned number of 32 or 64 bits.
    pub(crate) const fn uint() -> Self {
        Self::of(bindings::NLA_UINT)
    }

    /// A string with a NUL at its end, of at most so many bytes without it.
    pub(crate) const fn string(max: u16) -> Self {
        let mut attribute = Self::of(bindings::NLA_NUL_STRING);
        attribute.0.len = max;
        attribute
    }

    /// A number that isn't smaller than this.
    pub(crate) const fn min(mut self, min: i16) -> Self {
        self.0.validation_type = bindings::nla_policy_validation_NLA_VALIDATE_MIN as u8;
        self.0.__bindgen_anon_1 = nla_policy__bindgen_ty_1 {
            __bindgen_anon_1: nla_policy__bindgen_ty_1__bindgen_ty_1 { min, max: 0 },
        };
        self
    }

    /// A number that isn't larger than this.
    pub(crate) const fn max(mut self, max: i16) -> Self {
        self.0.validation_type = bindings::nla_policy_validation_NLA_VALIDATE_MAX as u8;
        self.0.__bindgen_anon_1 = nla_policy__bindgen_ty_1 {
            __bindgen_anon_1: nla_policy__bindgen_ty_1__bindgen_ty_1 { min: 0, max },
        };
        self
    }

    /// A number in this range.
    pub(crate) const fn range(mut self, range: &'static Range) -> Self {
        self.0.validation_type = bindings::nla_policy_validation_NLA_VALIDATE_RANGE_PTR as u8;
        self.0.__bindgen_anon_1 = nla_policy__bindgen_ty_1 { range: &range.0 };
        self
    }
}

/// A range of numbers.
#[repr(transparent)]
pub(crate) struct Range(netlink_range_validation);

impl Range {
    /// The numbers from `min` to `max`, both included.
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        Self(netlink_range_validation { min, max })
    }
}

/// The attributes that a request can have.
///
/// # Invariants
///
/// `0`, unless it is empty, is an array with an element for each attribute number up to the largest
/// one, 0 included.
#[derive(Clone, Copy)]
pub(crate) struct Policy(&'static [Attribute]);

impl Policy {
    /// No attributes at all.
    pub(crate) const NONE: Self = Self(&[]);

    /// A policy from what [`Self::table`] made.
    pub(crate) const fn new<const N: usize>(table: &'static [Attribute; N]) -> Self {
        // INVARIANT: An array of `N` elements is one for the attributes up to `N - 1`.
        Self(table)
    }

    /// The array for these attributes, each with its number; `N` is one more than the largest.
    pub(crate) const fn table<const N: usize>(attributes: &[(u32, Attribute)]) -> [Attribute; N] {
        let mut table = [Attribute::REFUSED; N];
        let mut n = 0;
        while n < attributes.len() {
            let (number, attribute) = attributes[n];
            table[number as usize] = attribute;
            n += 1;
        }
        table
    }

    /// For C; null if there is none.
    pub(super) const fn as_ptr(self) -> *const nla_policy {
        match self.0.len() {
            0 => ptr::null(),
            // CAST: `Attribute` is transparent.
            _ => self.0.as_ptr().cast(),
        }
    }

    /// The largest number.
    pub(super) const fn max(self) -> u32 {
        match self.0.len() {
            0 => 0,
            len => len as u32 - 1,
        }
    }

    /// How many elements an array of parsed attributes has.
    pub(super) const fn len(self) -> usize {
        self.0.len()
    }
}
