// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a port of a switch like NVIDIA Spectrum-1, as the kernel's mlxsw
 * driver limits it.
 *
 *	matches		protocol, MAC and IP addresses, ports and ranges of
 *			them, TCP flags, TOS and TTL, one 802.1Q tag, the
 *			device
 *	actions		flower: accept, drop, trap, goto, redirect, mirror, VLAN
 *			id, priority 0 to 7, pedit of DSCP and ECN, police;
 *			matchall: one action, mirror or sample
 *	flows		5631, then -ENOSPC
 *	counters	read from the device at once (`hw_stats immediate`), or
 *			none
 *
 *	refuses, where			why
 *	------------------------------	-------------------------------------
 *	flower, ports			other than TCP and UDP
 *	flower, TCP flags		not TCP; reserved flags
 *	flower, TOS and TTL		neither IPv4 nor IPv6
 *	flower, egress			redirect; a VLAN id
 *	flower, goto			a chain without filter and template
 *	flower, mirror			a second one
 *	flower, sample			all: of Spectrum-2 and later
 *	flower, pedit			all but the TOS or its parts
 *	flower, priority		above 7
 *	flower, police			a second one; exceed other than drop;
 *					conform other than pipe, or than ok at
 *					the end; packets a second; peakrate,
 *					avrate, overhead; below 1024 bit/s or
 *					above 2 Tbit/s; bursts below 1024 bytes
 *	flower, behind a matchall	egress, by preference, in chain 0
 *	flower, before a matchall	ingress, by preference, in chain 0
 *	matchall, chain			other than 0
 *	matchall, protocol		other than all
 *	matchall, sample		egress; a rate above 3.5e9
 *	matchall, behind a flower	ingress, by preference
 *	matchall, before a flower	egress, by preference
 *
 * Source: Linux 7.2, drivers/net/ethernet/mellanox/mlxsw: spectrum_flower.c,
 * spectrum_matchall.c, spectrum_acl.c, spectrum_acl_flex_actions.c and
 * spectrum_policer.c, in the variants of Spectrum-1, for what is refused; for
 * the number of flows the switch's own selftest,
 * drivers/net/mlxsw/spectrum/tc_flower_scale.sh: 12 banks of 512, less one bank
 * and one rule that the driver needs.
 *
 * Not modelled: what concerns several ports of one switch (devices that
 * packets are redirected to, blocks bound to ports in both directions),
 * and limits that the driver reads from the device (policers, port ranges).
 */
#include "ekho.bpf.h"

#define FLOWS 5631
#define TCP_FLAGS_RESERVED 0x0e00

#define PRIORITIES 8
#define SAMPLE_RATE_MAX 3500000000
#define POLICE_BURST_MIN 1024
#define POLICE_RATE_MIN (1024 / 8)
#define POLICE_RATE_MAX (2000000000000 / 8)

EKHO_FLOW_STATS(FLOWS);

enum kind {
	FLOWER,
	MATCHALL,
	TEMPLATE,
};

/* Where a filter or template stands; blocks that aren't shared have hooks. */
struct place {
	__u32 block;
	__u32 hooks;
	__u32 chain;
	__u32 prio;
	__u32 kind;
};

/* All of them, by cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * FLOWS);
	__type(key, __u64);
	__type(value, struct place);
} places SEC(".maps");

/* How many are matchalls: without any, as a rule, flower needs no search. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} matchalls SEC(".maps");

static __always_inline __u64 count_matchalls(__s64 more)
{
	__u64 *n;
	__u32 key = 0;

	n = bpf_map_lookup_elem(&matchalls, &key);
	return n ? __sync_fetch_and_add(n, more) : 0;
}

static __always_inline struct place place(const struct ekho_flow *flow,
					  enum kind kind)
{
	return (struct place){
		.block = flow->block_index,
		.hooks = flow->block_index ? 0 : flow->hooks,
		.chain = flow->chain_index,
		.prio = flow->prio,
		.kind = kind,
	};
}

/* A chain in the same block, and what is in it. */
struct search {
	struct place in;
	bool found;
	__u32 lowest[2];
	__u32 highest[2];
};

static long visit(struct bpf_map *map, __u64 *cookie, struct place *place,
		  struct search *search)
{
	__u32 kind = place->kind;

	if (place->block != search->in.block ||
	    place->hooks != search->in.hooks ||
	    place->chain != search->in.chain)
		return 0;
	/* That of a matchall isn't what a goto leads to. */
	if (kind != MATCHALL)
		search->found = true;
	if (kind > MATCHALL)
		return 0;
	if (place->prio < search->lowest[kind])
		search->lowest[kind] = place->prio;
	if (place->prio > search->highest[kind])
		search->highest[kind] = place->prio;
	return 0;
}

static __always_inline void find(struct search *search, struct place in)
{
	*search = (struct search){
		.in = in,
		.lowest = { ~0U, ~0U },
	};
	bpf_for_each_map_elem(&places, visit, search, 0);
}

