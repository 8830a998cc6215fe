// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters of flows, from user space.

pub mod feed;
pub mod handle;
pub mod stats;
