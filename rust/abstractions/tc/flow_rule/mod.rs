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
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};
use text::{
    ActionKind,
    Encoder,
    Field, //
};

/// Where a field is within its key.
struct Place {
    field: Field,
    offset: usize,
}

/// The fields of a key.
struct Places {
    key: Key,
    places: &'static [Place],
}

impl Places {
    /// Of a key that is in [`KEYS`].
    const fn new(key: bindings::flow_dissector_key_id, places: &'static [Place]) -> Self {
        let key = KEYS[key_at(key)];
        Self { key, places }
    }
}

macro_rules! fields {
    ($($key:ident: $ty:tt { $($field:ident @ $at:tt,)* })*) => {
        /// The fields of all keys.
        static FIELDS: &[Places] = &[$(Places::new(bindings::$key, &[$(Place {
            field: Field::$field,
            offset: fields!(@offset $ty $at),
        },)*]),)*];

        /// The keys that have fields.
        const SHOWN_KEYS: u64 = 0 $(| 1 << bindings::$key)*;

        /// Writes the fields that are matched, and returns the keys that are.
        ///
        /// A line for each field, since all that is known of it at build time makes it cheap.
        fn read_fields(matches: &Match<'_>, encoder: &mut Encoder<'_>) -> u64 {
            let mut keys = 0;
            $({
                const KEY: Key = KEYS[key_at(bindings::$key)];
                const SIZE: usize = KEY.size;
                // SAFETY: It is this many bytes long.
                if let Some((key, mask)) = unsafe { matches.get::<SIZE>(KEY.kernel) } {
                    let mut any = false;
                    $({
                        const AT: usize = fields!(@offset $ty $at);
                        const LEN: usize = Field::$field.len();
                        let (key, mask) = (part::<AT, LEN, SIZE>(key), part::<AT, LEN, SIZE>(mask));
                        any |= encoder.field(Field::$field, key, mask);
                    })*
                    // Some keys have more than what is shown.
                    if any || (!KEY.is_control() && is_masked(mask)) {
                        keys |= 1 << KEY.number;
                    }
                }
            })*
            keys
        }
    };
    (@offset _ $at:literal) => { $at };
    (@offset $ty:ident $at:ident) => { offset_of!(bindings::$ty, $at) };
}

/// `LEN` of `SIZE` bytes, from `AT` on.
#[inline(always)]
fn part<const AT: usize, const LEN: usize, const SIZE: usize>(of: &[u8; SIZE]) -> &[u8; LEN] {
    const { assert!(AT + LEN <= SIZE) };
    // SAFETY: As asserted.
    unsafe { &*of.as_ptr().add(AT).cast() }
}

