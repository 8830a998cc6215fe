// SPDX-License-Identifier: GPL-2.0-only

//! The kind `ekho`: `ip link add NAME type ekho`.
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
                SetupTcFn, //
            },
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
    device::clock,
    intake::{
        self,
        block::binding::Binding, //
    },
    offload::devices, //
};
use kernel::prelude::*;

/// Devices of kind `ekho`.
pub(crate) struct Ekho;

impl LinkDriver for Ekho {
    const KIND: &'static CStr = c"ekho";
    const SPEED: u32 = 10_000;
    const SETUP_TC: SetupTcFn = setup_tc_of::<Self>();

    fn ptp_clock() -> Option<i32> {
        clock::index()
    }

    fn set_hw_tc_offload(dev: &NetDevice, on: bool, _rtnl: &Rtnl) -> Result {
        let flows = devices::get(dev).map_or(0, |device| device.flows.len());
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
    type Callback = Binding;

    fn setup_block(dev: &NetDevice, block: BlockOffload<'_, Binding>) -> Result {
        intake::block::bind_unbind::setup(dev, block)
    }

    fn setup_qdisc(qdisc: QdiscRequest<'_>) -> Result {
        intake::qdiscs::setup(&qdisc)
    }
}
