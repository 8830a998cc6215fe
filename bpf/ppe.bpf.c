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
 *
 *	refuses				why
 *	------------------------------	-------------------------------------
 *	match				without the device; without a protocol;
 *					fragments
 *	match, routing			without ports
 *	match, bridging			without MAC addresses; with ports; a tag
 *					other than 802.1Q
 *	MAC addresses			none, or one that isn't a station's, when
 *					the packet goes out
 *	pedit				bridging; IPv4 other than addresses; ports
 *					other than whole; IPv6: no NAT
 *	vlan push			other than 802.1Q; a third tag
 *	pppoe push			a second session, a third tag
 *	redirect			none, or a second one; all else but it, as
 *					the engine only forwards
 *
 * Source: Linux 7.2, drivers/net/ethernet/mediatek: mtk_ppe_offload.c for what
 * is refused, mtk_ppe.h for the number of entries.
 *
 * Not modelled: which device packets can go out of (the chip's own only).
 */
#include "ekho.bpf.h"

#define FLOWS 16384
#define TAGS 2

EKHO_FLOW_STATS(FLOWS);

/* What is known of a flow so far; MAC addresses as they are in the packet. */
struct entry {
	bool routed, pppoe, output;
	__u32 tags;
	__u32 macs[3];
};

/* A station's address, which begins with these bytes. */
static __always_inline bool is_station(__u8 first, bool any)
{
	return any && !(first & 1);
}

static __always_inline int macs(struct ekho_replace_ctx *ctx,
				const struct entry *entry)
{
	const __u32 *macs = entry->macs;

	if (!is_station(macs[0], macs[0] || macs[1] & 0xffff) ||
	    !is_station(macs[1] >> 16, macs[1] >> 16 || macs[2]))
		return ekho_refuse(
			ctx, EINVAL,
			"both MAC addresses of what goes out must be known");
	return 0;
}

static __always_inline int matches(struct ekho_replace_ctx *ctx,
				   struct entry *entry)
{
	EKHO_MATCH(eth_addrs) eth;
	EKHO_MATCH(vlan) vlan;
	bool ports = ctx->keys & EKHO_KEYS(PORTS);

	if (!(ctx->keys & EKHO_KEYS(META)))
		return ekho_refuse(
			ctx, EOPNOTSUPP,
			"the device that packets come from is missing");
	if (!(ctx->keys & EKHO_KEYS(BASIC)))
		return ekho_refuse(ctx, EOPNOTSUPP, "the protocol is missing");
	if (entry->routed) {
		if (!ports)
			return ekho_refuse(
				ctx, EOPNOTSUPP,
				"routes single connections: ports are missing");
		return 0;
	}
	if (!ekho_match(ctx, ETH_ADDRS, &eth))
		return ekho_refuse(
			ctx, EOPNOTSUPP,
			"bridges by MAC addresses, which are missing");
	if (ports)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "bridges by MAC addresses, not by ports");
	if (ekho_match(ctx, VLAN, &vlan) &&
	    vlan.key.vlan_tpid != bpf_htons(ETH_P_8021Q))
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "VLAN protocol 0x%x isn't 802.1Q",
				   bpf_ntohs(vlan.key.vlan_tpid));
	__builtin_memcpy(entry->macs, &eth.key, sizeof(entry->macs));
	return 0;
}

/* pedit: `mask` has the bits that stay. */
static __always_inline int mangle(struct ekho_replace_ctx *ctx,
				  struct flow_action_entry *action,
				  struct entry *entry)
{
	__u32 offset = BPF_CORE_READ(action, mangle.offset);
	__u32 mask = BPF_CORE_READ(action, mangle.mask);
	__u32 val = BPF_CORE_READ(action, mangle.val);

	if (!entry->routed)
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "bridging rewrites nothing");
	switch (BPF_CORE_READ(action, mangle.htype)) {
	case FLOW_ACT_MANGLE_HDR_TYPE_ETH:
		if (offset <= 8) {
			__u32 *word = &entry->macs[offset / 4 % 3];

			*word = (*word & mask) | (val & ~mask);
		}
		return 0;
	case FLOW_ACT_MANGLE_HDR_TYPE_IP4:
		if (offset == offsetof(struct iphdr, saddr) ||
		    offset == offsetof(struct iphdr, daddr))
			return 0;
		return ekho_refuse(ctx, EINVAL,
				   "IPv4: only addresses are rewritten");
	case FLOW_ACT_MANGLE_HDR_TYPE_TCP:
	case FLOW_ACT_MANGLE_HDR_TYPE_UDP:
		if (offset == 0 || offset == 2)
			return 0;
		return ekho_refuse(ctx, EINVAL,
				   "TCP and UDP: only ports are rewritten");
	case FLOW_ACT_MANGLE_HDR_TYPE_IP6:
		return ekho_refuse(ctx, EOPNOTSUPP, "no NAT for IPv6");
	default:
		return ekho_refuse(ctx, EOPNOTSUPP,
				   "pedit needs the name of a header");
	}
}

static __always_inline int action(struct ekho_replace_ctx *ctx,
				  struct ekho_action *act, struct entry *entry)
{
	__u16 proto;

	switch (act->id) {
	case EKHO_ACT_MANGLE:
		return mangle(ctx, act->entry, entry);
	case EKHO_ACT_VLAN_PUSH:
		proto = bpf_ntohs(BPF_CORE_READ(act->entry, vlan.proto));
		if (proto != ETH_P_8021Q)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "VLAN protocol 0x%x isn't 802.1Q",
					   proto);
		if (++entry->tags > TAGS)
			return ekho_refuse(ctx, EOPNOTSUPP, "%d tags at most",
					   TAGS);
		break;
	case EKHO_ACT_PPPOE_PUSH:
		if (entry->pppoe || ++entry->tags > TAGS)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "%d tags at most, one of them PPPoE",
					   TAGS);
		entry->pppoe = true;
		break;
	case EKHO_ACT_REDIRECT:
		if (entry->output)
			return ekho_refuse(ctx, EOPNOTSUPP,
					   "one device to send out of");
		entry->output = true;
		break;
	}
	return 0;
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct entry entry = {
		.routed = ctx->keys & EKHO_KEYS(IPV4_ADDRS, IPV6_ADDRS),
	};
	struct ekho_action *act;
	int err;

	err = matches(ctx, &entry);
	if (err)
		return err;
	bpf_for_each(flow_action, act, ctx) {
		err = action(ctx, act, &entry);
		if (err)
			return err;
	}
	if (!entry.output)
		return ekho_refuse(ctx, EOPNOTSUPP, "no device to send out of");
	return macs(ctx, &entry) ?: ekho_counters_create(ctx);
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
