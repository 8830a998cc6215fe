// SPDX-License-Identifier: GPL-2.0-only

//! Ports: devices from the side of offload, whoever's netdev they are.
//!
//! A port holds what a device's requests need: the blocks bound to it, its flows, and its firmware
//! if it has one.
//!
//! ```text
//!   bind, attach or an EKHO device's registration ──▶ Port ──▶ gone with the device, or with
//!                                                              the last use of an indirect one
//! ```
//!
//! | state | changed under | read under |
//! |---|---|---|
//! | the set of ports | `PORTS` | `PORTS` |
//! | `Port::ident` | `ident` | `ident` |
//! | `Port::claims` | `PORTS` | `PORTS` |
//! | `Port::bindings` | the locks of bind and unbind, `bindings` | `bindings` |
//! | `Port::firmware` | RTNL | RTNL or RCU |
//! | `Port::faults` | RTNL | RCU |
//! | `Port::exit` | RTNL, `exit` | `exit` |
//! | `Binding::gate` | RTNL, a tc block's `cb_lock` for writing | `cb_lock` |
//! | `Binding::hooks` | the locks of bind and unbind | none: a late reader is told the old ones |
//! | `Binding::nodes` | `nodes` | `nodes` |

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        compat::smp_mb,
        module,
        net::{
            net_device::{
                DevName,
                NetDevice,
                Rtnl, //
            },
            netlink::OwnExtAck, //
        },
        sync::{
            cookie_table::Entry,
            rcu::RcuSlot, //
        },
        tc::flow_offload::{
            BoundCallback,
            TcBlock, //
        },
    },
    faults::{
        self,
        FaultSlot, //
    },
    flows::{
        Flow,
        FlowTable,
        Part,
        PartTable,
        Source, //
    },
    ops::{
        exit::Exit,
        firmware::Firmware, //
    },
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    revocable::Revocable,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        rcu,
        Arc,
        Mutex,
        SetOnce, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How often the kernel is asked to take filters back, a millisecond apart.
const PERSISTENCE: usize = 100;

/// Who a device is, for people: kept up by the netdevice notifier.
#[derive(Clone, Copy)]
pub(crate) struct Ident {
    pub(crate) ifindex: u32,
    pub(crate) name: DevName,
    pub(crate) netns: u32,
    pub(crate) hw_tc_offload: bool,
}

impl Ident {
    pub(crate) fn of(dev: &NetDevice) -> Self {
        Self {
            ifindex: dev.ifindex(),
            name: dev.name(),
            netns: dev.netns(),
            hw_tc_offload: dev.hw_tc_offload(),
        }
    }
}

/// A device from the side of offload.
#[pin_data]
pub(crate) struct Port {
    key: usize,
    /// Whether it is a device of kind `ekho`, as opposed to one that indirect blocks serve.
    pub(crate) own: bool,
    pub(crate) flows: Pin<KBox<FlowTable>>,
    /// Of those flows whose actions are counted one by one.
    pub(crate) parts: Pin<KBox<PartTable>>,
    pub(crate) firmware: RcuSlot<Firmware>,
    /// What fails on purpose.
    pub(crate) faults: Arc<FaultSlot>,
    /// How many of the flows take a place in the device's table: all but shared actions.
    occupied: Atomic<u32>,
    /// How many [`Claim`]s there are; changed under the lock of the set of ports.
    claims: Atomic<u32>,
    /// Why the last firmware was stopped, unless there is another.
    #[pin]
    exit: Mutex<Option<Exit>>,
    #[pin]
    ident: Mutex<Ident>,
    /// In the order in which they came, each with a number that is larger than those before it.
    #[pin]
    bindings: Mutex<KVec<(u64, Arc<Binding>)>>,
}

/// The last number given to a binding.
static LAST_BINDING: Atomic<u64> = Atomic::new(0);

