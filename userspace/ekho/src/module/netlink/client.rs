// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to the family, and its answers as records.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::mem;
use std::path::Path;

use nix::errno::Errno;
use nix::net::if_::if_indextoname;

use super::{parse, uapi};
use crate::contract::rule::Rule;
use crate::contract::MODULE;
use crate::error::{Error, Result};
use crate::kernel::netlink::generic::{self, Family, GENLMSGHDR};
use crate::kernel::netlink::{self, device, Attributes, Connection, Request};
use crate::kernel::netns;
use crate::module::state::{
    name_netns, Declared, Device, Exit, Filter, Firmware, Flow, OnDevice, Refusal, State, Version,
};
use crate::privilege::Capability;

/// How often a dump is begun again that something changed meanwhile.
const TRIES: usize = 10;

/// A kind of request: its command, and what is being done with it, in words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) command: u8,
    /// As in "can't ask the kernel to …".
    pub(super) action: &'static str,
    /// As in "… needs CAP_NET_ADMIN".
    pub(super) doing: &'static str,
    /// As in "… changed".
    what: &'static str,
}

pub(super) const fn ask(
    command: u8,
    action: &'static str,
    doing: &'static str,
    what: &'static str,
) -> Ask {
    Ask {
        command,
        action,
        doing,
        what,
    }
}

const MODULE_GET: Ask = ask(
    uapi::EKHO_CMD_MODULE_GET,
    "tell what the module is",
    "asking for the module",
    "the module",
);
const DEVICES: Ask = ask(
    uapi::EKHO_CMD_DEVICE_GET,
    "list devices",
    "listing devices",
    "the devices",
);
const FIRMWARE: Ask = ask(
    uapi::EKHO_CMD_FIRMWARE_GET,
    "list firmware",
    "listing firmware",
    "the firmware",
);
const CAPABILITIES: Ask = ask(
    uapi::EKHO_CMD_CAPABILITY_GET,
    "list what devices can do",
    "listing what devices can do",
    "what devices can do",
);
const FLOWS: Ask = ask(
    uapi::EKHO_CMD_FLOW_GET,
    "list flows",
    "listing flows",
    "the flows",
);
const REFUSALS: Ask = ask(
    uapi::EKHO_CMD_REFUSAL_GET,
    "list refusals",
    "listing refusals",
    "the refusals",
);
const EXITS: Ask = ask(
    uapi::EKHO_CMD_EXIT_GET,
    "list firmware that was stopped",
    "listing firmware that was stopped",
    "the firmware that was stopped",
);

/// Which objects a dump is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of all network namespaces, if this process may see them; else of its own.
    All,
    /// Of this network namespace.
    Here,
    /// Of the device with this index in this network namespace.
    Device(u32),
    /// None: there is no such device.
    Nothing,
}

impl Scope {
    pub(super) fn of(filter: &Filter) -> Result<Self> {
        match (filter.netns, &filter.dev) {
            (Some(netns), dev) if netns == netns::current()? => match dev {
                None => Ok(Self::Here),
                Some(dev) => match device::ifindex(dev) {
                    Ok(ifindex) => Ok(Self::Device(ifindex)),
                    Err(Error::NoDevice { .. } | Error::BadDeviceName { .. }) => Ok(Self::Nothing),
                    Err(error) => Err(error),
                },
            },
            _ => Ok(Self::All),
        }
    }
}

/// What came of a request that wasn't carried out.
pub(super) enum Failure {
    /// The kernel or the module refused it.
    Refused(netlink::Refusal),
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Why the family isn't there.
pub(super) fn no_family() -> Error {
    match Path::new("/sys/module").join(MODULE).exists() {
        true => Error::NoFamily,
        false => Error::ModuleNotLoaded,
    }
}

pub(super) fn find_family(connection: &mut Connection, action: &str) -> Result<Family> {
    let io = |source| Error::io(format!("can't ask the kernel to {action}"))(source);
    match Family::find(connection, MODULE).map_err(io)? {
        Ok(family) => Ok(family),
        Err(refusal) if refusal.errno == Errno::ENOENT => Err(no_family()),
        Err(refusal) => Err(io(refusal.into())),
    }
}

impl Ask {
    pub(super) fn io(self) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(format!("can't ask the kernel to {}", self.action))
    }

