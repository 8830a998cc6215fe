// SPDX-License-Identifier: GPL-2.0-only

//! One attached firmware: it is called here, and here its figures are kept.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        flow_rule::FlowRule,
        net_device::NetDevice, //
    },
    flows::{
        Position,
        Totals, //
    },
    ops::{
        contract::{
            OpResult,
            Ops, //
        },
        trace::Op, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu::Guard, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};

/// How often ops ran, and how they went.
pub(crate) struct Figures {
    pub(crate) replace: Atomic<u64>,
    pub(crate) replace_refused: Atomic<u64>,
    pub(crate) destroy: Atomic<u64>,
    pub(crate) stats: Atomic<u64>,
    pub(crate) violations: Atomic<u64>,
}

/// A firmware on a device.
pub(crate) struct Firmware {
    pub(crate) ops: Ops,
    /// One more with each replacement on the same link.
    pub(crate) generation: u32,
    pub(crate) figures: Figures,
}

impl Firmware {
    pub(crate) fn new(ops: Ops, generation: u32) -> Self {
        Self {
            ops,
            generation,
            figures: Figures {
                replace: Atomic::new(0),
                replace_refused: Atomic::new(0),
                destroy: Atomic::new(0),
                stats: Atomic::new(0),
                violations: Atomic::new(0),
            },
        }
    }

    /// Runs an op: traces it, and makes of its result what the kernel can use.
    fn run(&self, op: Op, dev: &NetDevice, cookie: u64, call: impl FnOnce() -> OpResult) -> Result {
        let start = Instant::<Monotonic>::now();
        let result = call();
        let duration_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(0);
        let result = result.unwrap_or_else(|violation| {
            if self.figures.violations.fetch_add(1, Relaxed) == 0 {
                pr_warn!(
                    "{}: firmware '{}' returned {} from {}, which is neither 0 nor an errno; taken for -EINVAL\n",
                    dev.name(),
                    self.ops.name(),
                    violation.0,
                    op.name(),
                );
            }
            Err(EINVAL)
        });
        let errno = result
            .as_ref()
            .map_or_else(|error| error.to_errno(), |()| 0);
        op.trace(dev, &self.ops.name(), cookie, errno, duration_ns);
        result
    }

    /// The firmware takes over the device. RTNL.
    pub(crate) fn attach(&self, dev: &NetDevice) -> Result {
        self.run(Op::Attach, dev, 0, || self.ops.attach(dev, self.generation))
    }

    /// The firmware's last call. RTNL.
    pub(crate) fn detach(&self, dev: &NetDevice) {
        // There is no result.
        let _ = self.run(Op::Detach, dev, 0, || {
            self.ops.detach(dev, self.generation);
            Ok(Ok(()))
        });
    }

    /// A flow is wanted.
    pub(crate) fn replace(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        classid: u32,
        rule: &FlowRule<'_>,
        guard: &Guard,
    ) -> Result {
        self.figures.replace.add(1, Relaxed);
        self.run(Op::Replace, dev, cookie, || {
            self.ops
                .replace(dev, cookie, position, classid, rule, guard)
        })
        .inspect_err(|_| self.figures.replace_refused.add(1, Relaxed))
    }

    /// An accepted flow has ended.
    pub(crate) fn destroy(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        totals: &Totals,
        guard: &Guard,
    ) {
        self.figures.destroy.add(1, Relaxed);
        // The flow is gone whatever the firmware says; a violation was counted.
        let _ = self.run(Op::Destroy, dev, cookie, || {
            self.ops.destroy(dev, cookie, position, totals, guard)
        });
    }

    /// What has the flow counted? Any context.
    pub(crate) fn stats(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        guard: &Guard,
    ) -> Result<Option<Totals>> {
        self.figures.stats.add(1, Relaxed);
        let mut totals = None;
        self.run(Op::Stats, dev, cookie, || {
            let result;
            (result, totals) = self.ops.stats(dev, cookie, position, guard);
            result
        })
        .map(|()| totals)
    }
}
