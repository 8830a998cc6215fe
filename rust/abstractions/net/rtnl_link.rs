// SPDX-License-Identifier: GPL-2.0-only

//! Kinds of Ethernet device that `ip link add … type KIND` creates.
//!
//! C header: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h)
//!
//! ```text
//!  rtnl_link_register ──▶ validate(), setup() ──▶ registered ──▶ deleted by user, netns exit,
//!                         by newlink                             or rtnl_link_unregister
//! ```

use super::{
    ethernet::{
        self,
        EthernetDriver, //
    },
    netlink::ExtAck, //
};
use crate::bindings;
use core::{
    ffi::c_int,
    marker::PhantomData, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// The driver of a kind of device.
pub(crate) trait LinkDriver: EthernetDriver {
    /// What follows `type` in `ip link add`.
    const KIND: &'static CStr;
}

/// Refuses an address that the device could never come up with.
///
/// # Safety
///
/// To be called as `rtnl_link_ops::validate`.
unsafe extern "C" fn validate(
    tb: *mut *mut bindings::nlattr,
    _data: *mut *mut bindings::nlattr,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: The kernel passes a table with a place for each attribute of a link; an attribute
    // and the acknowledgement are valid for the length of the call.
    unsafe {
        let address = *tb.add(bindings::EKHO_CONST_IFLA_ADDRESS as usize);
        if address.is_null() {
            return 0;
        }
        let mut extack = ExtAck::from_raw(extack);
        if bindings::ekho_helper_nla_len(address) != bindings::ETH_ALEN as c_int {
            extack.set(fmt!("the address must have {} bytes", bindings::ETH_ALEN));
            return EINVAL.to_errno();
        }
        let address = bindings::ekho_helper_nla_data(address);
        if !bindings::ekho_helper_is_valid_ether_addr(address.cast()) {
            extack.set(fmt!("the address must be unicast, and not all zero"));
            return -(bindings::EADDRNOTAVAIL as c_int);
        }
    }
    0
}

/// Makes a kind of device known until dropped, which deletes all devices of the kind.
///
/// # Invariants
///
/// `ops` is registered.
#[pin_data(PinnedDrop)]
pub(crate) struct LinkRegistration<T: LinkDriver> {
    #[pin]
    ops: Opaque<bindings::rtnl_link_ops>,
    _t: PhantomData<T>,
}

// SAFETY: May be unregistered from any thread.
unsafe impl<T: LinkDriver> Send for LinkRegistration<T> {}
// SAFETY: There is nothing to do with a `&LinkRegistration`.
unsafe impl<T: LinkDriver> Sync for LinkRegistration<T> {}

impl<T: LinkDriver> LinkRegistration<T> {
    /// Registers the kind. Process context, takes RTNL.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: Registered if this succeeds.
            ops <- Opaque::try_ffi_init(|slot: *mut bindings::rtnl_link_ops| {
                let ops = bindings::rtnl_link_ops {
                    kind: T::KIND.as_char_ptr(),
                    priv_size: ethernet::private_size::<T>(),
                    validate: Some(validate),
                    setup: Some(ethernet::setup::<T>),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes, and pinned until `drop`.
                unsafe { slot.write(ops) };
                // SAFETY: Just initialised.
                to_result(unsafe { bindings::rtnl_link_register(slot) })
            }),
            _t: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: LinkDriver> PinnedDrop for LinkRegistration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered, by the type invariants. Takes RTNL.
        unsafe { bindings::rtnl_link_unregister(self.ops.get()) };
    }
}
