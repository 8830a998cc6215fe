/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What firmware and user space share in maps: the values of EKHO_FLOW_STATS(),
 * the records of EKHO_EVENTS(), both of ekho.bpf.h. There is nothing of BPF in
 * here, so that a program that reads or feeds those maps can include it.
 */
#ifndef EKHO_MAPS_H
#define EKHO_MAPS_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

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
 *  - refuse a version that isn't 1; it changes only if nothing below holds
 *  - parts begin at header_size, which grows when the header gets more members
 *  - size is where the record ends; what the ring buffer has beyond is junk
 *  - skip parts whose type isn't known, or that are shorter than expected;
 *    ignore what is at the end of those that are longer
 *  - text ends at its first 0, and has nothing else behind that
 */
#define EKHO_EVENT_VERSION 1

enum ekho_event_what {
	EKHO_EVENT_ATTACH = 1,
	EKHO_EVENT_DETACH = 2,
	EKHO_EVENT_REPLACE = 3,
	EKHO_EVENT_DESTROY = 4,
	EKHO_EVENT_STATS = 5,
	EKHO_EVENT_TEMPLATE_CREATE = 6,
	EKHO_EVENT_TEMPLATE_DESTROY = 7,
	EKHO_EVENT_HNODE = 8,
	EKHO_EVENT_QDISC = 9,
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
 * @n_actions: of replace: how many there are. EKHO_EVENT_ACTIONS_MAX at most
 *	have a part
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
	__u16 n_actions;
	__u32 generation;
	__u32 classid;
	__u64 keys;
};

/*
 * What a part is. From EKHO_PART_FIELD on it is a field of a packet that a
 * flow matches, half of it the key and half the mask; fields with a mask of 0
 * have none.
 */
enum ekho_event_part_type {
	/* struct ekho_event_action; one each, in order */
	EKHO_PART_ACTION = 1,
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

	EKHO_PART_FIELD = 0x100,
	/* As in the packet, unless it says something else. */
	EKHO_FIELD_IP_FLAGS = EKHO_PART_FIELD, /* u32, flow_dissector's */
	EKHO_FIELD_ETH_TYPE,
	EKHO_FIELD_IP_PROTO,
	EKHO_FIELD_IPV4_SRC,
	EKHO_FIELD_IPV4_DST,
	EKHO_FIELD_IPV6_SRC,
	EKHO_FIELD_IPV6_DST,
	EKHO_FIELD_PORT_SRC,
	EKHO_FIELD_PORT_DST,
	EKHO_FIELD_PORT_SRC_MIN,
	EKHO_FIELD_PORT_SRC_MAX,
	EKHO_FIELD_PORT_DST_MIN,
	EKHO_FIELD_PORT_DST_MAX,
	EKHO_FIELD_ICMP_TYPE,
	EKHO_FIELD_ICMP_CODE,
	EKHO_FIELD_ETH_DST,
	EKHO_FIELD_ETH_SRC,
	EKHO_FIELD_ARP_SIP,
	EKHO_FIELD_ARP_TIP,
	EKHO_FIELD_ARP_OP, /* u8 */
	EKHO_FIELD_ARP_SHA,
	EKHO_FIELD_ARP_THA,
	EKHO_FIELD_VLAN_ID, /* u16 */
	EKHO_FIELD_VLAN_PRIO, /* u8 */
	EKHO_FIELD_VLAN_ETH_TYPE,
	EKHO_FIELD_VLAN_TPID,
	EKHO_FIELD_CVLAN_ID, /* u16 */
	EKHO_FIELD_CVLAN_PRIO, /* u8 */
	EKHO_FIELD_CVLAN_ETH_TYPE,
	EKHO_FIELD_CVLAN_TPID,
	EKHO_FIELD_MPLS, /* u32 for each label stack entry, the outermost first */
	EKHO_FIELD_TCP_FLAGS,
	EKHO_FIELD_IP_TOS,
	EKHO_FIELD_IP_TTL,
	EKHO_FIELD_ENC_KEY_ID,
	EKHO_FIELD_ENC_IPV4_SRC,
	EKHO_FIELD_ENC_IPV4_DST,
	EKHO_FIELD_ENC_IPV6_SRC,
	EKHO_FIELD_ENC_IPV6_DST,
	EKHO_FIELD_ENC_PORT_SRC,
	EKHO_FIELD_ENC_PORT_DST,
	EKHO_FIELD_ENC_TOS,
	EKHO_FIELD_ENC_TTL,
	EKHO_FIELD_ENC_FLAGS, /* u32, flow_dissector's */
	EKHO_FIELD_INDEV, /* u32, ifindex */
	EKHO_FIELD_L2_MISS,
	EKHO_FIELD_CT_STATE, /* u16 */
	EKHO_FIELD_CT_ZONE, /* u16 */
	EKHO_FIELD_CT_MARK, /* u32 */
	EKHO_FIELD_CT_LABELS,
	EKHO_FIELD_HASH, /* u32 */
	EKHO_FIELD_NUM_OF_VLANS,
	EKHO_FIELD_PPPOE_SID,
	EKHO_FIELD_PPP_PROTO,
	EKHO_FIELD_L2TPV3_SID,
	EKHO_FIELD_CFM_MDL_VER,
	EKHO_FIELD_CFM_OPCODE,
	EKHO_FIELD_IPSEC_SPI,
};

/* What comes before each part: its type, and the bytes behind this. */
struct ekho_event_part {
	__u16 type;
	__u16 size;
};

/**
 * struct ekho_event_action - see struct ekho_action
 * @id: enum ekho_action_id
 * @hw_stats: enum ekho_hw_stats
 * @index: tc's index of the action
 * @arg: the number that says most
 * @data: more of it. VLAN_PUSH, VLAN_MANGLE: EtherType, priority. MANGLE, ADD:
 *	enum flow_action_mangle_base, offset, mask, value, as the kernel has
 *	them. Else 0
 */
struct ekho_event_action {
	__u16 id;
	__u16 hw_stats;
	__u32 index;
	__u32 arg;
	__u32 data[4];
};

#define EKHO_EVENT_ACTIONS_MAX 32

/* See struct ekho_hnode_ctx. */
struct ekho_event_hnode {
	__u32 command;
	__u32 handle;
	__u32 divisor;
};

/* The member of struct ekho_qdisc_ctx that has the request. */
enum ekho_event_qdisc_kind {
	EKHO_QDISC_OTHER = 0,
	EKHO_QDISC_MQPRIO = 1,
	EKHO_QDISC_TAPRIO = 2,
	EKHO_QDISC_ETS = 3,
	EKHO_QDISC_RED = 4,
	EKHO_QDISC_GRED = 5,
	EKHO_QDISC_TBF = 6,
	EKHO_QDISC_PRIO = 7,
	EKHO_QDISC_HTB = 8,
	EKHO_QDISC_FIFO = 9,
	EKHO_QDISC_CBS = 10,
	EKHO_QDISC_ETF = 11,
	EKHO_QDISC_MQ = 12,
	EKHO_QDISC_ROOT = 13,
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
