// SPDX-License-Identifier: GPL-2.0-only

//! Devices with several ports, as devlink shows them.
//!
//! C header: [`include/net/devlink.h`](srctree/include/net/devlink.h)
//!
//! ```text
//!  Registration::new ──▶ registered ──▶ start: ports ──▶ stopped ──▶ unregistered ──▶ freed
//!                                          ▲               │
//!                                          └─── reload ────┘
//!                                        (in another namespace, perhaps)
//! ```
//!
//! Each port has an Ethernet device of a driver, which is registered after the port and unregistered
//! before it. The last port goes first. When the network namespace of an instance ends, the kernel
//! reloads it into the initial one.
//!
//! # Locks
//!
//! The lock of the driver core's device → the lock of the instance → RTNL. So nothing that has RTNL,
//! such as the operations of an Ethernet device, may take the lock of an instance.

use super::{
    ethernet::{
        self,
        EthernetDriver, //
    },
    namespace::Net,
    net_device::DevName, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_int,
        c_ulong, //
    },
    prelude::*,
    types::Opaque, //
};

/// The driver of an instance: what its users see of it.
pub(crate) trait DevlinkDriver: Send + Sync + Sized + 'static {
    /// Adds the ports; those that were added are removed again if this fails. Process context, with
    /// the lock of the instance.
    fn start(&self, ports: &mut Ports<'_>) -> Result;

    /// What `devlink dev info` shows, besides the name of the driver. Process context, with the lock
    /// of the instance.
    fn info(&self, info: &mut Info<'_>) -> Result;
}

/// What identifies a device that several ports belong to.
#[derive(Clone, Copy)]
pub(crate) struct SwitchId(pub(crate) [u8; 8]);

/// What `devlink dev info` is to show.
pub(crate) struct Info<'a>(
    *mut bindings::devlink_info_req,
    PhantomData<&'a mut bindings::devlink_info_req>,
);

impl Info<'_> {
    /// The serial number.
    pub(crate) fn serial_number(&mut self, number: &CStr) -> Result {
        // SAFETY: The request is valid; the kernel copies the string.
        to_result(unsafe { bindings::devlink_info_serial_number_put(self.0, number.as_char_ptr()) })
    }

    /// The version of a part that never changes.
    pub(crate) fn fixed(&mut self, part: &CStr, version: &CStr) -> Result {
        // SAFETY: As above.
        to_result(unsafe {
            bindings::devlink_info_version_fixed_put(
                self.0,
                part.as_char_ptr(),
                version.as_char_ptr(),
            )
        })
    }

    /// The version of a part that is in use.
    pub(crate) fn running(&mut self, part: &CStr, version: &CStr) -> Result {
        // SAFETY: As above.
        to_result(unsafe {
            bindings::devlink_info_version_running_put(
                self.0,
                part.as_char_ptr(),
                version.as_char_ptr(),
            )
        })
    }
}

/// A port with its Ethernet device.
///
/// # Invariants
///
/// Both are registered, the device with the port as its own, and the port with an instance whose
/// [`Private`] this is in.
struct Port {
    port: KBox<Opaque<bindings::devlink_port>>,
    dev: NonNull<bindings::net_device>,
}

/// What an instance has to remember; its lock guards the ports.
struct Private<T> {
    driver: T,
    ports: KVec<Port>,
}

impl<T: DevlinkDriver> Private<T> {
    /// # Safety
    ///
    /// `devlink` must be an instance that [`Registration::new`] has made.
    unsafe fn of(devlink: *mut bindings::devlink) -> *mut Self {
        // SAFETY: By the requirements of this function.
        unsafe { bindings::devlink_priv(devlink).cast() }
    }

    /// # Safety
    ///
    /// `devlink` must be an instance that [`Registration::new`] has made, be registered, and its lock
    /// be held.
    unsafe fn start(devlink: *mut bindings::devlink) -> Result {
        // SAFETY: By the requirements of this function. The lock is held, so that nobody else uses
        // the ports.
        let private = unsafe { &mut *Self::of(devlink) };
        let mut ports = Ports {
            devlink,
            ports: &mut private.ports,
        };
        let result = private.driver.start(&mut ports);
        if result.is_err() {
            // SAFETY: As above.
            unsafe { Self::stop(devlink) };
        }
        result
    }

