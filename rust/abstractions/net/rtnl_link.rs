// SPDX-License-Identifier: GPL-2.0-only

//! Kinds of Ethernet device that `ip link add … type KIND` creates.
//!
//! C headers: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h),
//! [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)
//!
//! ```text
//!  rtnl_link_register ──▶ validate(), setup() ──▶ registered ──▶ deleted by user, netns exit,
//!                         by newlink                             or rtnl_link_unregister
//! ```
//!
//! There is no cable, and no peer to negotiate with: carrier, speed and duplex are what the user
//! sets ([`Link`]), so that whatever uses the device as its lower one (bond, team, bridge, macvlan
//! …) sees a NIC.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::{
            net_device::{
                with_rtnl_held,
                NetDevice,
                Rtnl,
                SetupTcFn, //
            },
            netlink::ExtAck, //
        },
    },
    bindings, //
};
use core::{
    ffi::c_int,
    marker::PhantomData, //
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

    /// The speed of a new device in Mbit/s, one of those in `ethtool.h`.
    const SPEED: u32;

    /// What takes offload requests for the devices.
    const SETUP_TC: SetupTcFn;

    /// The number of the PTP clock that devices of this kind have. Any context.
    fn ptp_clock() -> Option<i32>;

    /// The user switches `hw-tc-offload` on or off. RTNL held.
    fn set_hw_tc_offload(dev: &NetDevice, on: bool, rtnl: &Rtnl) -> Result;
}

/// The state of a device's link, in the device's private area.
///
/// RTNL guards it: the kernel opens, stops and configures devices under RTNL.
struct Link {
    /// Whether there is a carrier when the device is up.
    carrier: bool,
    /// Mbit/s.
    speed: u32,
    /// `DUPLEX_HALF` or `DUPLEX_FULL`.
    duplex: u8,
}

impl Link {
    /// # Safety
    ///
    /// `dev` must have been set up by [`VTable::setup`], and the caller hold RTNL, or be the only
    /// one who knows `dev`, for as long as the reference is used.
    unsafe fn of<'a>(dev: *mut bindings::net_device) -> &'a mut Self {
        // SAFETY: The registration asks for a private area of this size, which is aligned for
        // anything and lives as long as the device; by the requirements of this function nobody
        // else uses it meanwhile.
        unsafe { &mut *bindings::ekho_helper_netdev_priv(dev).cast() }
    }
}

/// The operations of devices of kind `T`.
struct VTable<T>(PhantomData<T>);

impl<T: LinkDriver> VTable<T> {
    const NETDEV_OPS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(Self::init),
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_setup_tc: Some(T::SETUP_TC.as_raw()),
        ndo_set_features: Some(Self::set_features),
        ndo_set_rx_mode_async: Some(Self::set_rx_mode),
        ndo_change_carrier: Some(Self::change_carrier),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ..pin_init::zeroed()
    };

    const ETHTOOL_OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        get_link: Some(bindings::ethtool_op_get_link),
        get_link_ksettings: Some(Self::get_link_ksettings),
        set_link_ksettings: Some(Self::set_link_ksettings),
        get_ts_info: Some(Self::get_ts_info),
        get_channels: Some(Self::get_channels),
        set_channels: Some(Self::set_channels),
        ..pin_init::zeroed()
    };

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
            let flags = &mut (*dev).__bindgen_anon_1.__bindgen_anon_1;
            flags.set_lltx(1);
            // The address of a device that is up can change: see `eth_mac_addr()`.
            flags.set_priv_flags(
                flags.priv_flags() | bindings::netdev_priv_flags_IFF_LIVE_ADDR_CHANGE as usize,
            );
            (*dev).features |= FEATURES;
            (*dev).hw_features |= FEATURES;
            (*dev).max_mtu = bindings::EKHO_CONST_ETH_MAX_MTU;
            bindings::ekho_helper_dev_hw_addr_random(dev);
            *Link::of(dev) = Link {
                carrier: true,
                speed: T::SPEED,
                duplex: bindings::DUPLEX_FULL as u8,
            };
            // None before it is up.
            bindings::netif_carrier_off(dev);
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

    /// # Safety
    ///
    /// To be called as `ndo_open`.
    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held.
        unsafe {
            if Link::of(dev).carrier {
                bindings::netif_carrier_on(dev);
            }
        }
        0
    }

    /// # Safety
    ///
    /// To be called as `ndo_stop`.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: `dev` is registered.
        unsafe { bindings::netif_carrier_off(dev) };
        0
    }

    /// `ip link set DEV carrier on|off`. The state is kept when the device goes down and up again.
    ///
    /// # Safety
    ///
    /// To be called as `ndo_change_carrier`.
    unsafe extern "C" fn change_carrier(dev: *mut bindings::net_device, on: bool) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held.
        unsafe {
            Link::of(dev).carrier = on;
            if on && bindings::ekho_helper_netif_running(dev) {
                bindings::netif_carrier_on(dev);
            } else {
                bindings::netif_carrier_off(dev);
            }
        }
        0
    }

    /// The device receives whatever arrives: there is no filter to set.
    ///
    /// # Safety
    ///
    /// To be called as `ndo_set_rx_mode_async`.
    unsafe extern "C" fn set_rx_mode(
        _dev: *mut bindings::net_device,
        _unicast: *mut bindings::netdev_hw_addr_list,
        _multicast: *mut bindings::netdev_hw_addr_list,
    ) -> c_int {
        0
    }

    /// # Safety
    ///
    /// To be called as `ethtool_ops::get_link_ksettings`.
    unsafe extern "C" fn get_link_ksettings(
        dev: *mut bindings::net_device,
        settings: *mut bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held; `settings` is the callee's to fill in.
        unsafe {
            let link = Link::of(dev);
            (*settings).base.speed = link.speed;
            (*settings).base.duplex = link.duplex;
            (*settings).base.port = bindings::PORT_OTHER as u8;
        }
        0
    }

    /// Takes a speed and a duplex, and nothing else.
    ///
    /// # Safety
    ///
    /// To be called as `ethtool_ops::set_link_ksettings`.
    unsafe extern "C" fn set_link_ksettings(
        dev: *mut bindings::net_device,
        settings: *const bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held; `settings` is valid for the call.
        unsafe {
            let link = Link::of(dev);
            let result = bindings::ethtool_virtdev_set_link_ksettings(
                dev,
                settings,
                &mut link.speed,
                &mut link.duplex,
            );
            // A NIC's carrier would go and come; bonds look at the speed again when told.
            if result == 0 {
                bindings::netdev_state_change(dev);
            }
            result
        }
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
        // SAFETY: `dev` is registered, and RTNL held; `channels` is valid for the call. The core
        // has checked the numbers.
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
        let result = unsafe { with_rtnl_held(|rtnl| T::set_hw_tc_offload(dev, on, rtnl)) };
        from_result(|| result.map(|()| 0))
    }
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
                    priv_size: size_of::<Link>(),
                    validate: Some(VTable::<T>::validate),
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
