// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one that takes everything and writes down what it was asked for, as
 * its own reading of the kernel's typed structures. See log.h; a line is
 *
 *	OP IDENTITY | MATCH | ACTIONS
 *
 *	IDENTITY	chain=0 prio=1 protocol=800 cls=flower hooks=1 block=0
 *			skip_sw=1 classid=0
 *	MATCH		KEY{FIELD=VALUE/MASK ...} ...; a field is there if key or
 *			mask isn't zero. "-KEY" if ctx->keys denies the key
 *	ACTIONS		NAME FIELD=VALUE ... hw_stats=BITS; ...
 *
 * Numbers of a match are hexadecimal, those of actions decimal. brief.bpf.c is
 * the same with less to say, and faster to load.
 */
#include "ekho.bpf.h"
#include "log.h"

#define HW_STATS_ANY (EKHO_HW_STATS_IMMEDIATE | EKHO_HW_STATS_DELAYED)

/* Indexes that tests choose; the kernel counts from 1. */
#define INDEX_CHOSEN 1000

static const char classifiers[][12] = {
	[EKHO_CLS_FLOWER] = "flower",
	[EKHO_CLS_MATCHALL] = "matchall",
	[EKHO_CLS_U32] = "u32",
	[EKHO_CLS_NFT] = "nft",
	[EKHO_CLS_FLOWTABLE] = "flowtable",
	[EKHO_CLS_ACTION] = "action",
};

static __always_inline void identity(struct log_line *line, const char *op,
				     struct ekho_flow *flow)
{
	__u32 classifier = flow->classifier;

	if (classifier >= sizeof(classifiers) / sizeof(classifiers[0]))
		classifier = 0;
	say(line, "%s dev=%u chain=%u prio=%u protocol=%x cls=%s ", op,
	    flow->ifindex, flow->chain_index, flow->prio, flow->protocol,
	    classifiers[classifier]);
	say(line, "hooks=%u block=%u skip_sw=%u", flow->hooks,
	    flow->block_index, flow->skip_sw);
}

/* ------------------------------------------------------------- the match -- */

#ifndef BRIEF

