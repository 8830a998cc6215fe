// SPDX-License-Identifier: GPL-2.0-only

//! The kind `ekho`: `ip link add NAME type ekho`.
//!
//! An Ethernet device without hardware. It takes offload requests through `ndo_setup_tc`, so its
//! filters can be `skip_sw`. What it transmits goes into its [cable](crate::hardware::cable).

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        bottom_half::BottomHalf,
        net::{
            ethernet::{
                port_of,
                port_with_device,
                EthernetDevice,
                EthernetDriver, //
            },
            net_device::{
                NetDevice,
                Rtnl,
                SetupTcFn, //
            },
            rtnl_link::LinkDriver,
            sk_buff::SkBuff, //
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
    hardware::{
        cable,
        port::{
            Member,
            Port, //
        },
    },
    intake::{
        self,
        block::{
            binding::Binding,
            binding_set, //
        },
    },
    offload::devices, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// Devices of kind `ekho`.
pub(crate) struct Ekho;

impl LinkDriver for Ekho {
    const KIND: &'static CStr = c"ekho";
}

/// The port that a netdev of kind `ekho` is; none of another driver's.
pub(crate) fn port(dev: &NetDevice) -> Option<Arc<Port>> {
    port_of::<Ekho>(dev)
}

/// The same without a reference, with the netdev.
pub(crate) fn find(dev: &NetDevice) -> Option<(&Port, &EthernetDevice)> {
    port_with_device::<Ekho>(dev)
}

impl EthernetDriver for Ekho {
    const NAME: &'static CStr = c"ekho";
    const SPEED: u32 = 10_000;
    const SETUP_TC: SetupTcFn = setup_tc_of::<Self>();

    type Port = Port;
    type Slot = Member;

    fn new_port(dev: &NetDevice, member: Option<Member>) -> Result<Arc<Port>> {
        Port::new(dev, member)
    }

    fn open(port: ArcBorrow<'_, Port>, dev: &EthernetDevice, rtnl: &Rtnl) -> Result {
        Port::open(port, dev, rtnl)?;
        cable::update_carrier(dev, Some(&port), rtnl);
        Ok(())
    }

    fn stop(port: &Port, dev: &EthernetDevice, rtnl: &Rtnl) {
        cable::update_carrier(dev, Some(port), rtnl);
        port.stop(rtnl);
    }

    fn uninit(_port: &Port, dev: &EthernetDevice, rtnl: &Rtnl) {
        cable::disconnect(dev, rtnl);
    }

    fn change_carrier(port: &Port, dev: &EthernetDevice, on: bool, rtnl: &Rtnl) {
        port.set_carrier(on, rtnl);
        cable::update_carrier(dev, Some(port), rtnl);
    }

    #[inline]
    fn transmit(port: &Port, dev: &EthernetDevice, skb: SkBuff, bh: &BottomHalf) {
        port.transmit(dev, skb, bh);
    }

    fn figure_names(port: &Port, _dev: &EthernetDevice, f: &mut dyn FnMut(fmt::Arguments<'_>)) {
        port.figure_names(f);
    }

    fn figures(port: &Port, _dev: &EthernetDevice, f: &mut dyn FnMut(u64)) {
        port.figures(f);
    }

    fn ptp_clock() -> Option<i32> {
        clock::index()
    }

    fn set_hw_tc_offload(dev: &NetDevice, on: bool, rtnl: &Rtnl) -> Result {
        let flows = devices::get(dev).map_or(0, |device| binding_set::flows_at(&device, dev, rtnl));
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
        let port = port(dev);
        intake::block::bind_unbind::setup(dev, port.as_ref(), block)
    }

    fn setup_qdisc(qdisc: QdiscRequest<'_>) -> Result {
        intake::qdiscs::setup(&qdisc)
    }
}
