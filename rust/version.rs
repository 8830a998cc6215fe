// SPDX-License-Identifier: GPL-2.0-only

//! The module's version.

/// As `ekho-fw version` and the file `version` show it.
pub(crate) const VERSION: &str = "0.1.0";
