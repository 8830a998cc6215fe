// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of filters that are bound to devices, and the requests that arrive through them.

use super::flows::{
    self,
    Site, //
};
use crate::{
    abstractions::{
        flow_offload::{
            eopnotsupp,
            Binder,
            BlockCallback,
            BlockCommand,
            BlockOffload,
            Command,
            Direction,
            FlowRequest,
            HnodeRequest,
            IndirectDriver,
            Origin,
            Released,
            Request, //
        },
        net_device::NetDevice, //
    },
    flows::Source,
    ops::contract::{
        HOOK_EGRESS,
        HOOK_INGRESS, //
    },
    port::{
        self,
        Binding,
        Block,
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
        rcu, //
    },
};

/// The module is going, and the kernel cleans up behind it.
static CLOSING: Atomic<bool> = Atomic::new(false);

/// Expects the kernel's cleanup; to be called before indirect blocks are given up.
pub(crate) fn close() {
    CLOSING.store(true, Relaxed);
}

/// A block is bound to a port, or unbound.
pub(crate) fn setup(dev: &NetDevice, request: BlockOffload<'_>) -> Result {
    let hook = match request.direction() {
        Direction::Ingress => HOOK_INGRESS,
        Direction::Egress => HOOK_EGRESS,
        Direction::QdiscEvent => return Err(eopnotsupp()),
    };
    let block = match (request.tc_block(), request.binder()) {
        (Some(block), _) => Block::Tc(block),
        (None, Binder::Block) => Block::Chain(request.id()),
        (None, Binder::Flowtable) => Block::Flowtable(request.id()),
    };
    match request.command() {
        BlockCommand::Bind => bind(dev, block, hook, request),
        BlockCommand::Unbind => unbind(dev, block, hook, request),
    }
}

fn bind(dev: &NetDevice, block: Block, hook: u8, mut request: BlockOffload<'_>) -> Result {
    let indirect = request.is_indirect();
    // See `IndirectDriver`. Filters of a shared block that is bound to such a device later than
    // they were added stay in software there.
    if indirect && !request.is_empty() {
        return Err(eopnotsupp());
    }
    let port = port::get_or_create(dev, !indirect)?;
    // One callback serves both directions of a device: each filter is one flow.
    if request.share::<Binding>(port.key()) {
        port.for_binding(block, |binding| binding.add_hook(hook));
        return Ok(());
    }
    let mut add = || {
        let binding = Binding::new(port.clone(), dev, block, indirect)?;
        binding.add_hook(hook);
        if port.has_firmware() {
            binding.open();
        }
        port.add(binding.clone())?;
        request
            .bind(port.key(), binding.clone())
            .inspect_err(|_| port.remove(&binding))
    };
    add().inspect_err(|_| port::prune(&port))
}

fn unbind(dev: &NetDevice, block: Block, hook: u8, mut request: BlockOffload<'_>) -> Result {
    // A bind that the kernel took for "can't offload" has left no callback; it wants to hear the
    // same again, or else counts the block's devices wrong.
    let port = port::get(dev).ok_or_else(eopnotsupp)?;
    let last = request
        .unbind::<Binding>(port.key())
        .map_err(|_| eopnotsupp())?;
    port.for_binding(block, |binding| {
        if last {
            binding.set_unbound();
        } else {
            binding.remove_hook(hook);
        }
    });
    Ok(())
}

impl IndirectDriver for Binding {
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result {
        setup(dev, block)
    }
}

impl BlockCallback for Binding {
    fn setup(&self, request: Request<'_>) -> Result {
        match request {
            Request::Flow(mut request) => setup_flow(self, &mut request),
            Request::Hnode(request) => setup_hnode(self, &request),
        }
    }

    fn release(&self, locked: Released<'_>) {
        match self.block {
            Block::Tc(block) => {
                if self.indirect && !self.is_unbound() && CLOSING.load(Relaxed) {
                    locked.uncount_indirect_cleanup(block);
                }
            }
            // nftables doesn't say that flows end with the binding.
            Block::Chain(_) | Block::Flowtable(_) => {
                flows::destroy_where(&self.port, &self.dev, |flow| flow.owner == self.id());
            }
        }
        self.port.remove(self);
        port::prune(&self.port);
    }
}

/// Something is wanted of a flow.
fn setup_flow(binding: &Binding, request: &mut FlowRequest<'_>) -> Result {
    let command = request.command();
    let site = site(binding, request.origin());
    let mut cookie = request.cookie();
    if site.source == Source::U32 {
        let node = (request.chain_index(), request.prio(), cookie as u32);
        cookie = match command {
            Command::Replace => binding.node(node)?,
            _ => binding.forget_node(node).ok_or(ENOENT)?,
        };
        return match command {
            Command::Replace => replace_node(&site, binding, node, cookie, request),
            _ => flows::destroy(&site, cookie),
        };
    }
    match command {
        Command::Replace => {
            admit(binding, request)?;
            flows::replace(&site, cookie, request)
        }
        Command::Destroy => flows::destroy(&site, cookie),
        Command::Stats => flows::stats(&site, cookie, request),
        Command::TemplateCreate => {
            admit(binding, request)?;
            flows::template_create(&site, cookie, request)
        }
        Command::TemplateDestroy => flows::template_destroy(&site, cookie, request),
    }
}

/// Where a flow of a binding stands.
fn site(binding: &Binding, origin: Origin) -> Site<'_> {
    let (source, block_index) = match (binding.block, origin) {
        (Block::Chain(_), _) => (Source::Nft, 0),
        (Block::Flowtable(_), _) => (Source::Flowtable, 0),
        (Block::Tc(block), Origin::Matchall) => (Source::Matchall, block.index()),
        (Block::Tc(block), Origin::U32) => (Source::U32, block.index()),
        (Block::Tc(block), _) => (Source::Flower, block.index()),
    };
    Site {
        dev: &binding.dev,
        port: &binding.port,
        source,
        block_index,
        hooks: binding.hooks(),
        owner: binding.id(),
    }
}

/// A node of u32 is replaced in place: the kernel names the old one and the new one alike.
fn replace_node(
    site: &Site<'_>,
    binding: &Binding,
    node: (u32, u32, u32),
    cookie: usize,
    request: &mut FlowRequest<'_>,
) -> Result {
    // Of the old one nothing is left if the new one is refused, as the kernel expects.
    let _ = flows::destroy(site, cookie);
    admit(binding, request)
        .and_then(|()| flows::replace(site, cookie, request))
        .inspect_err(|_| {
            binding.forget_node(node);
        })
}

/// Whether there is firmware to ask for something new.
fn admit(binding: &Binding, request: &FlowRequest<'_>) -> Result {
    let dev = &*binding.dev;
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
            request.extack().set(fmt!(
                "{}: no firmware attached; use ekho-fw load",
                dev.name()
            ));
            Err(eopnotsupp())
        }
    }
}

/// A hash table of u32 comes or goes. RTNL.
///
/// Firmware that doesn't care about them can serve the nodes of the table that each u32 filter has
/// for a start, but no others: a node says in which table it is only by its handle.
fn setup_hnode(binding: &Binding, request: &HnodeRequest<'_>) -> Result {
    let guard = rcu::read_lock();
    let port: &Port = &binding.port;
    let dev = &*binding.dev;
    let Some(firmware) = port.firmware.get(&guard) else {
        return Err(eopnotsupp());
    };
    if request.is_new() && binding.gate() == Gate::Closed {
        return Err(eopnotsupp());
    }
    if firmware.ops.has_hnode() {
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

