// SPDX-License-Identifier: GPL-2.0-only

//! Offers existing filters to new firmware, and takes them back from firmware that is detached.

#![deny(unsafe_code)]

use crate::{
    abstractions::net::{
        net_device::Rtnl,
        netlink::OwnExtAck, //
    },
    faults::parse::Point,
    intake::block::binding::{
        Binding,
        Block,
        Gate, //
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

/// How often taking filters back is tried, at intervals of a millisecond.
const PERSISTENCE: usize = 100;

impl Binding {
    /// Changes the gate; for a block of tc while no request runs. Process context.
    #[expect(unsafe_code)]
    fn set_gate(&self, gate: Gate, rtnl: &Rtnl) {
        let set = || self.gate.set(gate);
        match self.block {
            // SAFETY: A device's bindings are of blocks that are bound; the kernel unbinds tc
            // blocks under RTNL, and forgets the binding then. Requests, which run with the block's
            // lock held, don't get here.
            Block::Tc(block) => unsafe { block.locked(rtnl, set) },
            Block::Chain(_) | Block::Flowtable(_) => set(),
        }
    }

    /// Offers existing filters to the firmware. Process context.
    ///
    /// Fails if the firmware refuses one that is `skip_sw`; the gate is closed then, and accepted
    /// filters are left for [`Self::withdraw`]. nftables can't be asked to offer its existing
    /// rules: only those added from now on are offered, and connections of a flowtable when it
    /// refreshes them.
    #[expect(unsafe_code)]
    pub(crate) fn replay(self: &Arc<Self>, ack: &mut OwnExtAck, rtnl: &Rtnl) -> Result {
        let Block::Tc(block) = self.block else {
            self.set_gate(Gate::Open, rtnl);
            return Ok(());
        };
        self.set_gate(Gate::Attaching, rtnl);
        self.set_live(false);
        // SAFETY: As for `set_gate`.
        let result = unsafe {
            block.reoffload(rtnl, self, true, ack, |offer| {
                self.gate.set(Gate::Open);
                self.set_replaying(true);
                let result = offer();
                self.set_replaying(false);
                self.gate.set(Gate::Attaching);
                result
            })
        };
        self.set_live(result.is_ok());
        let gate = result.map_or(Gate::Closed, |()| Gate::Open);
        self.set_gate(gate, rtnl);
        result
    }

    /// Takes all filters of tc back from the firmware, and closes the gate. Process context.
    #[expect(unsafe_code)]
    pub(crate) fn withdraw(self: &Arc<Self>, rtnl: &Rtnl) {
        self.set_gate(Gate::Closed, rtnl);
        // Packets don't meet a part of the rules.
        self.set_live(false);
        let Block::Tc(block) = self.block else { return };
        let mut ack = OwnExtAck::new();
        // The kernel allocates memory for this, and stops on failure. The filters that it didn't
        // get to would be marked as in hardware from then on.
        let persist = |take_back: &mut dyn FnMut() -> Result| {
            let mut result = Ok(());
            for _ in 0..PERSISTENCE {
                // RCU isn't held any longer than this, as taking back sleeps.
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
