// SPDX-License-Identifier: MIT OR Apache-2.0

//! Generic netlink: families of commands that are found by name.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID,
    CTRL_ATTR_MCAST_GRP_NAME, CTRL_CMD_DELFAMILY, CTRL_CMD_GETFAMILY, GENL_ID_CTRL, NLM_F_DUMP,
};
use nix::sched::{setns, CloneFlags};

use super::message::{Attributes, Request};
use super::socket::{Connection, Refusal};
use crate::kernel::netns;

/// Bytes of `struct genlmsghdr`: command, version, and two that are reserved.
pub const GENLMSGHDR: usize = 4;
/// Room for the notifications of many devices that go at once.
const BUFFER: u32 = 1 << 20;
/// The group in which the kernel tells which families come and go.
const FAMILIES: u32 = GENL_ID_CTRL as u32;

/// A family, as the kernel numbers it for as long as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    id: u16,
    groups: Vec<(String, u32)>,
}

impl Family {
    /// Looks up a family; refused with `ENOENT` if there is none with this name.
    pub fn find(connection: &mut Connection, name: &str) -> io::Result<Result<Self, Refusal>> {
        let header = [CTRL_CMD_GETFAMILY as u8, 1, 0, 0];
        let mut request = Request::new(GENL_ID_CTRL as u16, 0, &header);
        request.put_text(CTRL_ATTR_FAMILY_NAME as u16, name);
        let mut family = None;
        let result = connection.exchange(&request.finish(), |_, payload| {
            family = family.take().or_else(|| Self::parse(payload));
        })?;
        match (result, family) {
            (Err(refusal), _) => Ok(Err(refusal)),
            (Ok(()), Some(family)) => Ok(Ok(family)),
            (Ok(()), None) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Reads the answer, from the header of generic netlink on.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let attributes = Attributes(payload.get(GENLMSGHDR..)?);
        let groups = attributes
            .nested(CTRL_ATTR_MCAST_GROUPS as u16)
            .iter()
            .filter_map(|(_, group)| {
                let group = Attributes(group);
                Some((
                    group.text(CTRL_ATTR_MCAST_GRP_NAME as u16)?.to_owned(),
                    group.u32(CTRL_ATTR_MCAST_GRP_ID as u16)?,
                ))
            })
            .collect();
        Some(Self {
            id: attributes.u16(CTRL_ATTR_FAMILY_ID as u16)?,
            groups,
        })
    }

    /// A request for a command.
    pub fn request(&self, command: u8, version: u8) -> Request {
        Request::new(self.id, 0, &[command, version, 0, 0])
    }

    /// A request for all objects of a command.
    pub fn dump(&self, command: u8, version: u8) -> Request {
        Request::new(self.id, NLM_F_DUMP as u16, &[command, version, 0, 0])
    }
}

/// Opens a socket of generic netlink in the thread's network namespace.
pub fn connect() -> io::Result<Connection> {
    Connection::with_protocol(NETLINK_GENERIC)
}

/// Opens one in the network namespace of the first process; needs `CAP_SYS_ADMIN` if that is
/// another.
pub fn connect_in_first_netns() -> io::Result<Connection> {
    in_first_netns(connect)
}

/// Does something in the network namespace of the first process, such as to open a socket; needs
/// `CAP_SYS_ADMIN` if that is another.
pub fn in_first_netns<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let first = File::open("/proc/1/ns/net")?;
    if netns::current().is_ok_and(|here| first.metadata().is_ok_and(|first| first.ino() == here)) {
        return work();
    }
    // A thread of its own, as this one is to stay where it is.
    thread::spawn(move || {
        setns(first, CloneFlags::CLONE_NEWNET)?;
        work()
    })
    .join()
    .unwrap_or_else(|_| Err(io::Error::other("a thread died")))
}

/// What came of looking for notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// One: its command, and its attributes.
    Notification(u8, Vec<u8>),
    /// Some that found no room are lost.
    Lost,
    /// Nothing more for now.
    Nothing,
    /// The family is gone, so there will be no more.
    End,
}

/// Receiver of the notifications of a family, of the network namespace in which it was made.
#[derive(Debug)]
pub struct Notifications {
    socket: Socket,
    family: Family,
    name: String,
    /// What was received and not taken.
    buffer: Vec<u8>,
    taken: usize,
}

