// SPDX-License-Identifier: GPL-2.0-only

//! Requests for flows: replace, destroy, stats, templates.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice,
        tc::{
            flow_offload::{
                FlowRequest,
                StatsDelta,
                WholeStats, //
            },
            flow_rule::FlowRule, //
        },
    },
    contract::{
        context::Insertable,
        flow::{
            Classifier,
            FlowArg,
            Position, //
        },
        hw_stats::hw_stats_disabled,
        reason::Reason,
        rule::{
            Room,
            Rule, //
        },
        stats::StatsReport, //
    },
    firmware::{
        refusals::Refusal,
        Firmware, //
    },
    flows::{
        counters::Counters,
        flow::Flow, //
    },
    hardware::rules::{
        compile::compile,
        table::{
            Place,
            RuleTable, //
        },
    },
    intake::ct_zones::{
        self,
        Connections, //
    },
    offload::device::Device, //
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// Where a request comes from.
pub(super) struct Context<'a> {
    pub(super) dev: &'a NetDevice,
    /// The network namespace that indices of interfaces are of.
    pub(super) netns_cookie: u64,
    pub(super) device: &'a Arc<Device>,
    pub(super) classifier: Classifier,
    pub(super) block_index: u32,
    pub(super) hooks: u8,
    /// See [`Flow::owner`].
    pub(super) owner: usize,
    /// The conntrack zone of connections of tc, else 0.
    pub(super) ct_zone: u16,
    /// The rules that packets are looked up in, if they are for flows of this kind.
    pub(super) rules: Option<&'a RuleTable>,
    /// Whether filters that were there before the firmware are being offered to it, the last first.
    pub(super) is_replayed: bool,
}

impl Context<'_> {
    fn position(&self, request: &FlowRequest<'_>) -> Position {
        let protocol = request.protocol_raw();
        let rule = request.rule().ok();
        let ct_state = match self.classifier {
            Classifier::Ct => rule.and_then(|rule| rule.ct_info()),
            Classifier::Flowtable => None,
            _ => rule.map(|rule| rule.ct_actions().next().is_some().into()),
        };
        Position {
            classifier: self.classifier,
            chain_index: request.chain_index(),
            prio: request.prio(),
            // Flowtables use the byte order of the host (`nf_flow_table_offload.c`).
            protocol: match self.classifier {
                Classifier::Flowtable | Classifier::Ct => protocol,
                _ => u16::from_be(protocol),
            },
            skip_sw: request.skip_sw(),
            block_index: self.block_index,
            hooks: self.hooks,
            ct_zone: self.ct_zone,
            ct_state: ct_state.unwrap_or(0),
        }
    }

    /// Whether a connection has to be offered to the firmware: not if the device has it already. It
    /// is an error if another device receives its packets. If the device has it in another state,
    /// that is destroyed, with what it had counted in the answer.
    ///
    /// A flowtable asks all its devices for all connections, and asks again when packets arrive in
    /// software. Connections of a conntrack zone often have no ingress device (0): the kernel notes
    /// where packets of each direction were seen last, and only in the first network namespace.
    fn is_new(
        &self,
        cookie: usize,
        position: &Position,
        rule: &FlowRule<'_>,
    ) -> Result<Option<Owed>> {
        let is_mine = match rule.ingress_ifindex() {
            Some(0) => self.classifier == Classifier::Ct,
            Some(ifindex) => self.device.has_port(ifindex, self.netns_cookie),
            None => false,
        };
        let known = {
            let guard = rcu::read_lock();
            self.device
                .flows
                .get(cookie, &guard)
                .map(|flow| flow.position.ct_state)
        };
        if is_mine && known == Some(position.ct_state) {
            return Ok(None);
        }
        // Its packets arrive at another device now, or it was new and is established.
        let owed = match known {
            Some(_) => destroy_owed(self, cookie),
            None => Owed::default(),
        };
        if is_mine {
            Ok(Some(owed))
        } else {
            Err(eopnotsupp())
        }
    }

    /// Makes a rule of a flow for the tables of the device, or finds out why it can't be one. May sleep.
    fn compile(
        &self,
        flow: &mut Flow,
        request: &FlowRequest<'_>,
        rule: &Rule<'_>,
    ) -> Result<Insertable> {
        let is_filter = matches!(self.classifier, Classifier::Flower | Classifier::Matchall);
        let Some(rules) = self.rules.filter(|_| is_filter) else {
            let reason = match self.classifier {
                classifier if is_filter => Reason::of(fmt!(
                    "the device isn't EKHO's: it can't execute filters of {classifier}"
                )),
                classifier => Reason::of(fmt!("the device can't execute {classifier} on packets")),
            };
            return Ok(Insertable::No(reason));
        };
        let place = Place {
            chain: request.chain_index(),
            prio: request.prio(),
            protocol: request.protocol_raw(),
            is_replayed: self.is_replayed,
        };
        match compile(rules, place, rule, request.skip_sw())? {
            Ok(programmed) => {
                flow.set_programmed(programmed)?;
                Ok(Insertable::Yes)
            }
            Err(reason) => Ok(Insertable::No(reason)),
        }
    }
}

