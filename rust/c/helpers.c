// SPDX-License-Identifier: GPL-2.0-only
/*
 * Static inlines and macros of the kernel, as functions that Rust can call.
 *
 * One helper does one kernel call; what it needs of its caller is what that
 * call needs.
 */
#include <linux/capability.h>
#include <linux/etherdevice.h>
#include <linux/hash.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel_stat.h>
#include <linux/kobject.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/timekeeping.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/nsproxy.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/ptr_ring.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/siphash.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/vtime.h>
#include <net/act_api.h>
#include <net/busy_poll.h>
#include <net/gen_stats.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_flow_table.h>
#include <net/netlink.h>
#include <net/tc_act/tc_ct.h>
#include <net/tc_act/tc_gact.h>
#include <net/tc_act/tc_pedit.h>
#include <net/tc_act/tc_police.h>
#include <net/tc_act/tc_vlan.h>
#include <net/netdev_lock.h>
#include <net/netfilter/nf_tables.h>
#include <net/netns/generic.h>

#include "ekho.h"

/*
 * Flow records by cookie: abstractions/sync/cookie_table.rs. The compiler knows that
 * a cookie is one word, which the general functions don't.
 */
static u32 ekho_cookie_hash(const void *cookie, u32 len, u32 seed)
{
	return hash_64(*(const unsigned long *)cookie ^ (u64)seed << 16, 32);
}

static int ekho_cookie_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct ekho_cookie_node *node = obj;

	return node->cookie != *(const unsigned long *)arg->key;
}

static const struct rhashtable_params ekho_cookie_params = {
	.hashfn = ekho_cookie_hash,
	.obj_cmpfn = ekho_cookie_cmp,
	.head_offset = offsetof(struct ekho_cookie_node, head),
	.key_offset = offsetof(struct ekho_cookie_node, cookie),
	.key_len = sizeof_field(struct ekho_cookie_node, cookie),
	.automatic_shrinking = true,
};

int ekho_helper_cookie_table_init(struct rhashtable *table)
{
	return rhashtable_init(table, &ekho_cookie_params);
}

struct ekho_cookie_node *
ekho_helper_cookie_table_lookup(struct rhashtable *table, unsigned long cookie)
{
	return rhashtable_lookup(table, &cookie, ekho_cookie_params);
}

int ekho_helper_cookie_table_insert(struct rhashtable *table,
				    struct ekho_cookie_node *node)
{
	return rhashtable_lookup_insert_fast(table, &node->head,
					     ekho_cookie_params);
}

int ekho_helper_cookie_table_remove(struct rhashtable *table,
				    struct ekho_cookie_node *node)
{
	return rhashtable_remove_fast(table, &node->head, ekho_cookie_params);
}

void ekho_helper_rhashtable_walk_start(struct rhashtable_iter *iter)
{
	rhashtable_walk_start(iter);
}

void ekho_helper_rhashtable_walk_pause(struct rhashtable_iter *iter)
{
	rhashtable_walk_stop(iter);
	cond_resched();
	rhashtable_walk_start(iter);
}

/*
 * Objects by key, of which several can have the same:
 * abstractions/sync/keyed_table.rs.
 */
static int ekho_keyed_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct ekho_keyed_node *node = obj;

	return node->key != *(const unsigned long *)arg->key;
}

static const struct rhashtable_params ekho_keyed_params = {
	.hashfn = ekho_cookie_hash,
	.obj_cmpfn = ekho_keyed_cmp,
	.head_offset = offsetof(struct ekho_keyed_node, head),
	.key_offset = offsetof(struct ekho_keyed_node, key),
	.key_len = sizeof_field(struct ekho_keyed_node, key),
	.automatic_shrinking = true,
};

int ekho_helper_keyed_table_init(struct rhltable *table)
{
	return rhltable_init(table, &ekho_keyed_params);
}

struct ekho_keyed_node *
ekho_helper_keyed_table_lookup(struct rhltable *table, unsigned long key)
{
	struct rhlist_head *head;

	head = rhltable_lookup(table, &key, ekho_keyed_params);
	return head ? container_of(head, struct ekho_keyed_node, head) : NULL;
}

/* Under RCU. */
struct ekho_keyed_node *
ekho_helper_keyed_table_next(const struct ekho_keyed_node *node)
{
	struct rhlist_head *next = rcu_dereference_raw(node->head.next);

	return next ? container_of(next, struct ekho_keyed_node, head) : NULL;
}

int ekho_helper_keyed_table_insert(struct rhltable *table,
				   struct ekho_keyed_node *node)
{
	return rhltable_insert(table, &node->head, ekho_keyed_params);
}

int ekho_helper_keyed_table_remove(struct rhltable *table,
				   struct ekho_keyed_node *node)
{
	return rhltable_remove(table, &node->head, ekho_keyed_params);
}

void ekho_helper_keyed_table_destroy(struct rhltable *table,
				     void (*free)(void *node, void *arg))
{
	rhltable_free_and_destroy(table, free, NULL);
}

