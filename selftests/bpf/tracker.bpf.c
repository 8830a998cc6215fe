// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a NIC that tracks connections, and tells what it is asked for.
 *
 *	matches		anything
 *	actions		anything
 *	connections	those of all zones but 6
 *	counters	as bpf/stats.bpf.c
 *	log		"zone=5 info=0 orig=1" for each connection that it takes
 */
#include "ekho.bpf.h"
#include "log.h"

#define NFCT_INFOMASK 7

EKHO_FLOW_STATS(1024);

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct log_line *line;
	struct ekho_action *act;
	__u64 cookie = 0;
	bool orig = false;

	if (ctx->flow.classifier != EKHO_CLS_CT) {
		if (ctx->flow.ct_zone)
			return ekho_refuse(ctx, EINVAL, "a filter with a zone");
		return ekho_counters_create(ctx);
	}
	if (ctx->flow.ct_zone == 6)
		return ekho_refuse(ctx, EOPNOTSUPP, "no connections of zone %d",
				   ctx->flow.ct_zone);

	bpf_for_each(flow_action, act, ctx) {
		if (act->id != EKHO_ACT_CT_METADATA)
			continue;
		cookie = BPF_CORE_READ(act->entry, ct_metadata.cookie);
		orig = BPF_CORE_READ(act->entry, ct_metadata.orig_dir);
	}
	if (!cookie)
		return ekho_refuse(ctx, EINVAL, "a connection of nobody");
	line = log_line();
	if (line)
		say(line, "zone=%u info=%u orig=%u", ctx->flow.ct_zone,
		    (__u32)cookie & NFCT_INFOMASK, orig);
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

EKHO_FIRMWARE(tracker, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
