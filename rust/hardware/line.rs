// SPDX-License-Identifier: GPL-2.0-only

//! One direction of a cable that loses, delays or slows down frames.

#![deny(unsafe_code)]

use crate::abstractions::{
    bottom_half::{
        without_bottom_halves,
        BottomHalf, //
    },
    net::sk_buff::SkBuff,
    soft_timer::{
        Expire,
        SoftTimer, //
    },
};
use core::mem;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock,
        Arc,
        SpinLock, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// What a cable does to frames, in each direction.
#[derive(Clone, Copy)]
pub(crate) struct Impairment {
    /// How long a frame is under way.
    pub(crate) delay_us: u32,
    /// By how much that varies, at most, to both sides. Frames keep their order.
    pub(crate) jitter_us: u32,
    /// How many frames of a million get lost.
    pub(crate) loss_ppm: u32,
    /// How many frames of a million aren't delayed, nor counted for the rate, and so overtake others.
    pub(crate) reorder_ppm: u32,
    /// Bits per second of frames with their Ethernet header; 0 for no limit.
    pub(crate) rate_bps: u64,
    /// How many frames are under way at most. Others get lost.
    pub(crate) limit: u32,
}

/// How many bytes of memory the frames that are under way take at most, in each direction.
const MEMORY_MAX: usize = 64 << 20;

/// How many frames arrive at a time, before others get the CPU.
const BUDGET: usize = 64;

/// The longest that one frame takes at the rate, in nanoseconds.
const FRAME_TIME_MAX: u64 = 1_000_000_000_000;

const MILLION: u64 = 1_000_000;
const NS_PER_US: i64 = 1000;

impl Impairment {
    /// Whether frames go straight to the other end.
    pub(super) fn is_none(&self) -> bool {
        !self.takes_time() && self.loss_ppm == 0
    }

    fn takes_time(&self) -> bool {
        self.delay_us != 0 || self.jitter_us != 0 || self.rate_bps != 0
    }

    fn capacity(&self) -> usize {
        match self.takes_time() {
            true => self.limit as usize,
            false => 0,
        }
    }
}

/// Where the frames of a line arrive.
pub(super) trait Sink: Send + Sync + 'static {
    /// A frame arrives; see [`Line::send`] for `merge`. Returns whether it is counted there, as
    /// received or as lost.
    fn arrive(&self, skb: SkBuff, merge: bool, bh: &BottomHalf) -> bool;
}

/// A frame that is under way.
struct Frame {
    /// When it arrives, in nanoseconds since the line was made.
    due: i64,
    skb: SkBuff,
    merge: bool,
}

/// What is under way, and what decides on the next frame.
struct State {
    /// A ring of frames in the order of their arrival: `len` of them from `first` on.
    frames: KVVec<Option<Frame>>,
    first: usize,
    len: usize,
    /// The memory that they take.
    memory: usize,
    /// When the last frame was sent with all its bits, and when it arrives.
    sent: i64,
    due: i64,
    /// Whether the timer is running. It ends by its own doing only, with the lock held; until then
    /// frames arrive by it.
    running: bool,
    /// Pseudorandom numbers, the same for each line of a side.
    random: u64,
}

/// What becomes of a frame that enters the line.
enum Verdict {
    Drop,
    Deliver,
    DeliverAt(i64),
}

impl State {
    /// The next pseudorandom number (xorshift64*).
    fn random(&mut self) -> u32 {
        let mut x = self.random;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// One of the numbers below `n`, all as likely.
    fn random_below(&mut self, n: u32) -> u32 {
        ((u64::from(self.random()) * u64::from(n)) >> 32) as u32
    }

    /// True so many times of a million.
    fn chance(&mut self, ppm: u32) -> bool {
        ppm != 0 && self.random_below(MILLION as u32) < ppm
    }

    fn decide(&mut self, impairment: &Impairment, skb: &SkBuff, now: i64) -> Verdict {
        if self.chance(impairment.loss_ppm) {
            return Verdict::Drop;
        }
        if !impairment.takes_time() {
            return Verdict::Deliver;
        }
        // What gets lost takes no time of the line.
        if self.len == self.frames.len() || self.memory + skb.memory() as usize > MEMORY_MAX {
            return Verdict::Drop;
        }
        // Nor does what isn't delayed.
        if self.chance(impairment.reorder_ppm) {
            return Verdict::Deliver;
        }
        self.sent = self.sent.max(now);
        if impairment.rate_bps != 0 {
            let ns = u64::from(skb.len()) * 8 * 1000 * MILLION / impairment.rate_bps;
            self.sent = self.sent.saturating_add(ns.min(FRAME_TIME_MAX) as i64);
        }
        let mut delay_us = i64::from(impairment.delay_us);
        if impairment.jitter_us != 0 {
            let span = impairment.jitter_us.saturating_mul(2).saturating_add(1);
            delay_us += i64::from(self.random_below(span)) - i64::from(impairment.jitter_us);
        }
        let due = self.sent.saturating_add(delay_us.max(0) * NS_PER_US);
        // None overtakes another.
        self.due = self.due.max(due);
        if self.due <= now && !self.running {
            return Verdict::Deliver;
        }
        Verdict::DeliverAt(self.due)
    }

    /// The place in the ring that comes `n` after the first, which is at most as many as there are.
    fn place(&self, n: usize) -> usize {
        match self.first + n {
            at if at < self.frames.len() => at,
            at => at - self.frames.len(),
        }
    }

    /// Adds a frame; there is room, as [`Self::decide`] has said under the same lock.
    fn push(&mut self, frame: Frame) {
        self.memory += frame.skb.memory() as usize;
        let at = self.place(self.len);
        self.frames[at] = Some(frame);
        self.len += 1;
    }

    /// The first frame, if it has arrived.
    fn pop(&mut self, now: i64) -> Option<Frame> {
        if self.next_due()? > now {
            return None;
        }
        let frame = self.frames[self.first].take()?;
        self.memory -= frame.skb.memory() as usize;
        self.first = self.place(1);
        self.len -= 1;
        Some(frame)
    }

    fn next_due(&self) -> Option<i64> {
        let first = self.frames.get(self.first)?.as_ref();
        first.map(|frame| frame.due)
    }
}

/// How many frames got lost in one direction of a cable.
pub(super) struct Lost(Atomic<u64>);

impl Lost {
    /// None so far. May sleep.
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(Atomic::new(0)), GFP_KERNEL)?)
    }

    /// Counts a frame. Any context.
    pub(super) fn count(&self) {
        self.0.add(1, Relaxed);
    }

    /// How many there were.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One direction of a cable that does something to frames.