u32 ekho_helper_hsiphash(const u64 *words, size_t n, u64 key0, u64 key1)
{
	const hsiphash_key_t key = { .key = { key0, key1 } };

	return hsiphash(words, n * sizeof(*words), &key);
}

u64 ekho_helper_coarse_time_ns(void)
{
	return ktime_get_coarse_ns();
}

struct kmem_cache *ekho_helper_slab_create(const char *name, unsigned int size,
					   unsigned int align)
{
	return kmem_cache_create(name, size, align, 0, NULL);
}

void *ekho_helper_slab_alloc(struct kmem_cache *cache)
{
	return kmem_cache_alloc(cache, GFP_KERNEL);
}

u32 ekho_helper_btf_member_offset(const struct btf_type *type,
				  const struct btf_member *member)
{
	return __btf_member_bit_offset(type, member) / 8;
}

/* The struct_ops map that a link keeps in use, as user space is told; 0 if none. */
u32 ekho_helper_link_map_id(const struct bpf_link *link)
{
	struct bpf_link_info info = {};

	if (!link->ops->fill_link_info || link->ops->fill_link_info(link, &info))
		return 0;
	return info.struct_ops.map_id;
}

void ekho_helper_dev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

void ekho_helper_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

u32 ekho_helper_dev_netns(const struct net_device *dev)
{
	u32 inum;

	/* A namespace that the device is about to leave is freed after RCU. */
	rcu_read_lock();
	inum = dev_net_rcu(dev)->ns.inum;
	rcu_read_unlock();
	return inum;
}

struct net *ekho_helper_current_net(void)
{
	return current->nsproxy->net_ns;
}

bool ekho_helper_dev_net_admin(const struct net_device *dev)
{
	return ns_capable(dev_net(dev)->user_ns, CAP_NET_ADMIN);
}

