// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ports of a side.

/// Ports with filters.
pub const PORTS: u8 = 4;
/// A port of another device, without.
pub const OTHER: u8 = 4;
/// Where what passes goes.
pub const STACK: u8 = 5;
/// All of them.
pub const ALL: u8 = 6;

/// The interface index of a port.
pub fn ifindex(port: u8) -> u32 {
    11 + u32::from(port)
}

/// The name of a port, as it is told.
pub fn port_name(port: u8) -> String {
    match port {
        OTHER => "other".to_owned(),
        STACK => "stack".to_owned(),
        port => format!("p{port}"),
    }
}
