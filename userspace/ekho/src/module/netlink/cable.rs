// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cables, which join two network interfaces: listed, made, removed.

use std::fmt;
use std::fs::File;
use std::mem;
use std::os::fd::AsRawFd as _;
use std::str::FromStr;

use nix::errno::Errno;
use serde::Serialize;

use super::client::{ask, find_family, Ask, Failure, Netlink, Scope};
use super::parse::{ident, need, text};
use super::uapi;
use crate::error::{Error, Result};
use crate::kernel::netlink::{device, generic, Attributes, Refusal, Request};
use crate::kernel::netns;
use crate::module::state::{Filter, OnDevice};

/// A cable, as seen from one of its ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cable {
    /// Interface index of this end.
    pub ifindex: u32,
    /// Current name of this end.
    pub dev: String,
    /// Inode number of its network namespace.
    pub netns: u64,
    /// Name of the namespace, when `ip netns` gave it one.
    pub netns_name: Option<String>,
    /// Interface index of the other end, in its network namespace.
    pub peer_ifindex: u32,
    /// Current name of the other end; `null` if it is in a namespace that this process may not
    /// look into.
    pub peer_dev: Option<String>,
    /// Inode number of the network namespace of the other end.
    pub peer_netns: u64,
    /// Name of that namespace, when `ip netns` gave it one.
    pub peer_netns_name: Option<String>,
    /// Whether frames can pass, as both ends are up.
    pub carrier: bool,
    /// How many frames that this end has sent the cable has lost.
    pub lost: u64,
    /// The same of the other end.
    pub peer_lost: u64,
    /// What it does to frames.
    #[serde(flatten)]
    pub impairment: Impairment,
}

/// What a cable does to frames, in each direction by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Impairment {
    /// Microseconds by which it delays them.
    pub delay_us: u32,
    /// Microseconds by which the delay varies.
    pub jitter_us: u32,
    /// Parts per million that are lost.
    pub loss_ppm: u32,
    /// Parts per million that aren't delayed, and so overtake others.
    pub reorder_ppm: u32,
    /// Bits per second that it carries; `null` if there is no limit.
    pub rate_bps: Option<u64>,
    /// Frames that can be under way; `None` to leave it to the module.
    pub limit: Option<u32>,
}

/// How many frames can be under way if nothing is said about it.
pub const DEFAULT_LIMIT: u32 = uapi::EKHO_CABLE_LIMIT;

/// All frames, in parts per million.
pub const ALL_PPM: u32 = uapi::EKHO_PPM_MAX;

/// An end of a cable: a network device, in this network namespace or in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Name of the device.
    pub dev: String,
    /// Its network namespace, as [`netns::open`] takes it; none for that of this process.
    pub netns: Option<String>,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.netns {
            Some(netns) => write!(f, "{}@{netns}", self.dev),
            None => f.write_str(&self.dev),
        }
    }
}

impl FromStr for End {
    type Err = String;

    /// Reads `DEV` or `DEV@NETNS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (dev, netns) = match text.split_once('@') {
            Some((dev, netns)) => (dev, Some(netns)),
            None => (text, None),
        };
        if dev.is_empty() {
            return Err("it names no device".into());
        }
        if netns == Some("") {
            return Err("it names no network namespace after `@`".into());
        }
        Ok(Self {
            dev: dev.to_owned(),
            netns: netns.map(str::to_owned),
        })
    }
}

impl End {
    /// Its interface index, and its network namespace if that isn't the one of this process.
    fn look_up(&self) -> Result<(u32, Option<File>)> {
        let Some(name) = &self.netns else {
            return Ok((device::ifindex(&self.dev)?, None));
        };
        let netns = netns::open(name)?;
        let ifindex = netns::within(&netns, name, || device::ifindex(&self.dev)).map_err(
            |error| match error {
                Error::NoDevice { dev, .. } => Error::NoDevice {
                    dev,
                    netns: Some(name.clone()),
                },
                error => error,
            },
        )?;
        Ok((ifindex, Some(netns)))
    }
}

impl OnDevice for Cable {
    fn dev(&self) -> &str {
        &self.dev
    }
    fn netns(&self) -> u64 {
        self.netns
    }
    fn netns_name_mut(&mut self) -> &mut Option<String> {
        &mut self.netns_name
    }
}

impl Cable {
    /// The same cable, as seen from its other end.
    fn turned(mut self) -> Self {
        let dev = self.peer_dev.take();
        // What has no name is shown as `ip link` does.
        let dev = dev.unwrap_or_else(|| format!("if{}", self.peer_ifindex));
        self.peer_dev = Some(mem::replace(&mut self.dev, dev));
        mem::swap(&mut self.ifindex, &mut self.peer_ifindex);
        mem::swap(&mut self.netns, &mut self.peer_netns);
        mem::swap(&mut self.netns_name, &mut self.peer_netns_name);
        mem::swap(&mut self.lost, &mut self.peer_lost);
        self
    }

