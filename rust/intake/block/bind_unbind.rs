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
    intake::block::{
        binding::{
            Binding,
            Block, //
        },
        binding_set, //
    },
    offload::devices, //
};
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// Handles `FLOW_BLOCK_BIND` and `FLOW_BLOCK_UNBIND`.
pub(crate) fn setup(dev: &NetDevice, request: BlockOffload<'_, Binding>) -> Result {
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

fn bind(dev: &NetDevice, block: Block, hook: u8, mut request: BlockOffload<'_, Binding>) -> Result {
    let indirect = request.is_indirect();
    // Filters of a shared block that is bound to an indirect device later than they were added stay
    // in software there.
    request.check()?;
    let device = devices::get_or_create(dev, !indirect)?;
    // One callback serves both directions of a device: each filter is one flow.
    if request.share(device.key()) {
        binding_set::with(&device, block, |binding| binding.add_hook(hook));
        return Ok(());
    }
    // When a transaction is aborted, nftables warns of any error but ENOMEM.
    if !request.is_restored() {
        if let Some(error) = device.faults.inject(Point::Bind, &rcu::read_lock()).error {
            return Err(error);
        }
    }
    let binding = Binding::new(device, dev, block, request.nft_chain()?, indirect)?;
    binding.add_hook(hook);
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
    Ok(())
}

fn unbind(
    dev: &NetDevice,
    block: Block,
    hook: u8,
    mut request: BlockOffload<'_, Binding>,
) -> Result {
    // A bind that failed with EOPNOTSUPP has no callback. The kernel expects the same error here,
    // or it counts the block's devices wrongly.
    let last = request.unbind(dev.key()).map_err(|_| eopnotsupp())?;
    // nftables unbinds in a netdevice notifier, which may run after the one of this module.
    let Some(device) = devices::get(dev) else {
        return Ok(());
    };
    binding_set::with(&device, block, |binding| {
        if last {
            binding.set_unbound();
        } else {
            binding.remove_hook(hook);
        }
    });
    Ok(())
}

impl IndirectDriver for Binding {
    type Callback = Self;

    fn setup_block(dev: &NetDevice, block: BlockOffload<'_, Self>) -> Result {
        setup(dev, block)
    }
}
