// SPDX-License-Identifier: GPL-2.0-only

//! Network devices, the RTNL lock, and the netdevice notifier chain.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::namespace::Net;
use crate::bindings;
use core::{
    fmt::Write as _,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        rcu::Guard, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// Evidence that this thread holds RTNL, the lock of network configuration.
///
/// # Invariants
///
/// RTNL is held by this thread while the object exists.
pub(crate) struct Rtnl(NotThreadSafe);

/// RTNL, released when dropped.
pub(crate) struct RtnlGuard(Rtnl);

impl RtnlGuard {
    /// Takes RTNL. Process context; outermost of all networking locks.
    pub(crate) fn lock() -> Self {
        // SAFETY: No requirement but process context.
        unsafe { bindings::rtnl_lock() };
        // INVARIANT: Just taken.
        Self(Rtnl(NotThreadSafe))
    }
}

impl core::ops::Deref for RtnlGuard {
    type Target = Rtnl;

    fn deref(&self) -> &Rtnl {
        &self.0
    }
}

impl Drop for RtnlGuard {
    fn drop(&mut self) {
        // SAFETY: Held, by the invariant of `Rtnl`.
        unsafe { bindings::rtnl_unlock() };
    }
}

impl Rtnl {
    /// # Safety
    ///
    /// RTNL must be held by this thread for as long as the object exists.
    unsafe fn assume_held() -> Self {
        // INVARIANT: By the requirements of this function.
        Self(NotThreadSafe)
    }
}

/// The name of a device, terminated by a NUL.
///
/// User space may give a device any bytes for a name but white space, `/`, `:` and NUL, and whoever
/// owns a user namespace may do so. As text (debugfs, extacks, uevents, the kernel's log), what a
/// terminal would obey, what isn't UTF-8 and the backslash are shown as `\xNN` for each byte, so that
/// nothing hides in a name; letters of different scripts can still look alike. [`Self::bytes`] has the
/// name itself, for netlink attributes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DevName([u8; bindings::IFNAMSIZ as usize]);

impl DevName {
    /// How many bytes a name has at most.
    pub(crate) const LEN_MAX: usize = bindings::IFNAMSIZ as usize - 1;

    /// A name that an interface can be given; none if it can't be.
    pub(crate) fn new(name: fmt::Arguments<'_>) -> Option<Self> {
        let name = CString::try_from_fmt(name).ok()?;
        let bytes = name.to_bytes();
        let mut array = [0; bindings::IFNAMSIZ as usize];
        // The kernel puts a number in place of a `%d`.
        if bytes.len() >= array.len() || bytes.contains(&b'%') {
            return None;
        }
        array[..bytes.len()].copy_from_slice(bytes);
        // SAFETY: A string.
        unsafe { bindings::dev_valid_name(name.as_char_ptr()) }.then_some(Self(array))
    }

    /// The bytes of the C array, NUL-padded.
    pub(crate) fn bytes(&self) -> &[u8; bindings::IFNAMSIZ as usize] {
        &self.0
    }
}

impl fmt::Display for DevName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::fmt::Display for DevName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let len = self.0.iter().position(|&c| c == 0).unwrap_or(self.0.len());
        let escape = |f: &mut core::fmt::Formatter<'_>, bytes: &[u8]| -> core::fmt::Result {
            bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        };
        for chunk in self.0[..len].utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_plain(c) {
                    f.write_char(c)?;
                } else {
                    escape(f, c.encode_utf8(&mut [0; 4]).as_bytes())?;
                }
            }
            escape(f, chunk.invalid())?;
        }
        Ok(())
    }
}

/// Whether a terminal shows a character as it is, where it stands, and by itself: a letter or digit of any
/// script, or what else is visible of ASCII. A backslash begins what is escaped.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || c.is_ascii_graphic() && c != '\\'
}

/// A driver's `ndo_setup_tc`.
#[derive(Clone, Copy)]
pub(crate) struct SetupTcFn(RawSetupTc);

/// The type of `net_device_ops::ndo_setup_tc`.
type RawSetupTc =
    unsafe extern "C" fn(*mut bindings::net_device, bindings::tc_setup_type, *mut c_void) -> c_int;

impl SetupTcFn {
    /// # Safety
    ///
    /// `f` must keep the contract of `ndo_setup_tc` for a device of any driver that uses it.
    pub(crate) const unsafe fn from_raw(f: RawSetupTc) -> Self {
        Self(f)
    }

    pub(super) const fn as_raw(self) -> RawSetupTc {
        self.0
    }

    /// Identifies the driver.
    pub(crate) fn address(self) -> usize {
        self.0 as usize
    }
}

