// SPDX-License-Identifier: MIT OR Apache-2.0

//! Faults that tests inject into devices: listed, set, cleared.

use nix::errno::Errno;
use serde::Serialize;

use super::client::{ask, find_family, Ask, Failure, Netlink, Scope};
use super::parse::{self, ident, text};
use super::uapi;
use crate::error::{errno_name, Error, Result};
use crate::kernel::netlink::{device, generic, Attributes, Request};
use crate::module::state::{name_netns, Filter, OnDevice};
use crate::privilege::Capability;

/// A fault that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Interface index of the device; `null` for devices that are yet to come.
    pub ifindex: Option<u32>,
    /// Name of the device; `null` as above.
    pub dev: Option<String>,
    /// Inode number of the device's network namespace; `null` as above.
    pub netns: Option<u64>,
    /// Name of the namespace, when `ip netns` gave it one.
    pub netns_name: Option<String>,
    /// Whether it is for devices of kind `ekho` that are yet to come.
    pub new_devices: bool,
    /// Calls seen since it was set; `null` where calls aren't what it is about.
    pub calls: Option<u64>,
    /// What happens.
    #[serde(flatten)]
    pub setting: Setting,
}

/// What a fault does: one of a point with what happens at it, `nospc_after`, and `stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Call that it happens to, by its name.
    pub point: Option<String>,
    /// Which call, counted from 1; `null` for each.
    pub nth: Option<u64>,
    /// Number of the error with which the call fails.
    pub errno: Option<i32>,
    /// Microseconds by which the call takes longer.
    pub delay_us: Option<u32>,
    /// Microseconds for which the CPU stops while the op runs.
    pub stall_us: Option<u32>,
    /// Whether the op is entered again while it runs.
    pub recurse: bool,
    /// Whether an interrupt enters the op while it runs.
    pub interrupt: bool,
    /// How many places the device's table has.
    pub nospc_after: Option<u32>,
    /// What happens to statistics: `drop` or `freeze`.
    pub stats: Option<String>,
}

/// Devices whose faults are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A device of this network namespace, by its name.
    Device(String),
    /// Devices of kind `ekho` that are yet to come, in any network namespace.
    New,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(dev) => write!(f, "device `{dev}`"),
            Self::New => f.write_str("new devices"),
        }
    }
}

impl OnDevice for Fault {
    fn dev(&self) -> &str {
        self.dev.as_deref().unwrap_or_default()
    }
    fn netns(&self) -> u64 {
        self.netns.unwrap_or(0)
    }
    fn netns_name_mut(&mut self) -> &mut Option<String> {
        &mut self.netns_name
    }
}

const FAULTS: Ask = ask(
    uapi::EKHO_CMD_FAULT_GET,
    "list faults",
    "listing faults",
    "the faults",
);
const SET: Ask = ask(
    uapi::EKHO_CMD_FAULT_SET,
    "set a fault",
    "setting this fault",
    "the faults",
);
const CLEAR: Ask = ask(
    uapi::EKHO_CMD_FAULT_CLEAR,
    "clear faults",
    "clearing faults",
    "the faults",
);

/// A reply to `fault-get`.
pub fn parse(attributes: Attributes<'_>) -> Result<Fault, String> {
    let number = |kind| attributes.u32(kind);
    let mut fault = Fault {
        new_devices: attributes.has(uapi::EKHO_A_FAULT_NEW_DEVICES),
        calls: attributes.uint(uapi::EKHO_A_FAULT_CALLS),
        setting: Setting {
            point: text(attributes, uapi::EKHO_A_FAULT_POINT),
            nth: attributes.uint(uapi::EKHO_A_FAULT_NTH),
            errno: number(uapi::EKHO_A_FAULT_ERRNO)
                .map(|errno| i32::try_from(errno).map_err(|_| format!("its `errno` is {errno}")))
                .transpose()?,
            delay_us: number(uapi::EKHO_A_FAULT_DELAY_US),
            stall_us: number(uapi::EKHO_A_FAULT_STALL_US),
            recurse: attributes.has(uapi::EKHO_A_FAULT_RECURSE),
            interrupt: attributes.has(uapi::EKHO_A_FAULT_INTERRUPT),
            nospc_after: number(uapi::EKHO_A_FAULT_NOSPC_AFTER),
            stats: number(uapi::EKHO_A_FAULT_STATS).map(|stats| {
                match stats {
                    uapi::EKHO_FAULT_STATS_DROP => "drop",
                    uapi::EKHO_FAULT_STATS_FREEZE => "freeze",
                    _ => "unknown",
                }
                .to_owned()
            }),
        },
        ..Fault::default()
    };
    if !fault.new_devices {
        let (ifindex, dev, netns) = ident(attributes)?;
        (fault.ifindex, fault.dev, fault.netns) = (Some(ifindex), Some(dev), Some(netns));
    }
    Ok(fault)
}

