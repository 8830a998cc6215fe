// SPDX-License-Identifier: GPL-2.0-only

//! Buses whose devices are made by the only driver that there is for them.
//!
//! C headers: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h),
//! [`include/linux/device/driver.h`](srctree/include/linux/device/driver.h)
//!
//! ```text
//!  Registration::new ──▶ device_add ──▶ probe: bound ──▶ device_del ──▶ remove: Data dropped
//!                                                        (Registration dropped)
//!                                                             └──▶ release, after the last reference
//! ```
//!
//! A device is bound as long as it is registered: user space can neither unbind it nor bind another
//! driver.
//!
//! # Locks
//!
//! `probe`, and the drop of what it made, have the device's lock. The files `new_device` and
//! `del_device` of the bus are used without any.

use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem,
    ptr,
    slice, //
};
use kernel::{
    container_of,
    device::{
        Bound,
        Device, //
    },
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Completion, //
    },
    types::Opaque, //
};

/// The driver of a bus.
pub(crate) trait BusDriver: 'static {
    /// The name of the bus, and of the driver.
    const NAME: &'static CStr;

    /// What a device is made from.
    type Config: Send;

    /// What is there while a device is bound.
    type Data<'bound>: Send + 'bound;

    /// A device is being bound. Process context.
    fn probe<'bound>(
        dev: &'bound Device<Bound>,
        config: Self::Config,
    ) -> Result<Self::Data<'bound>>;

    /// Something was written to the bus's file `new_device`, which only root may. Process context.
    fn new_device(text: &[u8]) -> Result;

    /// Something was written to `del_device`.
    fn del_device(text: &[u8]) -> Result;
}

/// Counts devices that aren't freed yet, and the bus itself.
#[pin_data]
struct Unreleased {
    count: Atomic<u32>,
    #[pin]
    none: Completion,
}

impl Unreleased {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            count: Atomic::new(1),
            none <- Completion::new(),
        })
    }

    fn one_less(&self) {
        if self.count.fetch_add(u32::MAX, Full) == 1 {
            self.none.complete_all();
        }
    }
}

/// Waits until all devices are freed when it is dropped: references to them are held by others, and
/// the last one calls back into this module.
struct Releases(Arc<Unreleased>);

impl Drop for Releases {
    fn drop(&mut self) {
        self.0.one_less();
        self.0.none.wait_for_completion();
        // Who has freed the last one may have been preempted before its last instruction.
        // SAFETY: Process context.
        unsafe { bindings::ekho_helper_synchronize_rcu_tasks() };
    }
}

/// The operations of the bus of `T`.
struct VTable<T>(PhantomData<T>);

impl<T: BusDriver> VTable<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "`as_char_ptr` isn't a const function"
    )]
    const fn write_only(
        name: &'static CStr,
        store: unsafe extern "C" fn(*const bindings::bus_type, *const c_char, usize) -> isize,
    ) -> bindings::bus_attribute {
        // It has more fields in kernels with lockdep.
        let mut attr: bindings::attribute = pin_init::zeroed();
        attr.name = name.as_ptr().cast();
        attr.mode = 0o200;
        bindings::bus_attribute {
            attr,
            show: None,
            store: Some(store),
        }
    }

    const NEW_DEVICE: bindings::bus_attribute = Self::write_only(c"new_device", Self::new_device);
    const DEL_DEVICE: bindings::bus_attribute = Self::write_only(c"del_device", Self::del_device);

    /// # Safety
    ///
    /// To be called as `bus_attribute::store`.
    unsafe extern "C" fn new_device(
        _bus: *const bindings::bus_type,
        text: *const c_char,
        len: usize,
    ) -> isize {
        // SAFETY: By the requirements of this function.
        unsafe { Self::store(text, len, T::new_device) }
    }

    /// # Safety
    ///
    /// To be called as `bus_attribute::store`.
    unsafe extern "C" fn del_device(
        _bus: *const bindings::bus_type,
        text: *const c_char,
        len: usize,
    ) -> isize {
        // SAFETY: By the requirements of this function.
        unsafe { Self::store(text, len, T::del_device) }
    }

    /// # Safety
    ///
    /// `text` must have `len` bytes.
    unsafe fn store(text: *const c_char, len: usize, f: fn(&[u8]) -> Result) -> isize {
        // SAFETY: By the requirements of this function.
        match f(unsafe { slice::from_raw_parts(text.cast(), len) }) {
            Ok(()) => len as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// To be called as `device_driver::probe` of a device of the bus.
    unsafe extern "C" fn probe(dev: *mut bindings::device) -> c_int {
        // SAFETY: All devices of the bus are made by `Registration`. The driver core holds the
        // device's lock, which guards the state.
        let state = unsafe { (*Inner::<T>::of(dev)).state.get() };
        // SAFETY: As above.
        if !matches!(unsafe { &*state }, State::New(_)) {
            // It was tried before. Nothing is written then: see `Registration::new`.
            return ENODEV.to_errno();
        }
        // SAFETY: As above. Nobody else looks before it was tried.
        let state = unsafe { &mut *state };
        let State::New(config) = mem::replace(state, State::Unbound(ENODEV)) else {
            return ENODEV.to_errno();
        };
        // SAFETY: The device is bound until `remove` returns, which drops what is made here.
        let device = unsafe { Device::<Bound>::from_raw(dev.cast()) };
        from_result(|| match T::probe(device, config) {
            Ok(data) => {
                *state = State::Bound(data);
                Ok(0)
            }
            Err(error) => {
                *state = State::Unbound(error);
                Err(error)
            }
        })
    }

    /// # Safety
    ///
    /// To be called as `device_driver::remove` of a device of the bus.
    unsafe extern "C" fn remove(dev: *mut bindings::device) -> c_int {
        // SAFETY: As in `probe`.
        let state = unsafe { &mut *(*Inner::<T>::of(dev)).state.get() };
        drop(mem::replace(state, State::Unbound(ENODEV)));
        0
    }

    /// # Safety
    ///
    /// To be called as `device::release` of a device of the bus.
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        // SAFETY: The device is in a box that `Registration` has given away; nobody uses it any more.
        let inner = unsafe { KBox::from_raw(Inner::<T>::of(dev)) };
        let unreleased = inner.unreleased.clone();
        drop(inner);
        unreleased.one_less();
    }
}

