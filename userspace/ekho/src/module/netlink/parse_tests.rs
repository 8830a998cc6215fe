// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as the module makes them, and as none should be.

use super::*;
use crate::kernel::netlink::message::HEADER;
use crate::kernel::netlink::Request;
use crate::module::netlink::notification::{self, Named, Notification};
use crate::module::netlink::{cable, fault, uapi::*};

/// The attributes that `fill` adds.
fn attributes(fill: impl FnOnce(&mut Request)) -> Vec<u8> {
    let mut request = Request::new(0, 0, &[]);
    fill(&mut request);
    request.finish().split_off(HEADER)
}

fn put_ident(request: &mut Request) {
    request
        .put_u32(EKHO_A_DEVICE_IFINDEX, 3)
        .put_text(EKHO_A_DEVICE_IFNAME, "ek0")
        .put_u32(EKHO_A_DEVICE_NETNS, 4026531840);
}

fn device_message() -> Vec<u8> {
    attributes(|request| {
        put_ident(request);
        request
            .put_u32(EKHO_A_DEVICE_ID, 9)
            .put_u32(EKHO_A_DEVICE_KIND, EKHO_DEVICE_KIND_EKHO)
            .put(EKHO_A_DEVICE_HW_TC_OFFLOAD, &[])
            .put_u32(EKHO_A_DEVICE_BINDINGS, 2)
            .put(EKHO_A_DEVICE_FLOWS, &(1u64 << 40).to_ne_bytes())
            .put_u32(EKHO_A_DEVICE_TABLE_ENTRIES, 11)
            .put_text(EKHO_A_DEVICE_NAME, "nic0")
            .put_text(EKHO_A_DEVICE_FIRMWARE, "stats");
    })
}

fn firmware_message() -> Vec<u8> {
    attributes(|request| {
        put_ident(request);
        request
            .put_text(EKHO_A_FIRMWARE_NAME, "stats")
            .put_u32(EKHO_A_FIRMWARE_ABI, 2)
            .put_u32(EKHO_A_FIRMWARE_LINK_ID, 7)
            .put_u32(EKHO_A_FIRMWARE_MAP_ID, 23)
            .put_u32(EKHO_A_FIRMWARE_GENERATION, 1)
            .put_u32(EKHO_A_FIRMWARE_FLOWS, 10)
            .put_text(EKHO_A_FIRMWARE_OP, "replace")
            .put_text(EKHO_A_FIRMWARE_OP, "destroy")
            .nest(EKHO_A_FIRMWARE_OP_STATS, |op_stats| {
                for (op, count) in [("replace", 12), ("destroy", 2), ("stats", 40), ("new", 1)] {
                    op_stats.nest(EKHO_A_OP_STATS_CALL, |call| {
                        call.put_text(EKHO_A_CALL_OP, op)
                            .put_u32(EKHO_A_CALL_COUNT, count);
                    });
                }
                op_stats
                    .put_u32(EKHO_A_OP_STATS_REFUSED, 2)
                    .put_u32(EKHO_A_OP_STATS_VIOLATIONS, 1)
                    .put_u32(EKHO_A_OP_STATS_LONGEST_US, 99);
            });
    })
}

fn flow_message(fill: impl FnOnce(&mut Request)) -> Vec<u8> {
    attributes(|request| {
        put_ident(request);
        fill(request);
        request
            .put_u32(EKHO_A_FLOW_CLASSIFIER, EKHO_FLOW_CLASSIFIER_FLOWER)
            .put_u32(EKHO_A_FLOW_CHAIN, 4)
            .put_u32(EKHO_A_FLOW_PRIO, 10)
            .put(EKHO_A_FLOW_PROTOCOL, &0x0800u16.to_ne_bytes())
            .put(EKHO_A_FLOW_SKIP_SW, &[])
            .put_u32(EKHO_A_FLOW_PACKETS, 10)
            .put(EKHO_A_FLOW_BYTES, &(1u64 << 33).to_ne_bytes())
            .put_u32(EKHO_A_FLOW_IDLE_MS, 1200)
            .put_u32(EKHO_A_FLOW_STATS_REQUESTS, 4);
    })
}

fn exit_message() -> Vec<u8> {
    attributes(|request| {
        put_ident(request);
        request
            .put_text(EKHO_A_EXIT_FIRMWARE, "bad")
            .put_u32(EKHO_A_EXIT_GENERATION, 2)
            .put_text(EKHO_A_EXIT_OP, "replace")
            .put_u32(EKHO_A_EXIT_CODE, EKHO_EXIT_CODE_RETURN)
            .put_u32(EKHO_A_EXIT_VALUE, -4096i32 as u32)
            .put_u32(EKHO_A_EXIT_FLOWS, 7)
            .put(EKHO_A_EXIT_TIME_NS, &(1u64 << 35).to_ne_bytes())
            .put_text(EKHO_A_EXIT_REASON, "replace returned -4096");
    })
}

