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

/* A rule of what is declared below, with all masks, has less. */
#define RULE_SIZE 64
#define ATTRIBUTES 16

static __always_inline int enter(struct ekho_replace_ctx *ctx)
{
	__u32 at = 0, before = EKHO_RULE_END, protocol = 0;
	const __u8 *rule, *attr;
	bool is_ip = false;

	/* More than is read of the last attribute. */
	rule = ekho_encoding(ctx, 2 * RULE_SIZE);
	if (!rule)
		return ekho_refuse(ctx, E2BIG, "the rule is too long");
	for (int i = 0; i < ATTRIBUTES; i++) {
		attr = rule + at % RULE_SIZE;
		at += sizeof(struct ekho_rule_attr) + attr[1];
		switch (attr[0]) {
		case EKHO_RULE_END:
			i = ATTRIBUTES;
			break;
		case EKHO_RULE_ETH_TYPE:
			is_ip = attr[2] == ETH_P_IP >> 8 && !attr[3];
			break;
		case EKHO_RULE_IP_PROTO:
			protocol = attr[2];
			break;
		case EKHO_RULE_MASK:
			if (before == EKHO_RULE_PORT_SRC ||
			    before == EKHO_RULE_PORT_DST)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "ports can't be masked");
			break;
		case EKHO_RULE_ACTION + EKHO_ACT_REDIRECT:
			if (ekho_attr_u32(attr) == ctx->flow.ifindex)
				return ekho_refuse(
					ctx, EINVAL,
					"redirect to ifindex %d is a loop",
					ctx->flow.ifindex);
			break;
		}
		before = attr[0];
	}
	if (!is_ip)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "only IPv4 goes in the list");
	if (protocol != IPPROTO_TCP)
		return ekho_refuse(ctx, EOPNOTSUPP, "IP protocol %d isn't TCP",
				   protocol);
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
