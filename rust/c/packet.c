// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets in a device's pipeline: abstractions/net/packet/mod.rs. What
 * static inlines and bit fields of the kernel demand.
 */
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/if_vlan.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/gso.h>
#include <net/mpls.h>

#include "ekho.h"

bool ekho_helper_packet_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

bool ekho_helper_packet_cow(struct sk_buff *skb, unsigned int headroom)
{
	return !skb_cow(skb, headroom);
}

unsigned int ekho_helper_packet_headroom(const struct sk_buff *skb)
{
	return skb_headroom(skb);
}

int ekho_helper_packet_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

int ekho_helper_packet_mac_offset(const struct sk_buff *skb)
{
	return skb_mac_offset(skb);
}

__be16 ekho_helper_packet_protocol(const struct sk_buff *skb)
{
	return skb_protocol(skb, false);
}

/* The protocol behind a tag that is out of line. */
__be16 ekho_helper_packet_inner_protocol(const struct sk_buff *skb)
{
	return skb->protocol;
}

bool ekho_helper_packet_has_tag(const struct sk_buff *skb)
{
	return skb_vlan_tag_present(skb);
}

bool ekho_helper_packet_is_tagged(const struct sk_buff *skb)
{
	return skb_vlan_tagged(skb);
}

bool ekho_helper_packet_is_mpls(const struct sk_buff *skb)
{
	return eth_p_mpls(skb_protocol(skb, true));
}

bool ekho_helper_packet_is_ethernet(const struct sk_buff *skb)
{
	return skb->dev && skb->dev->type == ARPHRD_ETHER;
}

struct sk_buff *ekho_helper_packet_clone(struct sk_buff *skb)
{
	return skb_clone(skb, GFP_ATOMIC);
}

/*
 * Whether a packet that counts @len bytes, or each one that it stands for, is
 * within an MTU, as act_police has it.
 */
bool ekho_helper_packet_fits(const struct sk_buff *skb, unsigned int len,
			     bool at_ingress, unsigned int limit)
{
	if (skb_is_gso(skb))
		return skb_gso_validate_mac_len(skb, limit);
	return len + (at_ingress ? skb->mac_len : 0) <= limit;
}

void ekho_helper_packet_gso(const struct sk_buff *skb, struct ekho_gso *gso)
{
	const struct skb_shared_info *info = skb_shinfo(skb);

	gso->type = info->gso_type;
	gso->size = info->gso_size;
	gso->segs = info->gso_segs;
	if (skb->encapsulation)
		gso->transport = skb_inner_transport_offset(skb);
	else if (skb_transport_header_was_set(skb))
		gso->transport = skb_transport_offset(skb);
	else
		gso->transport = INT_MIN;
}

void ekho_helper_packet_set_gso_segs(struct sk_buff *skb, u16 segs)
{
	skb_shinfo(skb)->gso_segs = segs;
}

/*
 * The state in which __netif_receive_skb_core() hands a packet to classifiers.
 * Its MAC header is set. NULL if it was lost.
 */
struct sk_buff *ekho_helper_packet_receive(struct sk_buff *skb,
					   struct net_device *dev)
{
	skb->dev = dev;
	skb_reset_network_header(skb);
	if (!skb_transport_header_was_set(skb))
		skb_reset_transport_header(skb);
	skb_reset_mac_len(skb);
	skb->skb_iif = dev->ifindex;
	return eth_type_vlan(skb->protocol) ? skb_vlan_untag(skb) : skb;
}

/* Whether the packet is one behind its MAC header, which it remembers. */
bool ekho_helper_packet_is_received(const struct sk_buff *skb)
{
	return skb_mac_header_was_set(skb) &&
	       skb_mac_header(skb) <= skb->data;
}

/* The state in which __dev_queue_xmit() hands a frame to classifiers. */
bool ekho_helper_packet_transmit(struct sk_buff *skb, struct net_device *dev)
{
	if (!pskb_may_pull(skb, ETH_HLEN))
		return false;
	skb->dev = dev;
	skb_reset_mac_header(skb);
	if (skb_network_offset(skb) < 0 || skb_network_offset(skb) > skb->len)
		skb_set_network_header(skb, ETH_HLEN);
	return true;
}

/* Has the data begin at the MAC header, which is in front of it. */
bool ekho_helper_packet_push_mac(struct sk_buff *skb)
{
	int len = -skb_mac_offset(skb);

	if (len < 0 || len > skb_headroom(skb))
		return false;
	skb_push_rcsum(skb, len);
	return true;
}

