// SPDX-License-Identifier: GPL-2.0-only

//! Actions of tc that change a packet: `act_vlan`, `act_mpls`, `act_pedit`, `act_skbedit`.

use super::{
    Hook,
    Packet, //
};
use crate::bindings;
use core::{
    ffi::c_int,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Bits of a VLAN tag: who the packet belongs to, and its priority.
const VLAN_ID: u16 = 0x0fff;
const VLAN_PRIORITY: u16 = 0xe000;
const VLAN_PRIORITY_SHIFT: u32 = 13;

/// Bytes of an MPLS label stack entry.
const MPLS_LEN: usize = 4;

/// Bytes of the headers of IP, without options.
const IPV4_MIN: usize = 20;
const IPV6_LEN: usize = 40;

/// What an MPLS label stack entry is changed to: `struct tcf_mpls_params`.
#[derive(Clone, Copy)]
struct MplsEdit {
    label: u32,
    traffic_class: u8,
    bottom: u8,
    ttl: u8,
}

impl MplsEdit {
    /// The label stack entry `old` after the edit; it ends a stack if `bottom` is true, and the edit
    /// doesn't say.
    fn apply(self, old: u32, bottom: bool) -> u32 {
        let mut entry = old;
        let mut put = |mask: u32, shift: u32, value: u32| {
            entry = entry & !mask | value << shift & mask;
        };
        if self.label != bindings::ACT_MPLS_LABEL_NOT_SET {
            put(
                bindings::MPLS_LS_LABEL_MASK,
                bindings::MPLS_LS_LABEL_SHIFT,
                self.label,
            );
        }
        if self.ttl != 0 {
            put(
                bindings::MPLS_LS_TTL_MASK,
                bindings::MPLS_LS_TTL_SHIFT,
                self.ttl.into(),
            );
        }
        if u32::from(self.traffic_class) != bindings::ACT_MPLS_TC_NOT_SET {
            put(
                bindings::MPLS_LS_TC_MASK,
                bindings::MPLS_LS_TC_SHIFT,
                self.traffic_class.into(),
            );
        }
        let (mask, shift) = (bindings::MPLS_LS_S_MASK, bindings::MPLS_LS_S_SHIFT);
        if u32::from(self.bottom) != bindings::ACT_MPLS_BOS_NOT_SET {
            put(mask, shift, self.bottom.into());
        } else if bottom {
            put(mask, shift, 1);
        }
        entry
    }
}

/// Each fails where the kernel's action drops the packet; such a packet is of no further use.
impl Packet {
    /// Calls `f` with the data of the packet at its MAC header, whatever the hook.
    fn at_mac(&mut self, f: impl FnOnce(&mut Self) -> Result) -> Result {
        if self.hook() == Hook::Egress {
            return f(self);
        }
        // SAFETY: `skb` owns the buffer.
        if !unsafe { bindings::ekho_helper_packet_push_mac(self.raw()) } {
            return Err(EINVAL);
        }
        let result = f(self);
        // SAFETY: `skb` owns the buffer.
        if !unsafe { bindings::ekho_helper_packet_pull_mac(self.raw()) } {
            return Err(EINVAL);
        }
        result
    }

    /// What actions on VLAN tags and Ethernet headers have in common.
    fn at_mac_resized(&mut self, f: impl FnOnce(&mut Self) -> Result) -> Result {
        self.at_mac(f)?;
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_reset_mac_len(self.raw()) };
        Ok(())
    }

    /// Takes the outer VLAN tag away, if there is one.
    pub(crate) fn vlan_pop(&mut self) -> Result {
        self.at_mac_resized(|packet| {
            // SAFETY: `skb` owns the buffer, with data at the MAC header.
            to_result(unsafe { bindings::skb_vlan_pop(packet.raw()) })
        })
    }

    /// Adds an outer VLAN tag, of protocol `protocol` in network order.
    pub(crate) fn vlan_push(&mut self, protocol: u16, id: u16, priority: u8) -> Result {
        let tci = id | u16::from(priority) << VLAN_PRIORITY_SHIFT;
        self.at_mac_resized(|packet| {
            // SAFETY: `skb` owns the buffer, with data at the MAC header.
            to_result(unsafe { bindings::skb_vlan_push(packet.raw(), protocol, tci) })
        })
    }

    /// Changes the outer VLAN tag, if there is one. It keeps its drop eligible bit, and its priority
    /// without another.
    pub(crate) fn vlan_modify(&mut self, protocol: u16, id: u16, priority: Option<u8>) -> Result {
        self.at_mac_resized(|packet| {
            let raw = packet.raw();
            let mut tci = 0;
            // SAFETY: `skb` owns the buffer, with data at the MAC header.
            unsafe {
                if !bindings::ekho_helper_packet_is_tagged(raw) {
                    return Ok(());
                }
                to_result(bindings::ekho_helper_packet_take_tag(raw, &raw mut tci))?;
            }
            tci = tci & !VLAN_ID | id;
            if let Some(priority) = priority {
                tci = tci & !VLAN_PRIORITY | u16::from(priority) << VLAN_PRIORITY_SHIFT;
            }
            // SAFETY: The same; it has no tag out of line now.
            unsafe { bindings::ekho_helper_packet_put_tag(raw, protocol, tci) };
            Ok(())
        })
    }

    /// Takes the Ethernet header away.
    pub(crate) fn pop_eth(&mut self) -> Result {
        self.at_mac_resized(|packet| {
            // SAFETY: `skb` owns the buffer, with data at the MAC header.
            to_result(unsafe { bindings::skb_eth_pop(packet.raw()) })
        })
    }

    /// Adds an Ethernet header to a packet that has none.
    pub(crate) fn push_eth(&mut self, destination: &[u8; 6], source: &[u8; 6]) -> Result {
        self.at_mac_resized(|packet| {
            // SAFETY: `skb` owns the buffer, with data at the MAC header; the addresses have as many
            // bytes as they must.
            to_result(unsafe {
                bindings::skb_eth_push(packet.raw(), destination.as_ptr(), source.as_ptr())
            })
        })
    }

    /// Bytes from the MAC header to the network header, with data at the former. They are there.
    fn mac_len(&mut self) -> Result<usize> {
        let len = self.network_offset()?;
        self.bytes(0, len).ok_or(EINVAL)?;
        Ok(len)
    }

    /// Adds an MPLS label, of protocol `protocol` in network order. Traffic class and bottom of stack
    /// may be `ACT_MPLS_TC_NOT_SET` and `ACT_MPLS_BOS_NOT_SET`: the label is at the bottom then if
    /// there was none.
    pub(crate) fn mpls_push(
        &mut self,
        label: u32,
        traffic_class: u8,
        bottom: u8,
        ttl: u8,
        protocol: u16,
    ) -> Result {
        let edit = MplsEdit {
            label,
            traffic_class,
            bottom,
            ttl,
        };
        self.at_mac(|packet| {
            let len = packet.mac_len()? as c_int;
            let raw = packet.raw();
            // SAFETY: `skb` owns the buffer, with data at the MAC header, which is as long as said.
            to_result(unsafe {
                let bottom = !bindings::ekho_helper_packet_is_mpls(raw);
                let ethernet = bindings::ekho_helper_packet_is_ethernet(raw);
                let entry = edit.apply(0, bottom).to_be();
                bindings::skb_mpls_push(raw, entry, protocol, len, ethernet)
            })
        })
    }

    /// Takes the outermost MPLS label away, if there is one; what is behind is of protocol `protocol`
    /// in network order.
    pub(crate) fn mpls_pop(&mut self, protocol: u16) -> Result {
        self.at_mac(|packet| {
            let len = packet.mac_len()? as c_int;
            let raw = packet.raw();
            // SAFETY: `skb` owns the buffer, with data at the MAC header, which is as long as said.
            to_result(unsafe {
                let ethernet = bindings::ekho_helper_packet_is_ethernet(raw);
                bindings::skb_mpls_pop(raw, protocol, len, ethernet)
            })
        })
    }

    /// Changes the outermost MPLS label; fails if there is none. What is `ACT_MPLS_LABEL_NOT_SET` and
    /// so on stays, and so does the TTL if `ttl` is 0.
    pub(crate) fn mpls_modify(
        &mut self,
        label: u32,
        traffic_class: u8,
        bottom: u8,
        ttl: u8,
    ) -> Result {
        let edit = MplsEdit {
            label,
            traffic_class,
            bottom,
            ttl,
        };
        self.at_mac(|packet| {
            let offset = packet.mac_len()?;
            // The kernel believes the length of the MAC header that the packet remembers, which needn't
            // be right on its way out: without this it might write to what others see.
            packet.own(offset + MPLS_LEN)?;
            let old = packet.load(offset).ok_or(EINVAL)?;
            let entry = edit.apply(u32::from_be_bytes(old), false).to_be();
            // SAFETY: `skb` owns the buffer, and the label is there.
            to_result(unsafe { bindings::skb_mpls_update_lse(packet.raw(), entry) })
        })
    }

    /// One key of pedit: changes the 32 bits at `offset` of a header. All are as they are in
    /// `flow_action_entry::mangle`; `htype` is `enum flow_action_mangle_base`, none of which is the
    /// network header. Bits of `mask` stay; `val` is added if `add` is true.
    ///
    /// Other than the kernel's, it finds TCP and UDP behind an IPv6 header that isn't in one piece, and
    /// not behind one that the packet only has a part of: the kernel looks at what is in memory there.
    ///
    /// Checksums stay as they are. If it fails, the packet goes on as it is, and what is left of its
    /// pedit is to be skipped.
    pub(crate) fn edit(
        &mut self,
        htype: u32,
        offset: u32,
        mask: u32,
        val: u32,
        add: bool,
    ) -> Result {
        const LEN: i32 = 4;
        let at = self
            .header(htype)?
            .checked_add(offset as i32)
            .ok_or(EINVAL)?;
        let raw = self.raw();
        // SAFETY: `skb` owns the buffer.
        let headroom = unsafe { bindings::ekho_helper_packet_headroom(raw) };
        let end = at.checked_add(LEN).ok_or(EINVAL)?;
        if at < 0 && at.unsigned_abs() > headroom || end > 0 && end.unsigned_abs() > self.skb.len()
        {
            return Err(EINVAL);
        }
        // SAFETY: `skb` owns the buffer.
        if at < 0 && !unsafe { bindings::ekho_helper_packet_cow(raw, at.unsigned_abs()) } {
            return Err(ENOMEM);
        }
        if let Ok(end) = usize::try_from(end) {
            self.own(end)?;
        }
        // SAFETY: What is in front of the data, and in the data, is memory of this packet only: the
        // headroom is as large as it was, or larger.
        unsafe {
            let word = (*raw).data.offset(at as isize).cast::<u32>();
            let old = word.read_unaligned();
            let val = match add {
                true => old.wrapping_add(val) & !mask,
                false => val,
            };
            word.write_unaligned(old & mask ^ val);
        }
        Ok(())
    }

    /// Where a header of the kind that pedit names is, from where the data begins.
    fn header(&mut self, htype: u32) -> Result<i32> {
        use bindings::{
            flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_ETH as ETH,
            flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_IP4 as IPV4,
            flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_IP6 as IPV6,
            flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_TCP as TCP,
            flow_action_mangle_base_FLOW_ACT_MANGLE_HDR_TYPE_UDP as UDP,
            flow_action_mangle_base_FLOW_ACT_MANGLE_UNSPEC as NETWORK, //
        };
        match htype {
            // SAFETY: `skb` owns the buffer, which has such a header.
            ETH => Ok(unsafe { bindings::ekho_helper_packet_mac_offset(self.raw()) }),
            NETWORK | IPV4 | IPV6 => Ok(self.network_offset()?.try_into()?),
            TCP => self.transport(bindings::IPPROTO_TCP),
            UDP => self.transport(bindings::IPPROTO_UDP),
            _ => Err(EINVAL),
        }
    }

    /// Where its transport header is, if it is of this protocol.
    fn transport(&mut self, protocol: u32) -> Result<i32> {
        const FRAGMENT: [u8; 2] = [0x1f, 0xff];
        let network = self.network_offset()?;
        // SAFETY: `skb` owns the buffer.
        let inner = unsafe { bindings::ekho_helper_packet_inner_protocol(self.raw()) };
        match u32::from(u16::from_be(inner)) {
            bindings::ETH_P_IP => {
                let ip: [u8; IPV4_MIN] = self.load(network).ok_or(EINVAL)?;
                let words = usize::from(ip[0] & 0xf);
                let later = ip[6] & FRAGMENT[0] | ip[7] & FRAGMENT[1] != 0;
                if words < 5 || u32::from(ip[9]) != protocol || later {
                    return Err(EINVAL);
                }
                Ok((network + words * 4).try_into()?)
            }
            bindings::ETH_P_IPV6 => {
                // The kernel's function takes for granted that the header is there, in one piece.
                self.bytes(network, IPV6_LEN).ok_or(EINVAL)?;
                let mut offset = 0;
                let target = protocol as c_int;
                // SAFETY: `skb` owns the buffer, which has the header; it may be told nothing else.
                let found = unsafe {
                    bindings::ipv6_find_hdr(
                        self.raw(),
                        &raw mut offset,
                        target,
                        ptr::null_mut(),
                        ptr::null_mut(),
                    )
                };
                if found != target {
                    return Err(EINVAL);
                }
                Ok(offset.try_into()?)
            }
            _ => Err(EINVAL),
        }
    }

    /// skbedit of its priority.
    #[inline]
    pub(crate) fn set_priority(&mut self, priority: u32) {
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_set_priority(self.raw(), priority) };
    }

    /// skbedit of its mark, of which each bit is changed.
    #[inline]
    pub(crate) fn set_mark(&mut self, mark: u32) {
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_set_mark(self.raw(), mark) };
    }

    /// skbedit of whom it is for: `PACKET_HOST` and others.
    #[inline]
    pub(crate) fn set_packet_type(&mut self, packet_type: u16) {
        // SAFETY: `skb` owns the buffer.
        unsafe { bindings::ekho_helper_packet_set_type(self.raw(), packet_type) };
    }

    /// skbedit of its queue, as it stands in the packet, if the device has so many to transmit.
    #[inline]
    pub(crate) fn set_rx_queue(&mut self, queue: u16) {
        // SAFETY: `skb` owns the buffer, and its device is alive.
        unsafe { bindings::ekho_helper_packet_set_queue(self.raw(), queue) };
    }
}
