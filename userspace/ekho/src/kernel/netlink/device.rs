// SPDX-License-Identifier: MIT OR Apache-2.0

//! Network devices: those of kind `ekho` are made and deleted, any is looked up.

use nix::errno::Errno;
use nix::libc::{
    IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO, NLM_F_CREATE, NLM_F_EXCL, RTM_DELLINK, RTM_GETLINK,
    RTM_NEWLINK,
};

use super::message::{ifinfomsg, Attributes, Request};
use super::socket::{Connection, Refusal};
use crate::contract::MODULE;
use crate::error::{Error, Result};
use crate::privilege::Capability;

/// Bytes of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

/// Makes a request, and gives each answer's payload to `answer`.
fn ask(
    request: Request,
    action: &str,
    mut answer: impl FnMut(&[u8]),
) -> Result<Result<(), Refusal>> {
    Connection::new()
        .and_then(|mut connection| {
            connection.exchange(&request.finish(), |_, payload| answer(payload))
        })
        .map_err(Error::io(format!("can't ask the kernel to {action}")))
}

fn refused(action: &str, refusal: Refusal) -> Error {
    if refusal.errno == Errno::EPERM {
        return Error::Capabilities {
            action: "adding or deleting a device",
            missing: vec![Capability::NetAdmin],
        };
    }
    Error::Netlink {
        action: format!("the request to {action}"),
        source: refusal.errno.into(),
        message: refusal.words(),
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
            netns: None,
        },
        errno => Error::Io {
            what: format!("can't look up device `{dev}`"),
            source: errno.into(),
        },
    })
}

fn by_name(kind: u16, flags: i32, dev: &str) -> Request {
    let mut request = Request::new(kind, flags as u16, &ifinfomsg(0, 0, 0));
    request.put_text(IFLA_IFNAME, dev);
    request
}

/// Makes a device of kind `ekho` in this network namespace, and returns its index.
pub fn add(dev: &str) -> Result<u32> {
    if !name_is_valid(dev) {
        return Err(Error::BadDeviceName {
            dev: dev.to_owned(),
        });
    }
    let mut request = by_name(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, dev);
    request.nest(IFLA_LINKINFO, |info| {
        info.put_text(IFLA_INFO_KIND, MODULE);
    });
    let action = format!("add device `{dev}`");
    ask(request, &action, |_| ())?.map_err(|refusal| match refusal.errno {
        Errno::EEXIST => Error::DeviceExists {
            dev: dev.to_owned(),
        },
        Errno::EOPNOTSUPP => Error::ModuleNotLoaded,
        _ => refused(&action, refusal),
    })?;
    ifindex(dev)
}

/// The kind of a device (`ekho`, `veth`, …); empty for one without.
pub fn kind(dev: &str) -> Result<String> {
    ifindex(dev)?;
    let action = format!("look at device `{dev}`");
    let mut kind = None;
    ask(by_name(RTM_GETLINK, 0, dev), &action, |payload| {
        kind = kind.take().or_else(|| kind_of(payload));
    })?
    .map_err(|refusal| refused(&action, refusal))?;
    Ok(kind.unwrap_or_default())
}

fn kind_of(payload: &[u8]) -> Option<String> {
    Attributes(payload.get(IFINFOMSG..)?)
        .nested(IFLA_LINKINFO)
        .text(IFLA_INFO_KIND)
        .map(str::to_owned)
}

/// Deletes a device of kind `ekho`; any other is refused.
pub fn delete(dev: &str) -> Result<()> {
    let kind = kind(dev)?;
    if kind != MODULE {
        return Err(Error::NotEkhoDevice {
            dev: dev.to_owned(),
            kind: if kind.is_empty() { "none".into() } else { kind },
        });
    }
    let action = format!("delete device `{dev}`");
    ask(by_name(RTM_DELLINK, 0, dev), &action, |_| ())?.map_err(|refusal| refused(&action, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_device_is_read() {
        let mut link = Request::new(RTM_NEWLINK, 0, &ifinfomsg(7, 0, 0));
        link.put_text(IFLA_IFNAME, "ek0");
        link.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_KIND, "ekho");
        });
        let data = link.finish();
        let payload = &data[super::super::message::HEADER..];
        assert_eq!(kind_of(payload).as_deref(), Some("ekho"));
        assert_eq!(kind_of(&payload[..IFINFOMSG]), None);
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
        assert_eq!(kind("lo").unwrap(), "");
        assert_eq!(delete("lo").unwrap_err().id(), "not-ekho-device");
    }
}
