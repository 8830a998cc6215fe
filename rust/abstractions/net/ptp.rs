// SPDX-License-Identifier: GPL-2.0-only

//! A PTP clock in software: it runs with the system's clock, and can be set.
//!
//! C header: [`include/linux/ptp_clock_kernel.h`](srctree/include/linux/ptp_clock_kernel.h)

use crate::{
    abstractions::error::eopnotsupp,
    bindings, //
};
use core::{
    ffi::c_int,
    ptr::NonNull, //
};
use kernel::{
    container_of,
    error::from_err_ptr,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// A PTP clock that is `CLOCK_TAI` with an offset. Its rate can't be adjusted.
///
/// # Invariants
///
/// `clock` is registered with `info`, or none if the kernel has no PTP.
#[pin_data(PinnedDrop)]
pub(crate) struct SoftClock {
    #[pin]
    info: Opaque<bindings::ptp_clock_info>,
    offset_ns: Atomic<i64>,
    clock: Option<NonNull<bindings::ptp_clock>>,
}

// SAFETY: A clock may be read and unregistered from any thread.
unsafe impl Send for SoftClock {}
// SAFETY: As above; the offset is atomic.
unsafe impl Sync for SoftClock {}

impl SoftClock {
    /// Registers the clock; `name` has 31 bytes at most. Process context.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            info <- Opaque::ffi_init(|slot: *mut bindings::ptp_clock_info| {
                let mut info = bindings::ptp_clock_info {
                    owner: module.as_ptr().cast(),
                    adjfine: Some(Self::adjfine),
                    adjtime: Some(Self::adjtime),
                    gettime64: Some(Self::gettime64),
                    settime64: Some(Self::settime64),
                    enable: Some(Self::enable),
                    ..pin_init::zeroed()
                };
                // The last byte stays NUL.
                let room = info.name.len() - 1;
                for (to, from) in info.name[..room].iter_mut().zip(name.to_bytes()) {
                    *to = *from;
                }
                // SAFETY: `slot` is valid for writes, and pinned until `drop`.
                unsafe { slot.write(info) };
            }),
            offset_ns: Atomic::new(0),
            // INVARIANT: Registered, or null if there is no PTP.
            clock: {
                // SAFETY: Takes the address of a field that was initialised above.
                let info = unsafe { Opaque::cast_into(&raw const (*this.as_ptr()).info) };
                // SAFETY: `info` is pinned, and outlives the clock.
                let clock = unsafe { bindings::ptp_clock_register(info, core::ptr::null_mut()) };
                NonNull::new(from_err_ptr(clock)?)
            },
        })
    }

    /// The number N of its `/dev/ptpN`.
    pub(crate) fn index(&self) -> Option<i32> {
        // SAFETY: Registered, by the type invariants.
        let index = |clock: NonNull<_>| unsafe { bindings::ptp_clock_index(clock.as_ptr()) };
        self.clock.map(index)
    }

    /// # Safety
    ///
    /// `info` must be that of a clock.
    unsafe fn from_info<'a>(info: *mut bindings::ptp_clock_info) -> &'a Self {
        let info: *mut Opaque<bindings::ptp_clock_info> = info.cast();
        // SAFETY: By the requirements of this function.
        unsafe { &*container_of!(info, Self, info) }
    }

    /// # Safety
    ///
    /// To be called as `ptp_clock_info::gettime64`.
    unsafe extern "C" fn gettime64(
        info: *mut bindings::ptp_clock_info,
        time: *mut bindings::timespec64,
    ) -> c_int {
        // SAFETY: By the requirements of this function; `time` is the callee's to fill in.
        unsafe {
            let offset = Self::from_info(info).offset_ns.load(Relaxed);
            let ns = bindings::ekho_helper_tai_ns().wrapping_add(offset);
            time.write(bindings::ns_to_timespec64(ns));
        }
        0
    }

    /// # Safety
    ///
    /// To be called as `ptp_clock_info::settime64`.
    unsafe extern "C" fn settime64(
        info: *mut bindings::ptp_clock_info,
        time: *const bindings::timespec64,
    ) -> c_int {
        // SAFETY: By the requirements of this function; `time` is valid for the call.
        unsafe {
            let ns = bindings::ekho_helper_timespec64_to_ns(time);
            let offset = ns.wrapping_sub(bindings::ekho_helper_tai_ns());
            Self::from_info(info).offset_ns.store(offset, Relaxed);
        }
        0
    }

    /// # Safety
    ///
    /// To be called as `ptp_clock_info::adjtime`.
    unsafe extern "C" fn adjtime(info: *mut bindings::ptp_clock_info, delta: i64) -> c_int {
        // SAFETY: By the requirements of this function.
        unsafe { Self::from_info(info) }
            .offset_ns
            .add(delta, Relaxed);
        0
    }

    /// The rate can't be adjusted: `max_adj` is 0, so this is asked for nothing else.
    ///
    /// # Safety
    ///
    /// To be called as `ptp_clock_info::adjfine`.
    unsafe extern "C" fn adjfine(
        _info: *mut bindings::ptp_clock_info,
        _ppm: kernel::ffi::c_long,
    ) -> c_int {
        0
    }

    /// There are no pins, alarms or pulses.
    ///
    /// # Safety
    ///
    /// To be called as `ptp_clock_info::enable`.
    unsafe extern "C" fn enable(
        _info: *mut bindings::ptp_clock_info,
        _request: *mut bindings::ptp_clock_request,
        _on: c_int,
    ) -> c_int {
        eopnotsupp().to_errno()
    }
}

#[pinned_drop]
impl PinnedDrop for SoftClock {
    fn drop(self: Pin<&mut Self>) {
        if let Some(clock) = self.clock {
            // SAFETY: Registered, by the type invariants; no callback runs after this.
            unsafe { bindings::ptp_clock_unregister(clock.as_ptr()) };
        }
    }
}
