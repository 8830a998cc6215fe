// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a port of a NIC like NVIDIA ConnectX in switchdev mode, as the
 * kernel's mlx5 driver limits it.
 *
 *	matches		the headers of Ethernet, two VLAN tags, IPv4, IPv6, TCP,
 *			UDP and ICMP, fragments, tunnels with their options,
 *			connection tracking, the device itself;
 *			connections of act_ct's and of nftables' flowtables
 *	actions		accept, drop, trap, goto, redirect, mirror, VLAN, MPLS
 *			push, tunnels, pedit, checksums, marks, connection
 *			tracking, sample, police; for matchall police only
 *	flows		65536, then -ENOSPC; chains 0 to 3, preferences 1 to 16
 *	counters	as of the last second (`hw_stats delayed`)
 *
 *	refuses				why
 *	------------------------------	-------------------------------------
 *	match, ports			other than TCP and UDP
 *	match, ICMP type and code	other than ICMP and ICMPv6
 *	match, device			another one than the filter's; l2_miss
 *	no drop and no destination	nothing says where the packet goes
 *	drop and a destination		one of them only
 *	drop and pedit or vlan modify	a dropped packet isn't rewritten
 *	goto				back; behind a decapsulation
 *	redirect, mirror		to itself; twice to the same device
 *	redirect to ingress		without ptype host; beside other devices
 *	ct commit			at the end
 *	vlan push			a third one
 *	vlan modify			without a tag in the match; of the priority
 *	mpls push			other than mpls_uc
 *	csum				without pedit; other than IPv4, TCP, UDP
 *	mark				of more than 16 bits
 *	ptype				other than host
 *	police				other than pipe, ok, goto and drop;
 *					peakrate, avrate, overhead
 *	matchall			a preference other than 1, a second action
 *	matchall, police		conform other than continue, exceed other
 *					than drop; peakrate, avrate, overhead
 *
 * Source: Linux 7.2, drivers/net/ethernet/mellanox/mlx5/core: en_tc.c and
 * en/tc/act/ for what is refused, fs_core.h for chains and preferences. The
 * number of flows is that of ConnectX-4: a suite of OVS's counts on 64 K.
 *
 * Not modelled: what depends on the kind of another device (tunnels, bonds,
 * OVS's internal ports, ports of another switch), on the NIC's configuration
 * (inline mode), and on how much pedit rewrites at once.
 */
#include "ekho.bpf.h"

#define FLOWS 65536

EKHO_FLOW_STATS(FLOWS);

#define PACKET_HOST 0
#define VLANS 2
#define OUTPUTS 8
#define ETH_P_MPLS_UC 0x8847
#define IPPROTO_ICMPV6 58
#define CT_COMMIT 1
#define CSUM_IPV4HDR 1
#define CSUM_TCP 8
#define CSUM_UDP 16

static __always_inline int matches(struct ekho_replace_ctx *ctx)
{
	EKHO_MATCH(basic) basic;
	EKHO_MATCH(meta) meta;

	ekho_match(ctx, BASIC, &basic);
	if (ctx->keys & EKHO_KEYS(PORTS) && basic.key.ip_proto != IPPROTO_TCP &&
	    basic.key.ip_proto != IPPROTO_UDP)
		return ekho_refuse(ctx, EINVAL,
				   "ports are of TCP and UDP only");
	if (ctx->keys & EKHO_KEYS(ICMP) && basic.key.ip_proto != IPPROTO_ICMP &&
	    basic.key.ip_proto != IPPROTO_ICMPV6)
		return ekho_refuse(ctx, EINVAL,
				   "type and code are of ICMP and ICMPv6 only");
	if (ekho_match(ctx, META, &meta)) {
		if (meta.mask.l2_miss)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "l2_miss can't be matched");
		/* Of a connection of act_ct it is 0 where it isn't known. */
		if (meta.key.ingress_ifindex & meta.mask.ingress_ifindex &&
		    meta.key.ingress_ifindex != ctx->flow.ifindex)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"a device is matched at its own filters only");
	}
	return 0;
}

static __always_inline bool can_follow(__u32 id)
{
	return id == FLOW_ACTION_PIPE || id == FLOW_ACTION_ACCEPT ||
	       id == FLOW_ACTION_JUMP || id == FLOW_ACTION_DROP;
}