// In the order in which they are shown. The structures of those at the end hold unions or bit
// fields, which have no names in Rust: their layouts are those of the protocols' headers.
fields! {
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC: flow_dissector_key_basic {
        EthType @ n_proto,
        IpProto @ ip_proto,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL: flow_dissector_key_control {
        IpFlags @ flags,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS: flow_dissector_key_ipv4_addrs {
        SrcIp4 @ src,
        DstIp4 @ dst,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS: flow_dissector_key_ipv6_addrs {
        SrcIp6 @ src,
        DstIp6 @ dst,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS: flow_dissector_key_eth_addrs {
        DstMac @ dst,
        SrcMac @ src,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP: flow_dissector_key_arp {
        ArpSip @ sip,
        ArpTip @ tip,
        ArpOp @ op,
        ArpSha @ sha,
        ArpTha @ tha,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP: flow_dissector_key_tcp {
        TcpFlags @ flags,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP: flow_dissector_key_ip {
        IpTos @ tos,
        IpTtl @ ttl,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_KEYID: flow_dissector_key_keyid {
        EncKeyId @ keyid,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV4_ADDRS: flow_dissector_key_ipv4_addrs {
        EncSrcIp4 @ src,
        EncDstIp4 @ dst,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV6_ADDRS: flow_dissector_key_ipv6_addrs {
        EncSrcIp6 @ src,
        EncDstIp6 @ dst,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IP: flow_dissector_key_ip {
        EncTos @ tos,
        EncTtl @ ttl,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL: flow_dissector_key_control {
        EncFlags @ flags,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_META: flow_dissector_key_meta {
        InDev @ ingress_ifindex,
        L2Miss @ l2_miss,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CT: flow_dissector_key_ct {
        CtState @ ct_state,
        CtZone @ ct_zone,
        CtMark @ ct_mark,
        CtLabels @ ct_labels,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_HASH: flow_dissector_key_hash {
        Hash @ hash,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS: flow_dissector_key_num_of_vlans {
        NumOfVlans @ num_of_vlans,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PPPOE: flow_dissector_key_pppoe {
        PppoeSid @ session_id,
        PppProto @ ppp_proto,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_L2TPV3: flow_dissector_key_l2tpv3 {
        L2tpv3Sid @ session_id,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CFM: flow_dissector_key_cfm {
        CfmMdlVer @ mdl_ver,
        CfmOp @ opcode,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPSEC: flow_dissector_key_ipsec {
        Spi @ spi,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS: _ {
        SrcPort @ 0,
        DstPort @ 2,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE: _ {
        SrcPortMin @ 0,
        DstPortMin @ 2,
        SrcPortMax @ 4,
        DstPortMax @ 6,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_PORTS: _ {
        EncSrcPort @ 0,
        EncDstPort @ 2,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP: _ {
        IcmpType @ 0,
        IcmpCode @ 1,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN: _ {
        VlanTci @ 0,
        VlanTpid @ 2,
        VlanEthType @ 4,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN: _ {
        CvlanTci @ 0,
        CvlanTpid @ 2,
        CvlanEthType @ 4,
    }
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS: _ {
        Mpls @ 0,
    }
}

/// A key of the kernel's, its number in the firmware contract, and its size.
#[derive(Clone, Copy)]
struct Key {
    kernel: bindings::flow_dissector_key_id,
    number: u32,
    size: usize,
    name: &'static str,
}

impl Key {
    /// Whether it comes with every rule.
    const fn is_control(&self) -> bool {
        matches!(
            self.kernel,
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL
                | bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL
        )
    }
}

macro_rules! keys {
    ($($kernel:ident => $number:ident: $ty:ident, $name:literal;)*) => {
        &[$(Key {
            kernel: bindings::$kernel,
            number: bindings::$number,
            size: size_of::<bindings::$ty>(),
            name: $name,
        },)*]
    };
}

/// The keys that flower, nftables and flowtables use.
#[rustfmt::skip]
const KEYS: &[Key] = keys! {
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL => ekho_key_EKHO_KEY_CONTROL: flow_dissector_key_control, "control";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_BASIC => ekho_key_EKHO_KEY_BASIC: flow_dissector_key_basic, "basic";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV4_ADDRS => ekho_key_EKHO_KEY_IPV4_ADDRS: flow_dissector_key_ipv4_addrs, "ipv4_addrs";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPV6_ADDRS => ekho_key_EKHO_KEY_IPV6_ADDRS: flow_dissector_key_ipv6_addrs, "ipv6_addrs";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS => ekho_key_EKHO_KEY_PORTS: flow_dissector_key_ports, "ports";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PORTS_RANGE => ekho_key_EKHO_KEY_PORTS_RANGE: flow_dissector_key_ports_range, "ports_range";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ICMP => ekho_key_EKHO_KEY_ICMP: flow_dissector_key_icmp, "icmp";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ETH_ADDRS => ekho_key_EKHO_KEY_ETH_ADDRS: flow_dissector_key_eth_addrs, "eth_addrs";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ARP => ekho_key_EKHO_KEY_ARP: flow_dissector_key_arp, "arp";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_VLAN => ekho_key_EKHO_KEY_VLAN: flow_dissector_key_vlan, "vlan";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CVLAN => ekho_key_EKHO_KEY_CVLAN: flow_dissector_key_vlan, "cvlan";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_MPLS => ekho_key_EKHO_KEY_MPLS: flow_dissector_key_mpls, "mpls";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_TCP => ekho_key_EKHO_KEY_TCP: flow_dissector_key_tcp, "tcp";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IP => ekho_key_EKHO_KEY_IP: flow_dissector_key_ip, "ip";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_META => ekho_key_EKHO_KEY_META: flow_dissector_key_meta, "meta";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CT => ekho_key_EKHO_KEY_CT: flow_dissector_key_ct, "ct";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_HASH => ekho_key_EKHO_KEY_HASH: flow_dissector_key_hash, "hash";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_NUM_OF_VLANS => ekho_key_EKHO_KEY_NUM_OF_VLANS: flow_dissector_key_num_of_vlans, "num_of_vlans";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_PPPOE => ekho_key_EKHO_KEY_PPPOE: flow_dissector_key_pppoe, "pppoe";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_L2TPV3 => ekho_key_EKHO_KEY_L2TPV3: flow_dissector_key_l2tpv3, "l2tpv3";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_CFM => ekho_key_EKHO_KEY_CFM: flow_dissector_key_cfm, "cfm";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_IPSEC => ekho_key_EKHO_KEY_IPSEC: flow_dissector_key_ipsec, "ipsec";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_KEYID => ekho_key_EKHO_KEY_ENC_KEYID: flow_dissector_key_keyid, "enc_keyid";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV4_ADDRS => ekho_key_EKHO_KEY_ENC_IPV4_ADDRS: flow_dissector_key_ipv4_addrs, "enc_ipv4_addrs";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IPV6_ADDRS => ekho_key_EKHO_KEY_ENC_IPV6_ADDRS: flow_dissector_key_ipv6_addrs, "enc_ipv6_addrs";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL => ekho_key_EKHO_KEY_ENC_CONTROL: flow_dissector_key_control, "enc_control";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_PORTS => ekho_key_EKHO_KEY_ENC_PORTS: flow_dissector_key_ports, "enc_ports";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_IP => ekho_key_EKHO_KEY_ENC_IP: flow_dissector_key_ip, "enc_ip";
    flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_OPTS => ekho_key_EKHO_KEY_ENC_OPTS: flow_dissector_key_enc_opts, "enc_opts";
};

/// The names of the keys of a set, from `enum ekho_key` on; the last stands for those not known.
pub(crate) fn key_names(set: u64) -> impl Iterator<Item = &'static str> {
    let known = KEYS
        .iter()
        .filter(move |key| set & (1 << key.number) != 0)
        .map(|key| key.name);
    Iterator::chain(known, (set & UNKNOWN_KEY != 0).then_some("unknown"))
}

/// The names of the actions of a set, as `enum ekho_action_id` numbers them.
pub(crate) fn action_names(set: u64) -> impl Iterator<Item = &'static str> {
    (0..u64::BITS)
        .filter(move |id| set & (1 << id) != 0)
        .map(action_name)
}

/// Where a key of the kernel is in [`KEYS`]; at build time.
const fn key_at(key: bindings::flow_dissector_key_id) -> usize {
    let mut n = 0;
    while KEYS[n].kernel != key {
        n += 1;
    }
    n
}

/// The numbers of the bits of a set.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (bit < u64::BITS).then_some(bit as usize)
    })
}

/// Whether a mask matches anything.
fn is_masked(mask: &[u8]) -> bool {
    mask.iter().fold(0, |any, byte| any | byte) != 0
}

/// Stands for keys that the contract has no number for.
const UNKNOWN_KEY: u64 = 1 << bindings::ekho_key_EKHO_KEY_UNKNOWN;

const _: () = {
    assert!(size_of::<bindings::flow_dissector_key_ports_range>() == 8);
    assert!(size_of::<bindings::flow_dissector_key_vlan>() == 8);
    assert!(size_of::<bindings::flow_dissector_key_mpls>() == 32);
    // See `FlowRule::key`.
    let mut n = 0;
    while n < KEYS.len() {
        assert!(KEYS[n].number as usize == n);
        n += 1;
    }
    // The order of `ActionKind`, at its ends and where it was extended.
    assert!(ActionKind::COUNT == bindings::flow_action_id_NUM_FLOW_ACTIONS);
    assert!(ActionKind::Redirect as u32 == bindings::flow_action_id_FLOW_ACTION_REDIRECT);
    assert!(
        ActionKind::RxQueueMapping as u32 == bindings::flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING
    );
    assert!(ActionKind::Ct as u32 == bindings::flow_action_id_FLOW_ACTION_CT);
    assert!(ActionKind::Continue as u32 == bindings::flow_action_id_FLOW_ACTION_CONTINUE);
    // The contract's numbers are those of this kernel, at the same places: see `action_number`.
    assert!(
        ActionKind::RxQueueMapping as u32 == bindings::ekho_action_id_EKHO_ACT_RX_QUEUE_MAPPING
    );
    assert!(ActionKind::Continue as u32 == bindings::ekho_action_id_EKHO_ACT_CONTINUE);
};

/// An action's number in the firmware contract. Another kernel's numbers are translated here.
fn action_number(id: bindings::flow_action_id) -> u32 {
    if id < ActionKind::COUNT {
        id
    } else {
        bindings::ekho_action_id_EKHO_ACT_UNKNOWN
    }
}

/// An action's name.
fn action_name(number: u32) -> &'static str {
    ActionKind::name(number).unwrap_or("unknown")
}

/// A conntrack action that comes with a flowtable, for the length of the request that brings it.
///
/// # Invariants
///
/// The entry was made from a `struct tcf_ct` that is alive, and names a flowtable.
#[derive(Clone, Copy)]
pub(crate) struct CtAction<'a>(&'a bindings::flow_action_entry);

impl<'a> CtAction<'a> {
    /// None if the entry is of another action, or of `ct clear`, which has a table but doesn't use it.
    ///
    /// # Safety
    ///
    /// `entry` must be one that the kernel made from a tc action, or from none, and the action be
    /// alive for `'a`.
    unsafe fn of(entry: &'a bindings::flow_action_entry) -> Option<Self> {
        // INVARIANT: Only act_ct makes entries of this kind, from its own action.
        (entry.id == bindings::flow_action_id_FLOW_ACTION_CT)
            .then_some(Self(entry))
            .filter(|action| !action.clears() && action.key() != 0)
    }

    /// The kernel's entry; its cookie is the address of the `struct tcf_ct`.
    pub(crate) fn as_raw(self) -> *const bindings::flow_action_entry {
        self.0
    }

    /// What tells the table from others while it lives.
    pub(crate) fn key(self) -> usize {
        // SAFETY: The member that belongs to the kind.
        unsafe { self.0.__bindgen_anon_1.ct.flow_table as usize }
    }

    fn clears(self) -> bool {
        // SAFETY: The member that belongs to the kind.
        let flags = unsafe { self.0.__bindgen_anon_1.ct.action };
        flags & i32::from(bindings::EKHO_CONST_TCA_CT_ACT_CLEAR) != 0
    }

    /// The zone whose connections are in the table.
    pub(crate) fn zone(self) -> u16 {
        // SAFETY: The member that belongs to the kind.
        unsafe { self.0.__bindgen_anon_1.ct.zone }
    }
}

/// A rule that was made from the actions of a filter which has no rule.
///
/// # Invariants
///
/// The pointer is of a rule from `ekho_helper_rule_of_exts()`.
pub(crate) struct OwnedRule(NonNull<bindings::flow_rule>);

impl OwnedRule {
    /// Process context.
    ///
    /// # Safety
    ///
    /// `exts` must be the actions of a filter that is being offloaded, and `extack` be null or valid.
    pub(crate) unsafe fn of_actions(
        exts: *mut bindings::tcf_exts,
        extack: *mut bindings::netlink_ext_ack,
    ) -> Result<Self> {
        // SAFETY: By the requirements of this function.
        let rule = from_err_ptr(unsafe { bindings::ekho_helper_rule_of_exts(exts, extack) })?;
        // INVARIANT: Just made.
        Ok(Self(NonNull::new(rule).ok_or(ENOMEM)?))
    }

    /// The rule.
    pub(crate) fn get(&self) -> FlowRule<'_> {
        // SAFETY: Valid until `drop`, by the type invariants.
        let rule = unsafe { self.0.as_ref() };
        FlowRule {
            rule: Some(rule),
            action: &rule.action,
        }
    }
}

impl Drop for OwnedRule {
    fn drop(&mut self) {
        // SAFETY: Ours, by the type invariants.
        unsafe { bindings::ekho_helper_rule_free(self.0.as_ptr()) };
    }
}

/// What a rule matches: where its keys are, and their masks.
struct Match<'a> {
    dissector: &'a bindings::flow_dissector,
    key: *const u8,
    mask: *const u8,
}

impl<'a> Match<'a> {
    /// The structures of a key and its mask, if the rule has the key.
    #[inline(always)]
    fn at(&self, key: bindings::flow_dissector_key_id) -> Option<(*const u8, *const u8)> {
        if self.dissector.used_keys & (1 << key) == 0 {
            return None;
        }
        let offset = usize::from(self.dissector.offset[key as usize]);
        // SAFETY: The dissector says that the structure of `key` is at its offset in both.
        unsafe { Some((self.key.add(offset), self.mask.add(offset))) }
    }

    /// The same as bytes.
    ///
    /// # Safety
    ///
    /// `N` must be the size of the structure.
    #[inline(always)]
    unsafe fn get<const N: usize>(
        &self,
        key: bindings::flow_dissector_key_id,
    ) -> Option<(&'a [u8; N], &'a [u8; N])> {
        let (key, mask) = self.at(key)?;
        // SAFETY: By the requirements of this function; they are valid as long as the rule.
        unsafe { Some((&*key.cast(), &*mask.cast())) }
    }
}

/// A rule, for the length of the request that brought it.
#[derive(Clone, Copy)]
pub(crate) struct FlowRule<'a> {
    /// None if it has actions only, and stands in no rule.
    rule: Option<&'a bindings::flow_rule>,
    action: &'a bindings::flow_action,
}

impl<'a> FlowRule<'a> {
    /// # Safety
    ///
    /// `ptr` must be null or point at a rule that is valid for `'a`, with its match and its
    /// actions.
    pub(crate) unsafe fn from_raw(ptr: *const bindings::flow_rule) -> Option<Self> {
        // SAFETY: By the requirements of this function.
        let rule = unsafe { ptr.as_ref() }?;
        Some(Self {
            rule: Some(rule),
            action: &rule.action,
        })
    }

    /// A rule that has nothing but actions.
    pub(crate) fn of_action(action: &'a bindings::flow_action) -> Self {
        Self { rule: None, action }
    }

    /// For firmware to read through BTF; null if there is none.
    pub(crate) fn as_raw(&self) -> *mut bindings::flow_rule {
        self.rule
            .map_or(ptr::null_mut(), |rule| (&raw const *rule).cast_mut())
    }

    /// The list of actions, for firmware to read through BTF.
    pub(crate) fn action_raw(&self) -> *mut bindings::flow_action {
        (&raw const *self.action).cast_mut()
    }

    fn actions(&self) -> &'a [bindings::flow_action_entry] {
        // SAFETY: The array has as many entries as the rule says.
        unsafe {
            self.action
                .entries
                .as_slice(self.action.num_entries as usize)
        }
    }

    /// How many actions there are.
    pub(crate) fn n_actions(&self) -> u32 {
        self.action.num_entries
    }

    /// The `n`th action, for firmware.
    pub(crate) fn action(&self, n: usize) -> Option<bindings::ekho_action> {
        let entry = self.actions().get(n)?;
        let number = action_number(entry.id);
        Some(bindings::ekho_action {
            id: number,
            hw_stats: entry.hw_stats,
            index: entry.hw_index,
            arg: action_arg(entry),
            cookie: entry.cookie as u64,
            name: ActionKind::c_name(number)
                .unwrap_or(c"unknown".as_char_ptr().cast())
                .cast(),
            entry: (&raw const *entry).cast_mut(),
        })
    }

    /// The kernel's keys of the actions; an action of several entries comes as often.
    pub(crate) fn action_cookies(&self) -> impl Iterator<Item = u64> + 'a {
        self.actions().iter().map(|action| action.cookie as u64)
    }

    /// The ways of counting that suit all actions: bits of `enum flow_action_hw_stats`. Actions
    /// that don't care suit all.
    pub(crate) fn hw_stats(&self) -> u32 {
        self.actions().iter().fold(
            bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DONT_CARE,
            |common, action| common & action.hw_stats,
        )
    }

    /// The first action that isn't in a set: its name.
    pub(crate) fn action_beyond(&self, set: u64) -> Option<&'static str> {
        self.actions()
            .iter()
            .map(|action| action_number(action.id))
            .find(|number| set & (1 << number) == 0)
            .map(action_name)
    }

    /// What it matches; none if that is everything.
    fn matches(&self) -> Option<Match<'a>> {
        let flow_match = &self.rule?.match_;
        // SAFETY: Null, or valid as long as the rule.
        let dissector = unsafe { flow_match.dissector.as_ref() }?;
        Some(Match {
            dissector,
            key: flow_match.key.cast(),
            mask: flow_match.mask.cast(),
        })
    }

    /// What is matched: see [`Self::read`].
    pub(crate) fn keys(&self) -> u64 {
        self.read(&mut Encoder::new(&mut []))
    }

    /// The structures of a key and its mask, as bytes, by its number in `enum ekho_key`.
    ///
    /// Fails with [`EINVAL`] if there is no such key, with [`ENOENT`] if the rule hasn't got it.
    pub(crate) fn key(&self, number: u32) -> Result<(&'a [u8], &'a [u8])> {
        // They stand in the order of their numbers.
        let key = KEYS.get(number as usize).ok_or(EINVAL)?;
        self.bytes(key.kernel, 0, key.size).ok_or(ENOENT)
    }

    /// The first field that is matched, by one of a set of keys: its name; none if the set is empty.
    pub(crate) fn field_of(&self, keys: u64) -> Option<&'static str> {
        let key = KEYS.iter().find(|key| keys & (1 << key.number) != 0);
        let Some(key) = key else {
            return (keys != 0).then_some("an unknown key");
        };
        let masked = |place: &&Place| {
            self.bytes(key.kernel, place.offset, place.field.len())
                .is_some_and(|(_, mask)| is_masked(mask))
        };
        let places = FIELDS.iter().find(|p| p.key.number == key.number);
        let place = places.and_then(|places| places.places.iter().find(masked));
        Some(place.map_or(key.name, |place| place.field.name()))
    }

    /// Those of its actions that send packets to conntrack, and bring a flowtable.
    pub(crate) fn ct_actions(&self) -> impl Iterator<Item = CtAction<'a>> + 'a {
        self.actions().iter().filter_map(|entry| {
            // SAFETY: The entries come from the kernel, with the request that keeps their actions.
            unsafe { CtAction::of(entry) }
        })
    }

    /// What conntrack will say of the packets of a connection, if the rule is that of one in a table
    /// of act_ct: `enum ip_conntrack_info`.
    pub(crate) fn ct_info(&self) -> Option<u8> {
        let entry = self
            .actions()
            .iter()
            .find(|entry| entry.id == bindings::flow_action_id_FLOW_ACTION_CT_METADATA)?;
        // SAFETY: The member that belongs to the kind. It is a pointer whose lowest bits tell.
        let cookie = unsafe { entry.__bindgen_anon_1.ct_metadata.cookie };
        Some(cookie as u8 & bindings::EKHO_CONST_NFCT_INFOMASK)
    }

    /// The device by which packets come in, as flowtables match it for each direction.
    pub(crate) fn ingress_ifindex(&self) -> Option<u32> {
        let (key, mask) = self.bytes(
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_META,
            offset_of!(bindings::flow_dissector_key_meta, ingress_ifindex),
            4,
        )?;
        if mask != [0xff; 4] {
            return None;
        }
        Some(u32::from_ne_bytes(key.try_into().ok()?))
    }

    /// The key and mask bytes of `len` at `offset` in a dissector key, if the rule has the key.
    fn bytes(
        &self,
        key: bindings::flow_dissector_key_id,
        offset: usize,
        len: usize,
    ) -> Option<(&'a [u8], &'a [u8])> {
        let (key, mask) = self.matches()?.at(key)?;
        // SAFETY: The structure of `key` is there in both, and callers stay within it.
        unsafe {
            Some((
                slice::from_raw_parts(key.add(offset), len),
                slice::from_raw_parts(mask.add(offset), len),
            ))
        }
    }

    /// Writes what the rule matches and does.
    ///
    /// Returns what is matched: a bit for each key that has a mask, as `enum ekho_key` numbers them.
    /// The control keys, which come with every rule, count if flags are matched.
    pub(crate) fn read(&self, encoder: &mut Encoder<'_>) -> u64 {
        let mut keys = 0;
        if let Some(matches) = self.matches() {
            keys = read_fields(&matches, encoder);
            for kernel in bits(matches.dissector.used_keys & !SHOWN_KEYS) {
                encoder.field(Field::Unknown, &(kernel as u32).to_ne_bytes(), &[0xff; 4]);
                let Some(key) = KEYS.iter().find(|key| key.kernel as usize == kernel) else {
                    keys |= UNKNOWN_KEY;
                    continue;
                };
                let bytes = self.bytes(key.kernel, 0, key.size);
                if bytes.is_some_and(|(_, mask)| is_masked(mask)) {
                    keys |= 1 << key.number;
                }
            }
        }
        for action in self.actions() {
            encoder.action(action.id as u8, || action_arg(action));
        }
        keys
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
