// SPDX-License-Identifier: GPL-2.0-only

//! Requests for flows, in one form for all interfaces.
//!
//! | who | C structure | cookie |
//! |---|---|---|
//! | flower, nftables, flowtables | `flow_cls_offload` | the kernel's |
//! | matchall | `tc_cls_matchall_offload` | the kernel's |
//! | u32 | `tc_cls_u32_offload`, without statistics | the node's handle |
//! | shared actions | `flow_offload_action` | the kernel's |

use crate::{
    abstractions::{
        net::netlink::ExtAck,
        tc::flow_rule::{
            FlowRule,
            OwnedRule, //
        },
    },
    bindings, //
};
use core::ffi::c_void;
use kernel::prelude::*;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Offload the flow.
    Replace,
    /// Destroy the flow.
    Destroy,
    /// Report what the flow has counted.
    Stats,
    /// Set the template of a chain: all its filters match the same keys.
    TemplateCreate,
    /// Destroy the template.
    TemplateDestroy,
}

/// The interface that a request comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `TC_SETUP_CLSFLOWER`.
    Flower,
    /// `TC_SETUP_CLSMATCHALL`.
    Matchall,
    /// `TC_SETUP_CLSU32`, for a key node.
    U32,
    /// `TC_SETUP_ACT`.
    Action,
}

/// What a flow has counted since the last report.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StatsDelta {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Packets that were dropped.
    pub(crate) drops: u64,
    /// Time of the last packet in `CLOCK_MONOTONIC` nanoseconds; 0 if not known.
    pub(crate) last_used_ns: u64,
}

impl StatsDelta {
    /// Milliseconds since a time in `CLOCK_MONOTONIC` nanoseconds; the future counts as now.
    pub(crate) fn age_ms(last_used_ns: u64) -> u64 {
        // SAFETY: Reads a clock; any context.
        unsafe { bindings::ekho_helper_ktime_age_ms(last_used_ns) }
    }
}

/// The counters of a flow as a whole that the kernel is yet to be told.
#[derive(Clone, Copy, Default)]
pub(crate) struct WholeStats {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Packets that were dropped.
    pub(crate) drops: u64,
    /// Time of the last packet in jiffies; 0 if not known.
    pub(crate) last_used: u64,
}

impl WholeStats {
    /// Whether all counters are zero.
    pub(crate) fn is_empty(&self) -> bool {
        self.packets | self.bytes | self.drops == 0
    }

    /// Adds to the counters.
    pub(crate) fn add(&mut self, delta: StatsDelta) {
        self.packets = self.packets.wrapping_add(delta.packets);
        self.bytes = self.bytes.wrapping_add(delta.bytes);
        self.drops = self.drops.wrapping_add(delta.drops);
        if delta.last_used_ns != 0 {
            // SAFETY: Reads clocks; any context.
            let jiffies = unsafe { bindings::ekho_helper_ktime_to_jiffies(delta.last_used_ns) };
            self.last_used = self.last_used.max(jiffies);
        }
    }
}

enum Raw<'a> {
    Flower(&'a mut bindings::flow_cls_offload),
    Matchall(&'a mut bindings::tc_cls_matchall_offload),
    U32(
        &'a mut bindings::tc_cls_u32_offload,
        Result<OwnedRule, Error>,
    ),
    Action(&'a mut bindings::flow_offload_action),
}

/// A request for a flow.
pub(crate) struct FlowRequest<'a> {
    raw: Raw<'a>,
    // What is asked for often, in one form:
    origin: Origin,
    command: Command,
    cookie: usize,
    /// The position of the filter; zeros for actions, which have none. With the extack of either.
    common: bindings::flow_cls_common_offload,
}

/// A request about a hash table of u32 filters: `struct tc_cls_u32_hnode`.
pub(crate) struct HnodeRequest<'a>(&'a bindings::tc_cls_u32_offload, bool);

