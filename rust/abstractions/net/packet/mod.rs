// SPDX-License-Identifier: GPL-2.0-only

//! Packets in the pipeline of a device, as the kernel's classifiers and actions see them.
//!
//! C headers: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h),
//! [`include/net/sch_generic.h`](srctree/include/net/sch_generic.h)
//!
//! ```text
//!   ring ───▶ received() ────▶ dissect(), actions ──▶ into_skb() ──▶ stack
//!                                   ▲    │
//!                   into_ingress()  │    │  into_egress()
//!                                   │    ▼
//!   stack ──▶ transmitted() ─▶ dissect(), actions ──▶ into_skb() ──▶ cable, other device
//! ```
//!
//! Where something here differs from what the kernel does in software, it says so.

mod checksum;
mod edit;
mod key;

pub(crate) use key::{
    place_of,
    PacketKey,
    PortRange, //
};

use super::{
    net_device::NetDevice,
    sk_buff::SkBuff, //
};
use crate::{
    abstractions::bottom_half::BottomHalf,
    bindings, //
};
use core::{
    ffi::c_int,
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// Where on its way a packet is, which decides where its data begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// It was received: its data begins behind the MAC header.
    Ingress,
    /// It is about to be transmitted: its data begins with the MAC header.
    Egress,
}

/// How much a packet counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// The packets on the wire that it stands for.
    pub(crate) packets: u32,
    /// The bytes of these, from where the data begins at the [`Hook`]; a tag out of line isn't one.
    pub(crate) bytes: u32,
}

/// A packet, in the state in which classifiers and actions get it at a [`Hook`].
///
/// # Invariants
///
/// - The MAC header of `skb` is set, and not behind where its data begins.
/// - `skb->dev` is `dev`.
pub(crate) struct Packet {
    skb: SkBuff,
    hook: Hook,
    size: Size,
    /// Outlives `skb`, which is declared before.
    dev: ARef<NetDevice>,
}

impl Packet {
    /// A packet that `dev` has received: `skb` after `eth_type_trans()`. It comes to be as classifiers
    /// get it, with its outer VLAN tag out of line. None if it was lost for want of memory, or ends in
    /// the midst of a VLAN header.
    ///
    /// As `__netif_receive_skb_core()`.
    #[inline]
    pub(crate) fn received(skb: SkBuff, dev: &NetDevice, _bh: &BottomHalf) -> Option<Self> {
        // SAFETY: `skb` owns the buffer.
        if !unsafe { bindings::ekho_helper_packet_is_received(skb.as_raw()) } {
            return None;
        }
        let raw = skb.into_raw().as_ptr();
        // SAFETY: The buffer is given up; the device is alive. What is returned is owned by who calls.
        let skb = unsafe {
            let skb = bindings::ekho_helper_packet_receive(raw, dev.as_raw());
            SkBuff::from_raw(NonNull::new(skb)?)
        };
        // INVARIANT: The helper has set the device; the header was there, and the data begins behind
        // a tag at the most.
        let mut packet = Self {
            skb,
            hook: Hook::Ingress,
            size: Size::NOTHING,
            dev: dev.into(),
        };
        // The kernel lets such packets pass here.
        let _ = packet.measure();
        Some(packet)
    }

    /// A frame that `dev` is about to transmit: what its `ndo_start_xmit` gets. None if it is shorter
    /// than an Ethernet header.
    #[inline]
    pub(crate) fn transmitted(skb: SkBuff, dev: &NetDevice, _bh: &BottomHalf) -> Option<Self> {
        // SAFETY: `skb` owns the buffer; the device is alive.
        if !unsafe { bindings::ekho_helper_packet_transmit(skb.as_raw(), dev.as_raw()) } {
            return None;
        }
        // INVARIANT: The helper has set the device and the header.
        let mut packet = Self {
            skb,
            hook: Hook::Egress,
            size: Size::NOTHING,
            dev: dev.into(),
        };
        // The kernel found out before it put tags and checksums in their places.
        let _ = packet.measure();
        Some(packet)
    }

    /// The buffer; its data begins where the hook says.
    #[inline]
    pub(crate) fn into_skb(self) -> SkBuff {
        self.skb
    }

    /// Where the packet is.
    #[inline]
    pub(crate) fn hook(&self) -> Hook {
        self.hook
    }

