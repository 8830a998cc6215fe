// SPDX-License-Identifier: GPL-2.0-only

//! What a packet is, to those who match it: `struct fl_flow_key` of flower, without what tunnels and
//! conntrack know of it.
//!
//! C header: [`include/net/flow_dissector.h`](srctree/include/net/flow_dissector.h)

use crate::bindings::{
    self,
    ekho_packet_key,
    flow_dissector_key_id as KeyId, //
};
use core::{
    array,
    mem::offset_of, //
};
use kernel::prelude::*;

const WORDS: usize = size_of::<ekho_packet_key>() / size_of::<u64>();

const _: () = assert!(size_of::<ekho_packet_key>() % size_of::<u64>() == 0);

/// What packets are matched by, each key at its [place](place_of); all else is zero.
///
/// Bytes, so that what is between the members of a structure is defined.
#[derive(Clone, Copy)]
pub(crate) struct PacketKey([u64; WORDS]);

impl PacketKey {
    /// How many words it has.
    pub(crate) const WORDS: usize = WORDS;

    /// One without a packet.
    pub(crate) const fn zeroed() -> Self {
        Self([0; WORDS])
    }

    /// For comparison and hashing.
    #[inline]
    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }

    /// The same, to be changed: masked, or filled with what a rule matches.
    #[inline]
    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// Sets the structure of a key, as far as it has a place.
    pub(crate) fn set(&mut self, key: KeyId, bytes: &[u8]) {
        let Some((offset, size)) = place_of(key) else {
            return;
        };
        for (n, byte) in bytes.iter().enumerate().take(size) {
            let at = offset + n;
            if let Some(word) = self.0.get_mut(at / size_of::<u64>()) {
                let mut of_word = word.to_ne_bytes();
                of_word[at % size_of::<u64>()] = *byte;
                *word = u64::from_ne_bytes(of_word);
            }
        }
    }

    fn byte(&self, at: usize) -> u8 {
        let word = self.0.get(at / size_of::<u64>()).copied().unwrap_or(0);
        word.to_ne_bytes()[at % size_of::<u64>()]
    }

    /// The structure of ranges of ports, of a rule or of its mask.
    pub(crate) fn port_range(&self) -> PortRange {
        PortRange(array::from_fn(|n| self.byte(PORT_RANGE + n)))
    }

    /// The source and the destination port of a packet that was dissected: what is compared with ranges.
    pub(crate) fn range_ports(&self) -> [u16; 2] {
        self.port_range().least()
    }

    /// What a rule has that matches a packet which is within its ranges.
    pub(crate) fn with_port_range(&self, range: PortRange) -> Self {
        let mut key = *self;
        key.set(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE,
            &range.0,
        );
        key
    }

    /// The memory in which [`DISSECTOR`] places the keys.
    #[inline]
    pub(super) fn as_container(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }
}

/// Where the structure of ranges of ports is.
const PORT_RANGE: usize = offset_of!(ekho_packet_key, tp_range);

/// Ranges of source and of destination ports: `struct flow_dissector_key_ports_range`, of a rule. A packet
/// has its ports in place of the least ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortRange([u8; size_of::<bindings::flow_dissector_key_ports_range>()]);

impl PortRange {
    fn port(&self, at: usize) -> u16 {
        let byte = |at: usize| self.0.get(at).copied().unwrap_or(0);
        u16::from_be_bytes([byte(at), byte(at + 1)])
    }

    /// The least source and destination port; as a mask, whether there is one.
    pub(crate) fn least(&self) -> [u16; 2] {
        [self.port(0), self.port(2)]
    }

    /// The greatest source and destination port.
    pub(crate) fn greatest(&self) -> [u16; 2] {
        [self.port(4), self.port(6)]
    }
}

/// A key that packets are dissected for, and where in a [`PacketKey`] it is.
struct Place {
    key: KeyId,
    offset: usize,
    size: usize,
}

macro_rules! places {
    ($($key:ident: $member:ident: $type:ident,)*) => {
        [$(Place {
            key: bindings::$key,
            offset: offset_of!(ekho_packet_key, $member),
            size: {
                let size = size_of::<bindings::$type>();
                assert!(offset_of!(ekho_packet_key, $member) + size <= size_of::<ekho_packet_key>());
                size
            },
        }),*]
    };
}

const PLACES: [Place; 20] = places! {
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_META: meta: flow_dissector_key_meta,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL: control: flow_dissector_key_control,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC: basic: flow_dissector_key_basic,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS: eth: flow_dissector_key_eth_addrs,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN: vlan: flow_dissector_key_vlan,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN: cvlan: flow_dissector_key_vlan,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS: ipv4: flow_dissector_key_ipv4_addrs,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS: ipv6: flow_dissector_key_ipv6_addrs,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS: tp: flow_dissector_key_ports,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP: icmp: flow_dissector_key_icmp,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP: arp: flow_dissector_key_arp,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS: mpls: flow_dissector_key_mpls,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP: tcp: flow_dissector_key_tcp,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP: ip: flow_dissector_key_ip,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE: tp_range: flow_dissector_key_ports_range,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS: num_of_vlans: flow_dissector_key_num_of_vlans,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PPPOE: pppoe: flow_dissector_key_pppoe,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_L2TPV3: l2tpv3: flow_dissector_key_l2tpv3,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPSEC: ipsec: flow_dissector_key_ipsec,
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CFM: cfm: flow_dissector_key_cfm,
};

/// Dissects packets for all keys at once, as `skb_flow_dissector_init()` would have it.
///
/// A key has the same value whatever other keys there are, but for one: `control.addr_type` is that of
/// the addresses which a packet has, and flower's dissector for a filter sets it only if the filter's
/// mask has bits of such addresses. So flower never finds a filter that matches `addr_type` with
/// addresses of which no bit counts.
pub(super) static DISSECTOR: bindings::flow_dissector = dissector();

const fn dissector() -> bindings::flow_dissector {
    let mut dissector = bindings::flow_dissector {
        used_keys: 0,
        offset: [0; bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_MAX as usize],
    };
    let mut n = 0;
    while n < PLACES.len() {
        let place = &PLACES[n];
        dissector.used_keys |= 1 << place.key;
        dissector.offset[place.key as usize] = place.offset as u16;
        n += 1;
    }
    dissector
}

/// Where the basic key is.
pub(super) const BASIC: usize = offset_of!(ekho_packet_key, basic);

/// Offset and size in bytes of a key's structure in a [`PacketKey`]; none if packets aren't dissected
/// for it.
pub(crate) const fn place_of(key: KeyId) -> Option<(usize, usize)> {
    let mut n = 0;
    while n < PLACES.len() {
        if PLACES[n].key == key {
            return Some((PLACES[n].offset, PLACES[n].size));
        }
        n += 1;
    }
    None
}