/// A request that arrives at the callback of a block.
pub(crate) enum Request<'a> {
    /// For a flow, or a template of flows.
    Flow(FlowRequest<'a>),
    /// For a hash table of u32.
    Hnode(HnodeRequest<'a>),
}

impl Request<'_> {
    /// None if the request is of a kind that isn't supported.
    ///
    /// # Safety
    ///
    /// `kind` and `data` must be what a `flow_setup_cb_t` got, for the length of that call.
    pub(super) unsafe fn from_raw(
        kind: bindings::tc_setup_type,
        data: *mut c_void,
    ) -> Option<Self> {
        // SAFETY: The kind says which type the data is of; they are the callee's for the length of
        // the call.
        Some(unsafe {
            match kind {
                bindings::tc_setup_type_TC_SETUP_CLSFLOWER => {
                    Self::Flow(FlowRequest::flower(&mut *data.cast()))
                }
                bindings::tc_setup_type_TC_SETUP_CLSMATCHALL => {
                    Self::Flow(FlowRequest::matchall(&mut *data.cast()))
                }
                bindings::tc_setup_type_TC_SETUP_CLSU32 => Self::u32(&mut *data.cast()),
                _ => return None,
            }
        })
    }

    fn u32(request: &mut bindings::tc_cls_u32_offload) -> Request<'_> {
        let rule = match request.command {
            bindings::tc_clsu32_command_TC_CLSU32_NEW_HNODE
            | bindings::tc_clsu32_command_TC_CLSU32_REPLACE_HNODE => {
                return Request::Hnode(HnodeRequest(request, true))
            }
            bindings::tc_clsu32_command_TC_CLSU32_DELETE_HNODE => {
                return Request::Hnode(HnodeRequest(request, false))
            }
            bindings::tc_clsu32_command_TC_CLSU32_NEW_KNODE
            | bindings::tc_clsu32_command_TC_CLSU32_REPLACE_KNODE => {
                // SAFETY: Such a request brings a node with its actions, valid as long as itself.
                unsafe {
                    let knode = &request.__bindgen_anon_1.knode;
                    OwnedRule::of_actions(knode.exts, request.common.extack)
                }
            }
            _ => Err(ENOENT),
        };
        let command = match request.command {
            bindings::tc_clsu32_command_TC_CLSU32_DELETE_KNODE => Command::Destroy,
            _ => Command::Replace,
        };
        Request::Flow(FlowRequest {
            origin: Origin::U32,
            command,
            // SAFETY: Requests for nodes, of which this is one, have this member.
            cookie: unsafe { request.__bindgen_anon_1.knode.handle as usize },
            common: request.common,
            raw: Raw::U32(request, rule),
        })
    }
}

impl<'a> FlowRequest<'a> {
    #[inline]
    fn flower(request: &'a mut bindings::flow_cls_offload) -> Self {
        let command = match request.command {
            bindings::flow_cls_command_FLOW_CLS_REPLACE => Command::Replace,
            bindings::flow_cls_command_FLOW_CLS_DESTROY => Command::Destroy,
            bindings::flow_cls_command_FLOW_CLS_STATS => Command::Stats,
            bindings::flow_cls_command_FLOW_CLS_TMPLT_CREATE => Command::TemplateCreate,
            _ => Command::TemplateDestroy,
        };
        Self {
            origin: Origin::Flower,
            command,
            cookie: request.cookie,
            common: request.common,
            raw: Raw::Flower(request),
        }
    }

    fn matchall(request: &'a mut bindings::tc_cls_matchall_offload) -> Self {
        let command = match request.command {
            bindings::tc_matchall_command_TC_CLSMATCHALL_REPLACE => Command::Replace,
            bindings::tc_matchall_command_TC_CLSMATCHALL_DESTROY => Command::Destroy,
            _ => Command::Stats,
        };
        Self {
            origin: Origin::Matchall,
            command,
            cookie: request.cookie,
            common: request.common,
            raw: Raw::Matchall(request),
        }
    }

    /// # Safety
    ///
    /// `data` must be what came with `TC_SETUP_ACT`, for the length of that call.
    pub(super) unsafe fn action(data: *mut bindings::flow_offload_action) -> Self {
        // SAFETY: By the requirements of this function.
        let request = unsafe { &mut *data };
        let command = match request.command {
            bindings::offload_act_command_FLOW_ACT_REPLACE => Command::Replace,
            bindings::offload_act_command_FLOW_ACT_DESTROY => Command::Destroy,
            _ => Command::Stats,
        };
        Self {
            origin: Origin::Action,
            command,
            cookie: request.cookie,
            common: bindings::flow_cls_common_offload {
                extack: request.extack,
                ..pin_init::zeroed()
            },
            raw: Raw::Action(request),
        }
    }

