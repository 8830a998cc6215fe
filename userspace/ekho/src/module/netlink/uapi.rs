// SPDX-License-Identifier: MIT OR Apache-2.0

//! The numbers of the family, from the header that is generated from its specification.

#![allow(missing_docs, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/genl.rs"));