    /// Removes all ports, if there are any.
    ///
    /// # Safety
    ///
    /// As for [`Self::start`].
    unsafe fn stop(devlink: *mut bindings::devlink) {
        // SAFETY: As in `start`.
        let ports = unsafe { &mut (*Self::of(devlink)).ports };
        // SAFETY: They are registered, by the type invariants of `Port`. They stay on the list until
        // they aren't.
        unsafe { ethernet::unregister(ports.iter().rev().map(|port| port.dev)) };
        while let Some(port) = ports.pop() {
            // SAFETY: Registered, by the type invariants; its device isn't any more.
            unsafe { bindings::devl_port_unregister(port.port.get()) };
        }
    }
}

/// The ports of an instance that starts.
///
/// # Invariants
///
/// `devlink` is registered, its lock is held, and `ports` are those in its [`Private`].
pub(crate) struct Ports<'a> {
    devlink: *mut bindings::devlink,
    ports: &'a mut KVec<Port>,
}

impl Ports<'_> {
    /// Adds a physical port with a number that no other has, and an Ethernet device of this name in
    /// the network namespace of the instance. Takes RTNL.
    ///
    /// Fails with [`EEXIST`] if there is an interface with the name.
    pub(crate) fn add<T: EthernetDriver>(
        &mut self,
        number: u32,
        switch: SwitchId,
        name: &DevName,
        slot: T::Slot,
    ) -> Result {
        self.ports.reserve(1, GFP_KERNEL)?;
        let port = KBox::new(Opaque::zeroed(), GFP_KERNEL)?;
        let mut attrs: bindings::devlink_port_attrs = pin_init::zeroed();
        attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PHYSICAL;
        attrs.switch_id.id[..switch.0.len()].copy_from_slice(&switch.0);
        attrs.switch_id.id_len = switch.0.len() as u8;
        attrs.__bindgen_anon_1.phys.port_number = number;
        // SAFETY: The instance is registered and its lock held, by the type invariants. The port is
        // zeroed, and stays where it is until it is unregistered.
        to_result(unsafe {
            bindings::devlink_port_attrs_set(port.get(), &attrs);
            bindings::devl_port_register_with_ops(self.devlink, port.get(), number, ptr::null())
        })?;
        // SAFETY: The instance is alive, and its namespace can't end without its lock.
        let (net, parent) = unsafe {
            (
                Net::from_raw(bindings::devlink_net(self.devlink)),
                bindings::devlink_to_dev(self.devlink),
            )
        };
        // SAFETY: The parent is registered, as the instance is. The port is registered, and stays so
        // until the device isn't any more.
        let dev = unsafe { ethernet::register::<T>(name, net, parent, port.get(), slot) };
        match dev {
            // INVARIANT: Both are registered.
            Ok(dev) => Ok(self.ports.push(Port { port, dev }, GFP_KERNEL)?),
            Err(error) => {
                // SAFETY: Registered above; there is no device of it.
                unsafe { bindings::devl_port_unregister(port.get()) };
                Err(error)
            }
        }
    }
}

/// The operations of instances of `T`.
struct VTable<T>(PhantomData<T>);

impl<T: DevlinkDriver> VTable<T> {
    const RELOAD_ACTIONS: u32 =
        1 << bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_DRIVER_REINIT;

