// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a driver in C takes to keep a record of each flow: for `make bench` only.
 *
 * The module adds a device, bench0, whose hardware doesn't exist. Its driver does
 * what drivers of devices with a flow table do (drivers/net/ethernet/mediatek/
 * mtk_ppe_offload.c is one), up to where they write to their registers: it reads
 * the rule into the form that its table has, refuses what doesn't fit, and keeps
 * the result in a record that it finds by cookie. One mutex serializes requests.
 *
 *	matches		EtherType, protocol, addresses of IPv4 or IPv6, ports
 *	actions		accept, drop, redirect; one of them
 *	flows		as many as there is memory
 *	counters	packets, bytes and last use, all of them zero
 */
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/rhashtable.h>
#include <net/flow_offload.h>
#include <net/pkt_cls.h>

/* Keys of a rule that the table has columns for. */
#define BENCH_KEYS                                      \
	(BIT_ULL(FLOW_DISSECTOR_KEY_CONTROL) |          \
	 BIT_ULL(FLOW_DISSECTOR_KEY_BASIC) |            \
	 BIT_ULL(FLOW_DISSECTOR_KEY_IPV4_ADDRS) |       \
	 BIT_ULL(FLOW_DISSECTOR_KEY_IPV6_ADDRS) |       \
	 BIT_ULL(FLOW_DISSECTOR_KEY_PORTS))

/* One side of an entry of the table: what is compared, or which bits of it. */
struct bench_match {
	union {
		struct flow_dissector_key_ipv4_addrs v4;
		struct flow_dissector_key_ipv6_addrs v6;
	};
	__be16 src_port;
	__be16 dst_port;
	__be16 n_proto;
	u8 ip_proto;
};

/* An entry of the table. */
struct bench_entry {
	struct bench_match key;
	struct bench_match mask;
	u32 prio;
	u32 chain_index;
	enum flow_action_id action;
	int redirect_ifindex;
};

/* A flow. */
struct bench_flow {
	struct rhash_head node;
	unsigned long cookie;
	struct bench_entry entry;
	u64 packets;
	u64 bytes;
	u64 last_used;
};

struct bench_priv {
	struct rhashtable flows;
	struct mutex lock; /* of flows */
};

static const struct rhashtable_params bench_flows_params = {
	.head_offset = offsetof(struct bench_flow, node),
	.key_offset = offsetof(struct bench_flow, cookie),
	.key_len = sizeof_field(struct bench_flow, cookie),
	.automatic_shrinking = true,
};

static LIST_HEAD(bench_block_cbs);
static struct net_device *bench_dev;

static int bench_parse_match(const struct flow_rule *rule,
			     struct netlink_ext_ack *extack,
			     struct bench_entry *entry)
{
	u16 addr_type = 0;

	if (rule->match.dissector->used_keys & ~BENCH_KEYS) {
		NL_SET_ERR_MSG_MOD(extack, "Unsupported key");
		return -EOPNOTSUPP;
	}

	if (flow_rule_match_key(rule, FLOW_DISSECTOR_KEY_CONTROL)) {
		struct flow_match_control match;

		flow_rule_match_control(rule, &match);
		addr_type = match.key->addr_type;
		if (flow_rule_has_control_flags(match.mask->flags, extack))
			return -EOPNOTSUPP;
	}

	if (flow_rule_match_key(rule, FLOW_DISSECTOR_KEY_BASIC)) {
		struct flow_match_basic match;

		flow_rule_match_basic(rule, &match);
		entry->key.n_proto = match.key->n_proto;
		entry->mask.n_proto = match.mask->n_proto;
		entry->key.ip_proto = match.key->ip_proto;
		entry->mask.ip_proto = match.mask->ip_proto;
	}

	switch (addr_type) {
	case 0:
		break;
	case FLOW_DISSECTOR_KEY_IPV4_ADDRS: {
		struct flow_match_ipv4_addrs match;

		flow_rule_match_ipv4_addrs(rule, &match);
		entry->key.v4 = *match.key;
		entry->mask.v4 = *match.mask;
		break;
	}
	case FLOW_DISSECTOR_KEY_IPV6_ADDRS: {
		struct flow_match_ipv6_addrs match;

		flow_rule_match_ipv6_addrs(rule, &match);
		entry->key.v6 = *match.key;
		entry->mask.v6 = *match.mask;
		break;
	}
	default:
		NL_SET_ERR_MSG_MOD(extack, "Unsupported type of address");
		return -EOPNOTSUPP;
	}

	if (flow_rule_match_key(rule, FLOW_DISSECTOR_KEY_PORTS)) {
		struct flow_match_ports match;

		flow_rule_match_ports(rule, &match);
		entry->key.src_port = match.key->src;
		entry->mask.src_port = match.mask->src;
		entry->key.dst_port = match.key->dst;
		entry->mask.dst_port = match.mask->dst;
	}
	return 0;
}

static int bench_parse_actions(const struct flow_action *actions,
			       struct netlink_ext_ack *extack,
			       struct bench_entry *entry)
{
	const struct flow_action_entry *action;
	int i;

	if (!flow_offload_has_one_action(actions)) {
		NL_SET_ERR_MSG_MOD(extack, "Not exactly one action");
		return -EOPNOTSUPP;
	}
	if (!flow_action_basic_hw_stats_check(actions, extack))
		return -EOPNOTSUPP;

