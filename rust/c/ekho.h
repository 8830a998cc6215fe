/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What C gives to Rust and Rust to C inside the module.
 *
 * C is here for two reasons only: things that must be in the module's BTF
 * (bpf.c, trace.c), and static inlines or macros of the kernel that bindgen
 * can't reach (helpers.c). It holds no state and makes no decision.
 */
#ifndef EKHO_H
#define EKHO_H

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/netdevice.h>
#include <linux/ptr_ring.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <net/flow_dissector.h>
#include <net/flow_offload.h>
#include <net/genetlink.h>
#include <net/pkt_cls.h>
#include <net/pkt_sched.h>
#include <net/sch_generic.h>

#include "abi.h"
#include "ops.h"

/**
 * struct ekho_replace_call - a call of replace() or template_create()
 * @ctx: the argument, which is all that firmware sees of it
 * @actions: room for a record of each action of the rule: firmware is given
 *	pointers into it, and can't write there
 * @encoding: the encoded rule, with zeros behind it
 * @encoding_room: bytes of both
 * @insertable: 0 if the rule can be inserted into the device's tables, -ENOENT
 *	if the firmware has none, or another errno
 * @insert_reason: why not, EKHO_REASON_MAX bytes; NULL if there is no reason
 * @inserted: whether the firmware had it inserted
 */
struct ekho_replace_call {
	struct ekho_replace_ctx ctx;
	struct ekho_action *actions;
	const u8 *encoding;
	u32 encoding_room;
	int insertable;
	const u8 *insert_reason;
	bool inserted;
};

/**
 * struct ekho_stats_call - a call of stats()
 * @ctx: the argument, which is all that firmware sees of it
 * @map: id of the map that the totals in it are of, 0 for none
 */
struct ekho_stats_call {
	struct ekho_stats_ctx ctx;
	u32 map;
};

/* bpf.c */
extern struct bpf_flow_offload_ops ekho_cfi_stubs;
extern const struct bpf_verifier_ops ekho_verifier_ops;
int ekho_register_struct_ops(struct bpf_struct_ops *st_ops);
int ekho_register_kfuncs(struct module *owner);

/* Implemented in Rust (contract/kfuncs.rs). */
int ekho_kfunc_set_stats(struct ekho_stats_ctx *ctx, u32 map, u64 packets,
			 u64 bytes, u64 drops, u64 last_used_ns);
int ekho_kfunc_add_stats(struct ekho_stats_ctx *ctx, u64 packets, u64 bytes,
			 u64 drops, u64 last_used_ns);
int ekho_kfunc_set_reason(struct ekho_replace_ctx *ctx, const char *reason,
			  u32 len);
int ekho_kfunc_get_match(struct ekho_replace_ctx *ctx, u32 key_id, void *match,
			 u32 len);
struct ekho_action *ekho_kfunc_action(const struct ekho_replace_ctx *ctx,
				      u64 n);
const u8 *ekho_kfunc_encoding(const struct ekho_replace_ctx *ctx, size_t size);
int ekho_kfunc_insert(struct ekho_replace_ctx *ctx);

/* helpers.c */
struct ekho_cookie_node {
	struct rhash_head head;
	unsigned long cookie;
};

int ekho_helper_cookie_table_init(struct rhashtable *table);
struct ekho_cookie_node *
ekho_helper_cookie_table_lookup(struct rhashtable *table, unsigned long cookie);
int ekho_helper_cookie_table_insert(struct rhashtable *table,
				    struct ekho_cookie_node *node);
int ekho_helper_cookie_table_remove(struct rhashtable *table,
				    struct ekho_cookie_node *node);

struct ekho_keyed_node {
	struct rhlist_head head;
	unsigned long key;
};

int ekho_helper_keyed_table_init(struct rhltable *table);
struct ekho_keyed_node *
ekho_helper_keyed_table_lookup(struct rhltable *table, unsigned long key);
struct ekho_keyed_node *
ekho_helper_keyed_table_next(const struct ekho_keyed_node *node);
int ekho_helper_keyed_table_insert(struct rhltable *table,
				   struct ekho_keyed_node *node);
int ekho_helper_keyed_table_remove(struct rhltable *table,
				   struct ekho_keyed_node *node);
void ekho_helper_keyed_table_destroy(struct rhltable *table,
				     void (*free)(void *node, void *arg));