    /// The cable as seen from an end that is wanted, from this one if both are; none if neither is.
    fn seen_from(self, is_wanted: impl Fn(u64, u32) -> bool) -> Option<Self> {
        if is_wanted(self.netns, self.ifindex) {
            return Some(self);
        }
        is_wanted(self.peer_netns, self.peer_ifindex).then(|| self.turned())
    }
}

const CABLES: Ask = ask(
    uapi::EKHO_CMD_CABLE_GET,
    "list cables",
    "listing cables",
    "the cables",
);
const NEW: Ask = ask(
    uapi::EKHO_CMD_CABLE_NEW,
    "make a cable",
    "making a cable",
    "the cables",
);
const DEL: Ask = ask(
    uapi::EKHO_CMD_CABLE_DEL,
    "remove a cable",
    "removing a cable",
    "the cables",
);

/// A reply to `cable-get`.
pub fn parse(attributes: Attributes<'_>) -> Result<Cable, String> {
    let (ifindex, dev, netns) = ident(attributes)?;
    let short = |kind| attributes.u32(kind).unwrap_or(0);
    let number = |kind| attributes.uint(kind).unwrap_or(0);
    Ok(Cable {
        ifindex,
        dev,
        netns,
        netns_name: None,
        peer_ifindex: need(
            attributes.u32(uapi::EKHO_A_CABLE_PEER_IFINDEX),
            "peer-ifindex",
        )?,
        peer_dev: text(attributes, uapi::EKHO_A_CABLE_PEER_IFNAME),
        peer_netns: need(attributes.u32(uapi::EKHO_A_CABLE_PEER_NETNS), "peer-netns")?.into(),
        peer_netns_name: None,
        carrier: attributes.has(uapi::EKHO_A_CABLE_CARRIER),
        lost: number(uapi::EKHO_A_CABLE_LOST),
        peer_lost: number(uapi::EKHO_A_CABLE_PEER_LOST),
        impairment: Impairment {
            delay_us: short(uapi::EKHO_A_CABLE_DELAY_US),
            jitter_us: short(uapi::EKHO_A_CABLE_JITTER_US),
            loss_ppm: short(uapi::EKHO_A_CABLE_LOSS),
            reorder_ppm: short(uapi::EKHO_A_CABLE_REORDER),
            rate_bps: attributes.uint(uapi::EKHO_A_CABLE_RATE),
            limit: attributes.u32(uapi::EKHO_A_CABLE_LIMIT),
        },
    })
}

/// Adds to a request what a cable is to do.
fn put(request: &mut Request, impairment: &Impairment) {
    for (kind, number) in [
        (uapi::EKHO_A_CABLE_DELAY_US, impairment.delay_us),
        (uapi::EKHO_A_CABLE_JITTER_US, impairment.jitter_us),
        (uapi::EKHO_A_CABLE_LOSS, impairment.loss_ppm),
        (uapi::EKHO_A_CABLE_REORDER, impairment.reorder_ppm),
    ] {
        if number != 0 {
            request.put_u32(kind, number);
        }
    }
    if let Some(rate) = impairment.rate_bps {
        request.put(uapi::EKHO_A_CABLE_RATE, &rate.to_ne_bytes());
    }
    if let Some(limit) = impairment.limit {
        request.put_u32(uapi::EKHO_A_CABLE_LIMIT, limit);
    }
}

/// Adds an end to a request. The file must stay open until the request was sent.
fn put_end(request: &mut Request, (ifindex, fd): (u16, u16), end: &(u32, Option<File>)) {
    request.put_u32(ifindex, end.0);
    if let Some(netns) = &end.1 {
        request.put_u32(fd, netns.as_raw_fd() as u32);
    }
}

/// What it means that the module refuses to do something to a cable.
fn refused(ask: Ask, action: String, refusal: Refusal) -> Error {
    match refusal.errno {
        // Of a namespace that isn't this one.
        Errno::EPERM if refusal.offset.is_some() => Error::NotPermitted {
            source: refusal.errno.into(),
            action: match refusal.words() {
                Some(words) => format!("{action}: {words}"),
                None => action,
            },
        },
        Errno::EPERM => ask.refused(refusal),
        Errno::ENOENT if refusal.offset.is_none() => ask.refused(refusal),
        errno => Error::Cable {
            action,
            source: errno.into(),
            message: refusal.words(),
        },
    }
}