/// A bus that is registered.
struct BusType<T> {
    bus: Arc<Opaque<bindings::bus_type>>,
    _t: PhantomData<T>,
}

impl<T: BusDriver> BusType<T> {
    fn new() -> Result<Self> {
        let bus = bindings::bus_type {
            name: T::NAME.as_char_ptr(),
            ..pin_init::zeroed()
        };
        let bus = Arc::new(Opaque::new(bus), GFP_KERNEL)?;
        // SAFETY: Initialised above; it stays where it is until `drop`.
        to_result(unsafe { bindings::bus_register(bus.get()) })?;
        Ok(Self {
            bus,
            _t: PhantomData,
        })
    }
}

impl<T> Drop for BusType<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by `new`.
        unsafe { bindings::bus_unregister(self.bus.get()) };
    }
}

/// A driver that is registered.
struct Driver(Arc<Opaque<bindings::device_driver>>);

impl Driver {
    /// # Safety
    ///
    /// The bus must be registered for longer than what this returns exists.
    unsafe fn new<T: BusDriver>(
        bus: *const bindings::bus_type,
        module: &'static ThisModule,
    ) -> Result<Self> {
        let driver = bindings::device_driver {
            name: T::NAME.as_char_ptr(),
            bus,
            owner: module.as_ptr().cast(),
            suppress_bind_attrs: true,
            probe_type: bindings::probe_type_PROBE_FORCE_SYNCHRONOUS,
            probe: Some(VTable::<T>::probe),
            remove: Some(VTable::<T>::remove),
            ..pin_init::zeroed()
        };
        let driver = Arc::new(Opaque::new(driver), GFP_KERNEL)?;
        // SAFETY: Initialised above; it stays where it is until `drop`.
        to_result(unsafe { bindings::driver_register(driver.get()) })?;
        Ok(Self(driver))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: Registered by `new`.
        unsafe { bindings::driver_unregister(self.0.get()) };
    }
}

/// Files of a bus.
struct Files<T: BusDriver>(*const bindings::bus_type, PhantomData<T>);

impl<T: BusDriver> Files<T> {
    const ALL: [&'static bindings::bus_attribute; 2] =
        [&VTable::<T>::NEW_DEVICE, &VTable::<T>::DEL_DEVICE];

    /// # Safety
    ///
    /// The bus must be registered for longer than what this returns exists.
    unsafe fn new(bus: *const bindings::bus_type) -> Result<Self> {
        let files = Self(bus, PhantomData);
        for file in Self::ALL {
            // The bus doesn't change it.
            // SAFETY: The bus is registered. `drop` removes also those that aren't there.
            to_result(unsafe { bindings::bus_create_file(bus, ptr::from_ref(file).cast_mut()) })?;
        }
        Ok(files)
    }
}

impl<T: BusDriver> Drop for Files<T> {
    fn drop(&mut self) {
        for file in Self::ALL {
            // Waits for who uses the file.
            // SAFETY: The bus is registered, by the requirements of `new`.
            unsafe { bindings::bus_remove_file(self.0, ptr::from_ref(file).cast_mut()) };
        }
    }
}

/// A bus with its driver. Dropped in process context, without a lock that
/// [`BusDriver::new_device`] takes; it waits for who uses the files of the bus.
///
/// Fields are dropped in this order.
pub(crate) struct Bus<T: BusDriver> {
    _files: Files<T>,
    driver: Driver,
    bus: BusType<T>,
    releases: Releases,
    /// Devices that aren't freed yet lead to the names of bus and driver, which devlink reads without
    /// a lock.
    _memory: (
        Arc<Opaque<bindings::bus_type>>,
        Arc<Opaque<bindings::device_driver>>,
    ),
}

// SAFETY: May be unregistered from any thread.
unsafe impl<T: BusDriver> Send for Bus<T> {}
// SAFETY: Devices may be added from any thread.
unsafe impl<T: BusDriver> Sync for Bus<T> {}

impl<T: BusDriver> Bus<T> {
    /// Registers bus and driver; the files can be used from now on. Process context.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Arc<Self>> {
        let releases = Releases(Arc::pin_init(Unreleased::new(), GFP_KERNEL)?);
        let bus = BusType::<T>::new()?;
        // SAFETY: What was made last is dropped first.
        let driver = unsafe { Driver::new::<T>(bus.bus.get(), module)? };
        // SAFETY: As above.
        let files = unsafe { Files::new(bus.bus.get())? };
        let memory = (bus.bus.clone(), driver.0.clone());
        let bus = Self {
            _files: files,
            driver,
            bus,
            releases,
            _memory: memory,
        };
        Ok(Arc::new(bus, GFP_KERNEL)?)
    }
}

