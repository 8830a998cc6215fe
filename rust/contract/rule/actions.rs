// SPDX-License-Identifier: GPL-2.0-only

//! What a rule does: actions as the contract numbers them, and their arguments.

use crate::{
    abstractions::tc::flow_rule::FlowRule,
    bindings::{
        self,
        flow_action_entry as Entry, //
    },
    contract::encoding::{
        encoder::Encoder,
        tables::{
            action,
            arg,
            field, //
        },
        Action, //
    },
};
use core::slice;
use kernel::prelude::*;

const _: () = {
    // The contract's numbers are those of this kernel, at their ends and where they were extended:
    // see `number`.
    assert!(action::CONTINUE.number == bindings::flow_action_id_FLOW_ACTION_CONTINUE);
    assert!(action::CONTINUE.number + 1 == bindings::flow_action_id_NUM_FLOW_ACTIONS);
    assert!(action::REDIRECT.number == bindings::flow_action_id_FLOW_ACTION_REDIRECT);
    assert!(
        action::RX_QUEUE_MAPPING.number == bindings::flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING
    );
    assert!(action::CT.number == bindings::flow_action_id_FLOW_ACTION_CT);
    assert!(action::GATE.number == bindings::flow_action_id_FLOW_ACTION_GATE);
};

/// An action's number in the firmware contract. Another kernel's numbers are translated here.
fn number(id: bindings::flow_action_id) -> u32 {
    if id <= action::CONTINUE.number {
        id
    } else {
        bindings::ekho_action_id_EKHO_ACT_UNKNOWN
    }
}

/// An action's name.
fn name(number: u32) -> &'static str {
    Action::of(number).map_or("unknown", Action::name)
}

/// The name of the kernel's action with this number.
pub(crate) fn action_name(id: bindings::flow_action_id) -> &'static str {
    name(number(id))
}

/// The names of the actions of a set.
pub(crate) fn action_names(set: u64) -> impl Iterator<Item = &'static str> {
    (0..u64::BITS)
        .filter(move |id| set & (1 << id) != 0)
        .map(name)
}

