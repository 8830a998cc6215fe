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
	return ekho_counters_create(ctx);
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return ekho_counters_delete(ctx);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return ekho_counters_report(ctx);
}

EKHO_FIRMWARE(stats, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
