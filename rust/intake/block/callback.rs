// SPDX-License-Identifier: GPL-2.0-only

//! Requests that arrive through a bound block.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice,
        tc::flow_offload::{
            BlockCallback,
            Command,
            FlowRequest,
            HnodeRequest,
            Origin,
            Released,
            Request, //
        },
    },
    contract::{
        flow::Classifier,
        op::Op, //
    },
    intake::{
        block::{
            binding::{
                Binding,
                Block, //
            },
            bindings,
            forgotten::forget,
            gate::Gate, //
        },
        requests::{
            self,
            Context, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

/// Whether the module is being removed, so that the kernel releases its indirect blocks.
static CLOSING: Atomic<bool> = Atomic::new(false);

/// To be called before indirect blocks are unregistered.
pub(crate) fn close() {
    CLOSING.store(true, Relaxed);
}

impl BlockCallback for Binding {
    fn setup(&self, request: Request<'_>) -> Result {
        let Some(dev) = self.dev() else {
            // The device of the chain was unregistered; the chain may have others. Requests for
            // statistics come without the lock that guards its list, and must not sleep.
            if !request.is_stats() {
                forget(self);
            }
            return Ok(());
        };
        match request {
            Request::Flow(mut request) => setup_flow(self, &dev, &mut request),
            Request::Hnode(request) => setup_hnode(self, &dev, &request),
        }
    }

    fn release(&self, locked: Released<'_>) {
        match self.block {
            Block::Tc(block) => {
                if self.indirect && !self.is_unbound() && CLOSING.load(Relaxed) {
                    locked.uncount_indirect_cleanup(block);
                }
                // u32 also offers filters that are skip_hw, and doesn't destroy those.
                if self.has_nodes() {
                    self.destroy_rest();
                    requests::destroy_unasked(&self.device);
                }
            }
            // nftables doesn't destroy the flows of an unbound block.
            Block::Chain(_) | Block::Flowtable(_) => self.destroy_rest(),
        }
        bindings::remove(self);
    }
}

impl Binding {
    /// Destroys the flows that the kernel doesn't destroy before it releases the binding.
    fn destroy_rest(&self) {
        // If the netdev was unregistered, there is no firmware and no flow.
        if let Some(dev) = self.dev() {
            requests::destroy_where(&self.device, &dev, |flow| flow.owner == self.id());
        }
    }
}

/// Handles a request for a flow.
fn setup_flow(binding: &Binding, dev: &NetDevice, request: &mut FlowRequest<'_>) -> Result {
    let command = request.command();
    let context = context(binding, dev, request.origin());
    let mut cookie = request.cookie();
    if context.classifier == Classifier::U32 {
        let node = (request.chain_index(), request.prio(), cookie as u32);
        cookie = match command {
            Command::Replace => binding.node(node)?,
            _ => binding.forget_node(node).ok_or(ENOENT)?,
        };
        return match command {
            Command::Replace => replace_node(&context, binding, node, cookie, request),
            _ => requests::destroy(&context, cookie),
        };
    }
    match command {
        Command::Replace => {
            admit(binding, dev, request)?;
            requests::replace(&context, cookie, request)
        }
        // On an error nftables would keep the rule.
        Command::Destroy if context.classifier == Classifier::Nft => {
            let _ = requests::destroy(&context, cookie);
            Ok(())
        }
        Command::Destroy => requests::destroy(&context, cookie),
        Command::Stats => requests::stats(&context, cookie, request),
        Command::TemplateCreate => {
            admit(binding, dev, request)?;
            requests::template_create(&context, cookie, request)
        }
        Command::TemplateDestroy => requests::template_destroy(&context, cookie, request),
    }
}

/// The context of a request that arrives through a binding.
fn context<'a>(binding: &'a Binding, dev: &'a NetDevice, origin: Origin) -> Context<'a> {
    let (classifier, block_index) = match (binding.block, origin) {
        (Block::Chain(_), _) => (Classifier::Nft, 0),
        (Block::Flowtable(_), _) => (Classifier::Flowtable, 0),
        (Block::Tc(block), Origin::Matchall) => (Classifier::Matchall, block.index()),
        (Block::Tc(block), Origin::U32) => (Classifier::U32, block.index()),
        (Block::Tc(block), _) => (Classifier::Flower, block.index()),
    };
    Context {
        dev,
        device: &binding.device,
        classifier,
        block_index,
        hooks: binding.hooks(),
        owner: binding.id(),
        ct_zone: 0,
    }
}

/// Replaces a u32 node, for which the kernel uses the same handle before and after.
fn replace_node(
    context: &Context<'_>,
    binding: &Binding,
    node: (u32, u32, u32),
    cookie: usize,
    request: &mut FlowRequest<'_>,
) -> Result {
    // The old node is gone even if the new one is refused, as the kernel expects.
    let _ = requests::destroy(context, cookie);
    admit(binding, context.dev, request)
        .and_then(|()| requests::replace(context, cookie, request))
        .inspect_err(|_| {
            binding.forget_node(node);
        })
}

/// Checks whether a new flow may be requested from the firmware.
fn admit(binding: &Binding, dev: &NetDevice, request: &FlowRequest<'_>) -> Result {
    if !binding.indirect && !dev.hw_tc_offload() {
        request.extack().set(fmt!(
            "{}: hw-tc-offload is off; ethtool -K {} hw-tc-offload on",
            dev.name(),
            dev.name()
        ));
        return Err(eopnotsupp());
    }
    match binding.gate() {
        Gate::Open => Ok(()),
        Gate::Attaching if !request.skip_sw() => Ok(()),
        Gate::Attaching => {
            request.extack().set(fmt!(
                "{}: firmware is just being attached; try again",
                dev.name()
            ));
            Err(EBUSY)
        }
        Gate::Closed => {
            let mut extack = request.extack();
            match binding.device.exit() {
                Some(exit) => extack.set(fmt!("{}: {}", dev.name(), exit)),
                None => extack.set(fmt!(
                    "{}: no firmware attached; use ekho-fw load",
                    dev.name()
                )),
            }
            Err(eopnotsupp())
        }
    }
}

/// A hash table of u32 is added or deleted. RTNL.
///
/// Firmware without the op can offload the nodes of the root table of a u32 filter, but no others,
/// as only the handle of a node says which table it belongs to.
fn setup_hnode(binding: &Binding, dev: &NetDevice, request: &HnodeRequest<'_>) -> Result {
    let guard = rcu::read_lock();
    let Some(firmware) = binding.device.firmware.get(&guard) else {
        return Err(eopnotsupp());
    };
    if request.is_new() && binding.gate() == Gate::Closed {
        return Err(eopnotsupp());
    }
    if firmware.ops.has(Op::Hnode) {
        return firmware.hnode(dev, request, &guard);
    }
    if request.is_new() && request.divisor() > 1 {
        request.extack().set(fmt!(
            "{}: firmware '{}' has no hash tables for u32 (divisor {})",
            dev.name(),
            firmware.ops.name(),
            request.divisor()
        ));
        return Err(eopnotsupp());
    }
    Ok(())
}