#[test]
fn a_device_is_read() {
    let device = device(Attributes(&device_message())).unwrap();
    assert_eq!(
        (device.ifindex, &*device.dev, device.netns),
        (3, "ek0", 4026531840)
    );
    assert_eq!((&*device.kind, device.hw_tc_offload), ("ekho", Some(true)));
    assert_eq!(
        (device.bindings, device.flows, device.table_entries),
        (2, 1 << 40, Some(11))
    );
    assert_eq!(device.firmware.as_deref(), Some("stats"));
    assert_eq!(device.nic.as_deref(), Some("nic0"));
}

#[test]
fn a_device_may_be_of_a_kind_that_is_not_known_and_lack_the_rest() {
    let message = attributes(|request| {
        put_ident(request);
        request.put_u32(EKHO_A_DEVICE_KIND, 77);
    });
    let device = device(Attributes(&message)).unwrap();
    assert_eq!(
        (&*device.kind, device.hw_tc_offload),
        ("unknown", Some(false))
    );
    assert_eq!((device.firmware, device.table_entries), (None, None));
}

#[test]
fn firmware_is_read_with_its_figures() {
    let firmware = firmware(Attributes(&firmware_message())).unwrap();
    assert_eq!((firmware.link, firmware.map), (7, Some(23)));
    assert_eq!(firmware.ops, ["replace", "destroy"]);
    let calls = firmware.calls;
    assert_eq!(
        (
            calls.replace,
            calls.replace_refused,
            calls.destroy,
            calls.stats,
            calls.violations
        ),
        (12, 2, 2, 40, 1)
    );
}

#[test]
fn a_flow_is_read_with_or_without_its_cookie() {
    let message = flow_message(|request| {
        request.put(EKHO_A_FLOW_COOKIE, &0xffff_8880_1234_5678u64.to_ne_bytes());
    });
    let read = flow(Attributes(&message)).unwrap();
    assert_eq!(read.cookie, Some(0xffff_8880_1234_5678));
    assert_eq!(read.classifier.as_deref(), Some("flower"));
    assert_eq!((read.chain, read.prio, read.protocol), (4, 10, 0x0800));
    assert_eq!((read.packets, read.bytes, read.drops), (10, 1 << 33, 0));
    assert_eq!(
        (read.last_used_ms, read.stats_requests, read.skip_sw),
        (Some(1200), 4, true)
    );
    let secret = flow(Attributes(&flow_message(|_| ()))).unwrap();
    assert_eq!(secret.cookie, None);
    let newer = flow_message(|request| {
        request.put_u32(EKHO_A_FLOW_CLASSIFIER, 0x1_0001);
    });
    assert!(flow(Attributes(&newer)).is_ok());
}

#[test]
fn capabilities_are_read_and_what_is_absent_is_open() {
    let message = attributes(|request| {
        put_ident(request);
        request
            .put_text(EKHO_A_CAPABILITY_FIRMWARE, "acl")
            .put_text(EKHO_A_CAPABILITY_KEY, "basic")
            .put_text(EKHO_A_CAPABILITY_KEY, "ports")
            .put_u32(EKHO_A_CAPABILITY_CLASSIFIER, EKHO_FLOW_CLASSIFIER_MATCHALL)
            .put_text(EKHO_A_CAPABILITY_HW_STATS, "delayed")
            .put_u32(EKHO_A_CAPABILITY_MAX_FLOWS, 1024);
    });
    let declared = declared(Attributes(&message)).unwrap();
    assert_eq!((declared.ifindex, declared.netns), (3, 4026531840));
    let can = declared.capabilities;
    assert_eq!(can.keys.unwrap(), ["basic", "ports"]);
    assert_eq!(can.classifiers.unwrap(), ["matchall"]);
    assert_eq!(
        (can.actions, can.max_chains, can.flow_size),
        (None, None, 0)
    );
    assert_eq!(can.max_flows, Some(1024));
}

#[test]
fn refusals_may_sum_up_or_have_no_reason() {
    let message = attributes(|request| {
        put_ident(request);
        request
            .put_text(EKHO_A_REFUSAL_FIRMWARE, "acl")
            .put_u32(EKHO_A_REFUSAL_COUNT, 2);
    });
    let read = refusal(Attributes(&message)).unwrap();
    assert_eq!((read.errno, read.count, &*read.reason), (0, 2, ""));
    let odd = attributes(|request| {
        put_ident(request);
        request.put_u32(EKHO_A_REFUSAL_ERRNO, u32::MAX);
    });
    assert_eq!(
        refusal(Attributes(&odd)).unwrap_err(),
        "its `errno` is 4294967295"
    );
}

