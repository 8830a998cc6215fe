// SPDX-License-Identifier: GPL-2.0-only

//! Flows: asked for, destroyed, counted.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice,
        tc::flow_offload::{
            FlowRequest,
            StatsDelta, //
        },
    },
    flows::{
        Counters,
        Encoded,
        Flow,
        Position,
        Source, //
    },
    ops::{
        contract::{
            hw_stats_disabled,
            Counted,
            Reason,
            Wanted, //
        },
        firmware::{
            Firmware,
            Refusal, //
        },
    },
    port::Port, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// From where a request comes.
pub(super) struct Site<'a> {
    pub(super) dev: &'a NetDevice,
    pub(super) port: &'a Port,
    pub(super) source: Source,
    pub(super) block_index: u32,
    pub(super) hooks: u8,
    /// What its flows go with.
    pub(super) owner: usize,
}

impl Site<'_> {
    fn position(&self, request: &FlowRequest<'_>) -> Position {
        let protocol = request.protocol_raw();
        Position {
            source: self.source,
            chain_index: request.chain_index(),
            prio: request.prio(),
            // Flowtables write it in the byte order of the host (`nf_flow_table_offload.c`).
            protocol: match self.source {
                Source::Flowtable => protocol,
                _ => u16::from_be(protocol),
            },
            skip_sw: request.skip_sw(),
            block_index: self.block_index,
            hooks: self.hooks,
        }
    }
}

/// Tells the user of a request that it is refused, and why; an errno for the kernel.
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

/// A flow is to be offloaded. Process context.
pub(super) fn replace(site: &Site<'_>, cookie: usize, request: &FlowRequest<'_>) -> Result {
    let (dev, port) = (site.dev, site.port);
    let position = site.position(request);
    let rule = request.rule()?;
    let (encoded, keys) = Encoded::new(&rule);
    let wanted = Wanted::new(rule, keys, request.classid(), request.knode());
    if site.source == Source::Flowtable {
        // A flowtable asks all its devices for all connections; this one sees those that it
        // receives. It asks again for those that are there when packets show up in software.
        if wanted.rule.ingress_ifindex() != Some(dev.ifindex()) {
            return Err(eopnotsupp());
        }
        if port.flows.get(cookie, &rcu::read_lock()).is_some() {
            return Ok(());
        }
    }
    // The flow exists before the firmware is asked: nothing can fail once it has said yes.
    let mut flow = Flow::new(cookie as u64, position, site.owner, &rule, encoded)?;
    let terms = {
        // From before the flow can be found: it isn't freed if somebody takes it out again. If the
        // firmware is withdrawn, the flows that it had are taken out after this section.
        let mut guard = rcu::read_lock();
        let mut firmware = port.firmware.get(&guard).ok_or_else(eopnotsupp)?;
        while !flow.has_data(firmware.capabilities.flow_size as usize) {
            let flow_size = firmware.capabilities.flow_size as usize;
            drop(guard);
            flow.set_data(flow_size)?;
            guard = rcu::read_lock();
            firmware = port.firmware.get(&guard).ok_or_else(eopnotsupp)?;
        }
        // Without asking the firmware, on the strength of what it declared.
        if let Some(reason) = firmware.capabilities.refuse(&position, &wanted) {
            let refusal = firmware.refuse(eopnotsupp(), reason);
            return Err(tell(dev, firmware, request, &refusal));
        }
        let capacity = port.capacity(firmware.capabilities.max_flows, &guard);
        let flow = port
            .add_flow(flow, capacity, &guard)
            .map_err(|error| match capacity {
                Some(max) if error == ENOSPC => {
                    let reason = Reason::of(fmt!("the device holds {} flows", max));
                    tell(dev, firmware, request, &firmware.refuse(error, reason))
                }
                _ => error,
            })?;
        let terms = firmware
            .replace(dev, flow, &wanted, &guard)
            .map_err(|refusal| {
                port.remove_flow(cookie, &guard);
                tell(dev, firmware, request, &refusal)
            })?;
        if !terms.by_action() {
            flow.accept(terms.hw_stats);
            return Ok(());
        }
        terms
    };
    // Of what was just accepted it isn't known before how it is counted, and memory isn't to be had
    // under RCU: the one case in which the firmware's yes is taken back.
    port.add_parts(cookie, wanted.rule.action_cookies())
        .inspect_err(|_| {
            let _ = destroy(site, cookie);
        })?;
    if let Some(flow) = port.flows.get(cookie, &rcu::read_lock()) {
        flow.accept(terms.hw_stats);
    }
    Ok(())
}

