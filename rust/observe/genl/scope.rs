// SPDX-License-Identifier: GPL-2.0-only

//! Which devices a request is about.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::genetlink::{
            Attribute,
            Batch,
            Capability,
            Command,
            Do,
            Dump,
            Message,
            Permission,
            Policy,
            Request, //
        },
        sort::sort_by_key, //
    },
    contract::uapi,
    lifecycle::events,
    offload::{
        self,
        device::Device,
        devices,
        ident::Ident, //
    },
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::Arc, //
};

// What all objects of a device begin with.
pub(super) const IFINDEX: u32 = uapi::EKHO_A_DEVICE_IFINDEX;
pub(super) const IFNAME: u32 = uapi::EKHO_A_DEVICE_IFNAME;
pub(super) const NETNS: u32 = uapi::EKHO_A_DEVICE_NETNS;
pub(super) const ALL_NETNS: u32 = uapi::EKHO_A_DEVICE_ALL_NETNS;

macro_rules! begin_alike {
    ($($set:ident),* $(,)?) => { kernel::macros::paste! {$(
        const _: () = assert!(
            uapi::[<EKHO_A_ $set _IFINDEX>] == IFINDEX
                && uapi::[<EKHO_A_ $set _IFNAME>] == IFNAME
                && uapi::[<EKHO_A_ $set _NETNS>] == NETNS
                && uapi::[<EKHO_A_ $set _ALL_NETNS>] == ALL_NETNS
        );
    )*}};
}

begin_alike!(PORT, FIRMWARE, CAPABILITY, REFUSAL, EXIT, FLOW, FAULT, CABLE);

/// An interface index, in any request.
pub(super) const IFINDEX_RULE: (u32, Attribute) = (IFINDEX, Attribute::u32().min(1));

/// What a request for one object can have.
pub(super) const ONE: Policy =
    Policy::new(&const { Policy::table::<{ IFINDEX as usize + 1 }>(&[IFINDEX_RULE]) });

/// What a request for all can have.
pub(super) const EACH: Policy = Policy::new(
    &const {
        Policy::table::<{ ALL_NETNS as usize + 1 }>(&[IFINDEX_RULE, (ALL_NETNS, Attribute::flag())])
    },
);

/// The network namespaces that a dump covers.
#[derive(Clone, Copy)]
pub(super) enum Namespaces {
    /// The one with this cookie, which may be the initial one.
    One { cookie: u64, is_initial: bool },
    /// All of them.
    All,
}

impl Namespaces {
    /// Those that a request wants; fails if it may not.
    pub(super) fn of(request: &Request<'_>) -> Result<Self> {
        if !request.has(ALL_NETNS) {
            return Ok(Self::One {
                cookie: request.net().cookie(),
                is_initial: request.net().is_initial(),
            });
        }
        if request.has(IFINDEX) {
            return Err(request.refuse_attribute(
                ALL_NETNS,
                EINVAL,
                fmt!("an index names a device of one namespace"),
            ));
        }
        rules_all_namespaces(request, ALL_NETNS)?;
        Ok(Self::All)
    }

    /// How a device is seen in them, if it is: by the port with this index, if there is one.
    pub(super) fn seen(self, device: &Device, ifindex: Option<u32>) -> Option<Ident> {
        let seen = match self {
            Self::One { cookie, is_initial } => device.seen_in(cookie, is_initial)?,
            Self::All => device.ident(),
        };
        let is_it = |ident: &Ident| Some(ident.ifindex) == ifindex && self.contain(ident);
        let port = device.port(|port| is_it(&port.ident));
        Some(port.map_or(seen, |port| port.ident))
    }

    /// Whether what this is about is among them.
    pub(super) fn contain(self, ident: &Ident) -> bool {
        match self {
            Self::One { cookie, .. } => ident.netns_cookie == cookie,
            Self::All => true,
        }
    }
}

/// Fails, because of `attribute`, unless who asks may see and configure all network namespaces.
pub(super) fn rules_all_namespaces(request: &Request<'_>, attribute: u32) -> Result {
    rules_initial_namespaces(request, attribute)
}

/// The same of what there is only in the initial network namespace.
pub(super) fn rules_initial_namespaces(request: &Request<'_>, attribute: u32) -> Result {
    if request.net().is_initial() && request.is_capable(Capability::NetAdmin) {
        return Ok(());
    }
    Err(request.refuse_attribute(
        attribute,
        EPERM,
        fmt!("needs CAP_NET_ADMIN and a socket in the initial namespaces"),
    ))
}

/// The device that a request names, in the namespace of its socket.
pub(super) fn device(request: &Request<'_>) -> Result<Arc<Device>> {
    let ifindex = request
        .u32(IFINDEX)
        .ok_or_else(|| request.lacks(IFINDEX, fmt!("which device?")))?;
    let netns_cookie = request.net().cookie();
    let is_initial = request.net().is_initial();
    let found = devices::find(|device| {
        device.has_port(ifindex, netns_cookie) && device.seen_in(netns_cookie, is_initial).is_some()
    });
    match found {
        Some(device) => Ok((*device).clone()),
        None => Err(no_device(request)),
    }
}

/// How who asks sees a device: by the port that the request names, else by its first.
pub(super) fn ident_of(device: &Device, request: &Request<'_>) -> Ident {
    let wanted = (request.u32(IFINDEX), request.net().cookie());
    device
        .port(|port| (Some(port.ident.ifindex), port.ident.netns_cookie) == wanted)
        .map_or_else(|| device.ident(), |port| port.ident)
}

