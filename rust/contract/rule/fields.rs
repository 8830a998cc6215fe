// SPDX-License-Identifier: GPL-2.0-only

//! What a rule matches: keys as the contract numbers them, and their fields.

use crate::{
    abstractions::{
        net::packet::{
            place_of,
            PacketKey, //
        },
        tc::flow_rule::{
            FlowRule,
            KeyId,
            Match, //
        },
    },
    bindings,
    contract::encoding::{
        encoder::Encoder,
        tables::{
            field,
            key,
            KEYS, //
        }, //
    },
};
use core::mem::offset_of;
use kernel::{
    macros::paste,
    prelude::*, //
};

/// A key of the kernel's, and the size of its structure.
#[derive(Clone, Copy)]
struct Key {
    kernel: KeyId,
    size: usize,
}

impl Key {
    /// Whether it comes with every rule.
    const fn is_control(self) -> bool {
        matches!(
            self.kernel,
            bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_CONTROL
                | bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_ENC_CONTROL
        )
    }
}

/// Stands for keys that the contract has no number for.
const UNKNOWN_KEY: u64 = 1 << bindings::ekho_key_EKHO_KEY_UNKNOWN;

const _: () = assert!(key::UNKNOWN.number == bindings::ekho_key_EKHO_KEY_UNKNOWN);

/// The structure of the options of a tunnel.
type Options = bindings::flow_dissector_key_enc_opts;

macro_rules! fields {
    ($($key:ident: $ty:ident { $($field:ident: $kind:ident $([$($bits:tt)*])? @ $at:tt,)* })*) => {
        paste! {
            /// The kernel's keys, in the order of the contract's numbers.
            const KERNEL_KEYS: [Key; KEYS.len()] = {
                let mut keys = [Key { kernel: KeyId::MAX, size: 0 }; KEYS.len()];
                $(keys[key::$key.number as usize] = Key {
                    kernel: bindings::[<flow_dissector_key_id_FLOW_DISSECTOR_KEY_ $key>],
                    size: size_of::<bindings::$ty>(),
                };)*
                keys
            };

            /// A bit for each of them.
            const KNOWN_KEYS: u64 = 0
                $(| 1 << bindings::[<flow_dissector_key_id_FLOW_DISSECTOR_KEY_ $key>])*;

            $(const _: () = {
                $(assert!(field::$field.key == key::$key.number);)*
            };)*
        }

        /// Writes the fields that are matched, and returns the keys that are.
        ///
        /// A line for each field, since all that is known of it at build time makes it cheap.
        fn encode_fields(matches: &Match<'_>, encoder: &mut Encoder<'_>) -> u64 {
            let mut keys = 0;
            $({
                const KEY: Key = KERNEL_KEYS[key::$key.number as usize];
                const SIZE: usize = KEY.size;
                // SAFETY: It is this many bytes long.
                if let Some((key, mask)) = unsafe { matches.get::<SIZE>(KEY.kernel) } {
                    let mut any = false;
                    $(any |= fields!(
                        @$kind $([$($bits)*])? encoder $field { fields!(@offset $ty $at) } SIZE key mask
                    );)*
                    // Some keys have more than what is shown.
                    if any || (!KEY.is_control() && is_masked(mask)) {
                        keys |= 1 << key::$key.number;
                    }
                }
            })*
            keys
        }
    };
    (@offset $ty:ident $at:literal) => { $at };
    (@offset $ty:ident $at:ident) => { offset_of!(bindings::$ty, $at) };
    // As they are.
    (@bytes $encoder:ident $field:ident $at:block $size:ident $key:ident $mask:ident) => {{
        const AT: usize = $at;
        const LEN: usize = field::$field.len();
        $encoder.field::<LEN>(
            field::$field,
            part::<AT, LEN, $size>($key),
            part::<AT, LEN, $size>($mask),
        )
    }};
    // Numbers in the machine's byte order.
    (@u16 $encoder:ident $field:ident $at:block $size:ident $key:ident $mask:ident) => {{
        const AT: usize = $at;
        let number = |of: &[u8; $size]| u16::from_ne_bytes(*part::<AT, 2, $size>(of)).into();
        $encoder.number(field::$field, number($key), number($mask))
    }};
    (@u32 $encoder:ident $field:ident $at:block $size:ident $key:ident $mask:ident) => {{
        const AT: usize = $at;
        let number = |of: &[u8; $size]| u32::from_ne_bytes(*part::<AT, 4, $size>(of)).into();
        $encoder.number(field::$field, number($key), number($mask))
    }};
    // Bits of a VLAN tag.
    (@tci [$shift:literal, $all:literal]
        $encoder:ident $field:ident $at:block $size:ident $key:ident $mask:ident) => {{
        const AT: usize = $at;
        let number = |of: &[u8; $size]| {
            ((u16::from_ne_bytes(*part::<AT, 2, $size>(of)) >> $shift) & $all).into()
        };
        $encoder.number(field::$field, number($key), number($mask))
    }};
    // An entry of an MPLS label stack, which is a number in the machine's byte order.
    (@lse $encoder:ident $field:ident $at:block $size:ident $key:ident $mask:ident) => {{
        const AT: usize = $at;
        let entry = |of: &[u8; $size]| {
            u32::from_ne_bytes(*part::<AT, 4, $size>(of)).to_be_bytes()
        };
        $encoder.field::<4>(field::$field, &entry($key), &entry($mask))
    }};
    (@options $encoder:ident $field:ident $at:block $size:ident $key:ident $mask:ident) => {
        encode_options($encoder, $key, $mask)
    };
}