/// The number of an errno, from its name (`ENOMEM`) or digits.
pub fn errno(text: &str) -> Option<i32> {
    const MAX: i32 = 4095;
    match text.parse() {
        Ok(number) => Some(number).filter(|number| (1..=MAX).contains(number)),
        Err(_) if text.starts_with('E') => (1..=MAX).find(|number| errno_name(*number) == text),
        Err(_) => None,
    }
}

/// Adds to a request what a fault does.
fn put(request: &mut Request, setting: &Setting) {
    if let Some(point) = &setting.point {
        request.put_text(uapi::EKHO_A_FAULT_POINT, point);
    }
    if let Some(nth) = setting.nth {
        request.put(uapi::EKHO_A_FAULT_NTH, &nth.to_ne_bytes());
    }
    for (kind, number) in [
        (
            uapi::EKHO_A_FAULT_ERRNO,
            setting.errno.map(|errno| errno as u32),
        ),
        (uapi::EKHO_A_FAULT_DELAY_US, setting.delay_us),
        (uapi::EKHO_A_FAULT_STALL_US, setting.stall_us),
        (uapi::EKHO_A_FAULT_NOSPC_AFTER, setting.nospc_after),
        (
            uapi::EKHO_A_FAULT_STATS,
            setting.stats.as_deref().map(|stats| match stats {
                "drop" => uapi::EKHO_FAULT_STATS_DROP,
                _ => uapi::EKHO_FAULT_STATS_FREEZE,
            }),
        ),
    ] {
        if let Some(number) = number {
            request.put_u32(kind, number);
        }
    }
    for (kind, is_set) in [
        (uapi::EKHO_A_FAULT_RECURSE, setting.recurse),
        (uapi::EKHO_A_FAULT_INTERRUPT, setting.interrupt),
    ] {
        if is_set {
            request.put(kind, &[]);
        }
    }
}

/// Sends a request about a target.
fn change(ask: Ask, target: &Target, fill: impl FnOnce(&mut Request)) -> Result<()> {
    let lacking = || Error::Capabilities {
        action: ask.doing,
        missing: vec![Capability::NetAdmin],
    };
    let (mut connection, ifindex) = match target {
        Target::Device(dev) => {
            let ifindex = device::ifindex(dev)?;
            (generic::connect().map_err(ask.io())?, Some(ifindex))
        }
        Target::New => (
            generic::connect_in_first_netns().map_err(|source| Error::NotPermitted {
                action: format!("{} of {target}", ask.action),
                source,
            })?,
            None,
        ),
    };
    let family = find_family(&mut connection, ask.action)?;
    let mut request = family.request(ask.command, uapi::EKHO_FAMILY_VERSION);
    match ifindex {
        Some(ifindex) => request.put_u32(uapi::EKHO_A_FAULT_IFINDEX, ifindex),
        None => request.put(uapi::EKHO_A_FAULT_NEW_DEVICES, &[]),
    };
    fill(&mut request);
    match ask.send(&mut connection, request, |_| Ok(())) {
        Ok(_) => Ok(()),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::Refused(refusal)) => Err(match (refusal.errno, target) {
            (Errno::EPERM, _) => lacking(),
            (Errno::ENODEV, Target::Device(dev)) => Error::OwnOffload { dev: dev.clone() },
            (Errno::ENOENT, _) if refusal.offset.is_none() => ask.refused(refusal),
            (errno, _) => Error::Fault {
                action: ask.action,
                target: target.to_string(),
                source: errno.into(),
                message: refusal.words(),
            },
        }),
    }
}

impl Netlink {
    /// Faults that are set. Those of devices yet to come are among them unless one device is
    /// wanted, if this process may see them.
    pub fn faults(&self, filter: &Filter) -> Result<Vec<Fault>> {
        let scope = Scope::of(filter)?;
        let mut faults = FAULTS.dump(scope, parse)?;
        if scope == Scope::All {
            faults.retain(|fault| {
                filter.matches(fault) || (fault.new_devices && filter.dev.is_none())
            });
        }
        name_netns(&mut faults);
        Ok(faults)
    }

    /// The names of the points that faults can be set for.
    pub fn fault_points(&self) -> Result<Vec<String>> {
        self.module(parse::fault_points)
    }

    /// Sets a fault, or changes it. What other faults have counted is kept. Needs
    /// `CAP_NET_ADMIN`.
    pub fn set_fault(&self, target: &Target, setting: &Setting) -> Result<()> {
        change(SET, target, |request| put(request, setting)).map_err(|error| {
            // Only where it matters: it takes another request.
            let points = match &setting.point {
                Some(_) if matches!(error, Error::Fault { .. }) => self.fault_points(),
                _ => return error,
            };
            match (points, &setting.point) {
                (Ok(points), Some(point)) if !points.contains(point) => Error::NoFaultPoint {
                    point: point.clone(),
                    points,
                },
                _ => error,
            }
        })
    }

    /// Clears all faults of a target. Needs `CAP_NET_ADMIN`.
    pub fn clear_faults(&self, target: &Target) -> Result<()> {
        change(CLEAR, target, |_| ())
    }
}
