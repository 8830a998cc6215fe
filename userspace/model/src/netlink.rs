// SPDX-License-Identifier: MIT OR Apache-2.0

//! rtnetlink by hand: requests are built in one buffer and answers read in place, as there are
//! thousands, and attributes of flower and of most actions are in no crate.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_DELLINK: u16 = 17;
pub const RTM_GETLINK: u16 = 18;
pub const RTM_NEWQDISC: u16 = 36;
pub const RTM_DELQDISC: u16 = 37;
pub const RTM_GETQDISC: u16 = 38;
pub const RTM_NEWTFILTER: u16 = 44;
pub const RTM_DELTFILTER: u16 = 45;
pub const RTM_GETTFILTER: u16 = 46;
pub const RTM_NEWCHAIN: u16 = 100;
pub const RTM_DELCHAIN: u16 = 101;

pub const ECHO: u16 = 0x8;
pub const DUMP: u16 = 0x300;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const ACK_TLVS: u16 = 0x200;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;

/// As much as the kernel puts into one datagram of a dump.
const BUFFER: usize = 64 << 10;

/// A request.
pub struct Request(Vec<u8>);

impl Request {
    /// A request with the family's own header.
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut data = Vec::with_capacity(512);
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(&kind.to_ne_bytes());
        data.extend_from_slice(&(REQUEST | ACK | flags).to_ne_bytes());
        data.extend_from_slice(&[0; 8]);
        data.extend_from_slice(header);
        Self(data)
    }

    /// Adds an attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = 4 + value.len();
        self.0.extend_from_slice(&(length as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a number.
    pub fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds text.
    pub fn put_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Adds an attribute that holds others.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.0.len();
        self.put(kind, &[]);
        fill(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

/// Attributes, one after the other; stops where they make no sense.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of an attribute.
    pub fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(is, _)| *is == kind).map(|(_, value)| value)
    }

    /// The attributes in an attribute; none if it isn't there.
    pub fn nested(self, kind: u16) -> Attributes<'a> {
        Attributes(self.get(kind).unwrap_or(&[]))
    }

    /// A number.
    pub fn u32(self, kind: u16) -> Option<u32> {
        u32_at(self.get(kind)?, 0)
    }

    /// Text.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.get(kind)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }
}

/// A number of two bytes within data.
pub fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

/// A number of four bytes within data.
pub fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub errno: Errno,
    /// In the kernel's words, if it has some.
    pub message: String,
}

/// A socket, in the namespace in which it was made.
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens a socket in the thread's namespace.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    /// Sends a request, and calls `answer` with the type and the payload of each answer.
    pub fn request(
        &mut self,
        mut request: Request,
        mut answer: impl FnMut(u16, &[u8]),
    ) -> io::Result<Result<(), Refusal>> {
        let length = request.0.len() as u32;
        request.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.socket.send(&request.0, 0)?;
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            if let Some(result) = read(&self.buffer, &mut answer)? {
                return Ok(result);
            }
        }
    }
}

/// Reads one datagram: the result if it was the last.
fn read(
    mut data: &[u8],
    answer: &mut impl FnMut(u16, &[u8]),
) -> io::Result<Option<Result<(), Refusal>>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    while !data.is_empty() {
        let length = u32_at(data, 0).ok_or_else(malformed)? as usize;
        let kind = u16_at(data, 4).ok_or_else(malformed)?;
        let flags = u16_at(data, 6).ok_or_else(malformed)?;
        let payload = data.get(HEADER..length).ok_or_else(malformed)?;
        match kind {
            ERROR | DONE => {
                let code = u32_at(payload, 0).unwrap_or(0) as i32;
                if code == 0 {
                    return Ok(Some(Ok(())));
                }
                // Error code and header of the request come before attributes.
                let attributes = match (kind, flags & ACK_TLVS) {
                    (ERROR, ACK_TLVS) => payload.get(4 + HEADER..).unwrap_or(&[]),
                    _ => &[],
                };
                return Ok(Some(Err(Refusal {
                    errno: Errno::from_raw(-code),
                    message: Attributes(attributes).text(1).unwrap_or("").to_owned(),
                })));
            }
            _ => answer(kind, payload),
        }
        data = data.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found_again() {
        let mut request = Request::new(RTM_NEWTFILTER, 0, &[7; 20]);
        request.put_text(1, "flower").nest(2, |options| {
            options.put_u32(22, 5).put(4, &[1, 2, 3]);
        });
        request.put_u32(11, 9);
        let attributes = Attributes(&request.0[HEADER + 20..]);
        assert_eq!(attributes.text(1), Some("flower"));
        assert_eq!(attributes.nested(2).u32(22), Some(5));
        assert_eq!(attributes.nested(2).get(4), Some(&[1, 2, 3][..]));
        assert_eq!(attributes.u32(11), Some(9));
        assert_eq!(attributes.get(12), None);
    }

    #[test]
    fn a_refusal_has_errno_and_words() {
        let mut error = Request::new(ERROR, 0, &(-22i32).to_ne_bytes());
        error.0.extend_from_slice(&[0; HEADER]);
        error.put_text(1, "no such thing");
        let length = error.0.len() as u32;
        error.0[..4].copy_from_slice(&length.to_ne_bytes());
        error.0[6..8].copy_from_slice(&ACK_TLVS.to_ne_bytes());
        let refusal = read(&error.0, &mut |_, _| ())
            .unwrap()
            .unwrap()
            .unwrap_err();
        assert_eq!(refusal.errno, Errno::EINVAL);
        assert_eq!(refusal.message, "no such thing");
        assert!(read(&error.0[..20], &mut |_, _| ()).is_err());
    }
}
