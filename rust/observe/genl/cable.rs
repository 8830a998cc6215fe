// SPDX-License-Identifier: GPL-2.0-only

//! Cables.

#![deny(unsafe_code)]

use super::scope::{
    put_ident,
    Namespaces,
    EACH,
    IFINDEX,
    IFINDEX_RULE,
    ONE, //
};
use crate::{
    abstractions::net::{
        genetlink::{
            Attribute,
            Batch,
            Command,
            Do,
            Dump,
            Message,
            Permission,
            Policy,
            Request, //
        },
        namespace::{
            HeldNet,
            Net, //
        },
        net_device::{
            NetDevice,
            Rtnl,
            RtnlGuard, //
        },
    },
    contract::uapi,
    device::netdev,
    hardware::{
        cable::{
            self,
            Cable,
            End,
            Refusal,
            Side, //
        },
        line::Impairment,
    },
    lifecycle::events,
    offload::ident::Ident, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

const NETNS_FD: u32 = uapi::EKHO_A_CABLE_NETNS_FD;
const PEER_IFINDEX: u32 = uapi::EKHO_A_CABLE_PEER_IFINDEX;
const PEER_NETNS_FD: u32 = uapi::EKHO_A_CABLE_PEER_NETNS_FD;
const DELAY_US: u32 = uapi::EKHO_A_CABLE_DELAY_US;
const JITTER_US: u32 = uapi::EKHO_A_CABLE_JITTER_US;
const LOSS: u32 = uapi::EKHO_A_CABLE_LOSS;
const REORDER: u32 = uapi::EKHO_A_CABLE_REORDER;
const RATE: u32 = uapi::EKHO_A_CABLE_RATE;
const LIMIT: u32 = uapi::EKHO_A_CABLE_LIMIT;

/// A cable, as seen from one of its ends.
struct View<'a> {
    cable: &'a Cable,
    near: (Side, Ident),
    far: (Side, Ident),
}

impl<'a> View<'a> {
    /// From the end that is wanted, or from the first if both are; none if neither is.
    fn new(cable: &'a Cable, is_wanted: impl Fn(&Ident) -> bool) -> Option<Self> {
        let [a, b] = [Side::A, Side::B].map(|side| (side, Ident::of(cable.dev(side))));
        let (near, far) = match is_wanted(&a.1) {
            true => (a, b),
            false => (b, a),
        };
        is_wanted(&near.1).then_some(Self { cable, near, far })
    }

    /// Describes it, with the name of the far end where who asks may know it.
    fn put(&self, message: &mut Message<'_>, names_all: bool, rtnl: &Rtnl) -> Result {
        let ((near_side, near), (far_side, far)) = (&self.near, &self.far);
        put_ident(message, near)?;
        message.u32(PEER_IFINDEX, far.ifindex)?;
        if names_all || far.netns_cookie == near.netns_cookie {
            message.string(uapi::EKHO_A_CABLE_PEER_IFNAME, far.name.bytes())?;
        }
        message.u32(uapi::EKHO_A_CABLE_PEER_NETNS, far.netns)?;
        let impairment = self.cable.impairment();
        message.u32(DELAY_US, impairment.delay_us)?;
        message.u32(JITTER_US, impairment.jitter_us)?;
        message.u32(LOSS, impairment.loss_ppm)?;
        message.u32(REORDER, impairment.reorder_ppm)?;
        if impairment.rate_bps != 0 {
            message.uint(RATE, impairment.rate_bps)?;
        }
        message.u32(LIMIT, impairment.limit)?;
        message.flag(uapi::EKHO_A_CABLE_CARRIER, self.cable.has_carrier(rtnl))?;
        message.uint(uapi::EKHO_A_CABLE_LOST, self.cable.lost(*near_side))?;
        message.uint(uapi::EKHO_A_CABLE_PEER_LOST, self.cable.lost(*far_side))
    }
}

/// The interface that an attribute names by its index, in a network namespace.
fn interface(
    request: &Request<'_>,
    attribute: u32,
    net: &Net,
    rtnl: &Rtnl,
) -> Result<ARef<NetDevice>> {
    let ifindex = request
        .u32(attribute)
        .ok_or_else(|| request.lacks(attribute, fmt!("which interface? see: ip link")))?;
    NetDevice::by_ifindex_in(net, ifindex, rtnl)
        .filter(|dev| dev.is_registered(rtnl))
        .ok_or_else(|| {
            request.refuse_attribute(
                attribute,
                ENODEV,
                fmt!(
                    "no interface of that namespace has index {}; see: ip link",
                    ifindex
                ),
            )
        })
}

/// The network namespace that an attribute names by a file descriptor; none if it isn't there.
fn namespace(request: &Request<'_>, attribute: u32) -> Result<Option<HeldNet>> {
    let Some(fd) = request.u32(attribute) else {
        return Ok(None);
    };
    let net = HeldNet::by_fd(fd).map_err(|error| {
        request.refuse_attribute(
            attribute,
            error,
            fmt!("descriptor {} is of no network namespace; open one", fd),
        )
    })?;
    // Before anything is told of what is in there.
    if !request.may_configure(&net) {
        return Err(request.refuse_attribute(
            attribute,
            EPERM,
            fmt!("needs CAP_NET_ADMIN in the namespace that this stands for"),
        ));
    }
    Ok(Some(net))
}