void ekho_helper_dev_hw_addr_random(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

void *ekho_helper_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

void ekho_helper_dev_net_set(struct net_device *dev, struct net *net)
{
	dev_net_set(dev, net);
}

/* A function in some kernels, and a macro in others. */
void ekho_helper_synchronize_rcu_tasks(void)
{
	synchronize_rcu_tasks();
}

bool ekho_helper_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

int ekho_helper_nla_len(const struct nlattr *nla)
{
	return nla_len(nla);
}

const void *ekho_helper_nla_data(const struct nlattr *nla)
{
	return nla_data(nla);
}

bool ekho_helper_is_valid_ether_addr(const u8 *addr)
{
	return is_valid_ether_addr(addr);
}

void ekho_helper_dev_lockdep_set_classes(struct net_device *dev)
{
	netdev_lockdep_set_classes(dev);
}

void ekho_helper_dev_dstats_tx(struct net_device *dev, unsigned int len)
{
	dev_dstats_tx_add(dev, len);
}

void ekho_helper_dev_dstats_tx_dropped(struct net_device *dev)
{
	dev_dstats_tx_dropped(dev);
}

void ekho_helper_dev_dstats_rx_dropped(struct net_device *dev)
{
	dev_dstats_rx_dropped(dev);
}

/* dev_dstats_rx_add() for several packets. Bottom halves are off. */
void ekho_helper_dev_dstats_rx(struct net_device *dev, unsigned long packets,
			       unsigned long bytes)
{
	struct pcpu_dstats *dstats = this_cpu_ptr(dev->dstats);

	u64_stats_update_begin(&dstats->syncp);
	u64_stats_add(&dstats->rx_packets, packets);
	u64_stats_add(&dstats->rx_bytes, bytes);
	u64_stats_update_end(&dstats->syncp);
}

bool ekho_helper_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

void ekho_helper_consume_skb(struct sk_buff *skb)
{
	dev_consume_skb_any(skb);
}

void ekho_helper_kfree_skb(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

bool ekho_helper_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
}

void ekho_helper_skb_orphan(struct sk_buff *skb)
{
	skb_orphan(skb);
}

/* What ____dev_forward_skb() does to a packet that leaves its namespace. */
int ekho_helper_skb_detach(struct sk_buff *skb)
{
	if (unlikely(skb_orphan_frags_rx(skb, GFP_ATOMIC)))
		return -ENOMEM;
	if (unlikely(!pskb_may_pull(skb, ETH_HLEN)))
		return -EINVAL;
	skb_scrub_packet(skb, true);
	/* What rules have done to it here is nothing to who receives it. */
	skb_reset_redirect(skb);
	skb->tc_depth = 0;
	skb->priority = 0;
	skb->dev = NULL;
	return 0;
}

struct sk_buff *ekho_helper_validate_xmit(struct sk_buff *skb,
					  struct net_device *dev)
{
	bool again = false;

	skb->next = NULL;
	return validate_xmit_skb_list(skb, dev, &again);
}

/* Takes the first buffer off a list; returns the rest. */
struct sk_buff *ekho_helper_skb_unlink(struct sk_buff *skb)
{
	struct sk_buff *next = skb->next;

	skb_mark_not_on_list(skb);
	return next;
}

int ekho_helper_transmit(struct sk_buff *skb, struct net_device *dev)
{
	skb->dev = dev;
	return dev_queue_xmit(skb);
}

/*
 * Frames of other interfaces: abstractions/net/rx_handler.rs.
 */
void *ekho_helper_rx_handler_data(const struct sk_buff *skb)
{
	return rcu_dereference(skb->dev->rx_handler_data);
}

/*
 * Whether frames of an interface can be taken: what br_add_if() asks, and
 * nobody else takes them.
 */
bool ekho_helper_rx_handler_fits(const struct net_device *dev)
{
	return !(dev->flags & IFF_LOOPBACK) && dev->type == ARPHRD_ETHER &&
	       dev->addr_len == ETH_ALEN && is_valid_ether_addr(dev->dev_addr) &&
	       !(dev->priv_flags & IFF_DONT_BRIDGE);
}

bool ekho_helper_dev_has_master(struct net_device *dev)
{
	return netdev_master_upper_dev_get(dev);
}

bool ekho_helper_dev_is_upper(struct net_device *dev, struct net_device *upper)
{
	bool is_upper;

	rcu_read_lock();
	is_upper = netdev_has_upper_dev_all_rcu(dev, upper);
	rcu_read_unlock();
	return is_upper;
}

/* What the interface itself has sent comes by as well. */
bool ekho_helper_rx_handler_wants(const struct sk_buff *skb)
{
	return skb->pkt_type != PACKET_LOOPBACK;
}

/* The packet as a frame with its Ethernet header, for nobody else; null, and freed, without memory. */
struct sk_buff *ekho_helper_rx_handler_frame(struct sk_buff *skb)
{
	skb = skb_share_check(skb, GFP_ATOMIC);
	if (likely(skb)) {
		skb_push(skb, skb->data - skb_mac_header(skb));
		skb_forward_csum(skb);
	}
	return skb;
}

/*
 * Rings of packets: abstractions/net/skb_ring.rs.
 */
int ekho_helper_skb_ring_init(struct ptr_ring *ring, int size)
{
	return ptr_ring_init(ring, size, GFP_KERNEL);
}

void ekho_helper_skb_ring_cleanup(struct ptr_ring *ring)
{
	ptr_ring_cleanup(ring, NULL);
}

bool ekho_helper_skb_ring_produce(struct ptr_ring *ring, void *entry)
{
	return ptr_ring_produce(ring, entry) == 0;
}

int ekho_helper_skb_ring_consume(struct ptr_ring *ring, void **entries, int n)
{
	return ptr_ring_consume_batched(ring, entries, n);
}

void ekho_helper_local_bh_disable(void)
{
	local_bh_disable();
}

void ekho_helper_local_bh_enable(void)
{
	local_bh_enable();
}

bool ekho_helper_skb_ring_empty(struct ptr_ring *ring)
{
	return __ptr_ring_empty(ring);
}

/*
 * Reception: abstractions/net/napi.rs.
 */
void ekho_helper_napi_add(struct net_device *dev, struct napi_struct *napi,
			  int (*poll)(struct napi_struct *napi, int budget),
			  int index)
{
	netif_napi_add_config(dev, napi, poll, index);
}

/* It is freed after a grace period only. */
void ekho_helper_napi_del(struct napi_struct *napi)
{
	__netif_napi_del(napi);
}

void ekho_helper_list_init(struct list_head *list)
{
	INIT_LIST_HEAD(list);
}

/*
 * Makes a frame a packet that @napi has received, as __dev_forward_skb() does.
 * Fails if it is shorter than an Ethernet header.
 */
bool ekho_helper_skb_receive(struct sk_buff *skb, struct napi_struct *napi, u16 queue)
{
	if (unlikely(!pskb_may_pull(skb, ETH_HLEN)))
		return false;
	skb->protocol = eth_type_trans(skb, napi->dev);
	skb_postpull_rcsum(skb, eth_hdr(skb), ETH_HLEN);
	skb_record_rx_queue(skb, queue);
	return true;
}

void ekho_helper_skb_mark_napi(struct sk_buff *skb, struct napi_struct *napi)
{
	skb_mark_napi_id(skb, napi);
}

void ekho_helper_skb_list_add(struct list_head *list, struct sk_buff *skb)
{
	list_add_tail(&skb->list, list);
}

/* Makes the data of a packet its own, which may be shared with clones. */
bool ekho_helper_skb_unclone(struct sk_buff *skb)
{
	return !skb_unclone(skb, GFP_ATOMIC);
}

void ekho_helper_receive_list(struct list_head *list)
{
	netif_receive_skb_list(list);
	INIT_LIST_HEAD(list);
}

bool ekho_helper_gro_pending(const struct napi_struct *napi)
{
	return napi->gro.bitmask || napi->gro.rx_count;
}

void ekho_helper_gro_receive(struct napi_struct *napi, struct sk_buff *skb)
{
	napi_gro_receive(napi, skb);
}

void ekho_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

struct net_device *ekho_helper_notifier_dev(const void *info)
{
	return netdev_notifier_info_to_dev(info);
}

int ekho_helper_notifier_from_errno(int err)
{
	return notifier_from_errno(err);
}

struct workqueue_struct *ekho_helper_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND, 0, name);
}

