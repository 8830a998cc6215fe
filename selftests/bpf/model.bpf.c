// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two devices whose behaviour userspace/model-test can tell in advance.
 *
 *	wide	takes anything; its counters are totals: one packet of 100 bytes
 *		more each time that they are read
 *	tight	takes 3 flows of flower and matchall with one action, in chains
 *		0 and 1, with preference 2 to 5; its counters are deltas: two
 *		packets of 100 bytes each time
 *
 * Neither has a map: what there is of a flow is in the flow's own memory, and a
 * flow that has none, as it was accepted by other firmware, isn't counted.
 */
#include "ekho.bpf.h"

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_OP(template_create, struct ekho_replace_ctx *ctx)
{
	return 0;
}

EKHO_OP(template_destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_OP(hnode, struct ekho_hnode_ctx *ctx)
{
	return 0;
}

EKHO_OP(totals, struct ekho_stats_ctx *ctx)
{
	__u64 *polls = (void *)bpf_flow_offload_flow_data(&ctx->flow, 8);
	__u64 total;

	if (!polls)
		return -ENOENT;
	total = __sync_fetch_and_add(polls, 1) + 1;
	return bpf_flow_offload_set_stats(ctx, total, 100 * total, 0, 0);
}

EKHO_OP(deltas, struct ekho_stats_ctx *ctx)
{
	if (!bpf_flow_offload_flow_data(&ctx->flow, 8))
		return -ENOENT;
	return bpf_flow_offload_add_stats(ctx, 2, 200, 0, 0);
}

char _license[] SEC("license") = "GPL";

SEC(".struct_ops.link")
struct bpf_flow_offload_ops wide = {
	.abi_version = BPF_FLOW_OFFLOAD_ABI,
	.name = "wide",
	.replace = (void *)replace,
	.destroy = (void *)destroy,
	.stats = (void *)totals,
	.template_create = (void *)template_create,
	.template_destroy = (void *)template_destroy,
	.hnode = (void *)hnode,
	.flow_size = 8,
};

SEC(".struct_ops.link")
struct bpf_flow_offload_ops tight = {
	.abi_version = BPF_FLOW_OFFLOAD_ABI,
	.name = "tight",
	.replace = (void *)replace,
	.destroy = (void *)destroy,
	.stats = (void *)deltas,
	.classifiers = EKHO_CLASSIFIERS(FLOWER, MATCHALL),
	.max_flows = 3,
	.max_chains = 2,
	.prio_min = 2,
	.prio_max = 5,
	.max_actions = 1,
	.flow_size = 8,
};
