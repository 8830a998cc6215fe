// SPDX-License-Identifier: GPL-2.0-only

//! The firmware contract from Rust: the table of `c/abi.h`, and calls through it.
//!
//! The calls are `unsafe`: each goes through a function pointer that the kernel filled in with a BPF
//! trampoline.

use crate::{
    abstractions::{
        bpf::struct_ops::{
            Parts,
            TableRef, //
        },
        net::net_device::NetDevice,
        tc::{
            flow_offload::{
                qdisc::{
                    QdiscRequest,
                    QdiscStats, //
                },
                HnodeRequest,
                StatsDelta, //
            },
            flow_rule::FlowRule, //
        },
    },
    bindings,
    flows::{
        Flow,
        Position,
        Source,
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
    sync::{
        atomic::Atomic,
        rcu::Guard, //
    },
};

/// The reason of a refusal: printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason([u8; bindings::EKHO_REASON_MAX as usize]);

impl Reason {
    /// No reason.
    pub(crate) const NONE: Self = Self([0; bindings::EKHO_REASON_MAX as usize]);

    /// The text up to the first NUL, cut, and with what can't be printed replaced.
    pub(super) fn new(text: impl Iterator<Item = u8>) -> Self {
        let mut reason = Self::NONE;
        let room = reason.0.len() - 1;
        let printable = |c: u8| if matches!(c, b' '..=b'~') { c } else { b'?' };
        let text = text.take_while(|&c| c != 0);
        for (to, c) in reason.0[..room].iter_mut().zip(text) {
            *to = printable(c);
        }
        reason
    }

    /// A sentence of the module's own.
    pub(crate) fn of(text: kernel::fmt::Arguments<'_>) -> Self {
        struct Cut(Reason, usize);

        impl kernel::fmt::Write for Cut {
            fn write_str(&mut self, s: &str) -> fmt::Result {
                let room = self.0 .0.len() - 1;
                for c in s.bytes() {
                    if self.1 < room {
                        self.0 .0[self.1] = c;
                        self.1 += 1;
                    }
                }
                Ok(())
            }
        }
        let mut cut = Cut(Self::NONE, 0);
        // Never fails.
        let _ = kernel::fmt::Write::write_fmt(&mut cut, text);
        cut.0
    }

    /// Whether none was given.
    pub(crate) fn is_none(&self) -> bool {
        self.0[0] == 0
    }

    /// For C.
    pub(super) fn bytes(&self) -> &[u8; bindings::EKHO_REASON_MAX as usize] {
        &self.0
    }
}

impl kernel::fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.iter().position(|&c| c == 0).unwrap_or(0);
        f.write_str(core::str::from_utf8(&self.0[..len]).unwrap_or("?"))
    }
}

/// What a device can do, as its firmware declares it; 0 leaves a thing open.
#[derive(Clone, Copy)]
pub(crate) struct Capabilities {
    pub(crate) keys: u64,
    pub(crate) actions: u64,
    pub(crate) classifiers: u32,
    pub(crate) hw_stats: u32,
    pub(crate) max_flows: u32,
    pub(crate) max_chains: u32,
    pub(crate) prio_min: u32,
    pub(crate) prio_max: u32,
    pub(crate) max_actions: u32,
    pub(crate) flow_size: u32,
    pub(crate) budget_us: u32,
    /// Whether there is something besides `hw_stats` for which a flow may be refused.
    limits: bool,
}

/// Ways of counting if the firmware doesn't say.
const HW_STATS: u32 =
    bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED | bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED;

const _: () = {
    // The contract's bits are the kernel's.
    assert!(
        bindings::ekho_hw_stats_EKHO_HW_STATS_IMMEDIATE
            == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_IMMEDIATE
    );
    assert!(
        bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED
            == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED
    );
    assert!(
        bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED
            == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DISABLED
    );
};

impl Capabilities {
    /// Whether a flow is beyond what the device can do, and why.
    #[inline]
    pub(crate) fn refuse(&self, position: &Position, wanted: &Wanted<'_>) -> Option<Reason> {
        if wanted.hw_stats & self.hw_stats != 0 && !self.limits {
            return None;
        }
        self.find_reason(position, wanted)
    }

