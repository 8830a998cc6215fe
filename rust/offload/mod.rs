// SPDX-License-Identifier: GPL-2.0-only

//! The offload side of devices.
//!
//! A [`device::Device`] holds what a device's requests need: its flows, its firmware if it has one,
//! and its faults. [`devices`] is the set of them.
//!
//! ```text
//!   bind, attach, registration of     Device      removed with the netdev; an indirect one
//!   a netdev of kind ekho          ──────────────▶ with its last claim
//! ```
//!
//! | state | changed under | read under |
//! |---|---|---|
//! | the set of devices | `DEVICES` | `DEVICES` |
//! | `Device::claims` | `DEVICES` | `DEVICES` |
//! | `Device::ident` | `ident` | `ident` |
//! | `Device::firmware` | RTNL | RTNL or RCU |
//! | `Device::faults` | RTNL | RCU |
//! | `Device::exit` | RTNL, `exit` | `exit` |

pub(crate) mod changes;
pub(crate) mod device;
pub(crate) mod devices;
pub(crate) mod ident;
pub(crate) mod work;
