// SPDX-License-Identifier: MIT OR Apache-2.0

//! Packet sockets, on which many frames are sent and received by one system call.

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use nix::libc::{self, c_int, c_void, iovec, mmsghdr, sockaddr_ll, tpacket_auxdata};

use crate::packet::Frame;

/// How many frames are sent or received at once.
const BATCH: usize = 64;
/// The longest frame that is received.
const LENGTH: usize = 2048;
/// Room for `struct tpacket_auxdata` with its header.
const CONTROL: usize = 64;
/// `TP_STATUS_VLAN_VALID`: a tag was taken out of the frame.
const VLAN_VALID: u32 = 1 << 4;
/// `TP_STATUS_VLAN_TPID_VALID`
const TPID_VALID: u32 = 1 << 6;
const PACKET_AUXDATA: c_int = 8;
const PACKET_VNET_HDR: c_int = 15;
const PACKET_IGNORE_OUTGOING: c_int = 23;
/// `TP_STATUS_CSUMNOTREADY`: the sender's checksum is still to be made.
const SUM_LATER: u32 = 1 << 3;

/// A frame, and the index of the interface that received it.
pub struct Received {
    pub ifindex: u32,
    pub frame: Arrived,
}

/// What came out of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub bytes: Vec<u8>,
    /// Whether its checksum is still to be made.
    pub sum_later: bool,
}

fn check(result: c_int) -> io::Result<c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

fn open(protocol: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: No memory is handed over.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, c_int::from(protocol.to_be())) })?;
    // SAFETY: It was just opened, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set(fd: &OwnedFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` is there while the call runs, and `length` is its length.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&value).cast(),
            length,
        )
    };
    check(result).map(drop)
}

/// All zeros.
fn zeroed_messages() -> Vec<mmsghdr> {
    // SAFETY: It is made of numbers and pointers, for which zero is a value.
    (0..BATCH).map(|_| unsafe { mem::zeroed() }).collect()
}

fn zeroed_address() -> sockaddr_ll {
    // SAFETY: It is made of numbers.
    unsafe { mem::zeroed() }
}

/// Bytes of `struct virtio_net_hdr`.
const VNET: usize = 10;

/// `struct virtio_net_hdr`, of a machine that has the bytes of numbers as this one.
fn vnet_header(frame: &Frame) -> [u8; VNET] {
    const NEEDS_CSUM: u8 = 1;
    let mut header = [0; VNET];
    let (start, offset) = frame.sum;
    if start != 0 {
        header[0] = NEEDS_CSUM;
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..10].copy_from_slice(&offset.to_ne_bytes());
    }
    let (kind, length) = frame.segments;
    if kind != 0 {
        // All that comes before the payload.
        let transport = if kind == 5 { 8 } else { 20 };
        header[1] = kind;
        header[2..4].copy_from_slice(&(start + transport).to_ne_bytes());
        header[4..6].copy_from_slice(&length.to_ne_bytes());
    }
    header
}

/// Sends frames by any interface of a network namespace.
pub struct Sender {
    fd: OwnedFd,
}

impl Sender {
    /// In the thread's network namespace.
    pub fn new() -> io::Result<Self> {
        // Of no protocol, so nothing is received.
        let fd = open(0)?;
        set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 4 << 20)?;
        set(&fd, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
        Ok(Self { fd })
    }

    /// Sends frames by an interface, in this order.
    pub fn send(&self, ifindex: u32, frames: &[Frame]) -> io::Result<()> {
        let mut address = zeroed_address();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = ifindex as c_int;
        for frames in frames.chunks(BATCH) {
            let headers: Vec<_> = frames.iter().map(vnet_header).collect();
            let part = |data: &[u8]| iovec {
                iov_base: data.as_ptr().cast_mut().cast::<c_void>(),
                iov_len: data.len(),
            };
            let mut parts: Vec<[iovec; 2]> = frames
                .iter()
                .zip(&headers)
                .map(|(frame, header)| [part(header), part(&frame.bytes)])
                .collect();
            let mut messages = zeroed_messages();
            for (message, parts) in messages.iter_mut().zip(&mut parts) {
                message.msg_hdr.msg_name = ptr::from_mut(&mut address).cast();
                message.msg_hdr.msg_namelen = size_of::<sockaddr_ll>() as u32;
                message.msg_hdr.msg_iov = parts.as_mut_ptr();
                message.msg_hdr.msg_iovlen = 2;
            }
            let mut sent = 0;
            while sent < frames.len() {
                let left = &mut messages[sent..frames.len()];
                // SAFETY: Each message refers to an address, two parts and their data that are there
                // while the call runs, and that it only reads.
                let n = unsafe {
                    libc::sendmmsg(self.fd.as_raw_fd(), left.as_mut_ptr(), left.len() as u32, 0)
                };
                sent += check(n)? as usize;
            }
        }
        Ok(())
    }
}

