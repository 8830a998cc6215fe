// SPDX-License-Identifier: GPL-2.0-only

//! Tests, on the host.

extern crate std;

use super::{
    encoder::Encoder,
    reader::first_field,
    tables::{
        action,
        arg,
        field,
        key,
        FIELDS, //
    },
    text::{
        ActionsText,
        MatchText, //
    },
    ACTION,
    CUT, //
};
use std::{
    format,
    string::{
        String,
        ToString, //
    },
    vec::Vec, //
};

fn encode(f: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut room = [0; 512];
    let mut encoder = Encoder::new(&mut room);
    f(&mut encoder);
    let (len, complete) = encoder.finish();
    assert!(complete);
    // As firmware sees it.
    assert!(room[len..].iter().all(|byte| *byte == 0));
    room[..len].to_vec()
}

fn text(f: impl FnOnce(&mut Encoder<'_>)) -> (String, String) {
    let rule = encode(f);
    (MatchText(&rule).to_string(), ActionsText(&rule).to_string())
}

#[test]
fn empty_rule_is_a_dash() {
    assert_eq!(text(|_| ()), ("-".into(), "-".into()));
}

#[test]
fn five_tuple_reads_like_tc() {
    let (matches, actions) = text(|e| {
        e.field(field::ETH_TYPE, &[0x08, 0x00], &[0xff; 2]);
        e.field(field::IP_PROTO, &[6], &[0xff]);
        e.field(field::IPV4_SRC, &[10, 0, 0, 0], &[255, 0, 0, 0]);
        e.field(field::IPV4_DST, &[192, 0, 2, 1], &[255; 4]);
        e.field(field::PORT_DST, &[0x1f, 0x90], &[0xff; 2]);
        e.action(action::DROP.number, None);
        e.arg(arg::INDEX, 1);
    });
    assert_eq!(
        matches,
        "eth_type:0x0800,ip_proto:6,src_ip:10.0.0.0/255.0.0.0,dst_ip:192.0.2.1,dst_port:8080"
    );
    assert_eq!(actions, "drop");
}

#[test]
fn a_rule_is_as_the_header_says() {
    let rule = encode(|e| {
        e.field(field::PORT_DST, &[0x1f, 0x90], &[0xff, 0xf0]);
        e.number(field::CT_MARK, 0x1234, u32::MAX.into());
        e.number(field::VLAN_ID, 0, 0xfff);
        e.action(action::REDIRECT.number, Some(0x0102));
        e.arg(arg::INDEX, 0);
    });
    let want: &[&[u8]] = &[
        &[16, 2, 0x1f, 0x90],
        &[1, 2, 0xff, 0xf0],
        &[54, 2, 0x34, 0x12],
        &[30, 0],
        &[ACTION + 4, 2, 0x02, 0x01],
        &[0xc0, 0],
    ];
    assert_eq!(rule, want.concat());
}

#[test]
fn what_is_not_matched_takes_no_room() {
    let rule = encode(|e| {
        assert!(!e.field(field::IPV4_SRC, &[10, 0, 0, 1], &[0; 4]));
        assert!(!e.number(field::CT_ZONE, 5, 0));
        assert!(e.field(field::IP_PROTO, &[6], &[255]));
    });
    assert_eq!(rule.len(), 3);
}

#[test]
fn numbers_with_all_bits_have_no_mask() {
    let (matches, _) = text(|e| {
        e.number(field::VLAN_ID, 5, 0xfff);
        e.number(field::VLAN_PRIO, 3, 7);
        e.number(field::CT_STATE, 0xa, 0xa);
        e.number(field::INDEV, 7, u32::MAX.into());
    });
    assert_eq!(matches, "vlan_id:5,vlan_prio:3,ct_state:0xa/0xa,indev:7");
}

#[test]
fn each_format_has_its_text() {
    let mut v6 = [0; 16];
    (v6[0], v6[1], v6[15]) = (0x20, 0x01, 1);
    let (matches, _) = text(|e| {
        e.field(field::IPV6_DST, &v6, &[255; 16]);
        e.field(
            field::ETH_SRC,
            &[2, 0, 0, 0, 0, 1],
            &[255, 255, 255, 255, 255, 0],
        );
        e.field(field::MPLS_LSE1, &[0, 1, 1, 64], &[255; 4]);
        e.bytes(field::ENC_GENEVE, &[1, 2, 0x80, 0, 16, 0, 1], &[255; 7]);
        e.number(field::ENC_VXLAN_GBP, 40, 0xff);
        e.bytes(field::ENC_ERSPAN, &[1, 0, 0, 0, 9, 0, 0], &[255; 7]);
        e.bytes(field::ENC_GTP, &[1, 0x10], &[255; 2]);
        e.bytes(field::ENC_PFCP, &[1, 0, 0, 0, 0, 0, 0, 0, 0xab], &[255; 9]);
        e.bytes(field::ENC_OPTS, &[1], &[255]);
    });
    assert_eq!(
        matches,
        "dst_ip:2001::1,src_mac:02:00:00:00:00:01/ff:ff:ff:ff:ff:00,mpls:16:0:1:64,\
         geneve_opts:0102:80:00100001,vxlan_opts:40/0xff,erspan_opts:1:9:0:0,gtp_opts:01:10,\
         pfcp_opts:01:ab,enc_opts:0x01"
    );
}

#[test]
fn actions_keep_their_order_and_arguments() {
    let (matches, actions) = text(|e| {
        e.action(action::VLAN_PUSH.number, Some(100));
        e.arg_bytes(arg::PROTOCOL, &[0x81, 0]);
        e.arg(arg::PRIORITY, 3);
        e.arg(arg::HW_STATS, 2);
        e.action(action::CSUM.number, None);
        e.arg_if(arg::FLAGS, 9);
        e.arg_if(arg::MTU, 0);
        e.action(action::TUNNEL_ENCAP.number, None);
        e.arg_bytes(field::ENC_IPV4_DST, &[10, 0, 0, 1]);
        e.action(action::GATE.number, None);
        let mut entry = [0; 13];
        entry[..2].copy_from_slice(&[1, 100]);
        entry[5..].fill(0xff);
        e.arg_bytes(arg::GATE_ENTRY, &entry);
        e.action(63, None);
    });
    assert_eq!(matches, "-");
    assert_eq!(
        actions,
        "vlan_push:100;protocol:0x8100;priority:3,csum;flags:0x9,tunnel_set;dst_ip:10.0.0.1,\
         gate;sched_entry:open:100:-1:-1,unknown_action:63"
    );
}

#[test]
fn the_first_field_of_a_key_has_its_name() {
    let rule = encode(|e| {
        e.field(field::ETH_TYPE, &[8, 0], &[255; 2]);
        e.field(field::PORT_DST, &[0, 80], &[255; 2]);
    });
    assert_eq!(first_field(&rule, key::PORTS.number), Some("dst_port"));
    assert_eq!(first_field(&rule, key::TCP.number), None);
}

#[test]
fn what_does_not_fit_ends_the_rule() {
    for len in 0..=11 {
        let mut room = std::vec![0; len];
        let mut encoder = Encoder::new(&mut room);
        encoder.field(field::ETH_TYPE, &[8, 0], &[255, 255]);
        encoder.field(field::PORT_DST, &[0, 80], &[255, 255]);
        encoder.field(field::IP_PROTO, &[6], &[255]);
        let (used, complete) = encoder.finish();
        assert_eq!(
            (used, complete),
            ([0, 4, 8, 11][len.min(10) / 4 + len / 11], len == 11)
        );
    }
}

#[test]
fn what_is_cut_says_so_and_ends_with_whole_attributes() {
    for len in 2..11 {
        let mut room = std::vec![0; len];
        let mut encoder = Encoder::new(&mut room);
        encoder.field(field::ETH_TYPE, &[8, 0], &[255, 255]);
        encoder.field(field::PORT_DST, &[0, 80], &[255, 255]);
        encoder.action(action::DROP.number, None);
        encoder.arg(arg::INDEX, 1);
        let used = encoder.finish_cut();
        assert_eq!(room[used - 2..used], [CUT, 0], "{len}");
        assert!(room[used..].iter().all(|byte| *byte == 0));
        let text = MatchText(&room).to_string();
        assert!("eth_type:0x0800,dst_port:80,...".ends_with(&text) || text.starts_with("eth_type"));
    }
}

#[test]
fn what_is_unknown_is_told_by_number() {
    let unknown = FIELDS.last().unwrap().tag + 1;
    let rule = [unknown, 1, 7, 1, 1, 9, ACTION + 50, 0, 0xfe, 0];
    assert_eq!(
        MatchText(&rule).to_string(),
        format!("unknown_field:{unknown}")
    );
    assert_eq!(
        ActionsText(&rule).to_string(),
        "unknown_action:50;unknown_argument:254"
    );
}

#[test]
fn broken_bytes_end_the_text() {
    let rule = encode(|e| assert!(e.field(field::ETH_TYPE, &[8, 0], &[255, 0])));
    for cut in 0..4 {
        assert_eq!(MatchText(&rule[..cut]).to_string(), "-");
    }
    // Sizes that don't suit the field.
    for field in FIELDS {
        for len in 0..20 {
            let mut rule = std::vec![field.tag, len];
            rule.extend(std::iter::repeat_n(0xff, len.into()));
            rule.extend([ACTION + 29, 0, 0xe1, len]);
            rule.extend(std::iter::repeat_n(0xff, len.into()));
            let _ = MatchText(&rule).to_string();
            let _ = ActionsText(&rule).to_string();
        }
    }
}
