// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware: as an object, loaded, attached to a device, pinned.
//!
//! ```text
//!            load                      replace                     unload
//!  Firmware ──────▶ link, map A ──────────────────▶ link, map B ──────────▶ nothing
//!                   pinned                          same pin               pins removed
//!                   maps pinned                     same maps, by name
//! ```

pub mod attach;
pub mod attachment;
pub mod image;
pub mod pins;
pub mod status;

pub use attachment::Attachment;
pub use image::Firmware;
pub use pins::Pins;
