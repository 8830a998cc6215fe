// SPDX-License-Identifier: GPL-2.0-only

//! Intake: from the kernel's offload callbacks to flows and firmware.
//!
//! The same code serves the module's own devices (`ndo_setup_tc`) and all others that have no
//! offload of their own (indirect blocks).
//!
//! Locks, outermost first: bpf `update_mutex`, RTNL, a block's `cb_lock`, `flow_indr_block_lock`,
//! the set of ports, a port's own. Statistics take none: they find their flow and the firmware
//! under RCU.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        cookie_table::Entry,
        flow_offload::{
            eopnotsupp,
            BlockCallback,
            BlockCommand,
            BlockOffload,
            ClsFlower,
            ClsRequest,
            FlowerCommand,
            IndirectDriver,
            Released,
            TcBlock, //
        },
        flow_rule::{
            text::Encoder,
            HwStats, //
        },
        net_device::NetDevice,
        workqueue::OwnedQueue, //
    },
    flows::{
        Flow,
        Position, //
    },
    port::{
        self,
        Binding,
        Gate,
        Port, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
};

/// Bytes that the match and the actions of a rule may take in a flow; what is beyond isn't shown.
const RULE_MAX: usize = 512;

/// The module is going, and the kernel cleans up behind it.
static CLOSING: Atomic<bool> = Atomic::new(false);

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    unsafe(uninit) static WORK: Mutex<Option<Arc<OwnedQueue>>> = None;
}

/// Makes intake ready; to be called once, before requests can arrive.
#[expect(unsafe_code)]
pub(crate) fn init() -> Result {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { WORK.init() };
    let queue = Arc::new(OwnedQueue::new(c"ekho")?, GFP_KERNEL)?;
    *WORK.lock() = Some(queue);
    Ok(())
}

/// Expects the kernel's cleanup; to be called before indirect blocks are given up.
pub(crate) fn close() {
    CLOSING.store(true, Relaxed);
}

/// Waits for work that is under way; to be called last.
pub(crate) fn drain() {
    let queue = WORK.lock().take();
    drop(queue);
}

/// The module's workqueue, unless the module is going.
pub(crate) fn queue() -> Option<Arc<OwnedQueue>> {
    WORK.lock().clone()
}

/// A block is bound to a port, or unbound.
pub(crate) fn setup_block(dev: &NetDevice, mut request: BlockOffload<'_>) -> Result {
    if !request.is_classifier() {
        return Err(eopnotsupp());
    }
    let Some(block) = request.tc_block() else {
        request.extack().set(fmt!(
            "{}: EKHO offloads tc filters, not yet nftables",
            dev.name()
        ));
        return Err(eopnotsupp());
    };
    match request.command() {
        BlockCommand::Bind => bind(dev, block, request),
        BlockCommand::Unbind => unbind(dev, block, request),
    }
}

fn bind(dev: &NetDevice, block: TcBlock, mut request: BlockOffload<'_>) -> Result {
    let indirect = request.is_indirect();
    // See `IndirectDriver`. Filters of a shared block that is bound to such a device later than
    // they were added stay in software there.
    if indirect && !request.is_empty() {
        return Err(eopnotsupp());
    }
    let port = port::get_or_create(dev, !indirect)?;
    // One callback serves both directions of a device: each filter is one flow.
    if request.share::<Binding>(port.key()) {
        return Ok(());
    }
    add_binding(&port, dev, block, &mut request, indirect).inspect_err(|_| port::prune(&port))
}

fn add_binding(
    port: &Arc<Port>,
    dev: &NetDevice,
    block: TcBlock,
    request: &mut BlockOffload<'_>,
    indirect: bool,
) -> Result {
    let binding = Arc::new(Binding::new(port.clone(), dev, block, indirect), GFP_KERNEL)?;
    if port.has_firmware() {
        binding.open();
    }
    port.add(binding.clone())?;
    request
        .bind(port.key(), binding.clone())
        .inspect_err(|_| port.remove(&binding))
}

fn unbind(dev: &NetDevice, block: TcBlock, mut request: BlockOffload<'_>) -> Result {
    // A bind that the kernel took for "can't offload" has left no callback; it wants to hear the
    // same again, or else counts the block's devices wrong.
    let port = port::get(dev).ok_or_else(eopnotsupp)?;
    let last = request
        .unbind::<Binding>(port.key())
        .map_err(|_| eopnotsupp())?;
    if last {
        port.for_binding(block, Binding::set_unbound);
    }
    Ok(())
}

impl IndirectDriver for Binding {
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result {
        setup_block(dev, block)
    }
}

impl BlockCallback for Binding {
    fn setup(&self, request: &mut ClsRequest<'_>) -> Result {
        let ClsRequest::Flower(flower) = request else {
            return Err(eopnotsupp());
        };
        match flower.command() {
            FlowerCommand::Replace => replace(self, flower),
            FlowerCommand::Destroy => destroy(self, flower),
            FlowerCommand::Stats => stats(self, flower),
            FlowerCommand::Template => Err(eopnotsupp()),
        }
    }

