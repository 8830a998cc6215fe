// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a switch chip with narrow limits.
 *
 *	matches		anything, in chain 0; -EOPNOTSUPP elsewhere
 *	actions		one, drop or pass; -E2BIG if there are more, -EINVAL for
 *			others
 *	flows		4, then -ENOSPC
 *	counters	as bpf/stats.bpf.c
 */
#include "ekho.bpf.h"

#define FLOWS 4

EKHO_FLOW_STATS(16);

/* Flows that are in the chip. */
int n_flows = 0;

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct ekho_flow_counters zero = {};
	__u64 cookie = ctx->flow.cookie;
	enum flow_action_id action;
	long err;

	if (ctx->flow.chain_index != 0)
		return -EOPNOTSUPP;
	if (ctx->n_actions > 1)
		return -E2BIG;
	/* The kernel's own rule is readable. */
	action = BPF_CORE_READ(ctx->rule, action.entries[0].id);
	if (action != FLOW_ACTION_DROP && action != FLOW_ACTION_ACCEPT)
		return -EINVAL;
	if (n_flows >= FLOWS)
		return -ENOSPC;

	err = bpf_map_update_elem(&flow_stats, &cookie, &zero, BPF_NOEXIST);
	if (!err)
		n_flows++;
	return err;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	__u64 cookie = ctx->flow.cookie;

	n_flows--;
	return bpf_map_delete_elem(&flow_stats, &cookie);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	struct ekho_flow_counters *counters;
	__u64 cookie = ctx->flow.cookie;

	counters = bpf_map_lookup_elem(&flow_stats, &cookie);
	if (!counters)
		return -ENOENT;
	return ekho_map_stats(ctx, counters, &flow_stats);
}

EKHO_FIRMWARE(narrow, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
