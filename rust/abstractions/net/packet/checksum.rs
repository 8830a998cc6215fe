// SPDX-License-Identifier: GPL-2.0-only

//! The action of tc that computes checksums anew: `act_csum`.

use super::{
    Packet,
    TCP_MIN,
    UDP_LEN, //
};
use crate::bindings;
use core::ffi::c_int;
use kernel::prelude::*;

/// Bytes of headers.
const ICMP_LEN: usize = 8;
const IGMP_LEN: usize = 8;
const IPV4_MIN: usize = 20;
const IPV6_LEN: usize = 40;
const SCTP_LEN: usize = 12;
const VLAN_LEN: usize = 4;

/// Where checksums are in their headers.
const ICMP_CHECKSUM: usize = 2;
const IGMP_CHECKSUM: usize = 2;
const IPV4_CHECKSUM: usize = 10;
const SCTP_CHECKSUM: usize = 8;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// Where a UDP header says how long the datagram is, or what is covered of one of UDP-Lite.
const UDP_LENGTH: usize = 4;

/// What UDP sends for a sum that is zero: zero says that there is none.
const UDP_ZERO: [u8; 2] = [0xff; 2];

/// The GSO packets of which checksums are computed later, when they are cut.
const TCPV4: u32 = bindings::SKB_GSO_TCPV4 as u32;
const TCPV6: u32 = bindings::SKB_GSO_TCPV6 as u32;
const UDP: u32 = (bindings::SKB_GSO_UDP
    | bindings::SKB_GSO_UDP_L4
    | bindings::SKB_GSO_UDP_TUNNEL
    | bindings::SKB_GSO_UDP_TUNNEL_CSUM) as u32;
const SCTP: u32 = bindings::SKB_GSO_SCTP as u32;

/// What is behind an IP header and its extensions.
struct Payload {
    /// Where it begins, from the network header.
    header: u32,
    /// Where it ends, from the network header.
    end: u32,
    /// What a pseudo header has of the IP header; its length is that of the payload.
    addresses: Addresses,
    /// The number of the protocol.
    protocol: u8,
}

#[derive(Clone, Copy)]
enum Addresses {
    V4([u8; 8]),
    V6([u8; 32]),
}

/// Bytes of the packet that are there, and the first of which are its own.
#[derive(Clone, Copy)]
struct Part {
    offset: usize,
    len: usize,
}

impl Packet {
    /// Computes those of its checksums anew that `flags` says: `TCA_CSUM_UPDATE_FLAG_*`. Fails where
    /// the kernel's action drops the packet.
    ///
    /// Other than the kernel's, it leaves an IPv4 header alone that is longer than the packet: the
    /// kernel computes something of what is in memory there.
    pub(crate) fn checksum(&mut self, flags: u32) -> Result {
        let mut protocol = self.protocol();
        // SAFETY: `skb` owns the buffer.
        let mut tag = unsafe { bindings::ekho_helper_packet_has_tag(self.raw()) };
        let mut skipped = 0;
        let result = loop {
            match u32::from(u16::from_be(protocol)) {
                bindings::ETH_P_IP => break self.checksum_ipv4(flags),
                bindings::ETH_P_IPV6 => break self.checksum_ipv6(flags),
                bindings::ETH_P_8021Q | bindings::ETH_P_8021AD if tag => {
                    tag = false;
                    // SAFETY: `skb` owns the buffer.
                    protocol = unsafe { bindings::ekho_helper_packet_inner_protocol(self.raw()) };
                }
                // As the kernel has it at egress too, where this isn't a tag but an address.
                bindings::ETH_P_8021Q | bindings::ETH_P_8021AD => {
                    let Some(&[_, _, high, low]) = self.bytes(0, VLAN_LEN) else {
                        break Err(EINVAL);
                    };
                    protocol = u16::from_ne_bytes([high, low]);
                    // SAFETY: `skb` owns the buffer, which has these bytes in one piece.
                    unsafe { bindings::ekho_helper_packet_skip(self.raw(), VLAN_LEN as u32) };
                    skipped += VLAN_LEN as u32;
                }
                _ => break Ok(()),
            }
        };
        if skipped > 0 {
            // SAFETY: `skb` owns the buffer, and these bytes were skipped above.
            unsafe { bindings::ekho_helper_packet_unskip(self.raw(), skipped) };
        }
        result
    }

