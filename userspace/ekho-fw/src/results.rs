// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results that only this program has; most are data of the library.

use ekho::events::Event;
use ekho::firmware::status::Status;
use ekho::module::state::Exit;
use serde::Serialize;

/// What `device add` and `device del` did.
#[derive(Debug, Serialize)]
pub struct DeviceChange {
    /// Name of the device.
    pub dev: String,
    /// Index of the new device, `null` for one that was deleted or has several ports.
    pub ifindex: Option<u32>,
    /// Names of the ports of the new device, if it has several.
    pub ports: Option<Vec<String>>,
}

/// What `fault set` and `fault clear` did.
#[derive(Debug, Serialize)]
pub struct FaultChange {
    /// Name of the device, `null` for devices that are yet to come.
    pub dev: Option<String>,
    /// Whether devices that are yet to come are meant.
    pub new_devices: bool,
    /// Whether a fault was set; else all were cleared.
    pub set: bool,
}

/// What `cable connect` and `cable disconnect` did.
#[derive(Debug, Serialize)]
pub struct CableChange {
    /// The end that was named, or named first: as on the command line.
    pub dev: String,
    /// The other end, `null` after `disconnect`.
    pub peer: Option<String>,
}

/// Attached firmware, and for people also firmware that was stopped on other devices.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Shown {
    /// What is attached.
    pub status: Vec<Status>,
    /// What was stopped where nothing is attached now.
    #[serde(skip)]
    pub stopped: Vec<Exit>,
}

/// Events were lost.
#[derive(Debug, Serialize)]
pub struct Lost {
    /// `lost`.
    pub what: &'static str,
    /// How many, since the last that was said or read.
    pub count: u64,
}

/// Nothing more comes.
#[derive(Debug, Serialize)]
pub struct End {
    /// `end`.
    pub what: &'static str,
    /// Why: `count`, `timeout`, `signal`, `reader`, `replaced` or `detached`.
    pub reason: &'static str,
    /// How many events were printed.
    pub events: u64,
    /// How many were lost meanwhile.
    pub lost: u64,
    /// How many records couldn't be read.
    pub malformed: u64,
}

/// A line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// An event.
    Event(Box<Event>),
    /// Some that aren't there.
    Lost(Lost),
    /// The last.
    End(End),
}