/// Tells the user why a request is refused; returns the error for the kernel.
#[cold]
fn tell(
    dev: &NetDevice,
    firmware: &Firmware,
    request: &FlowRequest<'_>,
    refusal: &Refusal,
) -> Error {
    let mut extack = request.extack();
    if refusal.reason.is_none() {
        extack.set(fmt!(
            "{}: firmware '{}' refused the filter (errno {})",
            dev.name(),
            firmware.ops.name(),
            -refusal.error.to_errno()
        ));
    } else {
        extack.set(fmt!("{}: {}", dev.name(), refusal.reason));
    }
    refusal.error
}

/// What a flow that was destroyed had counted, and the kernel hasn't been told.
#[derive(Clone, Copy, Default)]
pub(super) struct Owed(WholeStats);

/// Offloads a flow. Process context.
pub(super) fn replace(context: &Context<'_>, cookie: usize, request: &FlowRequest<'_>) -> Result {
    replace_owed(context, cookie, request, Owed::default())
}

/// Offloads a flow that takes the place of one that was just destroyed, and reports what that one had
/// counted as well. Process context.
pub(super) fn replace_owed(
    context: &Context<'_>,
    cookie: usize,
    request: &FlowRequest<'_>,
    mut owed: Owed,
) -> Result {
    let (dev, device) = (context.dev, context.device);
    let position = context.position(request);
    let rule = request.rule()?;
    if context.classifier.is_connection() {
        match context.is_new(cookie, &position, &rule)? {
            Some(of_before) => owed = of_before,
            None => return Ok(()),
        }
    }
    let mut room = Room::new();
    let new = Rule::new(rule, &mut room, request.classid(), request.knode())?;
    // The flow exists before the firmware is asked, so that nothing can fail after its yes.
    let mut flow = Flow::of_rule(cookie, position, context.owner, new.encoding())?;
    if !owed.0.is_empty() {
        flow.carry(owed.0)?;
    }
    let mut insertable = Insertable::NoTables;
    let counting = {
        // RCU is held from before the flow can be found, so that it isn't freed if it is removed
        // meanwhile. If the firmware is detached, its flows are removed after this section.
        let mut guard = rcu::read_lock();
        let mut firmware = device.firmware.get(&guard).ok_or_else(eopnotsupp)?;
        // What needs memory, which can't be had under RCU.
        loop {
            let flow_size = firmware.capabilities.flow_size as usize;
            let tables = firmware.capabilities.tables;
            let lacks_data = !flow.has_data(flow_size);
            let lacks_rule = tables
                && matches!(insertable, Insertable::NoTables)
                && firmware.capabilities.refuse(&position, &new).is_none();
            if !lacks_data && !lacks_rule {
                break;
            }
            drop(guard);
            if lacks_data {
                flow.set_data(flow_size)?;
            }
            if lacks_rule {
                insertable = context.compile(&mut flow, request, &new)?;
            }
            guard = rcu::read_lock();
            firmware = device.firmware.get(&guard).ok_or_else(eopnotsupp)?;
        }
        if !firmware.capabilities.tables {
            insertable = Insertable::NoTables;
        }
        // Refused by what the firmware declared, without asking it.
        if let Some(reason) = firmware.capabilities.refuse(&position, &new) {
            let refusal = firmware.refuse(eopnotsupp(), reason);
            return Err(tell(dev, firmware, request, &refusal));
        }
        let capacity = device.capacity(firmware.capabilities.max_flows, &guard);
        let flow = device
            .flows
            .insert(flow, capacity, &guard)
            .map_err(|error| match capacity {
                Some(max) if error == ENOSPC => {
                    let reason = Reason::of(fmt!("the device holds {} flows", max));
                    tell(dev, firmware, request, &firmware.refuse(error, reason))
                }
                _ => error,
            })?;
        let mut counting = firmware
            .replace(dev, flow, &new, &insertable, &guard)
            .map_err(|refusal| {
                device.flows.remove(cookie, &guard);
                tell(dev, firmware, request, &refusal)
            })?;
        match flow.programmed() {
            Some(programmed) if counting.inserted => {
                if programmed.counts_actions() {
                    counting.count_actions();
                }
                programmed.activate();
            }
            // The firmware keeps the rule for itself.
            Some(programmed) => programmed.withdraw(),
            None => {}
        }
        if !counting.by_action() {
            device.flows.accept(flow, counting.hw_stats);
        }
        counting
    };
    // Only now is it known that what follows is needed, and memory can't be allocated under RCU. If
    // there is none, these are the cases in which an accepted flow is destroyed again.
    if counting.by_action() {
        device
            .flows
            .add_parts(cookie, new.rule.action_cookies())
            .inspect_err(|_| {
                let _ = destroy(context, cookie);
            })?;
        if let Some(flow) = device.flows.get(cookie, &rcu::read_lock()) {
            device.flows.accept(flow, counting.hw_stats);
        }
    }
    if position.tracks() {
        let actions = new.rule.ct_actions();
        ct_zones::track(device, dev, cookie, actions, destroy_connections).inspect_err(|_| {
            let _ = destroy(context, cookie);
        })?;
    }
    Ok(())
}

