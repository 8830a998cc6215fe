// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a switch that takes everything, and tells user space of it.
 *
 *	matches		anything
 *	actions		anything
 *	flows		any number
 *	counters	none
 *	refuses		nothing, except offloads of qdiscs
 *
 * Every request becomes a record in a ring buffer of 256 KiB, which is room for
 * about 700 flows. `ekho-fw events --dev DEV` shows them; an agent that puts
 * filters into a real device would read them likewise.
 */
#include "ekho.bpf.h"

EKHO_EVENTS(1 << 18);

EKHO_OP(attach, struct ekho_attach_ctx *ctx)
{
	return ekho_emit_attach(ctx, 0);
}

EKHO_OP_VOID(detach, struct ekho_detach_ctx *ctx)
{
	ekho_emit_detach(ctx);
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return ekho_emit_replace(ctx, 0);
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return ekho_emit_destroy(ctx, 0);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return ekho_emit_stats(ctx, 0);
}

EKHO_OP(template_create, struct ekho_replace_ctx *ctx)
{
	return ekho_emit_template_create(ctx, 0);
}

EKHO_OP(template_destroy, struct ekho_destroy_ctx *ctx)
{
	return ekho_emit_template_destroy(ctx, 0);
}

EKHO_OP(hnode, struct ekho_hnode_ctx *ctx)
{
	return ekho_emit_hnode(ctx, 0);
}

EKHO_OP(qdisc, struct ekho_qdisc_ctx *ctx)
{
	return ekho_emit_qdisc(ctx, -EOPNOTSUPP);
}

EKHO_FIRMWARE(events, .attach = (void *)attach, .detach = (void *)detach,
	      .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .template_create = (void *)template_create,
	      .template_destroy = (void *)template_destroy,
	      .hnode = (void *)hnode, .qdisc = (void *)qdisc);
