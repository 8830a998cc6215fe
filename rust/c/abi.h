/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The firmware contract: the types that BPF firmware sees.
 *
 * They must come from C: struct_ops, kfuncs and CO-RE work on the module's
 * BTF, and pahole leaves Rust units out of it. rust/bindings/ gives the same
 * definitions to the Rust side through bindgen.
 *
 * Rules of change: fields are appended, never moved, renamed or reused; an op
 * or field that old firmware doesn't know must mean "as before" when absent.
 * Firmware finds additions by name (weak kfuncs, CO-RE); BPF_FLOW_OFFLOAD_ABI
 * grows for a change that it couldn't find in this way, or whose lack would go
 * unnoticed.
 */
#ifndef EKHO_ABI_H
#define EKHO_ABI_H

#include <linux/if.h>
#include <linux/types.h>

struct flow_action_entry;
struct flow_rule;
struct tc_cls_u32_knode;

/* Bytes of a firmware's name, with the terminating NUL. */
#define EKHO_NAME_MAX 32

/* Bytes of the reason for a refusal, with the NUL: what netlink can carry. */
#define EKHO_REASON_MAX 80

/* Bytes of private memory that a flow can have. */
#define EKHO_FLOW_SIZE_MAX 256

/* An enum, so that user space reads the number from the module's BTF. */
enum bpf_flow_offload_abi {
	/* The newest contract that this module speaks. */
	BPF_FLOW_OFFLOAD_ABI = 3,
};

/*
 * The numbers in there are EKHO's own: the kernel's differ between versions, and
 * firmware declares what it can do as data, which CO-RE doesn't reach.
 */
#include "../../bpf/ekho_rule.h"

/**
 * struct ekho_device - the device that firmware is attached to
 * @ifindex: its index in its own network namespace
 * @generation: 1 for the first firmware on this attachment, then one more
 *	with each atomic replacement
 * @name: its name at the time of the call
 */
struct ekho_device {
	u32 ifindex;
	u32 generation;
	char name[IFNAMSIZ];
};

/**
 * struct ekho_flow - what identifies a flow
 * @cookie: the kernel's key of the flow: unique on a device while the flow
 *	lives, the same in replace, stats and destroy
 * @ifindex: device on which the request arrived
 * @chain_index: tc chain, 0 by default
 * @prio: tc preference, lower is looked at first
 * @protocol: EtherType that the filter is bound to, in host byte order
 * @skip_sw: 1 if the user wants the flow in hardware only
 * @classifier: enum ekho_classifier
 * @block_index: number of the shared tc block that the filter is in, else 0
 * @hooks: enum ekho_hook; a block can be bound to both
 * @data_size: bytes of private memory that the flow has
 * @data: that memory: see bpf_flow_offload_flow_data()
 * @ct_zone: conntrack zone of a connection (EKHO_CLS_CT), else 0
 */
struct ekho_flow {
	u64 cookie;
	u32 ifindex;
	u32 chain_index;
	u32 prio;
	u16 protocol;
	u8 skip_sw;
	u8 classifier;
	u32 block_index;
	u8 hooks;
	u16 data_size;
	void *data;
	u16 ct_zone;
};

/**
 * struct ekho_action - one action of a flow
 * @id: enum ekho_action_id
 * @hw_stats: enum ekho_hw_stats: how its statistics may be had
 * @index: tc's index of the action, for those that filters share
 * @arg: the number that says most: chain, ifindex of a device, VLAN id, mark,
 *	packet type, priority, queue, sampling rate, conntrack zone, MPLS
 *	label, PPPoE session; 0 if there is none
 * @cookie: the kernel's key of the action, 0 if it has none
 * @name: its name, for messages
 * @entry: the kernel's own record with the typed payload. Members of it share
 *	their memory with pointers, so the verifier doesn't let all of them be
 *	read in place: BPF_CORE_READ(act->entry, vlan.prio) always works
 */
struct ekho_action {
	u32 id;
	u32 hw_stats;
	u32 index;
	u32 arg;
	u64 cookie;
	const char *name;
	struct flow_action_entry *entry;
};

/*
 * One context type per op: the type of the argument is what tells the
 * verifier which op may call which kfunc.
 */

/** struct ekho_attach_ctx - argument of attach(): process context, RTNL held */
struct ekho_attach_ctx {
	struct ekho_device dev;
};

/** struct ekho_detach_ctx - argument of detach(): process context, RTNL held */
struct ekho_detach_ctx {
	struct ekho_device dev;
};