/// The first action that isn't in a set: its name.
pub(super) fn action_beyond(rule: &FlowRule<'_>, set: u64) -> Option<&'static str> {
    rule.actions()
        .iter()
        .map(|entry| number(entry.id))
        .find(|number| set & (1 << number) == 0)
        .map(name)
}

/// The `n`th action, for firmware.
pub(crate) fn action(rule: &FlowRule<'_>, n: usize) -> Option<bindings::ekho_action> {
    let entry = rule.actions().get(n)?;
    let number = number(entry.id);
    Some(bindings::ekho_action {
        id: number,
        hw_stats: entry.hw_stats,
        index: entry.hw_index,
        arg: argument(entry),
        cookie: entry.cookie as u64,
        name: Action::of(number)
            .map_or(c"unknown".as_char_ptr().cast(), Action::c_name)
            .cast(),
        entry: (&raw const *entry).cast_mut(),
    })
}

/// The number that says most about an action.
fn argument(entry: &Entry) -> u32 {
    let union = &entry.__bindgen_anon_1;
    // SAFETY: The kind of action says which member of the union is in use; a device is held for
    // the length of the request.
    unsafe {
        match entry.id {
            bindings::flow_action_id_FLOW_ACTION_GOTO => union.chain_index,
            bindings::flow_action_id_FLOW_ACTION_REDIRECT
            | bindings::flow_action_id_FLOW_ACTION_MIRRED
            | bindings::flow_action_id_FLOW_ACTION_REDIRECT_INGRESS
            | bindings::flow_action_id_FLOW_ACTION_MIRRED_INGRESS => {
                if union.dev.is_null() {
                    0
                } else {
                    (&raw const (*union.dev).ifindex).read_volatile() as u32
                }
            }
            bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH
            | bindings::flow_action_id_FLOW_ACTION_VLAN_MANGLE => union.vlan.vid.into(),
            bindings::flow_action_id_FLOW_ACTION_MARK => union.mark,
            bindings::flow_action_id_FLOW_ACTION_PTYPE => union.ptype.into(),
            bindings::flow_action_id_FLOW_ACTION_PRIORITY => union.priority,
            bindings::flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING => union.rx_queue.into(),
            bindings::flow_action_id_FLOW_ACTION_SAMPLE => union.sample.rate,
            bindings::flow_action_id_FLOW_ACTION_POLICE => entry.hw_index,
            bindings::flow_action_id_FLOW_ACTION_CT => union.ct.zone.into(),
            bindings::flow_action_id_FLOW_ACTION_MPLS_PUSH => union.mpls_push.label,
            bindings::flow_action_id_FLOW_ACTION_PPPOE_PUSH => union.pppoe.sid.into(),
            _ => 0,
        }
    }
}

/// Writes what a rule does.
pub(super) fn encode(rule: &FlowRule<'_>, encoder: &mut Encoder<'_>) {
    for entry in rule.actions() {
        let number = number(entry.id);
        let argument = Action::has_argument(number).then(|| argument(entry));
        encoder.action(number, argument);
        // Most have no more than that.
        if entry.id > bindings::flow_action_id_FLOW_ACTION_MIRRED_INGRESS {
            // SAFETY: The entry comes from the kernel: what its kind leads to is valid.
            unsafe { encode_arguments(entry, encoder) };
        }
        encoder.arg_if(arg::INDEX, entry.hw_index.into());
        if entry.hw_stats != bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_ANY {
            encoder.arg(arg::HW_STATS, entry.hw_stats.into());
        }
    }
}

/// Writes the arguments of an action that aren't in its own payload, but for those that all have.
///
/// # Safety
///
/// The member of the union that belongs to the kind, and what it points at, must be valid.
unsafe fn encode_arguments(entry: &Entry, encoder: &mut Encoder<'_>) {
    let union = &entry.__bindgen_anon_1;
    // SAFETY: By the requirements of this function.
    unsafe {
        match entry.id {
            bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH
            | bindings::flow_action_id_FLOW_ACTION_VLAN_MANGLE => {
                encoder.arg_bytes(arg::PROTOCOL, &union.vlan.proto.to_ne_bytes());
                encoder.arg(arg::PRIORITY, union.vlan.prio.into());
            }
            bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH_ETH => {
                encoder.arg_bytes(field::ETH_DST, &union.vlan_push_eth.dst);
                encoder.arg_bytes(field::ETH_SRC, &union.vlan_push_eth.src);
            }
            bindings::flow_action_id_FLOW_ACTION_TUNNEL_ENCAP => {
                if let Some(tunnel) = union.tunnel.as_ref() {
                    encode_tunnel(tunnel, encoder);
                }
            }
            bindings::flow_action_id_FLOW_ACTION_MANGLE
            | bindings::flow_action_id_FLOW_ACTION_ADD => {
                let mangle = &union.mangle;
                encoder.arg(arg::HEADER, mangle.htype.into());
                encoder.arg(arg::OFFSET, mangle.offset.into());
                encoder.arg_bytes(arg::VALUE, &mangle.val.to_ne_bytes());
                encoder.arg_bytes(arg::MASK, &mangle.mask.to_ne_bytes());
            }
            bindings::flow_action_id_FLOW_ACTION_CSUM => {
                encoder.arg(arg::FLAGS, union.csum_flags.into());
            }
            bindings::flow_action_id_FLOW_ACTION_QUEUE => {
                encoder.arg(arg::QUEUE_INDEX, union.queue.index.into());
                encoder.arg_if(arg::QUEUE_CTX, union.queue.ctx.into());
                encoder.arg_if(arg::QUEUE_VF, union.queue.vf.into());
            }
            bindings::flow_action_id_FLOW_ACTION_SAMPLE => {
                if let Some(group) = union.sample.psample_group.as_ref() {
                    encoder.arg(arg::GROUP, group.group_num.into());
                }
                if union.sample.truncate {
                    encoder.arg(arg::TRUNC, union.sample.trunc_size.into());
                }
            }
            bindings::flow_action_id_FLOW_ACTION_POLICE => encode_police(&union.police, encoder),
            bindings::flow_action_id_FLOW_ACTION_CT => {
                encoder.arg_if(arg::FLAGS, u64::from(union.ct.action as u32));
            }
            bindings::flow_action_id_FLOW_ACTION_CT_METADATA => {
                let metadata = &union.ct_metadata;
                // A pointer whose lowest bits tell.
                let info = metadata.cookie as u8 & bindings::EKHO_CONST_NFCT_INFOMASK;
                encoder.arg(arg::CTINFO, info.into());
                encoder.arg(arg::DIRECTION, (!metadata.orig_dir).into());
                encoder.arg_if(field::CT_MARK, metadata.mark.into());
                let mut labels = [0; 16];
                for (to, label) in labels.chunks_exact_mut(4).zip(metadata.labels) {
                    to.copy_from_slice(&label.to_ne_bytes());
                }
                if labels != [0; 16] {
                    encoder.arg_bytes(field::CT_LABELS, &labels);
                }
            }
            bindings::flow_action_id_FLOW_ACTION_MPLS_PUSH => {
                let push = &union.mpls_push;
                encoder.arg_bytes(arg::PROTOCOL, &push.proto.to_ne_bytes());
                encode_label(encoder, push.tc, push.bos, push.ttl);
            }
            bindings::flow_action_id_FLOW_ACTION_MPLS_POP => {
                encoder.arg_bytes(arg::PROTOCOL, &union.mpls_pop.proto.to_ne_bytes());
            }
            bindings::flow_action_id_FLOW_ACTION_MPLS_MANGLE => {
                let mangle = &union.mpls_mangle;
                // All bits of a label are set where it stays as it is.
                if mangle.label >> 20 == 0 {
                    encoder.arg(arg::LABEL, mangle.label.into());
                }
                encode_label(encoder, mangle.tc, mangle.bos, mangle.ttl);
            }
            bindings::flow_action_id_FLOW_ACTION_GATE => {
                let gate = &union.gate;
                encoder.arg(arg::GATE_PRIO, u64::from(gate.prio as u32));
                encoder.arg(arg::BASE_TIME, gate.basetime);
                encoder.arg(arg::CYCLE_TIME, gate.cycletime);
                encoder.arg_if(arg::CYCLE_TIME_EXT, gate.cycletimeext);
                if gate.entries.is_null() {
                    return;
                }
                for entry in slice::from_raw_parts(gate.entries, gate.num_entries as usize) {
                    let mut encoded = [0; arg::GATE_ENTRY.len()];
                    encoded[0] = entry.gate_state;
                    encoded[1..5].copy_from_slice(&entry.interval.to_le_bytes());
                    encoded[5..9].copy_from_slice(&entry.ipv.to_le_bytes());
                    encoded[9..13].copy_from_slice(&entry.maxoctets.to_le_bytes());
                    encoder.arg_bytes(arg::GATE_ENTRY, &encoded);
                }
            }
            _ => {}
        }
    }
}

/// Writes the rest of an entry of an MPLS label stack; all bits are set in what stays as it is.
fn encode_label(encoder: &mut Encoder<'_>, tc: u8, bos: u8, ttl: u8) {
    const SAME: u8 = 0xff;
    if tc != SAME {
        encoder.arg(arg::TC, tc.into());
    }
    if bos != SAME {
        encoder.arg(arg::BOS, bos.into());
    }
    if ttl != 0 {
        encoder.arg(arg::TTL, ttl.into());
    }
}

fn encode_police(police: &bindings::flow_action_police, encoder: &mut Encoder<'_>) {
    encoder.arg_if(arg::RATE, police.rate_bytes_ps);
    encoder.arg_if(arg::BURST, police.burst.into());
    encoder.arg_if(arg::PKT_RATE, police.rate_pkt_ps);
    encoder.arg_if(arg::PKT_BURST, police.burst_pkt);
    encoder.arg_if(arg::PEAKRATE, police.peakrate_bytes_ps);
    encoder.arg_if(arg::AVRATE, police.avrate.into());
    encoder.arg_if(arg::MTU, police.mtu.into());
    encoder.arg_if(arg::OVERHEAD, police.overhead.into());
    encoder.arg(arg::EXCEED, number(police.exceed.act_id).into());
    encoder.arg_if(arg::EXCEED_ARG, police.exceed.extval.into());
    encoder.arg(arg::NOTEXCEED, number(police.notexceed.act_id).into());
    encoder.arg_if(arg::NOTEXCEED_ARG, police.notexceed.extval.into());
}

/// Writes the header that a tunnel adds.
///
/// # Safety
///
/// The options of the tunnel must be behind it, as many as it says.
unsafe fn encode_tunnel(tunnel: &bindings::ip_tunnel_info, encoder: &mut Encoder<'_>) {
    const IPV6: u8 = bindings::EKHO_CONST_IP_TUNNEL_INFO_IPV6;
    let key = &tunnel.key;
    // Of 64 bits, of which the key of a match has the lowest.
    let [_, _, _, _, id @ ..] = key.tun_id.to_ne_bytes();
    encoder.arg_bytes(field::ENC_KEY_ID, &id);
    if tunnel.mode & IPV6 != 0 {
        // SAFETY: The mode says which member is in use.
        let ipv6 = unsafe { &key.u.ipv6 };
        // SAFETY: All members of the union are the 16 bytes of the address.
        let (src, dst) = unsafe { (&ipv6.src.in6_u.u6_addr8, &ipv6.dst.in6_u.u6_addr8) };
        encoder.arg_bytes(field::ENC_IPV6_SRC, src);
        encoder.arg_bytes(field::ENC_IPV6_DST, dst);
    } else {
        // SAFETY: As above.
        let ipv4 = unsafe { &key.u.ipv4 };
        encoder.arg_bytes(field::ENC_IPV4_SRC, &ipv4.src.to_ne_bytes());
        encoder.arg_bytes(field::ENC_IPV4_DST, &ipv4.dst.to_ne_bytes());
    }
    if key.tp_src != 0 {
        encoder.arg_bytes(field::ENC_PORT_SRC, &key.tp_src.to_ne_bytes());
    }
    if key.tp_dst != 0 {
        encoder.arg_bytes(field::ENC_PORT_DST, &key.tp_dst.to_ne_bytes());
    }
    if key.tos != 0 {
        encoder.arg_bytes(field::ENC_TOS, &[key.tos]);
    }
    if key.ttl != 0 {
        encoder.arg_bytes(field::ENC_TTL, &[key.ttl]);
    }
    // SAFETY: By the requirements of this function.
    let options = unsafe { tunnel.options.as_slice(tunnel.options_len.into()) };
    if options.is_empty() {
        return;
    }
    let flag = |bit: u32| key.tun_flags[0] & (1 << bit) != 0;
    let kind = [
        bindings::EKHO_CONST_IP_TUNNEL_GENEVE_OPT,
        bindings::EKHO_CONST_IP_TUNNEL_VXLAN_OPT,
        bindings::EKHO_CONST_IP_TUNNEL_ERSPAN_OPT,
        bindings::EKHO_CONST_IP_TUNNEL_GTP_OPT,
        bindings::EKHO_CONST_IP_TUNNEL_PFCP_OPT,
    ]
    .into_iter()
    .find(|bit| flag(*bit));
    super::options::encode_set(encoder, kind.unwrap_or(0), options);
}
