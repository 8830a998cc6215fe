// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one that counts by itself, at each request for statistics as many
 * packets as the filter's preference, of 100 bytes each. The Makefile compiles
 * this file once for each way to report them.
 *
 *	TOTALS_		what it reports
 *	map		totals of its map `totals`
 *	other		totals of its map `other`
 *	accepted	totals since the flow was accepted, in its private memory
 *	delta		what is new
 */
#include "ekho.bpf.h"

#ifdef TOTALS_other
#define totals other
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct ekho_flow_counters);
} totals SEC(".maps");

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	__u64 cookie = ctx->flow.cookie;

	bpf_map_delete_elem(&totals, &cookie);
	return 0;
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	struct ekho_flow_counters zero = {}, *counters;
	__u64 cookie = ctx->flow.cookie;
	__u64 n = ctx->flow.prio;
	__u64 *memory;

	memory = (__u64 *)bpf_flow_offload_flow_data(&ctx->flow, 8);
	/* Flows that firmware without such memory has accepted have none. */
	if (memory)
		*memory += n;
#if defined(TOTALS_accepted)
	if (!memory)
		return -ENOMEM;
	return bpf_flow_offload_set_stats(ctx, *memory, 100 * *memory, 0, 0);
#elif defined(TOTALS_delta)
	return bpf_flow_offload_add_stats(ctx, n, 100 * n, 0, 0);
#endif
	/* Flows of firmware before it have none. */
	bpf_map_update_elem(&totals, &cookie, &zero, BPF_NOEXIST);
	counters = bpf_map_lookup_elem(&totals, &cookie);
	if (!counters)
		return -ENOENT;
	counters->packets += n;
	counters->bytes += 100 * n;
	return ekho_map_stats(ctx, counters, &totals);
}

EKHO_FIRMWARE(totals, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats, .flow_size = 8);