/* The structures of a key, of any key, and of its mask. */
struct scratch {
	EKHO_MATCH(enc_opts) opts;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#define KEY(id, type, fields...)                                   \
	do {                                                       \
		EKHO_MATCH(type) m;                                \
		bool listed = ctx->keys & (1ULL << EKHO_KEY_##id); \
		if (ekho_match(ctx, id, &m) || listed) {           \
			__u32 from = line->len, to;                \
			if (!listed)                               \
				say(line, "-");                    \
			say(line, #id "{");                        \
			to = line->len;                            \
			fields;                                    \
			/* Some keys are in every rule. */         \
			if (line->len == to && !listed)            \
				line->len = from;                  \
			else                                       \
				say(line, "} ");                   \
		}                                                  \
	} while (0)

#define IS_SET(field) (m.key.field || m.mask.field)
#define FIELD(name, field)                                                    \
	do {                                                                  \
		if (IS_SET(field))                                            \
			say(line, name "=%x/%x ", m.key.field, m.mask.field); \
	} while (0)
#define FIELD16(name, field)                                              \
	do {                                                              \
		if (IS_SET(field))                                        \
			say(line, name "=%x/%x ", bpf_ntohs(m.key.field), \
			    bpf_ntohs(m.mask.field));                     \
	} while (0)
#define FIELD32(name, field)                                              \
	do {                                                              \
		if (IS_SET(field))                                        \
			say(line, name "=%x/%x ", bpf_ntohl(m.key.field), \
			    bpf_ntohl(m.mask.field));                     \
	} while (0)
#define FIELD_IP4(name, field)                                      \
	do {                                                        \
		if (IS_SET(field))                                  \
			say(line, name "=%pI4/%pI4 ", &m.key.field, \
			    &m.mask.field);                         \
	} while (0)
#define IP6_WORDS(x, i) x.in6_u.u6_addr32[i]
#define FIELD_IP6(name, field)                                      \
	do {                                                        \
		if (IS_SET(IP6_WORDS(field, 0)) ||                  \
		    IS_SET(IP6_WORDS(field, 1)) ||                  \
		    IS_SET(IP6_WORDS(field, 2)) ||                  \
		    IS_SET(IP6_WORDS(field, 3)))                    \
			say(line, name "=%pI6/%pI6 ", &m.key.field, \
			    &m.mask.field);                         \
	} while (0)
#define FIELD_MAC(name, field)                                                 \
	do {                                                                   \
		if (*(__u32 *)m.mask.field || *(__u16 *)&m.mask.field[4] ||    \
		    *(__u32 *)m.key.field || *(__u16 *)&m.key.field[4])        \
			say(line,                                              \
			    name "=%02x%02x%02x%02x%02x%02x/"                  \
				 "%02x%02x%02x%02x%02x%02x ",                  \
			    m.key.field[0], m.key.field[1], m.key.field[2],    \
			    m.key.field[3], m.key.field[4], m.key.field[5],    \
			    m.mask.field[0], m.mask.field[1], m.mask.field[2], \
			    m.mask.field[3], m.mask.field[4],                  \
			    m.mask.field[5]);                                  \
	} while (0)

static __always_inline void vlan_fields(struct log_line *line,
					struct flow_dissector_key_vlan *key,
					struct flow_dissector_key_vlan *mask)
{
	if (key->vlan_id || mask->vlan_id)
		say(line, "id=%x/%x ", key->vlan_id, mask->vlan_id);
	if (key->vlan_dei || mask->vlan_dei)
		say(line, "dei=%x/%x ", key->vlan_dei, mask->vlan_dei);
	if (key->vlan_priority || mask->vlan_priority)
		say(line, "prio=%x/%x ", key->vlan_priority,
		    mask->vlan_priority);
	if (key->vlan_tpid || mask->vlan_tpid)
		say(line, "tpid=%x/%x ", bpf_ntohs(key->vlan_tpid),
		    bpf_ntohs(mask->vlan_tpid));
	if (key->vlan_eth_type || mask->vlan_eth_type)
		say(line, "eth_type=%x/%x ", bpf_ntohs(key->vlan_eth_type),
		    bpf_ntohs(mask->vlan_eth_type));
}

/* Bytes, as hexadecimal words. */
static __always_inline void bytes(struct log_line *line, const __u8 *from,
				  __u32 len)
{
	__u32 i, words[8];

	__builtin_memcpy(words, from, sizeof(words));
	for (i = 0; i < 8 && 4 * i < len; i++)
		say(line, "%08x", bpf_ntohl(words[i]));
}

static __noinline int match_l2(struct ekho_replace_ctx *ctx,
			       struct log_line *line)
{
	KEY(META, meta, FIELD("ifindex", ingress_ifindex);
	    FIELD("iftype", ingress_iftype); FIELD("l2_miss", l2_miss));
	KEY(CONTROL, control, FIELD("flags", flags));
	KEY(BASIC, basic, FIELD16("eth_type", n_proto);
	    FIELD("ip_proto", ip_proto));
	KEY(ETH_ADDRS, eth_addrs, FIELD_MAC("dst", dst); FIELD_MAC("src", src));
	KEY(VLAN, vlan, vlan_fields(line, &m.key, &m.mask));
	KEY(CVLAN, vlan, vlan_fields(line, &m.key, &m.mask));
	KEY(NUM_OF_VLANS, num_of_vlans, FIELD("n", num_of_vlans));
	KEY(PPPOE, pppoe, FIELD16("sid", session_id);
	    FIELD16("proto", ppp_proto); FIELD16("type", type));
	KEY(ARP, arp, FIELD_IP4("sip", sip); FIELD_IP4("tip", tip);
	    FIELD("op", op); FIELD_MAC("sha", sha); FIELD_MAC("tha", tha));
	KEY(CFM, cfm, FIELD("mdl_ver", mdl_ver); FIELD("op", opcode));
	KEY(
		MPLS, mpls, for (int i = 0; i < 7; i++) {
			struct flow_dissector_mpls_lse *key = &m.key.ls[i];
			struct flow_dissector_mpls_lse *mask = &m.mask.ls[i];

			if (!(m.mask.used_lses & (1 << i)))
				continue;
			say(line,
			    "lse%d=label:%x/%x,tc:%x/%x,bos:%x/%x,ttl:%x/%x ",
			    i + 1, key->mpls_label, mask->mpls_label,
			    key->mpls_tc, mask->mpls_tc, key->mpls_bos,
			    mask->mpls_bos, key->mpls_ttl, mask->mpls_ttl);
		});
	return 0;
}

static __noinline int match_l3(struct ekho_replace_ctx *ctx,
			       struct log_line *line)
{
	EKHO_MATCH(control) control;

	/* Which addresses there are is also a part of CONTROL. */
	ekho_match(ctx, CONTROL, &control);
	KEY(IPV4_ADDRS, ipv4_addrs, FIELD_IP4("src", src);
	    FIELD_IP4("dst", dst);
	    if (control.key.addr_type != FLOW_DISSECTOR_KEY_IPV4_ADDRS ||
		control.mask.addr_type != 0xffff)
		    say(line, "without addr_type "););
	KEY(IPV6_ADDRS, ipv6_addrs, FIELD_IP6("src", src);
	    FIELD_IP6("dst", dst);
	    if (control.key.addr_type != FLOW_DISSECTOR_KEY_IPV6_ADDRS ||
		control.mask.addr_type != 0xffff)
		    say(line, "without addr_type "););
	KEY(IP, ip, FIELD("tos", tos); FIELD("ttl", ttl));
	KEY(PORTS, ports, FIELD16("src", src); FIELD16("dst", dst));
	KEY(PORTS_RANGE, ports_range, FIELD16("src_min", tp_min.src);
	    FIELD16("src_max", tp_max.src); FIELD16("dst_min", tp_min.dst);
	    FIELD16("dst_max", tp_max.dst));
	KEY(ICMP, icmp, FIELD("type", type); FIELD("code", code);
	    FIELD16("id", id));
	KEY(TCP, tcp, FIELD16("flags", flags));
	KEY(IPSEC, ipsec, FIELD32("spi", spi));
	KEY(L2TPV3, l2tpv3, FIELD32("sid", session_id));
	KEY(HASH, hash, FIELD("hash", hash));
	KEY(
		CT, ct, FIELD("state", ct_state); FIELD("zone", ct_zone);
		FIELD("mark", ct_mark);
		if (IS_SET(ct_labels[0]) || IS_SET(ct_labels[1]) ||
		    IS_SET(ct_labels[2]) || IS_SET(ct_labels[3])) {
			say(line, "label=");
			bytes(line, (void *)m.key.ct_labels, 16);
			say(line, "/");
			bytes(line, (void *)m.mask.ct_labels, 16);
			say(line, " ");
		});
	return 0;
}

static __noinline int match_tunnel(struct ekho_replace_ctx *ctx,
				   struct log_line *line)
{
	KEY(ENC_CONTROL, control, FIELD("flags", flags));
	KEY(ENC_KEYID, keyid, FIELD32("id", keyid));
	KEY(ENC_IPV4_ADDRS, ipv4_addrs, FIELD_IP4("src", src);
	    FIELD_IP4("dst", dst));
	KEY(ENC_IPV6_ADDRS, ipv6_addrs, FIELD_IP6("src", src);
	    FIELD_IP6("dst", dst));
	KEY(ENC_PORTS, ports, FIELD16("src", src); FIELD16("dst", dst));
	KEY(ENC_IP, ip, FIELD("tos", tos); FIELD("ttl", ttl));
	return 0;
}

static __noinline int match_options(struct ekho_replace_ctx *ctx,
				    struct log_line *line)
{
	struct scratch *m;
	__u32 zero = 0;

	m = bpf_map_lookup_elem(&scratch, &zero);
	if (!m || !ekho_match(ctx, ENC_OPTS, &m->opts))
		return 0;
	if (!(ctx->keys & (1ULL << EKHO_KEY_ENC_OPTS)))
		say(line, "-");
	say(line,
	    "ENC_OPTS{type=%x/%x len=%x/%x data=", m->opts.key.dst_opt_type,
	    m->opts.mask.dst_opt_type, m->opts.key.len, m->opts.mask.len);
	bytes(line, m->opts.key.data, m->opts.key.len);
	say(line, "/");
	bytes(line, m->opts.mask.data, m->opts.key.len);
	say(line, "} ");
	return 0;
}

#endif

/* u32 has a record of its own: words of the packet. */
static __noinline int match_u32(struct ekho_replace_ctx *ctx,
				struct log_line *line)
{
	struct tc_cls_u32_knode *node = ctx->u32;
	struct tc_u32_sel *sel;
	struct tc_u32_key key;

	if (!node)
		return 0;
	sel = node->sel;
	say(line, "U32{handle=%x link=%x mark=%x/%x ", node->handle,
	    node->link_handle, node->val, node->mask);
	for (int i = 0; i < 4 && i < BPF_CORE_READ(sel, nkeys); i++) {
		bpf_probe_read_kernel(&key, sizeof(key), &sel->keys[i]);
		say(line, "%d:%x/%x ", key.off, bpf_ntohl(key.val),
		    bpf_ntohl(key.mask));
	}
	say(line, "} ");
	return 0;
}

static __always_inline void match(struct ekho_replace_ctx *ctx,
				  struct log_line *line)
{
	match_u32(ctx, line);
#ifdef BRIEF
	return;
#else
	match_l2(ctx, line);
	match_l3(ctx, line);
	match_tunnel(ctx, line);
	match_options(ctx, line);
	if (ctx->keys & (1ULL << EKHO_KEY_UNKNOWN))
		say(line, "UNKNOWN ");
#endif
}

/* ----------------------------------------------------------- the actions -- */

#ifndef BRIEF

/*
 * The verifier lets nobody read what shares a union with a pointer: these work
 * on a copy, whose pointers have no type.
 */
#define UNTYPED(member, type) bpf_core_cast(entry->member, type)

static __noinline int tunnel(struct log_line *line,
			     struct flow_action_entry *entry)
{
	struct ip_tunnel_info *info = UNTYPED(tunnel, struct ip_tunnel_info);
	struct ip_tunnel_key *key = &info->key;
	__u8 options[32] = {};

	say(line, "id=%llu tos=%u ttl=%u dst_port=%u flags=%lx ",
	    bpf_be64_to_cpu(key->tun_id), key->tos, key->ttl,
	    bpf_ntohs(key->tp_dst), key->tun_flags[0]);
	/* IP_TUNNEL_INFO_IPV6 */
	if (info->mode & 2)
		say(line, "src=%pI6 dst=%pI6 ", &key->u.ipv6.src,
		    &key->u.ipv6.dst);
	else
		say(line, "src=%pI4 dst=%pI4 ", &key->u.ipv4.src,
		    &key->u.ipv4.dst);
	if (info->options_len) {
		bpf_probe_read_kernel(options, sizeof(options), info->options);
		say(line, "options=");
		bytes(line, options, info->options_len);
		say(line, " ");
	}
	return 0;
}

static __noinline int police(struct log_line *line,
			     struct flow_action_entry *entry)
{
	struct flow_action_police *police = &entry->police;

	say(line, "rate=%llu burst=%u peakrate=%llu avrate=%u overhead=%u ",
	    police->rate_bytes_ps, police->burst, police->peakrate_bytes_ps,
	    police->avrate, police->overhead);
	say(line, "pkts_rate=%llu pkts_burst=%llu mtu=%u ", police->rate_pkt_ps,
	    police->burst_pkt, police->mtu);
	say(line, "exceed=%u:%u notexceed=%u:%u ", police->exceed.act_id,
	    police->exceed.extval, police->notexceed.act_id,
	    police->notexceed.extval);
	return 0;
}

static __noinline int gate(struct log_line *line,
			   struct flow_action_entry *entry)
{
	__u32 i, n = entry->gate.num_entries;

	say(line, "prio=%d base=%llu cycle=%llu ext=%llu ", entry->gate.prio,
	    entry->gate.basetime, entry->gate.cycletime,
	    entry->gate.cycletimeext);
	for (i = 0; i < 4 && i < n; i++) {
		struct action_gate_entry *gate =
			UNTYPED(gate.entries + i, struct action_gate_entry);

		say(line, "entry=%u:%u:%d:%d ", gate->gate_state,
		    gate->interval, gate->ipv, gate->maxoctets);
	}
	return 0;
}

/* What is special to the kind of action. */
static __noinline int payload(struct log_line *line,
			      struct flow_action_entry *entry, __u32 id)
{
	struct net_device *dev = UNTYPED(dev, struct net_device);
	struct psample_group *group =
		UNTYPED(sample.psample_group, struct psample_group);

	switch (id) {
	case EKHO_ACT_GOTO:
		say(line, "chain=%u ", entry->chain_index);
		break;
	case EKHO_ACT_REDIRECT:
	case EKHO_ACT_MIRRED:
	case EKHO_ACT_REDIRECT_INGRESS:
	case EKHO_ACT_MIRRED_INGRESS:
		say(line, "dev=%s ifindex=%u ", dev->name, dev->ifindex);
		break;
	case EKHO_ACT_VLAN_PUSH:
	case EKHO_ACT_VLAN_MANGLE:
		say(line, "vid=%u proto=%x prio=%u ", entry->vlan.vid,
		    bpf_ntohs(entry->vlan.proto), entry->vlan.prio);
		break;
	case EKHO_ACT_VLAN_PUSH_ETH:
		say(line,
		    "dst=%02x%02x%02x%02x%02x%02x src=%02x%02x%02x%02x%02x%02x ",
		    entry->vlan_push_eth.dst[0], entry->vlan_push_eth.dst[1],
		    entry->vlan_push_eth.dst[2], entry->vlan_push_eth.dst[3],
		    entry->vlan_push_eth.dst[4], entry->vlan_push_eth.dst[5],
		    entry->vlan_push_eth.src[0], entry->vlan_push_eth.src[1],
		    entry->vlan_push_eth.src[2], entry->vlan_push_eth.src[3],
		    entry->vlan_push_eth.src[4], entry->vlan_push_eth.src[5]);
		break;
	case EKHO_ACT_MANGLE:
	case EKHO_ACT_ADD:
		say(line, "htype=%u offset=%u keep=%08x val=%08x ",
		    entry->mangle.htype, entry->mangle.offset,
		    bpf_ntohl(entry->mangle.mask),
		    bpf_ntohl(entry->mangle.val));
		break;
	case EKHO_ACT_TUNNEL_ENCAP:
		tunnel(line, entry);
		break;
	case EKHO_ACT_CSUM:
		say(line, "flags=%u ", entry->csum_flags);
		break;
	case EKHO_ACT_MARK:
		say(line, "mark=%u ", entry->mark);
		break;
	case EKHO_ACT_PTYPE:
		say(line, "ptype=%u ", entry->ptype);
		break;
	case EKHO_ACT_PRIORITY:
		say(line, "priority=%u ", entry->priority);
		break;
	case EKHO_ACT_RX_QUEUE_MAPPING:
		say(line, "queue=%u ", entry->rx_queue);
		break;
	case EKHO_ACT_SAMPLE:
		say(line, "rate=%u trunc=%u:%u group=%u ", entry->sample.rate,
		    entry->sample.truncate, entry->sample.trunc_size,
		    group->group_num);
		break;
	case EKHO_ACT_POLICE:
		police(line, entry);
		break;
	case EKHO_ACT_CT:
		say(line, "action=%x zone=%u ", entry->ct.action,
		    entry->ct.zone);
		break;
	case EKHO_ACT_MPLS_PUSH:
		say(line, "label=%u proto=%x tc=%u bos=%u ttl=%u ",
		    entry->mpls_push.label, bpf_ntohs(entry->mpls_push.proto),
		    entry->mpls_push.tc, entry->mpls_push.bos,
		    entry->mpls_push.ttl);
		break;
	case EKHO_ACT_MPLS_POP:
		say(line, "proto=%x ", bpf_ntohs(entry->mpls_pop.proto));
		break;
	case EKHO_ACT_MPLS_MANGLE:
		say(line, "label=%u tc=%u bos=%u ttl=%u ",
		    entry->mpls_mangle.label, entry->mpls_mangle.tc,
		    entry->mpls_mangle.bos, entry->mpls_mangle.ttl);
		break;
	case EKHO_ACT_GATE:
		gate(line, entry);
		break;
	}
	return 0;
}

static __noinline int one_action(struct log_line *line, struct ekho_action *act)
{
	struct flow_action_entry copy, *entry = &copy;
	struct flow_action_cookie *cookie;
	__u8 text[32] = {};

	if (bpf_core_read(&copy, sizeof(copy), act->entry))
		return 0;
	say(line, "%s arg=%u ", act->name,
	    act->id == EKHO_ACT_POLICE && act->arg < INDEX_CHOSEN ? 0 :
								    act->arg);
	payload(line, entry, act->id);
	if (act->index >= INDEX_CHOSEN)
		say(line, "index=%u ", act->index);
	if (act->hw_stats != HW_STATS_ANY)
		say(line, "hw_stats=%u ", act->hw_stats);
	if (entry->user_cookie) {
		cookie = UNTYPED(user_cookie, struct flow_action_cookie);
		bpf_probe_read_kernel(text, sizeof(text), cookie->cookie);
		say(line, "cookie=%u:", cookie->cookie_len);
		bytes(line, text, cookie->cookie_len);
		say(line, " ");
	}
	say(line, "; ");
	return 0;
}

#else
static __noinline int one_action(struct log_line *line, struct ekho_action *act)
{
	say(line, "%s arg=%u ; ", act->name, act->arg);
	return 0;
}
#endif

/* ------------------------------------------------------------------- ops -- */

static __always_inline void request(struct ekho_replace_ctx *ctx,
				    const char *op)
{
	struct log_line *line = log_line();
	struct ekho_action *act;

	if (!line)
		return;
	identity(line, op, &ctx->flow);
	if (ctx->classid)
		say(line, " classid=%x", ctx->classid);
	say(line, " | ");
	match(ctx, line);
	say(line, "| ");
	bpf_for_each(flow_action, act, ctx)
		one_action(line, act);
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	request(ctx, "replace");
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	struct log_line *line = log_line();

	if (line)
		identity(line, "destroy", &ctx->flow);
	return 0;
}

/* All have counted the same. */
EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return bpf_flow_offload_set_stats(ctx, 5, 500, 0, 0);
}

EKHO_OP(template_create, struct ekho_replace_ctx *ctx)
{
	request(ctx, "template_create");
	return 0;
}

EKHO_OP(template_destroy, struct ekho_destroy_ctx *ctx)
{
	struct log_line *line = log_line();

	if (line)
		identity(line, "template_destroy", &ctx->flow);
	return 0;
}

EKHO_OP(hnode, struct ekho_hnode_ctx *ctx)
{
	struct log_line *line = log_line();

	if (line)
		say(line,
		    "hnode command=%u handle=%x divisor=%u chain=%u prio=%u skip_sw=%u",
		    ctx->command, ctx->handle, ctx->divisor, ctx->chain_index,
		    ctx->prio, ctx->skip_sw);
	return 0;
}

#ifdef BRIEF
#define NAME brief
#else
#define NAME record
#endif
#define RECORD(name, args...) EKHO_FIRMWARE(name, args)

RECORD(NAME, .replace = (void *)replace, .destroy = (void *)destroy,
       .stats = (void *)stats, .template_create = (void *)template_create,
       .template_destroy = (void *)template_destroy, .hnode = (void *)hnode,
       .hw_stats = EKHO_HW_STATS_IMMEDIATE | EKHO_HW_STATS_DELAYED |
		   EKHO_HW_STATS_DISABLED);
