// SPDX-License-Identifier: MIT OR Apache-2.0

//! A socket, and what comes out of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NetlinkBuffer, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{NLM_F_ACK_TLVS, NLM_F_DUMP_INTR};

use super::message::{u32_at, Attributes, HEADER};

/// `NLMSGERR_ATTR_MSG`, which `libc` doesn't have.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// `NLMSGERR_ATTR_OFFS`: where in the request the attribute is that is wrong.
const NLMSGERR_ATTR_OFFS: u16 = 2;
/// As much as the kernel puts into one datagram of a dump.
const BUFFER: usize = 64 << 10;

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub errno: Errno,
    /// In the kernel's words, if it has some.
    pub message: String,
    /// Where in the request the attribute is that is wrong, if it is one.
    pub offset: Option<u32>,
}

impl Refusal {
    /// The kernel's words, if it has some.
    pub fn words(self) -> Option<String> {
        Some(self.message).filter(|message| !message.is_empty())
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.errno.into()
    }
}

/// A socket, in the namespace in which it was made.
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
    interrupted: bool,
}

impl Connection {
    /// Opens a socket in the thread's namespace.
    pub fn new() -> io::Result<Self> {
        Self::with_protocol(NETLINK_ROUTE)
    }

    /// Opens a socket of another family of netlink.
    pub fn with_protocol(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
            interrupted: false,
        })
    }

    /// Sends what [`Request::finish`] made.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.interrupted = false;
        self.socket.send(request, 0).map(drop)
    }

    /// Receives a datagram, and calls `answer` with the type and the payload of each answer in
    /// it. The result of the request if that was the last.
    pub fn receive(
        &mut self,
        answer: &mut impl FnMut(u16, &[u8]),
    ) -> io::Result<Option<Result<(), Refusal>>> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, 0)?;
        read(&self.buffer, &mut self.interrupted, answer)
    }

    /// Whether what the last request dumps changed meanwhile (`NLM_F_DUMP_INTR`): answers
    /// may be missing, or be there twice.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Sends a request and receives all answers.
    pub fn exchange(
        &mut self,
        request: &[u8],
        mut answer: impl FnMut(u16, &[u8]),
    ) -> io::Result<Result<(), Refusal>> {
        self.send(request)?;
        loop {
            if let Some(result) = self.receive(&mut answer)? {
                return Ok(result);
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads one datagram: the result if it was the last.
fn read(
    mut data: &[u8],
    interrupted: &mut bool,
    answer: &mut impl FnMut(u16, &[u8]),
) -> io::Result<Option<Result<(), Refusal>>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    while !data.is_empty() {
        let message = NetlinkBuffer::new_checked(data).map_err(|_| malformed())?;
        let payload = message.payload();
        *interrupted |= message.flags() & NLM_F_DUMP_INTR as u16 != 0;
        match message.message_type() {
            kind @ (NLMSG_ERROR | NLMSG_DONE) => {
                // The end of a dump has an error code as well, and no request after it.
                let Some(code) = u32_at(payload, 0).filter(|code| *code != 0) else {
                    return Ok(Some(Ok(())));
                };
                // Error code and header of the request come before attributes; at the end of a dump
                // there is no such header.
                let start = match kind {
                    NLMSG_ERROR => 4 + HEADER,
                    _ => 4,
                };
                let has_words = message.flags() & NLM_F_ACK_TLVS as u16 != 0;
                let attributes = payload.get(start..).filter(|_| has_words);
                let attributes = Attributes(attributes.unwrap_or(&[]));
                return Ok(Some(Err(Refusal {
                    errno: Errno::from_raw((code as i32).wrapping_neg()),
                    message: attributes.text(NLMSGERR_ATTR_MSG).unwrap_or("").to_owned(),
                    offset: attributes.u32(NLMSGERR_ATTR_OFFS),
                })));
            }
            kind => answer(kind, payload),
        }
        let length = message.length() as usize;
        data = data.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::message::Request;
    use super::*;
    use nix::libc::RTM_NEWTFILTER;

    #[test]
    fn a_refusal_has_errno_and_words() {
        let mut payload = (-22i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; HEADER]);
        let mut error = Request::new(NLMSG_ERROR, NLM_F_ACK_TLVS as u16, &payload);
        error.put_text(NLMSGERR_ATTR_MSG, "no such thing");
        error.put_u32(NLMSGERR_ATTR_OFFS, 24);
        let error = error.finish();
        let refusal = read(&error, &mut false, &mut |_, _| ())
            .unwrap()
            .unwrap()
            .unwrap_err();
        assert_eq!(refusal.errno, Errno::EINVAL);
        assert_eq!(refusal.message, "no such thing");
        assert_eq!(refusal.offset, Some(24));
        assert!(read(&error[..20], &mut false, &mut |_, _| ()).is_err());
    }

    #[test]
    fn the_end_of_a_dump_may_be_a_refusal() {
        let mut done = Request::new(NLMSG_DONE, NLM_F_ACK_TLVS as u16, &(-90i32).to_ne_bytes());
        done.put_text(NLMSGERR_ATTR_MSG, "too long");
        let refusal = read(&done.finish(), &mut false, &mut |_, _| ())
            .unwrap()
            .unwrap()
            .unwrap_err();
        assert_eq!(refusal.errno, Errno::EMSGSIZE);
        assert_eq!(refusal.message, "too long");
    }

    #[test]
    fn a_dump_that_was_interrupted_is_marked() {
        let mut marked = false;
        let data = Request::new(30, NLM_F_DUMP_INTR as u16, &[0; 4]).finish();
        read(&data, &mut marked, &mut |_, _| ()).unwrap();
        assert!(marked);
        let mut marked = false;
        let data = Request::new(NLMSG_DONE, NLM_F_DUMP_INTR as u16, &[0; 4]).finish();
        read(&data, &mut marked, &mut |_, _| ()).unwrap();
        assert!(marked);
    }

    #[test]
    fn answers_come_before_the_end() {
        let mut data = Request::new(RTM_NEWTFILTER, 0, &[7; 20]).finish();
        let mut answers = 0;
        let mut count = |_: u16, _: &[u8]| answers += 1;
        assert!(read(&data, &mut false, &mut count).unwrap().is_none());
        data.extend(Request::new(NLMSG_DONE, 0, &[0; 4]).finish());
        assert!(read(&data, &mut false, &mut count)
            .unwrap()
            .unwrap()
            .is_ok());
        assert_eq!(answers, 2);
    }
}
