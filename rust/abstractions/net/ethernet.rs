// SPDX-License-Identifier: GPL-2.0-only

//! Ethernet devices of a driver.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)
//!
//! ```text
//!  setup ──▶ registered ──▶ open ⇄ stop ──▶ unregistered ──▶ freed
//!            new_port                       uninit           Port dropped
//! ```
//!
//! Who registers a device is either `ip link add` ([`rtnl_link`](super::rtnl_link)), or the driver of
//! a device with several ports ([`devlink`](super::devlink)).
//!
//! There is no PHY to negotiate with: speed and duplex are what the user sets ([`Link`]), so that
//! whatever uses the device as its lower one (bond, team, bridge, macvlan …) sees a NIC.

use crate::{
    abstractions::{
        bottom_half::BottomHalf,
        error::eopnotsupp,
        net::{
            namespace::Net,
            net_device::{
                with_rtnl_held,
                DevName,
                NetDevice,
                Rtnl,
                RtnlGuard,
                SetupTc,
                SetupTcFn, //
            },
            sk_buff::SkBuff, //
        },
    },
    bindings, //
};
use core::{
    ffi::c_int,
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    cpu::nr_cpu_ids,
    error::{
        from_result,
        to_result, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::{
        aref::AlwaysRefCounted,
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow, //
    },
    types::Opaque, //
};

/// A network device of a driver of this kind.
///
/// # Invariants
///
/// It was set up here and is past `init`: it has the statistics that `init` selects until it is
/// freed.
#[repr(transparent)]
pub(crate) struct EthernetDevice(NetDevice);

// SAFETY: The same count as that of the `NetDevice`.
unsafe impl AlwaysRefCounted for EthernetDevice {
    fn inc_ref(&self) {
        self.0.inc_ref();
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that it had; `Self` is a transparent wrapper.
        unsafe { NetDevice::dec_ref(obj.cast()) };
    }
}

impl Deref for EthernetDevice {
    type Target = NetDevice;

    #[inline]
    fn deref(&self) -> &NetDevice {
        &self.0
    }
}

impl EthernetDevice {
    /// # Safety
    ///
    /// `dev` must have been set up by [`setup`], be past [`VTable::init`], and not be freed for `'a`.
    #[inline]
    unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // INVARIANT: By the requirements of this function.
        // SAFETY: As above; `Self` is a transparent wrapper of a transparent wrapper.
        unsafe { &*dev.cast_const().cast() }
    }

    /// Counts a packet of this length as transmitted.
    #[inline]
    pub(crate) fn count_transmitted(&self, len: u32, _bh: &BottomHalf) {
        // SAFETY: By the type invariants; bottom halves are off.
        unsafe { bindings::ekho_helper_dev_dstats_tx(self.as_raw(), len) };
    }

    /// Counts packets as received.
    #[inline]
    pub(crate) fn count_received(&self, packets: usize, bytes: usize, _bh: &BottomHalf) {
        // SAFETY: As above.
        unsafe { bindings::ekho_helper_dev_dstats_rx(self.as_raw(), packets, bytes) };
    }

    /// Counts a packet as not transmitted.
    pub(crate) fn count_not_transmitted(&self, _bh: &BottomHalf) {
        // SAFETY: As above.
        unsafe { bindings::ekho_helper_dev_dstats_tx_dropped(self.as_raw()) };
    }

    /// Counts a packet as lost at reception.
    pub(crate) fn count_not_received(&self, _bh: &BottomHalf) {
        // SAFETY: As above.
        unsafe { bindings::ekho_helper_dev_dstats_rx_dropped(self.as_raw()) };
    }
}

