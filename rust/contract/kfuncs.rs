// SPDX-License-Identifier: GPL-2.0-only

//! The kfuncs that firmware can call; the C functions in `c/bpf.c` forward to these.

use crate::{
    abstractions::tc::flow_rule::FlowRule,
    bindings::{
        ekho_action,
        ekho_replace_call,
        ekho_replace_ctx,
        ekho_stats_call,
        ekho_stats_ctx,
        ekho_stats_kind_EKHO_STATS_DELTAS,
        ekho_stats_kind_EKHO_STATS_TOTALS,
        EKHO_REASON_MAX, //
    },
    contract::{
        reason::Reason,
        rule, //
    },
};
use core::{
    ffi::c_int,
    ptr, //
};
use kernel::{
    container_of,
    error::from_result,
    prelude::*, //
};

const REASON_MAX: usize = EKHO_REASON_MAX as usize;

/// `bpf_flow_offload_set_stats()`, and with a map `bpf_flow_offload_map_stats()`: stores a flow's
/// totals for the caller of the op.
///
/// # Safety
///
/// `ctx` must be the `ctx` of a `struct ekho_stats_call`, for the op that is running: the argument
/// of the op, which the verifier ensures.
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_set_stats(
    ctx: *mut ekho_stats_ctx,
    map: u32,
    packets: u64,
    bytes: u64,
    drops: u64,
    last_used_ns: u64,
) -> c_int {
    // SAFETY: By the requirements of this function; the op's caller looks at it after the op only.
    let call = unsafe { &mut *container_of!(ctx, ekho_stats_call, ctx) };
    call.map = map;
    call.ctx.packets = packets;
    call.ctx.bytes = bytes;
    call.ctx.drops = drops;
    call.ctx.last_used_ns = last_used_ns;
    call.ctx.valid = ekho_stats_kind_EKHO_STATS_TOTALS as u8;
    0
}

/// `bpf_flow_offload_add_stats()`: adds to what a flow has counted since the last report.
///
/// # Safety
///
/// As for [`ekho_kfunc_set_stats`].
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_add_stats(
    ctx: *mut ekho_stats_ctx,
    packets: u64,
    bytes: u64,
    drops: u64,
    last_used_ns: u64,
) -> c_int {
    // SAFETY: By the requirements of this function; the op's caller looks at it after the op only.
    let ctx = unsafe { &mut *ctx };
    if u32::from(ctx.valid) != ekho_stats_kind_EKHO_STATS_DELTAS {
        (ctx.packets, ctx.bytes, ctx.drops, ctx.last_used_ns) = (0, 0, 0, 0);
    }
    ctx.packets = ctx.packets.wrapping_add(packets);
    ctx.bytes = ctx.bytes.wrapping_add(bytes);
    ctx.drops = ctx.drops.wrapping_add(drops);
    ctx.last_used_ns = ctx.last_used_ns.max(last_used_ns);
    ctx.valid = ekho_stats_kind_EKHO_STATS_DELTAS as u8;
    0
}

/// `bpf_flow_offload_set_reason()`: stores why a flow is refused.
///
/// # Safety
///
/// `ctx` must be the argument of the replace op that is running, and `text` be valid for reading
/// `len` bytes, which the verifier ensures.
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_set_reason(
    ctx: *mut ekho_replace_ctx,
    text: *const u8,
    len: u32,
) -> c_int {
    // It may be in a map, which others write to meanwhile: read byte by byte, each once.
    //
    // SAFETY: By the requirements of this function.
    let text = (0..len as usize).map(|n| unsafe { text.add(n).read_volatile() });
    let reason = Reason::new(text);
    // SAFETY: By the requirements of this function; the op's caller looks at it after the op only.
    unsafe { (*ctx).reason = *reason.bytes() };
    0
}

