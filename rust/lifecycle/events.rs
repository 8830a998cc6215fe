// SPDX-License-Identifier: GPL-2.0-only

//! What becomes of devices and of their firmware, for user space: uevents, and whoever listens
//! besides.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::net_device::{
        NetDevice,
        Rtnl, //
    },
    firmware::{
        exit::Exit,
        Firmware, //
    },
    lifecycle::uevents::{
        self,
        FirmwareEvent, //
    },
    offload::device::Device,
};
use kernel::sync::{
    atomic::{
        Atomic,
        Full, //
    },
    SetOnce,
};

/// What has become of a device, or of its firmware.
#[derive(Clone, Copy)]
pub(crate) enum Event<'a> {
    /// Firmware was attached.
    FirmwareAttach(&'a Firmware),
    /// Firmware replaces another.
    FirmwareReplace(&'a Firmware),
    /// Firmware was detached.
    FirmwareDetach(&'a Firmware),
    /// Firmware was stopped, when the device held so many flows.
    FirmwareExit(&'a Exit, usize),
    /// The device is new in its namespace.
    DeviceAdd,
    /// The device may have another name, or other features.
    DeviceChange,
    /// The device is removed, or leaves its namespace.
    DeviceDel,
}

/// Called with each event. RTNL held.
pub(crate) type Listener = fn(Event<'_>, &Device, &NetDevice, &Rtnl);

static LISTENER: SetOnce<Listener> = SetOnce::new();

/// Sets the listener; there can be one.
pub(crate) fn listen(listener: Listener) {
    LISTENER.populate(listener);
}

/// The number of events so far.
static CHANGES: Atomic<u64> = Atomic::new(0);

/// The number of events so far, to notice that there were some.
pub(crate) fn changes() -> u64 {
    CHANGES.fetch_add(0, Full)
}

/// Tells user space. Process context.
pub(super) fn tell(event: Event<'_>, device: &Device, dev: &NetDevice, rtnl: &Rtnl) {
    CHANGES.fetch_add(1, Full);
    if let Some(listener) = LISTENER.as_ref() {
        listener(event, device, dev, rtnl);
    }
    let event = match event {
        Event::FirmwareAttach(firmware) => FirmwareEvent::Attach(firmware.ops.name()),
        Event::FirmwareReplace(firmware) => FirmwareEvent::Replace(firmware.ops.name()),
        Event::FirmwareDetach(firmware) => FirmwareEvent::Detach(firmware.ops.name()),
        Event::FirmwareExit(exit, _) => FirmwareEvent::Exit(exit),
        // The kernel sends uevents of these itself.
        Event::DeviceAdd | Event::DeviceChange | Event::DeviceDel => return,
    };
    uevents::send(event, dev, rtnl);
}