fn no_cable(request: &Request<'_>, dev: &NetDevice) -> Error {
    request.refuse_attribute(
        IFINDEX,
        ENOENT,
        fmt!("{} has no cable; see: ekho-fw cable list", dev.name()),
    )
}

/// The request for one cable.
pub(super) struct CableGet;

impl Command for CableGet {
    const NUMBER: u8 = uapi::EKHO_CMD_CABLE_GET as u8;
    const POLICY: Policy = ONE;
}

impl Do for CableGet {
    fn call(request: &Request<'_>) -> Result {
        let rtnl = RtnlGuard::lock();
        let dev = interface(request, IFINDEX, request.net(), &rtnl)?;
        let cable = cable::of(&dev, &rtnl).ok_or_else(|| no_cable(request, &dev))?;
        let wanted = Ident::of(&dev);
        let is_wanted =
            |end: &Ident| (end.ifindex, end.netns_cookie) == (wanted.ifindex, wanted.netns_cookie);
        let view = View::new(&cable, is_wanted).ok_or_else(|| no_cable(request, &dev))?;
        request.reply::<Self>(|message| view.put(message, false, &rtnl))
    }
}

/// The dump of `cable-get`.
pub(super) struct Cables;

/// Where its dump stands.
pub(super) struct Progress {
    namespaces: Namespaces,
    ifindex: Option<u32>,
    /// The number of the last cable that is done with.
    last: u64,
    changes: u64,
}

/// It stays the same as long as cables do, and the namespaces of their ends.
fn changes() -> u64 {
    cable::changes().wrapping_add(events::changes())
}

impl Command for Cables {
    const NUMBER: u8 = uapi::EKHO_CMD_CABLE_GET as u8;
    const POLICY: Policy = EACH;
}

impl Dump for Cables {
    type Context = Progress;

    fn start(request: &Request<'_>) -> Result<Progress> {
        let namespaces = Namespaces::of(request)?;
        let ifindex = request.u32(IFINDEX);
        if ifindex.is_some() {
            interface(request, IFINDEX, request.net(), &RtnlGuard::lock())?;
        }
        Ok(Progress {
            namespaces,
            ifindex,
            last: 0,
            changes: changes(),
        })
    }

    fn next(progress: &mut Progress, batch: &mut Batch<'_>) -> Result {
        let namespaces = progress.namespaces;
        let names_all = matches!(namespaces, Namespaces::All);
        let rtnl = RtnlGuard::lock();
        while let Some(cable) = cable::next(progress.last, &rtnl) {
            let is_wanted = |end: &Ident| {
                namespaces.contain(end)
                    && progress
                        .ifindex
                        .is_none_or(|ifindex| end.ifindex == ifindex)
            };
            if let Some(view) = View::new(&cable, is_wanted) {
                batch.message(|message| view.put(message, names_all, &rtnl))?;
            }
            progress.last = cable.number();
        }
        Ok(())
    }

    fn is_interrupted(progress: &Progress) -> bool {
        changes() != progress.changes
    }
}

/// `cable-new`.
pub(super) struct CableNew;

impl Command for CableNew {
    const NUMBER: u8 = uapi::EKHO_CMD_CABLE_NEW as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const POLICY: Policy = Policy::new(
        &const {
            Policy::table::<{ LIMIT as usize + 1 }>(&[
                IFINDEX_RULE,
                (NETNS_FD, Attribute::u32()),
                (PEER_IFINDEX, Attribute::u32().min(1)),
                (PEER_NETNS_FD, Attribute::u32()),
                // These are judged below, in sentences.
                (DELAY_US, Attribute::u32()),
                (JITTER_US, Attribute::u32()),
                (LOSS, Attribute::u32()),
                (REORDER, Attribute::u32()),
                (RATE, Attribute::uint()),
                (LIMIT, Attribute::u32()),
            ])
        },
    );
}

