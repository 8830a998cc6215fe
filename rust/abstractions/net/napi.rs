// SPDX-License-Identifier: GPL-2.0-only

//! NAPI: receiving packets in softirq, or in a thread of the kernel.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)
//!
//! ```text
//!   producer: put a packet where poll() finds it, wake() ──▶ poll() until nothing is left
//! ```
//!
//! There is no interrupt: who has packets for the device calls [`Napi::wake`], which is cheap while
//! a poll is under way.

use crate::{
    abstractions::{
        bottom_half::BottomHalf,
        compat::smp_mb,
        net::{
            net_device::{
                NetDevice,
                Rtnl, //
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
    pin::Pin, //
};
use kernel::{
    container_of,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
    },
    types::Opaque, //
};

/// Where packets come from.
pub(crate) trait Source: Send + Sync + 'static {
    /// Receives `budget` packets at most, and returns how many there were; fewer only if none is
    /// left. Softirq, or a thread with bottom halves off; not called again before it has returned.
    fn poll(&self, received: &mut Receiver<'_>, budget: usize) -> usize;

    /// Whether there is nothing to receive. Called where a poll would end.
    fn is_empty(&self) -> bool;
}

/// A NAPI instance that polls a [`Source`] from when it is made until it is dropped.
///
/// # Invariants
///
/// `napi` is enabled, and on the list of `dev`, which isn't freed before it was removed from there.
/// `batch` is an initialised list of packets that belong to this object, and only used by the one
/// poll that can be under way.
#[pin_data(PinnedDrop)]
pub(crate) struct Napi<T: Source> {
    #[pin]
    napi: Opaque<bindings::napi_struct>,
    #[pin]
    batch: Opaque<bindings::list_head>,
    /// Whether a poll will still see what is added now, so that nobody need be woken.
    polling: Atomic<bool>,
    #[pin]
    source: T,
    dev: ARef<NetDevice>,
}

// SAFETY: May be removed from any thread.
unsafe impl<T: Source> Send for Napi<T> {}
// SAFETY: Waking is safe from several threads, and `T` is `Sync`.
unsafe impl<T: Source> Sync for Napi<T> {}

impl<T: Source> Napi<T> {
    /// Adds an instance to a device and enables it. `index` is that of its receive queue, by which
    /// its settings are found again; it is less than the number of those.
    ///
    /// The device can't be unregistered to the end before this is dropped. Process context.
    pub(crate) fn new(
        dev: &NetDevice,
        index: u16,
        source: impl PinInit<T, Error>,
        _rtnl: &Rtnl,
    ) -> impl PinInit<Self, Error> {
        let dev: ARef<NetDevice> = dev.into();
        try_pin_init!(&this in Self {
            napi <- Opaque::ffi_init(|slot: *mut bindings::napi_struct| {
                // SAFETY: `slot` is valid for writes; all zero is what the kernel expects.
                unsafe { slot.write_bytes(0, 1) };
            }),
            batch <- Opaque::ffi_init(|slot: *mut bindings::list_head| {
                // SAFETY: `slot` is valid for writes, and pinned.
                unsafe { bindings::ekho_helper_list_init(slot) };
            }),
            polling: Atomic::new(false),
            source <- source,
            dev,
            _: {
                if u32::from(index) >= dev.num_rx_queues() {
                    return Err(EINVAL);
                }
                // SAFETY: The fields were initialised above; taking an address needs no more.
                let napi = unsafe { Opaque::cast_into(&raw const (*this.as_ptr()).napi) };
                // INVARIANT: Added and enabled.
                // SAFETY: It is pinned, and removed before it is freed; the device is alive until
                // then. `poll` fits what contains it.
                unsafe {
                    let poll = Self::poll_callback;
                    bindings::ekho_helper_napi_add(dev.as_raw(), napi, Some(poll), index.into());
                    bindings::napi_enable(napi);
                }
            },
        } ? Error)
    }

    /// Has the source polled, which sees what was added to it before. Doesn't poll itself.
    #[inline]
    pub(crate) fn wake(&self, _bh: &BottomHalf) {
        // Either a poll that is about to end sees what was added, or this sees that it has ended.
        smp_mb();
        if !self.polling.load(Relaxed) {
            self.schedule();
        }
    }

    fn schedule(&self) {
        // SAFETY: Enabled, by the type invariants; bottom halves are off, so that the softirq is
        // noticed when they are on again.
        unsafe {
            if bindings::napi_schedule_prep(self.napi.get()) {
                self.polling.store(true, Relaxed);
                bindings::__napi_schedule(self.napi.get());
            }
        }
    }

    /// # Safety
    ///
    /// To be called as `napi_struct::poll` of an instance of this type.
    unsafe extern "C" fn poll_callback(napi: *mut bindings::napi_struct, budget: c_int) -> c_int {
        // SAFETY: By the requirements of this function.
        let this = unsafe {
            let napi: *mut Opaque<bindings::napi_struct> = napi.cast();
            &*container_of!(napi, Self, napi).cast_const()
        };
        // SAFETY: NAPI polls with bottom halves off.
        let bh = unsafe { BottomHalf::assume() };
        let mut receiver = Receiver {
            napi: this.napi.get(),
            batch: this.batch.get(),
            bh,
            batched: false,
            // SAFETY: A poll is under way, and this is it.
            merging: unsafe { bindings::ekho_helper_gro_pending(this.napi.get()) },
            _this: PhantomData,
        };
        let budget = usize::try_from(budget).unwrap_or(0);
        // netpoll polls with a budget of 0, to send only.
        let done = match budget {
            0 => 0,
            budget => this.source.poll(&mut receiver, budget).min(budget),
        };
        receiver.flush();
        // SAFETY: Under way, and so enabled.
        if done < budget && unsafe { bindings::napi_complete_done(this.napi.get(), done as c_int) }
        {
            this.polling.store(false, Relaxed);
            // As in `wake`.
            smp_mb();
            if !this.source.is_empty() {
                this.schedule();
            }
        }
        done as c_int
    }
}

impl<T: Source> Deref for Napi<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.source
    }
}

