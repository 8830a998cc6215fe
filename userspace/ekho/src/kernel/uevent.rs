// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's messages about its objects (uevents), as udev gets them.
//!
//! A message belongs to the network namespace of its device, and reaches sockets in
//! that namespace only.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};

use crate::error::{Error, Result};

/// The multicast group of the kernel's own messages; udev's are in another.
const KERNEL_GROUP: u32 = 1;
/// Room for the messages of many devices that go at once.
const BUFFER: u32 = 1 << 20;

/// A message: what happened to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uevent {
    variables: HashMap<String, String>,
}

impl Uevent {
    /// Reads a datagram: `action@path`, then `KEY=value`, each with a NUL behind it.
    /// `None` for what isn't the kernel's, such as udev's.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut words = data.split(|byte| *byte == 0);
        words.next().filter(|head| head.contains(&b'@'))?;
        let variables = words
            .filter_map(|word| {
                let text = String::from_utf8_lossy(word);
                let (key, value) = text.split_once('=')?;
                Some((key.to_owned(), value.replace(char::is_control, "?")))
            })
            .collect();
        Some(Self { variables })
    }

    /// A variable of the message.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.variables.get(key).map(String::as_str)
    }
}

/// What came of looking for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Uevent),
    /// Some that found no room are lost.
    Lost,
    /// Nothing more for now.
    Nothing,
}

/// Receiver of the messages of this network namespace.
#[derive(Debug)]
pub struct Uevents(Socket);

impl Uevents {
    /// Starts to listen; no privilege is needed.
    pub fn open() -> Result<Self> {
        let open = || {
            let mut socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
            socket.set_non_blocking(true)?;
            socket.set_rx_buf_sz(BUFFER)?;
            socket.bind(&SocketAddr::new(0, KERNEL_GROUP))?;
            Ok(Self(socket))
        };
        open().map_err(Error::io("can't listen to the kernel's uevents"))
    }

    /// Takes the next message, without waiting.
    pub fn take(&self) -> Result<Received> {
        loop {
            let (data, sender) = match self.0.recv_from_full() {
                Ok(received) => received,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing)
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) if err.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    return Ok(Received::Lost)
                }
                Err(err) => return Err(Error::io("can't read the kernel's uevents")(err)),
            };
            // Only the kernel is number 0; root may send anything.
            if sender.port_number() != 0 {
                continue;
            }
            if let Some(message) = Uevent::parse(&data) {
                return Ok(Received::Message(message));
            }
        }
    }
}

impl AsFd for Uevents {
    /// Readable when there are messages.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_by_name() {
        let message = Uevent::parse(
            b"change@/devices/virtual/net/ek0\0ACTION=change\0SUBSYSTEM=net\0EKHO_REASON=a=b c\0",
        )
        .unwrap();
        assert_eq!(message.get("ACTION"), Some("change"));
        assert_eq!(message.get("EKHO_REASON"), Some("a=b c"));
        assert_eq!(message.get("EKHO_DEV"), None);
    }

    #[test]
    fn what_is_no_message_of_the_kernel_is_ignored() {
        assert_eq!(Uevent::parse(b""), None);
        assert_eq!(Uevent::parse(b"libudev\0\xfe\xed\xca\xfe"), None);
        let odd = Uevent::parse(b"add@/x\0novalue\0\xff\xfe=\x1b[0m\0").unwrap();
        assert_eq!(odd.get("novalue"), None);
        assert_eq!(odd.get("\u{fffd}\u{fffd}"), Some("?[0m"));
    }
}
