// SPDX-License-Identifier: MIT OR Apache-2.0

//! The few rtnetlink requests that EKHO makes: devices of kind `ekho`, and one
//! filter, to make the kernel ask for its statistics.

use std::io;

use netlink_packet_core::{
    ErrorBuffer, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST,
};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use crate::contract;
use crate::error::{Error, Result};
use crate::kernel::capability::Capability;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Set in an answer that carries attributes after the error code.
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A refusal, with the kernel's own words where it has some.
#[derive(Debug)]
struct Refusal {
    source: io::Error,
    message: Option<String>,
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Self {
            source,
            message: None,
        }
    }
}

impl Refusal {
    fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw)
    }

    fn into_error(self, action: String) -> Error {
        if self.errno() == Some(Errno::EPERM) {
            let needed = vec![Capability::NetAdmin.name()];
            return Error::Capabilities {
                action: "changing network devices",
                missing: needed.clone(),
                needed,
            };
        }
        Error::Netlink {
            action: format!("the request to {action}"),
            source: self.source,
            message: self.message,
        }
    }
}

/// The text of an extended acknowledgement. With `NETLINK_CAP_ACK` the request's
/// payload isn't repeated: attributes follow error code and request header.
fn ext_ack(payload: &[u8]) -> Option<String> {
    NlasIterator::new(payload.get(20..)?)
        .flatten()
        .find(|nla| nla.kind() == NLMSGERR_ATTR_MSG)
        .map(|nla| {
            String::from_utf8_lossy(nla.value())
                .trim_end_matches('\0')
                .to_owned()
        })
}

/// What one datagram answers: the messages in it, or the error.
fn read_answer(data: &[u8], answers: &mut Vec<Vec<u8>>) -> Result<bool, Refusal> {
    let malformed = || Refusal::from(io::Error::from(io::ErrorKind::InvalidData));
    let mut rest = data;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(|_| malformed())?;
        let length = message.length() as usize;
        match message.message_type() {
            NLMSG_ERROR => {
                let payload = message.payload();
                let error = ErrorBuffer::new_checked(payload).map_err(|_| malformed())?;
                let Some(code) = error.code() else {
                    return Ok(true);
                };
                return Err(Refusal {
                    source: io::Error::from_raw_os_error(-code.get()),
                    message: (message.flags() & NLM_F_ACK_TLVS != 0)
                        .then(|| ext_ack(payload))
                        .flatten(),
                });
            }
            NLMSG_DONE => return Ok(true),
            _ => answers.push(message.payload().to_vec()),
        }
        // Messages are padded to four bytes.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(false)
}

fn request(message: RouteNetlinkMessage, flags: u16) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_cap_ack(true)?;
    socket.set_ext_ack(true)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;

    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    header.sequence_number = 1;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut data = vec![0; packet.buffer_len()];
    packet.serialize(&mut data);
    socket.send(&data, 0)?;

    let mut answers = Vec::new();
    loop {
        let (data, _) = socket.recv_from_full()?;
        if read_answer(&data, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Whether the kernel would accept a device name (`dev_valid_name()`).
pub fn name_is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 16
        && name != "."
        && name != ".."
        && !name
            .bytes()
            .any(|byte| byte == b'/' || byte == b':' || byte.is_ascii_whitespace())
}

/// Index of a device in this network namespace.
pub fn ifindex(dev: &str) -> Result<u32> {
    if !name_is_valid(dev) {
        return Err(Error::BadDeviceName {
            dev: dev.to_owned(),
        });
    }
    nix::net::if_::if_nametoindex(dev).map_err(|errno| match errno {
        Errno::ENODEV | Errno::ENXIO => Error::NoDevice {
            dev: dev.to_owned(),
        },
        errno => Error::Io {
            what: format!("can't look up device `{dev}`"),
            source: errno.into(),
        },
    })
}

fn by_name(dev: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(dev.to_owned()));
    message
}

/// Makes a device of kind `ekho` in this network namespace, and returns its index.
pub fn add_device(dev: &str) -> Result<u32> {
    if !name_is_valid(dev) {
        return Err(Error::BadDeviceName {
            dev: dev.to_owned(),
        });
    }
    let mut message = by_name(dev);
    message
        .attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
            InfoKind::Other(contract::MODULE.to_owned()),
        )]));
    request(
        RouteNetlinkMessage::NewLink(message),
        NLM_F_CREATE | NLM_F_EXCL,
    )
    .map_err(|refusal| match refusal.errno() {
        Some(Errno::EEXIST) => Error::DeviceExists {
            dev: dev.to_owned(),
        },
        Some(Errno::EOPNOTSUPP) => Error::ModuleNotLoaded,
        _ => refusal.into_error(format!("add device `{dev}`")),
    })?;
    ifindex(dev)
}