void ekho_helper_block_cb_add(struct flow_block_cb *block_cb,
			      struct flow_block_offload *bo)
{
	/*
	 * The core takes the callback off the driver's list when a bind fails
	 * or an indirect device goes; a list of one keeps that harmless.
	 */
	INIT_LIST_HEAD(&block_cb->driver_list);
	flow_block_cb_add(block_cb, bo);
}

void ekho_helper_block_cb_remove(struct flow_block_cb *block_cb,
				 struct flow_block_offload *bo, bool indirect)
{
	if (indirect)
		flow_indr_block_cb_remove(block_cb, bo);
	else
		flow_block_cb_remove(block_cb, bo);
}

/*
 * The list of a flowtable's callbacks, for a request that came through an
 * indirect block. Requests that came directly have it locked already.
 */
void ekho_helper_flowtable_lock(struct flow_block *block)
{
	down_write(&container_of(block, struct nf_flowtable, flow_block)
			    ->flow_block_lock);
}

void ekho_helper_flowtable_unlock(struct flow_block *block)
{
	up_write(&container_of(block, struct nf_flowtable, flow_block)
			  ->flow_block_lock);
}

/* To the end of the block's own list, which may be walked under RCU meanwhile. */
void ekho_helper_block_cb_add_last(struct flow_block_cb *block_cb,
				   struct flow_block *block)
{
	INIT_LIST_HEAD(&block_cb->driver_list);
	list_add_tail_rcu(&block_cb->list, &block->cb_list);
}

/* A walk that is at the callback can go on, until a grace period is over. */
void ekho_helper_block_cb_unlink(struct flow_block_cb *block_cb)
{
	__list_del_entry(&block_cb->list);
}

/* The callback must be unlinked, and a grace period be over. */
void ekho_helper_block_cb_hand_back(struct flow_block_cb *block_cb,
				    struct flow_block_offload *bo)
{
	list_add(&block_cb->list, &bo->cb_list);
}

/* The next callback of a block, or the first. The list must be locked. */
struct flow_block_cb *ekho_helper_block_cb_next(struct flow_block *block,
						struct flow_block_cb *block_cb)
{
	if (!block_cb)
		return list_first_entry_or_null(&block->cb_list,
						struct flow_block_cb, list);
	return list_is_last(&block_cb->list, &block->cb_list) ?
		       NULL :
		       list_next_entry(block_cb, list);
}

/*
 * nftables' chains: abstractions/tc/flow_offload/nft.rs.
 *
 * A reference to nf_tables, which is there when it makes a request.
 */
bool ekho_helper_nft_get(void)
{
	return symbol_get(nft_do_chain);
}

void ekho_helper_nft_put(void)
{
	symbol_put(nft_do_chain);
}

/*
 * The ruleset of the base chain that a request is about. nftables has locked it.
 *
 * nf_tables_net_id isn't exported. But the list of tables that the chain's table is on
 * begins in the ruleset, which is one of the objects of the namespace.
 */
struct nftables_pernet *
ekho_helper_nft_ruleset(const struct flow_block_offload *bo)
{
	const struct nft_base_chain *chain =
		container_of(bo->block, struct nft_base_chain, flow_block);
	const struct list_head *table = &chain->chain.table->list, *pos;
	const struct net_generic *gen;
	unsigned int id;

	guard(rcu)();
	gen = rcu_dereference(bo->net->gen);
	list_for_each(pos, table) {
		struct nftables_pernet *ruleset = container_of(
			(struct list_head *)pos, struct nftables_pernet, tables);

		for (id = DIV_ROUND_UP(sizeof(*gen), sizeof(void *));
		     id < gen->s.len; id++)
			if (gen->ptr[id] == ruleset)
				return ruleset;
	}
	return NULL;
}

void ekho_helper_nft_lock(struct nftables_pernet *ruleset)
{
	mutex_lock(&ruleset->commit_mutex);
}

void ekho_helper_nft_unlock(struct nftables_pernet *ruleset)
{
	mutex_unlock(&ruleset->commit_mutex);
}

/* Whether there is a base chain with that block. The ruleset must be locked. */
bool ekho_helper_nft_has_chain(struct nftables_pernet *ruleset,
			       const struct flow_block *block)
{
	const struct nft_table *table;
	const struct nft_chain *chain;

	list_for_each_entry(table, &ruleset->tables, list)
		list_for_each_entry(chain, &table->chains, list)
			if (nft_is_base_chain(chain) &&
			    &nft_base_chain(chain)->flow_block == block)
				return true;
	return false;
}

