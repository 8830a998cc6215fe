// SPDX-License-Identifier: GPL-2.0-only

//! The driver core.

pub(crate) mod bus;
