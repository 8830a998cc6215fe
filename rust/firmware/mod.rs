// SPDX-License-Identifier: GPL-2.0-only

//! Firmware: what implements `bpf_flow_offload_ops` for a device.
//!
//! [`Firmware`] is one attached table. All calls of its ops go through [`Firmware::run`], which
//! injects faults ([`crate::faults`]), detects recursion ([`Recursion`]) and overruns ([`budget`]),
//! counts ([`figures`], [`refusals`]), fires the tracepoint, and stops firmware that violates the
//! contract ([`exit`]).

#![deny(unsafe_code)]

pub(crate) mod budget;
pub(crate) mod exit;
pub(crate) mod figures;
pub(crate) mod refusals;

use crate::{
    abstractions::{
        error::eopnotsupp,
        interrupt::in_interrupt,
        net::net_device::NetDevice,
        stopwatch::{
            Elapsed,
            Stopwatch, //
        },
        sync::recursion::Recursion,
        tc::flow_offload::{
            qdisc::QdiscRequest,
            HnodeRequest, //
        },
    },
    contract::{
        calls::{
            OpResult,
            Ops,
            Violation, //
        },
        capabilities::Capabilities,
        context::{
            Counting,
            Insertable,
            ReplaceCtx, //
        },
        flow::FlowArg,
        ops::Op,
        reason::Reason,
        rule::Rule,
        stats::StatsReport,
        trace, //
    },
    faults::{
        parse::Point,
        FaultSlot, //
    },
    flows::flow::Flow, //
};
use budget::{
    Spent,
    Verdict, //
};
use exit::{
    Code,
    Exit, //
};
use figures::Figures;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock,
        rcu::{
            self,
            Guard, //
        },
        Arc,
        SetOnce,
        SpinLock, //
    },
};
use refusals::{
    Refusal,
    RefusalCount,
    Refusals, //
};

/// A firmware on a device.
#[pin_data]
pub(crate) struct Firmware {
    pub(crate) ops: Ops,
    /// What the device can do.
    pub(crate) capabilities: Capabilities,
    /// 1 for the first firmware of a link, plus one with each replacement.
    pub(crate) generation: u32,
    pub(crate) figures: Figures,
    /// Set once it is stopped: no op is called after that.
    exit: SetOnce<Exit>,
    /// Called when it is stopped. Any context.
    stopped: fn(),
    /// The ops of the device that are running, of this firmware or another.
    recursion: Arc<Recursion>,
    /// Points for ops that took too long: see [`budget`].
    overruns: Atomic<u32>,
    faults: Arc<FaultSlot>,
    #[pin]
    refusals: SpinLock<Refusals>,
}

impl Firmware {
    /// A firmware for a device that has `recursion` and `faults`; `stopped` is called if it is
    /// stopped.
    pub(crate) fn new(
        ops: Ops,
        generation: u32,
        recursion: Arc<Recursion>,
        faults: Arc<FaultSlot>,
        stopped: fn(),
    ) -> Result<Arc<Self>> {
        let mut capabilities = ops.capabilities();
        capabilities.budget_us = budget::of(capabilities.budget_us);
        let figures = Figures::new()?;
        let firmware = pin_init!(Self {
            ops,
            capabilities,
            generation,
            figures,
            exit: SetOnce::new(),
            stopped,
            recursion,
            overruns: Atomic::new(0),
            faults,
            refusals <- new_spinlock!(Refusals::new(), "ekho::Firmware::refusals"),
        });
        Arc::pin_init(firmware, GFP_KERNEL)
    }

    /// Entry `n` of the table of refusals, up to its end; its count is 0 if it is unused.
    pub(crate) fn refusal(&self, n: usize) -> Option<RefusalCount> {
        self.refusals.lock().get(n)
    }