    fn find_reason(&self, position: &Position, wanted: &Wanted<'_>) -> Option<Reason> {
        let class = position.source.number();
        if self.classifiers != 0 && self.classifiers & (1 << class) == 0 {
            return Some(Reason::of(fmt!(
                "the device doesn't offload {}",
                position.source
            )));
        }
        if position.source.has_place() {
            if self.max_chains != 0 && position.chain_index >= self.max_chains {
                return Some(Reason::of(fmt!(
                    "chain {}: the device has chains 0 to {}",
                    position.chain_index,
                    self.max_chains - 1
                )));
            }
            if position.prio < self.prio_min
                || (self.prio_max != 0 && position.prio > self.prio_max)
            {
                let lowest = self.prio_min.max(1);
                let highest = match self.prio_max {
                    0 => u16::MAX.into(),
                    highest => highest,
                };
                return Some(Reason::of(fmt!(
                    "pref {}: the device has {} to {}",
                    position.prio,
                    lowest,
                    highest
                )));
            }
        }
        if self.keys != 0 {
            if let Some(field) = wanted.rule.field_of(wanted.keys & !self.keys) {
                return Some(Reason::of(fmt!("the device can't match {}", field)));
            }
        }
        if self.actions != 0 {
            if let Some(action) = wanted.rule.action_beyond(self.actions) {
                return Some(Reason::of(fmt!("the device can't do action {}", action)));
            }
        }
        let n_actions = wanted.rule.n_actions();
        if self.max_actions != 0 && n_actions > self.max_actions {
            return Some(Reason::of(fmt!(
                "{} actions: the device does {} at most",
                n_actions,
                self.max_actions
            )));
        }
        if wanted.hw_stats & self.hw_stats == 0 {
            return Some(Reason::of(fmt!(
                "hw_stats {}can't be had; use {}or any",
                HwStatsList(wanted.hw_stats),
                HwStatsList(self.hw_stats)
            )));
        }
        None
    }

    /// A flow that the device has to decide on.
    pub(super) fn offer(&self, dev: &NetDevice, new: &Flow, wanted: &Wanted<'_>) -> Offer {
        let flow = flow(dev, new.cookie, &new.position, new.data());
        Offer(self.context(flow, wanted))
    }

    fn context(
        &self,
        flow: bindings::ekho_flow,
        wanted: &Wanted<'_>,
    ) -> bindings::ekho_replace_ctx {
        let hw_stats = wanted.hw_stats & self.hw_stats;
        bindings::ekho_replace_ctx {
            flow,
            classid: wanted.classid,
            n_actions: wanted.rule.n_actions(),
            rule: wanted.rule.as_raw(),
            keys: wanted.keys,
            u32_: wanted.knode,
            action: wanted.rule.action_raw(),
            hw_stats,
            chosen_hw_stats: self.default_hw_stats(hw_stats),
            reason: *Reason::NONE.bytes(),
            counts_actions: 0,
        }
    }

    /// How a flow is counted unless the firmware chooses: one of the ways that suit its actions.
    fn default_hw_stats(&self, wanted: u32) -> u32 {
        let can = wanted & self.hw_stats;
        [
            bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED,
            bindings::ekho_hw_stats_EKHO_HW_STATS_IMMEDIATE,
            bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED,
        ]
        .into_iter()
        .find(|way| can & way != 0)
        .unwrap_or(bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED)
    }
}

/// The name of a way of counting, as tc(8) has it.
pub(crate) fn hw_stats_name(bit: u32) -> &'static str {
    match bit {
        bindings::ekho_hw_stats_EKHO_HW_STATS_IMMEDIATE => "immediate",
        bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED => "delayed",
        _ => "disabled",
    }
}

/// Names of ways of counting, each with a blank behind it.
struct HwStatsList(u32);

