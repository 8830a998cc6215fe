// SPDX-License-Identifier: GPL-2.0-only

//! What a flow is asked to match and do: `struct flow_rule`.
//!
//! Each emitter (flower, nftables, flowtables) lays its keys out in its own way; the rule's
//! dissector says where a key is. [`FIELDS`] says where a field is within its key.
//!
//! C headers: [`include/net/flow_offload.h`](srctree/include/net/flow_offload.h),
//! [`include/net/flow_dissector.h`](srctree/include/net/flow_dissector.h)

pub(crate) mod text;

use crate::bindings;
use core::{
    mem::offset_of,
    slice, //
};
use text::{
    ActionKind,
    Encoder,
    Field, //
};

/// Where a field is: in which key, from which byte on, and how long.
struct Place {
    field: Field,
    key: bindings::flow_dissector_key_id,
    offset: usize,
    len: usize,
}

macro_rules! places {
    ($($key:ident: $ty:ident { $($field:ident @ $($member:ident).+ [$len:literal],)* })*) => {
        &[$($(Place {
            field: Field::$field,
            key: bindings::$key,
            offset: offset_of!(bindings::$ty, $($member).+),
            len: $len,
        },)*)*]
    };
    (@raw $($key:ident { $($field:ident @ $offset:literal [$len:literal],)* })*) => {
        &[$($(Place {
            field: Field::$field,
            key: bindings::$key,
            offset: $offset,
            len: $len,
        },)*)*]
    };
}

