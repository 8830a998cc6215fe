// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware: as an object, loaded, attached to a device, pinned.
//!
//! ```text
//!            load                      replace                     unload
//!  Firmware ──────▶ link, map A ──────────────────▶ link, map B ──────────▶ nothing
//!                   pinned                          same pin               pins removed
//!                   maps pinned                     same maps, by name
//! ```
//!
//! Each of the three ([`load`], [`replace`], [`unload`]) either succeeds as a whole or
//! leaves what it found. [`image`] is firmware as a file and loaded, [`attachment`] is
//! firmware that is attached, [`pins`] are its files in bpffs, and [`status`] is what is
//! shown of it.

pub mod attachment;
pub mod image;
pub mod load;
pub mod pins;
pub mod replace;
pub mod shipped;
pub mod status;
pub mod unload;

pub use attachment::Attachment;
pub use image::Firmware;
pub use pins::Pins;
