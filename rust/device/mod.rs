// SPDX-License-Identifier: GPL-2.0-only

//! The module's own network devices.
//!
//! [`netdev`] is the kind `ekho`, [`nic`] devices with several such netdevs, [`clock`] their PTP clock.
//! [`owner`] finds out which driver takes a netdev's offload requests, and makes the device of one that
//! EKHO can serve.

pub(crate) mod clock;
pub(crate) mod netdev;
pub(crate) mod nic;
pub(crate) mod owner;
