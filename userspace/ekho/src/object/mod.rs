// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is in BPF object files and BTF. Nothing here asks the kernel for anything, and
//! all of it is input that may be malformed.
//!
//! [`elf`] uses the `object` crate. [`btf`] is own code: libbpf aborts or reads out of
//! bounds on malformed BTF, and no Rust crate reads the split BTF of kernel 7.2's modules.

pub mod btf;
pub mod elf;
pub mod struct_ops;
pub mod verifier;