/* Whether that chain has a hook at the device. Its ruleset must be locked. */
bool ekho_helper_nft_has_hook(const struct flow_block *block,
			      const struct net_device *dev)
{
	const struct nft_base_chain *chain =
		container_of(block, struct nft_base_chain, flow_block);
	const struct nf_hook_ops *ops;
	const struct nft_hook *hook;

	list_for_each_entry(hook, &chain->hook_list, list)
		list_for_each_entry(ops, &hook->ops_list, list)
			if (ops->dev == dev)
				return true;
	return false;
}

/* Whether that chain exists in the current generation. The ruleset must be locked. */
bool ekho_helper_nft_chain_is_active(const struct net *net,
				     const struct flow_block *block)
{
	const struct nft_base_chain *chain =
		container_of(block, struct nft_base_chain, flow_block);

	return nft_is_active(net, &chain->chain);
}

/* The same of a rule. */
bool ekho_helper_nft_rule_is_active(const struct net *net, unsigned long cookie)
{
	return nft_is_active(net, (const struct nft_rule *)cookie);
}

s64 ekho_helper_tai_ns(void)
{
	return ktime_get_clocktai_ns();
}

s64 ekho_helper_timespec64_to_ns(const struct timespec64 *time)
{
	return timespec64_to_ns(time);
}

struct tcf_block *ekho_helper_tcf_block(struct flow_block *block)
{
	return container_of(block, struct tcf_block, flow_block);
}

/* bpf_ktime_get_ns() time to jiffies; the future counts as now. */
u64 ekho_helper_ktime_to_jiffies(u64 ktime_ns)
{
	u64 now = ktime_get_mono_fast_ns();

	if (ktime_ns >= now)
		return jiffies;
	return jiffies - nsecs_to_jiffies(now - ktime_ns);
}

/* bpf_ktime_get_ns() time. */
u64 ekho_helper_ktime_ns(void)
{
	return ktime_get_mono_fast_ns();
}

/* The same clock, which never goes back. Not in an NMI. */
s64 ekho_helper_time_ns(void)
{
	return ktime_get_ns();
}

/*
 * What a driver isn't told of an action of tc, whose address is the cookie of
 * its entries: abstractions/tc/flow_action.rs. The action lives as long as the
 * request.
 */
int ekho_helper_action_control(unsigned long action)
{
	return READ_ONCE(((struct tc_action *)action)->tcfa_action);
}

bool ekho_helper_gact_is_random(unsigned long action)
{
#ifdef CONFIG_GACT_PROB
	return to_gact((struct tc_action *)action)->tcfg_ptype;
#else
	return false;
#endif
}

/* Whether an offset depends on what is in the packet. */
bool ekho_helper_pedit_is_computed(unsigned long action)
{
	struct tcf_pedit *pedit = to_pedit((struct tc_action *)action);
	const struct tcf_pedit_parms *parms;
	bool computed = false;

	rcu_read_lock();
	parms = rcu_dereference(pedit->parms);
	for (int i = 0; i < parms->tcfp_nkeys; i++)
		computed |= parms->tcfp_keys[i].offmask;
	rcu_read_unlock();
	return computed;
}

bool ekho_helper_vlan_has_prio(unsigned long action)
{
	struct tcf_vlan *vlan = to_vlan((struct tc_action *)action);
	bool has_prio;

	rcu_read_lock();
	has_prio = rcu_dereference(vlan->vlan_p)->tcfv_push_prio_exists;
	rcu_read_unlock();
	return has_prio;
}

static struct ekho_rate ekho_rate_of(const struct psched_ratecfg *rate)
{
	return (struct ekho_rate){
		.mult = rate->mult,
		.shift = rate->shift,
		.atm = rate->linklayer == TC_LINKLAYER_ATM,
		.overhead = rate->overhead,
		.mpu = rate->mpu,
	};
}

/* Of one moment. Process context. */
void ekho_helper_police(unsigned long action, struct ekho_police *police)
{
	struct tcf_police *from = to_police((struct tc_action *)action);
	const struct tcf_police_params *p;

	/* In the order of tcf_police_init(). */
	spin_lock_bh(&from->tcf_lock);
	spin_lock_bh(&from->tcfp_lock);
	p = rcu_dereference_protected(from->params,
				      lockdep_is_held(&from->tcf_lock));
	*police = (struct ekho_police){
		.params = (unsigned long)p,
		.exceed = from->tcf_action,
		.conform = p->tcfp_result,
		.has_average = p->tcfp_ewma_rate,
		.has_rate = p->rate_present,
		.has_peak = p->peak_present,
		.has_packets = p->pps_present,
		.mtu = p->tcfp_mtu,
		.rate = ekho_rate_of(&p->rate),
		.peak = ekho_rate_of(&p->peak),
		.packets = {
			.mult = p->ppsrate.mult,
			.shift = p->ppsrate.shift,
		},
		.burst = p->tcfp_burst,
		.mtu_tokens = p->tcfp_mtu_ptoks,
		.packet_burst = p->tcfp_pkt_burst,
		.tokens = from->tcfp_toks,
		.peak_tokens = from->tcfp_ptoks,
		.packet_tokens = from->tcfp_pkttoks,
		.filled_ns = from->tcfp_t_c,
	};
	spin_unlock_bh(&from->tcfp_lock);
	spin_unlock_bh(&from->tcf_lock);
}

