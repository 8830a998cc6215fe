// SPDX-License-Identifier: GPL-2.0-only

//! A block of filters that is bound to ports of a device, and which of its requests reach the firmware.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::{
            net_device::{
                DevName,
                NetDevice, //
            },
            packet::Hook, //
        },
        sync::kept::Kept,
        tc::flow_offload::{
            nft,
            BoundCallback,
            FlowRequest,
            Origin,
            TcBlock, //
        },
    },
    contract::flow::{
        Classifier,
        HOOK_EGRESS, //
    },
    hardware::{
        port::Port,
        rules::table::RuleTable, //
    },
    intake::requests::Context,
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

/// Which requests for new flows reach the firmware.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Gate {
    /// None.
    Closed,
    /// Those for filters that aren't `skip_sw`. Existing filters are being offered to new firmware;
    /// a new filter with `skip_sw` would be offered twice, and fail the second time.
    Attaching,
    /// All.
    Open,
}

/// The [`Gate`] of a binding. It is changed under RTNL; for a block of tc while no request runs.
pub(super) struct GateState(Atomic<u32>);

impl GateState {
    /// A closed gate.
    pub(super) fn new() -> Self {
        Self(Atomic::new(Gate::Closed as u32))
    }

    /// Changes its state.
    pub(super) fn set(&self, gate: Gate) {
        self.0.store(gate as u32, Relaxed);
    }

    /// Its state.
    pub(super) fn get(&self) -> Gate {
        match self.0.load(Relaxed) {
            gate if gate == Gate::Open as u32 => Gate::Open,
            gate if gate == Gate::Attaching as u32 => Gate::Attaching,
            _ => Gate::Closed,
        }
    }
}

/// What identifies a u32 node in a block: chain, preference, handle.
type Node = (u32, u32, u32);

/// A bit of `enum ekho_hook` as packets know it.
fn hook_of(hook: u8) -> Hook {
    match hook {
        HOOK_EGRESS => Hook::Egress,
        _ => Hook::Ingress,
    }
}

/// Where a block is bound.
struct Place {
    /// [`NetDevice::key`] of the port.
    key: usize,
    /// A bit of `enum ekho_hook`.
    hook: u8,
    /// How often. More than once where a port gets a name that its flowtable has as well: the kernel
    /// binds the second before it unbinds the first.
    times: u32,
}

/// A block of filters that is bound to ports of a device.
///
/// A block that is bound to several ports of a device, or to both directions of one, has one binding:
/// each filter is one flow.
#[pin_data]
pub(crate) struct Binding {
    pub(crate) device: Claim,
    /// The ports that it is bound to. The lock of this is taken before that of `places`.
    #[pin]
    ports: Kept<NetDevice>,
    pub(crate) block: Block,
    /// What nftables has to be asked, if the block is a chain.
    pub(super) chain: Option<nft::Chain>,
    pub(crate) indirect: bool,
    /// The rules of the block, if it is one of tc at ports of EKHO.
    pub(super) rules: Option<Arc<RuleTable>>,
    /// Whether filters that were there before firmware are being offered to it.
    replaying: Atomic<bool>,
    /// Where it is bound.
    #[pin]
    places: Mutex<KVec<Place>>,
    /// The hooks of these places.
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
        let rules = match block {
            Block::Tc(_) if !indirect => Some(RuleTable::new()?),
            _ => None,
        };
        let binding = try_pin_init!(Self {
            device,
            ports <- Kept::new(dev),
            block,
            chain,
            indirect,
            rules,
            replaying: Atomic::new(false),
            places <- new_mutex!(KVec::new(), "ekho::Binding::places"),
            hooks: Atomic::new(0),
            gate: GateState::new(),
            bound: SetOnce::new(),
            unbound: Atomic::new(false),
            released: Atomic::new(false),
            number: SetOnce::new(),
            nodes <- new_mutex!(RBTree::new(), "ekho::Binding::nodes"),
        } ? Error);
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

    /// Whether the callback is released.
    pub(super) fn is_released(&self) -> bool {
        self.released.load(Relaxed)
    }

    /// Notes that the callback is released; returns whether it was before.
    pub(super) fn set_released(&self) -> bool {
        self.released.xchg(true, Relaxed)
    }

    /// A port that the block is bound to. Any context.
    pub(crate) fn dev(&self) -> ARef<NetDevice> {
        self.ports.current()
    }

    /// Where packets are matched, at one port or another.
    pub(crate) fn hooks(&self) -> u8 {
        self.hooks.load(Relaxed) as u8
    }

    /// Makes room for one more place, so that [`Self::add_place`] can't fail. May sleep.
    pub(super) fn reserve(&self, dev: &NetDevice) -> Result {
        self.ports.keep(dev)?;
        Ok(self.places.lock().reserve(1, GFP_KERNEL)?)
    }

    /// Lets go of ports that the block isn't bound to, as after [`Self::reserve`] if no place was added.
    /// Process context; waits for a grace period if there are some.
    pub(super) fn forget_strangers(&self) {
        self.ports.retain(|dev| self.is_bound_to(dev));
    }

