// SPDX-License-Identifier: GPL-2.0-only

//! Socket buffers: the packets of the networking stack.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use crate::{
    abstractions::{
        bottom_half::BottomHalf,
        net::net_device::NetDevice, //
    },
    bindings, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// The byte of the control block that has [`SkBuff::hops`]: the last.
const HOPS_AT: usize = 47;

/// A packet that this code owns. Dropping it frees it, and counts it as lost in the kernel's drop
/// monitor.
///
/// # Invariants
///
/// `0` is a buffer of which this object owns the only reference.
pub(crate) struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: Nobody else refers to the buffer, and its destructor may run in any thread.
unsafe impl Send for SkBuff {}

impl SkBuff {
    /// # Safety
    ///
    /// The caller must own the only reference to the buffer, and give it up.
    #[inline]
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(skb)
    }

    /// Gives the buffer away: whoever gets it frees it.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<bindings::sk_buff> {
        ManuallyDrop::new(self).0
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// The memory that it takes in bytes, its bookkeeping included.
    pub(crate) fn memory(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }.truesize
    }

    /// The bytes that it holds from where its data begins: with the Ethernet header where it is
    /// transmitted, without where it was received.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }.len
    }

    /// The transmit queue that was chosen for it; or the receive queue, of a packet that was
    /// received.
    #[inline]
    pub(crate) fn queue(&self) -> u16 {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }.queue_mapping
    }

    /// Whether it stands for several packets, which are made of it late or never.
    #[inline]
    pub(crate) fn is_gso(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_skb_is_gso(self.0.as_ptr()) }
    }

    /// Chooses the queue by which it is transmitted, or says by which it was received.
    #[inline]
    pub(crate) fn set_queue(&mut self, queue: u16) {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_mut() }.queue_mapping = queue;
    }

    /// How often it was sent on within a device. The number is kept in the buffer's control block, and
    /// so as long as no other layer has the packet: whoever gets one from the stack sets it.
    #[inline]
    pub(crate) fn hops(&self) -> u8 {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }.cb[HOPS_AT]
    }

    /// See [`Self::hops`].
    #[inline]
    pub(crate) fn set_hops(&mut self, hops: u8) {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_mut() }.cb[HOPS_AT] = hops;
    }

    /// What its device would be given to transmit: segments with their checksum and tag, as far as the
    /// device leaves that to the stack. Calls `f` with each frame, in order. None is left if there is no
    /// memory, or the device can't have it.
    ///
    /// As `validate_xmit_skb_list()`.
    #[inline]
    pub(crate) fn prepare(self, dev: &NetDevice, mut f: impl FnMut(SkBuff)) {
        // SAFETY: The buffer is given up; the device is alive. What comes back is a list of buffers that
        // are owned by who gets it.
        let mut next =
            unsafe { bindings::ekho_helper_validate_xmit(self.into_raw().as_ptr(), dev.as_raw()) };
        while let Some(mut skb) = NonNull::new(next) {
            // SAFETY: As above; taken off the list.
            unsafe {
                next = bindings::ekho_helper_skb_unlink(skb.as_mut());
                f(Self::from_raw(skb));
            }
        }
    }

    /// Has the stack receive it, as one that the device it is of has received: at once, or, if `later`
    /// is true, from the backlog of this CPU. Its data begins behind the Ethernet header.
    pub(crate) fn receive(self, later: bool, _bh: &BottomHalf) {
        let skb = self.into_raw().as_ptr();
        // SAFETY: The buffer is given away. Who made it a packet of a device holds that. Bottom halves are
        // off.
        unsafe {
            if later {
                bindings::netif_rx(skb);
            } else {
                bindings::netif_receive_skb(skb);
            }
        }
    }

    /// Frees it as one that has arrived where it should.
    pub(crate) fn consume(self) {
        // SAFETY: Owned until here. Any context.
        unsafe { bindings::ekho_helper_consume_skb(self.into_raw().as_ptr()) };
    }

    /// Notes when it was sent, for those who have asked for time stamps in software.
    #[inline]
    pub(crate) fn note_transmit_time(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_skb_tx_timestamp(self.0.as_ptr()) };
    }

    /// Makes a frame that is being transmitted one that comes from another host: what only this
    /// host's stack knows of it (mark, route, connection, priority, device …) is gone, and its memory
    /// isn't a user's any more. Who sent it is still charged for it.
    ///
    /// Fails if there is no memory, or if it is shorter than an Ethernet header. What it holds stays
    /// the same in either case.
    ///
    /// As `__dev_forward_skb()` between two namespaces.
    #[inline]
    pub(crate) fn detach(&mut self, _bh: &BottomHalf) -> Result {
        // SAFETY: By the type invariants.
        to_result(unsafe { bindings::ekho_helper_skb_detach(self.0.as_ptr()) })
    }

    /// Lets go of the socket that sent it, which may send more then.
    pub(crate) fn orphan(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_skb_orphan(self.0.as_ptr()) };
    }

    /// Has `dev` transmit it, as any packet of the stack: through its qdisc. The frame begins with
    /// its Ethernet header. Returns whether the packet was taken.
    pub(crate) fn transmit(self, dev: &NetDevice, _bh: &BottomHalf) -> bool {
        // SAFETY: The buffer is given away; the device is alive, and the stack drops what it has of
        // a device that goes. Bottom halves are off.
        unsafe { bindings::ekho_helper_transmit(self.into_raw().as_ptr(), dev.as_raw()) == 0 }
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        // SAFETY: Owned, by the type invariants. Any context.
        unsafe { bindings::ekho_helper_kfree_skb(self.0.as_ptr()) };
    }
}
