// SPDX-License-Identifier: GPL-2.0-only

//! The module's own network devices.
//!
//! [`netdev`] is their kind, [`clock`] the PTP clock that they share, [`owner`] tells them from
//! others.

pub(crate) mod clock;
pub(crate) mod netdev;
pub(crate) mod owner;