    /// Calls `f` with each reason for which flows were refused. The one without an errno counts all
    /// that the table has no room for.
    pub(crate) fn for_each_refusal<E>(
        &self,
        mut f: impl FnMut(&RefusalCount) -> Result<(), E>,
    ) -> Result<(), E> {
        // One at a time, as the table is too large for the stack.
        let mut next = 0..;
        while let Some(refusal) = next.next().and_then(|n| self.refusal(n)) {
            if refusal.count != 0 {
                f(&refusal)?;
            }
        }
        Ok(())
    }

    /// Why it was stopped, if it was.
    pub(crate) fn exit(&self) -> Option<&Exit> {
        self.exit.as_ref()
    }

    /// The answer in place of firmware that was stopped.
    fn no_answer(&self, error: Error) -> Refusal {
        let reason = match self.exit() {
            Some(exit) => Reason::of(fmt!("{}", *exit)),
            None => Reason::NONE,
        };
        Refusal { error, reason }
    }

    /// Stops the firmware: no op is called any more. Any context.
    fn stop(&self, dev: &NetDevice, op: Op, code: Code, value: i64, time_ns: u64, reason: Reason) {
        self.figures.violate();
        let exit = Exit {
            firmware: self.ops.name(),
            generation: self.generation,
            op,
            code,
            value,
            time_ns,
            reason,
        };
        if self.exit.populate(exit) {
            pr_warn!("{}: {}\n", dev.name(), exit);
            trace::exit(
                dev,
                &exit.firmware,
                exit.generation,
                op,
                code.name(),
                value,
                &exit.reason,
            );
            (self.stopped)();
        }
    }

    /// An op violated the contract.
    #[cold]
    fn violates(&self, dev: &NetDevice, op: Op, violation: Violation, watch: &Stopwatch) {
        let (code, value, reason) = match violation {
            Violation::Return(value) => (
                Code::Return,
                i64::from(value),
                Reason::of(fmt!("{} returned {}", op, value)),
            ),
            Violation::Queue(queue) => (
                Code::Contract,
                i64::from(queue),
                Reason::of(fmt!(
                    "{} chose queue {} of {}",
                    op,
                    queue,
                    dev.num_tx_queues()
                )),
            ),
        };
        self.stop(dev, op, code, value, watch.started_ns(), reason);
    }

    /// Whether more has to be known of an op than how much time has passed: it hasn't used more than
    /// that, which mostly says all.
    #[inline]
    fn is_long(&self, wall: u64) -> bool {
        wall > self.figures.longest_ns()
            || wall > self.budget_ns()
            || self.overruns.load(Relaxed) != 0
    }

    /// Stops the firmware if an op took too much time, unless it violated the contract besides.
    #[cold]
    fn check_time(&self, dev: &NetDevice, op: Op, is_fine: bool, watch: &Stopwatch) {
        let elapsed = &watch.elapsed();
        self.figures.took(elapsed.ran);
        if !is_fine {
            return;
        }
        let spent = Spent {
            ran: elapsed.ran,
            ticked: elapsed.ticked,
        };
        let budget_ns = self.budget_ns();
        let points = self.overruns.load(Relaxed);
        match budget::judge(points, spent, budget_ns) {
            // Firmware that is never late writes nothing. Of ops in parallel one's points may be
            // lost; the next op has them again.
            Verdict::Fine(now) if now == points => {}
            Verdict::Fine(now) => self.overruns.store(now, Relaxed),
            Verdict::TooLong => self.overran(dev, op, op.name(), elapsed, watch),
            Verdict::TooOften => self.overran(dev, op, "ops", elapsed, watch),
        }
    }

    fn budget_ns(&self) -> u64 {
        u64::from(self.capabilities.budget_us) * 1000
    }

    /// An op exceeded its budget by too much, or was one too many that did: `what` took too long.
    #[cold]
    fn overran(&self, dev: &NetDevice, op: Op, what: &str, elapsed: &Elapsed, watch: &Stopwatch) {
        let (took_us, budget_us) = (elapsed.ran / 1000, self.capabilities.budget_us);
        let reason = Reason::of(fmt!("{} took {}/{} us", what, took_us, budget_us));
        let value = took_us as i64;
        self.stop(dev, op, Code::Budget, value, watch.started_ns(), reason);
    }

