// SPDX-License-Identifier: GPL-2.0-only

//! What firmware can call. The C functions of `c/bpf.c` forward to these.

use crate::bindings::ekho_stats_ctx;
use core::ffi::c_int;

/// `bpf_flow_offload_set_stats()`: notes a flow's totals for the caller of the op.
///
/// # Safety
///
/// `ctx` must be the argument of the stats op that is running, which the verifier ensures.
#[no_mangle]
unsafe extern "C" fn ekho_kfunc_set_stats(
    ctx: *mut ekho_stats_ctx,
    packets: u64,
    bytes: u64,
    drops: u64,
    last_used_ns: u64,
) -> c_int {
    // SAFETY: By the requirements of this function; the op's caller looks at it after the op only.
    let ctx = unsafe { &mut *ctx };
    ctx.packets = packets;
    ctx.bytes = bytes;
    ctx.drops = drops;
    ctx.last_used_ns = last_used_ns;
    ctx.valid = 1;
    0
}