impl Port {
    fn new(dev: &NetDevice, own: bool) -> Result<Arc<Self>> {
        // Instead of what can go wrong here, which is that there is no memory.
        if let Some(error) = own.then(faults::strike_new).and_then(|fault| fault.error) {
            pr_info!("{}: injected fault\n", dev.name());
            return Err(error);
        }
        let flows = KBox::pin_init(FlowTable::new(), GFP_KERNEL)?;
        let parts = KBox::pin_init(PartTable::new(), GFP_KERNEL)?;
        Arc::pin_init(
            try_pin_init!(Self {
                key: dev.key(),
                own,
                flows,
                parts,
                firmware: RcuSlot::new(),
                faults: Arc::new(FaultSlot::new(), GFP_KERNEL)?,
                occupied: Atomic::new(0),
                claims: Atomic::new(0),
                exit <- new_mutex!(None, "ekho::Port::exit"),
                ident <- new_mutex!(Ident::of(dev), "ekho::Port::ident"),
                bindings <- new_mutex!(KVec::new(), "ekho::Port::bindings"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// What the port's bindings are told apart by, within a block.
    pub(crate) fn key(&self) -> usize {
        self.key
    }

    /// Who the device is.
    pub(crate) fn ident(&self) -> Ident {
        *self.ident.lock()
    }

    /// Notes who the device is now.
    pub(crate) fn refresh(&self, dev: &NetDevice) {
        *self.ident.lock() = Ident::of(dev);
    }

    /// How many flows the device holds, if firmware declares `max_flows` (0 for any number). None
    /// for any number.
    pub(crate) fn capacity(&self, max_flows: u32, guard: &rcu::Guard) -> Option<u32> {
        let declared = (max_flows != 0).then_some(max_flows);
        match self.faults.nospc_after(guard) {
            Some(fault) => Some(declared.map_or(fault, |declared| declared.min(fault))),
            None => declared,
        }
    }

    /// Adds a flow; fails with [`ENOSPC`] if its device holds `max` already, or with [`EEXIST`].
    /// Doesn't sleep.
    pub(crate) fn add_flow<'a>(
        &'a self,
        flow: KBox<Entry<Flow>>,
        max: Option<u32>,
        guard: &'a rcu::Guard,
    ) -> Result<&'a Flow> {
        let takes_place = flow.position.source != Source::Action;
        if takes_place {
            self.occupy(max)?;
        }
        self.flows.insert(flow, guard).inspect_err(|_| {
            if takes_place {
                self.vacate();
            }
        })
    }

    /// Counts the actions of a flow one by one, from their cookies. May sleep.
    ///
    /// An action that several flows share counts with the last: when a filter is changed, the new
    /// one comes before the old one goes.
    pub(crate) fn add_parts(&self, flow: usize, actions: impl Iterator<Item = u64>) -> Result {
        let mut cookies = KBox::new(KVec::new(), GFP_KERNEL)?;
        let result = actions
            .filter(|&action| action != 0)
            .try_for_each(|action| {
                // An action of several entries has them in a row.
                if cookies.last() == Some(&action) {
                    return Ok(());
                }
                cookies.push(action, GFP_KERNEL)?;
                let entry = Entry::new(action as usize, Part::new(flow), GFP_KERNEL)?;
                let guard = rcu::read_lock();
                self.parts.remove(action as usize, &guard);
                match self.parts.insert(entry, &guard) {
                    // Another flow has come in between.
                    Err(error) if error != EEXIST => Err(error),
                    _ => Ok(()),
                }
            });
        let guard = rcu::read_lock();
        if result.is_err() {
            self.remove_parts(flow, &cookies, &guard);
            return result;
        }
        let Some(found) = self.flows.get(flow, &guard) else {
            self.remove_parts(flow, &cookies, &guard);
            return Err(ENOENT);
        };
        found.set_actions(cookies);
        // Who takes the flow out before this sees the actions, or else is seen here.
        smp_mb();
        if self.flows.get(flow, &guard).is_none() {
            self.remove_parts(flow, found.actions(), &guard);
            return Err(ENOENT);
        }
        Ok(())
    }

    /// Takes those parts out of their table that belong to a flow, of actions with these cookies.
    fn remove_parts(&self, flow: usize, actions: &[u64], guard: &rcu::Guard) {
        for &action in actions {
            self.parts
                .remove_if(action as usize, |part| part.flow == flow, guard);
        }
    }

    /// Takes a flow out of the table, and its parts with it.
    pub(crate) fn remove_flow<'a>(
        &'a self,
        cookie: usize,
        guard: &'a rcu::Guard,
    ) -> Option<&'a Flow> {
        let flow = self.flows.remove(cookie, guard)?;
        // See `add_parts`.
        smp_mb();
        self.remove_parts(cookie, flow.actions(), guard);
        if flow.position.source != Source::Action {
            self.vacate();
        }
        Some(flow)
    }

    /// How many flows take a place in the device's table.
    pub(crate) fn occupied(&self) -> u32 {
        self.occupied.load(Relaxed)
    }

    fn occupy(&self, max: Option<u32>) -> Result {
        let mut n = self.occupied.load(Relaxed);
        loop {
            if max.is_some_and(|max| n >= max) {
                return Err(ENOSPC);
            }
            match self.occupied.cmpxchg(n, n.wrapping_add(1), Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => n = now,
            }
        }
    }

    fn vacate(&self) {
        self.occupied.add(u32::MAX, Relaxed);
    }

    /// Adds a binding. May sleep.
    pub(crate) fn add(&self, binding: Arc<Binding>) -> Result {
        let mut bindings = self.bindings.lock();
        let number = LAST_BINDING.fetch_add(1, Relaxed).wrapping_add(1);
        bindings.push((number, binding), GFP_KERNEL)?;
        Ok(())
    }

    /// Forgets a binding, which the kernel has let go of.
    pub(crate) fn remove(&self, binding: &Binding) {
        self.bindings
            .lock()
            .retain(|(_, other)| !core::ptr::eq(&**other, binding));
    }

    /// The bindings, without a lock that would keep others of nftables from coming and going: one
    /// that stays is met once. RTNL keeps those of tc.
    pub(crate) fn bindings<'a>(
        &'a self,
        _rtnl: &'a Rtnl,
    ) -> impl Iterator<Item = Arc<Binding>> + 'a {
        let mut last = 0;
        core::iter::from_fn(move || {
            let bindings = self.bindings.lock();
            let (number, binding) = bindings.iter().find(|(number, _)| *number > last)?;
            last = *number;
            Some(binding.clone())
        })
    }

    /// Calls `f` with the binding of a block, if there is one.
    pub(crate) fn for_binding(&self, block: Block, f: impl FnOnce(&Binding)) {
        let bindings = self.bindings.lock();
        if let Some((_, binding)) = bindings.iter().find(|(_, binding)| binding.block == block) {
            f(binding);
        }
    }

    /// The bindings that are left when the device has gone.
    pub(crate) fn take_bindings(&self) -> KVec<(u64, Arc<Binding>)> {
        core::mem::take(&mut *self.bindings.lock())
    }

    /// How many there are.
    pub(crate) fn n_bindings(&self) -> usize {
        self.bindings.lock().len()
    }

    /// Whether there is firmware.
    pub(crate) fn has_firmware(&self) -> bool {
        self.firmware.get(&rcu::read_lock()).is_some()
    }

    /// Whether there is firmware that was stopped.
    pub(crate) fn has_stopped_firmware(&self) -> bool {
        let guard = rcu::read_lock();
        self.firmware
            .get(&guard)
            .is_some_and(|firmware| firmware.exit().is_some())
    }

    /// Why there is no firmware, if the last one was stopped.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.lock()
    }

    /// Notes why there will be no firmware: because it was stopped, if it was.
    pub(crate) fn keep_exit(&self, _rtnl: &Rtnl) {
        let exit = {
            let guard = rcu::read_lock();
            self.firmware
                .get(&guard)
                .and_then(|firmware| firmware.exit().copied())
        };
        *self.exit.lock() = exit;
    }

    /// There is firmware again.
    pub(crate) fn forget_exit(&self, _rtnl: &Rtnl) {
        *self.exit.lock() = None;
    }
}

