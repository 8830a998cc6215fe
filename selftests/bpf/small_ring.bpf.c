// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one with events, whose ring buffer is small. It refuses flows of
 * preference 99, and has counted 7 packets of each other flow.
 */
#include "ekho.bpf.h"

EKHO_EVENTS(4096);

static int decide(struct ekho_replace_ctx *ctx)
{
	if (ctx->flow.prio == 99)
		return ekho_refuse(ctx, ENOSPC, "%d is one too many", 99);
	return 0;
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return ekho_emit_replace(ctx, decide(ctx));
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return ekho_emit_destroy(ctx, 0);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	int err = bpf_flow_offload_set_stats(ctx, 7, 700, 0, 0);

	return ekho_emit_stats(ctx, err);
}

EKHO_FIRMWARE(small_ring, .replace = (void *)replace,
	      .destroy = (void *)destroy, .stats = (void *)stats);
