// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a packet processing engine like that of the MediaTek MT7986, a router
 * on a chip, as the kernel's mtk_eth_soc driver limits it.
 *
 *	matches		the device, and the 5-tuple of TCP and UDP over IPv4 and
 *			IPv6; or MAC addresses and one 802.1Q tag (bridging)
 *	actions		rewriting of MAC addresses, for IPv4 also of addresses
 *			and ports (NAT), 802.1Q tags, PPPoE, redirect to a device
 *	flows		16384, two for each connection, then -ENOSPC
 *	counters	packets and bytes per flow, and its last use
 *	refuses		fragments, IPv6 NAT, more than two tags, more than one
 *			PPPoE session, drop: it only forwards
 *
 * Source: Linux 7.2, drivers/net/ethernet/mediatek: mtk_ppe_offload.c for what
 * is refused, mtk_ppe.h for the number of entries.
 */
#include "ekho.bpf.h"

#define FLOWS 16384
#define TAGS 2

EKHO_FLOW_STATS(FLOWS);

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	bool routed = ctx->keys & EKHO_KEYS(IPV4_ADDRS, IPV6_ADDRS);
	bool pppoe = false, output = false;
	int tags = 0;
	struct ekho_action *act;

	if (!(ctx->keys & EKHO_KEYS(META)))
		return ekho_refuse(
			ctx, EOPNOTSUPP,
			"the device that packets come from is missing");
	if (routed && !(ctx->keys & EKHO_KEYS(PORTS)))
		return ekho_refuse(
			ctx, EOPNOTSUPP,
			"routes single connections: ports are missing");
	if (!routed && !(ctx->keys & EKHO_KEYS(ETH_ADDRS)))
		return ekho_refuse(
			ctx, EOPNOTSUPP,
			"bridges by MAC addresses, which are missing");

	bpf_for_each(flow_action, act, ctx) {
		switch (act->id) {
		case EKHO_ACT_MANGLE:
			if (!routed)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "bridging rewrites nothing");
			if (BPF_CORE_READ(act->entry, mangle.htype) ==
			    FLOW_ACT_MANGLE_HDR_TYPE_IP6)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "no NAT for IPv6");
			break;
		case EKHO_ACT_VLAN_PUSH:
			if (BPF_CORE_READ(act->entry, vlan.proto) !=
			    bpf_htons(ETH_P_8021Q))
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"VLAN protocol 0x%x isn't 802.1Q",
					bpf_ntohs(BPF_CORE_READ(act->entry,
								vlan.proto)));
			if (++tags > TAGS)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "%d tags at most", TAGS);
			break;
		case EKHO_ACT_PPPOE_PUSH:
			if (pppoe || ++tags > TAGS)
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"%d tags at most, one of them PPPoE",
					TAGS);
			pppoe = true;
			break;
		case EKHO_ACT_REDIRECT:
			if (output)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "one device to send out of");
			output = true;
			break;
		}
	}
	if (!output)
		return ekho_refuse(ctx, EOPNOTSUPP, "no device to send out of");
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

EKHO_FIRMWARE(ppe, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .classifiers = EKHO_CLASSIFIERS(FLOWER, FLOWTABLE),
	      .keys = EKHO_KEYS(META, BASIC, ETH_ADDRS, VLAN, IPV4_ADDRS,
				IPV6_ADDRS, PORTS, TCP),
	      .actions = EKHO_ACTIONS(MANGLE, CSUM, VLAN_PUSH, VLAN_POP,
				      PPPOE_PUSH, REDIRECT),
	      .max_flows = FLOWS);
