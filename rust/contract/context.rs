// SPDX-License-Identifier: GPL-2.0-only

//! Arguments of ops: what several of them share, and the context of `replace`.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice, //
    },
    bindings,
    contract::{
        capabilities::Capabilities,
        flow::FlowArg,
        hw_stats::{
            self,
            hw_stats_disabled, //
        },
        reason::Reason,
        rule::{
            Rule,
            FEW_ACTIONS, //
        },
    },
};
use core::mem::offset_of;
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A device as firmware sees it.
pub(super) fn device(dev: &NetDevice, generation: u32) -> bindings::ekho_device {
    bindings::ekho_device {
        ifindex: dev.ifindex(),
        generation,
        name: *dev.name().bytes(),
    }
}

/// A flow as firmware sees it.
pub(super) fn flow(dev: &NetDevice, flow: &FlowArg<'_>) -> bindings::ekho_flow {
    let FlowArg {
        cookie,
        position,
        data,
    } = *flow;
    bindings::ekho_flow {
        cookie,
        ifindex: dev.ifindex(),
        chain_index: position.chain_index,
        prio: position.prio,
        protocol: position.protocol,
        skip_sw: position.skip_sw.into(),
        classifier: position.classifier.number() as u8,
        block_index: position.block_index,
        hooks: position.hooks,
        data_size: size_of_val(data) as u16,
        data: if data.is_empty() {
            core::ptr::null_mut()
        } else {
            data.as_ptr().cast_mut().cast()
        },
        ct_zone: position.ct_zone,
    }
}

/// Whether a rule can be inserted into the tables of the device.
pub(crate) enum Insertable {
    Yes,
    /// It can't be executed as the kernel's software would.
    No(Reason),
    /// The firmware has declared none.
    NoTables,
}

/// The argument of `replace`: a rule, and the firmware's answer.
///
/// # Invariants
///
/// `few` has room for a record of each action of the rule, or `many` has. The call has the encoding of
/// the rule, which lives as long.
pub(crate) struct ReplaceCtx<'a> {
    call: bindings::ekho_replace_call,
    few: [Opaque<bindings::ekho_action>; FEW_ACTIONS],
    many: &'a [Opaque<bindings::ekho_action>],
}

// The argument is at the start of the call.
const _: () = assert!(offset_of!(bindings::ekho_replace_call, ctx) == 0);

impl<'a> ReplaceCtx<'a> {
    /// Describes a rule to the firmware that is about to be asked.
    pub(crate) fn new(
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        rule: &'a Rule<'_>,
        insertable: &'a Insertable,
        capabilities: &Capabilities,
    ) -> Self {
        let hw_stats = rule.hw_stats & capabilities.hw_stats;
        let (encoding, encoding_size) = rule.encoding_and_room();
        let ctx = bindings::ekho_replace_ctx {
            flow: self::flow(dev, flow),
            classid: rule.classid,
            n_actions: rule.rule.n_actions(),
            rule: rule.rule.as_raw(),
            keys: rule.keys,
            u32_: rule.knode.map_or(core::ptr::null_mut(), |knode| {
                (&raw const *knode).cast_mut()
            }),
            action: rule.rule.action_raw(),
            hw_stats,
            chosen_hw_stats: hw_stats::choose(hw_stats),
            reason: *Reason::NONE.bytes(),
            counts_actions: 0,
            encoding_size: encoding_size as u32,
        };
        // INVARIANT: A rule with more than a few actions brings the memory. It is borrowed, and its
        // encoding with it.
        Self {
            call: bindings::ekho_replace_call {
                ctx,
                actions: core::ptr::null_mut(),
                encoding: encoding.as_ptr(),
                encoding_room: encoding.len() as u32,
                insertable: match insertable {
                    Insertable::Yes => 0,
                    Insertable::No(_) => eopnotsupp().to_errno(),
                    Insertable::NoTables => ENOENT.to_errno(),
                },
                insert_reason: match insertable {
                    Insertable::No(reason) => reason.bytes().as_ptr(),
                    Insertable::Yes | Insertable::NoTables => core::ptr::null(),
                },
                inserted: false,
            },
            few: [const { Opaque::uninit() }; FEW_ACTIONS],
            many: &rule.action_records,
        }
    }

    /// The argument of the op: valid, with what is behind it, until `self` is used again.
    pub(super) fn as_raw(&mut self) -> *mut bindings::ekho_replace_ctx {
        let records = match self.many {
            [] => &self.few[..],
            many => many,
        };
        self.call.actions = Opaque::cast_into(records.as_ptr());
        // A pointer to the call rather than to its first member: see `ekho_kfunc_action()`.
        (&raw mut self.call).cast()
    }

    /// The reason that the firmware set, if the rule is refused.
    pub(crate) fn reason(&self) -> Reason {
        Reason::from_bytes(self.call.ctx.reason)
    }

    /// How the flow is counted, if the rule is accepted.
    pub(crate) fn counting(&self) -> Counting {
        Counting {
            hw_stats: self.call.ctx.chosen_hw_stats,
            counts_actions: self.call.ctx.counts_actions != 0,
            inserted: self.call.inserted,
        }
    }
}

/// How an accepted flow is counted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counting {
    /// One bit of `enum ekho_hw_stats`.
    pub(crate) hw_stats: u32,
    /// Whether the firmware counts actions one by one.
    counts_actions: bool,
    /// Whether the firmware had the rule inserted into the device's tables.
    pub(crate) inserted: bool,
}

impl Counting {
    /// Has each action counted by itself.
    pub(crate) fn count_actions(&mut self) {
        self.counts_actions = true;
    }

    /// Whether statistics are to be asked for each action.
    pub(crate) fn by_action(&self) -> bool {
        self.counts_actions && !hw_stats_disabled(self.hw_stats)
    }
}