impl kernel::fmt::Display for HwStatsList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while rest != 0 {
            f.write_str(hw_stats_name(rest & rest.wrapping_neg()))?;
            rest &= rest - 1;
            f.write_str(if rest == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

/// Whether flows that count in this way aren't asked for statistics.
pub(crate) fn hw_stats_disabled(bit: u32) -> bool {
    bit == bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED
}

/// The C table.
pub(crate) type Table = bindings::bpf_flow_offload_ops;

/// The newest contract.
pub(crate) const ABI: u32 = bindings::bpf_flow_offload_abi_BPF_FLOW_OFFLOAD_ABI;

/// The largest errno that means something to user space (`EHWPOISON`).
const ERRNO_LAST: c_int = 133;

/// `EAGAIN`, which makes tc start all over, without end if the answer stays the same.
const ERRNO_AGAIN: c_int = 11;

/// What the contract doesn't allow.
#[derive(Clone, Copy)]
pub(crate) enum Violation {
    /// A result that is neither 0 nor an errno that tc can use.
    Return(c_int),
    /// A queue that the device hasn't got.
    Queue(u16),
}

/// What an op returned.
pub(crate) type OpResult = Result<Result, Violation>;

/// Sorts what an op returned: yes, no with a reason, or nonsense.
fn check(ret: c_int) -> OpResult {
    const ENOTSUPP_: c_int = -524;
    match ret {
        0 => Ok(Ok(())),
        ENOTSUPP_ => Ok(Err(crate::abstractions::error::eopnotsupp())),
        _ if (-ERRNO_LAST..0).contains(&ret) && ret != -ERRNO_AGAIN => {
            Ok(Err(Error::from_errno(ret)))
        }
        _ => Err(Violation::Return(ret)),
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
    #[cfg(ekho_native)]
    if crate::native::init_member(table, user, offset)? {
        return Ok(true);
    }
    macro_rules! plain {
        ($($member:ident),*) => {
            $(if offset == offset_of!(Table, $member) {
                table.$member = user.$member;
                return Ok(true);
            })*
        };
    }
    if offset == offset_of!(Table, abi_version) {
        if !(1..=ABI).contains(&user.abi_version) {
            return Err(Error::from_errno(-(bindings::EPROTONOSUPPORT as c_int)));
        }
        table.abi_version = user.abi_version;
    } else if offset == offset_of!(Table, name) {
        table.name = Name::new(user.name)?.0;
    } else if offset == offset_of!(Table, flow_size) {
        if user.flow_size > bindings::EKHO_FLOW_SIZE_MAX {
            return Err(E2BIG);
        }
        table.flow_size = user.flow_size;
    } else {
        plain!(
            ifindex,
            keys,
            actions,
            classifiers,
            hw_stats,
            max_flows,
            max_chains,
            prio_min,
            prio_max,
            max_actions,
            budget_us
        );
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
fn flow(
    dev: &NetDevice,
    cookie: u64,
    position: &Position,
    data: &[Atomic<u64>],
) -> bindings::ekho_flow {
    bindings::ekho_flow {
        cookie,
        ifindex: dev.ifindex(),
        chain_index: position.chain_index,
        prio: position.prio,
        protocol: position.protocol,
        skip_sw: position.skip_sw.into(),
        classifier: position.source.number() as u8,
        block_index: position.block_index,
        hooks: position.hooks,
        data_size: size_of_val(data) as u16,
        data: if data.is_empty() {
            core::ptr::null_mut()
        } else {
            data.as_ptr().cast_mut().cast()
        },
    }
}

impl Source {
    /// The names of those whose bits are set.
    pub(crate) fn names(set: u32) -> impl Iterator<Item = &'static str> {
        [
            Self::Flower,
            Self::Matchall,
            Self::U32,
            Self::Nft,
            Self::Flowtable,
            Self::Action,
        ]
        .into_iter()
        .filter(move |source| set & (1 << source.number()) != 0)
        .map(Self::name)
    }

    /// `enum ekho_classifier`.
    fn number(self) -> u32 {
        match self {
            Self::Flower => bindings::ekho_classifier_EKHO_CLS_FLOWER,
            Self::Matchall => bindings::ekho_classifier_EKHO_CLS_MATCHALL,
            Self::U32 => bindings::ekho_classifier_EKHO_CLS_U32,
            Self::Nft => bindings::ekho_classifier_EKHO_CLS_NFT,
            Self::Flowtable => bindings::ekho_classifier_EKHO_CLS_FLOWTABLE,
            Self::Action => bindings::ekho_classifier_EKHO_CLS_ACTION,
        }
    }
}

/// Bits of `enum ekho_hook`.
pub(crate) const HOOK_INGRESS: u8 = bindings::ekho_hook_EKHO_HOOK_INGRESS as u8;
/// See [`HOOK_INGRESS`].
pub(crate) const HOOK_EGRESS: u8 = bindings::ekho_hook_EKHO_HOOK_EGRESS as u8;

/// A new flow that firmware is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) rule: FlowRule<'a>,
    pub(crate) classid: u32,
    pub(crate) knode: *mut bindings::tc_cls_u32_knode,
    /// See [`FlowRule::read`].
    keys: u64,
    /// See [`FlowRule::hw_stats`].
    hw_stats: u32,
}

impl<'a> Wanted<'a> {
    /// `keys` is what `rule` matches: see [`FlowRule::read`].
    pub(crate) fn new(
        rule: FlowRule<'a>,
        keys: u64,
        classid: u32,
        knode: *mut bindings::tc_cls_u32_knode,
    ) -> Self {
        Self {
            rule,
            classid,
            knode,
            keys,
            hw_stats: rule.hw_stats(),
        }
    }
}

/// A new flow as firmware sees it, and what it says about it.
pub(super) struct Offer(bindings::ekho_replace_ctx);

impl Offer {
    /// Why it is refused, if it is.
    pub(super) fn reason(&self) -> Reason {
        Reason(self.0.reason)
    }

    /// On which terms it is taken, if it is.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            hw_stats: self.0.chosen_hw_stats,
            counts_actions: self.0.counts_actions != 0,
        }
    }
}

/// On which terms firmware takes a flow.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms {
    /// How it is counted: one bit of `enum ekho_hw_stats`.
    pub(crate) hw_stats: u32,
    /// Whether its actions are counted one by one, if it is.
    counts_actions: bool,
}