/// `LEN` of `SIZE` bytes, from `AT` on.
#[inline(always)]
fn part<const AT: usize, const LEN: usize, const SIZE: usize>(of: &[u8; SIZE]) -> &[u8; LEN] {
    const { assert!(AT + LEN <= SIZE) };
    // SAFETY: As asserted.
    unsafe { &*of.as_ptr().add(AT).cast() }
}

// In the order in which they are shown. The structures of those with numbers for offsets hold unions
// or bit fields, which have no names in Rust: their layouts are those of the protocols' headers.
fields! {
    BASIC: flow_dissector_key_basic {
        ETH_TYPE: bytes @ n_proto,
        IP_PROTO: bytes @ ip_proto,
    }
    CONTROL: flow_dissector_key_control {
        IP_FLAGS: u32 @ flags,
    }
    IPV4_ADDRS: flow_dissector_key_ipv4_addrs {
        IPV4_SRC: bytes @ src,
        IPV4_DST: bytes @ dst,
    }
    IPV6_ADDRS: flow_dissector_key_ipv6_addrs {
        IPV6_SRC: bytes @ src,
        IPV6_DST: bytes @ dst,
    }
    ETH_ADDRS: flow_dissector_key_eth_addrs {
        ETH_DST: bytes @ dst,
        ETH_SRC: bytes @ src,
    }
    ARP: flow_dissector_key_arp {
        ARP_SIP: bytes @ sip,
        ARP_TIP: bytes @ tip,
        ARP_OP: bytes @ op,
        ARP_SHA: bytes @ sha,
        ARP_THA: bytes @ tha,
    }
    TCP: flow_dissector_key_tcp {
        TCP_FLAGS: bytes @ flags,
    }
    IP: flow_dissector_key_ip {
        IP_TOS: bytes @ tos,
        IP_TTL: bytes @ ttl,
    }
    ENC_KEYID: flow_dissector_key_keyid {
        ENC_KEY_ID: bytes @ keyid,
    }
    ENC_IPV4_ADDRS: flow_dissector_key_ipv4_addrs {
        ENC_IPV4_SRC: bytes @ src,
        ENC_IPV4_DST: bytes @ dst,
    }
    ENC_IPV6_ADDRS: flow_dissector_key_ipv6_addrs {
        ENC_IPV6_SRC: bytes @ src,
        ENC_IPV6_DST: bytes @ dst,
    }
    ENC_PORTS: flow_dissector_key_ports {
        ENC_PORT_SRC: bytes @ 0,
        ENC_PORT_DST: bytes @ 2,
    }
    ENC_IP: flow_dissector_key_ip {
        ENC_TOS: bytes @ tos,
        ENC_TTL: bytes @ ttl,
    }
    ENC_CONTROL: flow_dissector_key_control {
        ENC_FLAGS: u32 @ flags,
    }
    ENC_OPTS: flow_dissector_key_enc_opts {
        ENC_OPTS: options @ 0,
    }
    META: flow_dissector_key_meta {
        INDEV: u32 @ ingress_ifindex,
        L2_MISS: bytes @ l2_miss,
    }
    CT: flow_dissector_key_ct {
        CT_STATE: u16 @ ct_state,
        CT_ZONE: u16 @ ct_zone,
        CT_MARK: u32 @ ct_mark,
        CT_LABELS: bytes @ ct_labels,
    }
    HASH: flow_dissector_key_hash {
        HASH: u32 @ hash,
    }
    NUM_OF_VLANS: flow_dissector_key_num_of_vlans {
        NUM_OF_VLANS: bytes @ num_of_vlans,
    }
    PPPOE: flow_dissector_key_pppoe {
        PPPOE_SID: bytes @ session_id,
        PPP_PROTO: bytes @ ppp_proto,
    }
    L2TPV3: flow_dissector_key_l2tpv3 {
        L2TPV3_SID: bytes @ session_id,
    }
    CFM: flow_dissector_key_cfm {
        CFM_MDL_VER: bytes @ mdl_ver,
        CFM_OPCODE: bytes @ opcode,
    }
    IPSEC: flow_dissector_key_ipsec {
        IPSEC_SPI: bytes @ spi,
    }
    PORTS: flow_dissector_key_ports {
        PORT_SRC: bytes @ 0,
        PORT_DST: bytes @ 2,
    }
    PORTS_RANGE: flow_dissector_key_ports_range {
        PORT_SRC_MIN: bytes @ 0,
        PORT_SRC_MAX: bytes @ 4,
        PORT_DST_MIN: bytes @ 2,
        PORT_DST_MAX: bytes @ 6,
    }
    ICMP: flow_dissector_key_icmp {
        ICMP_TYPE: bytes @ 0,
        ICMP_CODE: bytes @ 1,
    }
    VLAN: flow_dissector_key_vlan {
        VLAN_ID: tci[0, 0xfff] @ 0,
        VLAN_PRIO: tci[13, 7] @ 0,
        VLAN_DEI: tci[12, 1] @ 0,
        VLAN_ETH_TYPE: bytes @ 4,
        VLAN_TPID: bytes @ 2,
    }
    CVLAN: flow_dissector_key_vlan {
        CVLAN_ID: tci[0, 0xfff] @ 0,
        CVLAN_PRIO: tci[13, 7] @ 0,
        CVLAN_DEI: tci[12, 1] @ 0,
        CVLAN_ETH_TYPE: bytes @ 4,
        CVLAN_TPID: bytes @ 2,
    }
    MPLS: flow_dissector_key_mpls {
        MPLS_LSE1: lse @ 0,
        MPLS_LSE2: lse @ 4,
        MPLS_LSE3: lse @ 8,
        MPLS_LSE4: lse @ 12,
        MPLS_LSE5: lse @ 16,
        MPLS_LSE6: lse @ 20,
        MPLS_LSE7: lse @ 24,
    }
}

