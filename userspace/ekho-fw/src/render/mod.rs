// SPDX-License-Identifier: MIT OR Apache-2.0

//! From data to text or JSON.
//!
//! Commands hand over data of the library; what it looks like is decided here.
//! [`style::Text`] is the aligned form for a person, `serde::Serialize` the one for
//! programs: both from the same value, so that they can't drift apart.

mod cable;
mod common;
mod device;
mod doctor;
mod escape;
mod events;
mod fault;
mod firmware;
mod flow;
mod monitor;
mod output;
mod style;
mod table;

pub use output::{note, plain, Output};
