// SPDX-License-Identifier: GPL-2.0-only

//! Firmware in Rust, for `make bench` only: what the same callbacks cost without BPF.
//!
//! A module that is built with `EKHO_NATIVE=1` has these functions in place of the BPF programs of
//! firmware of the same name, `noop`, `stats` or `acl`; all else is as in the real module. The
//! programs are loaded, and never called.
//!
//! `acl` writes the records of bpf/ekho_maps.h into a ring that nobody reads: the oldest are
//! overwritten, and no reader is woken.

use crate::{
    abstractions::{
        error::eopnotsupp,
        sync::{
            cookie_table::{
                CookieTable,
                Entry, //
            },
            rcu::Callbacks, //
        },
        tc::flow_rule::FlowRule, //
    },
    bindings::{
        ekho_action,
        ekho_action_id_EKHO_ACT_REDIRECT as ACT_REDIRECT,
        ekho_destroy_ctx,
        ekho_event,
        ekho_event_part,
        ekho_event_part_type_EKHO_PART_COUNTERS as PART_COUNTERS,
        ekho_event_part_type_EKHO_PART_RULE as PART_RULE,
        ekho_event_what_EKHO_EVENT_DESTROY as DESTROY,
        ekho_event_what_EKHO_EVENT_REPLACE as REPLACE,
        ekho_flow,
        ekho_flow_counters,
        ekho_helper_ktime_ns,
        ekho_key_EKHO_KEY_BASIC as KEY_BASIC,
        ekho_key_EKHO_KEY_PORTS as KEY_PORTS,
        ekho_replace_call,
        ekho_replace_ctx,
        ekho_stats_ctx,
        ekho_stats_kind_EKHO_STATS_TOTALS as TOTALS,
        EKHO_EVENT_VERSION, //
    },
    contract::{
        rule,
        table::Table, //
    }, //
};
use core::{
    ffi::c_int,
    mem::offset_of,
    slice, //
};
use kernel::{
    container_of,
    error::from_result,
    new_spinlock,
    prelude::*,
    sync::{
        rcu,
        SetOnce,
        SpinLock, //
    },
    transmute::AsBytes,
};

const IPPROTO_TCP: u8 = 6;
const ETH_P_IP: [u8; 2] = [0x08, 0x00];

/// Packets, bytes, drops, last use: what `EKHO_FLOW_STATS` keeps.
type Counters = CookieTable<[u64; 4]>;

static COUNTERS: SetOnce<Pin<KBox<Counters>>> = SetOnce::new();
const MAX: usize = 65536;

fn counters() -> Result<&'static Counters> {
    COUNTERS.as_ref().map(|c| &**c).ok_or(ENODEV)
}

// SAFETY: Numbers without gaps: see below. So are the others.
unsafe impl AsBytes for ekho_event {}
// SAFETY: As above.
unsafe impl AsBytes for ekho_event_part {}
// SAFETY: As above.
unsafe impl AsBytes for ekho_flow_counters {}

const HEADER: usize = size_of::<ekho_event>();
const HEAD: usize = size_of::<ekho_event_part>();

// What their members come to: there are no gaps.
const _: () = assert!(HEADER == 80 && HEAD == 4);
const _: () = assert!(size_of::<ekho_flow_counters>() == 32);

/// The header of a record, without its size.
fn event(what: u32, flow: &ekho_flow, err: c_int) -> ekho_event {
    ekho_event {
        version: EKHO_EVENT_VERSION as u16,
        header_size: HEADER as u16,
        // SAFETY: Reads a clock; any context.
        time_ns: unsafe { ekho_helper_ktime_ns() },
        what,
        err,
        cookie: flow.cookie,
        ifindex: flow.ifindex,
        chain_index: flow.chain_index,
        prio: flow.prio,
        protocol: flow.protocol,
        skip_sw: flow.skip_sw,
        classifier: flow.classifier,
        block_index: flow.block_index,
        hooks: flow.hooks,
        ct_zone: flow.ct_zone,
        ..pin_init::zeroed()
    }
}

/// No record is longer.
const RECORD: usize = 256;

/// A record that is being written, in the ring.
struct Record<'a> {
    bytes: &'a mut [u8; RECORD],
    end: usize,
}

impl Record<'_> {
    /// The place of a part's `len` bytes, behind its head.
    #[inline(always)]
    fn place(&mut self, kind: u32, len: usize) -> Result<&mut [u8]> {
        let place = self.bytes.get_mut(self.end..).ok_or(ENOSPC)?;
        let (head, rest) = place.split_first_chunk_mut::<HEAD>().ok_or(ENOSPC)?;
        let place = rest.get_mut(..len).ok_or(ENOSPC)?;
        let part = ekho_event_part {
            type_: kind as u16,
            size: len as u16,
        };
        head.copy_from_slice(part.as_bytes());
        self.end += HEAD + len;
        Ok(place)
    }

    #[inline(always)]
    fn part<T: AsBytes>(&mut self, kind: u32, part: &T) -> Result {
        self.place(kind, size_of::<T>())?
            .copy_from_slice(part.as_bytes());
        Ok(())
    }
}

/// As long as that of bpf/acl.bpf.c.
const RING: usize = 1 << 18;

struct Ring {
    memory: KVVec<u8>,
    end: usize,
}