const _: () = {
    assert!(size_of::<bindings::flow_dissector_key_ports_range>() == 8);
    assert!(size_of::<bindings::flow_dissector_key_vlan>() == 8);
    assert!(size_of::<bindings::flow_dissector_key_mpls>() == 32);
    let mut n = 0;
    while n < KERNEL_KEYS.len() {
        assert!(KERNEL_KEYS[n].size != 0);
        n += 1;
    }
};

/// Whether a mask matches anything.
fn is_masked(mask: &[u8]) -> bool {
    mask.iter().fold(0, |any, byte| any | byte) != 0
}

/// Writes the options of a tunnel that are matched: returns whether there are any.
#[cold]
fn encode_options<const N: usize>(
    encoder: &mut Encoder<'_>,
    key: &[u8; N],
    mask: &[u8; N],
) -> bool {
    const LEN: usize = offset_of!(Options, len);
    const TYPE: usize = offset_of!(Options, dst_opt_type);
    let options = |of: &[u8; N]| {
        let len = of.get(LEN).copied().unwrap_or(0);
        let kind = of.get(TYPE..).and_then(|at| at.first_chunk()).copied();
        (usize::from(len), u32::from_ne_bytes(kind.unwrap_or([0; 4])))
    };
    let (len, kind) = options(key);
    let whole = key.get(..len).zip(mask.get(..len));
    // With no mask nothing is matched, whatever the options of other filters with the same mask.
    let Some((key, mask)) = whole.filter(|_| len != 0 && options(mask).0 != 0) else {
        return is_masked(mask);
    };
    super::options::encode(encoder, kind, key, mask);
    true
}

