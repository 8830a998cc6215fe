// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rtnetlink requests of the benchmark: built before the clock runs, sent as they are.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const EXCL: u16 = 0x200;
const CREATE: u16 = 0x400;

const ERROR: u16 = 2;
const DONE: u16 = 3;

const CLSACT: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_fff2;

/// Where a filter is looked up: `skip_hw` or `skip_sw` of flower.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Software = 1,
    Hardware = 2,
}

/// A request, complete but for its length.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut data = Vec::with_capacity(256);
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(&kind.to_ne_bytes());
        data.extend_from_slice(&(REQUEST | ACK | flags).to_ne_bytes());
        data.extend_from_slice(&[0; 8]);
        data.extend_from_slice(header);
        Self(data)
    }

    fn put(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.put(kind, &[]);
        fill(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn done(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// `struct tcmsg`.
fn tcmsg(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut message = [0; 20];
    for (n, word) in [ifindex, handle, parent, info].iter().enumerate() {
        message[4 + 4 * n..][..4].copy_from_slice(&word.to_ne_bytes());
    }
    message
}

/// The preference and the EtherType of a filter for IPv4.
fn info(prio: u16) -> u32 {
    (u32::from(prio) << 16) | u32::from(0x0800_u16.to_be())
}

/// A request that sets a device up.
pub fn up(ifindex: u32) -> Vec<u8> {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    header[8..12].copy_from_slice(&1u32.to_ne_bytes());
    header[12..16].copy_from_slice(&1u32.to_ne_bytes());
    Request::new(RTM_NEWLINK, 0, &header).done()
}

/// A request that gives a device the qdisc that filters hang on.
pub fn add_clsact(ifindex: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, 0xffff_0000, CLSACT, 0);
    let mut request = Request::new(RTM_NEWQDISC, CREATE | EXCL, &header);
    request.put(1, b"clsact\0");
    request.done()
}

/// One that takes it away, with all filters.
pub fn delete_clsact(ifindex: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, 0xffff_0000, CLSACT, 0);
    Request::new(RTM_DELQDISC, 0, &header).done()
}

/// A request for a flower filter: TCP to port 80 of an address that is the handle's own, drop.
pub fn add_filter(ifindex: u32, prio: u16, handle: u32, place: Place) -> Vec<u8> {
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(RTM_NEWTFILTER, CREATE | EXCL, &header);
    request.put(1, b"flower\0");
    request.nest(2, |options| {
        options.nest(3, |actions| {
            actions.nest(1, |action| {
                action.put(1, b"gact\0");
                // TCA_ACT_FLAGS_NO_PERCPU_STATS, as OVS asks for: what the allocator of per-CPU
                // memory takes varies by ten thousand instructions.
                action.put(7, [1u32, 1].map(u32::to_ne_bytes).as_flattened());
                action.nest(2, |gact| {
                    // TC_ACT_SHOT
                    let parameters = [0u32, 0, 2, 0, 0].map(u32::to_ne_bytes);
                    gact.put(2, parameters.as_flattened());
                });
            });
        });
        let address = 0x0a00_0000 | (u32::from(prio & 0x3f) << 18) | handle;
        options.put(8, &0x0800_u16.to_be_bytes());
        options.put(9, &[6]);
        options.put(12, &address.to_be_bytes());
        options.put(13, &[0xff; 4]);
        options.put(19, &80_u16.to_be_bytes());
        options.put(36, &[0xff; 2]);
        options.put(22, &(place as u32).to_ne_bytes());
    });
    request.done()
}

/// A request that deletes a filter.
pub fn delete_filter(ifindex: u32, prio: u16, handle: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(RTM_DELTFILTER, 0, &header);
    request.put(1, b"flower\0");
    request.done()
}

/// A request for all filters of a device, with statistics.
pub fn dump_filters(ifindex: u32) -> Vec<u8> {
    Request::new(RTM_GETTFILTER, DUMP, &tcmsg(ifindex, 0, INGRESS, 0)).done()
}

/// A socket, in the thread's network namespace.
pub struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

impl Connection {
    pub fn new() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_cap_ack(true)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let buffer = Vec::with_capacity(64 << 10);
        Ok(Self { socket, buffer })
    }

    /// Receives a datagram: how many answers are in it, and whether the last one is.
    fn receive(&mut self) -> Result<(usize, bool)> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, 0)?;
        let mut data = self.buffer.as_slice();
        let mut answers = 0;
        while let Some(length) = u32_at(data, 0) {
            let kind = data.get(4..6).context("a cut message")?;
            match u16::from_ne_bytes([kind[0], kind[1]]) {
                ERROR | DONE => {
                    let code = u32_at(data, 16).context("a cut answer")? as i32;
                    if code != 0 {
                        bail!(std::io::Error::from_raw_os_error(-code));
                    }
                    return Ok((answers, true));
                }
                _ => answers += 1,
            }
            ensure!(length >= 16, "a malformed answer");
            data = data
                .get((length as usize).next_multiple_of(4)..)
                .unwrap_or(&[]);
        }
        Ok((answers, false))
    }

    /// Sends a request and waits for the last of its answers.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.socket.send(request, 0)?;
        while !self.receive()?.1 {}
        Ok(())
    }

    /// Sends a request for a dump: how long each part of at least `n` answers took.
    pub fn dump(&mut self, request: &[u8], n: usize) -> Result<Vec<(usize, Duration)>> {
        let mut parts = Vec::new();
        let mut start = Instant::now();
        self.socket.send(request, 0)?;
        let mut answers = 0;
        loop {
            let (more, done) = self.receive()?;
            answers += more;
            if done || answers >= n {
                // What is left at the end is little, and would be a sample of its own.
                let now = Instant::now();
                match parts.last_mut() {
                    Some((whole, time)) if answers < n => {
                        *whole += answers;
                        *time += now - start;
                    }
                    _ => parts.push((answers, now - start)),
                }
                (start, answers) = (now, 0);
            }
            if done {
                return Ok(parts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_their_length() {
        let filter = add_filter(3, 1, 7, Place::Hardware);
        assert_eq!(u32_at(&filter, 0), Some(filter.len() as u32));
        assert_eq!(filter.len() % 4, 0);
        // tcmsg: device, handle, parent.
        assert_eq!(u32_at(&filter, 20), Some(3));
        assert_eq!(u32_at(&filter, 24), Some(7));
        assert_eq!(u32_at(&filter, 28), Some(INGRESS));
    }

    #[test]
    fn filters_differ_by_handle_and_preference() {
        let filter = |prio, handle| add_filter(3, prio, handle, Place::Hardware)[36..].to_vec();
        assert_ne!(filter(1, 1), filter(1, 2));
        assert_ne!(filter(1, 1), filter(2, 1));
    }
}