/// How a device can be given offload requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetupTc {
    /// Its driver has this `ndo_setup_tc`.
    Driver(usize),
    /// Its driver has none; indirect blocks serve it.
    None,
}

/// A network device: `struct net_device`.
///
/// # Invariants
///
/// A reference points at a device that isn't freed while the reference lives.
#[repr(transparent)]
pub(crate) struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: A `net_device` may be used and let go of from any thread.
unsafe impl Send for NetDevice {}
// SAFETY: Methods on `&self` read single fields that the kernel also reads without a lock.
unsafe impl Sync for NetDevice {}

// SAFETY: The kernel's own reference count is used.
unsafe impl AlwaysRefCounted for NetDevice {
    fn inc_ref(&self) {
        // SAFETY: The device is alive, by the type invariants.
        unsafe { bindings::ekho_helper_dev_hold(self.0.get()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that it had.
        unsafe { bindings::ekho_helper_dev_put(obj.as_ptr().cast()) };
    }
}

impl NetDevice {
    /// # Safety
    ///
    /// `ptr` must point at a device that isn't freed for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::net_device) -> &'a Self {
        // CAST: `Self` is a transparent wrapper.
        // SAFETY: By the requirements of this function.
        unsafe { &*ptr.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// A number that no other device has while this one is alive.
    pub(crate) fn key(&self) -> usize {
        self.as_raw() as usize
    }

    /// Its index in its network namespace.
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: The device is alive; the index changes under RTNL only, and a torn read can't
        // happen to an int.
        unsafe { (&raw const (*self.as_raw()).ifindex).read_volatile() as u32 }
    }

    /// Its name now. A rename under way may show half of each, as it does to the kernel's own
    /// messages.
    pub(crate) fn name(&self) -> DevName {
        // SAFETY: The device is alive, and so is the array in it.
        let name = unsafe { (&raw const (*self.as_raw()).name).read_volatile() };
        DevName(name)
    }

    /// The inode number of its network namespace, as `/proc/PID/ns/net` shows it.
    pub(crate) fn netns(&self) -> u32 {
        // SAFETY: The device is alive.
        unsafe { bindings::ekho_helper_dev_netns(self.as_raw()) }
    }

    /// The cookie of its network namespace: see [`Net::cookie`].
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: The device is alive.
        unsafe { bindings::ekho_helper_dev_netns_cookie(self.as_raw()) }
    }

    /// Its network namespace, for as long as RTNL keeps it there.
    pub(crate) fn net<'a>(&'a self, _rtnl: &'a Rtnl) -> &'a Net {
        // SAFETY: The device is alive; under RTNL it doesn't move to another namespace, and the one
        // that it is in is there until after it has gone.
        unsafe { Net::from_raw(bindings::ekho_helper_dev_net(self.as_raw())) }
    }

    /// Whether `ethtool -k` says `hw-tc-offload: on`.
    pub(crate) fn hw_tc_offload(&self) -> bool {
        self.features() & bindings::EKHO_CONST_NETIF_F_HW_TC != 0
    }

    /// Whether it is registered, and not being unregistered.
    pub(crate) fn is_registered(&self, _rtnl: &Rtnl) -> bool {
        self.is_there()
    }

    /// Who takes its offload requests.
    pub(crate) fn setup_tc(&self) -> SetupTc {
        // SAFETY: The device is alive; its operations are set before it is registered.
        let setup_tc = unsafe { (*(*self.as_raw()).netdev_ops).ndo_setup_tc };
        setup_tc.map_or(SetupTc::None, |f| SetupTc::Driver(f as usize))
    }

    /// Whether the current process may configure the device (`CAP_NET_ADMIN` over its network
    /// namespace).
    pub(crate) fn may_configure(&self, _rtnl: &Rtnl) -> bool {
        // SAFETY: The device is alive; under RTNL it doesn't move to another namespace.
        unsafe { bindings::ekho_helper_dev_net_admin(self.as_raw()) }
    }

    /// How many transmit queues it has.
    pub(crate) fn num_tx_queues(&self) -> u32 {
        // SAFETY: The device is alive; the number never changes.
        unsafe { (*self.as_raw()).num_tx_queues }
    }

    /// How many receive queues it has.
    pub(crate) fn num_rx_queues(&self) -> u32 {
        // SAFETY: As for the transmit queues.
        unsafe { (*self.as_raw()).num_rx_queues }
    }

    /// Whether `upper` is stacked on it, over others or not (VLAN, macvlan, bond, bridge …).
    pub(crate) fn has_upper(&self, upper: &NetDevice, _rtnl: &Rtnl) -> bool {
        // SAFETY: Both devices are alive.
        unsafe { bindings::ekho_helper_dev_is_upper(self.as_raw(), upper.as_raw()) }
    }

    /// Whether it is an Ethernet device.
    pub(crate) fn is_ethernet(&self) -> bool {
        // SAFETY: The device is alive; its type is set before it is registered.
        unsafe { (*self.as_raw()).type_ == bindings::EKHO_CONST_ARPHRD_ETHER }
    }

    /// Whether a frame of this length, from the Ethernet header on, isn't longer than what it
    /// receives: its MTU with that header and a VLAN tag, as `is_skb_forwardable()` has it.
    #[inline]
    pub(crate) fn fits(&self, len: u32) -> bool {
        // SAFETY: The device is alive; the kernel reads these without a lock as well.
        unsafe {
            let mtu = (&raw const (*self.as_raw()).mtu).read_volatile();
            let header = u32::from((*self.as_raw()).hard_header_len) + bindings::VLAN_HLEN;
            len <= mtu.saturating_add(header)
        }
    }

    /// Whether it segments TCP itself.
    #[inline]
    pub(crate) fn has_tso(&self) -> bool {
        self.features() & bindings::EKHO_CONST_NETIF_F_ALL_TSO != 0
    }

    #[inline]
    fn features(&self) -> u64 {
        // SAFETY: The device is alive; the kernel reads its features without a lock as well.
        unsafe { (&raw const (*self.as_raw()).features).read_volatile() }
    }

    /// Whether the user has set it up.
    pub(crate) fn is_running(&self, _rtnl: &Rtnl) -> bool {
        // SAFETY: The device is alive.
        unsafe { bindings::ekho_helper_netif_running(self.as_raw()) }
    }

    /// Whether it is registered, as far as others see.
    pub(crate) fn is_there(&self) -> bool {
        // SAFETY: The device is alive; what an unlocked look sees may have changed since.
        unsafe { (*self.as_raw()).reg_state == bindings::EKHO_CONST_NETREG_REGISTERED }
    }

    /// Whether the user has set it up, as far as others see.
    pub(crate) fn is_up(&self) -> bool {
        // SAFETY: The device is alive; the kernel reads these without a lock as well.
        let flags = unsafe { (&raw const (*self.as_raw()).flags).read_volatile() };
        flags & bindings::EKHO_CONST_IFF_UP != 0
    }

    /// The device with this index in the same network namespace, if there is one. Any context.
    #[inline]
    pub(crate) fn neighbour<'a>(&self, ifindex: u32, _guard: &'a Guard) -> Option<&'a Self> {
        let ifindex = c_int::try_from(ifindex).ok()?;
        // SAFETY: The device is alive, and so is its namespace, as RCU is held, which the lookup needs.
        let dev = unsafe {
            bindings::dev_get_by_index_rcu(bindings::ekho_helper_dev_net(self.as_raw()), ifindex)
        };
        // SAFETY: A device that is found under RCU isn't freed before the guard is dropped.
        (!dev.is_null()).then(|| unsafe { Self::from_raw(dev) })
    }

    /// Whether it has a carrier.
    pub(crate) fn has_carrier(&self) -> bool {
        // SAFETY: The device is alive.
        unsafe { bindings::ekho_helper_netif_carrier_ok(self.as_raw()) }
    }

    /// Its driver says whether it has a carrier.
    pub(crate) fn set_carrier(&self, on: bool, _rtnl: &Rtnl) {
        // SAFETY: The device is alive, and registered or being so.
        unsafe {
            if on {
                bindings::netif_carrier_on(self.as_raw());
            } else {
                bindings::netif_carrier_off(self.as_raw());
            }
        }
    }

    /// Finds a device by name in the network namespace of the current process.
    pub(crate) fn by_name(name: &CStr, _rtnl: &Rtnl) -> Option<ARef<Self>> {
        // SAFETY: As for `by_ifindex`; the name is a string.
        let dev = unsafe {
            bindings::__dev_get_by_name(bindings::ekho_helper_current_net(), name.as_char_ptr())
        };
        // SAFETY: As for `by_ifindex`.
        (!dev.is_null()).then(|| unsafe { Self::from_raw(dev) }.into())
    }

    /// Whether a network namespace has an interface with this name.
    pub(crate) fn is_name_taken(net: &Net, name: &DevName, _rtnl: &Rtnl) -> bool {
        // SAFETY: The namespace is alive; RTNL is held, as the lookup needs. The name is terminated.
        unsafe {
            !bindings::__dev_get_by_name(net.as_raw(), name.bytes().as_ptr().cast()).is_null()
        }
    }

    /// Finds a device by index in the network namespace of the current process.
    pub(crate) fn by_ifindex(ifindex: u32, rtnl: &Rtnl) -> Option<ARef<Self>> {
        // SAFETY: The current process has a network namespace for as long as it runs.
        let net = unsafe { Net::from_raw(bindings::ekho_helper_current_net()) };
        Self::by_ifindex_in(net, ifindex, rtnl)
    }

    /// Finds a device by index in a network namespace.
    pub(crate) fn by_ifindex_in(net: &Net, ifindex: u32, _rtnl: &Rtnl) -> Option<ARef<Self>> {
        let ifindex = c_int::try_from(ifindex).ok()?;
        // SAFETY: The namespace is alive; RTNL is held, as the lookup needs.
        let dev = unsafe { bindings::__dev_get_by_index(net.as_raw(), ifindex) };
        // SAFETY: A device that is found under RTNL is alive for as long as RTNL is held.
        (!dev.is_null()).then(|| unsafe { Self::from_raw(dev) }.into())
    }
}