	flow_action_for_each(i, action, actions) {
		switch (action->id) {
		case FLOW_ACTION_ACCEPT:
		case FLOW_ACTION_DROP:
			break;
		case FLOW_ACTION_REDIRECT:
			entry->redirect_ifindex = action->dev->ifindex;
			break;
		default:
			NL_SET_ERR_MSG_MOD(extack, "Unsupported action");
			return -EOPNOTSUPP;
		}
		entry->action = action->id;
	}
	return 0;
}

static int bench_replace(struct bench_priv *priv, struct flow_cls_offload *f)
{
	struct flow_rule *rule = flow_cls_offload_flow_rule(f);
	struct netlink_ext_ack *extack = f->common.extack;
	struct bench_entry entry = {};
	struct bench_flow *flow;
	int err;

	if (rhashtable_lookup_fast(&priv->flows, &f->cookie,
				   bench_flows_params))
		return -EEXIST;

	err = bench_parse_match(rule, extack, &entry);
	if (err)
		return err;
	err = bench_parse_actions(&rule->action, extack, &entry);
	if (err)
		return err;
	entry.prio = f->common.prio;
	entry.chain_index = f->common.chain_index;

	flow = kzalloc_obj(*flow);
	if (!flow)
		return -ENOMEM;
	flow->cookie = f->cookie;
	flow->entry = entry;

	err = rhashtable_insert_fast(&priv->flows, &flow->node,
				     bench_flows_params);
	if (err)
		kfree(flow);
	return err;
}

static int bench_destroy(struct bench_priv *priv, struct flow_cls_offload *f)
{
	struct bench_flow *flow;

	flow = rhashtable_lookup_fast(&priv->flows, &f->cookie,
				      bench_flows_params);
	if (!flow)
		return -ENOENT;
	rhashtable_remove_fast(&priv->flows, &flow->node, bench_flows_params);
	kfree(flow);
	return 0;
}

static int bench_stats(struct bench_priv *priv, struct flow_cls_offload *f)
{
	struct bench_flow *flow;

	flow = rhashtable_lookup_fast(&priv->flows, &f->cookie,
				      bench_flows_params);
	if (!flow)
		return -ENOENT;
	flow_stats_update(&f->stats, flow->bytes, flow->packets, 0,
			  flow->last_used, FLOW_ACTION_HW_STATS_DELAYED);
	flow->bytes = 0;
	flow->packets = 0;
	return 0;
}

static int bench_setup_tc_block_cb(enum tc_setup_type type, void *type_data,
				   void *cb_priv)
{
	struct flow_cls_offload *f = type_data;
	struct net_device *dev = cb_priv;
	struct bench_priv *priv = netdev_priv(dev);
	int err;

	if (!tc_can_offload(dev) || type != TC_SETUP_CLSFLOWER)
		return -EOPNOTSUPP;

	mutex_lock(&priv->lock);
	switch (f->command) {
	case FLOW_CLS_REPLACE:
		err = bench_replace(priv, f);
		break;
	case FLOW_CLS_DESTROY:
		err = bench_destroy(priv, f);
		break;
	case FLOW_CLS_STATS:
		err = bench_stats(priv, f);
		break;
	default:
		err = -EOPNOTSUPP;
		break;
	}
	mutex_unlock(&priv->lock);
	return err;
}

static int bench_setup_tc(struct net_device *dev, enum tc_setup_type type,
			  void *type_data)
{
	if (type != TC_SETUP_BLOCK)
		return -EOPNOTSUPP;
	return flow_block_cb_setup_simple(type_data, &bench_block_cbs,
					  bench_setup_tc_block_cb, dev, dev,
					  true);
}

static netdev_tx_t bench_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops bench_netdev_ops = {
	.ndo_start_xmit = bench_start_xmit,
	.ndo_setup_tc = bench_setup_tc,
};

static int __init bench_init(void)
{
	struct bench_priv *priv;
	int err;

	bench_dev = alloc_netdev(sizeof(*priv), "bench%d", NET_NAME_ENUM,
				 ether_setup);
	if (!bench_dev)
		return -ENOMEM;
	bench_dev->netdev_ops = &bench_netdev_ops;
	bench_dev->hw_features |= NETIF_F_HW_TC;
	bench_dev->features |= NETIF_F_HW_TC;
	eth_hw_addr_random(bench_dev);

	priv = netdev_priv(bench_dev);
	mutex_init(&priv->lock);
	err = rhashtable_init(&priv->flows, &bench_flows_params);
	if (err)
		goto free;
	err = register_netdev(bench_dev);
	if (err)
		goto destroy;
	return 0;

destroy:
	rhashtable_destroy(&priv->flows);
free:
	free_netdev(bench_dev);
	return err;
}

static void __exit bench_exit(void)
{
	struct bench_priv *priv = netdev_priv(bench_dev);

	/* Takes the block of filters away, and with it all flows. */
	unregister_netdev(bench_dev);
	rhashtable_destroy(&priv->flows);
	free_netdev(bench_dev);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("A driver that keeps a record of each flow, for EKHO's benchmark");
MODULE_LICENSE("GPL");