/// The rule in a context.
///
/// # Safety
///
/// `ctx` must be the argument of the op that is running, which is as long as the result is valid.
unsafe fn rule_of<'a>(ctx: *const ekho_replace_ctx) -> Option<FlowRule<'a>> {
    // SAFETY: By the requirements of this function: rule and actions are valid during the op.
    unsafe {
        FlowRule::from_raw((*ctx).rule).or_else(|| (*ctx).action.as_ref().map(FlowRule::of_action))
    }
}

/// `bpf_flow_offload_get_match()`: copies out one key and its mask.
///
/// # Safety
///
/// `ctx` must be the argument of the op that is running, and `buf` be valid for writing `len`
/// bytes, which the verifier ensures.
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_get_match(
    ctx: *mut ekho_replace_ctx,
    key_id: u32,
    buf: *mut u8,
    len: u32,
) -> c_int {
    let (len, half) = (len as usize, len as usize / 2);
    // SAFETY: By the requirements of this function.
    let found = unsafe { rule_of(ctx) }
        .ok_or(ENOENT)
        .and_then(|rule| rule::key(&rule, key_id));
    let (result, n) = match found {
        Ok((key, _)) if len % 2 == 0 => (Ok(0), key.len().min(half)),
        Ok(_) => (Err(EINVAL), 0),
        Err(error) => (Err(error), 0),
    };
    if n != half || result.is_err() {
        // SAFETY: By the requirements of this function; BPF memory isn't part of the rule.
        unsafe { buf.write_bytes(0, len) };
    }
    if let Ok((key, mask)) = found {
        // SAFETY: Each half of `buf` has room for `n` bytes.
        unsafe {
            buf.copy_from_nonoverlapping(key.as_ptr(), n);
            buf.add(half).copy_from_nonoverlapping(mask.as_ptr(), n);
        }
    }
    from_result(|| result)
}

/// `bpf_iter_flow_action_next()`: a record of the `n`th action; null if there is none.
///
/// The record is firmware's to read until the op returns, whatever becomes of the iterator.
///
/// # Safety
///
/// `ctx` must be the `ctx` of a `struct ekho_replace_call`, for the op that is running: see
/// `ReplaceCtx`.
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_action(ctx: *const ekho_replace_ctx, n: u64) -> *mut ekho_action {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    // SAFETY: By the requirements of this function.
    let Some(action) = unsafe { rule_of(ctx) }.and_then(|rule| rule::action(&rule, n)) else {
        return ptr::null_mut();
    };
    // SAFETY: By the requirements of this function the call is there, with room for as many records
    // as the rule has actions. Nothing but firmware on this thread looks at them.
    unsafe {
        let call = container_of!(ctx, ekho_replace_call, ctx);
        let record = (*call).actions.add(n);
        record.write(action);
        record
    }
}

/// `bpf_flow_offload_encoding()`: the encoded rule, and zeros behind it, `size` bytes in all; null if
/// there are fewer, or the rule is longer.
///
/// # Safety
///
/// As for [`ekho_kfunc_action`].
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_encoding(ctx: *const ekho_replace_ctx, size: usize) -> *const u8 {
    // SAFETY: By the requirements of this function the call is there, which isn't changed meanwhile.
    let call = unsafe { &*container_of!(ctx, ekho_replace_call, ctx) };
    let sizes = call.ctx.encoding_size as usize..=call.encoding_room as usize;
    if sizes.contains(&size) {
        call.encoding
    } else {
        ptr::null()
    }
}

/// `bpf_flow_offload_insert()`: has the rule inserted if the op accepts it.
///
/// # Safety
///
/// As for [`ekho_kfunc_action`].
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_insert(ctx: *mut ekho_replace_ctx) -> c_int {
    // SAFETY: By the requirements of this function the call is there; the op's caller looks at it after
    // the op only.
    let call = unsafe { &mut *container_of!(ctx, ekho_replace_call, ctx) };
    call.inserted = call.insertable == 0;
    // SAFETY: Null, or the bytes of a reason that lives as long as the call.
    if let Some(reason) = unsafe { call.insert_reason.cast::<[u8; REASON_MAX]>().as_ref() } {
        call.ctx.reason = *reason;
    }
    call.insertable
}
