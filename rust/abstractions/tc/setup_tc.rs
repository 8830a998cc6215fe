// SPDX-License-Identifier: GPL-2.0-only

//! Offload requests of traffic control to a device's own driver: `ndo_setup_tc`.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::{
    abstractions::{
        net::net_device::{
            NetDevice,
            SetupTcFn, //
        },
        tc::flow_offload::{
            qdisc::{
                query_caps,
                QdiscRequest, //
            },
            Binder,
            BlockCallback,
            BlockOffload, //
        },
    },
    bindings, //
};
use core::ffi::{
    c_int,
    c_void, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// A driver that takes offload requests for its devices.
pub(crate) trait TcDriver: 'static {
    /// What it binds to blocks.
    type Callback: BlockCallback;

    /// A block of filters is bound to the device, or unbound.
    ///
    /// Process context. Under RTNL if the block is a qdisc's.
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_, Self::Callback>) -> Result;

    /// Something is wanted of a qdisc that is to be offloaded. RTNL held.
    fn setup_qdisc(qdisc: QdiscRequest<'_>) -> Result;
}

/// The `ndo_setup_tc` of the devices of a driver.
pub(crate) const fn setup_tc_of<T: TcDriver>() -> SetupTcFn {
    // SAFETY: It asks for no more of its caller than the kernel does for.
    unsafe { SetupTcFn::from_raw(setup_tc::<T>) }
}

/// # Safety
///
/// To be called as `ndo_setup_tc`.
unsafe extern "C" fn setup_tc<T: TcDriver>(
    dev: *mut bindings::net_device,
    kind: bindings::tc_setup_type,
    data: *mut c_void,
) -> c_int {
    // SAFETY: `dev` is registered for the length of the call.
    let dev = unsafe { NetDevice::from_raw(dev) };
    // SAFETY: These two come with a `struct flow_block_offload`, which is the callee's for the
    // length of the call.
    let block = |binder| unsafe { BlockOffload::direct(data.cast(), binder) };
    let result = match kind {
        bindings::tc_setup_type_TC_SETUP_BLOCK => T::setup_block(dev, block(Binder::Block)),
        bindings::tc_setup_type_TC_SETUP_FT => T::setup_block(dev, block(Binder::Flowtable)),
        // SAFETY: That is what this one comes with.
        bindings::tc_setup_type_TC_QUERY_CAPS => unsafe { query_caps(data.cast()) },
        // SAFETY: What else comes is about qdiscs, as it came.
        _ => T::setup_qdisc(unsafe { QdiscRequest::from_raw(dev, kind, data) }),
    };
    from_result(|| result.map(|()| 0))
}
