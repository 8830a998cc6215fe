// SPDX-License-Identifier: GPL-2.0-only

//! Requests that arrive through a bound block.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        tc::flow_offload::{
            BlockCallback,
            Command,
            FlowRequest,
            HnodeRequest,
            Released,
            Request, //
        },
    },
    contract::{
        flow::Classifier,
        ops::Op, //
    },
    hardware::rules::table::RuleTable,
    intake::{
        block::{
            binding::{
                Binding,
                Block,
                Gate, //
            },
            binding_set,
            chain, //
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
        match request {
            Request::Flow(mut request) => match &self.chain {
                Some(nft) => chain::setup(self, nft, &mut request),
                None => setup_flow(self, &mut request),
            },
            Request::Hnode(request) => setup_hnode(self, &request),
        }
    }

    fn release(&self, released: Released<'_>) {
        // Also if it was bound, and then couldn't stay so.
        self.set_live(false);
        match self.block {
            Block::Tc(_) => {
                if !self.is_unbound() && CLOSING.load(Relaxed) {
                    released.uncount_indirect_cleanup();
                }
                // Filters whose rule the kernel can't make any more, as an action of theirs was
                // replaced by one that isn't offloadable, or for want of memory, are left out when
                // it takes back those of a block; of flower also those after one that is skip_sw.
                // u32 offers filters that are skip_hw, and doesn't destroy them.
                self.destroy_rest();
                requests::destroy_unasked(&self.device);
            }
            // nftables doesn't destroy the flows of an unbound block.
            Block::Chain(_) | Block::Flowtable(_) => self.destroy_rest(),
        }
        self.set_released();
        binding_set::remove(self);
    }
}

impl Binding {
    /// Destroys the flows that the kernel doesn't destroy before it releases the binding.
    fn destroy_rest(&self) {
        requests::destroy_where(&self.device, &self.dev(), |flow| flow.owner == self.id());
    }
}

/// Handles a request for a flow that isn't a rule of nftables.
fn setup_flow(binding: &Binding, request: &mut FlowRequest<'_>) -> Result {
    let command = request.command();
    let dev = binding.dev();
    let context = binding.context(&dev, request.origin());
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
            binding.admit(request)?;
            requests::replace(&context, cookie, request)
        }
        Command::Destroy => requests::destroy(&context, cookie),
        Command::Stats => {
            let result = requests::stats(&context, cookie, request);
            hand_on(binding, cookie, request);
            // What firmware counts it was asked for.
            if context.rules.is_some_and(RuleTable::has_rules) && is_alone(binding) {
                requests::unasked_stats(&context, cookie, request);
            }
            result
        }
        Command::TemplateCreate => {
            binding.admit(request)?;
            requests::template_create(&context, cookie, request)
        }
        Command::TemplateDestroy => requests::template_destroy(&context, cookie, request),
    }
}

/// Keeps the counters of a filter that one device of the block counts by action and others as a whole:
/// the kernel asks for each action then, and drops what was reported for the filter. The device that
/// counts by action reports it with each action instead. The block's `cb_lock` is held for reading.
///
/// If no device of this module does, what was reported stays in the request, for actions that the
/// kernel doesn't ask about.
fn hand_on(binding: &Binding, cookie: usize, request: &mut FlowRequest<'_>) {
    let Some(whole) = request.forgotten() else {
        return;
    };
    let by_action = |other: &Binding| {
        let taken = other.device.flows.carry(cookie, whole, &rcu::read_lock());
        taken.then_some(())
    };
    if find(binding, by_action).is_some() {
        request.forget();
    }
}

/// Whether the block has no other device of this module, which would take what this one reports for a
/// filter as a whole for its own. The block's `cb_lock` is held for reading.
fn is_alone(binding: &Binding) -> bool {
    find(binding, |other| (other.id() != binding.id()).then_some(())).is_none()
}

/// Calls `f` with the bindings of the block to devices of this module, until it returns a result. To be
/// called when the block is asked for statistics.
#[expect(unsafe_code)]
fn find<R>(binding: &Binding, f: impl FnMut(&Binding) -> Option<R>) -> Option<R> {
    // SAFETY: The block is asked for statistics, with its lock held, by those who call this.
    unsafe { binding.bound()?.find(f) }
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
    binding
        .admit(request)
        .and_then(|()| requests::replace(context, cookie, request))
        .inspect_err(|_| {
            binding.forget_node(node);
        })
}

/// A hash table of u32 is added or deleted. RTNL.
///
/// Firmware without the op can offload the nodes of the root table of a u32 filter, but no others,
/// as only the handle of a node says which table it belongs to.
fn setup_hnode(binding: &Binding, request: &HnodeRequest<'_>) -> Result {
    let dev = binding.dev();
    let guard = rcu::read_lock();
    let Some(firmware) = binding.device.firmware.get(&guard) else {
        return Err(eopnotsupp());
    };
    if request.is_new() && binding.gate() == Gate::Closed {
        return Err(eopnotsupp());
    }
    if firmware.ops.has(Op::Hnode) {
        return firmware.hnode(&dev, request, &guard);
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