/// The kind of a device (`ekho`, `veth`, …); empty for one without.
pub fn device_kind(dev: &str) -> Result<String> {
    ifindex(dev)?;
    let answers = request(RouteNetlinkMessage::GetLink(by_name(dev)), 0)
        .map_err(|refusal| refusal.into_error(format!("look at device `{dev}`")))?;
    Ok(answers
        .first()
        .and_then(|payload| kind_of(payload))
        .unwrap_or_default())
}

/// `IFLA_LINKINFO` / `IFLA_INFO_KIND` of an answer. Read by hand: the answer holds
/// attributes of every kind of device, and one unknown to the parser must not
/// matter here.
fn kind_of(payload: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_INFO_KIND: u16 = 1;

    let info = NlasIterator::new(payload.get(HEADER..)?)
        .flatten()
        .find(|nla| nla.kind() == IFLA_LINKINFO)?;
    let kind = NlasIterator::new(info.value())
        .flatten()
        .find(|nla| nla.kind() == IFLA_INFO_KIND)?;
    let text = String::from_utf8_lossy(kind.value());
    Some(text.trim_end_matches('\0').to_owned())
}

/// Deletes a device of kind `ekho`; any other is refused.
pub fn delete_device(dev: &str) -> Result<()> {
    let kind = device_kind(dev)?;
    if kind != contract::MODULE {
        return Err(Error::NotEkhoDevice {
            dev: dev.to_owned(),
            kind: if kind.is_empty() { "none".into() } else { kind },
        });
    }
    request(RouteNetlinkMessage::DelLink(by_name(dev)), 0)
        .map(drop)
        .map_err(|refusal| refusal.into_error(format!("delete device `{dev}`")))
}

/// Where a filter hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// On packets that a device receives (`tc filter … ingress`).
    Ingress,
    /// On packets that a device sends (`tc filter … egress`).
    Egress,
    /// In a block that devices share (`tc filter … block N`).
    Block(u32),
}

/// What identifies a filter for `tc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterSpec {
    /// Name of its device.
    pub dev: String,
    /// Where it hangs.
    pub hook: Hook,
    /// Its chain.
    pub chain: u32,
    /// Its preference.
    pub prio: u16,
    /// Its EtherType, 0 for any.
    pub protocol: u16,
    /// Its handle.
    pub handle: u32,
}

impl std::fmt::Display for FilterSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.hook {
            Hook::Ingress => write!(f, "dev {} ingress", self.dev)?,
            Hook::Egress => write!(f, "dev {} egress", self.dev)?,
            Hook::Block(index) => write!(f, "block {index}")?,
        }
        write!(
            f,
            " chain {} prio {} handle {:#x}",
            self.chain, self.prio, self.handle
        )?;
        if self.protocol != 0 {
            write!(f, " protocol {:#06x}", self.protocol)?;
        }
        Ok(())
    }
}

fn filter_message(filter: &FilterSpec, ifindex: u32) -> TcMessage {
    let minor = |minor| TcHandle {
        major: u16::MAX,
        minor,
    };
    let (index, parent) = match filter.hook {
        Hook::Ingress => (ifindex as i32, minor(TcHandle::MIN_INGRESS)),
        Hook::Egress => (ifindex as i32, minor(TcHandle::MIN_EGRESS)),
        Hook::Block(block) => (
            TcHeader::TCM_IFINDEX_MAGIC_BLOCK as i32,
            TcHandle::from(block),
        ),
    };
    let header = TcHeader {
        index,
        parent,
        handle: TcHandle::from(filter.handle),
        info: (u32::from(filter.prio) << 16) | u32::from(filter.protocol.to_be()),
        ..TcHeader::default()
    };
    TcMessage::from_parts(header, vec![TcAttribute::Chain(filter.chain)])
}

