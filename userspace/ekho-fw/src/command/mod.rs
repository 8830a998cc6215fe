// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands, one module each with one `run`.

pub mod cable;
pub mod completions;
pub mod device;
pub mod doctor;
pub mod events;
pub mod fault;
pub mod flows;
pub mod inspect;
pub mod list;
pub mod load;
pub mod man;
pub mod monitor;
pub mod replace;
pub mod show;
pub mod stats;
pub mod unload;
