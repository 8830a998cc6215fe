// SPDX-License-Identifier: GPL-2.0-only

//! Actions of police: a bucket of tokens for each action of tc, which all rules with that action share.
//!
//! The device's bucket isn't the one that software has for the same action. It begins with what that one
//! has left, and what software lets pass afterwards is no loss to it.
//!
//! A bucket goes with the last rule that has its action, at the moment when that is withdrawn: the kernel
//! frees the action later, so that another one with the same address never finds it.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        bottom_half::{
            without_bottom_halves,
            BottomHalf, //
        },
        net::packet::Packet,
        stopwatch,
        sync::{
            keyed_table::{
                Keyed,
                KeyedTable, //
            },
            rcu::RcuSlot, //
        },
        tc::{
            control::Control,
            flow_action::FlowAction,
            flow_rule::FlowRule,
            police::{
                Limit,
                Limits,
                Police,
                Tokens, //
            }, //
        },
    },
    flows::CALLBACKS,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        new_mutex,
        new_spinlock,
        rcu,
        Arc,
        Mutex,
        SpinLock, //
    },
};

/// The policers of all rules.
#[pin_data]
struct Policers {
    /// By the kernel's key of the action.
    #[pin]
    table: KeyedTable<Policer>,
    /// Held while policers are made or given other limits, so that what is read of an action is what
    /// it has until its policer is found.
    #[pin]
    edit: Mutex<()>,
}

static POLICERS: RcuSlot<Policers> = RcuSlot::new();

/// To be called once. Process context.
pub(super) fn init() -> Result {
    let policers = try_pin_init!(Policers {
        table <- KeyedTable::new(CALLBACKS),
        edit <- new_mutex!((), "ekho::Policers::edit"),
    }? Error);
    drop(POLICERS.replace(Some(Arc::pin_init(policers, GFP_KERNEL)?)));
    Ok(())
}

/// To be called when there are no rules any more. Process context.
pub(super) fn end() {
    drop(POLICERS.replace(None));
}

/// What an action of police lets pass, and its tokens.
struct Bucket {
    limits: Limits,
    tokens: Tokens,
    /// Tells its states from each other.
    version: u64,
}

/// An action of police.
pub(super) struct Policer {
    /// How many rules have it; when there is none any more, it isn't found.
    shares: Atomic<u32>,
    /// Bottom halves are off while it is locked.
    bucket: Pin<KBox<SpinLock<Bucket>>>,
}

/// Tokens that a packet took.
pub(super) struct Taken {
    bytes: u32,
    /// What there was before.
    before: Tokens,
    version_before: u64,
    version: u64,
}

/// What a policer says of a packet.
pub(super) struct Verdict {
    pub(super) control: Control,
    /// Whether it counts as a drop, if it is one.
    pub(super) counts: bool,
    /// What is taken back if the packet isn't executed after all.
    pub(super) taken: Option<Taken>,
}

impl Bucket {
    /// Takes tokens for a packet of so many bytes; none if there aren't enough. As `tcf_police_act()`.
    fn take(&mut self, bytes: u32, now_ns: i64) -> Option<Taken> {
        let Limits { burst, limit, .. } = self.limits;
        let before = self.tokens;
        let elapsed = now_ns.wrapping_sub(before.filled_ns);
        let left = |elapsed: i64, tokens: i64, most: i64, price: i64| {
            elapsed.wrapping_add(tokens).min(most).wrapping_sub(price)
        };
        let mut after = Tokens {
            filled_ns: now_ns,
            ..before
        };
        match limit {
            Limit::Nothing => {}
            Limit::Bytes { rate, peak } => {
                let elapsed = elapsed.min(burst);
                // As in software, what isn't limited has no tokens left when it is again.
                after.packets = 0;
                after.rate = left(elapsed, before.rate, burst, rate.time_of(bytes));
                if let Some((peak, most)) = peak {
                    after.peak = left(elapsed, before.peak, most, peak.time_of(bytes));
                    if after.peak < 0 {
                        return None;
                    }
                } else {
                    after.peak = 0;
                }
                if after.rate < 0 {
                    return None;
                }
            }
            Limit::Packets { rate, burst } => {
                let elapsed = elapsed.min(burst);
                (after.rate, after.peak) = (0, 0);
                after.packets = left(elapsed, before.packets, burst, rate.time_of(1));
                if after.packets < 0 {
                    return None;
                }
            }
        }
        let version_before = self.version;
        self.tokens = after;
        self.version = version_before.wrapping_add(1);
        Some(Taken {
            bytes,
            before,
            version_before,
            version: self.version,
        })
    }

    /// Takes back what a packet took.
    fn give_back(&mut self, taken: &Taken) {
        if self.version == taken.version {
            // As if it had never been there.
            self.tokens = taken.before;
            self.version = taken.version_before;
            return;
        }
        // Others have taken some since.
        self.version = self.version.wrapping_add(1);
        let Limits { burst, limit, .. } = self.limits;
        let tokens = &mut self.tokens;
        let add = |tokens: i64, price: i64, most: i64| tokens.wrapping_add(price).min(most);
        match limit {
            Limit::Nothing => {}
            Limit::Bytes { rate, peak } => {
                tokens.rate = add(tokens.rate, rate.time_of(taken.bytes), burst);
                if let Some((peak, most)) = peak {
                    tokens.peak = add(tokens.peak, peak.time_of(taken.bytes), most);
                }
            }
            Limit::Packets { rate, burst } => {
                tokens.packets = add(tokens.packets, rate.time_of(1), burst);
            }
        }
    }
}

