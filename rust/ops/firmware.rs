// SPDX-License-Identifier: GPL-2.0-only

//! One attached firmware: it is called here, and here its figures are kept.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice,
        stopwatch::Stopwatch,
        tc::flow_offload::{
            qdisc::QdiscRequest,
            HnodeRequest, //
        },
    },
    faults::FaultSlot,
    flows::{
        Flow,
        Position, //
    },
    ops::{
        contract::{
            Capabilities,
            Counted,
            OpResult,
            Ops,
            Reason,
            Terms,
            Violation,
            Wanted, //
        },
        exit::{
            Code,
            Exit, //
        },
        trace::{
            self,
            Op, //
        },
        turns::Turns, //
    },
};
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

/// How often ops ran, and how they went.
pub(crate) struct Figures {
    pub(crate) replace: Atomic<u64>,
    pub(crate) replace_refused: Atomic<u64>,
    pub(crate) destroy: Atomic<u64>,
    pub(crate) stats: Atomic<u64>,
    pub(crate) violations: Atomic<u64>,
    /// The longest that an op took, in microseconds.
    pub(crate) longest_us: Atomic<u64>,
}

/// A flow was refused, and why.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) reason: Reason,
}

/// How often flows were refused for the same reason.
#[derive(Clone, Copy)]
pub(crate) struct RefusalCount {
    pub(crate) errno: i32,
    pub(crate) reason: Reason,
    pub(crate) count: u64,
}

/// Reasons that are told apart; those beyond are counted as one.
const REASONS: usize = 32;

/// Counts refusals by reason.
struct Refusals([RefusalCount; REASONS]);

impl Refusals {
    const fn new() -> Self {
        const NONE: RefusalCount = RefusalCount {
            errno: 0,
            reason: Reason::NONE,
            count: 0,
        };
        Self([NONE; REASONS])
    }

    fn count(&mut self, refusal: &Refusal) {
        let errno = -refusal.error.to_errno();
        let Some((others, known)) = self.0.split_last_mut() else {
            return;
        };
        let same = |r: &&mut RefusalCount| {
            r.count == 0 || (r.errno == errno && r.reason == refusal.reason)
        };
        match known.iter_mut().find(same) {
            Some(entry) => {
                entry.errno = errno;
                entry.reason = refusal.reason;
                entry.count += 1;
            }
            None => others.count += 1,
        }
    }
}

/// A firmware on a device.
#[pin_data]
pub(crate) struct Firmware {
    pub(crate) ops: Ops,
    /// What the device can do.
    pub(crate) capabilities: Capabilities,
    /// One more with each replacement on the same link.
    pub(crate) generation: u32,
    pub(crate) figures: Figures,
    /// Set once it is stopped: no op is called after that.
    exit: SetOnce<Exit>,
    /// To be called then. Any context.
    stopped: fn(),
    turns: Turns,
    faults: Arc<FaultSlot>,
    #[pin]
    refusals: SpinLock<Refusals>,
}

impl Firmware {
    /// A firmware for a device that has `faults`; `stopped` is called should it misbehave.
    pub(crate) fn new(
        ops: Ops,
        generation: u32,
        faults: Arc<FaultSlot>,
        stopped: fn(),
    ) -> Result<Arc<Self>> {
        let capabilities = ops.capabilities();
        let firmware = pin_init!(Self {
            ops,
            capabilities,
            generation,
            figures: Figures {
                replace: Atomic::new(0),
                replace_refused: Atomic::new(0),
                destroy: Atomic::new(0),
                stats: Atomic::new(0),
                violations: Atomic::new(0),
                longest_us: Atomic::new(0),
            },
            exit: SetOnce::new(),
            stopped,
            turns: Turns::new(),
            faults,
            refusals <- new_spinlock!(Refusals::new(), "ekho::Firmware::refusals"),
        });
        Arc::pin_init(firmware, GFP_KERNEL)
    }

