// SPDX-License-Identifier: GPL-2.0-only

//! Error codes that [`kernel::error::code`] leaves out.

use crate::bindings;
use core::ffi::c_int;
use kernel::prelude::*;

/// The error for requests that a driver has no use for.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// The error for names that don't fit.
pub(crate) fn enametoolong() -> Error {
    Error::from_errno(-(bindings::ENAMETOOLONG as c_int))
}