impl Terms {
    /// Whether its actions are to be asked for one by one.
    pub(crate) fn by_action(&self) -> bool {
        self.counts_actions && !hw_stats_disabled(self.hw_stats)
    }
}

/// What a flow has counted, as firmware tells it.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    /// Since it was accepted.
    Totals(Totals),
    /// Since it was last asked.
    Deltas(StatsDelta),
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

    /// The same for C.
    pub(super) fn c_name(&self) -> &[u8; bindings::EKHO_NAME_MAX as usize] {
        &self.0.name
    }

    /// The ops that there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.0.attach.is_some(), "attach"),
            (self.0.detach.is_some(), "detach"),
            (self.0.replace.is_some(), "replace"),
            (self.0.destroy.is_some(), "destroy"),
            (self.0.stats.is_some(), "stats"),
            (self.0.template_create.is_some(), "template_create"),
            (self.0.template_destroy.is_some(), "template_destroy"),
            (self.0.hnode.is_some(), "hnode"),
            (self.0.qdisc.is_some(), "qdisc"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }

    /// Whether it cares about hash tables of u32.
    pub(crate) fn has_hnode(&self) -> bool {
        self.0.hnode.is_some()
    }

    /// What the device can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let table = &self.0;
        Capabilities {
            keys: table.keys,
            actions: table.actions,
            classifiers: table.classifiers,
            hw_stats: match table.hw_stats {
                0 => HW_STATS,
                hw_stats => hw_stats,
            },
            max_flows: table.max_flows,
            max_chains: table.max_chains,
            prio_min: table.prio_min,
            prio_max: table.prio_max,
            max_actions: table.max_actions,
            flow_size: table.flow_size,
            budget_us: match table.budget_us {
                0 => crate::default_budget_us(),
                budget_us => budget_us,
            },
            limits: table.keys != 0
                || table.actions != 0
                || table.classifiers != 0
                || table.max_chains != 0
                || table.prio_min != 0
                || table.prio_max != 0
                || table.max_actions != 0,
        }
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

    pub(super) fn replace(&self, offer: &mut Offer, _guard: &Guard) -> OpResult {
        let op = self.0.replace.ok_or(Violation::Return(0))?;
        // SAFETY: The table is valid, and so are its trampolines; the argument is valid for the
        // call, and so is the rule.
        check(unsafe { op(&mut offer.0) })
    }

    pub(super) fn destroy(
        &self,
        dev: &NetDevice,
        flow_: &Flow,
        totals: &Totals,
        _guard: &Guard,
    ) -> OpResult {
        let mut ctx = bindings::ekho_destroy_ctx {
            flow: flow(dev, flow_.cookie, &flow_.position, flow_.data()),
            packets: totals.packets,
            bytes: totals.bytes,
            drops: totals.drops,
        };
        let op = self.0.destroy.ok_or(Violation::Return(0))?;
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        check(unsafe { op(&mut ctx) })
    }

    /// What the firmware told, if anything, of the action with a cookie, or of the whole flow if
    /// that is 0.
    pub(super) fn stats(
        &self,
        dev: &NetDevice,
        flow_: &Flow,
        action: u64,
        _guard: &Guard,
    ) -> (OpResult, Option<Counted>) {
        let mut ctx = bindings::ekho_stats_ctx {
            flow: flow(dev, flow_.cookie, &flow_.position, flow_.data()),
            action,
            ..pin_init::zeroed()
        };
        let Some(op) = self.0.stats else {
            return (Err(Violation::Return(0)), None);
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        let result = check(unsafe { op(&mut ctx) });
        let counted = match u32::from(ctx.valid) {
            bindings::ekho_stats_kind_EKHO_STATS_TOTALS => Some(Counted::Totals(Totals {
                packets: ctx.packets,
                bytes: ctx.bytes,
                drops: ctx.drops,
                last_used_ns: ctx.last_used_ns,
            })),
            bindings::ekho_stats_kind_EKHO_STATS_DELTAS => Some(Counted::Deltas(StatsDelta {
                packets: ctx.packets,
                bytes: ctx.bytes,
                drops: ctx.drops,
                last_used_ns: ctx.last_used_ns,
            })),
            _ => None,
        };
        (result, counted)
    }

    /// None if the firmware doesn't care.
    pub(super) fn template_create(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        wanted: &Wanted<'_>,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.template_create?;
        let flow = flow(dev, cookie, position, &[]);
        let mut ctx = self.capabilities().context(flow, wanted);
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call, and
        // so is the rule.
        Some(check(unsafe { op(&mut ctx) }))
    }

    /// None if the firmware doesn't care.
    pub(super) fn template_destroy(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.template_destroy?;
        let mut ctx = bindings::ekho_destroy_ctx {
            flow: flow(dev, cookie, position, &[]),
            packets: 0,
            bytes: 0,
            drops: 0,
        };
        // SAFETY: The table is valid, and so are its trampolines; `ctx` is valid for the call.
        Some(check(unsafe { op(&mut ctx) }))
    }

    /// None if the firmware doesn't care.
    pub(super) fn hnode(
        &self,
        dev: &NetDevice,
        generation: u32,
        request: &HnodeRequest<'_>,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.hnode?;
        let mut ctx = bindings::ekho_hnode_ctx {
            dev: device(dev, generation),
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

    /// None if the firmware doesn't serve qdiscs.
    pub(super) fn qdisc(
        &self,
        dev: &NetDevice,
        generation: u32,
        request: &QdiscRequest,
        _guard: &Guard,
    ) -> Option<OpResult> {
        let op = self.0.qdisc?;
        let mut ctx = bindings::ekho_qdisc_ctx {
            dev: device(dev, generation),
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
        // The kernel would take it without a look.
        if let Some(queue) = request.queue_beyond(dev.num_tx_queues()) {
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