u32 ekho_helper_hsiphash(const u64 *words, size_t n, u64 key0, u64 key1);
u64 ekho_helper_coarse_time_ns(void);

int ekho_helper_action_control(unsigned long action);
bool ekho_helper_gact_is_random(unsigned long action);
bool ekho_helper_pedit_is_computed(unsigned long action);
bool ekho_helper_vlan_has_prio(unsigned long action);

/**
 * struct ekho_rate - how long a packet takes at a rate: struct psched_ratecfg
 * @mult: nanoseconds for each byte, shifted to the left
 * @shift: by so much
 * @atm: whether it is sent in cells of ATM
 * @overhead: bytes that each packet has in addition
 * @mpu: bytes that each packet has at least
 */
struct ekho_rate {
	u32 mult;
	u8 shift;
	bool atm;
	u16 overhead;
	u32 mpu;
};

/**
 * struct ekho_police - an action of police, and what it has left of its tokens
 * @params: tells its parameters from those that it had before
 * @exceed: what becomes of a packet that is beyond the limits: TC_ACT_*
 * @conform: of one that isn't
 * @has_average: whether it is limited by an estimated rate
 * @has_rate: whether it is limited by @rate
 * @has_peak: by @peak as well
 * @has_packets: by packets, without regard to their length
 * @mtu: bytes of a packet at the most
 * @rate: of bytes
 * @peak: of bytes in the short run
 * @packets: of packets, each of which counts as one byte
 * @burst: nanoseconds of @rate that can be saved
 * @mtu_tokens: of @peak
 * @packet_burst: of @packets
 * @tokens: nanoseconds of @rate that are left
 * @peak_tokens: of @peak
 * @packet_tokens: of @packets
 * @filled_ns: when that was so, in CLOCK_MONOTONIC
 */
struct ekho_police {
	unsigned long params;
	int exceed;
	int conform;
	bool has_average;
	bool has_rate;
	bool has_peak;
	bool has_packets;
	u32 mtu;
	struct ekho_rate rate;
	struct ekho_rate peak;
	struct ekho_rate packets;
	s64 burst;
	s64 mtu_tokens;
	s64 packet_burst;
	s64 tokens;
	s64 peak_tokens;
	s64 packet_tokens;
	s64 filled_ns;
};

void ekho_helper_police(unsigned long action, struct ekho_police *police);

void ekho_helper_rhashtable_walk_start(struct rhashtable_iter *iter);
void ekho_helper_rhashtable_walk_pause(struct rhashtable_iter *iter);

struct kmem_cache *ekho_helper_slab_create(const char *name, unsigned int size,
					   unsigned int align);
void *ekho_helper_slab_alloc(struct kmem_cache *cache);

u32 ekho_helper_btf_member_offset(const struct btf_type *type,
				  const struct btf_member *member);

u32 ekho_helper_link_map_id(const struct bpf_link *link);
void ekho_helper_dev_hold(struct net_device *dev);
void ekho_helper_dev_put(struct net_device *dev);
u32 ekho_helper_dev_netns(const struct net_device *dev);
struct net *ekho_helper_current_net(void);
bool ekho_helper_dev_net_admin(const struct net_device *dev);
void ekho_helper_dev_hw_addr_random(struct net_device *dev);
void ekho_helper_dev_net_set(struct net_device *dev, struct net *net);
void ekho_helper_synchronize_rcu_tasks(void);
void *ekho_helper_netdev_priv(const struct net_device *dev);
bool ekho_helper_netif_running(const struct net_device *dev);
int ekho_helper_nla_len(const struct nlattr *nla);
const void *ekho_helper_nla_data(const struct nlattr *nla);
bool ekho_helper_is_valid_ether_addr(const u8 *addr);
void ekho_helper_dev_lockdep_set_classes(struct net_device *dev);
void ekho_helper_dev_dstats_tx(struct net_device *dev, unsigned int len);
void ekho_helper_dev_dstats_tx_dropped(struct net_device *dev);
void ekho_helper_dev_dstats_rx_dropped(struct net_device *dev);
void ekho_helper_dev_dstats_rx(struct net_device *dev, unsigned long packets,
			       unsigned long bytes);