/// Which requests for new flows go to the firmware.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Gate {
    /// None.
    Closed,
    /// Those for filters that may stay in software. The filters that are there are being offered;
    /// one that must be in hardware, and was accepted already, would fail that.
    Attaching,
    /// All.
    Open,
}

/// A list of filters that devices can be bound to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// Of a qdisc, or shared by several.
    Tc(TcBlock),
    /// A chain of nftables, known by its address.
    Chain(usize),
    /// A flowtable of nftables, likewise.
    Flowtable(usize),
}

/// The place of a u32 node among those of a block: chain, preference, handle.
type Node = (u32, u32, u32);

/// A block of filters on a port.
///
/// A block that is bound to both directions of a device has one binding.
#[pin_data]
pub(crate) struct Binding {
    pub(crate) port: Arc<Port>,
    /// Given up when the device goes: nftables forgets bindings of a namespace that ends.
    #[pin]
    dev: Revocable<ARef<NetDevice>>,
    pub(crate) block: Block,
    pub(crate) indirect: bool,
    /// Where packets meet the filters: bits of `enum ekho_hook`.
    hooks: Atomic<u32>,
    /// A [`Gate`].
    gate: Atomic<u32>,
    /// What the kernel has of it.
    bound: SetOnce<BoundCallback>,
    /// Held for a chain, since the kernel doesn't always let go of one before its device goes.
    _hold: Option<module::Hold>,
    /// Whether the kernel asked this module before it let go.
    unbound: Atomic<bool>,
    /// The cookies of u32 nodes, which the kernel names by numbers that others have too.
    #[pin]
    nodes: Mutex<RBTree<Node, usize>>,
}

