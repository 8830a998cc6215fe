// SPDX-License-Identifier: GPL-2.0-only

//! Binds blocks to devices, and unbinds them.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice,
        tc::flow_offload::{
            Binder,
            BlockCommand,
            BlockOffload,
            Direction,
            IndirectDriver, //
        },
    },
    contract::flow::{
        HOOK_EGRESS,
        HOOK_INGRESS, //
    },
    faults::parse::Point,
    hardware::port::Port,
    intake::block::{
        binding::{
            Binding,
            Block, //
        },
        binding_set, //
    },
    offload::{
        device::Device,
        devices, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// Handles `FLOW_BLOCK_BIND` and `FLOW_BLOCK_UNBIND`. `port` is the port that `dev` is, if it is one.
pub(crate) fn setup(
    dev: &NetDevice,
    port: Option<&Arc<Port>>,
    request: BlockOffload<'_, Binding>,
) -> Result {
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
        BlockCommand::Bind => bind(dev, port, block, hook, request),
        BlockCommand::Unbind => unbind(dev, port, block, hook, request),
    }
}

fn bind(
    dev: &NetDevice,
    port: Option<&Arc<Port>>,
    block: Block,
    hook: u8,
    mut request: BlockOffload<'_, Binding>,
) -> Result {
    let indirect = request.is_indirect();
    // Filters of a shared block that is bound to an indirect device later than they were added stay
    // in software there.
    request.check()?;
    let device = match device_of(port) {
        Some(device) => devices::claim(device),
        None => devices::get_or_create(dev, !indirect)?,
    };
    // One callback serves all ports of a device and both directions: each filter is one flow.
    if let Some(binding) = binding_set::find(&device, block) {
        binding.reserve(dev)?;
        if request.share(device.key()) {
            binding.add_place(dev, hook)?;
            binding.set_rules(port, hook);
            return Ok(());
        }
        binding.forget_strangers();
    }
    // When a transaction is aborted, nftables warns of any error but ENOMEM.
    if !request.is_restored() {
        if let Some(error) = device.faults.inject(Point::Bind, &rcu::read_lock()).error {
            return Err(error);
        }
    }
    let binding = Binding::new(device, dev, block, request.nft_chain()?, indirect)?;
    binding.add_place(dev, hook)?;
    binding_set::add(&binding)?;
    // In this order: nftables binds without RTNL, so an attach that runs at the same time either
    // finds the binding in the set, or its firmware is seen here.
    if binding.device.has_firmware() {
        binding.open();
    }
    let callback = request
        .bind(binding.device.key(), binding.clone())
        .inspect_err(|_| binding_set::remove(&binding))?;
    binding.set_bound(callback);
    binding.set_rules(port, hook);
    Ok(())
}

/// The device that a port belongs to, if that has others.
fn device_of(port: Option<&Arc<Port>>) -> Option<&Arc<Device>> {
    Some(&port?.member()?.device)
}

fn unbind(
    dev: &NetDevice,
    port: Option<&Arc<Port>>,
    block: Block,
    hook: u8,
    mut request: BlockOffload<'_, Binding>,
) -> Result {
    // A bind that failed with EOPNOTSUPP has no callback. The kernel expects the same error here,
    // or it counts the block's devices wrongly.
    // None if nftables unbinds in a netdevice notifier that runs after the one of this module.
    let device = device_of(port).cloned().or_else(|| devices::get(dev));
    let binding = device
        .as_ref()
        .and_then(|device| binding_set::find(device, block));
    // The callback is of other ports, if this one failed.
    if binding
        .as_ref()
        .is_some_and(|binding| !binding.is_at(dev, hook))
    {
        return Err(eopnotsupp());
    }
    if let Some(binding) = &binding {
        binding.clear_rules(port, hook);
    }
    let key = device.map_or(dev.key(), |device| device.key());
    let last = request.unbind(key).map_err(|_| eopnotsupp())?;
    match binding {
        Some(binding) if last => binding.set_unbound(),
        Some(binding) => binding.remove_place(dev, hook),
        None => {}
    }
    Ok(())
}

impl IndirectDriver for Binding {
    type Callback = Self;

    fn setup_block(dev: &NetDevice, block: BlockOffload<'_, Self>) -> Result {
        setup(dev, None, block)
    }
}