/// What happened to a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was registered, or has moved to this network namespace.
    Register,
    /// It moves to another network namespace, or is unregistered, in which case
    /// [`NetDevice::is_registered`] is false. Its qdiscs are gone.
    Unregister,
    /// Its name has changed.
    Rename,
    /// Its features have changed.
    Change,
    /// It was set up or down, or its carrier has come or gone.
    Link,
}

/// Receives [`Event`]s.
pub(crate) trait Watcher: 'static {
    /// Called under RTNL for devices of all network namespaces.
    ///
    /// An error keeps a new device from being registered, and means nothing otherwise.
    fn event(event: Event, dev: &NetDevice, rtnl: &Rtnl) -> Result;
}

/// Keeps a [`Watcher`] on the notifier chain until dropped.
///
/// # Invariants
///
/// `block` is on the netdevice notifier chain.
#[pin_data(PinnedDrop)]
pub(crate) struct Watch<T: Watcher> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    _t: PhantomData<T>,
}

// SAFETY: The chain may be left from any thread.
unsafe impl<T: Watcher> Send for Watch<T> {}
// SAFETY: There is nothing to do with a `&Watch`.
unsafe impl<T: Watcher> Sync for Watch<T> {}

impl<T: Watcher> Watch<T> {
    /// Joins the chain; [`Event::Register`] is replayed for the devices that exist. Process
    /// context, takes RTNL.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: On the chain if registration succeeds.
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    // After nftables, which unbinds from a device that goes.
                    priority: c_int::MIN,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes, and pinned until `drop`.
                unsafe { slot.write(block) };
                // SAFETY: Just initialised.
                to_result(unsafe { bindings::register_netdevice_notifier(slot) })
            }),
            _t: PhantomData,
        })
    }

    /// # Safety
    ///
    /// To be called by the netdevice notifier chain.
    unsafe extern "C" fn call(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        info: *mut c_void,
    ) -> c_int {
        let event = match event as bindings::netdev_cmd {
            bindings::netdev_cmd_NETDEV_REGISTER => Event::Register,
            bindings::netdev_cmd_NETDEV_UNREGISTER => Event::Unregister,
            bindings::netdev_cmd_NETDEV_CHANGENAME => Event::Rename,
            bindings::netdev_cmd_NETDEV_FEAT_CHANGE => Event::Change,
            bindings::netdev_cmd_NETDEV_UP
            | bindings::netdev_cmd_NETDEV_DOWN
            | bindings::netdev_cmd_NETDEV_CHANGE => Event::Link,
            _ => return 0,
        };
        // SAFETY: `info` is a `struct netdev_notifier_info` on this chain, and its device is alive
        // for the length of the call.
        let dev = unsafe { NetDevice::from_raw(bindings::ekho_helper_notifier_dev(info)) };
        // SAFETY: These events are sent under RTNL.
        let rtnl = unsafe { Rtnl::assume_held() };
        let errno = match T::event(event, dev, &rtnl) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        };
        // SAFETY: Takes any error code.
        unsafe { bindings::ekho_helper_notifier_from_errno(errno) }
    }
}

#[pinned_drop]
impl<T: Watcher> PinnedDrop for Watch<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: On the chain, by the type invariants. Replays `NETDEV_UNREGISTER` for the
        // devices that exist, and returns once no call is under way.
        unsafe { bindings::unregister_netdevice_notifier(self.block.get()) };
    }
}

/// # Safety
///
/// RTNL must be held by this thread throughout `f`.
pub(crate) unsafe fn with_rtnl_held<R>(f: impl FnOnce(&Rtnl) -> R) -> R {
    // SAFETY: By the requirements of this function.
    f(&unsafe { Rtnl::assume_held() })
}