/// Fields of keys that are plain structures.
const FIELDS: &[Place] = places! {
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC: flow_dissector_key_basic {
        EthType @ n_proto [2],
        IpProto @ ip_proto [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL: flow_dissector_key_control {
        IpFlags @ flags [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS: flow_dissector_key_ipv4_addrs {
        SrcIp4 @ src [4],
        DstIp4 @ dst [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS: flow_dissector_key_ipv6_addrs {
        SrcIp6 @ src [16],
        DstIp6 @ dst [16],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS: flow_dissector_key_eth_addrs {
        DstMac @ dst [6],
        SrcMac @ src [6],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP: flow_dissector_key_arp {
        ArpSip @ sip [4],
        ArpTip @ tip [4],
        ArpOp @ op [1],
        ArpSha @ sha [6],
        ArpTha @ tha [6],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP: flow_dissector_key_tcp {
        TcpFlags @ flags [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP: flow_dissector_key_ip {
        IpTos @ tos [1],
        IpTtl @ ttl [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_KEYID: flow_dissector_key_keyid {
        EncKeyId @ keyid [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV4_ADDRS: flow_dissector_key_ipv4_addrs {
        EncSrcIp4 @ src [4],
        EncDstIp4 @ dst [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV6_ADDRS: flow_dissector_key_ipv6_addrs {
        EncSrcIp6 @ src [16],
        EncDstIp6 @ dst [16],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IP: flow_dissector_key_ip {
        EncTos @ tos [1],
        EncTtl @ ttl [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL: flow_dissector_key_control {
        EncFlags @ flags [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_META: flow_dissector_key_meta {
        InDev @ ingress_ifindex [4],
        L2Miss @ l2_miss [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CT: flow_dissector_key_ct {
        CtState @ ct_state [2],
        CtZone @ ct_zone [2],
        CtMark @ ct_mark [4],
        CtLabels @ ct_labels [16],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_HASH: flow_dissector_key_hash {
        Hash @ hash [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS: flow_dissector_key_num_of_vlans {
        NumOfVlans @ num_of_vlans [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PPPOE: flow_dissector_key_pppoe {
        PppoeSid @ session_id [2],
        PppProto @ ppp_proto [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_L2TPV3: flow_dissector_key_l2tpv3 {
        L2tpv3Sid @ session_id [4],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CFM: flow_dissector_key_cfm {
        CfmMdlVer @ mdl_ver [1],
        CfmOp @ opcode [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPSEC: flow_dissector_key_ipsec {
        Spi @ spi [4],
    }
};

/// Fields of keys whose structures hold unions or bit fields, which have no names in Rust: their
/// layouts are those of the protocols' headers.
const OVERLAID_FIELDS: &[Place] = places! { @raw
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS {
        SrcPort @ 0 [2],
        DstPort @ 2 [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE {
        SrcPortMin @ 0 [2],
        DstPortMin @ 2 [2],
        SrcPortMax @ 4 [2],
        DstPortMax @ 6 [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_PORTS {
        EncSrcPort @ 0 [2],
        EncDstPort @ 2 [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP {
        IcmpType @ 0 [1],
        IcmpCode @ 1 [1],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN {
        VlanTci @ 0 [2],
        VlanTpid @ 2 [2],
        VlanEthType @ 4 [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN {
        CvlanTci @ 0 [2],
        CvlanTpid @ 2 [2],
        CvlanEthType @ 4 [2],
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS {
        Mpls @ 0 [28],
    }
};

const _: () = {
    assert!(size_of::<bindings::flow_dissector_key_ports_range>() == 8);
    assert!(size_of::<bindings::flow_dissector_key_vlan>() == 8);
    assert!(size_of::<bindings::flow_dissector_key_mpls>() == 32);
    // The order of `ActionKind`, at its ends and where it was extended.
    assert!(ActionKind::COUNT == bindings::flow_action_id_NUM_FLOW_ACTIONS);
    assert!(ActionKind::Redirect as u32 == bindings::flow_action_id_FLOW_ACTION_REDIRECT);
    assert!(
        ActionKind::RxQueueMapping as u32 == bindings::flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING
    );
    assert!(ActionKind::Ct as u32 == bindings::flow_action_id_FLOW_ACTION_CT);
    assert!(ActionKind::Continue as u32 == bindings::flow_action_id_FLOW_ACTION_CONTINUE);
};

/// How the user wants a flow's statistics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HwStats {
    /// In a way that counters which are fed from time to time can serve.
    Delayed,
    /// Not at all.
    Disabled,
    /// Only in ways that this can't serve.
    Unsupported,
}

/// A rule, for the length of the request that brought it.
pub(crate) struct FlowRule<'a>(&'a bindings::flow_rule);

impl<'a> FlowRule<'a> {
    /// # Safety
    ///
    /// `ptr` must be null or point at a rule that is valid for `'a`, with its match and its
    /// actions.
    pub(crate) unsafe fn from_raw(ptr: *const bindings::flow_rule) -> Option<Self> {
        // SAFETY: By the requirements of this function.
        unsafe { ptr.as_ref() }.map(Self)
    }

    /// For firmware to read through BTF.
    pub(crate) fn as_raw(&self) -> *mut bindings::flow_rule {
        (&raw const *self.0).cast_mut()
    }

    fn actions(&self) -> &'a [bindings::flow_action_entry] {
        let action = &self.0.action;
        // SAFETY: The array has as many entries as the rule says.
        unsafe { action.entries.as_slice(action.num_entries as usize) }
    }

    /// How many actions there are.
    pub(crate) fn n_actions(&self) -> u32 {
        self.0.action.num_entries
    }

    /// How statistics are wanted. Actions that don't care don't count; if they disagree, it is in
    /// no way that can be served.
    pub(crate) fn hw_stats(&self) -> HwStats {
        let mut wanted = bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DONT_CARE;
        for action in self.actions() {
            wanted &= action.hw_stats;
        }
        if wanted & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED != 0 {
            HwStats::Delayed
        } else if wanted & bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DISABLED != 0 {
            HwStats::Disabled
        } else {
            HwStats::Unsupported
        }
    }

    /// The key and mask bytes of `len` at `offset` in a dissector key, if the rule has the key.
    fn bytes(
        &self,
        key: bindings::flow_dissector_key_id,
        offset: usize,
        len: usize,
    ) -> Option<(&'a [u8], &'a [u8])> {
        let matches = &self.0.match_;
        // SAFETY: A rule's dissector is valid as long as the rule.
        let dissector = unsafe { &*matches.dissector };
        if dissector.used_keys & (1 << key) == 0 {
            return None;
        }
        let start = usize::from(dissector.offset[key as usize]) + offset;
        // SAFETY: The dissector says that the structure of `key` is at its offset in both, and
        // `FIELDS` that the bytes are within that structure.
        unsafe {
            Some((
                slice::from_raw_parts(matches.key.cast::<u8>().add(start), len),
                slice::from_raw_parts(matches.mask.cast::<u8>().add(start), len),
            ))
        }
    }

    /// Writes what the rule matches and does.
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        // SAFETY: A rule's dissector is valid as long as the rule.
        let mut unknown = unsafe { (*self.0.match_.dissector).used_keys };
        for place in FIELDS.iter().chain(OVERLAID_FIELDS) {
            unknown &= !(1 << place.key);
            if let Some((key, mask)) = self.bytes(place.key, place.offset, place.len) {
                if mask.iter().any(|&byte| byte != 0) {
                    encoder.field(place.field, key, mask);
                }
            }
        }
        while unknown != 0 {
            let key = unknown.trailing_zeros();
            encoder.field(Field::Unknown, &key.to_ne_bytes(), &[0xff; 4]);
            unknown &= unknown - 1;
        }
        for action in self.actions() {
            encoder.action(action.id as u8, action_arg(action));
        }
    }
}

/// The number that says most about an action.
fn action_arg(action: &bindings::flow_action_entry) -> u32 {
    let arg = &action.__bindgen_anon_1;
    // SAFETY: The kind of action says which member of the union is in use; a device is held for
    // the length of the request.
    unsafe {
        match action.id {
            bindings::flow_action_id_FLOW_ACTION_GOTO => arg.chain_index,
            bindings::flow_action_id_FLOW_ACTION_REDIRECT
            | bindings::flow_action_id_FLOW_ACTION_MIRRED
            | bindings::flow_action_id_FLOW_ACTION_REDIRECT_INGRESS
            | bindings::flow_action_id_FLOW_ACTION_MIRRED_INGRESS => {
                if arg.dev.is_null() {
                    0
                } else {
                    (&raw const (*arg.dev).ifindex).read_volatile() as u32
                }
            }
            bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH
            | bindings::flow_action_id_FLOW_ACTION_VLAN_MANGLE => arg.vlan.vid.into(),
            bindings::flow_action_id_FLOW_ACTION_MARK => arg.mark,
            bindings::flow_action_id_FLOW_ACTION_PTYPE => arg.ptype.into(),
            bindings::flow_action_id_FLOW_ACTION_PRIORITY => arg.priority,
            bindings::flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING => arg.rx_queue.into(),
            bindings::flow_action_id_FLOW_ACTION_SAMPLE => arg.sample.rate,
            bindings::flow_action_id_FLOW_ACTION_POLICE => action.hw_index,
            bindings::flow_action_id_FLOW_ACTION_CT => arg.ct.zone.into(),
            bindings::flow_action_id_FLOW_ACTION_MPLS_PUSH => arg.mpls_push.label,
            bindings::flow_action_id_FLOW_ACTION_PPPOE_PUSH => arg.pppoe.sid.into(),
            _ => 0,
        }
    }
}
