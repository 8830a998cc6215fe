// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one whose limits are declared, all of them; the firmware itself takes
 * everything.
 *
 *	matches		IPv4 addresses, ports
 *	actions		drop, redirect, goto; two at most
 *	filters		of flower, of chains 0 and 1, with preference 10 to 20
 *	counters	delayed
 *	flows		4
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

EKHO_FIRMWARE(limits, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .keys = EKHO_KEYS(BASIC, IPV4_ADDRS, PORTS),
	      .actions = EKHO_ACTIONS(DROP, REDIRECT, GOTO),
	      .classifiers = EKHO_CLASSIFIERS(FLOWER),
	      .hw_stats = EKHO_HW_STATS_DELAYED, .max_flows = 4,
	      .max_chains = 2, .prio_min = 10, .prio_max = 20,
	      .max_actions = 2);