static __always_inline int matches(struct ekho_replace_ctx *ctx)
{
	bool ports = ctx->keys & EKHO_KEYS(PORTS, PORTS_RANGE);
	EKHO_MATCH(basic) basic;
	EKHO_MATCH(vlan) vlan;
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
				ctx, EINVAL,
				"reserved TCP flags %x can't be matched",
				bpf_ntohs(tcp.mask.flags) & TCP_FLAGS_RESERVED);
	}
	if (ctx->keys & EKHO_KEYS(IP) && proto != ETH_P_IP &&
	    proto != ETH_P_IPV6)
		return ekho_refuse(ctx, EINVAL,
				   "TOS and TTL are of IPv4 and IPv6 only");
	if (ctx->flow.hooks & EKHO_HOOK_EGRESS &&
	    ekho_match(ctx, VLAN, &vlan) && vlan.mask.vlan_id)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "a VLAN id can be matched on ingress only");
	return 0;
}

static __always_inline int police(struct ekho_replace_ctx *ctx,
				  struct flow_action_entry *entry, bool last)
{
	typeof(entry->police) police;
	__u64 rate;

	/* The verifier doesn't follow pointers into a union. */
	bpf_core_read(&police, sizeof(police), &entry->police);
	rate = police.rate_bytes_ps;
	if (police.exceed.act_id != FLOW_ACTION_DROP)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: only drop for what exceeds");
	if (police.notexceed.act_id != FLOW_ACTION_PIPE &&
	    (police.notexceed.act_id != FLOW_ACTION_ACCEPT || !last))
		return ekho_refuse(
			ctx, EOPNOTSUPP,
			"police: pipe for what conforms, or ok at the end");
	if (police.peakrate_bytes_ps || police.avrate || police.overhead)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: no peakrate, avrate or overhead");
	if (police.rate_pkt_ps)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: bytes per second only");
	/* The burst is rounded up to a power of two. */
	if (police.burst <= POLICE_BURST_MIN / 2)
		return ekho_refuse(ctx, EINVAL,
				   "police: burst of %d bytes, %d at least",
				   (int)police.burst, POLICE_BURST_MIN);
	if (rate < POLICE_RATE_MIN || rate > POLICE_RATE_MAX)
		return ekho_refuse(ctx, EINVAL,
				   "police: 1024 bit/s to 2 Tbit/s only");
	return 0;
}

/* The TOS of IPv4, the traffic class of IPv6, or one of their two parts. */
static __always_inline int mangle(struct ekho_replace_ctx *ctx,
				  struct flow_action_entry *entry)
{
	__u32 mask = bpf_ntohl(BPF_CORE_READ(entry, mangle.mask));

	if (BPF_CORE_READ(entry, mangle.offset))
		mask = 0;
	switch (BPF_CORE_READ(entry, mangle.htype)) {
	case FLOW_ACT_MANGLE_HDR_TYPE_IP4:
		if (mask == 0xff00ffff || mask == 0xff03ffff ||
		    mask == 0xfffcffff)
			return 0;
		break;
	case FLOW_ACT_MANGLE_HDR_TYPE_IP6:
		if (mask == 0xf00fffff || mask == 0xf03fffff ||
		    mask == 0xffcfffff)
			return 0;
		break;
	default:
		break;
	}
	return ekho_refuse(ctx, EOPNOTSUPP, "pedit: DSCP and ECN only");
}

static __always_inline int flower_actions(struct ekho_replace_ctx *ctx)
{
	bool mirrored = false, policed = false;
	struct ekho_action *act;
	struct search search;
	struct place to;
	__u32 n = 0;
	int err;

	bpf_for_each(flow_action, act, ctx) {
		n++;
		err = 0;
		switch (act->id) {
		case EKHO_ACT_GOTO:
			to = place(&ctx->flow, FLOWER);
			to.chain = act->arg;
			find(&search, to);
			if (!search.found)
				return ekho_refuse(
					ctx, ENOENT,
					"goto chain %d, which has no filters",
					act->arg);
			break;
		case EKHO_ACT_REDIRECT:
			if (ctx->flow.hooks & EKHO_HOOK_EGRESS)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "no redirect on egress");
			break;
		case EKHO_ACT_MIRRED:
			if (mirrored)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "one mirror a filter");
			mirrored = true;
			break;
		case EKHO_ACT_SAMPLE:
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "sampling by matchall only");
		case EKHO_ACT_PRIORITY:
			if (act->arg >= PRIORITIES)
				return ekho_refuse(ctx, EINVAL,
						   "priority %d: 0 to %d only",
						   act->arg, PRIORITIES - 1);
			break;
		case EKHO_ACT_MANGLE:
			err = mangle(ctx, act->entry);
			break;
		case EKHO_ACT_POLICE:
			if (policed)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "one policer a filter");
			policed = true;
			err = police(ctx, act->entry, n == ctx->n_actions);
			break;
		}
		if (err)
			return err;
	}
	return 0;
}