    /// How much it counts. Actions don't change that: it is what it was when it came to the hook.
    #[inline]
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// What it is by its Ethernet header, or by its tag if that is out of line: as it is stored, in
    /// network order. That is what a filter's `protocol` is compared with.
    #[inline]
    pub(crate) fn protocol(&self) -> u16 {
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_protocol(self.raw()) }
    }

    /// What it can be matched by. A netns' BPF flow dissector is asked here as it is by flower.
    ///
    /// As `fl_classify()`, but for all keys at once: see [`place_of`].
    #[inline]
    pub(crate) fn dissect(&self) -> PacketKey {
        let mut key = PacketKey::zeroed();
        let container = key.as_container();
        let dissector = (&raw const key::DISSECTOR).cast_mut();
        // SAFETY: The dissector places its keys in the container, and isn't written to. `skb` owns the
        // buffer, and its device is alive.
        unsafe {
            bindings::skb_flow_dissect_meta(self.raw(), dissector, container);
            // A program in the place of the dissector may leave it.
            container
                .byte_add(key::BASIC)
                .cast::<bindings::flow_dissector_key_basic>()
                .write(bindings::flow_dissector_key_basic {
                    n_proto: self.protocol(),
                    ip_proto: 0,
                    padding: 0,
                });
            bindings::__skb_flow_dissect(
                ptr::null(),
                self.raw(),
                dissector,
                container,
                ptr::null(),
                0,
                0,
                0,
                bindings::EKHO_CONST_STOP_BEFORE_ENCAP,
            );
        }
        key
    }

    /// A packet with the same content, of which an edit of this one changes nothing; none without
    /// memory.
    #[inline]
    pub(crate) fn copy(&self) -> Option<Self> {
        // SAFETY: `skb` owns the buffer. The clone has one owner, who calls.
        let skb = unsafe {
            SkBuff::from_raw(NonNull::new(bindings::ekho_helper_packet_clone(
                self.raw(),
            ))?)
        };
        // INVARIANT: Of a clone, the same is true.
        Some(Self {
            skb,
            hook: self.hook,
            size: self.size,
            dev: self.dev.clone(),
        })
    }

    /// Whether it, or each packet that it stands for, has `limit` bytes at the most, as
    /// `tcf_police_mtu_check()` counts them.
    pub(crate) fn fits(&self, limit: u32) -> bool {
        let at_ingress = self.hook == Hook::Ingress;
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_fits(self.raw(), self.size.bytes, at_ingress, limit) }
    }

    /// Makes it a frame that `dev` is about to transmit: one that was redirected, or mirrored if
    /// `redirect` is false. It counts anew. None if it was lost, as the kernel wouldn't send it.
    ///
    /// As `tcf_mirred_to_dev()`; whether `dev` can send it, or had it before, is left to the caller.
    pub(crate) fn into_egress(mut self, dev: &NetDevice, redirect: bool) -> Option<Self> {
        self.hand_over(dev, Hook::Egress, redirect).ok()?;
        self.measure().ok()?;
        Some(self)
    }

    /// Makes it a packet that `dev` has received, in the same way.
    pub(crate) fn into_ingress(
        mut self,
        dev: &NetDevice,
        redirect: bool,
        bh: &BottomHalf,
    ) -> Option<Self> {
        self.hand_over(dev, Hook::Ingress, redirect).ok()?;
        Self::received(self.skb, dev, bh)
    }

    fn hand_over(&mut self, dev: &NetDevice, hook: Hook, redirect: bool) -> Result {
        let (from_ingress, to_ingress) = (self.hook == Hook::Ingress, hook == Hook::Ingress);
        // INVARIANT: The helper changes the device last, together with the header.
        // SAFETY: `skb` owns the buffer; the devices are alive.
        unsafe {
            bindings::ekho_helper_packet_hand_over(
                self.raw(),
                dev.as_raw(),
                from_ingress,
                to_ingress,
                redirect,
            )
        }
        .then_some(())
        .ok_or(EINVAL)?;
        self.hook = hook;
        self.dev = dev.into();
        Ok(())
    }

    /// Finds out how much it counts. Fails if it says that it stands for packets which it doesn't hold;
    /// then it counts what is known of it.
    ///
    /// As `qdisc_pkt_len_segs_init()`, which puts that into the control block.
    fn measure(&mut self) -> Result {
        /// Where the first byte of a TCP header is that says how long it is.
        const TCP_LENGTH: usize = 12;
        const TCP: u32 = (bindings::SKB_GSO_TCPV4 | bindings::SKB_GSO_TCPV6) as u32;
        const UDP: u32 = bindings::SKB_GSO_UDP_L4 as u32;
        const DODGY: u32 = bindings::SKB_GSO_DODGY as u32;
        let gso = self.gso();
        self.size = Size {
            packets: 1,
            bytes: self.skb.len(),
        };
        if gso.size == 0 {
            return Ok(());
        }
        self.size.packets = u32::from(gso.segs);
        if gso.transport == c_int::MIN {
            return Ok(());
        }
        let transport = usize::try_from(gso.transport)?;
        let headers = if gso.type_ & TCP != 0 {
            let tcp = self.bytes(transport, TCP_MIN).ok_or(EINVAL)?;
            let length = tcp
                .get(TCP_LENGTH)
                .map_or(0, |byte| usize::from(byte >> 4) * 4);
            if length < TCP_MIN {
                return Err(EINVAL);
            }
            self.bytes(transport, length).ok_or(EINVAL)?;
            transport + length
        } else if gso.type_ & UDP != 0 {
            self.bytes(transport, UDP_LEN).ok_or(EINVAL)?;
            transport + UDP_LEN
        } else {
            transport
        };
        let headers = u32::try_from(headers)?;
        // What a virtual machine says of its packets is found out here.
        if gso.type_ & DODGY != 0 {
            let payload = self.skb.len().checked_sub(headers).filter(|&len| len > 0);
            let segs = payload.ok_or(EINVAL)?.div_ceil(u32::from(gso.size)) as u16;
            // SAFETY: `skb` owns the buffer.
            unsafe { bindings::ekho_helper_packet_set_gso_segs(self.raw(), segs) };
            self.size.packets = u32::from(segs);
        }
        let more = self.size.packets.wrapping_sub(1).wrapping_mul(headers);
        self.size.bytes = self.size.bytes.wrapping_add(more);
        Ok(())
    }

    /// What it stands for.
    fn gso(&self) -> bindings::ekho_gso {
        let mut gso = bindings::ekho_gso {
            type_: 0,
            transport: 0,
            size: 0,
            segs: 0,
        };
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_gso(self.raw(), &raw mut gso) };
        gso
    }

    #[inline]
    fn raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_raw()
    }

    /// Where its network header begins, from where its data begins.
    fn network_offset(&self) -> Result<usize> {
        // SAFETY: `skb` owns the buffer.
        let offset = unsafe { bindings::ekho_helper_packet_network_offset(self.raw()) };
        Ok(usize::try_from(offset)?)
    }

    /// Bytes of its data, in one piece; none if it doesn't have them, or memory is short.
    fn bytes(&mut self, offset: usize, len: usize) -> Option<&[u8]> {
        let end = u32::try_from(offset.checked_add(len)?).ok()?;
        // SAFETY: `skb` owns the buffer. So much of the data is in one piece then, and stays as long as
        // this object is borrowed. Nobody writes to data that clones share.
        unsafe {
            if !bindings::ekho_helper_packet_may_pull(self.raw(), end) {
                return None;
            }
            Some(slice::from_raw_parts((*self.raw()).data.add(offset), len))
        }
    }

    /// A copy of bytes of its data, wherever they are; none if it doesn't have them.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let offset = c_int::try_from(offset).ok()?;
        // SAFETY: `skb` owns the buffer, and as many bytes are copied as there is room for.
        let err = unsafe {
            bindings::skb_copy_bits(self.raw(), offset, bytes.as_mut_ptr().cast(), N as c_int)
        };
        (err == 0).then_some(bytes)
    }

    /// Makes the first bytes its own, in one piece.
    fn own(&mut self, len: usize) -> Result {
        // SAFETY: `skb` owns the buffer.
        to_result(unsafe { bindings::skb_ensure_writable(self.raw(), u32::try_from(len)?) })
    }

    /// Changes bytes of its data, of this packet only.
    fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Result {
        self.own(offset.checked_add(N).ok_or(EINVAL)?)?;
        // SAFETY: The bytes are there, in one piece, and shared with nobody.
        unsafe {
            let data = (*self.raw()).data.add(offset);
            data.cast::<[u8; N]>().write_unaligned(bytes);
        }
        Ok(())
    }
}

/// A packet that is being sent to another device, while this exists: one of few that are within each
/// other on this CPU, those of act_mirred included.
///
/// # Invariants
///
/// It was counted on this CPU, on which this thread stays, as bottom halves are off.
pub(crate) struct Nested<'a>(PhantomData<&'a BottomHalf>, NotThreadSafe);

impl<'a> Nested<'a> {
    /// None if there are too many, or one of them is sent to the same device: as `tcf_mirred_act()` has
    /// it.
    pub(crate) fn enter(dev: &NetDevice, _bh: &'a BottomHalf) -> Option<Self> {
        // INVARIANT: Counted. Made only then, as dropping it counts back.
        // SAFETY: Bottom halves are off; the device is only compared, while this exists.
        unsafe { bindings::ekho_helper_mirred_enter(dev.as_raw()) }
            .then(|| Self(PhantomData, NotThreadSafe))
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::ekho_helper_mirred_leave() };
    }
}

/// Bytes of a TCP header without options.
const TCP_MIN: usize = 20;
/// Bytes of a UDP header.
const UDP_LEN: usize = 8;

impl Size {
    const NOTHING: Self = Self {
        packets: 0,
        bytes: 0,
    };
}
