// SPDX-License-Identifier: GPL-2.0-only

//! Firmware, what devices can do with it, and what it has refused.

#![deny(unsafe_code)]

use super::scope::{
    put_ident,
    Described,
    Listed, //
};
use crate::{
    abstractions::net::genetlink::{
        Batch,
        Message,
        Permission, //
    },
    contract::{
        flow::Classifier,
        hw_stats::hw_stats_name,
        ops::Op,
        rule::{
            action_names,
            key_names, //
        },
        uapi, //
    },
    firmware::Firmware,
    lifecycle::attached,
    offload::{
        device::Device,
        ident::Ident, //
    },
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// `firmware-get`.
pub(super) struct Attached;

impl Described for Attached {
    const NUMBER: u32 = uapi::EKHO_CMD_FIRMWARE_GET;
    const NOTHING: &'static CStr = c"the device has no firmware";

    fn fill(message: &mut Message<'_>, device: &Device, ident: &Ident) -> Result {
        put_ident(message, ident)?;
        if let Some((link, map)) = attached::ids(device) {
            message.u32(uapi::EKHO_A_FIRMWARE_LINK_ID, link)?;
            message.u32(uapi::EKHO_A_FIRMWARE_MAP_ID, map)?;
        }
        let guard = rcu::read_lock();
        put(message, device, device.firmware.get(&guard).ok_or(ENOENT)?)
    }
}

/// Adds what is known of a firmware, but for where it is.
pub(super) fn put(message: &mut Message<'_>, device: &Device, firmware: &Firmware) -> Result {
    message.string(uapi::EKHO_A_FIRMWARE_NAME, firmware.ops.name().bytes())?;
    message.u32(uapi::EKHO_A_FIRMWARE_ABI, firmware.ops.abi())?;
    message.u32(uapi::EKHO_A_FIRMWARE_GENERATION, firmware.generation)?;
    message.uint(uapi::EKHO_A_FIRMWARE_FLOWS, device.flows.len() as u64)?;
    for op in Op::ALL.iter().filter(|op| firmware.ops.has(**op)) {
        message.string(uapi::EKHO_A_FIRMWARE_OP, op.name().as_bytes())?;
    }
    message.flag(uapi::EKHO_A_FIRMWARE_STOPPED, firmware.exit().is_some())?;
    message.nest(uapi::EKHO_A_FIRMWARE_OP_STATS, |message| {
        let figures = &firmware.figures;
        for op in Op::ALL {
            message.nest(uapi::EKHO_A_OP_STATS_CALL, |message| {
                message.string(uapi::EKHO_A_CALL_OP, op.name().as_bytes())?;
                message.uint(uapi::EKHO_A_CALL_COUNT, figures.calls(*op))
            })?;
        }
        message.uint(uapi::EKHO_A_OP_STATS_REFUSED, figures.refused())?;
        message.uint(uapi::EKHO_A_OP_STATS_VIOLATIONS, figures.violations())?;
        message.uint(uapi::EKHO_A_OP_STATS_LONGEST_US, figures.longest_us())
    })
}

/// `capability-get`.
pub(super) struct Capability;

impl Described for Capability {
    const NUMBER: u32 = uapi::EKHO_CMD_CAPABILITY_GET;
    const NOTHING: &'static CStr = c"the device has no firmware";

    fn fill(message: &mut Message<'_>, device: &Device, ident: &Ident) -> Result {
        put_ident(message, ident)?;
        let guard = rcu::read_lock();
        let firmware = device.firmware.get(&guard).ok_or(ENOENT)?;
        let can = &firmware.capabilities;
        message.string(
            uapi::EKHO_A_CAPABILITY_FIRMWARE,
            firmware.ops.name().bytes(),
        )?;
        for key in key_names(can.keys) {
            message.string(uapi::EKHO_A_CAPABILITY_KEY, key.as_bytes())?;
        }
        for action in action_names(can.actions) {
            message.string(uapi::EKHO_A_CAPABILITY_ACTION, action.as_bytes())?;
        }
        for classifier in Classifier::of(can.classifiers) {
            message.u32(uapi::EKHO_A_CAPABILITY_CLASSIFIER, classifier.number())?;
        }
        for way in (0..3).map(|n| 1 << n).filter(|way| can.hw_stats & way != 0) {
            message.string(
                uapi::EKHO_A_CAPABILITY_HW_STATS,
                hw_stats_name(way).as_bytes(),
            )?;
        }
        for (attribute, value) in [
            (uapi::EKHO_A_CAPABILITY_MAX_FLOWS, can.max_flows),
            (uapi::EKHO_A_CAPABILITY_MAX_CHAINS, can.max_chains),
            (uapi::EKHO_A_CAPABILITY_PRIO_MIN, can.prio_min),
            (uapi::EKHO_A_CAPABILITY_PRIO_MAX, can.prio_max),
            (uapi::EKHO_A_CAPABILITY_MAX_ACTIONS, can.max_actions),
            (uapi::EKHO_A_CAPABILITY_FLOW_SIZE, can.flow_size),
            (uapi::EKHO_A_CAPABILITY_BUDGET_US, can.budget_us),
        ] {
            if value != 0 {
                message.u32(attribute, value)?;
            }
        }
        if can.tables {
            message.string(uapi::EKHO_A_CAPABILITY_TABLE, b"rules\0")?;
        }
        Ok(())
    }
}

/// `refusal-get`: of each firmware, by the place of the reason in its table.
pub(super) struct Refusals;

impl Listed for Refusals {
    const NUMBER: u32 = uapi::EKHO_CMD_REFUSAL_GET;
    const PERMISSION: Permission = Permission::NetnsAdmin;

    type Cursor = usize;

    fn next(device: &Device, ident: &Ident, cursor: &mut usize, batch: &mut Batch<'_>) -> Result {
        let guard = rcu::read_lock();
        let Some(firmware) = device.firmware.get(&guard) else {
            return Ok(());
        };
        while let Some(refusal) = firmware.refusal(*cursor) {
            if refusal.count != 0 {
                batch.message(|message| {
                    put_ident(message, ident)?;
                    message.string(uapi::EKHO_A_REFUSAL_FIRMWARE, firmware.ops.name().bytes())?;
                    if refusal.errno != 0 {
                        message.u32(uapi::EKHO_A_REFUSAL_ERRNO, refusal.errno as u32)?;
                    }
                    message.uint(uapi::EKHO_A_REFUSAL_COUNT, refusal.count)?;
                    match refusal.reason.is_none() {
                        true => Ok(()),
                        false => {
                            message.string(uapi::EKHO_A_REFUSAL_REASON, refusal.reason.bytes())
                        }
                    }
                })?;
            }
            *cursor += 1;
        }
        Ok(())
    }
}