/* Has the data begin behind the MAC header, with which it begins now. */
bool ekho_helper_packet_pull_mac(struct sk_buff *skb)
{
	if (!pskb_may_pull(skb, skb->mac_len))
		return false;
	skb_pull_rcsum(skb, skb->mac_len);
	return true;
}

void ekho_helper_packet_reset_mac_len(struct sk_buff *skb)
{
	skb_reset_mac_len(skb);
}

/*
 * What act_mirred does to a packet that it hands to another device. It isn't a
 * redirection but a mirroring if @redirect is false.
 */
bool ekho_helper_packet_hand_over(struct sk_buff *skb, struct net_device *dev,
				  bool from_ingress, bool to_ingress,
				  bool redirect)
{
	bool at_network = skb->data == skb_network_header(skb);
	bool to_network = to_ingress || !dev_is_mac_header_xmit(dev);
	int len = from_ingress ? skb->mac_len : skb_network_offset(skb);

	/* It has two bits. */
	if (to_ingress && skb->tc_depth >= 3)
		return false;
	nf_reset_ct(skb);
	if (to_ingress && !from_ingress)
		skb_dst_drop(skb);
	if (at_network && !to_network) {
		if (len < 0 || len > skb_headroom(skb))
			return false;
		skb_push_rcsum(skb, len);
	} else if (to_network && !at_network) {
		if (len < 0 || !pskb_may_pull(skb, len))
			return false;
		skb_pull_rcsum(skb, len);
	}
	skb->skb_iif = skb->dev->ifindex;
	skb->dev = dev;
	if (redirect)
		skb_set_redirected(skb, from_ingress);
	if (to_ingress)
		skb->tc_depth++;
	else
		skb_reset_mac_header(skb);
	return true;
}

#if IS_ENABLED(CONFIG_NET_ACT_MIRRED)
static struct netdev_xmit *ekho_xmit(void)
{
#ifdef CONFIG_PREEMPT_RT
	return &current->net_xmit;
#else
	return this_cpu_ptr(&softnet_data.xmit);
#endif
}
#endif

/* Counted together with what act_mirred sends on this CPU. Bottom halves off. */
bool ekho_helper_mirred_enter(struct net_device *dev)
{
#if IS_ENABLED(CONFIG_NET_ACT_MIRRED)
	struct netdev_xmit *xmit = ekho_xmit();

	if (xmit->sched_mirred_nest >= MIRRED_NEST_LIMIT)
		return false;
	for (int i = 0; i < xmit->sched_mirred_nest; i++)
		if (xmit->sched_mirred_dev[i] == dev)
			return false;
	xmit->sched_mirred_dev[xmit->sched_mirred_nest++] = dev;
#endif
	return true;
}

void ekho_helper_mirred_leave(void)
{
#if IS_ENABLED(CONFIG_NET_ACT_MIRRED)
	ekho_xmit()->sched_mirred_nest--;
#endif
}

void ekho_helper_packet_put_tag(struct sk_buff *skb, __be16 protocol, u16 tci)
{
	__vlan_hwaccel_put_tag(skb, protocol, tci);
}

/* Takes the outer tag of a packet that has one, with data at the MAC header. */
int ekho_helper_packet_take_tag(struct sk_buff *skb, u16 *tci)
{
	if (!skb_vlan_tag_present(skb))
		return __skb_vlan_pop(skb, tci);
	*tci = skb_vlan_tag_get(skb);
	__vlan_hwaccel_clear_tag(skb);
	return 0;
}

/* Skips @len bytes of tags, which have been pulled. */
void ekho_helper_packet_skip(struct sk_buff *skb, unsigned int len)
{
	skb_pull(skb, len);
	skb_reset_network_header(skb);
}

void ekho_helper_packet_unskip(struct sk_buff *skb, unsigned int len)
{
	skb_push(skb, len);
	skb_reset_network_header(skb);
}

void ekho_helper_packet_summed(struct sk_buff *skb)
{
	skb->ip_summed = CHECKSUM_NONE;
}

void ekho_helper_packet_summed_crc(struct sk_buff *skb)
{
	skb_reset_csum_not_inet(skb);
}

void ekho_helper_packet_set_priority(struct sk_buff *skb, u32 priority)
{
	skb->priority = priority;
}

void ekho_helper_packet_set_mark(struct sk_buff *skb, u32 mark)
{
	skb->mark = mark;
}

void ekho_helper_packet_set_type(struct sk_buff *skb, u16 type)
{
	skb->pkt_type = type;
}

void ekho_helper_packet_set_queue(struct sk_buff *skb, u16 queue)
{
	if (skb->dev->real_num_tx_queues > queue)
		skb_set_queue_mapping(skb, queue);
}
