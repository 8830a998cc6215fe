// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a port of a NIC like NVIDIA ConnectX in switchdev mode, as the
 * kernel's mlx5 driver limits it.
 *
 *	matches		the headers of Ethernet, two VLAN tags, MPLS, IPv4, IPv6,
 *			TCP, UDP and ICMP, tunnels with their options,
 *			connection tracking, the device
 *	actions		accept, drop, trap, goto, redirect, mirror, VLAN, MPLS,
 *			tunnels, pedit, checksums, marks, connection tracking,
 *			sample, police
 *	flows		65536, then -ENOSPC; chains 0 to 3, preferences 1 to 16
 *	counters	as of the last second (`hw_stats delayed`)
 *	refuses		goto back, more than two VLAN tags, marks of more than 16
 *			bits, packet types other than host, a filter that does
 *			nothing with the packet
 *
 * Source: Linux 7.2, drivers/net/ethernet/mellanox/mlx5/core: en_tc.c and
 * en/tc/act/ for what is refused, fs_core.h for chains and preferences. The
 * number of flows is that of ConnectX-4: a suite of OVS's counts on 64 K.
 */
#include "ekho.bpf.h"

#define FLOWS 65536

EKHO_FLOW_STATS(FLOWS);

#define PACKET_HOST 0
#define VLANS 2

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct ekho_action *act;
	bool ends = false;
	int vlans = 0;

	/* A shared action is a part of filters that come later. */
	if (ctx->flow.classifier == EKHO_CLS_ACTION)
		ends = true;

	bpf_for_each(flow_action, act, ctx) {
		if (ctx->flow.classifier == EKHO_CLS_MATCHALL &&
		    act->id != EKHO_ACT_POLICE)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"matchall polices only, no action %s",
				act->name);
		switch (act->id) {
		case EKHO_ACT_GOTO:
			if (act->arg <= ctx->flow.chain_index)
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"goto chain %d: from %d only on to higher ones",
					act->arg, ctx->flow.chain_index);
			ends = true;
			break;
		case EKHO_ACT_ACCEPT:
		case EKHO_ACT_DROP:
		case EKHO_ACT_TRAP:
		case EKHO_ACT_REDIRECT:
		case EKHO_ACT_REDIRECT_INGRESS:
		case EKHO_ACT_MIRRED:
		case EKHO_ACT_POLICE:
		case EKHO_ACT_CT:
			ends = true;
			break;
		case EKHO_ACT_VLAN_PUSH:
			if (++vlans > VLANS)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "%d VLAN tags at most",
						   VLANS);
			break;
		case EKHO_ACT_VLAN_MANGLE:
			if (!(ctx->keys & EKHO_KEYS(VLAN)))
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"vlan modify needs a VLAN to match");
			break;
		case EKHO_ACT_MARK:
			if (act->arg >> 16)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "mark 0x%x: 16 bits only",
						   act->arg);
			break;
		case EKHO_ACT_PTYPE:
			if (act->arg != PACKET_HOST)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "ptype host only");
			break;
		}
	}
	if (!ends)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "nothing says where the packet goes");
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

EKHO_FIRMWARE(connectx, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .classifiers = EKHO_CLASSIFIERS(FLOWER, MATCHALL, FLOWTABLE,
					      ACTION),
	      .keys = EKHO_KEYS(META, CONTROL, BASIC, ETH_ADDRS, VLAN, CVLAN,
				IPV4_ADDRS, IPV6_ADDRS, PORTS, TCP, IP, CT,
				ICMP, MPLS, ENC_KEYID, ENC_IPV4_ADDRS,
				ENC_IPV6_ADDRS, ENC_PORTS, ENC_CONTROL, ENC_IP,
				ENC_OPTS),
	      .actions = EKHO_ACTIONS(ACCEPT, DROP, TRAP, GOTO, REDIRECT,
				      REDIRECT_INGRESS, MIRRED, VLAN_PUSH,
				      VLAN_POP, VLAN_MANGLE, VLAN_PUSH_ETH,
				      VLAN_POP_ETH, TUNNEL_ENCAP, TUNNEL_DECAP,
				      MANGLE, ADD, CSUM, MARK, PTYPE, SAMPLE,
				      POLICE, CT, MPLS_PUSH, MPLS_POP),
	      .hw_stats = EKHO_HW_STATS_DELAYED, .max_flows = FLOWS,
	      .max_chains = 4, .prio_max = 16);