/// What a request wants the cable to do to frames.
fn impairment_of(request: &Request<'_>) -> Result<Impairment> {
    let number = |attribute| request.u32(attribute).unwrap_or(0);
    let wanted = Impairment {
        delay_us: number(DELAY_US),
        jitter_us: number(JITTER_US),
        loss_ppm: number(LOSS),
        reorder_ppm: number(REORDER),
        rate_bps: request.uint(RATE).unwrap_or(0),
        limit: request.u32(LIMIT).unwrap_or(uapi::EKHO_CABLE_LIMIT),
    };
    for attribute in [LOSS, REORDER] {
        if number(attribute) > uapi::EKHO_PPM_MAX {
            return Err(request.refuse_attribute(
                attribute,
                ERANGE,
                fmt!(
                    "exceeds 100 %: all frames are {} parts per million",
                    uapi::EKHO_PPM_MAX
                ),
            ));
        }
    }
    if wanted.jitter_us > wanted.delay_us {
        return Err(request.refuse_attribute(
            JITTER_US,
            EINVAL,
            fmt!("the jitter exceeds the delay; raise the delay, or lower the jitter"),
        ));
    }
    if wanted.reorder_ppm != 0 && wanted.delay_us == 0 {
        return Err(request.refuse_attribute(
            REORDER,
            EINVAL,
            fmt!("only frames that are delayed can be overtaken; give a delay"),
        ));
    }
    if wanted.delay_us > uapi::EKHO_CABLE_DELAY_MAX {
        return Err(request.refuse_attribute(
            DELAY_US,
            ERANGE,
            fmt!(
                "the longest delay is {} microseconds",
                uapi::EKHO_CABLE_DELAY_MAX
            ),
        ));
    }
    if wanted.limit > uapi::EKHO_CABLE_LIMIT_MAX {
        return Err(request.refuse_attribute(
            LIMIT,
            ERANGE,
            fmt!(
                "a cable holds {} frames at most",
                uapi::EKHO_CABLE_LIMIT_MAX
            ),
        ));
    }
    if wanted.limit == 0 {
        return Err(request.refuse_attribute(
            LIMIT,
            ERANGE,
            fmt!("a cable that holds no frame carries none; give 1 or more"),
        ));
    }
    Ok(wanted)
}

/// Says why a cable isn't made, and what to do about it.
fn refuse(request: &Request<'_>, refusal: Refusal, a: &NetDevice, b: &NetDevice) -> Error {
    // A sentence has room for 79 bytes, and a name takes up to 15.
    let end = |side| match side {
        Side::A => (IFINDEX, a.name()),
        Side::B => (PEER_IFINDEX, b.name()),
    };
    match refusal {
        Refusal::Same => request.refuse_attribute(
            PEER_IFINDEX,
            EINVAL,
            fmt!("both ends are {}; name another interface", a.name()),
        ),
        Refusal::NoPort => request.refuse_attribute(
            PEER_IFINDEX,
            EINVAL,
            fmt!(
                "neither {} nor {} is of kind ekho: ekho-fw device add",
                a.name(),
                b.name()
            ),
        ),
        Refusal::NotEthernet(side) => {
            let (attribute, name) = end(side);
            request.refuse_attribute(
                attribute,
                EINVAL,
                fmt!("{} isn't an Ethernet interface that can be bridged", name),
            )
        }
        Refusal::Taken(side) => {
            let (attribute, name) = end(side);
            request.refuse_attribute(
                attribute,
                EBUSY,
                fmt!(
                    "{} has a cable; first: ekho-fw cable disconnect {}",
                    name,
                    name
                ),
            )
        }
        Refusal::Stacked(side) => {
            let (attribute, name) = end(side);
            request.refuse_attribute(
                attribute,
                EINVAL,
                fmt!("{} is on top of the other end; use another interface", name),
            )
        }
        Refusal::InUse(side) => {
            let (attribute, name) = end(side);
            request.refuse_attribute(
                attribute,
                EBUSY,
                fmt!("{} is enslaved; first: ip link set {} nomaster", name, name),
            )
        }
        Refusal::Failed(error) => {
            request
                .extack()
                .set(fmt!("{} and {} can't be joined", a.name(), b.name()));
            error
        }
    }
}

impl Do for CableNew {
    fn call(request: &Request<'_>) -> Result {
        let impairment = impairment_of(request)?;
        let (net_a, net_b) = (
            namespace(request, NETNS_FD)?,
            namespace(request, PEER_NETNS_FD)?,
        );
        let rtnl = RtnlGuard::lock();
        let here = request.net();
        let a = interface(request, IFINDEX, net_a.as_deref().unwrap_or(here), &rtnl)?;
        let b = interface(
            request,
            PEER_IFINDEX,
            net_b.as_deref().unwrap_or(here),
            &rtnl,
        )?;
        let end = |dev: &NetDevice| End::new(dev, netdev::port(dev));
        cable::connect(end(&a), end(&b), impairment, &rtnl)
            .map_err(|refusal| refuse(request, refusal, &a, &b))
    }
}

/// `cable-del`.
pub(super) struct CableDel;

impl Command for CableDel {
    const NUMBER: u8 = uapi::EKHO_CMD_CABLE_DEL as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const POLICY: Policy = Policy::new(
        &const {
            Policy::table::<{ NETNS_FD as usize + 1 }>(&[
                IFINDEX_RULE,
                (NETNS_FD, Attribute::u32()),
            ])
        },
    );
}

impl Do for CableDel {
    fn call(request: &Request<'_>) -> Result {
        let net = namespace(request, NETNS_FD)?;
        let rtnl = RtnlGuard::lock();
        let here = request.net();
        let dev = interface(request, IFINDEX, net.as_deref().unwrap_or(here), &rtnl)?;
        // Who has one end may pull the cable there.
        match cable::disconnect(&dev, &rtnl) {
            true => Ok(()),
            false => Err(no_cable(request, &dev)),
        }
    }
}