    /// Calls `f` with each reason for which flows were refused; the one without an errno stands for
    /// all that are too many to tell apart.
    pub(crate) fn for_each_refusal<E>(
        &self,
        mut f: impl FnMut(&RefusalCount) -> Result<(), E>,
    ) -> Result<(), E> {
        for n in 0..REASONS {
            // One at a time: the table is too large for the stack.
            let refusal = self.refusals.lock().0[n];
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

    /// The answer in place of a firmware that was stopped.
    fn no_answer(&self, error: Error) -> Refusal {
        let reason = match self.exit() {
            Some(exit) => Reason::of(fmt!("{}", *exit)),
            None => Reason::NONE,
        };
        Refusal { error, reason }
    }

    /// The firmware has done what it must not do: it isn't called any more. Any context.
    fn stop(&self, dev: &NetDevice, op: Op, code: Code, value: i64, time_ns: u64, reason: Reason) {
        self.figures.violations.add(1, Relaxed);
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
            trace::exit(dev, &exit);
            (self.stopped)();
        }
    }

    /// An op did what it must not do.
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

    /// An op took longer than it may.
    #[cold]
    fn overran(&self, dev: &NetDevice, op: Op, took_us: u64, watch: &Stopwatch) {
        let budget_us = self.capabilities.budget_us;
        let reason = Reason::of(fmt!("{} took {}/{} us", op, took_us, budget_us));
        let value = took_us as i64;
        self.stop(dev, op, Code::Budget, value, watch.started_ns(), reason);
    }

    /// An op was entered by a task that is inside of one.
    #[cold]
    fn entered_again(&self, dev: &NetDevice, op: Op) {
        let reason = Reason::of(fmt!("{} was entered again", op));
        let now = Stopwatch::start().started_ns();
        self.stop(dev, op, Code::Recursion, 0, now, reason);
    }

    /// Runs an op: traces it, and makes of its result what the kernel can use.
    fn run(
        &self,
        op: Op,
        dev: &NetDevice,
        cookie: u64,
        guard: &Guard,
        call: impl FnOnce() -> OpResult,
    ) -> Result<(), Refusal> {
        if self.exit().is_some() {
            return Err(self.no_answer(eopnotsupp()));
        }
        let fault = self.faults.strike(op.site(), guard);
        if let Some(error) = fault.error {
            let reason = Reason::of(fmt!("injected fault"));
            return Err(Refusal { error, reason });
        }
        let turn = self.turns.enter();
        let again = fault.recurse.then(|| self.turns.enter());
        if turn.is_none() || again.is_some_and(|turn| turn.is_none()) {
            self.entered_again(dev, op);
            return Err(self.no_answer(EINVAL));
        }
        let watch = Stopwatch::start();
        let result = call();
        let elapsed = watch.elapsed();
        let took_us = elapsed.ran / 1000;
        if took_us > self.figures.longest_us.load(Relaxed) {
            // Of several in parallel one may be lost: the figure is for people.
            self.figures.longest_us.store(took_us, Relaxed);
        }
        match result {
            Err(violation) => self.violates(dev, op, violation, &watch),
            Ok(_) if took_us > u64::from(self.capabilities.budget_us) => {
                self.overran(dev, op, took_us, &watch);
            }
            Ok(_) => {}
        }
        let result = match result {
            // What firmware that was stopped has agreed to is worth nothing; what it has counted
            // until then is right.
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
        op.trace(dev, self.ops.c_name(), cookie, errno, elapsed.wall);
        result
    }

    /// The firmware takes over the device. RTNL.
    pub(crate) fn attach(&self, dev: &NetDevice) -> Result {
        self.run(Op::Attach, dev, 0, &rcu::read_lock(), || {
            self.ops.attach(dev, self.generation)
        })
        .map_err(|refusal| refusal.error)
    }

    /// The firmware's last call. RTNL.
    pub(crate) fn detach(&self, dev: &NetDevice) {
        // There is no result.
        let _ = self.run(Op::Detach, dev, 0, &rcu::read_lock(), || {
            self.ops.detach(dev, self.generation);
            Ok(Ok(()))
        });
    }

    /// Counts a flow that is refused.
    pub(crate) fn refuse(&self, error: Error, reason: Reason) -> Refusal {
        let refusal = Refusal { error, reason };
        self.figures.replace_refused.add(1, Relaxed);
        self.refusals.lock().count(&refusal);
        refusal
    }

    /// A flow is wanted: on which terms it is taken. Process context.
    pub(crate) fn replace(
        &self,
        dev: &NetDevice,
        flow: &Flow,
        wanted: &Wanted<'_>,
        guard: &Guard,
    ) -> Result<Terms, Refusal> {
        self.figures.replace.add(1, Relaxed);
        let mut offer = self.capabilities.offer(dev, flow, wanted);
        match self.run(Op::Replace, dev, flow.cookie, guard, || {
            self.ops.replace(&mut offer, guard)
        }) {
            Ok(()) => Ok(offer.terms()),
            Err(Refusal { error, reason }) if reason.is_none() => {
                Err(self.refuse(error, offer.reason()))
            }
            Err(Refusal { error, reason }) => Err(self.refuse(error, reason)),
        }
    }

    /// An accepted flow has ended.
    pub(crate) fn destroy(&self, dev: &NetDevice, flow: &Flow, guard: &Guard) {
        self.figures.destroy.add(1, Relaxed);
        // The flow is gone whatever the firmware says.
        let _ = self.run(Op::Destroy, dev, flow.cookie, guard, || {
            self.ops
                .destroy(dev, flow, &flow.counters.reported(), guard)
        });
    }

    /// What has the flow counted, or the one of its actions with this cookie if it isn't 0? Any
    /// context.
    pub(crate) fn stats(
        &self,
        dev: &NetDevice,
        flow: &Flow,
        action: u64,
        guard: &Guard,
    ) -> Result<Option<Counted>> {
        if self.faults.freezes_stats(guard) {
            return Ok(None);
        }
        self.figures.stats.add(1, Relaxed);
        let mut counted = None;
        self.run(Op::Stats, dev, flow.cookie, guard, || {
            let result;
            (result, counted) = self.ops.stats(dev, flow, action, guard);
            result
        })
        .map(|()| counted.filter(|_| !self.faults.drops_stats(guard)))
        .map_err(|refusal| refusal.error)
    }

    /// Runs an op that firmware need not have.
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

    /// A chain has a template from now on.
    pub(crate) fn template_create(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        wanted: &Wanted<'_>,
        guard: &Guard,
    ) -> Result {
        self.run_optional(Op::TemplateCreate, dev, cookie, guard, || {
            self.ops
                .template_create(dev, cookie, position, wanted, guard)
        })
    }

    /// A template is gone.
    pub(crate) fn template_destroy(
        &self,
        dev: &NetDevice,
        cookie: u64,
        position: &Position,
        guard: &Guard,
    ) -> Result {
        self.run_optional(Op::TemplateDestroy, dev, cookie, guard, || {
            self.ops.template_destroy(dev, cookie, position, guard)
        })
    }

    /// A hash table of u32 comes or goes.
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

    /// Something about a qdisc. RTNL.
    pub(crate) fn qdisc(&self, dev: &NetDevice, request: &QdiscRequest, guard: &Guard) -> Result {
        self.run_optional(Op::Qdisc, dev, 0, guard, || {
            self.ops.qdisc(dev, self.generation, request, guard)
        })
    }
}
