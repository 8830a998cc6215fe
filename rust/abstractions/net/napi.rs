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
            ethernet::EthernetDevice,
            net_device::Rtnl,
            packet::{
                Hook,
                Packet, //
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

/// A NAPI instance that polls a [`Source`], while it is in a [`NapiSet`].
///
/// # Invariants
///
/// While it is in a set, `napi` is enabled, and on the list of `dev`, which isn't freed before it was
/// removed from there. `batch` is an initialised list of packets that belong to this object, and only
/// used by the one poll that can be under way.
#[pin_data]
pub(crate) struct Napi<T: Source> {
    #[pin]
    napi: Opaque<bindings::napi_struct>,
    #[pin]
    batch: Opaque<bindings::list_head>,
    /// Whether a poll will still see what is added now, so that nobody need be woken.
    polling: Atomic<bool>,
    #[pin]
    source: T,
    dev: ARef<EthernetDevice>,
}

// SAFETY: May be removed from any thread.
unsafe impl<T: Source> Send for Napi<T> {}
// SAFETY: Waking is safe from several threads, and `T` is `Sync`.
unsafe impl<T: Source> Sync for Napi<T> {}

impl<T: Source> Napi<T> {
    /// An instance that isn't added yet.
    fn new(dev: ARef<EthernetDevice>, source: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
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
            first: None,
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

/// The NAPI instances of a device, one for each receive queue in use. They poll from when they are added
/// until this is dropped.
pub(crate) struct NapiSet<T: Source>(KVec<Pin<KBox<Napi<T>>>>);

impl<T: Source> NapiSet<T> {
    /// An empty set. May sleep.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(capacity, GFP_KERNEL)?))
    }

    /// Adds an instance to a device and enables it, for the receive queue of the next number, by which
    /// its settings are found again.
    ///
    /// The device can't be unregistered to the end before this is dropped. Process context.
    ///
    /// Fails with [`EINVAL`] if the device has no such queue.
    pub(crate) fn add(
        &mut self,
        dev: &EthernetDevice,
        source: impl PinInit<T, Error>,
        _rtnl: &Rtnl,
    ) -> Result {
        let index = c_int::try_from(self.0.len())?;
        if index.unsigned_abs() >= dev.num_rx_queues() {
            return Err(EINVAL);
        }
        let napi = KBox::pin_init(Napi::new(dev.into(), source), GFP_KERNEL)?;
        self.0.push(napi, GFP_KERNEL)?;
        if let Some(napi) = self.0.last() {
            let raw = napi.napi.get();
            // INVARIANT: Added and enabled.
            // SAFETY: It is pinned, and removed before it is freed; the device is alive until then.
            // `poll_callback` fits what contains it.
            unsafe {
                let poll = Napi::<T>::poll_callback;
                bindings::ekho_helper_napi_add(dev.as_raw(), raw, Some(poll), index);
                bindings::napi_enable(raw);
            }
        }
        Ok(())
    }

    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One of them, less than [`Self::len`].
    #[inline]
    pub(crate) fn get(&self, index: usize) -> &Napi<T> {
        &self.0[index]
    }
}

impl<T: Source> Drop for NapiSet<T> {
    fn drop(&mut self) {
        for napi in &self.0 {
            // SAFETY: Enabled and listed, by the type invariants. Waits for a poll that is under way.
            unsafe {
                bindings::napi_disable(napi.napi.get());
                bindings::ekho_helper_napi_del(napi.napi.get());
            }
        }
        // One wait for all: who walks the list of instances, or looks one up, may still be there.
        // SAFETY: Process context.
        unsafe { bindings::synchronize_net() };
    }
}

/// A packet that a device has received, and the stack has not: its data begins behind the Ethernet
/// header.
pub(crate) struct Received(SkBuff);

impl Received {
    /// What classifiers of the device see. None if the packet is lost.
    #[inline]
    pub(crate) fn classify(self, dev: &EthernetDevice, bh: &BottomHalf) -> Option<Packet> {
        Packet::received(self.0, dev, bh)
    }

    /// A packet that they let pass; none if they have sent it elsewhere.
    #[inline]
    pub(crate) fn classified(packet: Packet) -> Option<Self> {
        (packet.hook() == Hook::Ingress).then(|| Self(packet.into_skb()))
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
    /// The first packet of those that wait to be handed over: a list of one takes longer.
    first: Option<SkBuff>,
    /// Whether the list of the others isn't empty.
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

    /// Makes a frame, which begins with an Ethernet header, a packet that was received on receive queue
    /// `queue`. None if it is too short.
    #[inline]
    pub(crate) fn begin(&mut self, skb: SkBuff, queue: u16) -> Option<Received> {
        // SAFETY: By the type invariants; the buffer is `skb`'s.
        unsafe { bindings::ekho_helper_skb_receive(skb.as_raw(), self.napi, queue) }
            .then_some(Received(skb))
    }

    /// Hands a packet to the stack. If `merge` is true it may become part of a larger packet with others
    /// of the same connection (GRO). Returns whether it was received: not for want of memory.
    ///
    /// Packets keep their order: while some wait to be merged, others go the same way.
    #[inline]
    pub(crate) fn deliver(&mut self, packet: Received, merge: bool) -> bool {
        let Received(skb) = packet;
        let merge = merge || self.merging;
        // SAFETY: By the type invariants; the buffer is `skb`'s. What is merged mustn't share its data
        // with what others keep, as `gro_receive` changes that.
        if merge && unsafe { !bindings::ekho_helper_skb_unclone(skb.as_raw()) } {
            return false;
        }
        if merge {
            self.merging = true;
            self.flush();
            // SAFETY: By the type invariants; the buffer is given to the stack.
            unsafe {
                bindings::ekho_helper_gro_receive(self.napi, skb.into_raw().as_ptr());
            }
            return true;
        }
        // SAFETY: By the type invariants; the buffer is `skb`'s.
        unsafe { bindings::ekho_helper_skb_mark_napi(skb.as_raw(), self.napi) };
        if self.first.is_none() && !self.batched {
            self.first = Some(skb);
            return true;
        }
        for skb in [self.first.take(), Some(skb)].into_iter().flatten() {
            // SAFETY: By the type invariants; the buffer is given to the list.
            unsafe {
                bindings::ekho_helper_skb_list_add(self.batch, skb.into_raw().as_ptr());
            }
        }
        self.batched = true;
        true
    }

    /// Hands a packet to the stack at once, behind those before it, but for merging.
    #[inline]
    pub(crate) fn deliver_at_once(&mut self, packet: Received, merge: bool) -> bool {
        self.flush();
        let delivered = self.deliver(packet, merge);
        self.flush();
        delivered
    }

    /// Hands what was collected to the stack.
    #[inline]
    fn flush(&mut self) {
        if let Some(skb) = self.first.take() {
            skb.receive(false, &self.bh);
        } else if self.batched {
            self.batched = false;
            // SAFETY: By the type invariants; the list is made empty.
            unsafe { bindings::ekho_helper_receive_list(self.batch) };
        }
    }
}
