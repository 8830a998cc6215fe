// SPDX-License-Identifier: GPL-2.0-only

//! The module's own network devices: `ip link add NAME type ekho`.
//!
//! An Ethernet device without hardware. It takes offload requests through `ndo_setup_tc`, so its
//! filters can be `skip_sw`. What it transmits is counted, and goes nowhere.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::{
            net_device::{
                NetDevice,
                Rtnl,
                SetupTc,
                SetupTcFn, //
            },
            ptp::SoftClock,
            rtnl_link::LinkDriver, //
        },
        tc::{
            flow_offload::{
                qdisc::QdiscRequest,
                BlockOffload, //
            },
            setup_tc::{
                setup_tc_of,
                TcDriver, //
            },
        },
    },
    intake,
    port, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Devices of kind `ekho`.
pub(crate) struct Ekho;

impl LinkDriver for Ekho {
    const KIND: &'static CStr = c"ekho";
    const SPEED: u32 = 10_000;
    const SETUP_TC: SetupTcFn = setup_tc_of::<Self>();

    fn ptp_clock() -> Option<i32> {
        i32::try_from(CLOCK.load(Relaxed)).ok()
    }

    fn set_hw_tc_offload(dev: &NetDevice, on: bool, _rtnl: &Rtnl) -> Result {
        let flows = port::get(dev).map_or(0, |port| port.flows.len());
        if !on && flows != 0 {
            pr_warn!(
                "{}: hw-tc-offload stays on while {} filters are offloaded; delete them first\n",
                dev.name(),
                flows
            );
            return Err(EBUSY);
        }
        Ok(())
    }
}

impl TcDriver for Ekho {
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result {
        intake::blocks::setup(dev, block)
    }

    fn setup_qdisc(dev: &NetDevice, qdisc: QdiscRequest) -> Result {
        intake::qdiscs::setup(dev, &qdisc)
    }
}

/// The number of the clock, beyond `i32` if there is none.
static CLOCK: Atomic<u32> = Atomic::new(u32::MAX);

/// The PTP clock of all devices of kind `ekho`, as the ports of one switch have one: without it the
/// kernel doesn't ask for the offload of taprio.
#[pin_data]
pub(crate) struct Clock {
    #[pin]
    clock: SoftClock,
}

impl Clock {
    /// Registers it; to be kept for as long as there are devices. Process context.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            clock <- SoftClock::new(c"ekho", module),
            _: {
                let index = clock.index().and_then(|index| u32::try_from(index).ok());
                CLOCK.store(index.unwrap_or(u32::MAX), Relaxed);
            },
        } ? Error)
    }
}

/// Who takes a device's offload requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This module's driver.
    Ekho,
    /// This module's indirect blocks.
    Indirect,
    /// A driver of its own.
    Other,
}

/// Who takes `dev`'s offload requests.
pub(crate) fn owner(dev: &NetDevice) -> Owner {
    match dev.setup_tc() {
        SetupTc::None => Owner::Indirect,
        SetupTc::Driver(f) if f == Ekho::SETUP_TC.address() => Owner::Ekho,
        SetupTc::Driver(_) => Owner::Other,
    }
}