static __always_inline int police(struct ekho_replace_ctx *ctx,
				  struct flow_action_entry *entry)
{
	typeof(entry->police) police;

	/* The verifier doesn't follow pointers into a union. */
	bpf_core_read(&police, sizeof(police), &entry->police);
	if (ctx->flow.classifier == EKHO_CLS_MATCHALL) {
		if (police.notexceed.act_id != FLOW_ACTION_CONTINUE ||
		    police.exceed.act_id != FLOW_ACTION_DROP)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"police: conform-exceed drop/continue only");
	} else if (!can_follow(police.exceed.act_id) ||
		   !can_follow(police.notexceed.act_id)) {
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: pipe, ok, goto and drop only");
	}
	if (police.peakrate_bytes_ps || police.avrate || police.overhead)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "police: no peakrate, avrate or overhead");
	return 0;
}

static __always_inline int matchall(struct ekho_replace_ctx *ctx)
{
	struct ekho_action *act;

	if (ctx->flow.prio != 1)
		return ekho_refuse(ctx, EINVAL, "matchall: preference 1 only");
	if (ctx->n_actions != 1)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "matchall: one action only");
	bpf_for_each(flow_action, act, ctx) {
		if (act->id != EKHO_ACT_POLICE)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"matchall polices only, no action %s",
				act->name);
		return police(ctx, act->entry);
	}
	return 0;
}

/* What came so far. */
struct rule_actions {
	bool forward, drop, rewrite, decap, go_to, host, ingress;
	__u32 n, vlans, outputs;
	__u32 output[OUTPUTS];
};

static __always_inline int output(struct ekho_replace_ctx *ctx,
				  struct rule_actions *seen, __u32 ifindex)
{
	__u32 n = seen->outputs;

	seen->forward = true;
	if (ifindex == ctx->flow.ifindex)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "a packet can't go out where it came in");
	for (int i = 0; i < OUTPUTS; i++) {
		if (i < n && seen->output[i] == ifindex)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "one copy to a device");
	}
	if (n >= OUTPUTS)
		return ekho_refuse(ctx, EOPNOTSUPP, "%d devices at most",
				   OUTPUTS);
	seen->output[n] = ifindex;
	seen->outputs = n + 1;
	return 0;
}

static __always_inline int vlan_mangle(struct ekho_replace_ctx *ctx,
				       struct flow_action_entry *entry)
{
	EKHO_MATCH(vlan) vlan;

	if (!ekho_match(ctx, VLAN, &vlan))
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "vlan modify needs a VLAN to match");
	if (BPF_CORE_READ(entry, vlan.prio) !=
	    (vlan.key.vlan_priority & vlan.mask.vlan_priority))
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "vlan modify leaves the priority alone");
	return 0;
}

static __always_inline int action(struct ekho_replace_ctx *ctx,
				  struct rule_actions *seen,
				  struct ekho_action *act)
{
	struct flow_action_entry *entry = act->entry;
	__u32 flags;