#[test]
fn an_exit_is_read() {
    let exit = exit(Attributes(&exit_message())).unwrap();
    assert_eq!((&*exit.code, exit.value), ("return", -4096));
    assert_eq!((exit.time_ns, exit.flows), (1 << 35, 7));
    assert_eq!(exit.reason, "replace returned -4096");
}

#[test]
fn a_fault_is_of_a_device_or_of_those_to_come() {
    let message = attributes(|request| {
        put_ident(request);
        request
            .put_text(EKHO_A_FAULT_POINT, "stats")
            .put_u32(EKHO_A_FAULT_NTH, 2)
            .put_u32(EKHO_A_FAULT_ERRNO, 12)
            .put_u32(EKHO_A_FAULT_STALL_US, 5)
            .put(EKHO_A_FAULT_INTERRUPT, &[])
            .put_u32(EKHO_A_FAULT_CALLS, 3);
    });
    let read = fault::parse(Attributes(&message)).unwrap();
    assert_eq!((read.dev.as_deref(), read.calls), (Some("ek0"), Some(3)));
    let setting = read.setting;
    assert_eq!(
        (setting.nth, setting.errno, setting.stall_us),
        (Some(2), Some(12), Some(5))
    );
    assert!(setting.interrupt && !setting.recurse);
    let new = attributes(|request| {
        request
            .put(EKHO_A_FAULT_NEW_DEVICES, &[])
            .put_u32(EKHO_A_FAULT_STATS, EKHO_FAULT_STATS_FREEZE);
    });
    let read = fault::parse(Attributes(&new)).unwrap();
    assert_eq!(
        (read.dev, read.setting.stats.as_deref()),
        (None, Some("freeze"))
    );
    let nobody = attributes(|request| {
        request.put_u32(EKHO_A_FAULT_NOSPC_AFTER, 1);
    });
    assert!(fault::parse(Attributes(&nobody)).is_err());
}

#[test]
fn errors_of_faults_have_names_or_numbers() {
    assert_eq!(fault::errno("ENOMEM"), Some(12));
    assert_eq!(fault::errno("12"), Some(12));
    for bad in ["", "0", "-1", "4096", "ENOSUCH", "enomem", "errno 4000"] {
        assert_eq!(fault::errno(bad), None, "{bad}");
    }
}

fn cable_message(fill: impl FnOnce(&mut Request)) -> Vec<u8> {
    attributes(|request| {
        put_ident(request);
        fill(request);
        request
            .put_u32(EKHO_A_CABLE_PEER_IFINDEX, 4)
            .put_u32(EKHO_A_CABLE_PEER_NETNS, 4026531841)
            .put_u32(EKHO_A_CABLE_DELAY_US, 10_000)
            .put_u32(EKHO_A_CABLE_LOSS, 500)
            .put_u32(EKHO_A_CABLE_LIMIT, 1000)
            .put(EKHO_A_CABLE_CARRIER, &[])
            .put(EKHO_A_CABLE_LOST, &(1u64 << 40).to_ne_bytes())
            .put_u32(EKHO_A_CABLE_PEER_LOST, 6);
    })
}

#[test]
fn a_cable_is_read_with_or_without_the_name_of_its_other_end() {
    let message = cable_message(|request| {
        request
            .put_text(EKHO_A_CABLE_PEER_IFNAME, "ek1")
            .put(EKHO_A_CABLE_RATE, &(1u64 << 33).to_ne_bytes());
    });
    let read = cable::parse(Attributes(&message)).unwrap();
    assert_eq!((&*read.dev, read.peer_dev.as_deref()), ("ek0", Some("ek1")));
    assert_eq!((read.peer_ifindex, read.peer_netns), (4, 4026531841));
    assert!(read.carrier);
    assert_eq!((read.lost, read.peer_lost), (1 << 40, 6));
    let impairment = read.impairment;
    assert_eq!((impairment.delay_us, impairment.loss_ppm), (10_000, 500));
    assert_eq!(
        (impairment.rate_bps, impairment.limit),
        (Some(1 << 33), Some(1000))
    );
    let elsewhere = cable::parse(Attributes(&cable_message(|_| ()))).unwrap();
    assert_eq!(
        (elsewhere.peer_dev, elsewhere.impairment.rate_bps),
        (None, None)
    );
    let message = attributes(put_ident);
    assert_eq!(
        cable::parse(Attributes(&message)).unwrap_err(),
        "it has no `peer-ifindex`"
    );
}