    /// The interface that it comes from.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// What it asks for.
    pub(crate) fn command(&self) -> Command {
        self.command
    }

    /// The flow's key among those of its origin, for as long as it exists.
    pub(crate) fn cookie(&self) -> usize {
        self.cookie
    }

    /// The chain that the filter is in.
    pub(crate) fn chain_index(&self) -> u32 {
        self.common.chain_index
    }

    /// Its preference; lower goes first.
    pub(crate) fn prio(&self) -> u32 {
        self.common.prio
    }

    /// The EtherType it is bound to, in the byte order in which the request brings it: that of the
    /// network, but for flowtables.
    pub(crate) fn protocol_raw(&self) -> u16 {
        self.common.protocol
    }

    /// Whether it must be in hardware.
    pub(crate) fn skip_sw(&self) -> bool {
        self.common.skip_sw
    }

    /// The class that it maps to, or 0.
    pub(crate) fn classid(&self) -> u32 {
        match &self.raw {
            Raw::Flower(request) => request.classid,
            // SAFETY: Requests for nodes have this member; the result is valid as long as they.
            Raw::U32(request, Ok(_)) => unsafe {
                let result = request.__bindgen_anon_1.knode.res;
                (*result).__bindgen_anon_1.__bindgen_anon_1.classid
            },
            _ => 0,
        }
    }

    /// The node of a u32 filter that is to be offloaded, for firmware to read; none for others.
    pub(crate) fn knode(&self) -> Option<&bindings::tc_cls_u32_knode> {
        match &self.raw {
            // SAFETY: Requests for nodes have this member.
            Raw::U32(request, Ok(_)) => Some(unsafe { &request.__bindgen_anon_1.knode }),
            _ => None,
        }
    }