    fn checksum_ipv4(&mut self, flags: u32) -> Result {
        let network = self.network_offset()?;
        let Some(ip) = self
            .bytes(network, IPV4_MIN)
            .and_then(|ip| ip.first_chunk::<IPV4_MIN>().copied())
        else {
            return Err(EINVAL);
        };
        let header = u32::from(ip[0] & 0xf) * 4;
        let later_fragment = ip[6] & 0x1f | ip[7] != 0;
        if !later_fragment {
            let [.., a, b, c, d, e, f, g, h] = ip;
            self.checksum_payload(
                flags,
                Payload {
                    header,
                    end: u16::from_be_bytes([ip[2], ip[3]]).into(),
                    addresses: Addresses::V4([a, b, c, d, e, f, g, h]),
                    protocol: ip[9],
                },
            )?;
        }
        if flags & bindings::TCA_CSUM_UPDATE_FLAG_IPV4HDR != 0 {
            self.own(network + IPV4_MIN)?;
            let header = header as usize;
            if header < IPV4_MIN {
                // What `ip_fast_csum()` of x86 has for a header that is too short to be one.
                self.store(network + IPV4_CHECKSUM, [ip[0], ip[1]])?;
            } else if self.bytes(network, header).is_some() {
                self.store(network + IPV4_CHECKSUM, [0; 2])?;
                let sum = self.sum(network, header, 0)?;
                self.store(network + IPV4_CHECKSUM, fold(sum))?;
            }
        }
        Ok(())
    }

    fn checksum_ipv6(&mut self, flags: u32) -> Result {
        let network = self.network_offset()?;
        let Some(ip) = self
            .bytes(network, IPV6_LEN)
            .and_then(|ip| ip.first_chunk::<IPV6_LEN>().copied())
        else {
            return Err(EINVAL);
        };
        let [_, _, _, _, high, low, mut next, _, addresses @ ..] = ip;
        let mut len = u32::from(u16::from_be_bytes([high, low]));
        let mut at = IPV6_LEN;
        loop {
            match u32::from(next) {
                bindings::NEXTHDR_HOP | bindings::NEXTHDR_ROUTING | bindings::NEXTHDR_DEST => {
                    let Some(&[following, units]) = self.bytes(network + at, 2) else {
                        return Err(EINVAL);
                    };
                    let size = (usize::from(units) + 1) * 8;
                    let extension = self.bytes(network + at, size).ok_or(EINVAL)?;
                    if u32::from(next) == bindings::NEXTHDR_HOP {
                        if let Some(jumbo) = jumbo(extension)? {
                            len = jumbo;
                        }
                    }
                    next = following;
                    at += size;
                    if self.bytes(network + at, 1).is_none() {
                        return Ok(());
                    }
                }
                bindings::IPPROTO_ICMP | bindings::IPPROTO_IGMP => return Ok(()),
                _ => {
                    return self.checksum_payload(
                        flags,
                        Payload {
                            header: u32::try_from(at)?,
                            end: len.checked_add(IPV6_LEN as u32).ok_or(EINVAL)?,
                            addresses: Addresses::V6(addresses),
                            protocol: next,
                        },
                    )
                }
            }
        }
    }

    /// Any other protocol has no checksum that this knows of.
    fn checksum_payload(&mut self, flags: u32, payload: Payload) -> Result {
        let wants = |flag| flags & flag != 0;
        match u32::from(payload.protocol) {
            bindings::IPPROTO_ICMP if wants(bindings::TCA_CSUM_UPDATE_FLAG_ICMP) => {
                let part = self.part(&payload, ICMP_LEN)?;
                self.checksum_part(part, ICMP_CHECKSUM, 0)
            }
            bindings::IPPROTO_IGMP if wants(bindings::TCA_CSUM_UPDATE_FLAG_IGMP) => {
                let part = self.part(&payload, IGMP_LEN)?;
                self.checksum_part(part, IGMP_CHECKSUM, 0)
            }
            bindings::IPPROTO_ICMPV6 if wants(bindings::TCA_CSUM_UPDATE_FLAG_ICMP) => {
                // IPv4 has no such protocol.
                if matches!(payload.addresses, Addresses::V4(_)) {
                    return Ok(());
                }
                let part = self.part(&payload, ICMP_LEN)?;
                self.checksum_part(part, ICMP_CHECKSUM, payload.pseudo(part.len))
            }
            bindings::IPPROTO_TCP if wants(bindings::TCA_CSUM_UPDATE_FLAG_TCP) => {
                let cut_later = match payload.addresses {
                    Addresses::V4(_) => TCPV4,
                    Addresses::V6(_) => TCPV6,
                };
                if self.is_gso_of(cut_later) {
                    return Ok(());
                }
                let part = self.part(&payload, TCP_MIN)?;
                self.checksum_part(part, TCP_CHECKSUM, payload.pseudo(part.len))
            }
            bindings::IPPROTO_UDP if wants(bindings::TCA_CSUM_UPDATE_FLAG_UDP) => {
                self.checksum_udp(&payload, false)
            }
            bindings::IPPROTO_UDPLITE if wants(bindings::TCA_CSUM_UPDATE_FLAG_UDPLITE) => {
                self.checksum_udp(&payload, true)
            }
            bindings::IPPROTO_SCTP if wants(bindings::TCA_CSUM_UPDATE_FLAG_SCTP) => {
                self.checksum_sctp(&payload)
            }
            _ => Ok(()),
        }
    }

