// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a packet engine that forwards connections of an nftables flowtable.
 *
 *	matches		what a flowtable gives: the 5-tuple of TCP and UDP over
 *			IPv4 and IPv6, the device, up to two VLAN tags
 *	actions		rewriting of addresses and ports (NAT), VLAN tags,
 *			PPPoE, redirect to a device
 *	flows		16384, two for each connection, then -ENOSPC
 *	counters	packets, bytes and last use per direction, as user space
 *			writes them into the map `flow_stats`
 *	refuses		all else: tunnels, fragments, filters of tc
 *
 * The kernel keeps a connection for as long as last_used_ns moves; one whose
 * counters nobody feeds goes back to software after the flowtable's timeout.
 */
#include "ekho.bpf.h"

#define FLOWS 16384

EKHO_FLOW_STATS(FLOWS);

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	EKHO_MATCH(basic) basic;
	struct ekho_action *act;
	bool redirect = false;

	ekho_match(ctx, BASIC, &basic);
	if (basic.key.ip_proto != IPPROTO_TCP &&
	    basic.key.ip_proto != IPPROTO_UDP)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "IP protocol %d is neither TCP nor UDP",
				   basic.key.ip_proto);

	bpf_for_each(flow_action, act, ctx)
		if (act->id == EKHO_ACT_REDIRECT)
			redirect = true;
	if (!redirect)
		return ekho_refuse(ctx, EINVAL, "no device to send it out of");

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

EKHO_FIRMWARE(flowtable, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .classifiers = EKHO_CLASSIFIERS(FLOWTABLE),
	      .keys = EKHO_KEYS(META, BASIC, IPV4_ADDRS, IPV6_ADDRS, PORTS, TCP,
				VLAN, CVLAN),
	      .actions = EKHO_ACTIONS(MANGLE, CSUM, VLAN_PUSH, VLAN_POP,
				      PPPOE_PUSH, REDIRECT),
	      .max_flows = FLOWS);
