// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: an access control list for IPv4 and TCP.
 *
 *	matches		protocol, IPv4 addresses, ports: the 5-tuple of TCP
 *	actions		drop, or redirect to a device; one of them
 *	flows		1024, then -ENOSPC
 *	counters	packets, bytes and last use per flow, as user space writes
 *			them into the map `flow_stats`
 *	refuses		all else, with a sentence for each reason
 *	events		each flow that comes, is refused here, or goes
 *
 * What is declared below is refused by the module, the rest here.
 */
#include "ekho.bpf.h"

#define FLOWS 1024

EKHO_FLOW_STATS(FLOWS);
EKHO_EVENTS(1 << 18);

static __always_inline int enter(struct ekho_replace_ctx *ctx)
{
	EKHO_MATCH(basic) basic;
	EKHO_MATCH(ports) ports;
	struct ekho_action *act;

	if (!ekho_match(ctx, BASIC, &basic) ||
	    basic.key.n_proto != bpf_htons(ETH_P_IP))
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "only IPv4 goes in the list");
	if (basic.key.ip_proto != IPPROTO_TCP)
		return ekho_refuse(ctx, EOPNOTSUPP, "IP protocol %d isn't TCP",
				   basic.key.ip_proto);
	if (ekho_match(ctx, PORTS, &ports) &&
	    ((ports.mask.src && ports.mask.src != 0xffff) ||
	     (ports.mask.dst && ports.mask.dst != 0xffff)))
		return ekho_refuse(ctx, EOPNOTSUPP, "ports can't be masked");

	bpf_for_each(flow_action, act, ctx) {
		if (act->id == EKHO_ACT_REDIRECT &&
		    act->arg == ctx->flow.ifindex)
			return ekho_refuse(ctx, EINVAL,
					   "redirect to ifindex %d is a loop",
					   act->arg);
	}
	return ekho_counters_create(ctx);
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return ekho_emit_replace(ctx, enter(ctx));
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return ekho_emit_destroy(ctx, ekho_counters_delete(ctx));
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return ekho_counters_report(ctx);
}

EKHO_FIRMWARE(acl, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats, .classifiers = EKHO_CLASSIFIERS(FLOWER),
	      .keys = EKHO_KEYS(BASIC, IPV4_ADDRS, PORTS),
	      .actions = EKHO_ACTIONS(DROP, REDIRECT), .max_actions = 1,
	      .max_flows = FLOWS, .max_chains = 1);