/// There is no such device.
pub(super) fn no_device(request: &Request<'_>) -> Error {
    request.refuse_attribute(
        IFINDEX,
        ENODEV,
        fmt!("no such device, or none that EKHO serves"),
    )
}

/// Adds what all objects of a device begin with.
pub(super) fn put_ident(message: &mut Message<'_>, ident: &Ident) -> Result {
    message.u32(IFINDEX, ident.ifindex)?;
    message.string(IFNAME, ident.name.bytes())?;
    message.u32(NETNS, ident.netns)
}

/// What is known of devices, and can be listed.
pub(super) trait Listed: 'static {
    const NUMBER: u32;
    const PERMISSION: Permission = Permission::Anyone;

    /// As [`Command::ANSWER_MAX`].
    const ANSWER_MAX: u32 = 0;

    /// Where among the objects of one device a dump stands.
    type Cursor: Default + Send;

    /// Adds the objects of a device from `cursor` on, as [`Dump::next`] does.
    fn next(
        device: &Device,
        ident: &Ident,
        cursor: &mut Self::Cursor,
        batch: &mut Batch<'_>,
    ) -> Result;

    /// Adds, after all devices, what belongs to none; otherwise as [`Self::next`].
    fn rest(_cursor: &mut Self::Cursor, _batch: &mut Batch<'_>) -> Result {
        Ok(())
    }

    /// How often what is listed has changed, beyond devices and their firmware.
    fn changes(_devices: &[Arc<Device>]) -> u64 {
        0
    }
}

/// The dump of `T` of all devices in a scope.
pub(super) struct Each<T>(PhantomData<T>);

/// Where such a dump stands.
pub(super) struct Progress<T: Listed> {
    namespaces: Namespaces,
    /// The port that the request names, if it does.
    port: Option<u32>,
    /// In the order of their ids.
    devices: KVec<Arc<Device>>,
    /// The one whose turn it is.
    at: usize,
    cursor: T::Cursor,
    /// As of the beginning.
    changes: u64,
}

/// The sum of all counts of changes: it stays the same as long as nothing changes.
fn changes<T: Listed>(devices: &[Arc<Device>]) -> u64 {
    T::changes(devices)
        .wrapping_add(offload::changes::so_far())
        .wrapping_add(events::changes())
}

impl<T: Listed> Command for Each<T> {
    const NUMBER: u8 = T::NUMBER as u8;
    const PERMISSION: Permission = T::PERMISSION;
    const POLICY: Policy = EACH;
    const ANSWER_MAX: u32 = T::ANSWER_MAX;
}

impl<T: Listed> Dump for Each<T> {
    type Context = Progress<T>;

    fn start(request: &Request<'_>) -> Result<Progress<T>> {
        let namespaces = Namespaces::of(request)?;
        let mut devices = KVec::new();
        if request.has(IFINDEX) {
            devices.push(device(request)?, GFP_KERNEL)?;
        } else {
            devices = devices::all()?;
            devices.retain(|device| namespaces.seen(device, None).is_some());
            sort_by_key(&mut devices, |device| device.number);
        }
        Ok(Progress {
            namespaces,
            port: request.u32(IFINDEX),
            changes: changes::<T>(&devices),
            devices,
            at: 0,
            cursor: T::Cursor::default(),
        })
    }

    fn next(progress: &mut Progress<T>, batch: &mut Batch<'_>) -> Result {
        while let Some(device) = progress.devices.get(progress.at) {
            // It may have gone, or moved.
            let ident = progress.namespaces.seen(device, progress.port);
            if let Some(ident) = ident.filter(|_| devices::contains(device)) {
                T::next(device, &ident, &mut progress.cursor, batch)?;
            }
            progress.at += 1;
            progress.cursor = T::Cursor::default();
        }
        T::rest(&mut progress.cursor, batch)
    }

    fn is_interrupted(progress: &Progress<T>) -> bool {
        changes::<T>(&progress.devices) != progress.changes
    }
}

/// What is known of devices once each, if at all.
pub(super) trait Described: 'static {
    const NUMBER: u32;

    /// What to say if there is nothing.
    const NOTHING: &'static CStr;

    /// Describes it in a message; fails with [`ENOENT`] if there is nothing.
    fn fill(message: &mut Message<'_>, device: &Device, ident: &Ident) -> Result;
}

impl<T: Described> Listed for T {
    const NUMBER: u32 = T::NUMBER;

    type Cursor = ();

    fn next(device: &Device, ident: &Ident, (): &mut (), batch: &mut Batch<'_>) -> Result {
        match batch.message(|message| T::fill(message, device, ident)) {
            Err(error) if error == ENOENT => Ok(()),
            result => result,
        }
    }
}

/// The request for `T` of one device.
pub(super) struct One<T>(PhantomData<T>);

impl<T: Described> Command for One<T> {
    const NUMBER: u8 = <T as Described>::NUMBER as u8;
    const POLICY: Policy = ONE;
}

impl<T: Described> Do for One<T> {
    fn call(request: &Request<'_>) -> Result {
        let device = device(request)?;
        let ident = ident_of(&device, request);
        request
            .reply::<Self>(|message| T::fill(message, &device, &ident))
            .inspect_err(|error| {
                if *error == ENOENT {
                    request.refuse_attribute(IFINDEX, *error, fmt!("{}", T::NOTHING));
                }
            })
    }
}
