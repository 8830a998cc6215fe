// SPDX-License-Identifier: GPL-2.0-only

//! Firmware in Rust, for `make bench` only: what the same callbacks cost without BPF.
//!
//! A module that is built with `EKHO_NATIVE=1` has these functions in place of the BPF programs of
//! firmware of the same name, `noop`, `stats` or `acl`; all else is as in the real module. The
//! programs are loaded, and never called.

use crate::{
    abstractions::{
        cookie_table::{
            CookieTable,
            Entry, //
        },
        flow_rule::FlowRule, //
    },
    bindings::{
        ekho_destroy_ctx,
        ekho_key_EKHO_KEY_BASIC as KEY_BASIC,
        ekho_key_EKHO_KEY_PORTS as KEY_PORTS,
        ekho_replace_ctx,
        ekho_stats_ctx,
        ekho_stats_kind_EKHO_STATS_TOTALS as TOTALS, //
    },
    ops::contract::Table,
};
use core::{
    ffi::c_int,
    mem::offset_of, //
};
use kernel::{
    error::from_result,
    prelude::*,
    sync::{
        rcu,
        SetOnce, //
    },
};

const IPPROTO_TCP: u8 = 6;
const ETH_P_IP: [u8; 2] = [0x08, 0x00];

/// Packets, bytes, drops, last use: what `EKHO_FLOW_STATS` keeps.
type Counters = CookieTable<[u64; 4]>;

/// Never freed: the module lives as long as the guest that measures it.
static COUNTERS: SetOnce<Pin<KBox<Counters>>> = SetOnce::new();
const MAX: usize = 65536;

fn counters() -> Result<&'static Counters> {
    COUNTERS.as_ref().map(|c| &**c).ok_or(ENODEV)
}

/// Sets an op of firmware that is known here; see `contract::init_member`.
pub(crate) fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
    let len = user.name.iter().position(|&c| c == 0).unwrap_or(0);
    let (replace, destroy, stats) = match &user.name[..len] {
        b"noop" => (noop as ReplaceOp, noop as DestroyOp, noop as StatsOp),
        b"stats" => (create as ReplaceOp, delete as DestroyOp, report as StatsOp),
        b"acl" => (acl as ReplaceOp, delete as DestroyOp, report as StatsOp),
        _ => return Ok(false),
    };
    if COUNTERS.as_ref().is_none() {
        COUNTERS.populate(KBox::pin_init(Counters::new(), GFP_KERNEL)?);
    }
    match offset {
        _ if offset == offset_of!(Table, replace) => table.replace = Some(replace),
        _ if offset == offset_of!(Table, destroy) => table.destroy = Some(destroy),
        _ if offset == offset_of!(Table, stats) => table.stats = Some(stats),
        _ => return Ok(false),
    }
    Ok(true)
}

type ReplaceOp = unsafe extern "C" fn(*mut ekho_replace_ctx) -> c_int;
type DestroyOp = unsafe extern "C" fn(*mut ekho_destroy_ctx) -> c_int;
type StatsOp = unsafe extern "C" fn(*mut ekho_stats_ctx) -> c_int;

unsafe extern "C" fn noop<T>(_ctx: *mut T) -> c_int {
    0
}

/// # Safety
///
/// To be called as the op `replace`, and so the others.
unsafe extern "C" fn create(ctx: *mut ekho_replace_ctx) -> c_int {
    // SAFETY: The context is valid for the call.
    let cookie = unsafe { (*ctx).flow.cookie } as usize;
    from_result(|| {
        let counters = counters()?;
        if counters.len() >= MAX {
            return Err(ENOSPC);
        }
        // Ops run under RCU.
        counters.insert(Entry::new(cookie, [0; 4], GFP_ATOMIC)?, &rcu::read_lock())?;
        Ok(0)
    })
}

unsafe extern "C" fn delete(ctx: *mut ekho_destroy_ctx) -> c_int {
    // SAFETY: The context is valid for the call.
    let cookie = unsafe { (*ctx).flow.cookie } as usize;
    from_result(|| {
        counters()?
            .remove(cookie, &rcu::read_lock())
            .ok_or(ENOENT)?;
        Ok(0)
    })
}

unsafe extern "C" fn report(ctx: *mut ekho_stats_ctx) -> c_int {
    // SAFETY: The context is valid for the call, and nobody else's.
    let ctx = unsafe { &mut *ctx };
    from_result(|| {
        let guard = rcu::read_lock();
        let found = counters()?.get(ctx.flow.cookie as usize, &guard);
        [ctx.packets, ctx.bytes, ctx.drops, ctx.last_used_ns] = *found.ok_or(ENOENT)?;
        ctx.valid = TOTALS as u8;
        Ok(0)
    })
}

unsafe extern "C" fn acl(ctx: *mut ekho_replace_ctx) -> c_int {
    // SAFETY: The rule is valid during the op.
    let rule = unsafe { FlowRule::from_raw((*ctx).rule) };
    let fits = || -> Option<bool> {
        let rule = rule?;
        let (basic, _) = rule.key(KEY_BASIC).ok()?;
        if basic.get(..2)? != ETH_P_IP || *basic.get(2)? != IPPROTO_TCP {
            return None;
        }
        if let Ok((_, mask)) = rule.key(KEY_PORTS) {
            let whole = |part: &[u8]| part == [0, 0] || part == [0xff, 0xff];
            if !mask.chunks(2).take(2).all(whole) {
                return None;
            }
        }
        // SAFETY: The context is valid for the call.
        let ifindex = unsafe { (*ctx).flow.ifindex };
        let to_itself = |action: crate::bindings::ekho_action| {
            action.id == crate::bindings::ekho_action_id_EKHO_ACT_REDIRECT && action.arg == ifindex
        };
        Some(!(0..).map_while(|n| rule.action(n)).any(to_itself))
    };
    if fits() != Some(true) {
        return crate::abstractions::flow_offload::eopnotsupp().to_errno();
    }
    // SAFETY: As for this function.
    unsafe { create(ctx) }
}
