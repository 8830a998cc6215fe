// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one that keeps its state of a flow in the private memory of the flow,
 * and counts in every way. It logs the totals of each flow in destroy.
 *
 *	preference	counted
 *	1 to 99		totals: 10 packets more each time
 *	100 to 199	deltas, in two calls: 3 and 4 packets each time
 *	from 200	as above; the preference less 200 is the bit of enum
 *			ekho_hw_stats that is chosen: 201, 202, 204
 *
 * Packets have 100 bytes; one of each report is dropped.
 */
#include "ekho.bpf.h"
#include "log.h"

struct memory {
	__u64 cookie;
	__u64 reports;
	/* Up to the end, to see that it is there. */
	__u64 unused[29];
	__u64 last;
};

#define MEMORY(flow)                                       \
	((struct memory *)bpf_flow_offload_flow_data(flow, \
						     sizeof(struct memory)))

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct memory *memory = MEMORY(&ctx->flow);
	__u32 prio = ctx->flow.prio;
	int err;

	if (!memory)
		return ekho_refuse(ctx, ENOMEM, "no memory");
	/* More than there is can't be had. */
	if (bpf_flow_offload_flow_data(&ctx->flow, sizeof(*memory) + 1))
		return ekho_refuse(ctx, EINVAL, "too much memory");
	if (memory->cookie || memory->reports || memory->last)
		return ekho_refuse(ctx, EEXIST, "memory isn't zero");
	if (prio > 200) {
		err = bpf_flow_offload_choose_hw_stats(ctx, prio - 200);
		if (err)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "hw_stats %d chosen, %d allowed: %d",
					   prio - 200, ctx->hw_stats, err);
	}
	memory->cookie = ctx->flow.cookie;
	memory->last = ctx->flow.cookie;
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	struct memory *memory = MEMORY(&ctx->flow);
	struct log_line *line = log_line();

	if (!memory || !line)
		return 0;
	say(line, "prio=%u kept=%d reports=%llu ", ctx->flow.prio,
	    memory->cookie == ctx->flow.cookie &&
		    memory->last == ctx->flow.cookie,
	    memory->reports);
	say(line, "packets=%llu bytes=%llu drops=%llu", ctx->packets,
	    ctx->bytes, ctx->drops);
	return 0;
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	struct memory *memory = MEMORY(&ctx->flow);
	__u64 n;

	if (!memory || memory->cookie != ctx->flow.cookie)
		return -EINVAL;
	n = ++memory->reports;
	if (ctx->flow.prio < 100)
		return bpf_flow_offload_set_stats(ctx, 10 * n, 1000 * n, n, 0);
	bpf_flow_offload_add_stats(ctx, 3, 300, 0, 0);
	return bpf_flow_offload_add_stats(ctx, 4, 400, 1, 0);
}

EKHO_FIRMWARE(private_memory, .replace = (void *)replace,
	      .destroy = (void *)destroy, .stats = (void *)stats,
	      .flow_size = sizeof(struct memory),
	      .hw_stats = EKHO_HW_STATS_IMMEDIATE | EKHO_HW_STATS_DELAYED |
			  EKHO_HW_STATS_DISABLED);
