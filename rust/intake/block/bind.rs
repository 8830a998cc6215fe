// SPDX-License-Identifier: GPL-2.0-only

//! Blocks that are bound to devices, and unbound.

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
    intake::block::{
        binding::{
            Binding,
            Block, //
        },
        bindings, //
    },
    offload::devices, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// A block is bound to a device, or unbound.
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
    let device = devices::get_or_create(dev, !indirect)?;
    // One callback serves both directions of a device: each filter is one flow.
    if request.share::<Binding>(device.key()) {
        bindings::with(&device, block, |binding| binding.add_hook(hook));
        return Ok(());
    }
    if let Some(error) = device.faults.inject(Point::Bind, &rcu::read_lock()).error {
        return Err(error);
    }
    let binding = Binding::new(device, dev, block, indirect)?;
    binding.add_hook(hook);
    bindings::add(&binding)?;
    // In this order: nftables binds without RTNL, and who attaches firmware at the same time either
    // finds the binding or is found here.
    if binding.device.has_firmware() {
        binding.open();
    }
    let callback = request
        .bind(binding.device.key(), binding.clone())
        .inspect_err(|_| bindings::remove(&binding))?;
    binding.set_bound(callback);
    Ok(())
}

fn unbind(dev: &NetDevice, block: Block, hook: u8, mut request: BlockOffload<'_>) -> Result {
    // A bind that the kernel took for "can't offload" has left no callback; it wants to hear the
    // same again, or else counts the block's devices wrong.
    let last = request
        .unbind::<Binding>(dev.key())
        .map_err(|_| eopnotsupp())?;
    // nftables unbinds when it is told that the device goes, which this module may have been before.
    let Some(device) = devices::get(dev) else {
        return Ok(());
    };
    bindings::with(&device, block, |binding| {
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
