// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's interfaces that EKHO needs.

#[expect(unsafe_code, reason = "libbpf-sys is C")]
pub mod bpf;
pub mod capability;
pub mod clock;
pub mod libbpf_log;
pub mod mounts;
pub mod netlink;
pub mod netns;