#[test]
fn notifications_are_told_apart() {
    let named = Named {
        ifindex: 3,
        dev: "ek0".into(),
        netns: 4_026_531_840,
        firmware: "stats".into(),
    };
    let firmware = firmware_message();
    for (command, expected) in [
        (
            EKHO_CMD_FIRMWARE_ATTACH_NTF,
            Notification::Attach(named.clone()),
        ),
        (
            EKHO_CMD_FIRMWARE_REPLACE_NTF,
            Notification::Replace(named.clone()),
        ),
        (EKHO_CMD_FIRMWARE_DETACH_NTF, Notification::Detach(named)),
        (200, Notification::Unknown("ek0".into(), 4_026_531_840)),
    ] {
        assert_eq!(
            notification::parse(command, Attributes(&firmware)).unwrap(),
            expected
        );
    }
    let message = exit_message();
    let parsed = notification::parse(EKHO_CMD_FIRMWARE_EXIT_NTF, Attributes(&message)).unwrap();
    assert_eq!(
        parsed,
        Notification::Exit(exit(Attributes(&message)).unwrap())
    );
    let message = device_message();
    let is_device = |device: &Device| device.dev == "ek0";
    for command in [
        EKHO_CMD_DEVICE_ADD_NTF,
        EKHO_CMD_DEVICE_CHANGE_NTF,
        EKHO_CMD_DEVICE_DEL_NTF,
    ] {
        match notification::parse(command, Attributes(&message)).unwrap() {
            Notification::DeviceAdd(device)
            | Notification::DeviceChange(device)
            | Notification::DeviceDel(device) => assert!(is_device(&device)),
            other => panic!("{other:?}"),
        }
    }
    assert!(notification::parse(EKHO_CMD_FIRMWARE_ATTACH_NTF, Attributes(&[])).is_err());
    assert!(notification::parse(200, Attributes(&[])).is_err());
}

#[test]
fn what_is_missing_is_named() {
    let empty = Attributes(&[]);
    assert_eq!(version(empty).unwrap_err(), "it has no `abi`");
    assert_eq!(device(empty).unwrap_err(), "it has no `ifindex`");
    assert_eq!(flow(empty).unwrap_err(), "it has no `ifindex`");
    let message = attributes(put_ident);
    assert_eq!(
        firmware(Attributes(&message)).unwrap_err(),
        "it has no `name`"
    );
    assert_eq!(exit(Attributes(&message)).unwrap_err(), "it has no `code`");
    assert_eq!(flow(Attributes(&message)).unwrap().prio, 0);
}

/// Numbers that are too short or too wide, and names that aren't UTF-8.
#[test]
fn what_makes_no_sense_is_refused_or_shown_as_it_can_be() {
    let message = flow_message(|request| {
        request.put(EKHO_A_FLOW_PRIO, &[1, 2, 3]);
    });
    assert_eq!(flow(Attributes(&message)).unwrap_err(), "it has no `prio`");
    let message = flow_message(|request| {
        request.put(EKHO_A_FLOW_CHAIN, &u64::MAX.to_ne_bytes());
    });
    assert_eq!(
        flow(Attributes(&message)).unwrap_err(),
        "its `chain` is 18446744073709551615"
    );
    let message = attributes(|request| {
        request
            .put_u32(EKHO_A_DEVICE_IFINDEX, 3)
            .put(EKHO_A_DEVICE_IFNAME, b"ek\xff\x1b[2J\0")
            .put_u32(EKHO_A_DEVICE_NETNS, 1)
            .put_u32(EKHO_A_DEVICE_KIND, 0);
    });
    let device = device(Attributes(&message)).unwrap();
    assert_eq!(device.dev, "ek\u{fffd}\u{1b}[2J");
}

/// Each message, cut at each place, and with each byte of it changed: nothing panics.
#[test]
fn messages_that_are_cut_or_damaged_do_no_harm() {
    let all = |data: &[u8]| {
        let attributes = Attributes(data);
        let _ = (version(attributes), fault_points(attributes));
        let _ = (device(attributes), firmware(attributes), flow(attributes));
        let _ = (declared(attributes), refusal(attributes), exit(attributes));
        let _ = (fault::parse(attributes), cable::parse(attributes));
        for command in 0..=u8::MAX {
            let _ = notification::parse(command, attributes);
        }
    };
    for message in [
        device_message(),
        firmware_message(),
        exit_message(),
        flow_message(|_| ()),
        cable_message(|_| ()),
    ] {
        for end in 0..message.len() {
            all(&message[..end]);
        }
        for at in 0..message.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut damaged = message.clone();
                damaged[at] = value;
                all(&damaged);
            }
        }
    }
}