    fn release(&self, locked: Released<'_>) {
        if self.indirect && !self.is_unbound() && CLOSING.load(Relaxed) {
            locked.uncount_indirect_cleanup(self.block);
        }
        self.port.remove(self);
        port::prune(&self.port);
    }
}

/// A filter is to be offloaded. Process context.
fn replace(binding: &Binding, flower: &mut ClsFlower<'_>) -> Result {
    let dev = &*binding.dev;
    let port = &*binding.port;
    if !binding.indirect && !dev.hw_tc_offload() {
        flower.extack().set(fmt!(
            "{}: hw-tc-offload is off; ethtool -K {} hw-tc-offload on",
            dev.name(),
            dev.name()
        ));
        return Err(eopnotsupp());
    }
    match binding.gate() {
        Gate::Open => {}
        Gate::Attaching if !flower.skip_sw() => {}
        Gate::Attaching => {
            flower.extack().set(fmt!(
                "{}: firmware is just being attached; try again",
                dev.name()
            ));
            return Err(EBUSY);
        }
        Gate::Closed => {
            flower.extack().set(fmt!(
                "{}: no firmware attached; use ekho-fw load",
                dev.name()
            ));
            return Err(eopnotsupp());
        }
    }
    let cookie = flower.cookie();
    let position = Position {
        chain_index: flower.chain_index(),
        prio: flower.prio(),
        protocol: flower.protocol(),
        skip_sw: flower.skip_sw(),
    };
    let classid = flower.classid();
    let rule = flower.rule().ok_or(EINVAL)?;
    let hw_stats = rule.hw_stats();
    if hw_stats == HwStats::Unsupported {
        flower.extack().set(fmt!(
            "{}: hw_stats immediate can't be had; use delayed, disabled or any",
            dev.name()
        ));
        return Err(eopnotsupp());
    }

    // The flow exists before the firmware is asked: nothing can fail once it has said yes.
    let mut encoded = [0; RULE_MAX];
    let mut encoder = Encoder::new(&mut encoded);
    rule.encode(&mut encoder);
    let (encoded, _complete) = encoder.finish();
    let flow = Flow::new(
        cookie as u64,
        position,
        hw_stats == HwStats::Disabled,
        encoded,
    )?;
    port.flows.insert(Entry::new(cookie, flow)?)?;

    let guard = rcu::read_lock();
    let result = match port.firmware.get(&guard) {
        Some(firmware) => firmware
            .replace(dev, cookie as u64, &position, classid, &rule, &guard)
            .map_err(|error| (error, Some(firmware.ops.name()))),
        None => Err((eopnotsupp(), None)),
    };
    result.map_err(|(error, name)| {
        port.flows.remove(cookie, &guard);
        if let Some(name) = name {
            flower.extack().set(fmt!(
                "{}: firmware '{}' refused the filter (errno {})",
                dev.name(),
                name,
                -error.to_errno()
            ));
        }
        error
    })
}

/// A filter is gone. Process context.
///
/// Filters that were never accepted are asked for too, some of them twice. When a block is withdrawn
/// from the firmware the kernel counts a filter out of hardware only if this succeeds.
fn destroy(binding: &Binding, flower: &ClsFlower<'_>) -> Result {
    let port = &*binding.port;
    let guard = rcu::read_lock();
    let flow = port.flows.remove(flower.cookie(), &guard).ok_or(ENOENT)?;
    if let Some(firmware) = port.firmware.get(&guard) {
        firmware.destroy(
            &binding.dev,
            flow.cookie,
            &flow.position,
            &flow.reported(),
            &guard,
        );
    }
    Ok(())
}

/// Tells the firmware of a port that is about to lose it of the flows that are left: those of
/// filters which are on their way out, and out of sight of a withdrawal. Process context.
pub(crate) fn destroy_rest(port: &Port, dev: &NetDevice) {
    while let Some(cookie) = port.flows.first(|flow| flow.cookie) {
        let guard = rcu::read_lock();
        let flow = port.flows.remove(cookie as usize, &guard);
        if let (Some(flow), Some(firmware)) = (flow, port.firmware.get(&guard)) {
            firmware.destroy(dev, flow.cookie, &flow.position, &flow.reported(), &guard);
        }
    }
}

/// What has a filter counted? Any context, no lock.
fn stats(binding: &Binding, flower: &mut ClsFlower<'_>) -> Result {
    let port = &*binding.port;
    let guard = rcu::read_lock();
    let flow = port.flows.get(flower.cookie(), &guard).ok_or(ENOENT)?;
    flow.poll();
    if flow.stats_disabled {
        return Ok(());
    }
    let firmware = port.firmware.get(&guard).ok_or(ENOENT)?;
    let totals = firmware.stats(&binding.dev, flow.cookie, &flow.position, &guard)?;
    if let Some(totals) = totals {
        flower.update_stats(flow.advance(firmware.generation, totals));
    }
    Ok(())
}