    const OPS: bindings::devlink_ops = bindings::devlink_ops {
        reload_actions: Self::RELOAD_ACTIONS as c_ulong,
        reload_down: Some(Self::reload_down),
        reload_up: Some(Self::reload_up),
        info_get: Some(Self::info_get),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// To be called as `devlink_ops::reload_down`.
    unsafe extern "C" fn reload_down(
        devlink: *mut bindings::devlink,
        _netns_change: bool,
        _action: bindings::devlink_reload_action,
        _limit: bindings::devlink_reload_limit,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the requirements of this function; the lock is held.
        unsafe { Private::<T>::stop(devlink) };
        0
    }

    /// # Safety
    ///
    /// To be called as `devlink_ops::reload_up`.
    unsafe extern "C" fn reload_up(
        devlink: *mut bindings::devlink,
        _action: bindings::devlink_reload_action,
        _limit: bindings::devlink_reload_limit,
        performed: *mut u32,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the requirements of this function; the lock is held.
            unsafe { Private::<T>::start(devlink) }.inspect_err(|error| {
                if *error == EEXIST {
                    // SAFETY: Null, or valid for the call.
                    unsafe { super::netlink::ExtAck::from_raw(extack) }
                        .set(fmt!("the name of a port is that of an interface there"));
                }
            })?;
            // SAFETY: The callee's to fill in.
            unsafe { *performed = Self::RELOAD_ACTIONS };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// To be called as `devlink_ops::info_get`.
    unsafe extern "C" fn info_get(
        devlink: *mut bindings::devlink,
        request: *mut bindings::devlink_info_req,
        _extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: By the requirements of this function. The driver is never changed.
        let driver = unsafe { &(*Private::<T>::of(devlink)).driver };
        from_result(|| driver.info(&mut Info(request, PhantomData)).map(|()| 0))
    }
}

/// A devlink instance, until dropped, which must be in process context without RTNL.
///
/// # Invariants
///
/// The instance is registered, and has a [`Private`].
pub(crate) struct Registration<'bound, T: DevlinkDriver> {
    devlink: NonNull<bindings::devlink>,
    _t: PhantomData<(&'bound Device<Bound>, T)>,
}

// SAFETY: An instance may be unregistered from any thread.
unsafe impl<T: DevlinkDriver> Send for Registration<'_, T> {}
// SAFETY: There is nothing to do with a `&Registration`.
unsafe impl<T: DevlinkDriver> Sync for Registration<'_, T> {}

impl<'bound, T: DevlinkDriver> Registration<'bound, T> {
    /// Makes an instance of a device, in a network namespace, and starts it. Its handle is made of
    /// the names of the device and of its bus.
    ///
    /// Process context, without RTNL.
    pub(crate) fn new(dev: &'bound Device<Bound>, net: &Net, driver: T) -> Result<Self> {
        // What the kernel aligns private areas to, at least.
        const { assert!(align_of::<Private<T>>() <= 32) };
        let dev: *mut bindings::device = ptr::from_ref(dev).cast_mut().cast();
        // SAFETY: The device is bound, so it has a driver, for as long as the instance exists. The
        // namespace is alive.
        let devlink = unsafe {
            bindings::devlink_alloc_ns(
                &VTable::<T>::OPS,
                size_of::<Private<T>>(),
                net.as_raw(),
                dev,
            )
        };
        let devlink = NonNull::new(devlink).ok_or(ENOMEM)?;
        let private = Private {
            driver,
            ports: KVec::new(),
        };
        // SAFETY: The area has the size, and is used by nobody yet.
        unsafe { Private::of(devlink.as_ptr()).write(private) };
        // SAFETY: Just allocated.
        let result = unsafe {
            bindings::devl_lock(devlink.as_ptr());
            bindings::devl_register(devlink.as_ptr());
            let result = Private::<T>::start(devlink.as_ptr());
            bindings::devl_unlock(devlink.as_ptr());
            result
        };
        // INVARIANT: Registered above. If it couldn't start, it is dropped here.
        let this = Self {
            devlink,
            _t: PhantomData,
        };
        result.map(|()| this)
    }
}

impl<T: DevlinkDriver> Drop for Registration<'_, T> {
    fn drop(&mut self) {
        let devlink = self.devlink.as_ptr();
        // SAFETY: Registered, by the type invariants. When it isn't any more, nobody else uses what
        // is private.
        unsafe {
            bindings::devl_lock(devlink);
            Private::<T>::stop(devlink);
            bindings::devl_unregister(devlink);
            bindings::devl_unlock(devlink);
            ptr::drop_in_place(Private::<T>::of(devlink));
            bindings::devlink_free(devlink);
        }
    }
}
