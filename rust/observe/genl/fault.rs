// SPDX-License-Identifier: GPL-2.0-only

//! Faults that are injected.

#![deny(unsafe_code)]

use super::scope::{
    no_device,
    put_ident,
    rules_all_namespaces,
    Listed,
    IFINDEX,
    IFINDEX_RULE, //
};
use crate::{
    abstractions::net::{
        genetlink::{
            Attribute,
            Batch,
            Capability,
            Command,
            Do,
            Message,
            Permission,
            Policy,
            Range,
            Request, //
        },
        net_device::{
            NetDevice,
            Rtnl,
            RtnlGuard, //
        },
    },
    contract::uapi,
    device::owner::claim,
    faults::{
        self,
        parse::{
            self,
            Change,
            Part,
            Point,
            Stats, //
        },
        FaultSlot,
        Setting, //
    },
    offload::{
        device::Device,
        ident::Ident, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

const NEW_DEVICES: u32 = uapi::EKHO_A_FAULT_NEW_DEVICES;
const POINT: u32 = uapi::EKHO_A_FAULT_POINT;
const NTH: u32 = uapi::EKHO_A_FAULT_NTH;
const ERRNO: u32 = uapi::EKHO_A_FAULT_ERRNO;
const DELAY_US: u32 = uapi::EKHO_A_FAULT_DELAY_US;
const RECURSE: u32 = uapi::EKHO_A_FAULT_RECURSE;
const NOSPC_AFTER: u32 = uapi::EKHO_A_FAULT_NOSPC_AFTER;
const STATS: u32 = uapi::EKHO_A_FAULT_STATS;
const STALL_US: u32 = uapi::EKHO_A_FAULT_STALL_US;
const INTERRUPT: u32 = uapi::EKHO_A_FAULT_INTERRUPT;

const DROP: u32 = uapi::ekho_fault_stats_EKHO_FAULT_STATS_DROP;
const FREEZE: u32 = uapi::ekho_fault_stats_EKHO_FAULT_STATS_FREEZE;

const _: () = assert!(uapi::EKHO_DELAY_MAX == parse::DELAY_MAX_US);
const _: () = assert!(uapi::EKHO_SLEEP_MAX == parse::SLEEP_MAX_US);
const _: () = assert!(uapi::EKHO_STALL_MAX == parse::STALL_MAX_US);

/// The dump of `fault-get`. The cursor counts the settings that a device can have.
pub(super) struct Faults;

/// Adds the faults of a device, or of those to come.
fn list(
    faults: &FaultSlot,
    ident: Option<&Ident>,
    cursor: &mut usize,
    batch: &mut Batch<'_>,
) -> Result {
    for n in *cursor..faults::SETTINGS {
        *cursor = n;
        if let Some(setting) = faults.get(n) {
            batch.message(|message| {
                match ident {
                    Some(ident) => put_ident(message, ident)?,
                    None => message.flag(NEW_DEVICES, true)?,
                }
                put(message, &setting)
            })?;
        }
    }
    *cursor = faults::SETTINGS;
    Ok(())
}

fn put(message: &mut Message<'_>, setting: &Setting) -> Result {
    match setting {
        Setting::Point { point, knob, calls } => {
            message.string(POINT, point.name().as_bytes())?;
            if knob.nth != 0 {
                message.uint(NTH, knob.nth)?;
            }
            if knob.errno != 0 {
                message.u32(ERRNO, knob.errno as u32)?;
            }
            if knob.delay_us != 0 {
                message.u32(DELAY_US, knob.delay_us)?;
            }
            message.flag(RECURSE, knob.recurse)?;
            if knob.stall_us != 0 {
                message.u32(STALL_US, knob.stall_us)?;
            }
            message.flag(INTERRUPT, knob.interrupt)?;
            message.uint(uapi::EKHO_A_FAULT_CALLS, *calls)
        }
        Setting::NospcAfter(places) => message.u32(NOSPC_AFTER, *places),
        Setting::Stats(Stats::Drop) => message.u32(STATS, DROP),
        Setting::Stats(Stats::Freeze) => message.u32(STATS, FREEZE),
    }
}

impl Listed for Faults {
    const NUMBER: u32 = uapi::EKHO_CMD_FAULT_GET;

    type Cursor = usize;

    fn next(device: &Device, ident: &Ident, cursor: &mut usize, batch: &mut Batch<'_>) -> Result {
        list(&device.faults, Some(ident), cursor, batch)
    }

    fn rest(cursor: &mut usize, batch: &mut Batch<'_>) -> Result {
        if !batch.request().net().is_initial() || batch.request().has(IFINDEX) {
            return Ok(());
        }
        list(&faults::NEW, None, cursor, batch)
    }

    fn changes(_devices: &[Arc<Device>]) -> u64 {
        faults::changes()
    }
}

/// Calls `change` with the place for the faults of the devices that a request names.
fn with_faults(request: &Request<'_>, change: impl FnOnce(&FaultSlot, &Rtnl) -> Result) -> Result {
    let is_new = request.has(NEW_DEVICES);
    let rtnl = RtnlGuard::lock();
    match request.u32(IFINDEX) {
        None if is_new => {
            rules_all_namespaces(request, NEW_DEVICES)?;
            change(&faults::NEW, &rtnl)
        }
        None => Err(request.lacks(IFINDEX, fmt!("which device?"))),
        Some(_) if is_new => Err(request.refuse_attribute(
            NEW_DEVICES,
            EINVAL,
            fmt!("either a device or those to come"),
        )),
        Some(ifindex) => {
            let dev = NetDevice::by_ifindex_in(request.net(), ifindex, &rtnl);
            let net = request.net();
            let claim = claim(dev, &rtnl)?
                .filter(|device| device.seen_in(net.cookie(), net.is_initial()).is_some())
                .ok_or_else(|| no_device(request))?;
            change(&claim.faults, &rtnl)
        }
    }
}

/// `fault-set`.
pub(super) struct FaultSet;

impl Command for FaultSet {
    const NUMBER: u8 = uapi::EKHO_CMD_FAULT_SET as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const POLICY: Policy = Policy::new(
        &const {
            // Shorter at most points, which `parse::knob` checks.
            const DELAY: Range = Range::new(1, uapi::EKHO_SLEEP_MAX as u64);
            const STALL: Range = Range::new(1, uapi::EKHO_STALL_MAX as u64);
            Policy::table::<{ INTERRUPT as usize + 1 }>(&[
                IFINDEX_RULE,
                (NEW_DEVICES, Attribute::flag()),
                (POINT, Attribute::string(31)),
                (NTH, Attribute::uint().min(1)),
                (ERRNO, Attribute::u32().min(1)),
                (DELAY_US, Attribute::u32().range(&DELAY)),
                (RECURSE, Attribute::flag()),
                (NOSPC_AFTER, Attribute::u32()),
                (STATS, Attribute::u32().max(FREEZE as i16)),
                (STALL_US, Attribute::u32().range(&STALL)),
                (INTERRUPT, Attribute::flag()),
            ])
        },
    );
}

/// What a request wants to set.
fn change_of(request: &Request<'_>) -> Result<Change> {
    let mut wanted = [POINT, NOSPC_AFTER, STATS]
        .into_iter()
        .filter(|attribute| request.has(*attribute));
    let Some(first) = wanted.next() else {
        return Err(request.lacks(POINT, fmt!("no fault: point, nospc-after or stats")));
    };
    if let Some(second) = wanted.next() {
        return Err(request.refuse_attribute(second, EINVAL, fmt!("one fault at a time")));
    }
    if first != POINT {
        if let Some(attribute) = [NTH, ERRNO, DELAY_US, RECURSE, STALL_US, INTERRUPT]
            .into_iter()
            .find(|attribute| request.has(*attribute))
        {
            return Err(request.refuse_attribute(attribute, EINVAL, fmt!("goes with a point")));
        }
    }
    if let Some(places) = request.u32(NOSPC_AFTER) {
        return Ok(Change::NospcAfter(places));
    }
    if let Some(stats) = request.u32(STATS) {
        return Ok(Change::Stats(match stats {
            DROP => Stats::Drop,
            _ => Stats::Freeze,
        }));
    }
    let point = request
        .string(POINT)
        .and_then(|name| Point::all().find(|point| point.name().as_bytes() == name))
        .ok_or_else(|| request.refuse_attribute(POINT, EINVAL, fmt!("no such point")))?;
    // These take a CPU away from others.
    if let Some(attribute) = [DELAY_US, STALL_US, INTERRUPT]
        .into_iter()
        .find(|attribute| request.has(*attribute))
        .filter(|_| !request.is_capable(Capability::NetAdmin))
    {
        let why = fmt!("needs CAP_NET_ADMIN in the initial user namespace");
        return Err(request.refuse_attribute(attribute, EPERM, why));
    }
    let knob = parse::knob(
        point,
        request.uint(NTH),
        // What is too large isn't an errno either.
        request
            .u32(ERRNO)
            .map(|errno| errno.try_into().unwrap_or(i32::MAX)),
        request.u32(DELAY_US),
        request.has(RECURSE),
        request.u32(STALL_US),
        request.has(INTERRUPT),
    );
    match knob {
        Ok(knob) => Ok(Change::Point(point, knob)),
        Err((part, why)) => {
            let attribute = match part {
                Part::Point => POINT,
                Part::Nth => NTH,
                Part::Errno => ERRNO,
                Part::Delay => DELAY_US,
                Part::Recurse => RECURSE,
                Part::Stall => STALL_US,
                Part::Interrupt => INTERRUPT,
            };
            Err(request.refuse_attribute(attribute, EINVAL, fmt!("{}", why)))
        }
    }
}

impl Do for FaultSet {
    fn call(request: &Request<'_>) -> Result {
        let change = change_of(request)?;
        if let Err(why) = change.fits(request.has(NEW_DEVICES)) {
            return Err(request.refuse_attribute(POINT, EINVAL, fmt!("{}", why)));
        }
        with_faults(request, |faults, rtnl| faults.change(change, rtnl))
    }
}

/// `fault-clear`.
pub(super) struct FaultClear;

impl Command for FaultClear {
    const NUMBER: u8 = uapi::EKHO_CMD_FAULT_CLEAR as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const POLICY: Policy = Policy::new(
        &const {
            Policy::table::<{ NEW_DEVICES as usize + 1 }>(&[
                IFINDEX_RULE,
                (NEW_DEVICES, Attribute::flag()),
            ])
        },
    );
}

impl Do for FaultClear {
    fn call(request: &Request<'_>) -> Result {
        with_faults(request, |faults, rtnl| faults.change(Change::Clear, rtnl))
    }
}