bool ekho_helper_netif_carrier_ok(const struct net_device *dev);
void ekho_helper_consume_skb(struct sk_buff *skb);
void ekho_helper_kfree_skb(struct sk_buff *skb);
bool ekho_helper_skb_is_gso(const struct sk_buff *skb);
void ekho_helper_skb_orphan(struct sk_buff *skb);
int ekho_helper_skb_detach(struct sk_buff *skb);
struct sk_buff *ekho_helper_validate_xmit(struct sk_buff *skb,
					  struct net_device *dev);
struct sk_buff *ekho_helper_skb_unlink(struct sk_buff *skb);
int ekho_helper_transmit(struct sk_buff *skb, struct net_device *dev);

void *ekho_helper_rx_handler_data(const struct sk_buff *skb);
bool ekho_helper_rx_handler_fits(const struct net_device *dev);
bool ekho_helper_dev_has_master(struct net_device *dev);
bool ekho_helper_dev_is_upper(struct net_device *dev, struct net_device *upper);
bool ekho_helper_rx_handler_wants(const struct sk_buff *skb);
struct sk_buff *ekho_helper_rx_handler_frame(struct sk_buff *skb);

void ekho_helper_local_bh_disable(void);
void ekho_helper_local_bh_enable(void);

int ekho_helper_skb_ring_init(struct ptr_ring *ring, int size);
void ekho_helper_skb_ring_cleanup(struct ptr_ring *ring);
bool ekho_helper_skb_ring_produce(struct ptr_ring *ring, void *entry);
int ekho_helper_skb_ring_consume(struct ptr_ring *ring, void **entries, int n);
bool ekho_helper_skb_ring_empty(struct ptr_ring *ring);

void ekho_helper_napi_add(struct net_device *dev, struct napi_struct *napi,
			  int (*poll)(struct napi_struct *napi, int budget),
			  int index);
void ekho_helper_napi_del(struct napi_struct *napi);
void ekho_helper_list_init(struct list_head *list);
bool ekho_helper_skb_receive(struct sk_buff *skb, struct napi_struct *napi, u16 queue);
void ekho_helper_skb_mark_napi(struct sk_buff *skb, struct napi_struct *napi);
void ekho_helper_skb_list_add(struct list_head *list, struct sk_buff *skb);
bool ekho_helper_skb_unclone(struct sk_buff *skb);
void ekho_helper_receive_list(struct list_head *list);
bool ekho_helper_gro_pending(const struct napi_struct *napi);
void ekho_helper_gro_receive(struct napi_struct *napi, struct sk_buff *skb);

void ekho_helper_skb_tx_timestamp(struct sk_buff *skb);
struct net_device *ekho_helper_notifier_dev(const void *info);
int ekho_helper_notifier_from_errno(int err);

struct workqueue_struct *ekho_helper_alloc_workqueue(const char *name);

void ekho_helper_block_cb_add(struct flow_block_cb *block_cb,
			      struct flow_block_offload *bo);
void ekho_helper_block_cb_remove(struct flow_block_cb *block_cb,
				 struct flow_block_offload *bo, bool indirect);
void ekho_helper_flowtable_lock(struct flow_block *block);
void ekho_helper_flowtable_unlock(struct flow_block *block);
void ekho_helper_block_cb_add_last(struct flow_block_cb *block_cb,
				   struct flow_block *block);
void ekho_helper_block_cb_unlink(struct flow_block_cb *block_cb);
void ekho_helper_block_cb_hand_back(struct flow_block_cb *block_cb,
				    struct flow_block_offload *bo);
struct flow_block_cb *ekho_helper_block_cb_next(struct flow_block *block,
						struct flow_block_cb *block_cb);
bool ekho_helper_nft_get(void);
void ekho_helper_nft_put(void);
struct nftables_pernet *
ekho_helper_nft_ruleset(const struct flow_block_offload *bo);
void ekho_helper_nft_lock(struct nftables_pernet *ruleset);
void ekho_helper_nft_unlock(struct nftables_pernet *ruleset);
bool ekho_helper_nft_has_chain(struct nftables_pernet *ruleset,
			       const struct flow_block *block);
bool ekho_helper_nft_has_hook(const struct flow_block *block,
			      const struct net_device *dev);
bool ekho_helper_nft_chain_is_active(const struct net *net,
				     const struct flow_block *block);