impl Notifications {
    /// Starts to listen to a group; no privilege is needed.
    pub fn open(name: &str, group: &str) -> io::Result<Result<Self, Refusal>> {
        // Before the family is looked up, so that its end isn't missed.
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(BUFFER)?;
        socket.bind_auto()?;
        socket.add_membership(FAMILIES)?;
        let family = match Family::find(&mut connect()?, name)? {
            Ok(family) => family,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let number = family
            .groups
            .iter()
            .find_map(|(is, number)| (is == group).then_some(*number))
            .ok_or(io::ErrorKind::InvalidData)?;
        socket.add_membership(number)?;
        Ok(Ok(Self {
            socket,
            family,
            name: name.to_owned(),
            buffer: Vec::new(),
            taken: 0,
        }))
    }

    /// Takes the next notification, without waiting.
    pub fn take(&mut self) -> io::Result<Received> {
        loop {
            if let Some(received) = self.next()? {
                return Ok(received);
            }
            let (data, sender): (Vec<u8>, SocketAddr) = match self.socket.recv_from_full() {
                Ok(received) => received,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing)
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) if err.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    return Ok(Received::Lost)
                }
                Err(err) => return Err(err),
            };
            // Only the kernel is number 0; root may send anything.
            if sender.port_number() == 0 {
                (self.buffer, self.taken) = (data, 0);
            }
        }
    }

    /// The next of those that were received.
    fn next(&mut self) -> io::Result<Option<Received>> {
        while let Some(data) = self
            .buffer
            .get(self.taken..)
            .filter(|data| !data.is_empty())
        {
            let message = NetlinkBuffer::new_checked(data)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            self.taken += (message.length() as usize).next_multiple_of(4);
            let payload = message.payload();
            let (Some(command), Some(attributes)) = (payload.first(), payload.get(GENLMSGHDR..))
            else {
                continue;
            };
            if message.message_type() == self.family.id {
                let attributes = attributes.to_vec();
                return Ok(Some(Received::Notification(*command, attributes)));
            }
            let is_end = message.message_type() == GENL_ID_CTRL as u16
                && i32::from(*command) == CTRL_CMD_DELFAMILY
                && Attributes(attributes).text(CTRL_ATTR_FAMILY_NAME as u16) == Some(&*self.name);
            if is_end {
                return Ok(Some(Received::End));
            }
        }
        Ok(None)
    }
}

impl AsFd for Notifications {
    /// Readable when there are notifications.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::HEADER;
    use super::*;

    /// What the kernel answers of a family with one group.
    fn family(name: &str, command: i32) -> Vec<u8> {
        let mut answer = Request::new(GENL_ID_CTRL as u16, 0, &[command as u8, 2, 0, 0]);
        answer.put_text(CTRL_ATTR_FAMILY_NAME as u16, name);
        answer.put(CTRL_ATTR_FAMILY_ID as u16, &31u16.to_ne_bytes());
        answer.nest(CTRL_ATTR_MCAST_GROUPS as u16, |groups| {
            groups.nest(1, |group| {
                group
                    .put_u32(CTRL_ATTR_MCAST_GRP_ID as u16, 9)
                    .put_text(CTRL_ATTR_MCAST_GRP_NAME as u16, "events");
            });
        });
        answer.finish()
    }

    #[test]
    fn a_family_is_read_with_its_groups() {
        let answer = family("ekho", 1);
        let family = Family::parse(&answer[HEADER..]).unwrap();
        assert_eq!(family.id, 31);
        assert_eq!(family.groups, [("events".to_owned(), 9)]);
        assert_eq!(Family::parse(&answer[HEADER..HEADER + 4]), None);
        assert_eq!(Family::parse(&[]), None);
        let request = family.dump(3, 1).finish();
        assert_eq!(request[4..6], 31u16.to_ne_bytes());
        assert_eq!(request[HEADER..], [3, 1, 0, 0]);
    }

    #[test]
    fn the_kernels_own_family_is_found_and_others_are_not() {
        let mut connection = connect().unwrap();
        let control = Family::find(&mut connection, "nlctrl").unwrap().unwrap();
        assert_eq!(control.id, GENL_ID_CTRL as u16);
        assert_eq!(control.groups, [("notify".to_owned(), FAMILIES)]);
        let refusal = Family::find(&mut connection, "no-such-family").unwrap();
        assert_eq!(refusal.unwrap_err().errno, nix::errno::Errno::ENOENT);
    }

    #[test]
    fn notifications_are_told_from_other_messages() {
        let mut notifications = Notifications::open("nlctrl", "notify").unwrap().unwrap();
        assert_eq!(notifications.take().unwrap(), Received::Nothing);
        notifications.family.id = 31;
        notifications.name = "ekho".into();
        let mut data = family("other", CTRL_CMD_DELFAMILY);
        data.extend(Request::new(99, 0, &[1, 1, 0, 0]).finish());
        data.extend(Request::new(31, 0, &[]).finish());
        data.extend(Request::new(31, 0, &[7, 1, 0, 0, 1, 2, 3, 4]).finish());
        data.extend(family("ekho", CTRL_CMD_DELFAMILY));
        notifications.buffer = data;
        let received = [(); 3].map(|()| notifications.take().unwrap());
        assert_eq!(
            received,
            [
                Received::Notification(7, vec![1, 2, 3, 4]),
                Received::End,
                Received::Nothing
            ]
        );
        notifications.buffer = vec![1; 20];
        notifications.taken = 0;
        assert!(notifications.take().is_err());
    }
}
