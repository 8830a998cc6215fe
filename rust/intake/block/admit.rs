// SPDX-License-Identifier: GPL-2.0-only

//! The context of a request that arrives through a block, and the checks before firmware is asked.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        tc::flow_offload::{
            FlowRequest,
            Origin, //
        },
    },
    contract::flow::Classifier,
    intake::{
        block::{
            binding::{
                Binding,
                Block, //
            },
            gate::Gate, //
        },
        requests::Context, //
    },
};
use kernel::prelude::*;

/// The context of a request that arrives through a binding.
pub(super) fn context(binding: &Binding, origin: Origin) -> Context<'_> {
    let (classifier, block_index) = match (binding.block, origin) {
        (Block::Chain(_), _) => (Classifier::Nft, 0),
        (Block::Flowtable(_), _) => (Classifier::Flowtable, 0),
        (Block::Tc(block), Origin::Matchall) => (Classifier::Matchall, block.index()),
        (Block::Tc(block), Origin::U32) => (Classifier::U32, block.index()),
        (Block::Tc(block), _) => (Classifier::Flower, block.index()),
    };
    Context {
        dev: &binding.dev,
        device: &binding.device,
        classifier,
        block_index,
        hooks: binding.hooks(),
        owner: binding.id(),
        ct_zone: 0,
    }
}

/// Checks whether a new flow may be requested from the firmware.
pub(super) fn admit(binding: &Binding, request: &FlowRequest<'_>) -> Result {
    let dev = &binding.dev;
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
            match binding.device.exit() {
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
