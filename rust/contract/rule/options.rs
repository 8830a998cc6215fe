// SPDX-License-Identifier: GPL-2.0-only

//! The options of a tunnel, as the kernel's tunnels keep them: `net/geneve.h` and the like.

#![deny(unsafe_code)]

use crate::{
    bindings,
    contract::encoding::{
        encoder::Encoder,
        tables::field, //
    },
};

/// `struct geneve_opt` up to its data: class, type, and length in words of 4 bytes.
const GENEVE_HEADER: usize = 4;
/// The bits of the length, above which others are reserved.
const GENEVE_LENGTH: u8 = 0x1f;

/// `VXLAN_GBP_MASK`: policy, and the flags of the header.
const GBP_ALL: u64 = 0x48_ffff;

/// The version of `struct erspan_metadata`.
fn erspan_version(data: &[u8]) -> Option<u8> {
    let version = data.first_chunk::<4>()?;
    Some(i32::from_ne_bytes(*version) as u8)
}

/// What of `struct erspan_metadata` is encoded, as of a version: index, or direction and hardware id.
fn erspan(version: u8, data: &[u8]) -> Option<[u8; 6]> {
    let &[_, _, _, _, a, b, c, d, _, _, hwid_upper, bits, ..] = data else {
        return None;
    };
    Some(match version {
        // `struct erspan_md2`: the timestamp, a tag, and bits in the order of little-endian machines.
        2 => {
            let hwid = ((hwid_upper & 3) << 4) | (bits >> 4);
            [0, 0, 0, 0, (bits >> 3) & 1, hwid]
        }
        _ => [a, b, c, d, 0, 0],
    })
}

/// Writes options of the kind that the kernel numbers `kind`. `mask` is as long as `key`.
pub(super) fn encode(encoder: &mut Encoder<'_>, kind: u32, key: &[u8], mask: &[u8]) {
    match kind {
        bindings::EKHO_CONST_IP_TUNNEL_GENEVE_OPT => {
            let (mut key, mut mask) = (key, mask);
            while let &[class, class_low, kind, length, ..] = key {
                let len = GENEVE_HEADER + usize::from(length & GENEVE_LENGTH) * 4;
                let parts = key.split_at_checked(len).zip(mask.split_at_checked(len));
                let Some(((one, rest), (one_mask, rest_mask))) = parts else {
                    break;
                };
                geneve(encoder, [class, class_low, kind], one, one_mask);
                (key, mask) = (rest, rest_mask);
            }
        }
        bindings::EKHO_CONST_IP_TUNNEL_VXLAN_OPT => {
            let gbp = |of: &[u8]| of.first_chunk().map(|gbp| u32::from_ne_bytes(*gbp).into());
            if let Some((key, mask)) = gbp(key).zip(gbp(mask)) {
                // All that flower takes.
                let mask = if mask == GBP_ALL {
                    u32::MAX.into()
                } else {
                    mask
                };
                encoder.number(field::ENC_VXLAN_GBP, key, mask);
            }
        }
        bindings::EKHO_CONST_IP_TUNNEL_ERSPAN_OPT => {
            let Some(version) = erspan_version(key) else {
                return;
            };
            let whole = erspan(version, &[0xff; 12]);
            if let (Some(key), Some(mask), Some(whole)) =
                (erspan(version, key), erspan(version, mask), whole)
            {
                let one = |head: u8, rest: [u8; 6]| {
                    let [a, b, c, d, e, f] = rest;
                    [head, a, b, c, d, e, f]
                };
                // What the version doesn't have isn't masked.
                let mask = if mask == whole { [0xff; 6] } else { mask };
                encoder.bytes(field::ENC_ERSPAN, &one(version, key), &one(0xff, mask));
            }
        }
        bindings::EKHO_CONST_IP_TUNNEL_GTP_OPT => encoder.bytes(field::ENC_GTP, key, mask),
        bindings::EKHO_CONST_IP_TUNNEL_PFCP_OPT => encoder.bytes(field::ENC_PFCP, key, mask),
        _ => encoder.bytes(field::ENC_OPTS, key, mask),
    }
}

/// Writes one option of geneve, without the length of its data.
fn geneve(encoder: &mut Encoder<'_>, head: [u8; 3], option: &[u8], mask: &[u8]) {
    const DATA_MAX: usize = GENEVE_LENGTH as usize * 4;
    let encoded = |head: [u8; 3], data: &[u8]| {
        let mut encoded = [0; 3 + DATA_MAX];
        encoded[..3].copy_from_slice(&head);
        encoded[3..][..data.len()].copy_from_slice(data);
        encoded
    };
    let (Some(data), Some((&[class, class_low, kind, _], mask_data))) = (
        option.get(GENEVE_HEADER..),
        mask.split_first_chunk::<GENEVE_HEADER>(),
    ) else {
        return;
    };
    let len = 3 + data.len().min(DATA_MAX);
    let key = encoded(head, data);
    let mask = encoded([class, class_low, kind], mask_data);
    encoder.bytes(field::ENC_GENEVE, &key[..len], &mask[..len]);
}

/// Writes options that a tunnel adds: as [`encode`], of which all bits count.
pub(super) fn encode_set(encoder: &mut Encoder<'_>, kind: u32, options: &[u8]) {
    const ALL: [u8; u8::MAX as usize] = [0xff; u8::MAX as usize];
    if let Some(mask) = ALL.get(..options.len()) {
        encode(encoder, kind, options, mask);
    }
}