	seen->n++;
	switch (act->id) {
	case EKHO_ACT_DROP:
		seen->drop = true;
		break;
	case EKHO_ACT_ACCEPT:
	case EKHO_ACT_TRAP:
	case EKHO_ACT_SAMPLE:
		seen->forward = true;
		break;
	case EKHO_ACT_GOTO:
		if (act->arg <= ctx->flow.chain_index)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"goto chain %d: from %d only on to higher ones",
				act->arg, ctx->flow.chain_index);
		seen->forward = true;
		seen->go_to = true;
		break;
	case EKHO_ACT_REDIRECT_INGRESS:
		if (!seen->host)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"redirect to ingress needs ptype host");
		seen->ingress = true;
		return output(ctx, seen, act->arg);
	case EKHO_ACT_REDIRECT:
	case EKHO_ACT_MIRRED:
		return output(ctx, seen, act->arg);
	case EKHO_ACT_POLICE:
		seen->forward = true;
		return police(ctx, entry);
	case EKHO_ACT_CT:
		if (BPF_CORE_READ(entry, ct.action) & CT_COMMIT &&
		    seen->n == ctx->n_actions)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "something must follow ct commit");
		seen->forward = true;
		break;
	/* A connection: where its packets go is up to the filters. */
	case EKHO_ACT_CT_METADATA:
		seen->forward = true;
		break;
	case EKHO_ACT_VLAN_PUSH:
		if (++seen->vlans > VLANS)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "%d VLAN tags at most", VLANS);
		break;
	case EKHO_ACT_VLAN_MANGLE:
		seen->rewrite = true;
		return vlan_mangle(ctx, entry);
	case EKHO_ACT_MPLS_PUSH:
		if (BPF_CORE_READ(entry, mpls_push.proto) !=
		    bpf_htons(ETH_P_MPLS_UC))
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "mpls push of mpls_uc only");
		break;
	case EKHO_ACT_TUNNEL_DECAP:
		seen->decap = true;
		break;
	case EKHO_ACT_MANGLE:
	case EKHO_ACT_ADD:
		seen->rewrite = true;
		break;
	case EKHO_ACT_CSUM:
		if (!seen->rewrite)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "csum comes behind pedit only");
		flags = BPF_CORE_READ(entry, csum_flags);
		if (flags & ~(CSUM_IPV4HDR | CSUM_TCP | CSUM_UDP))
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "csum of IPv4, TCP and UDP only");
		break;
	case EKHO_ACT_MARK:
		if (act->arg >> 16)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "mark 0x%x: 16 bits only", act->arg);
		break;
	case EKHO_ACT_PTYPE:
		if (act->arg != PACKET_HOST)
			return ekho_refuse(ctx, EOPNOTSUPP, "ptype host only");
		seen->host = true;
		break;
	}
	return 0;
}

/* What doesn't go together. */
static __always_inline int together(struct ekho_replace_ctx *ctx,
				    const struct rule_actions *seen)
{
	if (seen->ingress && seen->outputs > 1)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "redirect to ingress goes alone");
	if (seen->go_to && seen->decap)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "no goto behind a decapsulation");
	/* A shared action is a part of filters that come later. */
	if (ctx->flow.classifier == EKHO_CLS_ACTION)
		return 0;
	if (!seen->forward && !seen->drop)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "nothing says where the packet goes");
	if (seen->forward && seen->drop)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "a packet is dropped or goes somewhere");
	if (seen->rewrite && seen->drop)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "what is dropped can't be rewritten");
	return 0;
}

static __always_inline int flower(struct ekho_replace_ctx *ctx)
{
	struct rule_actions seen = {};
	struct ekho_action *act;
	int err;

	err = matches(ctx);
	if (err)
		return err;
	bpf_for_each(flow_action, act, ctx) {
		err = action(ctx, &seen, act);
		if (err)
			return err;
	}
	return together(ctx, &seen);
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	int err;

	err = ctx->flow.classifier == EKHO_CLS_MATCHALL ? matchall(ctx) :
							  flower(ctx);
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

EKHO_FIRMWARE(connectx, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .classifiers = EKHO_CLASSIFIERS(FLOWER, MATCHALL, FLOWTABLE, CT,
					      ACTION),
	      .keys = EKHO_KEYS(META, CONTROL, BASIC, ETH_ADDRS, VLAN, CVLAN,
				IPV4_ADDRS, IPV6_ADDRS, PORTS, TCP, IP, CT,
				ICMP, ENC_KEYID, ENC_IPV4_ADDRS, ENC_IPV6_ADDRS,
				ENC_PORTS, ENC_CONTROL, ENC_IP, ENC_OPTS),
	      .actions = EKHO_ACTIONS(ACCEPT, DROP, TRAP, GOTO, REDIRECT,
				      REDIRECT_INGRESS, MIRRED, VLAN_PUSH,
				      VLAN_POP, VLAN_MANGLE, VLAN_PUSH_ETH,
				      VLAN_POP_ETH, TUNNEL_ENCAP, TUNNEL_DECAP,
				      MANGLE, ADD, CSUM, MARK, PTYPE, SAMPLE,
				      POLICE, CT, CT_METADATA, MPLS_PUSH),
	      .hw_stats = EKHO_HW_STATS_DELAYED, .max_flows = FLOWS,
	      .max_chains = 4, .prio_max = 16);