/// Tells the firmware of a device, if it has any, that a flow was removed.
fn tell_firmware(device: &Device, dev: &NetDevice, flow: &Flow, guard: &rcu::Guard) {
    if let Some(firmware) = device.firmware.get(guard) {
        firmware.destroy(dev, flow, guard);
    }
}

/// Destroys the connections of a zone for which the device isn't asked any more. Process context.
fn destroy_connections(connections: &Connections) {
    let Connections { device, dev, .. } = connections;
    destroy_where(device, dev, |flow| flow.owner == connections.id());
}

/// Destroys a flow. Process context.
///
/// The kernel also requests this for filters that weren't accepted, for some twice. When filters
/// are taken back from firmware, the kernel clears a filter's mark only if this succeeds.
pub(super) fn destroy(context: &Context<'_>, cookie: usize) -> Result {
    destroy_after(context, cookie, |_, _| ())
}

/// Destroys a flow which another one with the same cookie takes the place of, for the same thing: what
/// it had counted that the kernel hasn't asked for is the other's to report. Process context.
pub(super) fn destroy_owed(context: &Context<'_>, cookie: usize) -> Owed {
    let mut owed = WholeStats::default();
    let _ = destroy_after(context, cookie, |flow, guard| {
        if let Some(before) = flow.take_carried() {
            owed = before;
        }
        if flow.hw_stats() == 0 || hw_stats_disabled(flow.hw_stats()) {
            return;
        }
        if let Ok(Some(delta)) = advance(context, flow, 0, &flow.counters, guard) {
            owed.add(delta);
        }
    });
    Owed(owed)
}

/// Destroys a flow, after it was removed and passed to `last`.
fn destroy_after(
    context: &Context<'_>,
    cookie: usize,
    last: impl FnOnce(&Flow, &rcu::Guard),
) -> Result {
    let (dev, device) = (context.dev, context.device);
    let tracks = {
        let guard = rcu::read_lock();
        let flow = device.flows.remove(cookie, &guard).ok_or(ENOENT)?;
        last(flow, &guard);
        tell_firmware(device, dev, flow, &guard);
        flow.position.tracks()
    };
    if tracks {
        ct_zones::release(device, cookie, destroy_connections);
    }
    Ok(())
}

/// Destroys the flows of a device for which `which` is true. Process context.
///
/// Flows of tc may be the last that refer to a conntrack zone: see [`destroy_unasked`].
pub(super) fn destroy_where(device: &Device, dev: &NetDevice, which: impl Fn(&Flow) -> bool) {
    device
        .flows
        .remove_where(which, |flow, guard| tell_firmware(device, dev, flow, guard));
}

/// Destroys the connections for which a device isn't asked any more, after flows that sent packets
/// to their zone were removed. Process context; not under a flowtable's `flow_block_lock`.
pub(super) fn destroy_unasked(device: &Device) {
    ct_zones::sweep(device, destroy_connections);
}

/// Destroys the remaining flows of firmware that was just taken off the device: those of nftables,
/// and those of filters that are being deleted, which the kernel doesn't take back. Process
/// context.
pub(crate) fn destroy_rest(device: &Device, dev: &NetDevice, firmware: &Firmware) {
    device
        .flows
        .remove_where(|_| true, |flow, guard| firmware.destroy(dev, flow, guard));
    destroy_unasked(device);
}

/// Reports what a flow has counted. Any context, no lock.
pub(super) fn stats(context: &Context<'_>, cookie: usize, request: &mut FlowRequest<'_>) -> Result {
    let guard = rcu::read_lock();
    let flow = context.device.flows.get(cookie, &guard).ok_or(ENOENT)?;
    flow.count_stats_request();
    if flow.has_parts() && request.ask_for_actions() {
        // The kernel shows this for an action that it can't request statistics of.
        request.update_stats(StatsDelta::default(), flow.hw_stats());
        return Ok(());
    }
    let result = count(context, flow, 0, &flow.counters, request, &guard);
    match flow.take_carried() {
        None => result,
        Some(before) => {
            request.add_whole(before, flow.hw_stats());
            Ok(())
        }
    }
}

