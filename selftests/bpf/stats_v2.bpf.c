// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: the same as bpf/stats.bpf.c, a version later: it also records in
 * the map `seen` the arguments of attach and detach.
 *
 *	key	value
 *	0	calls of attach
 *	1	calls of detach
 *	2	calls of replace
 *	3	calls of destroy
 *	4	device of the last attach
 *	5	generation of the last attach
 *	6	generation of the last detach
 */
#include "ekho.bpf.h"

#define FLOWS 65536

EKHO_FLOW_STATS(FLOWS);

enum { ATTACH, DETACH, REPLACE, DESTROY, IFINDEX, GENERATION, LAST, N_SEEN };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, N_SEEN);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static __always_inline void see(__u32 key, __u64 number)
{
	bpf_map_update_elem(&seen, &key, &number, BPF_ANY);
}

static __always_inline void count(__u32 key)
{
	__u64 *number = bpf_map_lookup_elem(&seen, &key);

	if (number)
		__sync_fetch_and_add(number, 1);
}

EKHO_OP(attach, struct ekho_attach_ctx *ctx)
{
	count(ATTACH);
	see(IFINDEX, ctx->dev.ifindex);
	see(GENERATION, ctx->dev.generation);
	return 0;
}

EKHO_OP_VOID(detach, struct ekho_detach_ctx *ctx)
{
	count(DETACH);
	see(LAST, ctx->dev.generation);
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct ekho_flow_counters zero = {};
	__u64 cookie = ctx->flow.cookie;

	count(REPLACE);
	return bpf_map_update_elem(&flow_stats, &cookie, &zero, BPF_NOEXIST);
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	__u64 cookie = ctx->flow.cookie;

	count(DESTROY);
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

EKHO_FIRMWARE(stats_v2, .attach = (void *)attach, .detach = (void *)detach,
	      .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
