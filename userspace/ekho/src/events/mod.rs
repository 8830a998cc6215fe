// SPDX-License-Identifier: MIT OR Apache-2.0

//! What firmware tells of the kernel's requests.

pub mod event;
pub mod listener;

pub use event::Event;
pub use listener::Listener;