/// Reports what an action of a flow has counted that the kernel is going to report as it does for the
/// flow as a whole, as it can't ask for it. To be called after [`stats`]. Any context, no lock.
pub(super) fn unasked_stats(context: &Context<'_>, cookie: usize, request: &mut FlowRequest<'_>) {
    let guard = rcu::read_lock();
    let Some(flow) = context.device.flows.get(cookie, &guard) else {
        return;
    };
    let programmed = flow
        .programmed()
        .filter(|programmed| flow.has_parts() && programmed.is_active());
    let generation = context
        .device
        .firmware
        .get(&guard)
        .map(|firmware| firmware.generation);
    if let Some((totals, generation)) = programmed
        .and_then(|programmed| programmed.totals_unasked())
        .zip(generation)
    {
        let delta = flow.counters.advance(generation, 0, totals);
        request.update_stats(delta, flow.hw_stats());
    }
}

/// Reports what an action has counted: one that filters share, or that is counted as part of a
/// flow. Any context, no lock.
pub(super) fn action_stats(
    context: &Context<'_>,
    cookie: usize,
    request: &mut FlowRequest<'_>,
) -> Result {
    let guard = rcu::read_lock();
    // An action that was offloaded as a shared action is a flow. One of another action that had the
    // address before is left if the kernel couldn't destroy it: see `actions::destroy_rest`.
    let shared = context.device.flows.get(cookie, &guard);
    if shared.is_some_and(|flow| flow.owner == context.owner) {
        return stats(context, cookie, request);
    }
    let part = context
        .device
        .flows
        .get_part(cookie, &guard)
        .ok_or(ENOENT)?;
    let flow = context.device.flows.get(part.flow, &guard).ok_or(ENOENT)?;
    let result = count(
        context,
        flow,
        cookie as u64,
        &part.counters,
        request,
        &guard,
    );
    match part.take_carried() {
        None => result,
        Some(whole) => {
            request.add_whole(whole, flow.hw_stats());
            Ok(())
        }
    }
}

/// Asks the firmware for the counters of a flow, or of its action with the cookie `action` if that
/// isn't 0, and reports them.
fn count(
    context: &Context<'_>,
    flow: &Flow,
    action: u64,
    counters: &Counters,
    request: &mut FlowRequest<'_>,
    guard: &rcu::Guard,
) -> Result {
    let hw_stats = flow.hw_stats();
    if hw_stats == 0 {
        return Ok(());
    }
    if hw_stats_disabled(hw_stats) {
        request.update_stats(StatsDelta::default(), hw_stats);
        return Ok(());
    }
    if let Some(delta) = advance(context, flow, action, counters, guard)? {
        request.update_stats(delta, hw_stats);
    }
    Ok(())
}

/// Asks the firmware as [`count`] does, and returns what is new, if it reports any counters.
fn advance(
    context: &Context<'_>,
    flow: &Flow,
    action: u64,
    counters: &Counters,
    guard: &rcu::Guard,
) -> Result<Option<StatsDelta>> {
    let firmware = context.device.firmware.get(guard).ok_or(ENOENT)?;
    let report = firmware.stats(context.dev, flow, action, guard)?;
    Ok(report.map(|report| match report {
        StatsReport::Totals { totals, map } => counters.advance(firmware.generation, map, totals),
        StatsReport::Deltas(delta) => counters.add(delta),
    }))
}

/// A template is set for a chain. Process context.
pub(super) fn template_create(
    context: &Context<'_>,
    cookie: usize,
    request: &FlowRequest<'_>,
) -> Result {
    let rule = request.rule()?;
    let mut room = Room::new();
    let new = Rule::new(rule, &mut room, request.classid(), request.knode())?;
    let position = context.position(request);
    let guard = rcu::read_lock();
    let firmware = context.device.firmware.get(&guard).ok_or_else(eopnotsupp)?;
    let flow = FlowArg {
        cookie: cookie as u64,
        position: &position,
        data: &[],
    };
    firmware.template_create(context.dev, &flow, &new, &guard)
}

/// A template is gone. Process context.
pub(super) fn template_destroy(
    context: &Context<'_>,
    cookie: usize,
    request: &FlowRequest<'_>,
) -> Result {
    let position = context.position(request);
    let guard = rcu::read_lock();
    let firmware = context.device.firmware.get(&guard).ok_or_else(eopnotsupp)?;
    let flow = FlowArg {
        cookie: cookie as u64,
        position: &position,
        data: &[],
    };
    firmware.template_destroy(context.dev, &flow, &guard)
}
