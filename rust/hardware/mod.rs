// SPDX-License-Identifier: GPL-2.0-only

//! What moves packets: cables.

#![deny(unsafe_code)]

pub(crate) mod cable;
