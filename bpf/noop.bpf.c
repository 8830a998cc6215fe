// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a line card without memory.
 *
 *	matches		anything
 *	actions		anything
 *	flows		as many as the kernel has
 *	counters	none
 *	refuses		nothing
 *
 * The least that firmware can be: a template, and the base line of benchmarks.
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
	return 0;
}

EKHO_FIRMWARE(noop, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
