// SPDX-License-Identifier: MIT OR Apache-2.0

//! rtnetlink for what measures, models and fuzzes EKHO.
//!
//! Requests are bytes that are built once, so that sending them can be timed, and so that they
//! can be wrong on purpose; answers are read in place, as there are thousands. rust-netlink's
//! crates read the framing here; their typed messages can do neither, and know neither the
//! attributes of flower nor those of most actions.

#![deny(unsafe_code)]

use std::io;

use netlink_packet_core::{NetlinkBuffer, NlasIterator, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

/// What requests do.
pub mod kind {
    /// Adds or changes a device.
    pub const RTM_NEWLINK: u16 = 16;
    /// Deletes a device.
    pub const RTM_DELLINK: u16 = 17;
    /// Asks for a device, or all.
    pub const RTM_GETLINK: u16 = 18;
    /// Adds or changes a qdisc.
    pub const RTM_NEWQDISC: u16 = 36;
    /// Deletes a qdisc.
    pub const RTM_DELQDISC: u16 = 37;
    /// Asks for a qdisc, or all.
    pub const RTM_GETQDISC: u16 = 38;
    /// Adds or changes a class of a qdisc.
    pub const RTM_NEWTCLASS: u16 = 40;
    /// Deletes a class.
    pub const RTM_DELTCLASS: u16 = 41;
    /// Adds or changes a filter.
    pub const RTM_NEWTFILTER: u16 = 44;
    /// Deletes a filter, or all of a preference or block.
    pub const RTM_DELTFILTER: u16 = 45;
    /// Asks for a filter, or all with their statistics.
    pub const RTM_GETTFILTER: u16 = 46;
    /// Adds or changes an action that filters may share.
    pub const RTM_NEWACTION: u16 = 48;
    /// Deletes such an action.
    pub const RTM_DELACTION: u16 = 49;
    /// Asks for such an action, or all of a kind.
    pub const RTM_GETACTION: u16 = 50;
    /// Adds a chain, which may have a template.
    pub const RTM_NEWCHAIN: u16 = 100;
    /// Deletes a chain and its filters.
    pub const RTM_DELCHAIN: u16 = 101;
    /// Asks for a chain, or all.
    pub const RTM_GETCHAIN: u16 = 102;
}

/// How they do it.
pub mod flag {
    /// A request, and not an answer.
    pub const REQUEST: u16 = 0x1;
    /// Its result is wanted, even if that is success.
    pub const ACK: u16 = 0x4;
    /// What comes of it is wanted, as those who listen are told it.
    pub const ECHO: u16 = 0x8;
    /// What is there is replaced.
    pub const REPLACE: u16 = 0x100;
    /// All that there are, in place of one.
    pub const DUMP: u16 = 0x300;
    /// It must not be there yet.
    pub const EXCL: u16 = 0x200;
    /// It is made if it is not there.
    pub const CREATE: u16 = 0x400;
    /// It comes after what is there.
    pub const APPEND: u16 = 0x800;
}

/// What the kernel does after an action (`TC_ACT_*`).
pub mod verdict {
    /// The packet goes on, and no other filter sees it.
    pub const OK: u32 = 0;
    /// It is dropped.
    pub const SHOT: u32 = 2;
    /// The next action has it.
    pub const PIPE: u32 = 3;
    /// It has gone elsewhere.
    pub const STOLEN: u32 = 4;
    /// Hardware hands it to the CPU.
    pub const TRAP: u32 = 8;
    /// The filters of a chain have it; or-ed with its number.
    pub const GOTO_CHAIN: u32 = 2 << 28;
}

/// Set in an answer that carries attributes after the error code.
const ACK_TLVS: u16 = 0x200;

/// Parent of clsact.
pub const CLSACT: u32 = 0xffff_fff1;
/// Parent of filters on what a device receives.
pub const INGRESS: u32 = 0xffff_fff2;
/// Parent of filters on what it sends.
pub const EGRESS: u32 = 0xffff_fff3;
/// In place of a device: the parent is the number of a block.
pub const BLOCK: u32 = u32::MAX;
/// Bytes before the family's own header.
pub const HEADER: usize = 16;
/// Attribute of tc: what it is.
pub const TCA_KIND: u16 = 1;
/// Attribute of tc: how it is.
pub const TCA_OPTIONS: u16 = 2;
/// Attribute of tc: the chain.
pub const TCA_CHAIN: u16 = 11;

/// As much as the kernel puts into one datagram of a dump.
const BUFFER: usize = 64 << 10;

/// A request, complete but for its length.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request with the family's own header, which is to be acknowledged.
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut data = Vec::with_capacity(512);
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(&kind.to_ne_bytes());
        data.extend_from_slice(&(flag::REQUEST | flag::ACK | flags).to_ne_bytes());
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

    /// Adds an action to a list of them, in which it is the `number`th.
    pub fn put_action(
        &mut self,
        number: u16,
        kind: &str,
        fill: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.nest(number, |action| {
            action.put_text(1, kind).nest(2, fill);
        })
    }

    /// The bytes to send.
    pub fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// `struct tcmsg`
pub fn tcmsg(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    header[8..12].copy_from_slice(&handle.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header[16..20].copy_from_slice(&info.to_ne_bytes());
    header
}

/// `struct ifinfomsg`
pub fn ifinfomsg(ifindex: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Preference and EtherType of a filter, for [`tcmsg`].
pub fn info(prio: u16, protocol: u16) -> u32 {
    (u32::from(prio) << 16) | u32::from(protocol.to_be())
}

/// `tc_gen`: how the parameters of each action begin. Index 0 asks for a new one.
pub fn tc_gen(index: u32, verdict: u32) -> [u8; 20] {
    let mut words = [0; 20];
    words[..4].copy_from_slice(&index.to_ne_bytes());
    words[8..12].copy_from_slice(&verdict.to_ne_bytes());
    words
}

/// `struct nla_bitfield32`: these bits are set, and the others left as they are.
pub fn bitfield32(bits: u32) -> [u8; 8] {
    let mut words = [0; 8];
    words[..4].copy_from_slice(&bits.to_ne_bytes());
    words[4..].copy_from_slice(&bits.to_ne_bytes());
    words
}

/// `struct tc_u32_sel` with one `struct tc_u32_key`: four bytes of the packet at `offset`.
pub fn u32_selector(offset: u8, value: [u8; 4]) -> [u8; 32] {
    const TERMINAL: u8 = 1;
    let mut selector = [0; 32];
    (selector[0], selector[2]) = (TERMINAL, 1);
    selector[16..20].copy_from_slice(&[0xff; 4]);
    selector[20..24].copy_from_slice(&value);
    selector[24] = offset;
    selector
}

/// Attributes, one after the other; stops where they make no sense.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// All of them: kind and value.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        NlasIterator::new(self.0).map_while(|attribute| {
            let attribute = attribute.ok()?;
            // Its value() lives no longer than itself.
            let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
            Some((kind, attribute.into_inner().get(4..length)?))
        })
    }

    /// The value of an attribute.
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter()
            .find(|(is, _)| *is == kind)
            .map(|(_, value)| value)
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

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.errno.into()
    }
}