#[pinned_drop]
impl<T: Source> PinnedDrop for Napi<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Enabled and listed, by the type invariants. Waits for a poll that is under way and
        // for readers of the list. Sleeps.
        unsafe {
            bindings::napi_disable(self.napi.get());
            bindings::ekho_helper_napi_del(self.napi.get());
        }
    }
}

/// Where a poll hands its packets to.
///
/// # Invariants
///
/// - A poll of `napi` is under way, and this is its only receiver.
/// - `batch` is its list of packets.
pub(crate) struct Receiver<'a> {
    napi: *mut bindings::napi_struct,
    batch: *mut bindings::list_head,
    bh: BottomHalf,
    /// Whether the list isn't empty.
    batched: bool,
    /// Whether packets may wait to be merged.
    merging: bool,
    _this: PhantomData<&'a ()>,
}

impl Receiver<'_> {
    /// The context of the poll.
    #[inline]
    pub(crate) fn bottom_half(&self) -> &BottomHalf {
        &self.bh
    }

    /// Receives a frame, which begins with an Ethernet header, on receive queue `queue`. If `merge`
    /// is true it may become part of a larger packet with others of the same connection (GRO).
    ///
    /// Packets keep their order: while some wait to be merged, others go the same way.
    #[inline]
    pub(crate) fn receive(&mut self, skb: SkBuff, queue: u16, merge: bool) {
        let skb = skb.into_raw().as_ptr();
        // SAFETY: By the type invariants; the buffer is given to the stack, or to the list.
        unsafe {
            bindings::ekho_helper_skb_receive(skb, (*self.napi).dev, queue);
            if merge || self.merging {
                self.merging = true;
                self.flush();
                bindings::ekho_helper_gro_receive(self.napi, skb);
            } else {
                bindings::ekho_helper_skb_list_add(self.batch, skb);
                self.batched = true;
            }
        }
    }

    /// Hands what was collected to the stack.
    #[inline]
    fn flush(&mut self) {
        if self.batched {
            self.batched = false;
            // SAFETY: By the type invariants; the list is made empty.
            unsafe { bindings::ekho_helper_receive_list(self.batch) };
        }
    }
}