/* Milliseconds since then; the future counts as now. */
u64 ekho_helper_ktime_age_ms(u64 ktime_ns)
{
	u64 now = ktime_get_mono_fast_ns();

	return ktime_ns >= now ? 0 : div_u64(now - ktime_ns, NSEC_PER_MSEC);
}

/* Nanoseconds, for differences on one CPU. */
u64 ekho_helper_clock(void)
{
	return local_clock();
}

/*
 * Clocks of the current task, for differences between two readings of the same
 * task on the same CPU.
 *
 * now_ns: as above.
 * runtime_ns, exec_start_ns: what the task has run, as far as the scheduler has
 * brought that up to date, and when it did: it does so when it switches and with
 * each tick. Interrupts count as the task's time.
 * ticks_ns: the length of a tick for each timer interrupt that found the task at
 * work, or an interrupt on top of it; less what it knows to be stolen. Where
 * time isn't accounted by ticks (nohz_full), the same as now_ns.
 * steal_ns: what other guests had of this CPU, as far as a hypervisor says so.
 */
void ekho_helper_task_time(struct ekho_task_time *time)
{
	struct sched_entity *se = &current->se;

	do {
		time->exec_start_ns = READ_ONCE(se->exec_start);
		time->runtime_ns = READ_ONCE(se->sum_exec_runtime);
		time->now_ns = local_clock();
	} while (time->exec_start_ns != READ_ONCE(se->exec_start));
	time->ticks_ns = vtime_accounting_enabled_cpu(raw_smp_processor_id()) ?
				 time->now_ns :
				 READ_ONCE(current->stime);
	time->steal_ns = this_cpu_read(kernel_cpustat.cpustat[CPUTIME_STEAL]);
}

void *ekho_helper_alloc_percpu(size_t size, size_t align)
{
	return (void *)(__force unsigned long)__alloc_percpu(size, align);
}

void ekho_helper_free_percpu(void *ptr)
{
	free_percpu((void __percpu *)(__force unsigned long)ptr);
}

/*
 * The object of this CPU, on which the task stays until
 * ekho_helper_leave_cpu(); with preemption off.
 */
void *ekho_helper_stay_on_cpu(void *ptr)
{
	migrate_disable();
	return get_cpu_ptr((void __percpu *)(__force unsigned long)ptr);
}

/* With preemption on again. */
void ekho_helper_leave_cpu(void)
{
	preempt_enable();
	migrate_enable();
}

void ekho_helper_preempt_disable(void)
{
	preempt_disable();
}

void ekho_helper_preempt_enable(void)
{
	preempt_enable();
}

unsigned long ekho_helper_local_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

void ekho_helper_local_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

struct ekho_interrupt {
	struct irq_work work;
	void (*function)(void *data);
	void *data;
};

static void ekho_interrupt_run(struct irq_work *work)
{
	struct ekho_interrupt *interrupt =
		container_of(work, struct ekho_interrupt, work);

	interrupt->function(interrupt->data);
}

/* Calls the function in a hardirq of this CPU, unless interrupts are off. */
void ekho_helper_call_in_interrupt(void (*function)(void *data), void *data)
{
	struct ekho_interrupt interrupt = {
		.work = IRQ_WORK_INIT_HARD(ekho_interrupt_run),
		.function = function,
		.data = data,
	};

	if (irqs_disabled())
		return;
	irq_work_queue(&interrupt.work);
	while (irq_work_is_busy(&interrupt.work))
		cpu_relax();
}

/*
 * The current task, and in the low bits, which its address hasn't got, whether
 * it was interrupted: by 1 a softirq, 2 a hardirq, 3 an NMI.
 */
unsigned long ekho_helper_path_of_execution(void)
{
	unsigned long level = in_nmi()		    ? 3 :
			      in_hardirq()	    ? 2 :
			      in_serving_softirq() ? 1 :
						     0;

	BUILD_BUG_ON(__alignof__(struct task_struct) <= 3);
	return (unsigned long)current | level;
}

/* Tells the device's namespace of a change; the variables end in NULL. */
int ekho_helper_dev_uevent(struct net_device *dev, char **variables)
{
	return kobject_uevent_env(&dev->dev.kobj, KOBJ_CHANGE, variables);
}

/*
 * The actions of a filter that has no rule, as one. The inverse is
 * ekho_helper_rule_free().
 */
struct flow_rule *ekho_helper_rule_of_exts(const struct tcf_exts *exts,
					   struct netlink_ext_ack *extack)
{
	struct flow_rule *rule;
	int err;

