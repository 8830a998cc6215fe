// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of filters that are bound to devices, and the requests that arrive through them.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::{
            NetDevice,
            Rtnl, //
        },
        tc::flow_offload::{
            Binder,
            BlockCallback,
            BlockCommand,
            BlockOffload,
            BoundCallback,
            Command,
            Direction,
            FlowRequest,
            HnodeRequest,
            IndirectDriver,
            Origin,
            Released,
            Request, //
        },
    },
    faults,
    flows::Source,
    intake::{
        self,
        flows::{
            self,
            Site, //
        },
    },
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
        rcu,
        Arc,
        SetOnce, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
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
    // Of a device that goes nftables would not unbind it, and the kernel's cleanup would find a
    // device that isn't there: see `Binding::lose_device`.
    if indirect && matches!(block, Block::Chain(_)) {
        return Err(eopnotsupp());
    }
    let port = port::get_or_create(dev, !indirect)?;
    // One callback serves both directions of a device: each filter is one flow.
    if request.share::<Binding>(port.key()) {
        port.for_binding(block, |binding| binding.add_hook(hook));
        return Ok(());
    }
    if let Some(error) = port.faults.strike(faults::BIND, &rcu::read_lock()).error {
        return Err(error);
    }
    let binding = Binding::new(port.clone(), dev, block, indirect)?;
    binding.add_hook(hook);
    port.add(binding.clone())?;
    // In this order: nftables binds without RTNL, and who attaches firmware at the same time either
    // finds the binding or is found here.
    if port.has_firmware() {
        binding.open();
    }
    let callback = request
        .bind(port.key(), binding.clone())
        .inspect_err(|_| port.remove(&binding))?;
    binding.set_bound(callback);
    Ok(())
}

fn unbind(dev: &NetDevice, block: Block, hook: u8, mut request: BlockOffload<'_>) -> Result {
    // A bind that the kernel took for "can't offload" has left no callback; it wants to hear the
    // same again, or else counts the block's devices wrong.
    let last = request
        .unbind::<Binding>(dev.key())
        .map_err(|_| eopnotsupp())?;
    // nftables unbinds when it is told that the device goes, which the port may have been before.
    let Some(port) = port::get(dev) else {
        return Ok(());
    };
    port.for_binding(block, |binding| {
        if last {
            binding.set_unbound();
        } else {
            binding.remove_hook(hook);
        }
    });
    Ok(())
}

/// A device has gone for good: the kernel should have unbound all of its blocks. Process context.
#[expect(unsafe_code)]
pub(crate) fn device_gone(port: &Port, dev: &NetDevice, rtnl: &Rtnl) {
    for (_, binding) in port.take_bindings() {
        binding.lose_device();
        if !dev.netns_ends(rtnl) {
            pr_info!(
                "{}: nftables still has a chain of it: delete the chain's rules, or this module can't be removed\n",
                dev.name()
            );
            continue;
        }
        if let Some(callback) = binding.take_forgotten() {
            // SAFETY: A namespace loses its devices before its tables, and has no socket by then
            // through which anyone could change them: nobody looks at the list.
            unsafe {
                callback.unlink();
                callback.free();
            }
        }
    }
}

/// A device leaves for another namespace: the kernel should have unbound all of its blocks, and
/// forgets chains as it does when a device goes for good. Process context.
pub(crate) fn device_leaves(port: &Port, dev: &NetDevice, rtnl: &Rtnl) {
    for binding in port.bindings(rtnl).filter(|binding| binding.is_chain()) {
        binding.lose_device();
        flows::destroy_where(port, dev, |flow| flow.owner == binding.id());
        port.remove(&binding);
    }
}

/// Lets go of a binding whose device has gone, at a request from the chain that forgot it: any but
/// for statistics. Process context.
#[expect(unsafe_code)]
fn forget(binding: &Binding) {
    // Without memory the next request will do.
    let Ok(forgotten) = Forgotten::new() else {
        return;
    };
    if let Some(callback) = binding.take_forgotten() {
        // SAFETY: Such requests come with the lock that guards the list. The kernel has no way left
        // to find the binding by its device.
        unsafe { callback.unlink() };
        forgotten.callback.populate(callback);
        // The queue is there for as long as requests can arrive.
        intake::enqueue(forgotten);
    }
}

/// Releases a callback that the kernel forgot.
#[pin_data]
struct Forgotten {
    callback: SetOnce<BoundCallback>,
    #[pin]
    work: Work<Forgotten>,
}

impl_has_work! {
    impl HasWork<Self> for Forgotten { self.work }
}

impl Forgotten {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                callback: SetOnce::new(),
                work <- new_work!("ekho::Forgotten"),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for Forgotten {
    type Pointer = Arc<Self>;

    #[expect(unsafe_code)]
    fn run(this: Arc<Self>) {
        if let Some(callback) = this.callback.copy() {
            // SAFETY: Unlinked before it was put here, and the item runs once.
            unsafe { callback.free() };
        }
    }
}

impl IndirectDriver for Binding {
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result {
        setup(dev, block)
    }
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
        self.port.remove(self);
        port::prune(&self.port);
    }
}

impl Binding {
    /// Destroys the flows that the kernel has forgotten along with the binding.
    fn destroy_rest(&self) {
        // Without the device there is no firmware, and no flow.
        if let Some(dev) = self.dev() {
            flows::destroy_where(&self.port, &dev, |flow| flow.owner == self.id());
        }
    }
}

/// Something is wanted of a flow.
fn setup_flow(binding: &Binding, dev: &NetDevice, request: &mut FlowRequest<'_>) -> Result {
    let command = request.command();
    let site = site(binding, dev, request.origin());
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
            admit(binding, dev, request)?;
            flows::replace(&site, cookie, request)
        }
        // nftables takes an error for a reason to keep the rule.
        Command::Destroy if site.source == Source::Nft => {
            let _ = flows::destroy(&site, cookie);
            Ok(())
        }
        Command::Destroy => flows::destroy(&site, cookie),
        Command::Stats => flows::stats(&site, cookie, request),
        Command::TemplateCreate => {
            admit(binding, dev, request)?;
            flows::template_create(&site, cookie, request)
        }
        Command::TemplateDestroy => flows::template_destroy(&site, cookie, request),
    }
}

/// Where a flow of a binding stands.
fn site<'a>(binding: &'a Binding, dev: &'a NetDevice, origin: Origin) -> Site<'a> {
    let (source, block_index) = match (binding.block, origin) {
        (Block::Chain(_), _) => (Source::Nft, 0),
        (Block::Flowtable(_), _) => (Source::Flowtable, 0),
        (Block::Tc(block), Origin::Matchall) => (Source::Matchall, block.index()),
        (Block::Tc(block), Origin::U32) => (Source::U32, block.index()),
        (Block::Tc(block), _) => (Source::Flower, block.index()),
    };
    Site {
        dev,
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
    admit(binding, site.dev, request)
        .and_then(|()| flows::replace(site, cookie, request))
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
            match binding.port.exit() {
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
    let port: &Port = &binding.port;
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