/// The last cookie given to a u32 node: they are small numbers, all others are addresses.
static LAST_NODE: Atomic<u64> = Atomic::new(0);

impl Binding {
    /// A binding whose requests are refused so far.
    pub(crate) fn new(
        port: Arc<Port>,
        dev: &NetDevice,
        block: Block,
        indirect: bool,
    ) -> Result<Arc<Self>> {
        let hold = match block {
            Block::Chain(_) => Some(module::Hold::new()?),
            Block::Tc(_) | Block::Flowtable(_) => None,
        };
        let dev: ARef<NetDevice> = dev.into();
        let binding = pin_init!(Self {
            port,
            dev <- Revocable::new(dev),
            block,
            indirect,
            hooks: Atomic::new(0),
            gate: Atomic::new(Gate::Closed as u32),
            bound: SetOnce::new(),
            _hold: hold,
            unbound: Atomic::new(false),
            nodes <- new_mutex!(RBTree::new(), "ekho::Binding::nodes"),
        });
        Arc::pin_init(binding, GFP_KERNEL)
    }

    /// The device, unless it has gone.
    pub(crate) fn dev(&self) -> Option<ARef<NetDevice>> {
        self.dev.try_access_with(ARef::clone)
    }

    /// The kernel has taken it.
    pub(crate) fn set_bound(&self, callback: BoundCallback) {
        self.bound.populate(callback);
    }

    /// The device goes for good, and the kernel didn't unbind it. Process context.
    ///
    /// As of 7.2 nftables forgets the chains of a device that goes: `nft_netdev_event()` takes the
    /// hook by which `nft_offload_netdev_event()` would find them. The callback stays on the
    /// chain's list and holds the module, until [`Self::take_forgotten`].
    pub(crate) fn lose_device(&self) {
        self.dev.revoke();
    }

    /// Whether it is of a chain of nftables.
    pub(crate) fn is_chain(&self) -> bool {
        matches!(self.block, Block::Chain(_))
    }

    /// What the kernel has of a binding that it forgot: for the first who asks.
    pub(crate) fn take_forgotten(&self) -> Option<BoundCallback> {
        if !self.is_chain() || self.unbound.xchg(true, Relaxed) {
            return None;
        }
        self.bound.copy()
    }

    /// Where packets meet the filters.
    pub(crate) fn hooks(&self) -> u8 {
        self.hooks.load(Relaxed) as u8
    }

    /// Packets meet them here, too.
    pub(crate) fn add_hook(&self, hook: u8) {
        self.hooks.store(u32::from(self.hooks() | hook), Relaxed);
    }

    /// Packets no longer meet them here.
    pub(crate) fn remove_hook(&self, hook: u8) {
        self.hooks.store(u32::from(self.hooks() & !hook), Relaxed);
    }

    /// What tells it from other bindings while it lives.
    pub(crate) fn id(&self) -> usize {
        &raw const *self as usize
    }

    /// The cookie of a u32 node that is to be offloaded. May sleep.
    pub(crate) fn node(&self, node: Node) -> Result<usize> {
        let mut nodes = self.nodes.lock();
        if let Some(cookie) = nodes.get(&node) {
            return Ok(*cookie);
        }
        let cookie = LAST_NODE.fetch_add(1, Relaxed).wrapping_add(1) as usize;
        nodes.try_create_and_insert(node, cookie, GFP_KERNEL)?;
        Ok(cookie)
    }

