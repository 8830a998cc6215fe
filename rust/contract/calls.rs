// SPDX-License-Identifier: GPL-2.0-only

//! Calls of ops.
//!
//! The calls are `unsafe`: each goes through a function pointer that the kernel filled in with a
//! BPF trampoline.

use crate::{
    abstractions::{
        bpf::struct_ops::TableRef,
        error::eopnotsupp,
        net::net_device::NetDevice,
        tc::flow_offload::{
            qdisc::{
                QdiscRequest,
                QdiscStats, //
            },
            HnodeRequest,
            StatsDelta, //
        },
    },
    bindings,
    contract::{
        capabilities::Capabilities,
        context::{
            self,
            Insertable,
            ReplaceCtx, //
        },
        flow::FlowArg,
        name::Name,
        ops::{
            for_each_op,
            Op, //
        },
        rule::Rule,
        stats::{
            StatsReport,
            Totals, //
        },
        table::Table, //
    },
};
use core::{
    ffi::c_int,
    mem::offset_of, //
};
use kernel::{
    prelude::*,
    sync::rcu::Guard, //
};

/// The largest errno that means something to user space (`EHWPOISON`).
const ERRNO_LAST: c_int = 133;

/// `EAGAIN`: tc repeats the request on it, forever if each answer is `EAGAIN`.
const ERRNO_AGAIN: c_int = 11;

/// What the contract doesn't allow.
#[derive(Clone, Copy)]
pub(crate) enum Violation {
    /// A result that is neither 0 nor an errno that tc can use.
    Return(c_int),
    /// A queue that the device doesn't have.
    Queue(u16),
}

/// What an op returned.
pub(crate) type OpResult = Result<Result, Violation>;

/// Sorts what an op returned: success, an error, or a violation of the contract.
fn check(ret: c_int) -> OpResult {
    const ENOTSUPP_: c_int = -524;
    match ret {
        0 => Ok(Ok(())),
        ENOTSUPP_ => Ok(Err(eopnotsupp())),
        _ if (-ERRNO_LAST..0).contains(&ret) && ret != -ERRNO_AGAIN => {
            Ok(Err(Error::from_errno(ret)))
        }
        _ => Err(Violation::Return(ret)),
    }
}

// The argument is at the start of the call.
const _: () = assert!(offset_of!(bindings::ekho_stats_call, ctx) == 0);

/// A table in use.
pub(crate) struct Ops(TableRef<Table>);

impl Ops {
    pub(crate) fn new(table: TableRef<Table>) -> Self {
        Self(table)
    }

    /// The ifindex that the loader chose, or 0.
    pub(crate) fn ifindex(&self) -> u32 {
        self.0.ifindex
    }

    pub(crate) fn abi(&self) -> u32 {
        self.0.abi_version
    }

    pub(crate) fn name(&self) -> Name {
        Name::of(&self.0)
    }