impl Policer {
    /// Decides on a packet, and takes the tokens that it needs.
    pub(super) fn decide(&self, packet: &Packet, _bh: &BottomHalf) -> Verdict {
        let mut bucket = self.bucket.lock();
        let Limits {
            exceed,
            conform,
            mtu,
            limit,
            ..
        } = bucket.limits;
        let beyond = Verdict {
            control: exceed,
            counts: true,
            taken: None,
        };
        if !packet.fits(mtu) {
            return beyond;
        }
        if limit == Limit::Nothing {
            return Verdict {
                control: conform,
                counts: false,
                taken: None,
            };
        }
        match bucket.take(packet.size().bytes, stopwatch::now_ns()) {
            None => beyond,
            taken => Verdict {
                control: conform,
                counts: true,
                taken,
            },
        }
    }

    /// Takes back what a packet took that software executes. If others take tokens before, they may find
    /// too few, as they do in software.
    pub(super) fn give_back(&self, taken: &Taken, _bh: &BottomHalf) {
        self.bucket.lock().give_back(taken);
    }

    /// One more rule has it; returns false if it isn't one any more.
    fn hold(&self) -> bool {
        let mut shares = self.shares.load(Relaxed);
        while shares != 0 {
            match self.shares.cmpxchg(shares, shares.wrapping_add(1), Full) {
                Ok(_) => return true,
                Err(now) => shares = now,
            }
        }
        false
    }
}

/// Why the device can't execute an action with these limits.
fn refuse(limits: &Limits) -> Option<&'static str> {
    let is_known = |control| matches!(control, Control::Pipe | Control::Pass | Control::Drop);
    if limits.has_average {
        Some("action police with avrate: the device doesn't estimate rates")
    } else if !is_known(limits.exceed) || !is_known(limits.conform) {
        Some("action police with a control other than drop, pass or pipe")
    } else {
        None
    }
}

/// A rule's share in a policer.
pub(super) struct Share {
    policer: Arc<Keyed<Policer>>,
    /// Whether the policer counts it.
    held: Atomic<bool>,
}

impl Share {
    /// The share of one more rule in the policer of an action. If the device can't execute that, the inner
    /// result is the reason. May sleep.
    pub(super) fn new(action: &FlowAction<'_>) -> Result<Result<Self, &'static str>> {
        let cookie = action.cookie();
        let policers = POLICERS.get_arc(&rcu::read_lock()).ok_or(ENODEV)?;
        let _edit = policers.edit.lock();
        let Some(Police { limits, tokens }) = action.police() else {
            return Err(EINVAL);
        };
        if let Some(reason) = refuse(&limits) {
            return Ok(Err(reason));
        }
        let known = {
            let guard = rcu::read_lock();
            policers.table.find_arc(cookie, Policer::hold, &guard)
        };
        let policer = match known {
            Some(policer) => policer,
            None => {
                let bucket = Bucket {
                    limits,
                    tokens,
                    version: 0,
                };
                let bucket = new_spinlock!(bucket, "ekho::Policer::bucket");
                let policer = Policer {
                    shares: Atomic::new(1),
                    bucket: KBox::pin_init(bucket, GFP_KERNEL)?,
                };
                let policer = Arc::new(Keyed::new(cookie, policer), GFP_KERNEL)?;
                policers.table.insert(policer.clone())?;
                policer
            }
        };
        Ok(Ok(Self {
            policer,
            held: Atomic::new(true),
        }))
    }

    /// The policer.
    #[inline]
    pub(super) fn policer(&self) -> &Policer {
        &self.policer
    }

    /// The rule is withdrawn. Any context but hard interrupts.
    pub(super) fn release(&self) {
        if !self.held.xchg(false, Full) {
            return;
        }
        if self.policer.shares.fetch_sub(1, Full) != 1 {
            return;
        }
        if let Some(policers) = POLICERS.get(&rcu::read_lock()) {
            policers.table.remove(&self.policer);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // If its rule was never made.
        self.release();
    }
}

/// Actions may have been given other limits (`tc actions replace`), which the policers have from now on.
/// What the device can't execute it leaves as it was. Process context.
pub(crate) fn changed(rule: &FlowRule<'_>) {
    let Some(policers) = POLICERS.get_arc(&rcu::read_lock()) else {
        return;
    };
    for action in rule.steps() {
        let _edit = policers.edit.lock();
        let Some(Police { limits, tokens }) = action.police() else {
            continue;
        };
        if refuse(&limits).is_some() {
            continue;
        }
        let guard = rcu::read_lock();
        let Some(policer) = policers.table.find(action.cookie(), |_| true, &guard) else {
            continue;
        };
        without_bottom_halves(|_| {
            let mut bucket = policer.bucket.lock();
            // The kernel also asks for actions of which nothing has changed.
            if bucket.limits == limits {
                return;
            }
            // Full again, but for those of a rate of packets, as `tcf_police_init()` has it.
            bucket.tokens = Tokens {
                packets: bucket.tokens.packets,
                ..tokens
            };
            bucket.limits = limits;
            bucket.version = bucket.version.wrapping_add(1);
        });
    }
}
