// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one whose firmware fails, or says what it must not say; for that see
 * violation.bpf.c, too. What it does is chosen by the filter's preference:
 *
 *	preference	replace		destroy		stats
 *	101 to 199	-(p - 100)	0		0
 *	201		1		0		0
 *	207		0		0		-EIO
 *	208		0		0		0, without numbers
 *	209		-524 (ENOTSUPP)	0		0
 *	others		0		0		0
 *
 * Other than with 207 and 208 each flow has counted 7 packets, 700 bytes. And
 * by the device's name, when it is attached:
 *
 *	name		attach
 *	refused*	-EACCES
 *	positive*	1
 *	nonsense*	-4000
 *	others		0
 */
#include "ekho.bpf.h"

#define EIO 5
#define EACCES 13
#define ENOTSUPP 524

EKHO_OP(attach, struct ekho_attach_ctx *ctx)
{
	switch (ctx->dev.name[0]) {
	case 'r':
		return -EACCES;
	case 'p':
		return 1;
	case 'n':
		return -4000;
	}
	return 0;
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	__u32 prio = ctx->flow.prio;

	if (prio > 100 && prio < 200)
		return 100 - (int)prio;
	switch (prio) {
	case 201:
		return 1;
	case 209:
		return -ENOTSUPP;
	}
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	__u32 prio = ctx->flow.prio;

	if (prio == 208)
		return 0;
	bpf_flow_offload_set_stats(ctx, 7, 700, 0, 0);
	return prio == 207 ? -EIO : 0;
}

EKHO_FIRMWARE(faulty, .attach = (void *)attach, .replace = (void *)replace,
	      .destroy = (void *)destroy, .stats = (void *)stats);
