// SPDX-License-Identifier: GPL-2.0-only

//! Filters that are there when firmware comes, or when it goes.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::{
        net_device::Rtnl,
        netlink::OwnExtAck, //
    },
    faults::parse::Point,
    intake::block::{
        binding::{
            Binding,
            Block, //
        },
        gate::Gate, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How often the kernel is asked to take filters back, a millisecond apart.
const PERSISTENCE: usize = 100;

impl Binding {
    /// Changes which requests go to the firmware, for tc at a time when none runs. Process context.
    #[expect(unsafe_code)]
    fn set_gate(&self, gate: Gate, rtnl: &Rtnl) {
        let set = || self.gate.set(gate);
        match self.block {
            // SAFETY: A device's bindings are of blocks that are bound; the kernel unbinds tc blocks
            // under RTNL, and forgets the binding then. Requests, which run with the block's lock
            // held, don't get here.
            Block::Tc(block) => unsafe { block.locked(rtnl, set) },
            Block::Chain(_) | Block::Flowtable(_) => set(),
        }
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
                self.gate.set(Gate::Open);
                let result = offer();
                self.gate.set(Gate::Attaching);
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
                let fault = self
                    .device
                    .faults
                    .inject(Point::Withdraw, &rcu::read_lock());
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
                self.device.ident().name,
                block.index(),
                -error.to_errno()
            );
        }
    }
}
