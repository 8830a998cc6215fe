/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The firmware contract: the types that BPF firmware sees.
 *
 * They must come from C: struct_ops, kfuncs and CO-RE work on the module's
 * BTF, and pahole leaves Rust units out of it. rust/bindings/ gives the same
 * definitions to the Rust side through bindgen.
 *
 * Rules of change: fields are appended, never moved, renamed or reused; an op
 * or field that old firmware doesn't know must mean "as before" when absent;
 * BPF_FLOW_OFFLOAD_ABI grows when firmware can tell the difference.
 */
#ifndef EKHO_ABI_H
#define EKHO_ABI_H

#include <linux/if.h>
#include <linux/types.h>

struct flow_rule;

/* Bytes of a firmware's name, with the terminating NUL. */
#define EKHO_NAME_MAX 32

/* An enum, so that user space reads the number from the module's BTF. */
enum bpf_flow_offload_abi {
	/* The newest contract that this module speaks. */
	BPF_FLOW_OFFLOAD_ABI = 1,
};

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
 */
struct ekho_flow {
	u64 cookie;
	u32 ifindex;
	u32 chain_index;
	u32 prio;
	u16 protocol;
	u8 skip_sw;
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
 *	op runs
 */
struct ekho_replace_ctx {
	struct ekho_flow flow;
	u32 classid;
	u32 n_actions;
	struct flow_rule *rule;
};

/**
 * struct ekho_destroy_ctx - argument of destroy(): process context
 * @flow: the flow that ends
 * @packets: total that was handed to the kernel
 * @bytes: likewise
 * @drops: likewise
 */
struct ekho_destroy_ctx {
	struct ekho_flow flow;
	u64 packets;
	u64 bytes;
	u64 drops;
};

/**
 * struct ekho_stats_ctx - argument of stats(): may be atomic context
 * @flow: the flow whose statistics the kernel wants
 * @packets: total that bpf_flow_offload_set_stats() gave, 0 before it
 * @bytes: likewise
 * @drops: likewise
 * @last_used_ns: likewise
 * @valid: 1 once bpf_flow_offload_set_stats() was called
 */
struct ekho_stats_ctx {
	struct ekho_flow flow;
	u64 packets;
	u64 bytes;
	u64 drops;
	u64 last_used_ns;
	u8 valid;
};

/**
 * struct bpf_flow_offload_ops - what firmware implements for a device
 * @abi_version: BPF_FLOW_OFFLOAD_ABI that the firmware was built for
 * @ifindex: device to attach to, in the network namespace of the process that
 *	creates the link; the loader fills it in
 * @name: shown to people; letters, digits, '_', '.' and '-'
 * @attach: optional; the firmware takes over the device. An error refuses
 * @detach: optional; the last call
 * @replace: a flow is wanted. 0 accepts it, a negative errno refuses it
 * @destroy: an accepted flow ends; the result is ignored
 * @stats: fill in what the flow has counted, with bpf_flow_offload_set_stats()
 *
 * No op may be sleepable: the kernel asks for statistics in atomic context
 * too. A positive result, or an errno that does not exist, counts as a
 * violation and is taken for -EINVAL.
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
};

#endif /* EKHO_ABI_H */
