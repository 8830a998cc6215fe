// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one netlink client: of `ekho-fw`, of agents and of the tests.
//!
//! Requests are bytes that are built once, so that sending them can be timed, and so that they
//! can be wrong on purpose; answers are read in place, as there may be hundreds of thousands.
//! rust-netlink's crates read the framing and hold the socket; their typed messages can do
//! neither, and know neither the attributes of flower nor those of most actions.

pub mod device;
pub mod filter;
pub mod generic;
pub mod message;
pub mod rule;
pub mod socket;

pub use message::{u32_at, Attributes, Request};
pub use socket::{Connection, Refusal};
