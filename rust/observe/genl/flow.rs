// SPDX-License-Identifier: GPL-2.0-only

//! Flows.

#![deny(unsafe_code)]

use super::scope::{
    device,
    ident_of,
    put_ident,
    Listed,
    IFINDEX_RULE, //
};
use crate::{
    abstractions::{
        net::genetlink::{
            Attribute,
            Batch,
            Capability,
            Command,
            Do,
            Message,
            Permission,
            Policy,
            Request, //
        },
        tc::flow_offload::StatsDelta,
    },
    contract::{
        flow::Classifier,
        uapi, //
    },
    flows::flow::Flow,
    offload::{
        device::Device,
        ident::Ident, //
    },
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// Describes a flow. Its cookie is an address in the kernel, which not everyone is to know.
fn put(message: &mut Message<'_>, ident: &Ident, flow: &Flow, with_cookie: bool) -> Result {
    put_ident(message, ident)?;
    if with_cookie {
        message.u64(uapi::EKHO_A_FLOW_COOKIE, flow.cookie() as u64)?;
    }
    let position = &flow.position;
    message.u32(uapi::EKHO_A_FLOW_CLASSIFIER, position.classifier.number())?;
    message.u32(uapi::EKHO_A_FLOW_CHAIN, position.chain_index)?;
    message.u32(uapi::EKHO_A_FLOW_PRIO, position.prio)?;
    message.u16(uapi::EKHO_A_FLOW_PROTOCOL, position.protocol)?;
    message.flag(uapi::EKHO_A_FLOW_SKIP_SW, position.skip_sw)?;
    if position.block_index != 0 {
        message.u32(uapi::EKHO_A_FLOW_BLOCK, position.block_index)?;
    }
    message.u32(uapi::EKHO_A_FLOW_HOOKS, position.hooks.into())?;
    let totals = flow.counters.reported();
    message.uint(uapi::EKHO_A_FLOW_PACKETS, totals.packets)?;
    message.uint(uapi::EKHO_A_FLOW_BYTES, totals.bytes)?;
    message.uint(uapi::EKHO_A_FLOW_DROPS, totals.drops)?;
    message.uint(
        uapi::EKHO_A_FLOW_STATS_REQUESTS,
        flow.stats_requests().into(),
    )?;
    if totals.last_used_ns != 0 {
        let idle_ms = StatsDelta::age_ms(totals.last_used_ns);
        message.uint(uapi::EKHO_A_FLOW_IDLE_MS, idle_ms)?;
    }
    if position.classifier == Classifier::Ct {
        message.u16(uapi::EKHO_A_FLOW_CT_ZONE, position.ct_zone)?;
    }
    message.bytes(uapi::EKHO_A_FLOW_RULE, flow.rule())
}

/// The longest description of a flow: an encoded rule has 4096 bytes at most.
const FLOW_MAX: u32 = 4096 + 512;

/// The dump of `flow-get`.
pub(super) struct Flows;

/// Where the dump of a device's flows stands.
#[derive(Default)]
pub(super) struct Cursor {
    /// The cookies of all flows, when the device's turn came.
    cookies: Option<KVVec<usize>>,
    /// The one whose turn it is.
    at: usize,
}

impl Listed for Flows {
    const NUMBER: u32 = uapi::EKHO_CMD_FLOW_GET;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const ANSWER_MAX: u32 = FLOW_MAX;

    type Cursor = Cursor;

    fn next(device: &Device, ident: &Ident, cursor: &mut Cursor, batch: &mut Batch<'_>) -> Result {
        let cookies = match &mut cursor.cookies {
            Some(cookies) => cookies,
            none => none.insert(device.flows.cookies()?),
        };
        let with_cookie = batch.request().is_capable(Capability::Syslog);
        for cookie in cookies.get(cursor.at..).unwrap_or(&[]) {
            let guard = rcu::read_lock();
            // One that the firmware hasn't accepted, so far, isn't offloaded.
            if let Some(flow) = device
                .flows
                .get(*cookie, &guard)
                .filter(|flow| flow.is_accepted())
            {
                batch.message(|message| put(message, ident, flow, with_cookie))?;
            }
            cursor.at += 1;
        }
        Ok(())
    }

    fn changes(devices: &[Arc<Device>]) -> u64 {
        devices
            .iter()
            .map(|device| device.flows.changes())
            .fold(0, u64::wrapping_add)
    }
}

/// The request for one flow.
pub(super) struct FlowGet;

impl Command for FlowGet {
    const NUMBER: u8 = uapi::EKHO_CMD_FLOW_GET as u8;
    const PERMISSION: Permission = Permission::NetnsAdmin;
    const ANSWER_MAX: u32 = FLOW_MAX;
    const POLICY: Policy = Policy::new(
        &const {
            Policy::table::<{ uapi::EKHO_A_FLOW_COOKIE as usize + 1 }>(&[
                IFINDEX_RULE,
                (uapi::EKHO_A_FLOW_COOKIE, Attribute::u64()),
            ])
        },
    );
}

impl Do for FlowGet {
    fn call(request: &Request<'_>) -> Result {
        const COOKIE: u32 = uapi::EKHO_A_FLOW_COOKIE;
        let device = device(request)?;
        let cookie = request
            .uint(COOKIE)
            .ok_or_else(|| request.lacks(COOKIE, fmt!("which flow?")))?;
        // Whoever may guess addresses would learn which are in use.
        if !request.is_capable(Capability::Syslog) {
            let why = fmt!("needs CAP_SYSLOG in the initial user namespace");
            return Err(request.refuse_attribute(COOKIE, EPERM, why));
        }
        let ident = ident_of(&device, request);
        request.reply::<Self>(|message| {
            let guard = rcu::read_lock();
            let flow = device
                .flows
                .get(cookie as usize, &guard)
                .filter(|flow| flow.is_accepted())
                .ok_or_else(|| request.refuse_attribute(COOKIE, ENOENT, fmt!("no such flow")))?;
            put(message, &ident, flow, true)
        })
    }
}