/// The driver of Ethernet devices.
pub(crate) trait EthernetDriver: 'static {
    /// The name that `ethtool -i` shows.
    const NAME: &'static CStr;

    /// The speed of a new device in Mbit/s, one of those in `ethtool.h`.
    const SPEED: u32;

    /// What takes offload requests for the devices, which no other driver has.
    const SETUP_TC: SetupTcFn;

    /// What a device is to its driver, from when it is registered until it is freed.
    type Port: Send + Sync + 'static;

    /// What a port of a device with several is told of that.
    type Slot: Send + 'static;

    /// The device is being registered, as a port of a device with several if there is a slot. RTNL
    /// held.
    fn new_port(dev: &NetDevice, slot: Option<Self::Slot>) -> Result<Arc<Self::Port>>;

    /// The device is set up, and gets packets to transmit once there is a carrier. RTNL held.
    fn open(port: ArcBorrow<'_, Self::Port>, dev: &EthernetDevice, rtnl: &Rtnl) -> Result;

    /// The device is set down. None of its [`Napi`](super::napi::Napi) may be left when this
    /// returns, as the device waits for them when it is unregistered. RTNL held.
    fn stop(port: &Self::Port, dev: &EthernetDevice, rtnl: &Rtnl);

    /// The device is being unregistered: it is down, and nothing else will be asked of it. RTNL held.
    fn uninit(port: &Self::Port, dev: &EthernetDevice, rtnl: &Rtnl);

    /// The user has the device lose its carrier, or have one again if it can. RTNL held.
    fn change_carrier(port: &Self::Port, dev: &EthernetDevice, on: bool, rtnl: &Rtnl);

    /// A frame is to be transmitted; it begins with its Ethernet header. Several at a time on
    /// different CPUs.
    fn transmit(port: &Self::Port, dev: &EthernetDevice, skb: SkBuff, bh: &BottomHalf);

    /// Calls `f` with the name of each figure of `ethtool -S`. RTNL held.
    fn figure_names(port: &Self::Port, dev: &EthernetDevice, f: &mut dyn FnMut(fmt::Arguments<'_>));

    /// Calls `f` with each of these figures, in the same order. RTNL held.
    fn figures(port: &Self::Port, dev: &EthernetDevice, f: &mut dyn FnMut(u64));

    /// The number of the PTP clock that the devices have. Any context.
    fn ptp_clock() -> Option<i32>;

    /// The user switches `hw-tc-offload` on or off. RTNL held.
    fn set_hw_tc_offload(dev: &NetDevice, on: bool, rtnl: &Rtnl) -> Result;
}

/// The port of a device of the driver `T`; none of a device of another driver, or before it is
/// registered.
pub(crate) fn port_of<T: EthernetDriver>(dev: &NetDevice) -> Option<Arc<T::Port>> {
    if dev.setup_tc() != SetupTc::Driver(T::SETUP_TC.address()) {
        return None;
    }
    // SAFETY: A device with this `ndo_setup_tc` was set up here.
    let port = unsafe { &(*Private::<T>::of(dev.as_raw())).port }.load(Acquire);
    // SAFETY: Null, or from `Arc::into_raw`, and kept until the device is freed.
    NonNull::new(port).map(|port| unsafe { ArcBorrow::from_raw(port.as_ptr()) }.into())
}

/// The same without a reference, together with the device.
#[inline]
pub(crate) fn port_with_device<T: EthernetDriver>(
    dev: &NetDevice,
) -> Option<(&T::Port, &EthernetDevice)> {
    if dev.setup_tc() != SetupTc::Driver(T::SETUP_TC.address()) {
        return None;
    }
    // SAFETY: A device with this `ndo_setup_tc` was set up here. The port is null, or kept until the
    // device is freed; it is set by `init`.
    unsafe {
        let port = (*Private::<T>::of(dev.as_raw()))
            .port
            .load(Acquire)
            .as_ref()?;
        Some((port, EthernetDevice::from_raw(dev.as_raw())))
    }
}

/// The private area of a device.
struct Private<T: EthernetDriver> {
    link: Link,
    /// From [`Arc::into_raw`], or null while the device isn't registered.
    port: Atomic<*mut T::Port>,
    /// Set and taken before the device is registered.
    slot: Option<T::Slot>,
}

impl<T: EthernetDriver> Private<T> {
    /// # Safety
    ///
    /// `dev` must have been set up by [`VTable::setup`].
    #[inline]
    unsafe fn of(dev: *mut bindings::net_device) -> *mut Self {
        // SAFETY: By the requirements of this function.
        unsafe { bindings::ekho_helper_netdev_priv(dev).cast() }
    }
}

/// What a device is allocated with.
pub(super) const fn private_size<T: EthernetDriver>() -> usize {
    size_of::<Private<T>>()
}

/// The state of a device's link, in the device's private area.
///
/// RTNL guards it: the kernel opens, stops and configures devices under RTNL.
struct Link {
    /// Mbit/s.
    speed: u32,
    /// `DUPLEX_HALF` or `DUPLEX_FULL`.
    duplex: u8,
}

impl Link {
    /// # Safety
    ///
    /// `dev` must have been set up by [`VTable::<T>::setup`], and the caller hold RTNL, or be the only
    /// one who knows `dev`, for as long as the reference is used.
    unsafe fn of<'a, T: EthernetDriver>(dev: *mut bindings::net_device) -> &'a mut Self {
        // SAFETY: The area is aligned for anything and lives as long as the device; by the
        // requirements of this function nobody else uses this part of it meanwhile.
        unsafe { &mut (*Private::<T>::of(dev)).link }
    }
}

/// The operations of the devices of `T`.
struct VTable<T>(PhantomData<T>);

impl<T: EthernetDriver> VTable<T> {
    const NETDEV_OPS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(Self::init),
        ndo_uninit: Some(Self::uninit),
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_setup_tc: Some(T::SETUP_TC.as_raw()),
        ndo_features_check: Some(bindings::passthru_features_check),
        ndo_set_features: Some(Self::set_features),
        ndo_set_rx_mode_async: Some(Self::set_rx_mode),
        ndo_change_carrier: Some(Self::change_carrier),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ..pin_init::zeroed()
    };

    const ETHTOOL_OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        get_drvinfo: Some(Self::get_drvinfo),
        get_link: Some(bindings::ethtool_op_get_link),
        get_sset_count: Some(Self::get_sset_count),
        get_strings: Some(Self::get_strings),
        get_ethtool_stats: Some(Self::get_ethtool_stats),
        get_link_ksettings: Some(Self::get_link_ksettings),
        set_link_ksettings: Some(Self::set_link_ksettings),
        get_ts_info: Some(Self::get_ts_info),
        get_channels: Some(Self::get_channels),
        set_channels: Some(Self::set_channels),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called as `ndo_init`.
    unsafe extern "C" fn init(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: `dev` is being registered; the core allocates the statistics that this selects.
        unsafe {
            (*dev).set_pcpu_stat_type(bindings::netdev_stat_type_NETDEV_PCPU_STAT_DSTATS);
            bindings::ekho_helper_dev_lockdep_set_classes(dev);
        }
        // SAFETY: `dev` is alive for the length of the call.
        let device = unsafe { NetDevice::from_raw(dev) };
        from_result(|| {
            // SAFETY: As above; nobody else uses it.
            let slot = unsafe { (*Private::<T>::of(dev)).slot.take() };
            let port = Arc::into_raw(T::new_port(device, slot)?).cast_mut();
            // SAFETY: Set up here.
            unsafe { &(*Private::<T>::of(dev)).port }.store(port, Release);
            Ok(0)
        })
    }

    /// The kernel calls it after all else, also if a registration fails after `init`.
    ///
    /// # Safety
    ///
    /// To be called as `net_device::priv_destructor`, once.
    unsafe extern "C" fn destruct(dev: *mut bindings::net_device) {
        // SAFETY: Set up here, and used by nobody else any more.
        let port = unsafe { &(*Private::<T>::of(dev)).port }.xchg(ptr::null_mut(), Full);
        if !port.is_null() {
            // SAFETY: From `Arc::into_raw`.
            drop(unsafe { Arc::from_raw(port) });
        }
    }

    /// What callbacks of a device that is registered, or being so, work with.
    ///
    /// # Safety
    ///
    /// To be called in a callback of `dev` that comes after `init`, and not after the return of that.
    #[inline]
    unsafe fn parts<'a>(
        dev: *mut bindings::net_device,
    ) -> (ArcBorrow<'a, T::Port>, &'a EthernetDevice) {
        // SAFETY: By the requirements of this function, set by `init`; `destruct` comes later.
        unsafe {
            (
                ArcBorrow::from_raw((*Private::<T>::of(dev)).port.load(Relaxed)),
                EthernetDevice::from_raw(dev),
            )
        }
    }

    /// # Safety
    ///
    /// To be called as `ndo_uninit`.
    unsafe extern "C" fn uninit(dev: *mut bindings::net_device) {
        // SAFETY: By the requirements of this function. Devices are unregistered under RTNL.
        unsafe {
            let (port, device) = Self::parts(dev);
            with_rtnl_held(|rtnl| T::uninit(&port, device, rtnl));
        }
    }

    /// # Safety
    ///
    /// To be called as `ndo_open`.
    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held.
        from_result(|| unsafe {
            let (port, device) = Self::parts(dev);
            with_rtnl_held(|rtnl| T::open(port, device, rtnl)).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// To be called as `ndo_stop`.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held.
        unsafe {
            let (port, device) = Self::parts(dev);
            with_rtnl_held(|rtnl| T::stop(&port, device, rtnl));
        }
        0
    }

    /// `ip link set DEV carrier on|off`.
    ///
    /// # Safety
    ///
    /// To be called as `ndo_change_carrier`.
    unsafe extern "C" fn change_carrier(dev: *mut bindings::net_device, on: bool) -> c_int {
        // SAFETY: `dev` is registered, and RTNL held.
        unsafe {
            let (port, device) = Self::parts(dev);
            with_rtnl_held(|rtnl| T::change_carrier(&port, device, on, rtnl));
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
            let link = Link::of::<T>(dev);
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
            let link = Link::of::<T>(dev);
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
    /// To be called as `ethtool_ops::get_drvinfo`.
    unsafe extern "C" fn get_drvinfo(
        _dev: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: `info` is the callee's to fill in; it was zeroed.
        let driver = unsafe { &mut (*info).driver };
        let room = driver.len() - 1;
        for (to, from) in driver[..room].iter_mut().zip(T::NAME.to_bytes()) {
            *to = *from;
        }
    }

    /// # Safety
    ///
    /// To be called as `ethtool_ops::get_sset_count`.
    unsafe extern "C" fn get_sset_count(dev: *mut bindings::net_device, set: c_int) -> c_int {
        if set as u32 != bindings::ethtool_stringset_ETH_SS_STATS {
            return eopnotsupp().to_errno();
        }
        let mut n = 0;
        // SAFETY: `dev` is registered, and RTNL held.
        let (port, device) = unsafe { Self::parts(dev) };
        T::figure_names(&port, device, &mut |_| n += 1);
        n
    }

    /// # Safety
    ///
    /// To be called as `ethtool_ops::get_strings`, with room for as many names as
    /// [`Self::get_sset_count`] said under the same RTNL, zeroed.
    unsafe extern "C" fn get_strings(dev: *mut bindings::net_device, set: u32, data: *mut u8) {
        if set != bindings::ethtool_stringset_ETH_SS_STATS {
            return;
        }
        let mut to = data;
        // SAFETY: `dev` is registered, and RTNL held.
        let (port, device) = unsafe { Self::parts(dev) };
        T::figure_names(&port, device, &mut |name| {
            // Without memory a name stays empty: there is no way to fail.
            let name = CString::try_from_fmt(name);
            let name = name.as_ref().map_or(c"", |name| name);
            // SAFETY: There is room for this name, of 32 bytes; it moves on by that.
            unsafe { bindings::ethtool_puts(&mut to, name.as_char_ptr()) };
        });
    }

    /// # Safety
    ///
    /// To be called as `ethtool_ops::get_ethtool_stats`, with room for as many figures as
    /// [`Self::get_sset_count`] said under the same RTNL.
    unsafe extern "C" fn get_ethtool_stats(
        dev: *mut bindings::net_device,
        _stats: *mut bindings::ethtool_stats,
        data: *mut u64,
    ) {
        let mut to = data;
        // SAFETY: `dev` is registered, and RTNL held.
        let (port, device) = unsafe { Self::parts(dev) };
        T::figures(&port, device, &mut |figure| {
            // SAFETY: There is room for this figure.
            unsafe {
                to.write(figure);
                to = to.add(1);
            }
        });
    }

    /// # Safety
    ///
    /// To be called as `ndo_start_xmit`.
    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: `dev` is up, so it was registered.
        let (port, device) = unsafe { Self::parts(dev) };
        // SAFETY: The stack hands over `skb`, which isn't shared, as `setup` says that it must not be;
        // it is never null. Bottom halves are off.
        let (skb, bh) = unsafe {
            let skb = SkBuff::from_raw(NonNull::new_unchecked(skb));
            (skb, BottomHalf::assume())
        };
        T::transmit(&port, device, skb, &bh);
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

/// How many queues a device of a driver has in each direction, unless its user asks for others.
fn queues() -> u32 {
    nr_cpu_ids().clamp(1, 8)
}

/// Registers a device, with a name that no other has in its network namespace. It is the driver's: the
/// user can't delete it, and it goes to the initial namespace when its own ends. Takes RTNL.
///
/// Fails with [`EEXIST`] if there is an interface with the name.
///
/// # Safety
///
/// - `parent` must be registered.
/// - `port` must be registered with devlink until the device was passed to [`unregister`], or this has
///   failed.
pub(super) unsafe fn register<T: EthernetDriver>(
    name: &DevName,
    net: &Net,
    parent: *mut bindings::device,
    port: *mut bindings::devlink_port,
    slot: T::Slot,
) -> Result<NonNull<bindings::net_device>> {
    let size = c_int::try_from(private_size::<T>()).map_err(|_| EINVAL)?;
    // SAFETY: The name is terminated: `DevName` is padded. `setup` gets a private area of its size.
    let dev = unsafe {
        bindings::alloc_netdev_mqs(
            size,
            name.bytes().as_ptr().cast(),
            bindings::NET_NAME_PREDICTABLE as u8,
            Some(setup::<T>),
            queues(),
            queues(),
        )
    };
    let dev = NonNull::new(dev).ok_or(ENOMEM)?;
    // SAFETY: Set up by `setup`; nobody else knows the device until it is registered.
    unsafe { (*Private::<T>::of(dev.as_ptr())).slot = Some(slot) };
    let rtnl = RtnlGuard::lock();
    // SAFETY: Just allocated; parent and port are there for as long as the device is registered, by
    // the requirements of this function.
    let result = to_result(unsafe {
        bindings::ekho_helper_dev_net_set(dev.as_ptr(), net.as_raw());
        (*dev.as_ptr()).dev.parent = parent;
        (*dev.as_ptr()).devlink_port = port;
        bindings::register_netdevice(dev.as_ptr())
    });
    if let Err(error) = result {
        // SAFETY: It isn't registered, and known to nobody else. If it has been for a moment it is
        // freed when RTNL is released. Nothing drops what is private.
        unsafe {
            drop((*Private::<T>::of(dev.as_ptr())).slot.take());
            bindings::free_netdev(dev.as_ptr());
        }
        drop(rtnl);
        return Err(error);
    }
    Ok(dev)
}

/// Unregisters devices, in this order, and frees them once nobody refers to them. Takes RTNL.
///
/// # Safety
///
/// The devices must come from [`register`], and not be used by the caller afterwards.
pub(super) unsafe fn unregister(devices: impl Iterator<Item = NonNull<bindings::net_device>>) {
    let list = Opaque::<bindings::list_head>::uninit();
    let rtnl = RtnlGuard::lock();
    // SAFETY: The list stays where it is, and is empty when this returns. The devices are registered:
    // nobody else unregisters those of a driver.
    unsafe {
        bindings::ekho_helper_list_init(list.get());
        for dev in devices {
            bindings::unregister_netdevice_queue(dev.as_ptr(), list.get());
        }
        bindings::unregister_netdevice_many(list.get());
    }
    // Waits until nobody refers to them.
    drop(rtnl);
}

/// Makes a device that was just allocated one of `T`.
///
/// # Safety
///
/// Nobody else must know the device, and its private area have a size of [`private_size`].
pub(super) unsafe extern "C" fn setup<T: EthernetDriver>(dev: *mut bindings::net_device) {
    // What a packet device without hardware can do with packets.
    const FEATURES: u64 = bindings::EKHO_CONST_PORT_FEATURES;

    // SAFETY: By the requirements of this function.
    unsafe {
        bindings::ether_setup(dev);
        (*dev).netdev_ops = &VTable::<T>::NETDEV_OPS;
        (*dev).ethtool_ops = &VTable::<T>::ETHTOOL_OPS;
        (*dev).needs_free_netdev = true;
        (*dev).priv_destructor = Some(VTable::<T>::destruct);
        let flags = &mut (*dev).__bindgen_anon_1.__bindgen_anon_1;
        // Queues have locks of their own, where they need them.
        flags.set_lltx(1);
        // A packet isn't given to anyone else while it is transmitted, as it is changed. There is
        // nothing to wait for, so no qdisc is needed. The address of a device that is up can change:
        // see `eth_mac_addr()`.
        let removed = bindings::netdev_priv_flags_IFF_TX_SKB_SHARING as usize;
        let added = bindings::netdev_priv_flags_IFF_NO_QUEUE
            | bindings::netdev_priv_flags_IFF_LIVE_ADDR_CHANGE
            | bindings::netdev_priv_flags_IFF_DISABLE_NETPOLL;
        flags.set_priv_flags(flags.priv_flags() & !removed | added as usize);
        (*dev).features |= FEATURES;
        (*dev).hw_features |= FEATURES;
        (*dev).hw_enc_features |= bindings::EKHO_CONST_INNER_FEATURES;
        (*dev).vlan_features |= bindings::EKHO_CONST_INNER_FEATURES;
        (*dev).mpls_features |= bindings::EKHO_CONST_MPLS_FEATURES;
        (*dev).max_mtu = bindings::EKHO_CONST_ETH_MAX_MTU;
        bindings::netif_set_tso_max_size(dev, bindings::EKHO_CONST_GSO_MAX_SIZE);
        bindings::ekho_helper_dev_hw_addr_random(dev);
        Private::<T>::of(dev).write(Private {
            link: Link {
                speed: T::SPEED,
                duplex: bindings::DUPLEX_FULL as u8,
            },
            port: Atomic::new(ptr::null_mut()),
            slot: None,
        });
        // None before it is up.
        bindings::netif_carrier_off(dev);
    }
}
