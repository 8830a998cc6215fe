// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one whose counters follow from the preference. User space can't
 * write them.
 *
 *	matches		anything
 *	actions		anything
 *	counters	as many packets as the filter's preference, 100 bytes each
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

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	__u64 packets = ctx->flow.prio;

	return bpf_flow_offload_set_stats(ctx, packets, 100 * packets, 0, 0);
}

EKHO_FIRMWARE(prio_counters, .replace = (void *)replace,
	      .destroy = (void *)destroy, .stats = (void *)stats);
