// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one that counts the actions of a filter one by one.
 *
 *	matches		anything
 *	actions		8 at most; shared ones by themselves if their index is
 *			2000 or more
 *	counters	preference	counted
 *			1 to 99		totals by action, as user space writes them
 *					into the map `flow_stats`
 *			100 to 199	deltas by action: as many packets each
 *					time as its place, from 1 on
 *			from 200	as a whole: totals, as for 1 to 99
 *			shared actions	1000 packets, all in all
 *
 * Packets have 100 bytes. The map `places` has the cookies of actions by
 * preference and place: 100 * preference + place.
 */
#include "ekho.bpf.h"

#define ACTIONS 8

EKHO_FLOW_STATS(4096);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} places SEC(".maps");

/* What a flow remembers: its actions' cookies. */
struct memory {
	__u64 cookies[ACTIONS];
};

#define MEMORY(flow)                                       \
	((struct memory *)bpf_flow_offload_flow_data(flow, \
						     sizeof(struct memory)))

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct memory *memory = MEMORY(&ctx->flow);
	struct ekho_flow_counters zero = {};
	__u32 prio = ctx->flow.prio, n = 0;
	struct ekho_action *act;
	int err;

	if (ctx->flow.classifier == EKHO_CLS_ACTION) {
		bpf_for_each(flow_action, act, ctx)
			return act->index < 2000 ? -EOPNOTSUPP : 0;
		return -EINVAL;
	}
	if (!memory)
		return -ENOMEM;
	if (prio < 200) {
		err = bpf_flow_offload_count_actions(ctx);
		if (err)
			return ekho_refuse(ctx, EOPNOTSUPP, "count_actions: %d",
					   err);
	}
	err = ekho_counters_create(ctx);
	if (err)
		return err;
	bpf_for_each(flow_action, act, ctx) {
		__u64 cookie = act->cookie;
		__u32 place;

		if (n == ACTIONS)
			break;
		memory->cookies[n++] = cookie;
		place = 100 * prio + n;
		bpf_map_update_elem(&places, &place, &cookie, BPF_ANY);
		bpf_map_update_elem(&flow_stats, &cookie, &zero, BPF_ANY);
	}
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	struct memory *memory = MEMORY(&ctx->flow);
	int n;

	if (ctx->flow.classifier == EKHO_CLS_ACTION)
		return 0;
	if (!memory)
		return -EINVAL;
	for (n = 0; n < ACTIONS; n++) {
		__u64 cookie = memory->cookies[n];
		__u32 place = 100 * ctx->flow.prio + n + 1;

		bpf_map_delete_elem(&flow_stats, &cookie);
		bpf_map_delete_elem(&places, &place);
	}
	return ekho_counters_delete(ctx);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	struct memory *memory = MEMORY(&ctx->flow);
	struct ekho_flow_counters *counters;
	__u64 cookie = ctx->action ?: ctx->flow.cookie;
	__u64 place = 0;
	int n;

	if (ctx->flow.classifier == EKHO_CLS_ACTION)
		return bpf_flow_offload_set_stats(ctx, 1000, 100000, 0, 0);
	if (!memory)
		return -EINVAL;
	for (n = 0; n < ACTIONS; n++)
		if (ctx->action && memory->cookies[n] == ctx->action)
			place = n + 1;
	/* Of all that is asked the flow is right, and the action is its. */
	if (!place != (ctx->flow.prio >= 200))
		return -EINVAL;
	if (ctx->flow.prio >= 100 && ctx->flow.prio < 200)
		return bpf_flow_offload_add_stats(ctx, place, 100 * place, 0,
						  0);
	counters = bpf_map_lookup_elem(&flow_stats, &cookie);
	if (!counters)
		return -ENOENT;
	return ekho_map_stats(ctx, counters, &flow_stats);
}

EKHO_FIRMWARE(action_counters, .replace = (void *)replace,
	      .destroy = (void *)destroy, .stats = (void *)stats,
	      .flow_size = sizeof(struct memory), .max_actions = ACTIONS);
