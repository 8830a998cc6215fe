// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the module tells of its own accord: what becomes of devices and firmware of a network
//! namespace, or of all.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::client::{self, no_family};
use super::parse::{self, ident, text};
use super::uapi;
use crate::contract::MODULE;
use crate::error::{Error, Result};
use crate::kernel::netlink::{generic, Attributes};
use crate::module::state::{Device, Exit};

/// Firmware that a notification is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Interface index of its device.
    pub ifindex: u32,
    /// Name of its device.
    pub dev: String,
    /// Network namespace of its device.
    pub netns: u64,
    /// Name of the firmware.
    pub firmware: String,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Firmware was attached.
    Attach(Named),
    /// Firmware took the place of another.
    Replace(Named),
    /// Firmware was detached.
    Detach(Named),
    /// Firmware was stopped, as it broke the contract.
    Exit(Exit),
    /// A device was made, or came into the namespace.
    DeviceAdd(Device),
    /// The name of a device may have changed.
    DeviceChange(Device),
    /// A device has gone, or left the namespace.
    DeviceDel(Device),
    /// Something that a newer module tells, of a device with this name in this network namespace.
    Unknown(String, u64),
}

/// Reads a notification: its command, and its attributes.
pub fn parse(command: u8, attributes: Attributes<'_>) -> Result<Notification, String> {
    let named = || {
        let (ifindex, dev, netns) = ident(attributes)?;
        Ok::<_, String>(Named {
            ifindex,
            dev,
            netns,
            firmware: text(attributes, uapi::EKHO_A_FIRMWARE_NAME).ok_or("it has no `name`")?,
        })
    };
    Ok(match command {
        uapi::EKHO_CMD_FIRMWARE_ATTACH_NTF => Notification::Attach(named()?),
        uapi::EKHO_CMD_FIRMWARE_REPLACE_NTF => Notification::Replace(named()?),
        uapi::EKHO_CMD_FIRMWARE_DETACH_NTF => Notification::Detach(named()?),
        uapi::EKHO_CMD_FIRMWARE_EXIT_NTF => Notification::Exit(parse::exit(attributes)?),
        uapi::EKHO_CMD_DEVICE_ADD_NTF => Notification::DeviceAdd(parse::device(attributes)?),
        uapi::EKHO_CMD_DEVICE_CHANGE_NTF => Notification::DeviceChange(parse::device(attributes)?),
        uapi::EKHO_CMD_DEVICE_DEL_NTF => Notification::DeviceDel(parse::device(attributes)?),
        _ => {
            let (_, dev, netns) = ident(attributes)?;
            Notification::Unknown(dev, netns)
        }
    })
}

/// What came of looking for notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// One.
    Notification(Notification),
    /// Some that found no room are lost.
    Lost,
    /// Nothing more for now.
    Nothing,
}

/// Receiver of the notifications of this network namespace, or of all.
#[derive(Debug)]
pub struct Notifications {
    receiver: generic::Notifications,
    /// Whether it is of all network namespaces.
    pub all_netns: bool,
}

/// The name of a group, as of `EKHO_MCGRP_EVENTS`.
const GROUP: &str = "events";
/// That of `EKHO_MCGRP_ALL_NETNS`.
const GROUP_ALL: &str = "all-netns";

impl Notifications {
    /// Starts to listen to what happens in this network namespace; no privilege is needed.
    pub fn open() -> Result<Self> {
        let failed = |source| Error::io("can't listen to the module's notifications")(source);
        match generic::Notifications::open(MODULE, GROUP).map_err(failed)? {
            Ok(receiver) => Ok(Self {
                receiver,
                all_netns: false,
            }),
            Err(refusal) if refusal.errno == Errno::ENOENT => Err(no_family()),
            Err(refusal) => Err(failed(refusal.into())),
        }
    }

    /// Starts to listen to what happens in all network namespaces, if this process may see them, as
    /// lists have it; else to what happens in this one.
    pub fn open_all() -> Result<Self> {
        // Anyone may join who rules a network namespace, but nothing is told but in the initial one.
        if !client::may_see_all_netns()? {
            return Self::open();
        }
        let failed = |source| Error::io("can't listen to the module's notifications")(source);
        match generic::in_first_netns(|| generic::Notifications::open(MODULE, GROUP_ALL)) {
            Ok(Ok(receiver)) => Ok(Self {
                receiver,
                all_netns: true,
            }),
            // An older module has no such group.
            Ok(Err(refusal)) if refusal.errno == Errno::ENOENT => Self::open(),
            Ok(Err(refusal)) => Err(failed(refusal.into())),
            Err(source) => Err(failed(source)),
        }
    }

    /// Takes the next notification, without waiting. Fails once the module is gone.
    pub fn take(&mut self) -> Result<Received> {
        let received = self
            .receiver
            .take()
            .map_err(Error::io("can't read the module's notifications"))?;
        Ok(match received {
            generic::Received::Notification(command, attributes) => {
                let notification = parse(command, Attributes(&attributes));
                Received::Notification(notification.map_err(|why| Error::Answer {
                    action: "tell what becomes of firmware",
                    why,
                })?)
            }
            generic::Received::Lost => Received::Lost,
            generic::Received::Nothing => Received::Nothing,
            generic::Received::End => return Err(Error::ModuleNotLoaded),
        })
    }
}

impl AsFd for Notifications {
    /// Readable when there are notifications.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