/// The state of a device; its lock guards it.
enum State<T: BusDriver> {
    New(T::Config),
    /// The lifetime stands for the one that the device is bound for.
    Bound(T::Data<'static>),
    Unbound(Error),
}

/// A device.
#[repr(C)]
struct Inner<T: BusDriver> {
    dev: Opaque<bindings::device>,
    state: UnsafeCell<State<T>>,
    unreleased: Arc<Unreleased>,
}

impl<T: BusDriver> Inner<T> {
    /// # Safety
    ///
    /// `dev` must be the one in an `Inner<T>`.
    unsafe fn of(dev: *mut bindings::device) -> *mut Self {
        let dev: *mut Opaque<bindings::device> = dev.cast();
        // SAFETY: By the requirements of this function.
        unsafe { container_of!(dev, Self, dev) }
    }
}

/// A device of a bus, until dropped. Process context.
///
/// # Invariants
///
/// `dev` is the one in an [`Inner`]. It is registered and bound, and this owns a reference to it.
pub(crate) struct Registration<T: BusDriver> {
    dev: *mut bindings::device,
    /// Is unregistered after all its devices.
    _bus: Arc<Bus<T>>,
}

// SAFETY: A device may be unregistered from any thread.
unsafe impl<T: BusDriver> Send for Registration<T> {}
// SAFETY: There is nothing to do with a `&Registration`.
unsafe impl<T: BusDriver> Sync for Registration<T> {}

impl<T: BusDriver> Registration<T> {
    /// Adds a device to a bus, on which no other has this name, and binds it. Fails as
    /// [`BusDriver::probe`] does.
    pub(crate) fn new(bus: &Arc<Bus<T>>, name: &CStr, config: T::Config) -> Result<Self> {
        let unreleased = bus.releases.0.clone();
        let inner = KBox::new(
            Inner::<T> {
                dev: Opaque::zeroed(),
                state: UnsafeCell::new(State::New(config)),
                unreleased,
            },
            GFP_KERNEL,
        )?;
        inner.unreleased.count.add(1, Relaxed);
        let inner = KBox::into_raw(inner);
        // SAFETY: Just made. It is freed by `release`, when its last reference is put.
        let dev = unsafe { (*inner).dev.get() };
        // SAFETY: Zeroed, and known to nobody else.
        unsafe {
            bindings::device_initialize(dev);
            (*dev).bus = bus.bus.bus.get();
            (*dev).release = Some(VTable::<T>::release);
        }
        // SAFETY: Initialised; the format takes one string.
        let added = to_result(unsafe {
            bindings::dev_set_name(dev, c"%s".as_char_ptr(), name.as_char_ptr())
        })
        .and_then(|()| {
            // SAFETY: Initialised, with a name.
            to_result(unsafe { bindings::device_add(dev) })
        });
        if let Err(error) = added {
            // SAFETY: This is the only reference.
            unsafe { bindings::put_device(dev) };
            return Err(error);
        }
        // The user may have turned the probing of new devices off. If the device has been tried this
        // does nothing.
        // SAFETY: Driver and device are of the same bus; what has become of it is seen below.
        let _ = unsafe { bindings::device_driver_attach(bus.driver.0.get(), dev) };
        // SAFETY: The device has been tried, and this thread has had its lock since. From then on
        // only `remove` changes the state, which `device_unregister()` below or in `drop` calls.
        let error = match unsafe { &*(*inner).state.get() } {
            // INVARIANT: Registered and bound; the reference is that of `device_initialize()`.
            State::Bound(_) => {
                return Ok(Self {
                    dev,
                    _bus: bus.clone(),
                })
            }
            State::New(_) => ENODEV,
            State::Unbound(error) => *error,
        };
        // SAFETY: Registered above, and owned.
        unsafe { bindings::device_unregister(dev) };
        Err(error)
    }
}

impl<T: BusDriver> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered and owned, by the type invariants.
        unsafe { bindings::device_unregister(self.dev) };
    }
}