    /// The same of one that is gone, which it forgets.
    pub(crate) fn forget_node(&self, node: Node) -> Option<usize> {
        self.nodes.lock().remove(&node)
    }

    /// Whether there are u32 nodes.
    pub(crate) fn has_nodes(&self) -> bool {
        !self.nodes.lock().is_empty()
    }

    /// Changes which requests go to the firmware, for tc at a time when none runs. Process context.
    #[expect(unsafe_code)]
    fn set_gate(&self, gate: Gate, rtnl: &Rtnl) {
        let set = || self.gate.store(gate as u32, Relaxed);
        match self.block {
            // SAFETY: A port's bindings are of blocks that are bound; the kernel unbinds tc blocks
            // under RTNL, and forgets the binding then. Requests, which run with the block's lock
            // held, don't get here.
            Block::Tc(block) => unsafe { block.locked(rtnl, set) },
            Block::Chain(_) | Block::Flowtable(_) => set(),
        }
    }

    /// Opens the gate of a binding that the kernel doesn't know yet.
    pub(crate) fn open(&self) {
        self.gate.store(Gate::Open as u32, Relaxed);
    }

    /// Offers the firmware the filters that are there. Process context.
    ///
    /// Fails if it refuses one that must be in hardware; the gate is closed then, and what was
    /// accepted is left to [`Self::withdraw`]. nftables can't be made to offer its rules again; what
    /// it adds from now on is offered, and a flowtable's connections when they are refreshed.
    #[expect(unsafe_code)]
    pub(crate) fn replay(self: &Arc<Self>, ack: &mut OwnExtAck, rtnl: &Rtnl) -> Result {
        let Block::Tc(block) = self.block else {
            self.set_gate(Gate::Open, rtnl);
            return Ok(());
        };
        self.set_gate(Gate::Attaching, rtnl);
        // SAFETY: As for `set_gate`.
        let result = unsafe {
            block.reoffload(rtnl, self, true, ack, |offer| {
                self.gate.store(Gate::Open as u32, Relaxed);
                let result = offer();
                self.gate.store(Gate::Attaching as u32, Relaxed);
                result
            })
        };
        let gate = result.map_or(Gate::Closed, |()| Gate::Open);
        self.set_gate(gate, rtnl);
        result
    }

    /// Takes all filters of tc back from the firmware, which sees no more requests but to destroy.
    /// Process context.
    #[expect(unsafe_code)]
    pub(crate) fn withdraw(self: &Arc<Self>, rtnl: &Rtnl) {
        self.set_gate(Gate::Closed, rtnl);
        let Block::Tc(block) = self.block else { return };
        let mut ack = OwnExtAck::new();
        // The kernel needs memory even for this, and stops when it finds none. What it doesn't come
        // to would count as in hardware from then on.
        let persist = |take_back: &mut dyn FnMut() -> Result| {
            let mut result = Ok(());
            for _ in 0..PERSISTENCE {
                // Not under RCU for longer: to take back sleeps.
                let fault = self.port.faults.strike(faults::WITHDRAW, &rcu::read_lock());
                result = match fault.error {
                    Some(error) => Err(error),
                    None => take_back(),
                };
                if result.is_ok() {
                    break;
                }
                fsleep(Delta::from_millis(1));
            }
            result
        };
        // SAFETY: As for `set_gate`.
        if let Err(error) = unsafe { block.reoffload(rtnl, self, false, &mut ack, persist) } {
            pr_err!(
                "{}: filters of block {} still count as in hardware, without firmware (errno {}): delete them\n",
                self.port.ident().name,
                block.index(),
                -error.to_errno()
            );
        }
    }

    /// Which requests go to the firmware.
    pub(crate) fn gate(&self) -> Gate {
        match self.gate.load(Relaxed) {
            gate if gate == Gate::Open as u32 => Gate::Open,
            gate if gate == Gate::Attaching as u32 => Gate::Attaching,
            _ => Gate::Closed,
        }
    }

    /// The kernel asked to unbind.
    pub(crate) fn set_unbound(&self) {
        self.unbound.store(true, Relaxed);
    }

    /// Whether it did.
    pub(crate) fn is_unbound(&self) -> bool {
        self.unbound.load(Relaxed)
    }
}

/// The set of ports, under a lock of its own: taken after RTNL and after blocks' locks, before
/// the ports' own.
mod registry {
    use super::*;