impl Ring {
    /// Adds a record, whose parts `write` writes.
    fn push(
        &mut self,
        mut event: ekho_event,
        write: impl FnOnce(&mut Record<'_>) -> Result,
    ) -> Result {
        // None is torn in two.
        if self.end + RECORD > self.memory.len() {
            self.end = 0;
        }
        let place = self.memory.get_mut(self.end..);
        let bytes = place
            .and_then(|rest| rest.first_chunk_mut())
            .ok_or(ENOSPC)?;
        let mut record = Record { bytes, end: HEADER };
        write(&mut record)?;
        event.size = record.end as u32;
        self.end += record.end.next_multiple_of(8);
        bytes[..HEADER].copy_from_slice(event.as_bytes());
        Ok(())
    }
}

/// Never freed, like the counters: the guest that measures is short-lived. The lock is taken after
/// all others, by ops, which aren't called from interrupts.
static EVENTS: SetOnce<Pin<KBox<SpinLock<Ring>>>> = SetOnce::new();

/// Sends an event, or fails, so that none is measured that wasn't sent.
fn tell(event: ekho_event, write: impl FnOnce(&mut Record<'_>) -> Result) -> Result {
    EVENTS.as_ref().ok_or(ENODEV)?.lock().push(event, write)
}

/// Writes the event of a new flow.
///
/// # Safety
///
/// `ctx` must be the argument of the op that is running.
unsafe fn tell_replace(ctx: *const ekho_replace_ctx, err: c_int) -> Result {
    // SAFETY: By the requirements of this function it is that of a call.
    let call = unsafe { &*container_of!(ctx, ekho_replace_call, ctx) };
    let ctx = &call.ctx;
    let mut event = event(REPLACE, &ctx.flow, err);
    event.classid = ctx.classid;
    event.keys = ctx.keys;
    // SAFETY: The encoding is valid during the op.
    let rule = unsafe { slice::from_raw_parts(call.encoding, ctx.encoding_size as usize) };
    tell(event, |record| {
        record.place(PART_RULE, rule.len())?.copy_from_slice(rule);
        Ok(())
    })
}

/// Writes the event of a destroyed flow.
fn tell_destroy(ctx: &ekho_destroy_ctx, err: c_int) -> Result {
    tell(event(DESTROY, &ctx.flow, err), |record| {
        let counters = ekho_flow_counters {
            packets: ctx.packets,
            bytes: ctx.bytes,
            drops: ctx.drops,
            last_used_ns: 0,
        };
        record.part(PART_COUNTERS, &counters)
    })
}

/// Sets an op of firmware that is known here; see `contract::table::init_member`.
pub(crate) fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
    let len = user.name.iter().position(|&c| c == 0).unwrap_or(0);
    let (replace, destroy, stats) = match &user.name[..len] {
        b"noop" => (noop as ReplaceOp, noop as DestroyOp, noop as StatsOp),
        b"stats" => (create as ReplaceOp, delete as DestroyOp, report as StatsOp),
        b"acl" => (acl as ReplaceOp, acl_delete as DestroyOp, report as StatsOp),
        _ => return Ok(false),
    };
    if COUNTERS.as_ref().is_none() {
        // SAFETY: The module waits for callbacks when it is removed.
        let callbacks = unsafe { Callbacks::new() };
        COUNTERS.populate(KBox::pin_init(Counters::new(callbacks), GFP_KERNEL)?);
    }
    if EVENTS.as_ref().is_none() {
        let memory = KVVec::from_elem(0, RING, GFP_KERNEL)?;
        EVENTS.populate(KBox::pin_init(
            new_spinlock!(Ring { memory, end: 0 }),
            GFP_KERNEL,
        )?);
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
        counters.insert(Entry::alloc(cookie, [0; 4], GFP_ATOMIC)?, &rcu::read_lock())?;
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
        [ctx.packets, ctx.bytes, ctx.drops, ctx.last_used_ns] = **found.ok_or(ENOENT)?;
        ctx.valid = TOTALS as u8;
        Ok(0)
    })
}

unsafe extern "C" fn acl(ctx: *mut ekho_replace_ctx) -> c_int {
    // SAFETY: As for this function.
    let err = unsafe { enter(ctx) };
    // SAFETY: As for this function.
    match unsafe { tell_replace(ctx, err) } {
        Ok(()) => err,
        Err(error) => error.to_errno(),
    }
}

unsafe extern "C" fn acl_delete(ctx: *mut ekho_destroy_ctx) -> c_int {
    // SAFETY: As for this function.
    let err = unsafe { delete(ctx) };
    // SAFETY: The context is valid for the call.
    match tell_destroy(unsafe { &*ctx }, err) {
        Ok(()) => err,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As for [`create`].
unsafe fn enter(ctx: *mut ekho_replace_ctx) -> c_int {
    // SAFETY: The rule is valid during the op.
    let rule = unsafe { FlowRule::from_raw((*ctx).rule) };
    let fits = || -> Option<bool> {
        let rule = rule?;
        let (basic, _) = rule::key(&rule, KEY_BASIC).ok()?;
        if basic.get(..2)? != ETH_P_IP || *basic.get(2)? != IPPROTO_TCP {
            return None;
        }
        if let Ok((_, mask)) = rule::key(&rule, KEY_PORTS) {
            let whole = |part: &[u8]| part == [0, 0] || part == [0xff, 0xff];
            if !mask.chunks(2).take(2).all(whole) {
                return None;
            }
        }
        // SAFETY: The context is valid for the call.
        let ifindex = unsafe { (*ctx).flow.ifindex };
        let to_itself = |action: ekho_action| action.id == ACT_REDIRECT && action.arg == ifindex;
        Some(!(0..).map_while(|n| rule::action(&rule, n)).any(to_itself))
    };
    if fits() != Some(true) {
        return eopnotsupp().to_errno();
    }
    // SAFETY: As for this function.
    unsafe { create(ctx) }
}
