// SPDX-License-Identifier: GPL-2.0-only

//! Taking the frames that an interface receives, before the stack gets them, as bridges and bonds do.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    net_device::{
        NetDevice,
        Rtnl, //
    },
    sk_buff::SkBuff, //
};
use crate::{
    abstractions::bottom_half::BottomHalf,
    bindings, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// Gets the frames of an interface.
pub(crate) trait FrameHandler: Send + Sync + 'static {
    /// A frame was received; it begins with its Ethernet header. None if it was lost for want of
    /// memory.
    fn handle(&self, skb: Option<SkBuff>, bh: &BottomHalf);
}

/// The handler of all frames of an interface, which is promiscuous meanwhile.
///
/// Without [`Self::unregister`] it stays for as long as the system runs, with what belongs to it.
///
/// # Invariants
///
/// `dev` has [`handle::<T>`] as its handler, with `data` from [`Arc::into_raw`].
pub(crate) struct RxHandler<T: FrameHandler> {
    dev: ARef<NetDevice>,
    data: NonNull<T>,
    _t: PhantomData<Arc<T>>,
}

// SAFETY: It may be unregistered from any thread, and `T` shared.
unsafe impl<T: FrameHandler> Send for RxHandler<T> {}
// SAFETY: There is nothing to do with a `&RxHandler`.
unsafe impl<T: FrameHandler> Sync for RxHandler<T> {}

impl<T: FrameHandler> RxHandler<T> {
    /// Begins to take the frames of an Ethernet interface. Process context.
    ///
    /// Fails with [`EBUSY`] if somebody else does so, or the interface belongs to another: a bridge, a
    /// bond, a VRF, macvlan, Open vSwitch …; with [`EINVAL`] if its frames can't be taken, as those of a
    /// loopback device.
    pub(crate) fn new(dev: &NetDevice, data: Arc<T>, _rtnl: &Rtnl) -> Result<Self> {
        // SAFETY: The device is alive, and RTNL held.
        unsafe {
            if !bindings::ekho_helper_rx_handler_fits(dev.as_raw()) {
                return Err(EINVAL);
            }
            if bindings::ekho_helper_dev_has_master(dev.as_raw()) {
                return Err(EBUSY);
            }
        }
        let data = Arc::into_raw(data).cast_mut();
        // SAFETY: RTNL is held, and the device alive.
        let result = to_result(unsafe {
            // What was put together at reception is longer than what the other end may receive.
            bindings::dev_disable_lro(dev.as_raw());
            bindings::dev_set_promiscuity(dev.as_raw(), 1)
        })
        .and_then(|()| {
            // SAFETY: As above. `handle` fits the data, which stays until after `unregister`.
            to_result(unsafe {
                bindings::netdev_rx_handler_register(dev.as_raw(), Some(handle::<T>), data.cast())
            })
            .inspect_err(|_| {
                // SAFETY: As above; undoes what was done.
                unsafe { bindings::dev_set_promiscuity(dev.as_raw(), -1) };
            })
        });
        if let Err(error) = result {
            // SAFETY: From `into_raw`, and taken by nobody.
            drop(unsafe { Arc::from_raw(data) });
            return Err(error);
        }
        // INVARIANT: Registered just now.
        Ok(Self {
            dev: dev.into(),
            // SAFETY: `into_raw` returns no null.
            data: unsafe { NonNull::new_unchecked(data) },
            _t: PhantomData,
        })
    }

    /// Leaves the frames to the stack; none is being handled any more when this returns. Process
    /// context; waits for a grace period.
    pub(crate) fn unregister(self, _rtnl: &Rtnl) {
        let this = ManuallyDrop::new(self);
        // SAFETY: Registered, by the type invariants; RTNL is held. `this` is dropped piece by piece.
        unsafe {
            bindings::netdev_rx_handler_unregister(this.dev.as_raw());
            bindings::dev_set_promiscuity(this.dev.as_raw(), -1);
            bindings::synchronize_net();
            drop(Arc::from_raw(this.data.as_ptr()));
            drop(core::ptr::read(&this.dev));
        }
    }
}

/// # Safety
///
/// To be called as `rx_handler_func_t` with the data of an [`RxHandler<T>`].
unsafe extern "C" fn handle<T: FrameHandler>(
    slot: *mut *mut bindings::sk_buff,
) -> bindings::rx_handler_result_t {
    // SAFETY: The kernel hands over a packet, under RCU and with bottom halves off; the data is there
    // for as long as that lasts.
    unsafe {
        let data = bindings::ekho_helper_rx_handler_data(*slot)
            .cast_const()
            .cast::<T>();
        if !bindings::ekho_helper_rx_handler_wants(*slot) {
            return bindings::rx_handler_result_RX_HANDLER_PASS;
        }
        // The helper frees the packet if there is no memory.
        let skb = NonNull::new(bindings::ekho_helper_rx_handler_frame(*slot));
        let skb = skb.map(|skb| SkBuff::from_raw(skb));
        (*data).handle(skb, &BottomHalf::assume());
    }
    bindings::rx_handler_result_RX_HANDLER_CONSUMED
}