    fn checksum_udp(&mut self, payload: &Payload, lite: bool) -> Result {
        if self.is_gso_of(UDP) {
            return Ok(());
        }
        let part = self.part(payload, UDP_LEN)?;
        let checksum = part.offset + UDP_CHECKSUM;
        let none = self.load(checksum).ok_or(EINVAL)? == [0; 2];
        // Of IPv4 only, datagrams may have none.
        if !none || lite || matches!(payload.addresses, Addresses::V6(_)) {
            let length = self.load(part.offset + UDP_LENGTH).ok_or(EINVAL)?;
            let length = usize::from(u16::from_be_bytes(length));
            // The kernel has done so when it finds a length that it doesn't know what to make of.
            self.store(checksum, [0; 2])?;
            let covered = match lite {
                true if length == 0 => part.len,
                true if (UDP_LEN..=part.len).contains(&length) => length,
                false if length == part.len => length,
                _ => return Ok(()),
            };
            let sum = self.sum(part.offset, covered, payload.pseudo(length))?;
            let sum = match fold(sum) {
                [0, 0] => UDP_ZERO,
                sum => sum,
            };
            self.store(checksum, sum)?;
        }
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_summed(self.raw()) };
        Ok(())
    }

    fn checksum_sctp(&mut self, payload: &Payload) -> Result {
        if self.is_gso_of(SCTP) {
            return Ok(());
        }
        let part = self.part(payload, SCTP_LEN)?;
        let checksum = part.offset + SCTP_CHECKSUM;
        self.store(checksum, [0; 4])?;
        let offset = c_int::try_from(part.offset)?;
        // To the end of the packet, wherever that of the payload is.
        let len = c_int::try_from(self.skb.len())? - offset;
        // SAFETY: `skb` owns the buffer, which has these bytes.
        let sum = unsafe { bindings::skb_crc32c(self.raw(), offset, len, !0) };
        self.store(checksum, (!sum).to_le_bytes())?;
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_summed_crc(self.raw()) };
        Ok(())
    }

    /// The payload of a packet, all of it in one piece, with a header of `header` bytes that are the
    /// packet's own.
    fn part(&mut self, payload: &Payload, header: usize) -> Result<Part> {
        let network = self.network_offset()?;
        let offset = network + payload.header as usize;
        let len = payload.end.checked_sub(payload.header).ok_or(EINVAL)? as usize;
        self.bytes(network, payload.end as usize).ok_or(EINVAL)?;
        if len < header {
            return Err(EINVAL);
        }
        self.own(offset + header)?;
        Ok(Part { offset, len })
    }

    /// Computes the checksum of bytes, of which `more` is summed too.
    fn checksum_part(&mut self, part: Part, checksum: usize, more: u32) -> Result {
        self.store(part.offset + checksum, [0; 2])?;
        let sum = self.sum(part.offset, part.len, more)?;
        self.store(part.offset + checksum, fold(sum))?;
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_summed(self.raw()) };
        Ok(())
    }

    /// The sum of bytes of the packet, and `more`.
    fn sum(&mut self, offset: usize, len: usize, more: u32) -> Result<u32> {
        Ok(sum(self.bytes(offset, len).ok_or(EINVAL)?, more))
    }

    /// Whether it stands for several packets of one of these kinds: `SKB_GSO_*` bits.
    fn is_gso_of(&self, kinds: u32) -> bool {
        let gso = self.gso();
        gso.size != 0 && gso.type_ & kinds != 0
    }
}

impl Payload {
    /// The sum of the header that is only computed, not sent, for `len` bytes.
    fn pseudo(&self, len: usize) -> u32 {
        let [a, b, c, d] = (len as u32).to_be_bytes();
        let rest = sum(&[a, b, c, d, 0, 0, 0, self.protocol], 0);
        match &self.addresses {
            Addresses::V4(addresses) => sum(addresses, rest),
            Addresses::V6(addresses) => sum(addresses, rest),
        }
    }
}

/// The one's complement sum of 16 bit words, in the order of the machine, and `more`.
fn sum(bytes: &[u8], more: u32) -> u32 {
    // SAFETY: They are there. The length of a packet fits.
    unsafe { bindings::csum_partial(bytes.as_ptr().cast(), bytes.len() as c_int, more) }
}

/// The checksum as it is stored.
fn fold(sum: u32) -> [u8; 2] {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!sum as u16).to_ne_bytes()
}

/// What a header of hop-by-hop options says of the length of a jumbogram, if it is one. Fails if it
/// says so in a wrong way.
fn jumbo(extension: &[u8]) -> Result<Option<u32>> {
    const PAD1: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let mut at = 2;
    // An option has a length, but for one, which is a single byte.
    while let Some(&[kind, len, ref value @ ..]) = extension.get(at..) {
        let size = match kind {
            PAD1 => 1,
            JUMBO => {
                let length = value.first_chunk().filter(|_| len == 4 && at & 3 == 2);
                return Ok(Some(u32::from_be_bytes(*length.ok_or(EINVAL)?)));
            }
            _ if usize::from(len) > value.len() => return Ok(None),
            _ => usize::from(len) + 2,
        };
        at += size;
    }
    Ok(None)
}
