// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a port of a switch like NVIDIA Spectrum, as the kernel's mlxsw
 * driver limits it.
 *
 *	matches		protocol, MAC and IP addresses, ports and ranges of
 *			them, TCP flags, TOS and TTL, one 802.1Q tag, the
 *			device
 *	actions		accept, drop, trap, goto, redirect, mirror, VLAN id,
 *			priority, pedit, police, sample; of mirror, sample and
 *			police one each; for matchall mirror and sample only
 *	flows		5631, then -ENOSPC
 *	counters	read from the device at once (`hw_stats immediate`), or
 *			none
 *	refuses		on egress redirect and the VLAN key, drop where a block
 *			is bound to both directions, policing by packets
 *
 * Source: Linux 7.2, drivers/net/ethernet/mellanox/mlxsw: spectrum_flower.c and
 * spectrum_matchall.c for what is refused; for the number of flows the switch's
 * own selftest, drivers/net/mlxsw/spectrum/tc_flower_scale.sh: 12 banks of 512,
 * less one bank and one rule that the driver needs.
 */
#include "ekho.bpf.h"

#define FLOWS 5631
#define TCP_FLAGS_RESERVED 0x0e00

EKHO_FLOW_STATS(FLOWS);

static __always_inline int matches(struct ekho_replace_ctx *ctx)
{
	bool ports = ctx->keys & EKHO_KEYS(PORTS, PORTS_RANGE);
	EKHO_MATCH(basic) basic;
	EKHO_MATCH(tcp) tcp;
	__u16 proto;

	ekho_match(ctx, BASIC, &basic);
	proto = bpf_ntohs(basic.key.n_proto);
	if (ports && basic.key.ip_proto != IPPROTO_TCP &&
	    basic.key.ip_proto != IPPROTO_UDP)
		return ekho_refuse(ctx, EINVAL,
				   "ports are of TCP and UDP only");
	if (ekho_match(ctx, TCP, &tcp)) {
		if (basic.key.ip_proto != IPPROTO_TCP)
			return ekho_refuse(ctx, EINVAL,
					   "TCP flags are of TCP only");
		if (tcp.mask.flags & bpf_htons(TCP_FLAGS_RESERVED))
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"reserved TCP flags %x can't be matched",
				bpf_ntohs(tcp.mask.flags) & TCP_FLAGS_RESERVED);
	}
	if (ctx->keys & EKHO_KEYS(IP) && proto != ETH_P_IP &&
	    proto != ETH_P_IPV6)
		return ekho_refuse(ctx, EINVAL,
				   "TOS and TTL are of IPv4 and IPv6 only");
	if (ctx->keys & EKHO_KEYS(VLAN) && ctx->flow.hooks & EKHO_HOOK_EGRESS)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "the VLAN key is there on ingress only");
	return 0;
}

static __always_inline int police(struct ekho_replace_ctx *ctx,
				  struct flow_action_entry *entry)
{
	if (entry->police.exceed.act_id != FLOW_ACTION_DROP)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: only drop for what exceeds");
	if (entry->police.notexceed.act_id != FLOW_ACTION_PIPE &&
	    entry->police.notexceed.act_id != FLOW_ACTION_ACCEPT)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: only pipe or ok for what conforms");
	if (entry->police.rate_pkt_ps)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: bytes per second only");
	if (entry->police.peakrate_bytes_ps || entry->police.avrate ||
	    entry->police.overhead)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: no peakrate, avrate or overhead");
	return 0;
}

static __always_inline int actions(struct ekho_replace_ctx *ctx)
{
	bool egress = ctx->flow.hooks & EKHO_HOOK_EGRESS;
	bool both = ctx->flow.hooks == (EKHO_HOOK_INGRESS | EKHO_HOOK_EGRESS);
	bool copied = false, policed = false;
	int err;
	struct ekho_action *act;

	bpf_for_each(flow_action, act, ctx) {
		if (ctx->flow.classifier == EKHO_CLS_MATCHALL &&
		    act->id != EKHO_ACT_MIRRED && act->id != EKHO_ACT_SAMPLE)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"matchall mirrors or samples only, no action %s",
				act->name);
		switch (act->id) {
		case EKHO_ACT_DROP:
			if (both)
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"no drop in a block on both directions");
			break;
		case EKHO_ACT_REDIRECT:
			if (egress)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "no redirect on egress");
			break;
		case EKHO_ACT_MIRRED:
		case EKHO_ACT_SAMPLE:
			if (copied)
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"one mirror or sample a filter");
			copied = true;
			break;
		case EKHO_ACT_POLICE:
			if (policed)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "one policer a filter");
			policed = true;
			err = police(ctx, act->entry);
			if (err)
				return err;
			break;
		}
	}
	return 0;
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	int err;

	err = matches(ctx);
	if (!err)
		err = actions(ctx);
	return err ?: ekho_counters_create(ctx);
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return ekho_counters_delete(ctx);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return ekho_counters_report(ctx);
}

EKHO_FIRMWARE(spectrum, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .classifiers = EKHO_CLASSIFIERS(FLOWER, MATCHALL),
	      .keys = EKHO_KEYS(META, BASIC, ETH_ADDRS, IPV4_ADDRS, IPV6_ADDRS,
				PORTS, PORTS_RANGE, TCP, IP, VLAN),
	      .actions = EKHO_ACTIONS(ACCEPT, DROP, TRAP, GOTO, REDIRECT,
				      MIRRED, VLAN_MANGLE, PRIORITY, MANGLE,
				      POLICE, SAMPLE),
	      .hw_stats = EKHO_HW_STATS_IMMEDIATE | EKHO_HW_STATS_DISABLED,
	      .max_flows = FLOWS);
