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
//! | `Port::bindings` | the locks of bind and unbind, `bindings` | `bindings` |
//! | `Port::firmware` | RTNL | RTNL or RCU |
//! | `Binding::gate` | RTNL, the block's `cb_lock` for writing | `cb_lock` |

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        flow_offload::TcBlock,
        net_device::{
            DevName,
            NetDevice,
            Rtnl, //
        },
        netlink::OwnExtAck,
        rcu::RcuSlot, //
    },
    flows::FlowTable,
    ops::firmware::Firmware, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        rcu,
        Arc,
        Mutex, //
    },
};

/// Who a device is, for people: kept up by the netdevice notifier.
#[derive(Clone, Copy)]
pub(crate) struct Ident {
    pub(crate) ifindex: u32,
    pub(crate) name: DevName,
    pub(crate) netns: u32,
    pub(crate) hw_tc_offload: bool,
}

impl Ident {
    fn of(dev: &NetDevice) -> Self {
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
    pub(crate) firmware: RcuSlot<Firmware>,
    #[pin]
    ident: Mutex<Ident>,
    #[pin]
    bindings: Mutex<KVec<Arc<Binding>>>,
}

impl Port {
    fn new(dev: &NetDevice, own: bool) -> Result<Arc<Self>> {
        let flows = KBox::pin_init(FlowTable::new(), GFP_KERNEL)?;
        Arc::pin_init(
            try_pin_init!(Self {
                key: dev.key(),
                own,
                flows,
                firmware: RcuSlot::new(),
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

    /// Adds a binding. May sleep.
    pub(crate) fn add(&self, binding: Arc<Binding>) -> Result {
        self.bindings.lock().push(binding, GFP_KERNEL)?;
        Ok(())
    }

    /// Forgets a binding, which the kernel has let go of.
    pub(crate) fn remove(&self, binding: &Binding) {
        self.bindings
            .lock()
            .retain(|other| !core::ptr::eq(&**other, binding));
    }

    /// The binding at a place in the list of bindings.
    pub(crate) fn nth_binding(&self, n: usize) -> Option<Arc<Binding>> {
        self.bindings.lock().get(n).cloned()
    }

    /// Calls `f` with the binding of a block, if there is one.
    pub(crate) fn for_binding(&self, block: TcBlock, f: impl FnOnce(&Binding)) {
        let bindings = self.bindings.lock();
        if let Some(binding) = bindings.iter().find(|binding| binding.block == block) {
            f(binding);
        }
    }

    /// How many there are.
    pub(crate) fn n_bindings(&self) -> usize {
        self.bindings.lock().len()
    }

    /// Whether there is firmware.
    pub(crate) fn has_firmware(&self) -> bool {
        self.firmware.get(&rcu::read_lock()).is_some()
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

/// A block of filters on a port.
///
/// A block that is bound to both directions of a device has one binding.
pub(crate) struct Binding {
    pub(crate) port: Arc<Port>,
    pub(crate) dev: ARef<NetDevice>,
    pub(crate) block: TcBlock,
    pub(crate) indirect: bool,
    /// A [`Gate`].
    gate: Atomic<u32>,
    /// Whether the kernel asked this module before it let go.
    unbound: Atomic<bool>,
}

impl Binding {
    /// A binding whose requests are refused so far.
    pub(crate) fn new(port: Arc<Port>, dev: &NetDevice, block: TcBlock, indirect: bool) -> Self {
        Self {
            port,
            dev: dev.into(),
            block,
            indirect,
            gate: Atomic::new(Gate::Closed as u32),
            unbound: Atomic::new(false),
        }
    }

    /// Changes which requests go to the firmware, at a time when none runs. Process context.
    #[expect(unsafe_code)]
    fn set_gate(&self, gate: Gate, rtnl: &Rtnl) {
        // SAFETY: A port's bindings are of blocks that are bound; the kernel unbinds tc blocks
        // under RTNL, and forgets the binding then. Requests, which run with the block's lock
        // held, don't get here.
        unsafe {
            self.block
                .locked(rtnl, || self.gate.store(gate as u32, Relaxed))
        };
    }

    /// Opens the gate of a binding that the kernel doesn't know yet.
    pub(crate) fn open(&self) {
        self.gate.store(Gate::Open as u32, Relaxed);
    }

    /// Offers the firmware the filters that are there. Process context.
    ///
    /// Fails if it refuses one that must be in hardware; the gate is closed then, and what was
    /// accepted is left to [`Self::withdraw`].
    #[expect(unsafe_code)]
    pub(crate) fn replay(self: &Arc<Self>, ack: &mut OwnExtAck, rtnl: &Rtnl) -> Result {
        self.set_gate(Gate::Attaching, rtnl);
        // SAFETY: As for `set_gate`.
        let result = unsafe {
            self.block.reoffload(rtnl, self, true, ack, |offer| {
                self.gate.store(Gate::Open as u32, Relaxed);
                offer();
                self.gate.store(Gate::Attaching as u32, Relaxed);
            })
        };
        let gate = result.map_or(Gate::Closed, |()| Gate::Open);
        self.set_gate(gate, rtnl);
        result
    }

    /// Takes all filters back from the firmware, which sees no more requests but to destroy.
    /// Process context.
    #[expect(unsafe_code)]
    pub(crate) fn withdraw(self: &Arc<Self>, rtnl: &Rtnl) {
        self.set_gate(Gate::Closed, rtnl);
        let mut ack = OwnExtAck::new();
        // SAFETY: As for `set_gate`. Taking back can't fail.
        let _ = unsafe {
            self.block
                .reoffload(rtnl, self, false, &mut ack, |take_back| take_back())
        };
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

    /// The port of a device, made if it has none. May sleep.
    pub(crate) fn get_or_create(dev: &NetDevice, own: bool) -> Result<Arc<Port>> {
        if let Some(port) = get(dev) {
            return Ok(port);
        }
        let port = Port::new(dev, own)?;
        let node = RBTreeNode::new(dev.key(), port.clone(), GFP_KERNEL)?;
        let mut ports = PORTS.lock();
        let ports = ports.as_mut().ok_or(ENODEV)?;
        // Another thread may have been faster.
        if let Some(port) = ports.get(&dev.key()) {
            return Ok(port.clone());
        }
        ports.insert(node);
        Ok(port)
    }

    /// The device is going: its port is no longer found.
    pub(crate) fn remove(dev: &NetDevice) -> Option<Arc<Port>> {
        PORTS.lock().as_mut()?.remove(&dev.key())
    }

    /// Forgets a port of somebody else's device that is of no use any more.
    pub(crate) fn prune(port: &Arc<Port>) {
        let mut ports = PORTS.lock();
        let Some(ports) = ports.as_mut() else { return };
        if !port.own && port.n_bindings() == 0 && !port.has_firmware() {
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
    get,
    get_or_create,
    init,
    prune,
    remove, //
};