/// A flow is gone. Process context.
///
/// Filters that were never accepted are asked for too, some of them twice. When a block is withdrawn
/// from the firmware the kernel counts a filter out of hardware only if this succeeds.
pub(super) fn destroy(site: &Site<'_>, cookie: usize) -> Result {
    let guard = rcu::read_lock();
    let flow = site.port.remove_flow(cookie, &guard).ok_or(ENOENT)?;
    if let Some(firmware) = site.port.firmware.get(&guard) {
        firmware.destroy(site.dev, flow, &guard);
    }
    Ok(())
}

/// Takes some flows out of a port, and calls `f` with each. Process context; `f` must not sleep.
fn take_where(port: &Port, which: impl Fn(&Flow) -> bool, f: impl Fn(&Flow, &rcu::Guard)) {
    // Some at a time: nothing can be taken out under the iterator.
    let mut cookies = [0; 32];
    loop {
        let mut n = 0;
        // Stops when the room is used up.
        let _: Result<(), ()> = port.flows.for_each(|flow| {
            if !which(flow) {
                return Ok(());
            }
            let slot = cookies.get_mut(n).ok_or(())?;
            *slot = flow.cookie as usize;
            n += 1;
            Ok(())
        });
        for cookie in &cookies[..n] {
            let guard = rcu::read_lock();
            if let Some(flow) = port.remove_flow(*cookie, &guard) {
                f(flow, &guard);
            }
        }
        if n == 0 {
            return;
        }
    }
}

/// Takes some flows out of a port and tells its firmware of each. Process context.
pub(super) fn destroy_where(port: &Port, dev: &NetDevice, which: impl Fn(&Flow) -> bool) {
    take_where(port, which, |flow, guard| {
        if let Some(firmware) = port.firmware.get(guard) {
            firmware.destroy(dev, flow, guard);
        }
    });
}

/// Takes the flows that are left out of a port, and tells the firmware that it has just lost: those
/// of filters which are on their way out, and out of sight of a withdrawal, and those of nftables.
/// Process context.
pub(crate) fn destroy_rest(port: &Port, dev: &NetDevice, firmware: &Firmware) {
    take_where(
        port,
        |_| true,
        |flow, guard| firmware.destroy(dev, flow, guard),
    );
}

/// What has a flow counted? Any context, no lock.
pub(super) fn stats(site: &Site<'_>, cookie: usize, request: &mut FlowRequest<'_>) -> Result {
    let guard = rcu::read_lock();
    let flow = site.port.flows.get(cookie, &guard).ok_or(ENOENT)?;
    flow.poll();
    if flow.has_parts() && request.ask_for_actions() {
        // The kernel shows this for an action that it can't ask for.
        request.update_stats(StatsDelta::default(), flow.hw_stats());
        return Ok(());
    }
    count(site, flow, 0, &flow.counters, request, &guard)
}

/// What has an action counted, which filters share or which is counted as part of a flow? Any
/// context, no lock.
pub(super) fn action_stats(
    site: &Site<'_>,
    cookie: usize,
    request: &mut FlowRequest<'_>,
) -> Result {
    let guard = rcu::read_lock();
    // What is offloaded by itself is counted by itself.
    if site.port.flows.get(cookie, &guard).is_some() {
        return stats(site, cookie, request);
    }
    let part = site.port.parts.get(cookie, &guard).ok_or(ENOENT)?;
    let flow = site.port.flows.get(part.flow, &guard).ok_or(ENOENT)?;
    count(site, flow, cookie as u64, &part.counters, request, &guard)
}

/// Has the firmware count a flow, or one of its actions: that with the cookie `action` if it isn't
/// 0.
fn count(
    site: &Site<'_>,
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
    let firmware = site.port.firmware.get(guard).ok_or(ENOENT)?;
    let delta: StatsDelta = match firmware.stats(site.dev, flow, action, guard)? {
        None => return Ok(()),
        Some(Counted::Totals(totals)) => counters.advance(firmware.generation, totals),
        Some(Counted::Deltas(delta)) => counters.add(delta),
    };
    request.update_stats(delta, hw_stats);
    Ok(())
}

/// A chain has a template from now on. Process context.
pub(super) fn template_create(site: &Site<'_>, cookie: usize, request: &FlowRequest<'_>) -> Result {
    let rule = request.rule()?;
    let wanted = Wanted::new(rule, rule.keys(), request.classid(), request.knode());
    let position = site.position(request);
    let guard = rcu::read_lock();
    let firmware = site.port.firmware.get(&guard).ok_or_else(eopnotsupp)?;
    firmware.template_create(site.dev, cookie as u64, &position, &wanted, &guard)
}

/// A template is gone. Process context.
pub(super) fn template_destroy(
    site: &Site<'_>,
    cookie: usize,
    request: &FlowRequest<'_>,
) -> Result {
    let position = site.position(request);
    let guard = rcu::read_lock();
    let firmware = site.port.firmware.get(&guard).ok_or_else(eopnotsupp)?;
    firmware.template_destroy(site.dev, cookie as u64, &position, &guard)
}
