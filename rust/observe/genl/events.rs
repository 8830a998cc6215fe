// SPDX-License-Identifier: GPL-2.0-only

//! Notifications: what becomes of devices and firmware, to the multicast group `events` of the
//! network namespace where it is seen, and to the group `all-netns` of the initial one.
//!
//! Lock order: RTNL, then the registration's.

#![deny(unsafe_code)]

use super::{
    device::DeviceGet,
    exit,
    family::{
        Ekho,
        ALL_NETNS,
        EVENTS, //
    },
    firmware,
    scope::{
        put_ident,
        Described, //
    },
};
use crate::{
    abstractions::net::{
        genetlink::{
            Message,
            Registration, //
        },
        namespace::Net,
        net_device::{
            NetDevice,
            Rtnl, //
        },
    },
    contract::uapi,
    lifecycle::events::{
        self,
        Event, //
    },
    offload::{
        device::Device,
        ident::Ident, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `Registered::new` before the listener can be called.
    unsafe(uninit) static REGISTRATION: Mutex<Option<Arc<Registration<Ekho>>>> = None;
}

/// The family, until dropped.
pub(crate) struct Registered(());

impl Registered {
    /// Makes the family known; to be called once. Process context, without RTNL.
    #[expect(unsafe_code)]
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: Called once, during the module's initialisation.
        unsafe { REGISTRATION.init() };
        let registration = Arc::pin_init(Registration::new(module), GFP_KERNEL)?;
        *REGISTRATION.lock() = Some(registration);
        events::listen(tell);
        Ok(Self(()))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A call of `tell` that is under way is waited for; those that come find nothing. The lock
        // isn't held when the family goes, which waits for operations.
        let registration = mem::take(&mut *REGISTRATION.lock());
        drop(registration);
    }
}

/// Something has become of a device, or of its firmware.
fn tell(event: Event<'_>, device: &Device, dev: &NetDevice, rtnl: &Rtnl) {
    let registration = REGISTRATION.lock();
    let Some(registration) = &*registration else {
        return;
    };
    let ident = Ident::of(dev);
    let net = dev.net(rtnl);
    // Of a device that isn't seen in the namespace of a port, what becomes of its firmware is told in
    // the initial one, and of its ports nothing: the kernel tells of interfaces.
    let is_seen = device
        .seen_in(dev.netns_cookie(), net.is_initial())
        .is_some();
    let net = match event {
        _ if is_seen => net,
        Event::DeviceAdd | Event::DeviceChange | Event::DeviceDel => return,
        _ => Net::initial(),
    };
    let command = match event {
        Event::FirmwareAttach(_) => uapi::EKHO_CMD_FIRMWARE_ATTACH_NTF,
        Event::FirmwareReplace(_) => uapi::EKHO_CMD_FIRMWARE_REPLACE_NTF,
        Event::FirmwareDetach(_) => uapi::EKHO_CMD_FIRMWARE_DETACH_NTF,
        Event::FirmwareExit(..) => uapi::EKHO_CMD_FIRMWARE_EXIT_NTF,
        Event::DeviceAdd => uapi::EKHO_CMD_DEVICE_ADD_NTF,
        Event::DeviceChange => uapi::EKHO_CMD_DEVICE_CHANGE_NTF,
        Event::DeviceDel => uapi::EKHO_CMD_DEVICE_DEL_NTF,
    };
    let fill = |message: &mut Message<'_>| match event {
        Event::FirmwareAttach(firmware)
        | Event::FirmwareReplace(firmware)
        | Event::FirmwareDetach(firmware) => {
            put_ident(message, &ident)?;
            firmware::put(message, device, firmware)
        }
        Event::FirmwareExit(exit, flows) => exit::put(message, &ident, exit, flows),
        Event::DeviceAdd | Event::DeviceChange | Event::DeviceDel => {
            DeviceGet::fill(message, device, &ident)
        }
    };
    for (net, group) in [(net, EVENTS), (Net::initial(), ALL_NETNS)] {
        if let Err(error) = registration.multicast(net, group, command as u8, fill) {
            // Those whose buffer is full are told by their socket (ENOBUFS).
            pr_debug!(
                "{}: notification not sent (errno {})\n",
                ident.name,
                -error.to_errno()
            );
        }
    }
}