	rule = flow_rule_alloc(tcf_exts_num_actions((struct tcf_exts *)exts));
	if (!rule)
		return ERR_PTR(-ENOMEM);
	err = tc_setup_offload_action(&rule->action, exts, extack);
	if (err) {
		kfree(rule);
		return ERR_PTR(err);
	}
	return rule;
}

void ekho_helper_rule_free(struct flow_rule *rule)
{
	tc_cleanup_offload_action(&rule->action);
	kfree(rule);
}

/* The network namespace of the action that a TC_SETUP_ACT request is about. */
u32 ekho_helper_action_netns(unsigned long cookie)
{
	const struct tc_action *action = (const void *)cookie;

	return action->idrinfo->net->ns.inum;
}

/* Tells it from others that had the same address before. An odd number. */
unsigned long ekho_helper_action_id(unsigned long cookie)
{
	const struct tc_action *action = (const void *)cookie;

	return action->tcfa_tm.install << 33 |
	       (unsigned long)action->tcfa_index << 1 | 1;
}

/*
 * Adds a callback to the flowtable that a ct action brings. The callback keeps
 * the table until ekho_helper_flowtable_del_cb().
 *
 * The table is that of the action when the rule was made. An action that has
 * been given another zone since may have let go of it: -EBUSY.
 */
int ekho_helper_ct_add_cb(const struct flow_action_entry *entry,
			  flow_setup_cb_t *cb, void *cb_priv)
{
#if IS_ENABLED(CONFIG_NET_ACT_CT)
	const struct tcf_ct *ct = to_ct((void *)entry->cookie);
	struct nf_flowtable *table = entry->ct.flow_table;
	const struct tcf_ct_params *params;
	int err;

	/* What the action refers to by its parameters stays while they do. */
	rcu_read_lock();
	params = rcu_dereference(ct->params);
	if (!params || params->nf_ft != table) {
		rcu_read_unlock();
		return -EBUSY;
	}
	table->type->get(table);
	rcu_read_unlock();

	err = nf_flow_table_offload_add_cb(table, cb, cb_priv);
	table->type->put(table);
	return err;
#else
	return -EOPNOTSUPP;
#endif
}

/* Waits for callbacks that run. */
void ekho_helper_flowtable_del_cb(struct nf_flowtable *table,
				  flow_setup_cb_t *cb, void *cb_priv)
{
	nf_flow_table_offload_del_cb(table, cb, cb_priv);
}

/* Where a request about a qdisc that must be offloaded can be given a reason. */
struct netlink_ext_ack *ekho_helper_qdisc_extack(enum tc_setup_type type,
						 void *data)
{
	switch (type) {
	case TC_SETUP_QDISC_MQPRIO: {
		struct tc_mqprio_qopt_offload *mqprio = data;

		return mqprio->extack;
	}
	case TC_SETUP_QDISC_TAPRIO: {
		struct tc_taprio_qopt_offload *taprio = data;

		return taprio->cmd == TAPRIO_CMD_REPLACE ? taprio->extack : NULL;
	}
	case TC_SETUP_QDISC_HTB: {
		struct tc_htb_qopt_offload *htb = data;

		return htb->extack;
	}
	default:
		return NULL;
	}
}

/*
 * The kernel leaves it to drivers to map the traffic classes of mqprio, with
 * hw 1, to queues. Under RTNL.
 */
void ekho_helper_mqprio_map(struct net_device *dev,
			    struct tc_mqprio_qopt_offload *mqprio)
{
	struct tc_mqprio_qopt *qopt = &mqprio->qopt;
	int tc;

	if (!qopt->num_tc) {
		netdev_reset_tc(dev);
		return;
	}
	netdev_set_num_tc(dev, qopt->num_tc);
	for (tc = 0; tc < qopt->num_tc; tc++)
		netdev_set_tc_queue(dev, tc, qopt->count[tc], qopt->offset[tc]);
	qopt->hw = TC_MQPRIO_HW_OFFLOAD_TCS;
}

/*
 * Whether htb can have the queue that it was given for a class. A new class must
 * get one that has no qdisc, which neither it nor another has. When htb asks
 * which queue a class has, as the class gets another qdisc, the queue's qdisc
 * must be that of the class. Under RTNL.
 */
bool ekho_helper_htb_queue_ok(struct net_device *dev,
			      struct tc_htb_qopt_offload *htb)
{
	struct netdev_queue *queue;
	struct Qdisc *qdisc;

	if (htb->command != TC_HTB_LEAF_ALLOC_QUEUE &&
	    htb->command != TC_HTB_LEAF_QUERY_QUEUE)
		return true;
	if (htb->qid >= dev->num_tx_queues)
		return false;
	queue = netdev_get_tx_queue(dev, htb->qid);
	qdisc = rtnl_dereference(queue->qdisc_sleeping);
	if (htb->command == TC_HTB_LEAF_ALLOC_QUEUE)
		return qdisc->flags & TCQ_F_BUILTIN;
	return !(qdisc->flags & TCQ_F_BUILTIN) &&
	       TC_H_MIN(qdisc->parent) == htb->classid;
}

