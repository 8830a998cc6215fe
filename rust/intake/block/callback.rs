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

/// The module is going, and the kernel cleans up behind it.
static CLOSING: Atomic<bool> = Atomic::new(false);

/// Expects the kernel's cleanup; to be called before indirect blocks are given up.
pub(crate) fn close() {
    CLOSING.store(true, Relaxed);
}

impl BlockCallback for Binding {
    fn setup(&self, request: Request<'_>) -> Result {
        let Some(dev) = self.dev() else {
            // A chain that has outlived the device, and may have others. Statistics come without
            // the lock that guards its list, and must not sleep.
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
                // u32 offers filters that are skip_hw, and doesn't take those back.
                if self.has_nodes() {
                    self.destroy_rest();
                }
            }
            // nftables doesn't say that flows end with the binding.
            Block::Chain(_) | Block::Flowtable(_) => self.destroy_rest(),
        }
        bindings::remove(self);
    }
}

impl Binding {
    /// Destroys the flows that the kernel has forgotten along with the binding.
    fn destroy_rest(&self) {
        // Without the device there is no firmware, and no flow.
        if let Some(dev) = self.dev() {
            requests::destroy_where(&self.device, &dev, |flow| flow.owner == self.id());
        }
    }
}

/// Something is wanted of a flow.
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
        // nftables takes an error for a reason to keep the rule.
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

/// Where a flow of a binding stands.
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
    }
}

/// A node of u32 is replaced in place: the kernel names the old one and the new one alike.
fn replace_node(
    context: &Context<'_>,
    binding: &Binding,
    node: (u32, u32, u32),
    cookie: usize,
    request: &mut FlowRequest<'_>,
) -> Result {
    // Of the old one nothing is left if the new one is refused, as the kernel expects.
    let _ = requests::destroy(context, cookie);
    admit(binding, context.dev, request)
        .and_then(|()| requests::replace(context, cookie, request))
        .inspect_err(|_| {
            binding.forget_node(node);
        })
}

/// Whether there is firmware to ask for something new.
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

/// A hash table of u32 comes or goes. RTNL.
///
/// Firmware that doesn't care about them can serve the nodes of the table that each u32 filter has
/// for a start, but no others: a node says in which table it is only by its handle.
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