/// The structures of a key and its mask, as bytes, by its number in `enum ekho_key`.
///
/// Fails with [`EINVAL`] if there is no such key, with [`ENOENT`] if the rule hasn't got it.
pub(crate) fn key<'a>(rule: &FlowRule<'a>, number: u32) -> Result<(&'a [u8], &'a [u8])> {
    let key = KERNEL_KEYS.get(number as usize).ok_or(EINVAL)?;
    let matches = rule.matches().ok_or(ENOENT)?;
    // SAFETY: The structure has this size.
    unsafe { matches.bytes(key.kernel, key.size) }.ok_or(ENOENT)
}

/// The keys that packets are looked at for.
pub(super) const SHOWN: u64 = {
    let (mut shown, mut n) = (0, 0);
    while n < KERNEL_KEYS.len() {
        if place_of(KERNEL_KEYS[n].kernel).is_some() {
            shown |= 1 << n;
        }
        n += 1;
    }
    shown
};

/// What packets that a rule matches have in their keys, and the mask of that.
///
/// `keys` is what it matches. If packets don't show one of them, the result is the name of that.
pub(super) fn packet_keys(
    rule: &FlowRule<'_>,
    keys: u64,
) -> Result<(PacketKey, PacketKey), &'static str> {
    if let Some(number) = bits(keys & !SHOWN).next() {
        return Err(KEYS
            .get(number as usize)
            .map_or("an unknown key", |key| key.name));
    }
    let (mut key, mut mask) = (PacketKey::zeroed(), PacketKey::zeroed());
    let Some(matches) = rule.matches() else {
        return Ok((key, mask));
    };
    for known in KERNEL_KEYS {
        // SAFETY: The structure has this size.
        if let Some((bytes, mask_bytes)) = unsafe { matches.bytes(known.kernel, known.size) } {
            // Those without a place have an empty mask.
            key.set(known.kernel, bytes);
            mask.set(known.kernel, mask_bytes);
        }
    }
    // Software looks for addresses in a packet only if bits of them count, and so never finds a rule
    // that is for packets which have addresses, whatever they are.
    const ADDRESSES: u64 = 1 << key::IPV4_ADDRS.number | 1 << key::IPV6_ADDRS.number;
    let control = self::key(rule, key::CONTROL.number).map_or(&[][..], |(_, mask)| mask);
    let addr_type = offset_of!(bindings::flow_dissector_key_control, addr_type);
    let of_addresses = control.get(addr_type..addr_type + size_of::<u16>());
    if of_addresses.is_some_and(is_masked) && keys & ADDRESSES == 0 {
        return Err("addresses of which no bit counts");
    }
    // What isn't masked doesn't count.
    for (word, mask) in key.words_mut().iter_mut().zip(mask.words()) {
        *word &= mask;
    }
    Ok((key, mask))
}

/// The numbers of the bits of a set.
fn bits(mut set: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (bit < u64::BITS).then_some(bit)
    })
}

/// Writes what a rule matches.
///
/// Returns what is matched: a bit for each key that has a mask, as `enum ekho_key` numbers them.
/// The control keys, which come with every rule, count if flags are matched.
pub(super) fn encode(rule: &FlowRule<'_>, encoder: &mut Encoder<'_>) -> u64 {
    let Some(matches) = rule.matches() else {
        return 0;
    };
    let mut keys = encode_fields(&matches, encoder);
    for kernel in bits(matches.used_keys() & !KNOWN_KEYS) {
        encoder.number(field::UNKNOWN_KEY, kernel.into(), u32::MAX.into());
        keys |= UNKNOWN_KEY;
    }
    keys
}

/// The names of the keys of a set; the last stands for those not known.
pub(crate) fn key_names(set: u64) -> impl Iterator<Item = &'static str> {
    let known = KEYS
        .iter()
        .filter(move |key| set & (1 << key.number) != 0)
        .map(|key| key.name);
    Iterator::chain(known, (set & UNKNOWN_KEY != 0).then_some(key::UNKNOWN.name))
}