/* What the STATS commands of qdiscs share. */
void ekho_helper_qdisc_add_stats(enum tc_setup_type type, void *data, u64 bytes,
				 u64 packets, u32 drops, u32 overlimits)
{
	struct tc_qopt_offload_stats *stats = NULL;

	switch (type) {
	case TC_SETUP_QDISC_RED: {
		struct tc_red_qopt_offload *red = data;

		if (red->command == TC_RED_STATS)
			stats = &red->stats;
		break;
	}
	case TC_SETUP_QDISC_PRIO: {
		struct tc_prio_qopt_offload *prio = data;

		if (prio->command == TC_PRIO_STATS)
			stats = &prio->stats;
		break;
	}
	case TC_SETUP_QDISC_ETS: {
		struct tc_ets_qopt_offload *ets = data;

		if (ets->command == TC_ETS_STATS)
			stats = &ets->stats;
		break;
	}
	case TC_SETUP_QDISC_TBF: {
		struct tc_tbf_qopt_offload *tbf = data;

		if (tbf->command == TC_TBF_STATS)
			stats = &tbf->stats;
		break;
	}
	case TC_SETUP_QDISC_FIFO: {
		struct tc_fifo_qopt_offload *fifo = data;

		if (fifo->command == TC_FIFO_STATS)
			stats = &fifo->stats;
		break;
	}
	case TC_SETUP_QDISC_MQ: {
		struct tc_mq_qopt_offload *mq = data;

		if (mq->command == TC_MQ_STATS)
			stats = &mq->stats;
		break;
	}
	default:
		break;
	}
	if (!stats)
		return;
	_bstats_update(stats->bstats, bytes, packets);
	stats->qstats->drops += drops;
	stats->qstats->overlimits += overlimits;
}

/* What generic netlink has in its headers: abstractions/net/genetlink/. */
struct net *ekho_helper_genl_info_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

bool ekho_helper_genl_has_listeners(const struct genl_family *family,
				    struct net *net, unsigned int group)
{
	return genl_has_listeners(family, net, group);
}

int ekho_helper_genl_multicast(const struct genl_family *family,
			       struct net *net, struct sk_buff *skb,
			       unsigned int group)
{
	return genlmsg_multicast_netns(family, net, skb, 0, group, GFP_KERNEL);
}

struct sk_buff *ekho_helper_genlmsg_new(size_t least)
{
	return genlmsg_new(max_t(size_t, least, GENLMSG_DEFAULT_SIZE),
			   GFP_KERNEL);
}

int ekho_helper_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

void ekho_helper_genlmsg_end(struct sk_buff *skb, void *header)
{
	genlmsg_end(skb, header);
}

void ekho_helper_genlmsg_cancel(struct sk_buff *skb, void *header)
{
	genlmsg_cancel(skb, header);
}

void ekho_helper_nlmsg_free(struct sk_buff *skb)
{
	nlmsg_free(skb);
}

/* Room for the payload of an attribute; NULL if there is none. */
void *ekho_helper_nla_reserve(struct sk_buff *skb, int attribute, int len)
{
	struct nlattr *attr = nla_reserve(skb, attribute, len);

	return attr ? nla_data(attr) : NULL;
}

struct nlattr *ekho_helper_nla_nest_start(struct sk_buff *skb, int attribute)
{
	return nla_nest_start(skb, attribute);
}

int ekho_helper_nla_nest_end(struct sk_buff *skb, struct nlattr *start)
{
	return nla_nest_end_safe(skb, start);
}

void ekho_helper_nla_nest_cancel(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_cancel(skb, start);
}

/* Whether the module's initialisation has succeeded, and its exit not begun. */
bool ekho_helper_module_is_live(void)
{
	return READ_ONCE(THIS_MODULE->state) == MODULE_STATE_LIVE;
}

u64 ekho_helper_net_cookie(const struct net *net)
{
	return net->net_cookie;
}

bool ekho_helper_net_is_initial(const struct net *net)
{
	return net_eq(net, &init_net);
}

/* A kernel without CONFIG_NET_NS has this inline. */
struct net *ekho_helper_get_net_ns_by_fd(int fd)
{
	return get_net_ns_by_fd(fd);
}

void ekho_helper_put_net(struct net *net)
{
	put_net(net);
}

/* Of opener and sender, in the user namespace that owns the network namespace. */
bool ekho_helper_netlink_ns_capable(const struct sk_buff *skb,
				    const struct net *net, int cap)
{
	return netlink_ns_capable(skb, net->user_ns, cap);
}

u64 ekho_helper_dev_netns_cookie(const struct net_device *dev)
{
	u64 cookie;

	/* As for ekho_helper_dev_netns(). */
	rcu_read_lock();
	cookie = dev_net_rcu(dev)->net_cookie;
	rcu_read_unlock();
	return cookie;
}

/* The caller sees to it that the device stays in its namespace. */
struct net *ekho_helper_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}