/**
 * struct ekho_replace_ctx - argument of replace(): process context
 * @flow: the new flow
 * @classid: class that the filter maps to, 0 for none
 * @n_actions: how many actions the rule has
 * @rule: the kernel's own rule, readable through BTF for as long as the
 *	op runs; NULL for a shared action
 * @keys: what is matched: a bit for each enum ekho_key with a mask that isn't
 *	all zero; EKHO_KEY_CONTROL and EKHO_KEY_ENC_CONTROL if flags are
 * @u32: the kernel's own record of a u32 filter, else NULL
 * @action: the kernel's own list of actions
 * @hw_stats: enum ekho_hw_stats: the ways of counting that suit all actions
 * @chosen_hw_stats: what bpf_flow_offload_choose_hw_stats() chose
 * @reason: what bpf_flow_offload_set_reason() gave, empty before it
 * @counts_actions: 1 once bpf_flow_offload_count_actions() was called
 * @encoding_size: bytes that bpf_flow_offload_encoding() has to say; of ABI 3
 *
 * Also the argument of template_create(), which has no actions.
 */
struct ekho_replace_ctx {
	struct ekho_flow flow;
	u32 classid;
	u32 n_actions;
	struct flow_rule *rule;
	u64 keys;
	struct tc_cls_u32_knode *u32;
	struct flow_action *action;
	u32 hw_stats;
	u32 chosen_hw_stats;
	char reason[EKHO_REASON_MAX];
	u8 counts_actions;
	u32 encoding_size;
};

/**
 * struct ekho_destroy_ctx - argument of destroy(): process context
 * @flow: the flow that ends
 * @packets: total that was handed to the kernel; 0 if the flow's actions were
 *	counted one by one
 * @bytes: likewise
 * @drops: likewise
 *
 * Also the argument of template_destroy(), where all three are 0.
 */
struct ekho_destroy_ctx {
	struct ekho_flow flow;
	u64 packets;
	u64 bytes;
	u64 drops;
};

/* What firmware said of a flow's counters. */
enum ekho_stats_kind {
	EKHO_STATS_NONE = 0,
	EKHO_STATS_TOTALS = 1,
	EKHO_STATS_DELTAS = 2,
};

/**
 * struct ekho_totals - what bpf_flow_offload_map_stats() is given
 * @packets: packets that matched
 * @bytes: their bytes
 * @drops: how many of them were dropped
 * @last_used_ns: bpf_ktime_get_ns() of the last packet, 0 if not known
 */
struct ekho_totals {
	u64 packets;
	u64 bytes;
	u64 drops;
	u64 last_used_ns;
};

/**
 * struct ekho_stats_ctx - argument of stats(): may be atomic context
 * @flow: the flow whose statistics the kernel wants
 * @packets: total that bpf_flow_offload_map_stats() or
 *	bpf_flow_offload_set_stats() gave, or what
 *	bpf_flow_offload_add_stats() added; 0 before all of them
 * @bytes: likewise
 * @drops: likewise
 * @last_used_ns: likewise
 * @valid: enum ekho_stats_kind
 * @action: of a flow whose actions are counted one by one, the cookie of the
 *	action that is meant; 0 for the flow as a whole. See
 *	bpf_flow_offload_count_actions()
 */
struct ekho_stats_ctx {
	struct ekho_flow flow;
	u64 packets;
	u64 bytes;
	u64 drops;
	u64 last_used_ns;
	u8 valid;
	u64 action;
};

/* What happens to a hash table of u32. */
enum ekho_hnode_command {
	EKHO_HNODE_NEW = 1,
	EKHO_HNODE_DELETE = 2,
};

/**
 * struct ekho_hnode_ctx - argument of hnode(): process context
 * @dev: the device
 * @command: enum ekho_hnode_command
 * @handle: the table's handle
 * @divisor: how many buckets it has
 * @chain_index: tc chain
 * @prio: tc preference
 * @skip_sw: 1 if the user wants the filters in hardware only
 */
struct ekho_hnode_ctx {
	struct ekho_device dev;
	u32 command;
	u32 handle;
	u32 divisor;
	u32 chain_index;
	u32 prio;
	u8 skip_sw;
};

/**
 * struct ekho_qdisc_ctx - argument of qdisc(): process context, RTNL held
 * @dev: the device
 * @type: enum tc_setup_type: what is asked for
 * @mqprio: the request if it is of TC_SETUP_QDISC_MQPRIO, else NULL; likewise
 *	the others. Requests start with a command, but for @cbs and @etf
 * @packets: what bpf_flow_offload_add_qdisc_stats() added
 * @bytes: likewise
 * @drops: likewise
 * @overlimits: likewise
 * @valid: 1 once it was called
 */
