// SPDX-License-Identifier: GPL-2.0-only

//! What stands in for hardware: ports that move frames, and the cables between them.
//!
//! ```text
//!  transmit ──▶ Port A ──plug──▶ Port B ──▶ Queue ──NAPI──▶ stack
//!                   └───plug──▶ a netdev of another driver ──▶ its qdisc
//!                                          └── rx handler ──▶ Port A
//! ```
//!
//! A frame is at one place at a time: with the sender's stack, in the ring of a receive queue, or
//! under way in a cable that delays. What is in a ring is received, or freed when the port is set
//! down. One connection takes one transmit queue, and so one receive queue: its frames keep their
//! order.
//!
//! # Counting
//!
//! A frame that isn't transmitted counts as dropped at the sender. One that is counts there as
//! transmitted, and then once more: as received, or dropped, at the receiver, or as lost in the
//! cable. What rules drop, or send elsewhere, counts as that only.
//!
//! # Locks
//!
//! RTNL guards cables, and when ports are set up and down. Per frame: RCU, and the lock of the ring
//! that it is put into; in a cable that does something to frames, that of its line before. Both are
//! leaves, and taken with bottom halves off.

#![deny(unsafe_code)]

pub(crate) mod cable;
mod figures;
pub(crate) mod line;
pub(crate) mod port;
mod queue;
pub(crate) mod rules;
