// SPDX-License-Identifier: GPL-2.0-only

//! The action `police` of tc: its limits, and the tokens that it has left.
//!
//! The kernel tells drivers the greater part of it only, and rounds the burst. The rest is in the action
//! itself.
//!
//! C header: [`include/net/tc_act/tc_police.h`](srctree/include/net/tc_act/tc_police.h)

use crate::{
    abstractions::tc::control::Control,
    bindings::{
        self,
        ekho_rate, //
    },
};
use core::mem::MaybeUninit;

/// How long a packet takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    mult: u32,
    shift: u8,
    atm: bool,
    overhead: u16,
    mpu: u32,
}

impl Rate {
    fn of(rate: &ekho_rate) -> Self {
        Self {
            mult: rate.mult,
            shift: rate.shift,
            atm: rate.atm,
            overhead: rate.overhead,
            mpu: rate.mpu,
        }
    }

    /// Nanoseconds that `len` bytes take, or at a rate of packets so many of these.
    ///
    /// As `psched_l2t_ns()` and `psched_pkt2t_ns()`; what these round, or what overflows in them, does
    /// so here.
    pub(crate) fn time_of(&self, len: u32) -> i64 {
        /// Bytes of a cell, and what it carries.
        const CELL: u32 = 53;
        const PAYLOAD: u32 = 48;
        let len = len.wrapping_add(self.overhead.into()).max(self.mpu);
        let len = match self.atm {
            true => len.div_ceil(PAYLOAD).wrapping_mul(CELL),
            false => len,
        };
        let time = u64::from(len) * u64::from(self.mult);
        time.wrapping_shr(self.shift.into()) as i64
    }
}

/// What can be sent at once, in nanoseconds of the rates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) rate: i64,
    pub(crate) peak: i64,
    pub(crate) packets: i64,
    /// When that was so, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) filled_ns: i64,
}

/// What is limited, besides the length of each packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Nothing,
    Bytes {
        rate: Rate,
        /// The rate in the short run, and how many of its tokens can be saved.
        peak: Option<(Rate, i64)>,
    },
    /// A rate of packets, and how many of its tokens can be saved.
    Packets {
        rate: Rate,
        burst: i64,
    },
}

/// What an action of police lets pass: `struct tcf_police_params`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Tells it from what the action had before, together with the rest.
    params: usize,
    /// What becomes of packets that are beyond them.
    pub(crate) exceed: Control,
    /// What becomes of packets that aren't.
    pub(crate) conform: Control,
    /// Whether packets are limited by a rate that the kernel estimates, too.
    pub(crate) has_average: bool,
    /// Bytes of a packet at the most.
    pub(crate) mtu: u32,
    /// How many tokens of the rate of bytes can be saved.
    pub(crate) burst: i64,
    pub(crate) limit: Limit,
}

/// An action of police.
#[derive(Clone, Copy)]
pub(crate) struct Police {
    pub(crate) limits: Limits,
    /// What software has left.
    pub(crate) tokens: Tokens,
}

impl Police {
    /// Reads an action. Process context.
    ///
    /// # Safety
    ///
    /// `action` must be the address of a `struct tc_action` of police that is alive.
    pub(super) unsafe fn read(action: usize) -> Self {
        let mut police = MaybeUninit::uninit();
        // SAFETY: By the requirements of this function; it fills in all of the structure.
        let police = unsafe {
            bindings::ekho_helper_police(action, police.as_mut_ptr());
            police.assume_init()
        };
        let limit = if police.has_rate {
            Limit::Bytes {
                rate: Rate::of(&police.rate),
                peak: police
                    .has_peak
                    .then(|| (Rate::of(&police.peak), police.mtu_tokens)),
            }
        } else if police.has_packets {
            Limit::Packets {
                rate: Rate::of(&police.packets),
                burst: police.packet_burst,
            }
        } else {
            Limit::Nothing
        };
        Self {
            limits: Limits {
                params: police.params,
                exceed: Control::of(police.exceed),
                conform: Control::of(police.conform),
                has_average: police.has_average,
                mtu: police.mtu,
                burst: police.burst,
                limit,
            },
            tokens: Tokens {
                rate: police.tokens,
                peak: police.peak_tokens,
                packets: police.packet_tokens,
                filled_ns: police.filled_ns,
            },
        }
    }
}
