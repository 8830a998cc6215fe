// SPDX-License-Identifier: GPL-2.0-only

//! A block of filters that is bound to a device.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        module,
        net::net_device::NetDevice,
        tc::flow_offload::{
            BoundCallback,
            TcBlock, //
        },
    },
    intake::block::gate::{
        Gate,
        GateState, //
    },
    offload::devices::Claim, //
};
use kernel::{
    prelude::*,
    rbtree::RBTree,
    revocable::Revocable,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex,
        SetOnce, //
    },
};

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

/// A block of filters that is bound to a device.
///
/// A block that is bound to both directions of a device has one binding.
#[pin_data]
pub(crate) struct Binding {
    pub(crate) device: Claim,
    /// Given up when the device goes: nftables forgets bindings of a namespace that ends.
    #[pin]
    dev: Revocable<ARef<NetDevice>>,
    pub(crate) block: Block,
    pub(crate) indirect: bool,
    /// Where packets meet the filters: bits of `enum ekho_hook`.
    hooks: Atomic<u32>,
    pub(super) gate: GateState,
    /// What the kernel has of it.
    bound: SetOnce<BoundCallback>,
    /// Held for a chain, since the kernel doesn't always let go of one before its device goes.
    _hold: Option<module::Hold>,
    /// Whether the kernel asked this module before it let go.
    unbound: Atomic<bool>,
    /// Its number among all bindings, once it is in their set.
    pub(super) number: SetOnce<u64>,
    /// The cookies of u32 nodes, which the kernel names by numbers that others have too.
    #[pin]
    nodes: Mutex<RBTree<Node, usize>>,
}

/// The last cookie given to a u32 node: they are small numbers, all others are addresses.
static LAST_NODE: Atomic<u64> = Atomic::new(0);

impl Binding {
    /// A binding whose requests are refused so far.
    pub(crate) fn new(
        device: Claim,
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
            device,
            dev <- Revocable::new(dev),
            block,
            indirect,
            hooks: Atomic::new(0),
            gate: GateState::new(),
            bound: SetOnce::new(),
            _hold: hold,
            unbound: Atomic::new(false),
            number: SetOnce::new(),
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

    /// Opens the gate of a binding that the kernel doesn't know yet.
    pub(crate) fn open(&self) {
        self.gate.set(Gate::Open);
    }

    /// Which requests go to the firmware.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.get()
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