/// Reads one filter, which makes the kernel ask for the statistics of exactly
/// that filter.
pub fn poll_filter(filter: &FilterSpec) -> Result<()> {
    let ifindex = ifindex(&filter.dev)?;
    let message = filter_message(filter, ifindex);
    request(RouteNetlinkMessage::GetTrafficFilter(message), 0)
        .map(drop)
        .map_err(|refusal| Error::NoFilter {
            filter: filter.to_string(),
            source: refusal.source,
            message: refusal.message,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable as _;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend_from_slice(&(16 + payload.len() as u32).to_ne_bytes());
        data.extend_from_slice(&kind.to_ne_bytes());
        data.extend_from_slice(&flags.to_ne_bytes());
        data.extend_from_slice(&[0; 8]);
        data.extend_from_slice(payload);
        data.resize(data.len().next_multiple_of(4), 0);
        data
    }

    fn nla(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        data.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        data.extend_from_slice(&kind.to_ne_bytes());
        data.extend_from_slice(value);
        data.resize(data.len().next_multiple_of(4), 0);
        data
    }

    #[test]
    fn an_acknowledgement_ends_the_answers() {
        let mut answers = Vec::new();
        let mut data = message(16, 0, b"payload!");
        data.extend(message(NLMSG_ERROR, 0, &[0; 20]));
        assert!(read_answer(&data, &mut answers).unwrap());
        assert_eq!(answers, [b"payload!"]);
    }

    #[test]
    fn the_kernels_own_words_are_kept() {
        let mut payload = (-nix::libc::ENOENT).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; 16]);
        payload.extend(nla(2, &[0; 4]));
        payload.extend(nla(
            NLMSGERR_ATTR_MSG,
            b"Filter with specified priority/protocol not found\0",
        ));
        let data = message(NLMSG_ERROR, NLM_F_ACK_TLVS, &payload);
        let refusal = read_answer(&data, &mut Vec::new()).unwrap_err();
        assert_eq!(refusal.errno(), Some(Errno::ENOENT));
        assert_eq!(
            refusal.message.as_deref(),
            Some("Filter with specified priority/protocol not found")
        );
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let data = message(NLMSG_ERROR, 0, &[0; 20]);
        assert!(read_answer(&data[..10], &mut Vec::new()).is_err());
        assert!(read_answer(&data[..17], &mut Vec::new()).is_err());
    }

    #[test]
    fn filters_are_encoded_as_tc_does() {
        let filter = FilterSpec {
            dev: "ek0".into(),
            hook: Hook::Ingress,
            chain: 7,
            prio: 10,
            protocol: 0x0800,
            handle: 0x12,
        };
        let message = filter_message(&filter, 3);
        let mut data = vec![0; message.buffer_len()];
        message.emit(&mut data);
        assert_eq!(data[4..8], 3i32.to_ne_bytes());
        assert_eq!(data[8..12], 0x12u32.to_ne_bytes());
        assert_eq!(data[12..16], 0xffff_fff2_u32.to_ne_bytes());
        assert_eq!(
            data[16..20],
            ((10u32 << 16) | u32::from(0x0800u16.to_be())).to_ne_bytes()
        );
        assert_eq!(data[24..28], 7u32.to_ne_bytes());

        let shared = FilterSpec {
            hook: Hook::Block(22),
            ..filter
        };
        let message = filter_message(&shared, 3);
        assert_eq!(message.header.index, -1);
        assert_eq!(u32::from(message.header.parent), 22);
        assert_eq!(
            shared.to_string(),
            "block 22 chain 7 prio 10 handle 0x12 protocol 0x0800"
        );
    }

    #[test]
    fn the_kind_of_a_device_is_read() {
        let mut payload = vec![0; 16];
        payload.extend(nla(3, b"ek0\0"));
        payload.extend(nla(18, &nla(1, b"ekho\0")));
        assert_eq!(kind_of(&payload).as_deref(), Some("ekho"));
        assert_eq!(kind_of(&payload[..16]), None);
        assert_eq!(kind_of(&[]), None);
    }

    #[test]
    fn device_names_follow_the_kernel() {
        assert!(name_is_valid("eth0.5"));
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "0123456789abcdef"] {
            assert!(!name_is_valid(bad), "{bad}");
            assert_eq!(ifindex(bad).unwrap_err().id(), "bad-device-name");
        }
        assert_eq!(ifindex("no-such-dev").unwrap_err().id(), "no-device");
    }

    #[test]
    fn loopback_is_found() {
        assert_eq!(ifindex("lo").unwrap(), 1);
        assert_eq!(device_kind("lo").unwrap(), "");
        assert_eq!(delete_device("lo").unwrap_err().id(), "not-ekho-device");
    }
}