    /// What the flow matches and does. Only requests to offload always have it.
    pub(crate) fn rule(&self) -> Result<FlowRule<'_>> {
        match &self.raw {
            // SAFETY: Null, or valid for the length of the request.
            Raw::Flower(request) => unsafe { FlowRule::from_raw(request.rule) },
            // SAFETY: As above.
            Raw::Matchall(request) => unsafe { FlowRule::from_raw(request.rule) },
            Raw::U32(_, rule) => Some(rule.as_ref().map_err(|error| *error)?.get()),
            Raw::Action(request) => Some(FlowRule::of_action(&request.action)),
        }
        .ok_or(EINVAL)
    }

    /// The network namespace of a shared action, by its number; none for other flows.
    pub(crate) fn action_netns(&self) -> Option<u32> {
        match &self.raw {
            Raw::Action(request) => {
                // SAFETY: The cookie is the address of the action, which lives for the length of
                // the request.
                Some(unsafe { bindings::ekho_helper_action_netns(request.cookie) })
            }
            _ => None,
        }
    }

    /// An odd number that tells a shared action from others that had the same cookie before it; 0 for
    /// other flows.
    pub(crate) fn action_id(&self) -> usize {
        match &self.raw {
            // SAFETY: As for `action_netns`.
            Raw::Action(request) => unsafe { bindings::ekho_helper_action_id(request.cookie) },
            _ => 0,
        }
    }

    /// The extack for the reason of a refusal.
    ///
    /// The acknowledgement isn't part of the request: the request can still be read meanwhile.
    pub(crate) fn extack(&self) -> ExtAck<'_> {
        // SAFETY: Null, or valid for the length of the request and used by nobody else during it.
        // Statistics come without.
        unsafe { ExtAck::from_raw(self.common.extack) }
    }

    /// A request to destroy the flow that this one is for, if it is one of flower or nftables.
    pub(super) fn to_destroy(&self) -> Option<bindings::flow_cls_offload> {
        let Raw::Flower(request) = &self.raw else {
            return None;
        };
        Some(bindings::flow_cls_offload {
            common: request.common,
            command: bindings::flow_cls_command_FLOW_CLS_DESTROY,
            cookie: request.cookie,
            ..pin_init::zeroed()
        })
    }

    /// Makes the kernel ask for the statistics of each of the flow's actions, in requests of their
    /// own; false if it can't. Requests for statistics only.
    pub(crate) fn ask_for_actions(&mut self) -> bool {
        match &mut self.raw {
            Raw::Flower(request) => request.use_act_stats = true,
            Raw::Matchall(request) => request.use_act_stats = true,
            Raw::U32(..) | Raw::Action(_) => return false,
        }
        true
    }

    /// What was reported for the flow as a whole, by any device, if the kernel is going to drop it, as
    /// it asks for each action instead (`tcf_exts_hw_stats_update()`).
    pub(crate) fn forgotten(&mut self) -> Option<WholeStats> {
        let by_action = match &self.raw {
            Raw::Flower(request) => request.use_act_stats,
            Raw::Matchall(request) => request.use_act_stats,
            Raw::U32(..) | Raw::Action(_) => false,
        };
        let stats = self.stats().filter(|_| by_action)?;
        let whole = WholeStats {
            packets: stats.pkts,
            bytes: stats.bytes,
            drops: stats.drops,
            last_used: stats.lastused,
        };
        (!whole.is_empty()).then_some(whole)
    }

    /// Takes back what was reported for the flow as a whole.
    pub(crate) fn forget(&mut self) {
        if let Some(stats) = self.stats() {
            stats.pkts = 0;
            stats.bytes = 0;
            stats.drops = 0;
            stats.lastused = 0;
        }
    }

    /// Adds what was reported to another request.
    pub(crate) fn add_whole(&mut self, whole: WholeStats, hw_stats: u32) {
        self.update_stats(
            StatsDelta {
                packets: whole.packets,
                bytes: whole.bytes,
                drops: whole.drops,
                last_used_ns: 0,
            },
            hw_stats,
        );
        if let Some(stats) = self.stats() {
            stats.lastused = stats.lastused.max(whole.last_used);
        }
    }

    fn stats(&mut self) -> Option<&mut bindings::flow_stats> {
        match &mut self.raw {
            Raw::Flower(request) => Some(&mut request.stats),
            Raw::Matchall(request) => Some(&mut request.stats),
            Raw::U32(..) => None,
            Raw::Action(request) => Some(&mut request.stats),
        }
    }

    /// Adds to what the kernel knows the flow has counted, in the way `hw_stats` (one bit of
    /// `enum flow_action_hw_stats`). Mirrors `flow_stats_update()`.
    pub(crate) fn update_stats(&mut self, delta: StatsDelta, hw_stats: u32) {
        let Some(stats) = self.stats() else { return };
        stats.pkts = stats.pkts.wrapping_add(delta.packets);
        stats.bytes = stats.bytes.wrapping_add(delta.bytes);
        stats.drops = stats.drops.wrapping_add(delta.drops);
        if delta.last_used_ns != 0 {
            // SAFETY: Reads clocks; any context.
            let jiffies = unsafe { bindings::ekho_helper_ktime_to_jiffies(delta.last_used_ns) };
            stats.lastused = stats.lastused.max(jiffies);
        }
        stats.used_hw_stats |= hw_stats;
        stats.used_hw_stats_valid = true;
    }
}

impl HnodeRequest<'_> {
    fn hnode(&self) -> &bindings::tc_cls_u32_hnode {
        // SAFETY: The command, which chose this type, says so.
        unsafe { &self.0.__bindgen_anon_1.hnode }
    }

    /// Whether the table is added, rather than deleted.
    pub(crate) fn is_new(&self) -> bool {
        self.1
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> u32 {
        self.hnode().handle
    }

    /// The number of buckets: the kernel passes the index of the last.
    pub(crate) fn divisor(&self) -> u32 {
        self.hnode().divisor.saturating_add(1)
    }

    /// The chain that it is in.
    pub(crate) fn chain_index(&self) -> u32 {
        self.0.common.chain_index
    }

    /// Its preference.
    pub(crate) fn prio(&self) -> u32 {
        self.0.common.prio
    }

    /// Whether filters in it must be in hardware.
    pub(crate) fn skip_sw(&self) -> bool {
        self.0.common.skip_sw
    }

    /// The extack for the reason of a refusal.
    pub(crate) fn extack(&self) -> ExtAck<'_> {
        // SAFETY: Null, or valid for the length of the request and used by nobody else during it.
        unsafe { ExtAck::from_raw(self.0.common.extack) }
    }
}