bool ekho_helper_nft_rule_is_active(const struct net *net, unsigned long cookie);
s64 ekho_helper_tai_ns(void);
s64 ekho_helper_timespec64_to_ns(const struct timespec64 *time);
struct tcf_block *ekho_helper_tcf_block(struct flow_block *block);
struct flow_rule *ekho_helper_rule_of_exts(const struct tcf_exts *exts,
					   struct netlink_ext_ack *extack);
void ekho_helper_rule_free(struct flow_rule *rule);
u32 ekho_helper_action_netns(unsigned long cookie);
unsigned long ekho_helper_action_id(unsigned long cookie);
int ekho_helper_ct_add_cb(const struct flow_action_entry *entry,
			  flow_setup_cb_t *cb, void *cb_priv);
void ekho_helper_flowtable_del_cb(struct nf_flowtable *table,
				  flow_setup_cb_t *cb, void *cb_priv);
struct netlink_ext_ack *ekho_helper_qdisc_extack(enum tc_setup_type type,
						 void *data);
void ekho_helper_mqprio_map(struct net_device *dev,
			    struct tc_mqprio_qopt_offload *mqprio);
bool ekho_helper_htb_queue_ok(struct net_device *dev,
			      struct tc_htb_qopt_offload *htb);
void ekho_helper_qdisc_add_stats(enum tc_setup_type type, void *data, u64 bytes,
				 u64 packets, u32 drops, u32 overlimits);
u64 ekho_helper_ktime_to_jiffies(u64 ktime_ns);
u64 ekho_helper_ktime_ns(void);
s64 ekho_helper_time_ns(void);
u64 ekho_helper_ktime_age_ms(u64 ktime_ns);

u64 ekho_helper_clock(void);

struct ekho_task_time {
	u64 now_ns;
	u64 exec_start_ns;
	u64 runtime_ns;
	u64 ticks_ns;
	u64 steal_ns;
};

void ekho_helper_task_time(struct ekho_task_time *time);
void *ekho_helper_alloc_percpu(size_t size, size_t align);
void ekho_helper_free_percpu(void *ptr);
void *ekho_helper_stay_on_cpu(void *ptr);
void ekho_helper_leave_cpu(void);
void ekho_helper_preempt_disable(void);
void ekho_helper_preempt_enable(void);
unsigned long ekho_helper_path_of_execution(void);
unsigned long ekho_helper_local_irq_save(void);
void ekho_helper_local_irq_restore(unsigned long flags);
void ekho_helper_call_in_interrupt(void (*function)(void *data), void *data);
int ekho_helper_dev_uevent(struct net_device *dev, char **variables);

struct net *ekho_helper_genl_info_net(const struct genl_info *info);
bool ekho_helper_genl_has_listeners(const struct genl_family *family,
				    struct net *net, unsigned int group);
int ekho_helper_genl_multicast(const struct genl_family *family,
			       struct net *net, struct sk_buff *skb,
			       unsigned int group);
struct sk_buff *ekho_helper_genlmsg_new(size_t least);
int ekho_helper_genlmsg_reply(struct sk_buff *skb, struct genl_info *info);
void ekho_helper_genlmsg_end(struct sk_buff *skb, void *header);
void ekho_helper_genlmsg_cancel(struct sk_buff *skb, void *header);
void ekho_helper_nlmsg_free(struct sk_buff *skb);
void *ekho_helper_nla_reserve(struct sk_buff *skb, int attribute, int len);
struct nlattr *ekho_helper_nla_nest_start(struct sk_buff *skb, int attribute);
int ekho_helper_nla_nest_end(struct sk_buff *skb, struct nlattr *start);
void ekho_helper_nla_nest_cancel(struct sk_buff *skb, struct nlattr *start);
bool ekho_helper_module_is_live(void);
u64 ekho_helper_net_cookie(const struct net *net);
bool ekho_helper_net_is_initial(const struct net *net);
struct net *ekho_helper_get_net_ns_by_fd(int fd);
void ekho_helper_put_net(struct net *net);
bool ekho_helper_netlink_ns_capable(const struct sk_buff *skb,
				    const struct net *net, int cap);
u64 ekho_helper_dev_netns_cookie(const struct net_device *dev);
struct net *ekho_helper_dev_net(const struct net_device *dev);

/* packet.c */

/**
 * struct ekho_packet_key - what flower can match, but for tunnels and conntrack
 *
 * The names of the members are flower's.
 */