struct ekho_qdisc_ctx {
	struct ekho_device dev;
	u32 type;
	struct tc_mqprio_qopt_offload *mqprio;
	struct tc_taprio_qopt_offload *taprio;
	struct tc_ets_qopt_offload *ets;
	struct tc_red_qopt_offload *red;
	struct tc_gred_qopt_offload *gred;
	struct tc_tbf_qopt_offload *tbf;
	struct tc_prio_qopt_offload *prio;
	struct tc_htb_qopt_offload *htb;
	struct tc_fifo_qopt_offload *fifo;
	struct tc_cbs_qopt_offload *cbs;
	struct tc_etf_qopt_offload *etf;
	struct tc_mq_qopt_offload *mq;
	struct tc_root_qopt_offload *root;
	u64 packets;
	u64 bytes;
	u32 drops;
	u32 overlimits;
	u8 valid;
};

/* Tables of a device, which firmware programs and packets are looked up in. */
enum ekho_tables {
	/* Filters of tc, at ingress and egress of each port. */
	EKHO_TABLES_RULES = 1,
};

/**
 * struct bpf_flow_offload_ops - what firmware implements for a device
 * @abi_version: BPF_FLOW_OFFLOAD_ABI that the firmware was built for
 * @ifindex: device to attach to, in the network namespace of the process that
 *	creates the link; the loader fills it in
 * @name: shown to people; letters, digits, '_', '.' and '-'
 * @attach: optional; the firmware takes over the device. An error refuses
 * @detach: optional; the last call
 * @replace: offload a flow. 0 accepts it, a negative errno refuses it
 * @destroy: an accepted flow ends; the result is ignored
 * @stats: fill in what the flow has counted, with bpf_flow_offload_map_stats(),
 *	bpf_flow_offload_set_stats() or bpf_flow_offload_add_stats(). Optional if
 *	@tables isn't 0: the device counts what it executes
 * @template_create: optional; all filters of a chain will match what the
 *	template does. The result is ignored, as the kernel ignores it
 * @template_destroy: optional; a template ends
 * @hnode: optional; a hash table of u32 filters comes or goes. Without it
 *	only the first, which has one bucket, is accepted
 * @qdisc: optional; a qdisc is to be offloaded, or something about it is
 *	asked. Without it all are refused
 * @keys: what it can match: bits of enum ekho_key; 0 for anything. This and
 *	what follows is checked before replace() is called
 * @actions: what it can do: bits of enum ekho_action_id; 0 for anything
 * @classifiers: whose flows it takes: bits of enum ekho_classifier; 0 for all
 * @hw_stats: bits of enum ekho_hw_stats; 0 for delayed and disabled
 * @max_flows: how many flows it holds; 0 for any number
 * @max_chains: how many chains, counted from 0; 0 for any number
 * @prio_min: lowest preference; 0 for any
 * @prio_max: highest preference; 0 for any
 * @max_actions: how many actions a flow has at most; 0 for any number
 * @flow_size: bytes of private memory for each flow, EKHO_FLOW_SIZE_MAX at
 *	most: see bpf_flow_offload_flow_data()
 * @budget_us: microseconds that an op may take, without the time for which
 *	other tasks ran; 0 for the module's parameter budget_us, which is 10000
 *	unless set. One op that takes ten times as long, and 100 ms at least, is
 *	too much, and so are many that take longer: 16 in a row, or more than
 *	one in five
 * @tables: bits of enum ekho_tables: tables of the device that the firmware
 *	programs; 0 for none. See bpf_flow_offload_insert()
 *
 * No op may be sleepable: the kernel asks for statistics in atomic context
 * too.
 *
 * Firmware is stopped and detached if an op returns a positive number, an
 * errno that does not exist, or EAGAIN, which makes tc start over; if it takes
 * longer than its budget; if an op leads to another op of the same device; or
 * if it chooses a queue that the device hasn't got. The request in question is
 * refused with EINVAL.
 */
struct bpf_flow_offload_ops {
	u32 abi_version;
	u32 ifindex;
	char name[EKHO_NAME_MAX];
	int (*attach)(struct ekho_attach_ctx *ctx);
	void (*detach)(struct ekho_detach_ctx *ctx);
	int (*replace)(struct ekho_replace_ctx *ctx);
	int (*destroy)(struct ekho_destroy_ctx *ctx);
	int (*stats)(struct ekho_stats_ctx *ctx);
	int (*template_create)(struct ekho_replace_ctx *ctx);
	int (*template_destroy)(struct ekho_destroy_ctx *ctx);
	int (*hnode)(struct ekho_hnode_ctx *ctx);
	int (*qdisc)(struct ekho_qdisc_ctx *ctx);
	u64 keys;
	u64 actions;
	u32 classifiers;
	u32 hw_stats;
	u32 max_flows;
	u32 max_chains;
	u32 prio_min;
	u32 prio_max;
	u32 max_actions;
	u32 flow_size;
	u32 budget_us;
	u32 tables;
};

#endif /* EKHO_ABI_H */
