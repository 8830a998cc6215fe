// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a switch whose counters are read by an agent.
 *
 *	matches		anything
 *	actions		anything
 *	flows		65536, then -ENOSPC
 *	counters	packets, bytes, drops and last use per flow, as user space
 *			writes them into the map `flow_stats`
 *	refuses		a cookie that it has already
 *
 * Feed it with `ekho-fw stats set`, `stats add` or `stats feed`.
 */
#include "ekho.bpf.h"

#define FLOWS 65536

EKHO_FLOW_STATS(FLOWS);

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct ekho_flow_counters zero = {};
	__u64 cookie = ctx->flow.cookie;
	long err;

	err = bpf_map_update_elem(&flow_stats, &cookie, &zero, BPF_NOEXIST);
	/* A hash map says -E2BIG when it is full. */
	return err == -E2BIG ? -ENOSPC : err;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	__u64 cookie = ctx->flow.cookie;

	return bpf_map_delete_elem(&flow_stats, &cookie);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	struct ekho_flow_counters *counters;
	__u64 cookie = ctx->flow.cookie;

	counters = bpf_map_lookup_elem(&flow_stats, &cookie);
	if (!counters)
		return -ENOENT;

	return bpf_flow_offload_set_stats(ctx, counters->packets,
					  counters->bytes, counters->drops,
					  counters->last_used_ns);
}

EKHO_FIRMWARE(stats, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