/// Receives what the interfaces of a network namespace receive.
pub struct Capture {
    fd: OwnedFd,
    data: Vec<u8>,
    control: Vec<u64>,
}

impl Capture {
    /// In the thread's network namespace.
    pub fn new() -> io::Result<Self> {
        let fd = open(libc::ETH_P_ALL as u16)?;
        set(&fd, libc::SOL_PACKET, PACKET_AUXDATA, 1)?;
        set(&fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20)?;
        Ok(Self {
            fd,
            data: vec![0; BATCH * LENGTH],
            control: vec![0; BATCH * CONTROL / size_of::<u64>()],
        })
    }

    /// Receives what is there, without waiting. Returns whether there may be more.
    pub fn receive(&mut self, frames: &mut Vec<Received>) -> io::Result<bool> {
        let mut addresses = vec![zeroed_address(); BATCH];
        let mut parts: Vec<iovec> = self
            .data
            .chunks_exact_mut(LENGTH)
            .map(|data| iovec {
                iov_base: data.as_mut_ptr().cast(),
                iov_len: data.len(),
            })
            .collect();
        let mut messages = zeroed_messages();
        let control = self.control.chunks_exact_mut(CONTROL / size_of::<u64>());
        for (((message, part), address), control) in messages
            .iter_mut()
            .zip(&mut parts)
            .zip(&mut addresses)
            .zip(control)
        {
            message.msg_hdr.msg_name = ptr::from_mut(address).cast();
            message.msg_hdr.msg_namelen = size_of::<sockaddr_ll>() as u32;
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: Each message refers to an address, a part, its data and room for control messages
        // that nobody else uses while the call runs.
        let n = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let n = match check(n) {
            Ok(n) => n as usize,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        for ((message, address), data) in messages[..n]
            .iter()
            .zip(&addresses)
            .zip(self.data.chunks_exact(LENGTH))
        {
            let mut frame = data[..message.msg_len as usize].to_vec();
            let mut sum_later = false;
            if let Some(aux) = aux_data(message) {
                sum_later = aux.tp_status & SUM_LATER != 0;
                if aux.tp_status & VLAN_VALID != 0 && frame.len() >= 12 {
                    let tpid = match aux.tp_status & TPID_VALID {
                        0 => crate::packet::ETH_8021Q,
                        _ => aux.tp_vlan_tpid,
                    };
                    let [a, b] = tpid.to_be_bytes();
                    let [c, d] = aux.tp_vlan_tci.to_be_bytes();
                    frame.splice(12..12, [a, b, c, d]);
                }
            }
            frames.push(Received {
                ifindex: address.sll_ifindex as u32,
                frame: Arrived {
                    bytes: frame,
                    sum_later,
                },
            });
        }
        Ok(n == BATCH)
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What the kernel says of a frame that was just received.
fn aux_data(message: &mmsghdr) -> Option<tpacket_auxdata> {
    // SAFETY: `msg_control` is what recvmmsg() wrote, with the length that it left.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message.msg_hdr).as_ref() }?;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, PACKET_AUXDATA) {
        return None;
    }
    // SAFETY: The kernel wrote a `struct tpacket_auxdata` behind this header, as its type says.
    Some(unsafe {
        libc::CMSG_DATA(header)
            .cast::<tpacket_auxdata>()
            .read_unaligned()
    })
}