/// Sends a request, and waits for it to be carried out.
fn change(
    ask: Ask,
    fill: impl FnOnce(&mut Request),
    refused: impl FnOnce(Refusal) -> Error,
) -> Result<()> {
    let mut connection = generic::connect().map_err(ask.io())?;
    let family = find_family(&mut connection, ask.action)?;
    let mut request = family.request(ask.command, uapi::EKHO_FAMILY_VERSION);
    fill(&mut request);
    match ask.send(&mut connection, request, |_| Ok(())) {
        Ok(_) => Ok(()),
        Err(Failure::Error(error)) => Err(error),
        Err(Failure::Refused(refusal)) => Err(refused(refusal)),
    }
}

impl Netlink {
    /// Cables with an end that a filter selects, as seen from that end; of all others from the
    /// one in this network namespace, if there is one. `filter.dev` is a device of this network
    /// namespace.
    pub fn cables(&self, filter: &Filter) -> Result<Vec<Cable>> {
        let here = netns::current()?;
        let only = filter.dev.as_deref().map(device::ifindex).transpose()?;
        // Also where those of one namespace are wanted: this way the other ends have their names.
        let cables = CABLES.dump(Scope::All, parse)?;
        let mut cables = select(
            cables,
            filter.netns,
            only.map(|ifindex| (here, ifindex)),
            here,
        );
        if !cables.is_empty() {
            let names = netns::names();
            for cable in &mut cables {
                cable.netns_name = names.get(&cable.netns).cloned();
                cable.peer_netns_name = names.get(&cable.peer_netns).cloned();
            }
        }
        Ok(cables)
    }

    /// Joins two devices, one of which at least is of kind `ekho`. Needs `CAP_NET_ADMIN` in the
    /// network namespaces of both, and `CAP_SYS_ADMIN` to look into another one.
    pub fn connect(&self, a: &End, b: &End, impairment: &Impairment) -> Result<()> {
        let (near, far) = (a.look_up()?, b.look_up()?);
        change(
            NEW,
            |request| {
                put_end(
                    request,
                    (uapi::EKHO_A_CABLE_IFINDEX, uapi::EKHO_A_CABLE_NETNS_FD),
                    &near,
                );
                put_end(
                    request,
                    (
                        uapi::EKHO_A_CABLE_PEER_IFINDEX,
                        uapi::EKHO_A_CABLE_PEER_NETNS_FD,
                    ),
                    &far,
                );
                put(request, impairment);
            },
            |refusal| refused(NEW, format!("connect `{a}` to `{b}`"), refusal),
        )
    }

    /// Removes the cable of a device, which may be either end. Needs what it takes to make it.
    pub fn disconnect(&self, end: &End) -> Result<()> {
        let near = end.look_up()?;
        change(
            DEL,
            |request| {
                put_end(
                    request,
                    (uapi::EKHO_A_CABLE_IFINDEX, uapi::EKHO_A_CABLE_NETNS_FD),
                    &near,
                );
            },
            |refusal| match refusal.errno {
                Errno::ENOENT if refusal.offset.is_some() => Error::NoCable {
                    dev: end.to_string(),
                },
                _ => refused(DEL, format!("disconnect `{end}`"), refusal),
            },
        )
    }
}

