// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loaded module: which contract it offers, and what it says of its devices.

pub mod abi;
pub mod netlink;
pub mod state;

pub use abi::Module;
pub use netlink::Netlink;
pub use state::State;
