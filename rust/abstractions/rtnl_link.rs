// SPDX-License-Identifier: GPL-2.0-only

//! Kinds of Ethernet device that `ip link add … type KIND` creates.
//!
//! C headers: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h),
//! [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)
//!
//! ```text
//!  rtnl_link_register ──▶ setup() ──▶ registered ──▶ deleted by user, netns exit,
//!                         by newlink                 or rtnl_link_unregister
//! ```

use crate::{
    abstractions::{
        flow_offload::{
            eopnotsupp,
            qdisc::{
                query_caps,
                QdiscRequest, //
            },
            Binder,
            BlockOffload, //
        },
        net_device::{
            NetDevice,
            Rtnl, //
        },
    },
    bindings, //
};
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    marker::PhantomData,
};
use kernel::{
    error::{
        from_result,
        to_result,
        Error, //
    },
    prelude::*,
    types::Opaque, //
};

/// The driver of a kind of device.
pub(crate) trait LinkDriver: 'static {
    /// What follows `type` in `ip link add`.
    const KIND: &'static CStr;

    /// A block of filters is bound to the device, or unbound.
    ///
    /// Process context. Under RTNL if the block is a qdisc's.
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result;

    /// Something is wanted of a qdisc that is to be offloaded. RTNL held.
    fn setup_qdisc(dev: &NetDevice, qdisc: QdiscRequest) -> Result;

    /// The number of the PTP clock that devices of this kind have. Any context.
    fn ptp_clock() -> Option<i32>;

    /// The user switches `hw-tc-offload` on or off. RTNL held.
    fn set_hw_tc_offload(dev: &NetDevice, on: bool, rtnl: &Rtnl) -> Result;
}

/// The operations of devices of kind `T`.
struct VTable<T>(PhantomData<T>);

impl<T: LinkDriver> VTable<T> {
    const NETDEV_OPS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(Self::init),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_setup_tc: Some(Self::setup_tc),
        ndo_set_features: Some(Self::set_features),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ..pin_init::zeroed()
    };

    const ETHTOOL_OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        get_link: Some(bindings::ethtool_op_get_link),
        get_ts_info: Some(Self::get_ts_info),
        get_channels: Some(Self::get_channels),
        set_channels: Some(Self::set_channels),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called as `rtnl_link_ops::setup`.
    unsafe extern "C" fn setup(dev: *mut bindings::net_device) {
        // What a packet device without hardware can do with packets.
        const FEATURES: u64 = bindings::EKHO_CONST_NETIF_F_SG
            | bindings::EKHO_CONST_NETIF_F_FRAGLIST
            | bindings::EKHO_CONST_NETIF_F_HW_CSUM
            | bindings::EKHO_CONST_NETIF_F_HIGHDMA
            | bindings::EKHO_CONST_NETIF_F_GSO_SOFTWARE
            | bindings::EKHO_CONST_NETIF_F_HW_TC;

        // SAFETY: `dev` was just allocated, and nobody else knows of it yet.
        unsafe {
            bindings::ether_setup(dev);
            (*dev).netdev_ops = &Self::NETDEV_OPS;
            (*dev).ethtool_ops = &Self::ETHTOOL_OPS;
            (*dev).needs_free_netdev = true;
            (*dev).__bindgen_anon_1.__bindgen_anon_1.set_lltx(1);
            (*dev).features |= FEATURES;
            (*dev).hw_features |= FEATURES;
            (*dev).max_mtu = bindings::EKHO_CONST_ETH_MAX_MTU;
            bindings::ekho_helper_dev_hw_addr_random(dev);
        }
    }

    /// # Safety
    ///
    /// To be called as `ndo_init`.
    unsafe extern "C" fn init(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: `dev` is being registered; the core allocates the statistics that this selects.
        unsafe {
            (*dev).set_pcpu_stat_type(bindings::netdev_stat_type_NETDEV_PCPU_STAT_DSTATS);
            bindings::ekho_helper_dev_lockdep_set_classes(dev);
        }
        0
    }

    /// Time stamps are of software, but there can be a clock.
    ///
    /// # Safety
    ///
    /// To be called as `ethtool_ops::get_ts_info`.
    unsafe extern "C" fn get_ts_info(
        dev: *mut bindings::net_device,
        info: *mut bindings::kernel_ethtool_ts_info,
    ) -> c_int {
        // SAFETY: By the requirements of this function; `info` is the callee's to fill in.
        unsafe {
            let result = bindings::ethtool_op_get_ts_info(dev, info);
            if let Some(index) = T::ptp_clock() {
                (*info).phc_index = index;
            }
            result
        }
    }

    /// How many queues there are, and how many are in use: the others are what a qdisc such as htb
    /// gives to its classes.
    ///
    /// # Safety
    ///
    /// To be called as `ethtool_ops::get_channels`.
    unsafe extern "C" fn get_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) {
        // SAFETY: `dev` is registered, and RTNL held; `channels` is the callee's for the call.
        unsafe {
            (*channels).max_rx = (*dev).num_rx_queues;
            (*channels).rx_count = (*dev).real_num_rx_queues;
            (*channels).max_tx = (*dev).num_tx_queues;
            (*channels).tx_count = (*dev).real_num_tx_queues;
        }
    }

    /// # Safety
    ///
    /// To be called as `ethtool_ops::set_channels`.
    unsafe extern "C" fn set_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held; `channels` is valid for the call. The core has
        // checked the numbers.
        unsafe {
            if (*channels).rx_count != (*dev).real_num_rx_queues {
                return eopnotsupp().to_errno();
            }
            bindings::netif_set_real_num_tx_queues(dev, (*channels).tx_count)
        }
    }

    /// # Safety
    ///
    /// To be called as `ndo_start_xmit`.
    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: The stack hands over `skb`, and `dev` is up.
        unsafe {
            bindings::ekho_helper_dev_dstats_tx(dev, (*skb).len);
            bindings::ekho_helper_skb_tx_timestamp(skb);
            bindings::ekho_helper_consume_skb(skb);
        }
        bindings::netdev_tx_NETDEV_TX_OK
    }

    /// # Safety
    ///
    /// To be called as `ndo_setup_tc`.
    unsafe extern "C" fn setup_tc(
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
            _ => T::setup_qdisc(dev, unsafe { QdiscRequest::from_raw(kind, data) }),
        };
        from_result(|| result.map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called as `ndo_set_features`.
    unsafe extern "C" fn set_features(
        dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> c_int {
        // SAFETY: `dev` is registered for the length of the call.
        let dev = unsafe { NetDevice::from_raw(dev) };
        let on = features & bindings::EKHO_CONST_NETIF_F_HW_TC != 0;
        if on == dev.hw_tc_offload() {
            return 0;
        }
        // SAFETY: Features are changed under RTNL.
        let result = unsafe {
            super::net_device::with_rtnl_held(|rtnl| T::set_hw_tc_offload(dev, on, rtnl))
        };
        from_result(|| result.map(|()| 0))
    }
}

/// The address of the `ndo_setup_tc` by which devices of kind `T` are known.
pub(crate) fn setup_tc_of<T: LinkDriver>() -> usize {
    VTable::<T>::NETDEV_OPS
        .ndo_setup_tc
        .map_or(0, |f| f as usize)
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
                    setup: Some(VTable::<T>::setup),
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
