// SPDX-License-Identifier: GPL-2.0-only

//! The firmware contract from Rust: the table of `c/abi.h`, and calls through it.
//!
//! The calls are `unsafe`: each goes through a function pointer that the kernel filled in with a BPF
//! trampoline.

use crate::{
    abstractions::{
        flow_rule::FlowRule,
        net_device::NetDevice,
        struct_ops::{
            Parts,
            TableRef, //
        },
    },
    bindings,
    flows::{
        Position,
        Totals, //
    },
};
use core::{
    ffi::c_int,
    fmt,
    mem::offset_of, //
};
use kernel::{
    prelude::*,
    sync::rcu::Guard, //
};

/// The C table.
pub(crate) type Table = bindings::bpf_flow_offload_ops;

/// The newest contract.
pub(crate) const ABI: u32 = bindings::bpf_flow_offload_abi_BPF_FLOW_OFFLOAD_ABI;

/// The largest errno that means something to user space (`EHWPOISON`).
const ERRNO_LAST: c_int = 133;

/// `EAGAIN`, which makes tc start all over, without end if the answer stays the same.
const ERRNO_AGAIN: c_int = 11;

/// An op's result that the contract doesn't allow.
#[derive(Clone, Copy)]
pub(crate) struct Violation(pub(crate) c_int);

/// What an op returned.
pub(crate) type OpResult = Result<Result, Violation>;

/// Sorts what an op returned: yes, no with a reason, or nonsense.
fn check(ret: c_int) -> OpResult {
    const ENOTSUPP_: c_int = -524;
    match ret {
        0 => Ok(Ok(())),
        ENOTSUPP_ => Ok(Err(crate::abstractions::flow_offload::eopnotsupp())),
        _ if (-ERRNO_LAST..0).contains(&ret) && ret != -ERRNO_AGAIN => {
            Ok(Err(Error::from_errno(ret)))
        }
        _ => Err(Violation(ret)),
    }
}

/// The name of a firmware, NUL-terminated.
#[derive(Clone, Copy)]
pub(crate) struct Name([u8; bindings::EKHO_NAME_MAX as usize]);

impl Name {
    /// Checks what user space wrote.
    fn new(bytes: [u8; bindings::EKHO_NAME_MAX as usize]) -> Result<Self> {
        let len = bytes.iter().position(|&c| c == 0).ok_or(EINVAL)?;
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || b"_.-".contains(c);
        if len == 0 || !bytes[..len].iter().all(allowed) {
            return Err(EINVAL);
        }
        Ok(Self(bytes))
    }

    /// For C.
    pub(super) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl kernel::fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.iter().position(|&c| c == 0).unwrap_or(0);
        f.write_str(core::str::from_utf8(&self.0[..len]).unwrap_or("?"))
    }
}

/// The C side of the type.
pub(crate) fn parts() -> Parts {
    Parts {
        cfi_stubs: (&raw mut bindings::ekho_cfi_stubs).cast(),
        verifier_ops: &raw const bindings::ekho_verifier_ops,
        register: bindings::ekho_register_struct_ops,
    }
}

/// Makes the kfuncs known to struct_ops programs.
pub(crate) fn register_kfuncs(module: &'static ThisModule) -> Result {
    // SAFETY: The module is being initialised.
    kernel::error::to_result(unsafe { bindings::ekho_register_kfuncs(module.as_ptr().cast()) })
}

