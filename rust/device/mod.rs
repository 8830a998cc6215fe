// SPDX-License-Identifier: GPL-2.0-only

//! The module's own network devices: `ip link add NAME type ekho`.
//!
//! An Ethernet device without hardware. It takes offload requests through `ndo_setup_tc`, so its
//! filters can be `skip_sw`. What it transmits is counted, and goes nowhere.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        flow_offload::{
            qdisc::QdiscRequest,
            BlockOffload, //
        },
        net_device::{
            NetDevice,
            Rtnl,
            SetupTc, //
        },
        rtnl_link::{
            setup_tc_of,
            LinkDriver, //
        },
    },
    intake,
    port, //
};
use kernel::prelude::*;

/// Devices of kind `ekho`.
pub(crate) struct Ekho;

impl LinkDriver for Ekho {
    const KIND: &'static CStr = c"ekho";

    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result {
        intake::blocks::setup(dev, block)
    }

    fn setup_qdisc(dev: &NetDevice, qdisc: QdiscRequest) -> Result {
        intake::qdiscs::setup(dev, &qdisc)
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
        SetupTc::Driver(f) if f == setup_tc_of::<Ekho>() => Owner::Ekho,
        SetupTc::Driver(_) => Owner::Other,
    }
}
