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

/// A list of filters that can be bound to devices.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// Of a qdisc, or shared by several.
    Tc(TcBlock),
    /// A chain of nftables, identified by its address.
    Chain(usize),
    /// A flowtable of nftables, likewise.
    Flowtable(usize),
}

/// What identifies a u32 node in a block: chain, preference, handle.
type Node = (u32, u32, u32);

/// A block of filters that is bound to a device.
///
/// A block that is bound to both directions of a device has one binding.
#[pin_data]
pub(crate) struct Binding {
    pub(crate) device: Claim,
    /// Revoked when the device is unregistered, as nftables may keep the binding for longer.
    #[pin]
    dev: Revocable<ARef<NetDevice>>,
    pub(crate) block: Block,
    pub(crate) indirect: bool,
    /// Where packets are matched: bits of `enum ekho_hook`.
    hooks: Atomic<u32>,
    pub(super) gate: GateState,
    /// The callback in the kernel's list.
    bound: SetOnce<BoundCallback>,
    /// Held for a chain, as the kernel doesn't always unbind it before the device is unregistered.
    _hold: Option<module::Hold>,
    /// Whether the kernel asked this module to unbind.
    unbound: Atomic<bool>,
    /// Its number among all bindings, once it is in their set.
    pub(super) number: SetOnce<u64>,
    /// The cookies of u32 nodes: the kernel passes handles, which are unique only within a filter.
    #[pin]
    nodes: Mutex<RBTree<Node, usize>>,
}

/// The last cookie given to a u32 node. They are small numbers; all other cookies are addresses.
static LAST_NODE: Atomic<u64> = Atomic::new(0);

impl Binding {
    /// A binding with a closed gate.
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

    /// The netdev, unless it was unregistered.
    pub(crate) fn dev(&self) -> Option<ARef<NetDevice>> {
        self.dev.try_access_with(ARef::clone)
    }

    /// Sets the callback when the kernel has accepted it.
    pub(crate) fn set_bound(&self, callback: BoundCallback) {
        self.bound.populate(callback);
    }

    /// Drops the netdev, which is unregistered without an unbind. Process context.
    ///
    /// As of 7.2 nftables doesn't unbind the chains of a device that is unregistered:
    /// `nft_netdev_event()` removes the hook by which `nft_offload_netdev_event()` would find them.
    /// The callback stays on the chain's list and holds the module, until [`Self::take_forgotten`].
    pub(crate) fn lose_device(&self) {
        self.dev.revoke();
    }

    /// Whether the block is a chain of nftables.
    pub(crate) fn is_chain(&self) -> bool {
        matches!(self.block, Block::Chain(_))
    }

    /// The callback of a binding that the kernel forgot; returned to the first caller only.
    pub(crate) fn take_forgotten(&self) -> Option<BoundCallback> {
        if !self.is_chain() || self.unbound.xchg(true, Relaxed) {
            return None;
        }
        self.bound.copy()
    }

    /// Where packets are matched.
    pub(crate) fn hooks(&self) -> u8 {
        self.hooks.load(Relaxed) as u8
    }

    /// Adds a hook.
    pub(crate) fn add_hook(&self, hook: u8) {
        self.hooks.store(u32::from(self.hooks() | hook), Relaxed);
    }

    /// Removes a hook.
    pub(crate) fn remove_hook(&self, hook: u8) {
        self.hooks.store(u32::from(self.hooks() & !hook), Relaxed);
    }

    /// Identifies the binding as long as it exists.
    pub(crate) fn id(&self) -> usize {
        &raw const *self as usize
    }

    /// The cookie of a u32 node, made if it has none. May sleep.
    pub(crate) fn node(&self, node: Node) -> Result<usize> {
        let mut nodes = self.nodes.lock();
        if let Some(cookie) = nodes.get(&node) {
            return Ok(*cookie);
        }
        let cookie = LAST_NODE.fetch_add(1, Relaxed).wrapping_add(1) as usize;
        nodes.try_create_and_insert(node, cookie, GFP_KERNEL)?;
        Ok(cookie)
    }

    /// Removes the cookie of a u32 node, and returns it.
    pub(crate) fn forget_node(&self, node: Node) -> Option<usize> {
        self.nodes.lock().remove(&node)
    }

    /// Whether there are u32 nodes.
    pub(crate) fn has_nodes(&self) -> bool {
        !self.nodes.lock().is_empty()
    }

    /// Opens the gate of a binding that receives no requests yet.
    pub(crate) fn open(&self) {
        self.gate.set(Gate::Open);
    }

    /// Which requests reach the firmware.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.get()
    }

    /// Records that the kernel asked to unbind.
    pub(crate) fn set_unbound(&self) {
        self.unbound.store(true, Relaxed);
    }

    /// Whether the kernel asked to unbind.
    pub(crate) fn is_unbound(&self) -> bool {
        self.unbound.load(Relaxed)
    }
}