    kernel::sync::global_lock! {
        // SAFETY: Initialised by `init` before the module can be reached.
        unsafe(uninit) static PORTS: Mutex<Option<RBTree<usize, Arc<Port>>>> = None;
    }

    /// Makes the registry ready; to be called once, before all else of this module.
    #[expect(unsafe_code)]
    pub(crate) fn init() {
        // SAFETY: Called once, at the start of the module's initialisation.
        unsafe { PORTS.init() };
        *PORTS.lock() = Some(RBTree::new());
    }

    /// Drops what is left when the module goes.
    pub(crate) fn clear() {
        let ports = PORTS.lock().take();
        drop(ports);
    }

    /// The port of a device, if it has one.
    pub(crate) fn get(dev: &NetDevice) -> Option<Arc<Port>> {
        PORTS.lock().as_ref()?.get(&dev.key()).cloned()
    }

    /// A port that somebody is about to use: it isn't forgotten in the meantime, only after it if
    /// it turned out to be of no use. nftables lets go of bindings without RTNL.
    pub(crate) struct Claim(Arc<Port>);

    impl Claim {
        /// To be called under the lock, for a port in the set.
        fn new(port: &Arc<Port>) -> Self {
            port.claims.add(1, Relaxed);
            Self(port.clone())
        }
    }

    impl core::ops::Deref for Claim {
        type Target = Arc<Port>;

        fn deref(&self) -> &Arc<Port> {
            &self.0
        }
    }

    impl Drop for Claim {
        fn drop(&mut self) {
            let mut ports = PORTS.lock();
            self.0.claims.add(u32::MAX, Relaxed);
            prune_locked(&mut ports, &self.0);
        }
    }

    /// The port of a device, made if it has none. May sleep.
    pub(crate) fn get_or_create(dev: &NetDevice, own: bool) -> Result<Claim> {
        if let Some(port) = PORTS
            .lock()
            .as_ref()
            .and_then(|ports| ports.get(&dev.key()))
        {
            return Ok(Claim::new(port));
        }
        let port = Port::new(dev, own)?;
        let node = RBTreeNode::new(dev.key(), port.clone(), GFP_KERNEL)?;
        let mut ports = PORTS.lock();
        let ports = ports.as_mut().ok_or(ENODEV)?;
        // Another thread may have been faster.
        if let Some(port) = ports.get(&dev.key()) {
            return Ok(Claim::new(port));
        }
        ports.insert(node);
        Ok(Claim::new(&port))
    }

    /// The device is going: its port is no longer found.
    pub(crate) fn remove(dev: &NetDevice) -> Option<Arc<Port>> {
        PORTS.lock().as_mut()?.remove(&dev.key())
    }

    /// The first port of which `which` is true; it is called with the set locked.
    pub(crate) fn find(which: impl Fn(&Port) -> bool) -> Option<Claim> {
        let ports = PORTS.lock();
        let port = ports.as_ref()?.values().find(|port| which(port))?;
        Some(Claim::new(port))
    }

    /// Forgets a port of somebody else's device that is of no use any more.
    pub(crate) fn prune(port: &Arc<Port>) {
        prune_locked(&mut PORTS.lock(), port);
    }

    fn prune_locked(ports: &mut Option<RBTree<usize, Arc<Port>>>, port: &Arc<Port>) {
        let Some(ports) = ports else { return };
        let of_use = port.claims.load(Relaxed) != 0
            || port.n_bindings() != 0
            || port.has_firmware()
            || port.faults.is_set();
        // After the device has gone its place may be another's.
        let is_there = ports
            .get(&port.key())
            .is_some_and(|there| Arc::ptr_eq(there, port));
        if !port.own && !of_use && is_there {
            ports.remove(&port.key());
        }
    }

    /// All ports at the moment.
    pub(crate) fn all() -> Result<KVec<Arc<Port>>> {
        let ports = PORTS.lock();
        let mut all = KVec::new();
        for port in ports.iter().flat_map(|ports| ports.values()) {
            all.push(port.clone(), GFP_KERNEL)?;
        }
        Ok(all)
    }
}

pub(crate) use registry::{
    all,
    clear,
    find,
    get,
    get_or_create,
    init,
    prune,
    remove,
    Claim, //
};
