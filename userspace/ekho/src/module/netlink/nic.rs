// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices with several ports, which are made and removed.

use nix::errno::Errno;

use super::client::{ask, find_family, Ask, Failure, Netlink};
use super::uapi;
use crate::error::{Error, Result};
use crate::kernel::netlink::{generic, Refusal};

const NEW: Ask = ask(
    uapi::EKHO_CMD_DEVICE_NEW,
    "make a device",
    "making a device",
    "the devices",
);
const DEL: Ask = ask(
    uapi::EKHO_CMD_DEVICE_DEL,
    "remove a device",
    "removing a device",
    "the devices",
);

/// The names of the ports of a device.
pub fn port_names(nic: &str, ports: u32) -> Vec<String> {
    (0..ports).map(|port| format!("{nic}p{port}")).collect()
}

/// What it means that the module refuses.
fn refused(ask: Ask, action: String, refusal: Refusal) -> Error {
    match refusal.errno {
        Errno::EPERM if is_elsewhere(&refusal) => Error::NotPermitted {
            source: refusal.errno.into(),
            action: match refusal.words() {
                Some(words) => format!("{action}: {words}"),
                None => action,
            },
        },
        errno if refusal.offset.is_some() => Error::Nic {
            action,
            source: errno.into(),
            message: refusal.words(),
        },
        _ => ask.refused(refusal),
    }
}

/// Whether the devices with several ports aren't those of this namespace: the module says so of the
/// name, and the kernel of nothing.
fn is_elsewhere(refusal: &Refusal) -> bool {
    refusal.errno == Errno::EPERM && refusal.offset.is_some()
}

/// Sends a request, and waits for it to be carried out.
fn change(ask: Ask, name: &str, ports: Option<u32>) -> Result<(), Failure> {
    let mut connection = generic::connect().map_err(ask.io())?;
    let family = find_family(&mut connection, ask.action)?;
    let mut request = family.request(ask.command, uapi::EKHO_FAMILY_VERSION);
    request.put_text(uapi::EKHO_A_DEVICE_NAME, name);
    if let Some(ports) = ports {
        request.put_u32(uapi::EKHO_A_DEVICE_PORTS, ports);
    }
    ask.send(&mut connection, request, |_| Ok(())).map(|_| ())
}

impl Netlink {
    /// Makes a device with several ports; [`port_names`] has their names. Needs to be in the initial
    /// network namespace, and `CAP_NET_ADMIN`.
    pub fn add_nic(&self, name: &str, ports: u32) -> Result<()> {
        change(NEW, name, Some(ports)).map_err(|failure| match failure {
            Failure::Error(error) => error,
            Failure::Refused(refusal) => refused(
                NEW,
                format!("make device `{name}` with {ports} ports"),
                refusal,
            ),
        })
    }

    /// Removes a device with several ports. Returns whether there was one, as far as this process can
    /// see. Needs what [`Self::add_nic`] needs.
    pub fn delete_nic(&self, name: &str) -> Result<bool> {
        match change(DEL, name, None) {
            Ok(()) => Ok(true),
            Err(Failure::Error(Error::ModuleNotLoaded | Error::NoFamily)) => Ok(false),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Refused(refusal)) => match refusal.errno {
                // A module that has no such devices doesn't know the request.
                Errno::ENODEV | Errno::EOPNOTSUPP => Ok(false),
                _ if is_elsewhere(&refusal) => Ok(false),
                // The kernel's own judgement: no device can be called so.
                Errno::ERANGE | Errno::EINVAL => Ok(false),
                _ => Err(refused(DEL, format!("remove device `{name}`"), refusal)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_called_as_their_device() {
        assert_eq!(port_names("nic0", 2), ["nic0p0", "nic0p1"]);
    }

    #[test]
    fn refusals_have_the_meaning_that_they_have_for_a_user() {
        let error = |errno, offset| {
            let refusal = Refusal {
                errno,
                offset,
                message: "why".into(),
            };
            refused(NEW, "make device `nic0` with 2 ports".into(), refusal)
        };
        let taken = error(Errno::EEXIST, Some(20));
        assert_eq!(taken.id(), "nic");
        assert!(taken
            .to_string()
            .contains("make device `nic0` with 2 ports"));
        assert!(taken.to_string().ends_with(": why)"), "{taken}");
        assert_eq!(error(Errno::EPERM, Some(20)).id(), "not-permitted");
        assert_eq!(error(Errno::EPERM, None).id(), "capabilities");
    }
}
