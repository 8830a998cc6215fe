// SPDX-License-Identifier: GPL-2.0-only

//! A block of filters that is bound to a device.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::net_device::NetDevice,
        tc::flow_offload::{
            nft,
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
    pub(super) dev: ARef<NetDevice>,
    pub(crate) block: Block,
    /// What nftables has to be asked, if the block is a chain.
    pub(super) chain: Option<nft::Chain>,
    pub(crate) indirect: bool,
    /// How often it is bound at each hook: 16 bits for each bit of `enum ekho_hook`.
    hooks: Atomic<u32>,
    pub(super) gate: GateState,
    /// The callback in the kernel's list.
    bound: SetOnce<BoundCallback>,
    /// Whether the kernel asked this module to unbind.
    unbound: Atomic<bool>,
    /// Whether it has let go, or need not any more.
    released: Atomic<bool>,
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
        chain: Option<nft::Chain>,
        indirect: bool,
    ) -> Result<Arc<Self>> {
        let dev: ARef<NetDevice> = dev.into();
        let binding = pin_init!(Self {
            device,
            dev,
            block,
            chain,
            indirect,
            hooks: Atomic::new(0),
            gate: GateState::new(),
            bound: SetOnce::new(),
            unbound: Atomic::new(false),
            released: Atomic::new(false),
            number: SetOnce::new(),
            nodes <- new_mutex!(RBTree::new(), "ekho::Binding::nodes"),
        });
        Arc::pin_init(binding, GFP_KERNEL)
    }

    /// Sets the callback when the kernel has accepted it.
    pub(crate) fn set_bound(&self, callback: BoundCallback) {
        self.bound.populate(callback);
    }

    /// The callback, once the kernel has accepted it.
    pub(super) fn bound(&self) -> Option<BoundCallback> {
        self.bound.copy()
    }

    /// Notes that the callback is released; returns whether it was before.
    pub(super) fn set_released(&self) -> bool {
        self.released.xchg(true, Relaxed)
    }

    /// Where packets are matched.
    pub(crate) fn hooks(&self) -> u8 {
        let hooks = self.hooks.load(Relaxed);
        u8::from(hooks & 0xffff != 0) | (u8::from(hooks >> 16 != 0) << 1)
    }

    /// Adds a hook.
    pub(crate) fn add_hook(&self, hook: u8) {
        self.hooks.add(Self::once(hook), Relaxed);
    }

    /// Removes a hook, unless it was added more than once: when a device gets a name that its
    /// flowtable has as well, the kernel binds the second before it unbinds the first.
    pub(crate) fn remove_hook(&self, hook: u8) {
        self.hooks.add(Self::once(hook).wrapping_neg(), Relaxed);
    }

    /// What hooks that are bound once add to [`Self::hooks`].
    const fn once(hook: u8) -> u32 {
        (hook & 1) as u32 | (((hook & 2) as u32) << 15)
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
