/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * What firmware and user space share in maps: the values of EKHO_FLOW_STATS(),
 * the records of EKHO_EVENTS(), both of ekho.bpf.h. There is nothing of BPF in
 * here, so that a program that reads or feeds those maps can include it.
 */
#ifndef EKHO_MAPS_H
#define EKHO_MAPS_H

#include "ekho_rule.h"

/**
 * struct ekho_flow_counters - totals of a flow since the map has it
 * @packets: never less than before, like bytes and drops
 * @bytes: of those packets
 * @drops: packets that were dropped
 * @last_used_ns: CLOCK_MONOTONIC at the last packet, 0 if not known
 */
struct ekho_flow_counters {
	__u64 packets;
	__u64 bytes;
	__u64 drops;
	__u64 last_used_ns;
};

/*
 * Records of events.
 *
 * A record is a struct ekho_event and parts behind it, with no gaps. A part is
 * a struct ekho_event_part and so many bytes. Numbers are in the machine's byte
 * order, unless they are bytes of a packet. How to read it, now and in future:
 *
 *  - refuse a version that isn't 2; it changes only if nothing below holds
 *  - parts begin at header_size, which grows when the header gets more members
 *  - size is where the record ends; what the ring buffer has beyond is junk
 *  - skip parts whose type isn't known, or that are shorter than expected;
 *    ignore what is at the end of those that are longer
 *  - text ends at its first 0, and has nothing else behind that
 *
 * Version 1 had parts for each field and action in place of EKHO_PART_RULE.
 */
#define EKHO_EVENT_VERSION 2

enum ekho_event_what {
#define EKHO_EVENT_NUMBER(name, number, text) EKHO_EVENT_##name = number,
	EKHO_EVENT_LIST(EKHO_EVENT_NUMBER)
};

/**
 * struct ekho_event - how a record begins
 * @version: EKHO_EVENT_VERSION
 * @header_size: bytes of this structure
 * @size: bytes of the whole record
 * @time_ns: bpf_ktime_get_ns(), which is CLOCK_MONOTONIC
 * @lost: how many events were lost so far: what it has grown by since the
 *	record before was lost between the two
 * @what: enum ekho_event_what
 * @err: what the op returned: 0, or a negative errno
 * @cookie: this and what follows is of struct ekho_flow, where there is one
 * @ifindex: the device
 * @chain_index: also of hnode
 * @prio: also of hnode
 * @protocol: EtherType in the machine's byte order
 * @skip_sw: also of hnode
 * @classifier: enum ekho_classifier
 * @block_index: shared tc block
 * @hooks: enum ekho_hook
 * @reserved: 0
 * @ct_zone: conntrack zone of a connection (EKHO_CLS_CT)
 * @generation: which firmware on this attachment; attach and detach
 * @classid: of replace
 * @keys: of replace: a bit for each enum ekho_key that is matched, whether it
 *	has a part or not
 */
struct ekho_event {
	__u16 version;
	__u16 header_size;
	__u32 size;
	__u64 time_ns;
	__u64 lost;
	__u32 what;
	__s32 err;
	__u64 cookie;
	__u32 ifindex;
	__u32 chain_index;
	__u32 prio;
	__u16 protocol;
	__u8 skip_sw;
	__u8 classifier;
	__u32 block_index;
	__u8 hooks;
	__u8 reserved;
	__u16 ct_zone;
	__u32 generation;
	__u32 classid;
	__u64 keys;
};

/* What a part is. */
enum ekho_event_part_type {
	/* what is matched and done, encoded: see ekho_rule.h; of replace */
	EKHO_PART_RULE = 1,
	/* struct ekho_flow_counters; of destroy and stats */
	EKHO_PART_COUNTERS = 2,
	/* struct ekho_event_hnode */
	EKHO_PART_HNODE = 3,
	/* struct ekho_event_qdisc */
	EKHO_PART_QDISC = 4,
	/* text: why the flow was refused */
	EKHO_PART_REASON = 5,
	/* text: name of the device; of attach, detach, hnode and qdisc */
	EKHO_PART_DEVICE = 6,
};

/* What comes before each part: its type, and the bytes behind this. */
struct ekho_event_part {
	__u16 type;
	__u16 size;
};

/* See struct ekho_hnode_ctx. */
struct ekho_event_hnode {
	__u32 command;
	__u32 handle;
	__u32 divisor;
};

/* The member of struct ekho_qdisc_ctx that has the request. */
enum ekho_event_qdisc_kind {
	EKHO_QDISC_OTHER = 0,
#define EKHO_QDISC_NUMBER(name, number, text) EKHO_QDISC_##name = number,
	EKHO_QDISC_LIST(EKHO_QDISC_NUMBER)
};

/**
 * struct ekho_event_qdisc - a request of a qdisc
 * @kind: enum ekho_event_qdisc_kind
 * @command: the command, numbered as that kind does; 0 if it has none
 */
struct ekho_event_qdisc {
	__u32 kind;
	__u32 command;
};

#endif /* EKHO_MAPS_H */