    /// The same in place, NUL-terminated.
    #[inline]
    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.0.name
    }

    /// Whether the firmware has an op.
    pub(crate) fn has(&self, op: Op) -> bool {
        macro_rules! has {
            ($($variant:ident $member:ident $presence:ident $result:ident,)*) => {
                match op {
                    $(Op::$variant => self.0.$member.is_some(),)*
                }
            };
        }
        for_each_op!(has)
    }

    /// What the device can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities::of(&self.0)
    }

    pub(crate) fn attach(&self, dev: &NetDevice, generation: u32) -> OpResult {
        let Some(op) = self.0.attach else {
            return Ok(Ok(()));
        };
        let mut ctx = bindings::ekho_attach_ctx {
            dev: context::device(dev, generation),
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        check(unsafe { op(&mut ctx) })
    }

    pub(crate) fn detach(&self, dev: &NetDevice, generation: u32) {
        let Some(op) = self.0.detach else { return };
        let mut ctx = bindings::ekho_detach_ctx {
            dev: context::device(dev, generation),
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        unsafe { op(&mut ctx) };
    }

    pub(crate) fn replace(&self, ctx: &mut ReplaceCtx<'_>, _guard: &Guard) -> OpResult {
        let op = self.0.replace.ok_or(Violation::Return(0))?;
        // SAFETY: The table is valid, and so are its trampolines; the argument is valid for the
        // call, and so is the rule.
        check(unsafe { op(ctx.as_raw()) })
    }

    pub(crate) fn destroy(
        &self,
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        totals: &Totals,
        _guard: &Guard,
    ) -> OpResult {
        let mut ctx = bindings::ekho_destroy_ctx {
            flow: context::flow(dev, flow),
            packets: totals.packets,
            bytes: totals.bytes,
            drops: totals.drops,
        };
        let op = self.0.destroy.ok_or(Violation::Return(0))?;
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        check(unsafe { op(&mut ctx) })
    }

    /// Asks for the counters of the action with cookie `action`, or of the whole flow if that is 0.
    /// None if the firmware reported nothing.
    pub(crate) fn stats(
        &self,
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        action: u64,
        _guard: &Guard,
    ) -> (OpResult, Option<StatsReport>) {
        let mut call = bindings::ekho_stats_call {
            ctx: bindings::ekho_stats_ctx {
                flow: context::flow(dev, flow),
                action,
                ..pin_init::zeroed()
            },
            map: 0,
        };
        let Some(op) = self.0.stats else {
            return (Err(Violation::Return(0)), None);
        };
        // SAFETY: The table is valid, and so are its trampolines; the argument is valid for the
        // call, with what is behind it.
        let result = check(unsafe { op((&raw mut call).cast()) });
        let ctx = &call.ctx;
        let counted = match u32::from(ctx.valid) {
            bindings::ekho_stats_kind_EKHO_STATS_TOTALS => Some(StatsReport::Totals {
                totals: Totals {
                    packets: ctx.packets,
                    bytes: ctx.bytes,
                    drops: ctx.drops,
                    last_used_ns: ctx.last_used_ns,
                },
                map: call.map,
            }),
            bindings::ekho_stats_kind_EKHO_STATS_DELTAS => Some(StatsReport::Deltas(StatsDelta {
                packets: ctx.packets,
                bytes: ctx.bytes,
                drops: ctx.drops,
                last_used_ns: ctx.last_used_ns,
            })),
            _ => None,
        };
        (result, counted)
    }

    /// None if the firmware doesn't have the op.
    pub(crate) fn template_create(
        &self,
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        rule: &Rule<'_>,
        capabilities: &Capabilities,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.template_create?;
        let mut ctx = ReplaceCtx::new(dev, flow, rule, &Insertable::NoTables, capabilities);
        // SAFETY: The table is valid, and so are its trampolines; the argument is valid for the
        // call, and so is the rule.
        Some(check(unsafe { op(ctx.as_raw()) }))
    }

    /// None if the firmware doesn't have the op.
    pub(crate) fn template_destroy(
        &self,
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.template_destroy?;
        let mut ctx = bindings::ekho_destroy_ctx {
            flow: context::flow(dev, flow),
            packets: 0,
            bytes: 0,
            drops: 0,
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        Some(check(unsafe { op(&mut ctx) }))
    }

    /// None if the firmware doesn't have the op.
    pub(crate) fn hnode(
        &self,
        dev: &NetDevice,
        generation: u32,
        request: &HnodeRequest<'_>,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.hnode?;
        let mut ctx = bindings::ekho_hnode_ctx {
            dev: context::device(dev, generation),
            command: if request.is_new() {
                bindings::ekho_hnode_command_EKHO_HNODE_NEW
            } else {
                bindings::ekho_hnode_command_EKHO_HNODE_DELETE
            },
            handle: request.handle(),
            divisor: request.divisor(),
            chain_index: request.chain_index(),
            prio: request.prio(),
            skip_sw: request.skip_sw().into(),
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        Some(check(unsafe { op(&mut ctx) }))
    }

    /// None if the firmware doesn't have the op.
    pub(crate) fn qdisc(
        &self,
        generation: u32,
        request: &QdiscRequest<'_>,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.qdisc?;
        let mut ctx = bindings::ekho_qdisc_ctx {
            dev: context::device(request.dev(), generation),
            type_: request.kind(),
            mqprio: request.mqprio(),
            taprio: request.taprio(),
            ets: request.ets(),
            red: request.red(),
            gred: request.gred(),
            tbf: request.tbf(),
            prio: request.prio(),
            htb: request.htb(),
            fifo: request.fifo(),
            cbs: request.cbs(),
            etf: request.etf(),
            mq: request.mq(),
            root: request.root(),
            packets: 0,
            bytes: 0,
            drops: 0,
            overlimits: 0,
            valid: 0,
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call, and
        // so is the request.
        let result = check(unsafe { op(&mut ctx) });
        // The kernel uses the queue without a check.
        if let Some(queue) = request.queue_beyond() {
            return Some(Err(Violation::Queue(queue)));
        }
        if ctx.valid != 0 {
            request.add_stats(QdiscStats {
                packets: ctx.packets,
                bytes: ctx.bytes,
                drops: ctx.drops,
                overlimits: ctx.overlimits,
            });
        }
        Some(result)
    }
}