/// Cables with an end in this network namespace, or with this end if one is given, seen from there;
/// of all others from the end that is here, if one is.
fn select(
    cables: Vec<Cable>,
    netns: Option<u64>,
    only: Option<(u64, u32)>,
    here: u64,
) -> Vec<Cable> {
    cables
        .into_iter()
        .filter_map(|cable| match (only, netns) {
            (Some(only), _) => cable.seen_from(|netns, ifindex| (netns, ifindex) == only),
            (None, Some(wanted)) => cable.seen_from(|netns, _| netns == wanted),
            (None, None) => Some(match cable.netns != here && cable.peer_netns == here {
                true => cable.turned(),
                false => cable,
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cable(near: (u64, u32, &str), far: (u64, u32, Option<&str>)) -> Cable {
        Cable {
            netns: near.0,
            ifindex: near.1,
            dev: near.2.into(),
            peer_netns: far.0,
            peer_ifindex: far.1,
            peer_dev: far.2.map(str::to_owned),
            lost: 1,
            peer_lost: 2,
            ..Cable::default()
        }
    }

    #[test]
    fn an_end_is_a_device_here_or_in_a_namespace() {
        let end = |text: &str| text.parse::<End>();
        assert_eq!(
            end("ek0"),
            Ok(End {
                dev: "ek0".into(),
                netns: None
            })
        );
        let path = end("ek0@/proc/1/ns/net").unwrap();
        assert_eq!(path.netns.as_deref(), Some("/proc/1/ns/net"));
        for good in ["ek0", "ek0@blue", "ek0@/run/a@b"] {
            assert_eq!(end(good).unwrap().to_string(), good);
        }
        for bad in ["", "@blue", "ek0@", "@"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_that_is_not_there_is_told_with_its_namespace() {
        let end = |text: &str| text.parse::<End>().unwrap().look_up().unwrap_err();
        assert_eq!(end("no-such-dev").id(), "no-device");
        assert_eq!(end("lo@no-such-namespace").id(), "no-netns");
        let error = end("no-such-dev@/proc/thread-self/ns/net");
        match error.id() {
            "no-device" => assert!(error.to_string().ends_with("`/proc/thread-self/ns/net`")),
            // Nobody looks into a namespace without privileges.
            id => assert!(["capabilities", "not-permitted"].contains(&id), "{id}"),
        }
    }

    #[test]
    fn a_cable_is_seen_from_the_end_that_is_wanted() {
        let all = vec![
            cable((1, 3, "ek0"), (1, 4, Some("ek1"))),
            cable((2, 3, "far0"), (1, 5, Some("ek2"))),
            cable((2, 8, "far1"), (3, 9, Some("far2"))),
        ];
        let names = |netns, only| {
            select(all.clone(), netns, only, 1)
                .into_iter()
                .map(|cable| (cable.dev, cable.peer_dev.unwrap()))
                .collect::<Vec<_>>()
        };
        let pair = |near: &str, far: &str| (near.to_owned(), far.to_owned());
        let here = [pair("ek0", "ek1"), pair("ek2", "far0")];
        assert_eq!(names(Some(1), None), here);
        assert_eq!(
            names(None, None),
            [here.to_vec(), vec![pair("far1", "far2")]].concat()
        );
        assert_eq!(names(Some(1), Some((1, 4))), [pair("ek1", "ek0")]);
        assert_eq!(names(Some(1), Some((1, 9))), []);
        assert_eq!(
            names(Some(2), None),
            [pair("far0", "ek2"), pair("far1", "far2")]
        );
    }

    #[test]
    fn all_that_belongs_to_an_end_goes_with_it() {
        let turned = cable((1, 3, "ek0"), (2, 4, None)).turned();
        assert_eq!(
            turned,
            cable((2, 4, "if4"), (1, 3, Some("ek0"))).swap_figures()
        );
        assert_eq!(turned.lost, 2);
    }

    impl Cable {
        fn swap_figures(mut self) -> Self {
            mem::swap(&mut self.lost, &mut self.peer_lost);
            self
        }
    }

    #[test]
    fn refusals_have_the_meaning_that_they_have_for_a_user() {
        let error = |errno, message: &str, offset| {
            let refusal = Refusal {
                errno,
                message: message.into(),
                offset,
            };
            refused(NEW, "connect `a` to `b@blue`".into(), refusal)
        };
        assert_eq!(
            error(Errno::EBUSY, "a has a cable", Some(20)).to_string(),
            "the module refuses to connect `a` to `b@blue` (EBUSY: Device or resource busy: a has a cable)"
        );
        let lacking = error(Errno::EPERM, "", None);
        assert!(
            lacking
                .to_string()
                .starts_with("making a cable needs CAP_NET_ADMIN"),
            "{lacking}"
        );
        let elsewhere = error(Errno::EPERM, "needs CAP_NET_ADMIN there", Some(20));
        assert_eq!(elsewhere.id(), "not-permitted");
        assert!(
            elsewhere
                .to_string()
                .contains("`b@blue`: needs CAP_NET_ADMIN there"),
            "{elsewhere}"
        );
        assert_ne!(error(Errno::ENOENT, "", None).id(), "cable");
    }

    #[test]
    fn a_request_has_only_what_was_asked_for() {
        let attributes = |impairment: &Impairment| {
            let mut request = Request::new(0, 0, &[]);
            put(&mut request, impairment);
            request
                .finish()
                .split_off(crate::kernel::netlink::message::HEADER)
        };
        assert!(attributes(&Impairment::default()).is_empty());
        let data = attributes(&Impairment {
            delay_us: 10_000,
            loss_ppm: 10_000,
            rate_bps: Some(100_000_000),
            limit: Some(7),
            ..Impairment::default()
        });
        let attributes = Attributes(&data);
        assert_eq!(attributes.iter().count(), 4);
        assert_eq!(attributes.u32(uapi::EKHO_A_CABLE_DELAY_US), Some(10_000));
        assert_eq!(attributes.uint(uapi::EKHO_A_CABLE_RATE), Some(100_000_000));
        assert_eq!(attributes.u32(uapi::EKHO_A_CABLE_LIMIT), Some(7));
    }
}