/// A socket, in the namespace in which it was made.
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
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
        })
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends what [`Request::finish`] made.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
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
        read(&self.buffer, answer)
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

/// Reads one datagram: the result if it was the last.
fn read(
    mut data: &[u8],
    answer: &mut impl FnMut(u16, &[u8]),
) -> io::Result<Option<Result<(), Refusal>>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    while !data.is_empty() {
        let message = NetlinkBuffer::new_checked(data).map_err(|_| malformed())?;
        let payload = message.payload();
        match message.message_type() {
            kind @ (NLMSG_ERROR | NLMSG_DONE) => {
                // The end of a dump has an error code as well, and no request after it.
                let Some(code) = u32_at(payload, 0).filter(|code| *code != 0) else {
                    return Ok(Some(Ok(())));
                };
                // Error code and header of the request come before attributes.
                let has_words = kind == NLMSG_ERROR && message.flags() & ACK_TLVS != 0;
                let attributes = payload.get(4 + HEADER..).filter(|_| has_words);
                return Ok(Some(Err(Refusal {
                    errno: Errno::from_raw((code as i32).wrapping_neg()),
                    message: Attributes(attributes.unwrap_or(&[]))
                        .text(1)
                        .unwrap_or("")
                        .to_owned(),
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
    use super::*;

    #[test]
    fn what_is_put_is_found_again() {
        let mut request = Request::new(kind::RTM_NEWTFILTER, 0, &[7; 20]);
        request.put_text(1, "flower").nest(2, |options| {
            options.put_u32(22, 5).put(4, &[1, 2, 3]);
        });
        request.put_u32(11, 9);
        let request = request.finish();
        assert_eq!(u32_at(&request, 0), Some(request.len() as u32));
        let attributes = Attributes(&request[HEADER + 20..]);
        assert_eq!(attributes.text(1), Some("flower"));
        assert_eq!(attributes.nested(2).u32(22), Some(5));
        assert_eq!(attributes.nested(2).get(4), Some(&[1, 2, 3][..]));
        assert_eq!(attributes.u32(11), Some(9));
        assert_eq!(attributes.get(12), None);
    }

    #[test]
    fn headers_are_laid_out_as_the_kernel_does() {
        let header = tcmsg(3, 7, INGRESS, info(10, 0x0800));
        let words: Vec<_> = (0..5).filter_map(|n| u32_at(&header, 4 * n)).collect();
        let protocol = u32::from(0x0800_u16.to_be());
        assert_eq!(words, [0, 3, 7, INGRESS, (10 << 16) | protocol]);
    }

    #[test]
    fn a_refusal_has_errno_and_words() {
        let mut error = Request::new(NLMSG_ERROR, 0, &(-22i32).to_ne_bytes());
        error.0.extend_from_slice(&[0; HEADER]);
        error.0[6..8].copy_from_slice(&ACK_TLVS.to_ne_bytes());
        error.put_text(1, "no such thing");
        let error = error.finish();
        let refusal = read(&error, &mut |_, _| ()).unwrap().unwrap().unwrap_err();
        assert_eq!(refusal.errno, Errno::EINVAL);
        assert_eq!(refusal.message, "no such thing");
        assert!(read(&error[..20], &mut |_, _| ()).is_err());
    }

    #[test]
    fn answers_come_before_the_end() {
        let mut data = Request::new(kind::RTM_NEWTFILTER, 0, &[7; 20]).finish();
        let mut answers = 0;
        let mut count = |_: u16, _: &[u8]| answers += 1;
        assert!(read(&data, &mut count).unwrap().is_none());
        data.extend(Request::new(NLMSG_DONE, 0, &[0; 4]).finish());
        assert!(read(&data, &mut count).unwrap().unwrap().is_ok());
        assert_eq!(answers, 2);
    }
}