#[pin_data]
pub(super) struct Line<S: Sink> {
    impairment: Impairment,
    sink: S,
    began: Instant<Monotonic>,
    /// Taken with bottom halves off.
    #[pin]
    state: SpinLock<State>,
    lost: Arc<Lost>,
}

impl<S: Sink> Line<S> {
    /// A line on which no frame is. `seed` is what its losses, jitter and order depend on. May sleep.
    pub(super) fn new(
        impairment: Impairment,
        sink: S,
        lost: Arc<Lost>,
        seed: u64,
    ) -> Result<Arc<SoftTimer<Self>>> {
        let capacity = impairment.capacity();
        // Users make cables in namespaces of their own, and are charged for it.
        let mut frames = KVVec::with_capacity(capacity, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..capacity {
            frames.push(None, GFP_KERNEL_ACCOUNT)?;
        }
        let state = State {
            frames,
            first: 0,
            len: 0,
            memory: 0,
            sent: 0,
            due: 0,
            running: false,
            random: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1),
        };
        let line = try_pin_init!(Self {
            impairment,
            sink,
            began: Instant::now(),
            state <- new_spinlock!(state, "ekho::Line::state"),
            lost,
        } ? Error);
        Arc::pin_init(SoftTimer::new(line), GFP_KERNEL)
    }

    fn now(&self) -> i64 {
        self.began.elapsed().as_nanos()
    }

    fn arrive(&self, skb: SkBuff, merge: bool, bh: &BottomHalf) {
        if !self.sink.arrive(skb, merge, bh) {
            self.lost.count();
        }
    }

    /// A frame is sent. `merge` says, here and everywhere, that it may become part of a larger packet.
    pub(super) fn send(this: &Arc<SoftTimer<Self>>, mut skb: SkBuff, merge: bool, bh: &BottomHalf) {
        if this.impairment.takes_time() {
            // Its socket may send more: what is under way isn't in this host.
            skb.orphan();
        }
        let start = {
            let mut state = this.state.lock();
            // Under the lock, so that time doesn't go back from frame to frame.
            let now = this.now();
            match state.decide(&this.impairment, &skb, now) {
                Verdict::Drop => {
                    drop(state);
                    return this.lost.count();
                }
                Verdict::Deliver => {
                    drop(state);
                    return this.arrive(skb, merge, bh);
                }
                Verdict::DeliverAt(due) => {
                    state.push(Frame { due, skb, merge });
                    // The first frame is due first.
                    (!mem::replace(&mut state.running, true)).then_some(due - now)
                }
            }
        };
        if let Some(after) = start {
            SoftTimer::start(this.as_arc_borrow(), Delta::from_nanos(after.max(0)), bh);
        }
    }

    /// Ends the line: what is under way gets lost, and nothing arrives when this returns. Nobody may
    /// send any more. Process context.
    pub(super) fn end(this: &Arc<SoftTimer<Self>>) {
        this.stop();
        let frames = without_bottom_halves(|_| {
            let mut state = this.state.lock();
            state.len = 0;
            mem::replace(&mut state.frames, KVVec::new())
        });
        for _ in frames.iter().flatten() {
            this.lost.count();
        }
    }
}

impl<S: Sink> Expire for Line<S> {
    fn expire(&self, bh: &BottomHalf) -> Option<Delta> {
        // What is added meanwhile waits for the next time, so that this ends.
        let now = self.now();
        for _ in 0..BUDGET {
            let popped = self.state.lock().pop(now);
            match popped {
                Some(frame) => self.arrive(frame.skb, frame.merge, bh),
                None => break,
            }
        }
        let mut state = self.state.lock();
        let due = state.next_due();
        state.running = due.is_some();
        due.map(|due| Delta::from_nanos((due - self.now()).max(0)))
    }
}
