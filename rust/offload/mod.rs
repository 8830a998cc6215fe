// SPDX-License-Identifier: GPL-2.0-only

//! Devices from the side of offload.
//!
//! A [`device::Device`] holds what a device's requests need: its flows, its firmware if it has one,
//! and its faults. [`devices`] is the set of them.
//!
//! ```text
//!   bind, attach or an EKHO device's registration ──▶ Device ──▶ gone with the netdev, or with the
//!                                                                last claim to an indirect one
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

pub(crate) mod device;
pub(crate) mod devices;
pub(crate) mod ident;
pub(crate) mod work;