struct ekho_packet_key {
	struct flow_dissector_key_meta meta;
	struct flow_dissector_key_control control;
	struct flow_dissector_key_basic basic;
	struct flow_dissector_key_eth_addrs eth;
	struct flow_dissector_key_vlan vlan;
	struct flow_dissector_key_vlan cvlan;
	struct flow_dissector_key_ipv4_addrs ipv4;
	struct flow_dissector_key_ipv6_addrs ipv6;
	struct flow_dissector_key_ports tp;
	struct flow_dissector_key_icmp icmp;
	struct flow_dissector_key_arp arp;
	struct flow_dissector_key_mpls mpls;
	struct flow_dissector_key_tcp tcp;
	struct flow_dissector_key_ip ip;
	struct flow_dissector_key_ports_range tp_range;
	struct flow_dissector_key_num_of_vlans num_of_vlans;
	struct flow_dissector_key_pppoe pppoe;
	struct flow_dissector_key_l2tpv3 l2tpv3;
	struct flow_dissector_key_ipsec ipsec;
	struct flow_dissector_key_cfm cfm;
} __aligned(8);

/**
 * struct ekho_gso - the packets that a packet stands for
 * @type: SKB_GSO_* bits
 * @transport: offset of the innermost transport header in the data; INT_MIN if
 *	it isn't known
 * @size: bytes of payload in each; 0 if the packet is just one
 * @segs: how many there are
 */
struct ekho_gso {
	u32 type;
	int transport;
	u16 size;
	u16 segs;
};

bool ekho_helper_packet_may_pull(struct sk_buff *skb, unsigned int len);
bool ekho_helper_packet_cow(struct sk_buff *skb, unsigned int headroom);
unsigned int ekho_helper_packet_headroom(const struct sk_buff *skb);
int ekho_helper_packet_network_offset(const struct sk_buff *skb);
int ekho_helper_packet_mac_offset(const struct sk_buff *skb);
__be16 ekho_helper_packet_protocol(const struct sk_buff *skb);
__be16 ekho_helper_packet_inner_protocol(const struct sk_buff *skb);
bool ekho_helper_packet_has_tag(const struct sk_buff *skb);
bool ekho_helper_packet_is_tagged(const struct sk_buff *skb);
bool ekho_helper_packet_is_mpls(const struct sk_buff *skb);
bool ekho_helper_packet_is_ethernet(const struct sk_buff *skb);
struct sk_buff *ekho_helper_packet_clone(struct sk_buff *skb);
bool ekho_helper_packet_fits(const struct sk_buff *skb, unsigned int len,
			     bool at_ingress, unsigned int limit);
void ekho_helper_packet_gso(const struct sk_buff *skb, struct ekho_gso *gso);
void ekho_helper_packet_set_gso_segs(struct sk_buff *skb, u16 segs);
struct sk_buff *ekho_helper_packet_receive(struct sk_buff *skb,
					   struct net_device *dev);
bool ekho_helper_packet_is_received(const struct sk_buff *skb);
bool ekho_helper_packet_transmit(struct sk_buff *skb, struct net_device *dev);
bool ekho_helper_packet_push_mac(struct sk_buff *skb);
bool ekho_helper_packet_pull_mac(struct sk_buff *skb);
void ekho_helper_packet_reset_mac_len(struct sk_buff *skb);
bool ekho_helper_packet_hand_over(struct sk_buff *skb, struct net_device *dev,
				  bool from_ingress, bool to_ingress,
				  bool redirect);
bool ekho_helper_mirred_enter(struct net_device *dev);
void ekho_helper_mirred_leave(void);
void ekho_helper_packet_put_tag(struct sk_buff *skb, __be16 protocol, u16 tci);
int ekho_helper_packet_take_tag(struct sk_buff *skb, u16 *tci);
void ekho_helper_packet_skip(struct sk_buff *skb, unsigned int len);
void ekho_helper_packet_unskip(struct sk_buff *skb, unsigned int len);
void ekho_helper_packet_summed(struct sk_buff *skb);
void ekho_helper_packet_summed_crc(struct sk_buff *skb);
void ekho_helper_packet_set_priority(struct sk_buff *skb, u32 priority);
void ekho_helper_packet_set_mark(struct sk_buff *skb, u32 mark);
void ekho_helper_packet_set_type(struct sk_buff *skb, u16 type);
void ekho_helper_packet_set_queue(struct sk_buff *skb, u16 queue);

#endif /* EKHO_H */