    /// What a refusal means, if it has no meaning of its own.
    pub(super) fn refused(self, refusal: netlink::Refusal) -> Error {
        match refusal.errno {
            // The attribute that is wrong tells this from an object that isn't there.
            Errno::ENOENT if refusal.offset.is_none() => no_family(),
            Errno::EPERM => Error::Capabilities {
                action: self.doing,
                missing: vec![Capability::NetAdmin],
            },
            errno => Error::Netlink {
                action: format!("the request to {}", self.action),
                source: errno.into(),
                message: refusal.words(),
            },
        }
    }

    /// Sends one request, and reads all answers. Also returns whether something has changed
    /// meanwhile.
    pub(super) fn send<T>(
        self,
        connection: &mut Connection,
        request: Request,
        parse: impl Fn(Attributes<'_>) -> Result<T, String>,
    ) -> Result<(Vec<T>, bool), Failure> {
        let (mut records, mut malformed) = (Vec::new(), None);
        let result = connection
            .exchange(&request.finish(), |_, payload| {
                let attributes = Attributes(payload.get(GENLMSGHDR..).unwrap_or(&[]));
                match parse(attributes) {
                    Ok(record) => records.push(record),
                    Err(why) => malformed = Some(why),
                }
            })
            .map_err(self.io())?;
        if let Err(refusal) = result {
            return Err(Failure::Refused(refusal));
        }
        match malformed {
            Some(why) => Err(Error::Answer {
                action: self.action,
                why,
            }
            .into()),
            None => Ok((records, connection.was_interrupted())),
        }
    }

    /// Reads all objects that are in scope, as of one moment.
    fn dump_from<T>(
        self,
        connection: &mut Connection,
        scope: Scope,
        parse: impl Fn(Attributes<'_>) -> Result<T, String> + Copy,
    ) -> Result<Vec<T>, Failure> {
        let family = find_family(connection, self.action)?;
        for _ in 0..TRIES {
            let mut request = family.dump(self.command, uapi::EKHO_FAMILY_VERSION);
            match scope {
                Scope::All => {
                    request.put(uapi::EKHO_A_DEVICE_ALL_NETNS, &[]);
                }
                Scope::Device(ifindex) => {
                    request.put_u32(uapi::EKHO_A_DEVICE_IFINDEX, ifindex);
                }
                Scope::Here | Scope::Nothing => {}
            }
            let (records, interrupted) = self.send(connection, request, parse)?;
            if !interrupted {
                return Ok(records);
            }
        }
        Err(Error::Interrupted {
            what: self.what,
            tries: TRIES,
        }
        .into())
    }

    pub(super) fn dump<T>(
        self,
        scope: Scope,
        parse: impl Fn(Attributes<'_>) -> Result<T, String> + Copy,
    ) -> Result<Vec<T>> {
        if scope == Scope::Nothing {
            return Ok(Vec::new());
        }
        if scope == Scope::All {
            // Where that isn't permitted, what is in this namespace is all there is to see.
            if let Ok(mut connection) = generic::connect_in_first_netns() {
                match self.dump_from(&mut connection, Scope::All, parse) {
                    Ok(records) => return Ok(records),
                    Err(Failure::Refused(refusal)) if refusal.errno == Errno::EPERM => {}
                    Err(Failure::Refused(refusal)) => return Err(self.refused(refusal)),
                    Err(Failure::Error(error)) => return Err(error),
                }
            }
            return self.dump(Scope::Here, parse);
        }
        let mut connection = generic::connect().map_err(self.io())?;
        match self.dump_from(&mut connection, scope, parse) {
            Ok(records) => Ok(records),
            // The module serves no device with this index.
            Err(Failure::Refused(refusal)) if refusal.errno == Errno::ENODEV => Ok(Vec::new()),
            Err(Failure::Refused(refusal)) => Err(self.refused(refusal)),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    /// Records that a filter selects.
    fn records<T: OnDevice>(
        self,
        filter: &Filter,
        parse: impl Fn(Attributes<'_>) -> Result<T, String> + Copy,
    ) -> Result<Vec<T>> {
        let scope = Scope::of(filter)?;
        Ok(select(filter, scope, self.dump(scope, parse)?))
    }
}

/// The records that a filter selects, out of those in scope.
fn select<T: OnDevice>(filter: &Filter, scope: Scope, mut records: Vec<T>) -> Vec<T> {
    // A device that was asked for by its index may have another name by now, or have been meant by
    // an alternative one.
    if scope == Scope::All {
        records.retain(|record| filter.matches(record));
    }
    name_netns(&mut records);
    records
}

/// Whether the module tells this process of all network namespaces.
pub(super) fn may_see_all_netns() -> Result<bool> {
    let Ok(mut connection) = generic::connect_in_first_netns() else {
        return Ok(false);
    };
    match FIRMWARE.dump_from(&mut connection, Scope::All, |_| Ok(())) {
        Ok(_) => Ok(true),
        Err(Failure::Refused(refusal)) if refusal.errno == Errno::EPERM => Ok(false),
        Err(Failure::Refused(refusal)) => Err(FIRMWARE.refused(refusal)),
        Err(Failure::Error(error)) => Err(error),
    }
}

/// Gives devices that actions name by their index their names: those of this network namespace,
/// and in others those that the module serves.
fn name_devices(flows: &mut [Flow]) {
    let here = netns::current().ok();
    let served = OnceCell::new();
    let names = RefCell::new(HashMap::new());
    let look_up = |netns: u64, ifindex: u32| {
        if here == Some(netns) {
            return if_indextoname(ifindex).ok()?.into_string().ok();
        }
        let served: &Vec<Device> =
            served.get_or_init(|| DEVICES.dump(Scope::All, parse::device).unwrap_or_default());
        let found = served
            .iter()
            .find(|device| (device.netns, device.ifindex) == (netns, ifindex));
        found.map(|device| device.dev.clone())
    };
    for flow in flows {
        let netns = flow.netns;
        let mut rule = Rule {
            actions: mem::take(&mut flow.actions),
            ..Rule::default()
        };
        rule.name_devices(&|ifindex| {
            let mut names = names.borrow_mut();
            let name: &mut Option<String> = names
                .entry((netns, ifindex))
                .or_insert_with(|| look_up(netns, ifindex));
            name.clone()
        });
        flow.actions = rule.actions;
    }
}

/// Firmware, unless it has no link: then it is just being attached, or detached.
fn attached(attributes: Attributes<'_>) -> Result<Option<Firmware>, String> {
    match attributes.has(uapi::EKHO_A_FIRMWARE_LINK_ID) {
        true => parse::firmware(attributes).map(Some),
        false => Ok(None),
    }
}

/// The client of the family.
#[derive(Clone, Copy, Debug, Default)]
pub struct Netlink;

impl Netlink {
    /// What the module is.
    pub(super) fn module<T>(
        self,
        parse: impl Fn(Attributes<'_>) -> Result<T, String>,
    ) -> Result<T> {
        let mut connection = generic::connect().map_err(MODULE_GET.io())?;
        let family = find_family(&mut connection, MODULE_GET.action)?;
        let request = family.request(MODULE_GET.command, uapi::EKHO_FAMILY_VERSION);
        match MODULE_GET.send(&mut connection, request, parse) {
            Ok((mut records, _)) => records.pop().ok_or(Error::Answer {
                action: MODULE_GET.action,
                why: "it is empty".into(),
            }),
            Err(Failure::Refused(refusal)) => Err(MODULE_GET.refused(refusal)),
            Err(Failure::Error(error)) => Err(error),
        }
    }
}

impl State for Netlink {
    fn version(&self) -> Result<Version> {
        self.module(parse::version)
    }

    fn devices(&self, filter: &Filter) -> Result<Vec<Device>> {
        DEVICES.records(filter, parse::device)
    }

    fn firmware(&self, filter: &Filter) -> Result<Vec<Firmware>> {
        let scope = Scope::of(filter)?;
        let records = FIRMWARE.dump(scope, attached)?;
        Ok(select(
            filter,
            scope,
            records.into_iter().flatten().collect(),
        ))
    }

    fn flows(&self, filter: &Filter) -> Result<Vec<Flow>> {
        let mut flows = FLOWS.records(filter, parse::flow)?;
        name_devices(&mut flows);
        Ok(flows)
    }

    fn capabilities(&self, filter: &Filter) -> Result<Vec<Declared>> {
        CAPABILITIES.dump(Scope::of(filter)?, parse::declared)
    }

    fn refusals(&self, filter: &Filter) -> Result<Vec<Refusal>> {
        REFUSALS.dump(Scope::of(filter)?, parse::refusal)
    }

    fn exits(&self, filter: &Filter) -> Result<Vec<Exit>> {
        // They have the name that the device had, which may be gone.
        let whole = Filter {
            dev: None,
            ..filter.clone()
        };
        let mut exits = EXITS.records(&whole, parse::exit)?;
        exits.retain(|exit| filter.matches(exit));
        exits.sort_by_key(|exit| exit.time_ns);
        Ok(exits)
    }

    /// Asks for one object, so that nothing that changes elsewhere matters.
    fn attached(&self, dev: &str) -> Result<Option<Firmware>> {
        let Scope::Device(ifindex) = Scope::of(&Filter::device(dev)?)? else {
            return Ok(None);
        };
        let mut connection = generic::connect().map_err(FIRMWARE.io())?;
        let family = find_family(&mut connection, FIRMWARE.action)?;
        let mut request = family.request(FIRMWARE.command, uapi::EKHO_FAMILY_VERSION);
        request.put_u32(uapi::EKHO_A_FIRMWARE_IFINDEX, ifindex);
        match FIRMWARE.send(&mut connection, request, attached) {
            Ok((records, _)) => {
                let mut records: Vec<_> = records.into_iter().flatten().collect();
                name_netns(&mut records);
                Ok(records.pop())
            }
            // No firmware, or no device that the module serves.
            Err(Failure::Refused(refusal))
                if refusal.errno == Errno::ENODEV
                    || refusal.errno == Errno::ENOENT && refusal.offset.is_some() =>
            {
                Ok(None)
            }
            Err(Failure::Refused(refusal)) => Err(FIRMWARE.refused(refusal)),
            Err(Failure::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_follows_from_what_is_wanted() {
        let scope = |netns, dev: Option<&str>| {
            Scope::of(&Filter {
                netns,
                dev: dev.map(str::to_owned),
            })
            .unwrap()
        };
        let here = netns::current().unwrap();
        assert_eq!(scope(None, None), Scope::All);
        assert_eq!(scope(None, Some("lo")), Scope::All);
        assert_eq!(scope(Some(here), None), Scope::Here);
        assert_eq!(scope(Some(here), Some("lo")), Scope::Device(1));
        assert_eq!(scope(Some(here), Some("no-such-dev")), Scope::Nothing);
        assert_eq!(scope(Some(here), Some("a/b")), Scope::Nothing);
        assert_eq!(scope(Some(here + 1), Some("lo")), Scope::All);
    }

    #[test]
    fn refusals_have_the_meaning_that_they_have_for_a_user() {
        let refused = |errno, message: &str, offset| {
            FLOWS.refused(netlink::Refusal {
                errno,
                message: message.into(),
                offset,
            })
        };
        let error = refused(Errno::EPERM, "", None);
        assert_eq!(error.id(), "capabilities");
        assert!(
            error
                .to_string()
                .starts_with("listing flows needs CAP_NET_ADMIN"),
            "{error}"
        );
        let error = refused(Errno::EINVAL, "no such thing", Some(20));
        assert_eq!(
            error.to_string(),
            "the request to list flows failed (EINVAL: Invalid argument: no such thing)"
        );
        assert_eq!(refused(Errno::ENOENT, "", Some(20)).id(), "netlink");
        assert_ne!(refused(Errno::ENOENT, "", None).id(), "netlink");
    }
}