    /// An op was entered from within another one.
    #[cold]
    fn entered_again(&self, dev: &NetDevice, op: Op) {
        let reason = Reason::of(fmt!("{} was entered again", op));
        let now = Stopwatch::start().started_ns();
        self.stop(dev, op, Code::Recursion, 0, now, reason);
    }

    /// Calls an op, and turns its result into one that the kernel can use.
    fn run(
        &self,
        op: Op,
        dev: &NetDevice,
        cookie: u64,
        guard: &Guard,
        call: impl FnOnce() -> OpResult,
    ) -> Result<(), Refusal> {
        self.figures.call(op);
        if self.exit().is_some() {
            return Err(self.no_answer(eopnotsupp()));
        }
        let fault = self.faults.inject(Point::Op(op), guard);
        if let Some(error) = fault.error {
            let reason = Reason::of(fmt!("injected fault"));
            return Err(Refusal { error, reason });
        }
        let entered = self.recursion.enter(|| {
            if fault.interrupt && in_interrupt(|| self.recursion.enter(|| ())) == Some(None) {
                return None;
            }
            if fault.recurse {
                self.recursion.enter(|| ())?;
            }
            let watch = Stopwatch::start();
            fault.stall();
            let result = call();
            let wall = watch.wall();
            if self.is_long(wall) {
                self.check_time(dev, op, result.is_ok(), &watch);
            }
            if let Err(violation) = result {
                self.violates(dev, op, violation, &watch);
            }
            Some((result, wall))
        });
        let Some((result, wall)) = entered.flatten() else {
            self.entered_again(dev, op);
            return Err(self.no_answer(EINVAL));
        };
        let result = match result {
            // If the firmware was stopped during the op, its yes doesn't count; its statistics do.
            Ok(_) if op != Op::Stats && self.exit().is_some() => Err(self.no_answer(EINVAL)),
            Ok(result) => result.map_err(|error| Refusal {
                error,
                reason: Reason::NONE,
            }),
            Err(_) => Err(self.no_answer(EINVAL)),
        };
        let errno = result
            .as_ref()
            .map_or_else(|refusal| refusal.error.to_errno(), |()| 0);
        trace::op(op, dev, &self.ops, cookie, errno, wall);
        result
    }

    /// The firmware takes over the device. RTNL.
    pub(crate) fn attach(&self, dev: &NetDevice) -> Result {
        self.run(Op::Attach, dev, 0, &rcu::read_lock(), || {
            self.ops.attach(dev, self.generation)
        })
        .map_err(|refusal| refusal.error)
    }

    /// The firmware is taken off the device. RTNL.
    pub(crate) fn detach(&self, dev: &NetDevice) {
        // The op has no result.
        let _ = self.run(Op::Detach, dev, 0, &rcu::read_lock(), || {
            self.ops.detach(dev, self.generation);
            Ok(Ok(()))
        });
    }

    /// Counts a flow that is refused.
    pub(crate) fn refuse(&self, error: Error, reason: Reason) -> Refusal {
        let refusal = Refusal { error, reason };
        self.figures.refuse();
        self.refusals.lock().count(&refusal);
        refusal
    }

    /// Asks for a flow; returns how it is counted if it is accepted. Process context.
    pub(crate) fn replace(
        &self,
        dev: &NetDevice,
        flow: &Flow,
        rule: &Rule<'_>,
        insertable: &Insertable,
        guard: &Guard,
    ) -> Result<Counting, Refusal> {
        let mut ctx = ReplaceCtx::new(dev, &flow.arg(), rule, insertable, &self.capabilities);
        match self.run(Op::Replace, dev, flow.cookie() as u64, guard, || {
            self.ops.replace(&mut ctx, guard)
        }) {
            Ok(()) => Ok(ctx.counting()),
            Err(Refusal { error, reason }) if reason.is_none() => {
                Err(self.refuse(error, ctx.reason()))
            }
            Err(Refusal { error, reason }) => Err(self.refuse(error, reason)),
        }
    }

