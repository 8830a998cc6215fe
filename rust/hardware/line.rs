// SPDX-License-Identifier: GPL-2.0-only

//! One direction of a cable that loses, delays or slows down frames.

#![deny(unsafe_code)]

use crate::abstractions::{
    bottom_half::BottomHalf,
    net::sk_buff::SkBuff,
    soft_timer::{
        Expire,
        SoftTimer, //
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
    /// How many frames of a million aren't delayed, and so overtake others.
    pub(crate) reorder_ppm: u32,
    /// Bits per second of frames with their Ethernet header; 0 for no limit.
    pub(crate) rate_bps: u64,
    /// How many frames are under way at most. Others get lost.
    pub(crate) limit: u32,
}

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
    /// A frame arrives; see [`Line::send`] for `merge`.
    fn arrive(&self, skb: SkBuff, merge: bool, bh: &BottomHalf);
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
    /// When the last frame was sent with all its bits, and when it arrives.
    sent: i64,
    due: i64,
    /// Whether the timer is running. It ends by its own doing only, with the lock held.
    running: bool,
    /// Whether frames are taken.
    is_open: bool,
    /// Pseudorandom numbers, the same for each line.
    random: u64,
}

/// What becomes of a frame that enters the line.
enum Fate {
    Lost,
    Now,
    At(i64),
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

    /// True so many times of a million.
    fn chance(&mut self, ppm: u32) -> bool {
        ppm != 0 && (u64::from(self.random()) * MILLION) >> 32 < ppm.into()
    }

    fn decide(&mut self, impairment: &Impairment, bytes: u32, now: i64) -> Fate {
        if self.chance(impairment.loss_ppm) {
            return Fate::Lost;
        }
        if impairment.rate_bps != 0 {
            // A frame of 64 KiB at 1 bit/s takes days, which fits.
            let ns = u64::from(bytes) * 8 * 1000 * MILLION / impairment.rate_bps;
            self.sent = self.sent.max(now).saturating_add(ns as i64);
        } else {
            self.sent = now;
        }
        if self.chance(impairment.reorder_ppm) {
            return match self.len {
                0 if self.sent > now => Fate::At(self.sent),
                _ => Fate::Now,
            };
        }
        let mut delay = i64::from(impairment.delay_us) * NS_PER_US;
        if impairment.jitter_us != 0 {
            let span = i64::from(impairment.jitter_us) * 2 * NS_PER_US + 1;
            delay += (i64::from(self.random()) * span >> 32) - span / 2;
        }
        // None overtakes another.
        self.due = self.due.max(self.sent + delay.max(0));
        match self.due {
            due if due <= now && self.len == 0 => Fate::Now,
            due => Fate::At(due),
        }
    }

    /// Adds a frame, or gives it back if there is no place.
    fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        let capacity = self.frames.len();
        if self.len == capacity || !self.is_open {
            return Err(frame);
        }
        self.frames[(self.first + self.len) % capacity] = Some(frame);
        self.len += 1;
        Ok(())
    }

    /// The first frame, if it has arrived.
    fn pop(&mut self, now: i64) -> Option<Frame> {
        let due = self.next_due()?;
        if due > now {
            return None;
        }
        let frame = self.frames[self.first].take();
        self.first = (self.first + 1) % self.frames.len();
        self.len -= 1;
        frame
    }

    fn next_due(&self) -> Option<i64> {
        self.frames.get(self.first)?.as_ref().map(|frame| frame.due)
    }
}

/// One direction of a cable that does something to frames.
#[pin_data]
pub(super) struct Line<S: Sink> {
    impairment: Impairment,
    sink: S,
    began: Instant<Monotonic>,
    /// Taken with bottom halves off, or by who ends the line.
    #[pin]
    state: SpinLock<State>,
    lost: Atomic<u64>,
}

impl<S: Sink> Line<S> {
    /// A line on which no frame is. May sleep.
    pub(super) fn new(impairment: Impairment, sink: S) -> Result<Arc<SoftTimer<Self>>> {
        let capacity = impairment.capacity();
        let mut frames = KVVec::with_capacity(capacity, GFP_KERNEL)?;
        for _ in 0..capacity {
            frames.push(None, GFP_KERNEL)?;
        }
        let state = State {
            frames,
            first: 0,
            len: 0,
            sent: 0,
            due: 0,
            running: false,
            is_open: true,
            random: 0x9e37_79b9_7f4a_7c15,
        };
        let line = try_pin_init!(Self {
            impairment,
            sink,
            began: Instant::now(),
            state <- new_spinlock!(state, "ekho::Line::state"),
            lost: Atomic::new(0),
        } ? Error);
        Arc::pin_init(SoftTimer::new(line), GFP_KERNEL)
    }

    fn now(&self) -> i64 {
        self.began.elapsed().as_nanos()
    }

    fn lose(&self, _skb: SkBuff) {
        self.lost.add(1, Relaxed);
    }

    /// How many frames were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// A frame is sent. `merge` says, here and everywhere, that it may become part of a larger packet.
    pub(super) fn send(this: &Arc<SoftTimer<Self>>, mut skb: SkBuff, merge: bool, bh: &BottomHalf) {
        let now = this.now();
        let start = {
            let mut state = this.state.lock();
            let fate = state.decide(&this.impairment, skb.len(), now);
            match fate {
                Fate::Lost => {
                    drop(state);
                    return this.lose(skb);
                }
                Fate::Now => {
                    drop(state);
                    return this.sink.arrive(skb, merge, bh);
                }
                Fate::At(due) => {
                    // Its socket may send more: what is under way isn't in this host.
                    skb.orphan();
                    if let Err(frame) = state.push(Frame { due, skb, merge }) {
                        drop(state);
                        return this.lose(frame.skb);
                    }
                    // The first frame is due first.
                    (!core::mem::replace(&mut state.running, true)).then_some(due - now)
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
        let mut state = this.state.lock();
        state.is_open = false;
        let frames = core::mem::take(&mut state.frames);
        this.lost.add(state.len as u64, Relaxed);
        state.len = 0;
        drop(state);
        drop(frames);
    }
}

impl<S: Sink> Expire for Line<S> {
    fn expire(&self, bh: &BottomHalf) -> Option<Delta> {
        loop {
            let now = self.now();
            let frame = {
                let mut state = self.state.lock();
                match state.pop(now) {
                    Some(frame) => frame,
                    None => {
                        let due = state.next_due();
                        state.running = due.is_some();
                        return due.map(|due| Delta::from_nanos(due - now));
                    }
                }
            };
            self.sink.arrive(frame.skb, frame.merge, bh);
        }
    }
}