/* Before the ACL on ingress there is mirroring, after it on egress. */
static __always_inline int flower_order(struct ekho_replace_ctx *ctx)
{
	struct search search;

	if (ctx->flow.chain_index || !count_matchalls(0))
		return 0;
	find(&search, place(&ctx->flow, FLOWER));
	if (!search.highest[MATCHALL])
		return 0;
	if (ctx->flow.hooks & EKHO_HOOK_INGRESS) {
		if (ctx->flow.prio <= search.lowest[MATCHALL])
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"flower comes behind matchall (pref %d)",
				search.lowest[MATCHALL]);
	} else if (ctx->flow.prio >= search.highest[MATCHALL]) {
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "flower comes before matchall (pref %d)",
				   search.highest[MATCHALL]);
	}
	return 0;
}

static __always_inline int flower(struct ekho_replace_ctx *ctx)
{
	int err;

	err = flower_order(ctx);
	if (!err)
		err = matches(ctx);
	if (!err)
		err = flower_actions(ctx);
	return err;
}

static __always_inline int matchall(struct ekho_replace_ctx *ctx)
{
	struct ekho_action *act;
	struct search search;

	if (ctx->n_actions != 1)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "matchall: one action only");
	if (ctx->flow.chain_index)
		return ekho_refuse(ctx, EOPNOTSUPP, "matchall: chain 0 only");
	if (ctx->flow.protocol != ETH_P_ALL)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "matchall: protocol all only");
	find(&search, place(&ctx->flow, MATCHALL));
	if (search.highest[FLOWER]) {
		if (ctx->flow.hooks & EKHO_HOOK_INGRESS) {
			if (ctx->flow.prio >= search.lowest[FLOWER])
				return ekho_refuse(
					ctx, EOPNOTSUPP,
					"matchall comes before flower (pref %d)",
					search.lowest[FLOWER]);
		} else if (ctx->flow.prio <= search.highest[FLOWER]) {
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"matchall comes behind flower (pref %d)",
				search.highest[FLOWER]);
		}
	}
	bpf_for_each(flow_action, act, ctx) {
		switch (act->id) {
		case EKHO_ACT_MIRRED:
			break;
		case EKHO_ACT_SAMPLE:
			if (ctx->flow.hooks & EKHO_HOOK_EGRESS)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "no sampling on egress");
			if (BPF_CORE_READ(act->entry, sample.rate) >
			    SAMPLE_RATE_MAX)
				return ekho_refuse(ctx, EOPNOTSUPP,
						   "sampling rate too high");
			break;
		default:
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"matchall mirrors or samples only, no action %s",
				act->name);
		}
	}
	return 0;
}

static __always_inline int enter(const struct ekho_flow *flow, enum kind kind)
{
	struct place at = place(flow, kind);
	__u64 cookie = flow->cookie;
	long err;

	err = bpf_map_update_elem(&places, &cookie, &at, BPF_NOEXIST);
	return err == -E2BIG ? -ENOSPC : err;
}

static __always_inline void leave(const struct ekho_flow *flow)
{
	__u64 cookie = flow->cookie;

	bpf_map_delete_elem(&places, &cookie);
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	bool all = ctx->flow.classifier == EKHO_CLS_MATCHALL;
	int err;

	err = all ? matchall(ctx) : flower(ctx);
	if (!err)
		err = enter(&ctx->flow, all ? MATCHALL : FLOWER);
	if (err)
		return err;
	err = ekho_counters_create(ctx);
	if (err)
		leave(&ctx->flow);
	else if (all)
		count_matchalls(1);
	return err;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	leave(&ctx->flow);
	if (ctx->flow.classifier == EKHO_CLS_MATCHALL)
		count_matchalls(-1);
	return ekho_counters_delete(ctx);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return ekho_counters_report(ctx);
}

EKHO_OP(template_create, struct ekho_replace_ctx *ctx)
{
	return matches(ctx) ?: enter(&ctx->flow, TEMPLATE);
}

EKHO_OP(template_destroy, struct ekho_destroy_ctx *ctx)
{
	leave(&ctx->flow);
	return 0;
}

EKHO_FIRMWARE(spectrum, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .template_create = (void *)template_create,
	      .template_destroy = (void *)template_destroy,
	      .classifiers = EKHO_CLASSIFIERS(FLOWER, MATCHALL),
	      .keys = EKHO_KEYS(META, BASIC, ETH_ADDRS, IPV4_ADDRS, IPV6_ADDRS,
				PORTS, PORTS_RANGE, TCP, IP, VLAN),
	      .actions = EKHO_ACTIONS(ACCEPT, DROP, TRAP, GOTO, REDIRECT,
				      MIRRED, VLAN_MANGLE, PRIORITY, MANGLE,
				      POLICE, SAMPLE),
	      .hw_stats = EKHO_HW_STATS_IMMEDIATE | EKHO_HW_STATS_DISABLED,
	      .max_flows = FLOWS);