    /// The block is bound to a port, for which [`Self::reserve`] was called. May sleep.
    pub(super) fn add_place(&self, dev: &NetDevice, hook: u8) -> Result {
        let mut places = self.places.lock();
        let key = dev.key();
        match places
            .iter_mut()
            .find(|place| (place.key, place.hook) == (key, hook))
        {
            Some(place) => place.times += 1,
            None => places.push(
                Place {
                    key,
                    hook,
                    times: 1,
                },
                GFP_KERNEL,
            )?,
        }
        self.hooks.store(Self::hooks_of(&places), Relaxed);
        Ok(())
    }

    /// The block is unbound from a port, and is bound to others, or to it at another hook. Process
    /// context; waits for a grace period if the port has no other place.
    pub(super) fn remove_place(&self, dev: &NetDevice, hook: u8) {
        {
            let mut places = self.places.lock();
            let key = dev.key();
            places.retain(|place| {
                let is_it = (place.key, place.hook) == (key, hook);
                if is_it {
                    place.times -= 1;
                }
                place.times != 0
            });
            self.hooks.store(Self::hooks_of(&places), Relaxed);
        }
        self.forget_strangers();
    }

    fn hooks_of(places: &[Place]) -> u32 {
        places
            .iter()
            .fold(0, |hooks, place| hooks | place.hook)
            .into()
    }

    /// Whether the block is bound to a port at a hook. May sleep.
    pub(super) fn is_at(&self, dev: &NetDevice, hook: u8) -> bool {
        let places = self.places.lock();
        places
            .iter()
            .any(|place| (place.key, place.hook) == (dev.key(), hook))
    }

    /// Whether the block is bound to a port. May sleep.
    pub(super) fn is_bound_to(&self, dev: &NetDevice) -> bool {
        let places = self.places.lock();
        places.iter().any(|place| place.key == dev.key())
    }

    /// The name of a port that the block is bound to, and that isn't to offload. May sleep.
    fn without_offload(&self) -> Option<DevName> {
        self.ports.find_map(|dev| {
            let is_it = !dev.hw_tc_offload() && self.is_bound_to(dev);
            is_it.then(|| dev.name())
        })
    }

    /// Removes the places at ports for which `is_there` is false; returns how many shares of the
    /// callback these were, and whether places are left. Process context; waits for a grace period if
    /// there were some.
    pub(super) fn retain_places(&self, is_there: impl Fn(&NetDevice) -> bool) -> (u32, bool) {
        let mut shares = 0;
        self.ports.find_map(|dev| {
            if !is_there(dev) {
                let mut places = self.places.lock();
                places.retain(|place| {
                    let stays = place.key != dev.key();
                    shares += if stays { 0 } else { place.times };
                    stays
                });
            }
            None::<()>
        });
        let is_left = {
            let places = self.places.lock();
            self.hooks.store(Self::hooks_of(&places), Relaxed);
            !places.is_empty()
        };
        self.forget_strangers();
        (shares, is_left)
    }

    /// Has packets at a port looked up in the rules of the block. Process context, RTNL.
    pub(super) fn set_rules(&self, port: Option<&Arc<Port>>, hook: u8) {
        if let (Some(port), Some(rules)) = (port, &self.rules) {
            port.set_rules(hook_of(hook), rules);
        }
    }

    /// The block is unbound from there. Process context, RTNL.
    pub(super) fn clear_rules(&self, port: Option<&Arc<Port>>, hook: u8) {
        if let (Some(port), Some(rules)) = (port, &self.rules) {
            port.clear_rules(hook_of(hook), rules);
        }
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

    /// Has packets looked up in the rules of the block, or not.
    pub(super) fn set_live(&self, live: bool) {
        if let Some(rules) = &self.rules {
            rules.set_live(live);
        }
    }

    /// Filters that were there before firmware are being offered to it, or no longer.
    pub(super) fn set_replaying(&self, replaying: bool) {
        self.replaying.store(replaying, Relaxed);
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

    /// The context of a request that arrives through this binding; `dev` is [`Self::dev`].
    pub(super) fn context<'a>(&'a self, dev: &'a NetDevice, origin: Origin) -> Context<'a> {
        let (classifier, block_index) = match (self.block, origin) {
            (Block::Chain(_), _) => (Classifier::Nft, 0),
            (Block::Flowtable(_), _) => (Classifier::Flowtable, 0),
            (Block::Tc(block), Origin::Matchall) => (Classifier::Matchall, block.index()),
            (Block::Tc(block), Origin::U32) => (Classifier::U32, block.index()),
            (Block::Tc(block), _) => (Classifier::Flower, block.index()),
        };
        Context {
            dev,
            netns_cookie: dev.netns_cookie(),
            device: &self.device,
            classifier,
            block_index,
            hooks: self.hooks(),
            owner: self.id(),
            ct_zone: 0,
            rules: self.rules.as_deref(),
            is_replayed: self.replaying.load(Relaxed),
        }
    }

    /// Checks whether a new flow may be requested from the firmware.
    pub(super) fn admit(&self, request: &FlowRequest<'_>) -> Result {
        let dev = self.dev();
        // What is offloaded is for all ports of the block.
        if let Some(name) = (!self.indirect).then(|| self.without_offload()).flatten() {
            request.extack().set(fmt!(
                "{}: hw-tc-offload is off; ethtool -K {} hw-tc-offload on",
                name,
                name
            ));
            return Err(eopnotsupp());
        }
        match self.gate() {
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
                match self.device.exit() {
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
}