/// Takes over a data member; see `StructOps::init_member`.
pub(crate) fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
    if offset == offset_of!(Table, abi_version) {
        if !(1..=ABI).contains(&user.abi_version) {
            return Err(Error::from_errno(-(bindings::EPROTONOSUPPORT as c_int)));
        }
        table.abi_version = user.abi_version;
    } else if offset == offset_of!(Table, ifindex) {
        table.ifindex = user.ifindex;
    } else if offset == offset_of!(Table, name) {
        table.name = Name::new(user.name)?.0;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Checks that the table is complete; see `StructOps::validate`. Its data was checked by
/// [`init_member`], which the kernel calls for each member.
pub(crate) fn validate(table: &Table) -> Result {
    if table.replace.is_none() || table.destroy.is_none() || table.stats.is_none() {
        return Err(EINVAL);
    }
    Ok(())
}

/// A device as firmware sees it.
fn device(dev: &NetDevice, generation: u32) -> bindings::ekho_device {
    bindings::ekho_device {
        ifindex: dev.ifindex(),
        generation,
        name: *dev.name().bytes(),
    }
}

/// A flow as firmware sees it.
fn flow(dev: &NetDevice, cookie: u64, position: &Position) -> bindings::ekho_flow {
    bindings::ekho_flow {
        cookie,
        ifindex: dev.ifindex(),
        chain_index: position.chain_index,
        prio: position.prio,
        protocol: position.protocol,
        skip_sw: position.skip_sw.into(),
    }
}

/// A table in use.
pub(crate) struct Ops(TableRef<Table>);

impl Ops {
    pub(crate) fn new(table: TableRef<Table>) -> Self {
        Self(table)
    }

    /// The device that the loader chose, or 0.
    pub(crate) fn ifindex(&self) -> u32 {
        self.0.ifindex
    }

    pub(crate) fn abi(&self) -> u32 {
        self.0.abi_version
    }

    pub(crate) fn name(&self) -> Name {
        // The kernel checked the name when user space wrote it.
        Name(self.0.name)
    }

    /// The ops that there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.0.attach.is_some(), "attach"),
            (self.0.detach.is_some(), "detach"),
            (self.0.replace.is_some(), "replace"),
            (self.0.destroy.is_some(), "destroy"),
            (self.0.stats.is_some(), "stats"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }

    pub(super) fn attach(&self, dev: &NetDevice, generation: u32) -> OpResult {
        let Some(op) = self.0.attach else {
            return Ok(Ok(()));
        };
        let mut ctx = bindings::ekho_attach_ctx {
            dev: device(dev, generation),
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        check(unsafe { op(&mut ctx) })
    }

    pub(super) fn detach(&self, dev: &NetDevice, generation: u32) {
        let Some(op) = self.0.detach else { return };
        let mut ctx = bindings::ekho_detach_ctx {
            dev: device(dev, generation),
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        unsafe { op(&mut ctx) };
    }

    pub(super) fn replace(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        classid: u32,
        rule: &FlowRule<'_>,
        _guard: &Guard,
    ) -> OpResult {
        let mut ctx = bindings::ekho_replace_ctx {
            flow: flow(dev, cookie, position),
            classid,
            n_actions: rule.n_actions(),
            rule: rule.as_raw(),
        };
        let op = self.0.replace.ok_or(Violation(0))?;
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call, and
        // so is the rule.
        check(unsafe { op(&mut ctx) })
    }

    pub(super) fn destroy(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        totals: &Totals,
        _guard: &Guard,
    ) -> OpResult {
        let mut ctx = bindings::ekho_destroy_ctx {
            flow: flow(dev, cookie, position),
            packets: totals.packets,
            bytes: totals.bytes,
            drops: totals.drops,
        };
        let op = self.0.destroy.ok_or(Violation(0))?;
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        check(unsafe { op(&mut ctx) })
    }

    /// The totals, if the firmware gave any.
    pub(super) fn stats(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        _guard: &Guard,
    ) -> (OpResult, Option<Totals>) {
        let mut ctx = bindings::ekho_stats_ctx {
            flow: flow(dev, cookie, position),
            ..pin_init::zeroed()
        };
        let Some(op) = self.0.stats else {
            return (Err(Violation(0)), None);
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        let result = check(unsafe { op(&mut ctx) });
        let totals = (ctx.valid != 0).then_some(Totals {
            packets: ctx.packets,
            bytes: ctx.bytes,
            drops: ctx.drops,
            last_used_ns: ctx.last_used_ns,
        });
        (result, totals)
    }
}