    /// An accepted flow is gone.
    pub(crate) fn destroy(&self, dev: &NetDevice, flow: &Flow, guard: &Guard) {
        // The flow is gone whatever the result is.
        let _ = self.run(Op::Destroy, dev, flow.cookie() as u64, guard, || {
            self.ops
                .destroy(dev, &flow.arg(), &flow.counters.reported(), guard)
        });
    }

    /// Asks for the counters of a flow, or of the action with the cookie `action` if that isn't 0.
    /// Any context.
    pub(crate) fn stats(
        &self,
        dev: &NetDevice,
        flow: &Flow,
        action: u64,
        guard: &Guard,
    ) -> Result<Option<StatsReport>> {
        if self.faults.freezes_stats(guard) {
            return Ok(None);
        }
        let mut counted = None;
        if self.ops.has(Op::Stats) {
            self.run(Op::Stats, dev, flow.cookie() as u64, guard, || {
                let result;
                (result, counted) = self.ops.stats(dev, &flow.arg(), action, guard);
                result
            })
            .map_err(|refusal| refusal.error)?;
        }
        // What the device executes it counts, unless firmware knows better.
        let counted = counted.or_else(|| executed(flow, action));
        Ok(counted.filter(|_| !self.faults.drops_stats(guard)))
    }

    /// Calls an op that is optional.
    fn run_optional(
        &self,
        op: Op,
        dev: &NetDevice,
        cookie: u64,
        guard: &Guard,
        call: impl FnOnce() -> Option<OpResult>,
    ) -> Result {
        let mut there = true;
        let result = self.run(op, dev, cookie, guard, || {
            call().unwrap_or_else(|| {
                there = false;
                Ok(Ok(()))
            })
        });
        if there {
            result.map_err(|refusal| refusal.error)
        } else {
            Err(eopnotsupp())
        }
    }

    /// A template is set for a chain.
    pub(crate) fn template_create(
        &self,
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        rule: &Rule<'_>,
        guard: &Guard,
    ) -> Result {
        self.run_optional(Op::TemplateCreate, dev, flow.cookie, guard, || {
            self.ops
                .template_create(dev, flow, rule, &self.capabilities, guard)
        })
    }

    /// A template is gone.
    pub(crate) fn template_destroy(
        &self,
        dev: &NetDevice,
        flow: &FlowArg<'_>,
        guard: &Guard,
    ) -> Result {
        self.run_optional(Op::TemplateDestroy, dev, flow.cookie, guard, || {
            self.ops.template_destroy(dev, flow, guard)
        })
    }

    /// A hash table of u32 is added or deleted.
    pub(crate) fn hnode(
        &self,
        dev: &NetDevice,
        request: &HnodeRequest<'_>,
        guard: &Guard,
    ) -> Result {
        self.run_optional(Op::Hnode, dev, u64::from(request.handle()), guard, || {
            self.ops.hnode(dev, self.generation, request, guard)
        })
    }

    /// A request about a qdisc. RTNL.
    pub(crate) fn qdisc(&self, request: &QdiscRequest<'_>, guard: &Guard) -> Result {
        self.run_optional(Op::Qdisc, request.dev(), 0, guard, || {
            self.ops.qdisc(self.generation, request, guard)
        })
    }
}

/// What a device has counted of a flow that it executes, or of one of its actions.
fn executed(flow: &Flow, action: u64) -> Option<StatsReport> {
    let programmed = flow.programmed()?;
    programmed.is_active().then(|| StatsReport::Totals {
        totals: programmed.totals(action),
        map: 0,
    })
}
