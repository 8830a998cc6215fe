// SPDX-License-Identifier: MIT OR Apache-2.0

//! What tests and benchmarks of EKHO share.
//!
//! [`tc`] has requests as bytes, [`uapi`] the numbers in them, [`lab`] the module, its records and
//! network namespaces. The netlink client is the library's: [`ekho::kernel::netlink`].

#![deny(unsafe_code)]

pub mod lab;
pub mod tc;

/// Numbers of the kernel's headers for user space, by their names there.
#[allow(missing_docs, reason = "made by bindgen, see build.rs")]
pub mod uapi {
    include!(concat!(env!("OUT_DIR"), "/uapi.rs"));
}
