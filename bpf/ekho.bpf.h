/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a firmware author includes.
 *
 * Firmware implements `struct bpf_flow_offload_ops` for one network device;
 * the EKHO module calls it when the kernel wants a flow offloaded. The types
 * and their meaning are documented where they are defined, in rust/c/abi.h;
 * vmlinux.h has them from the module's BTF. An object built once runs on any
 * kernel that has a module with the same or a newer ABI (CO-RE).
 *
 *	#include "ekho.bpf.h"
 *
 *	EKHO_OP(replace, struct ekho_replace_ctx *ctx) { return 0; }
 *	EKHO_OP(destroy, struct ekho_destroy_ctx *ctx) { return 0; }
 *	EKHO_OP(stats, struct ekho_stats_ctx *ctx) { return 0; }
 *
 *	EKHO_FIRMWARE(my_fw,
 *		      .replace = (void *)replace,
 *		      .destroy = (void *)destroy,
 *		      .stats = (void *)stats);
 *
 * Ops return 0 or a negative errno. They can't sleep.
 */
#ifndef EKHO_BPF_H
#define EKHO_BPF_H

#include "vmlinux.h"
#include "ekho_maps.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* What headers of the kernel define as macros, which BTF doesn't have. */
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6 0x86DD
#define ETH_P_ALL 0x0003

#define ENOENT 2
#define E2BIG 7
#define ENOMEM 12
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define ENOSPC 28
#define EOPNOTSUPP 95

/* Defines an op: its name and the one argument that it takes. */
#define EKHO_OP(op, arg)                              \
	static __always_inline int ekho_op_##op(arg); \
	SEC("struct_ops/" #op) int op(__u64 *args)    \
	{                                             \
		return ekho_op_##op((void *)args[0]); \
	}                                             \
	static __always_inline int ekho_op_##op(arg)

/* The same for detach, which returns nothing. */
#define EKHO_OP_VOID(op, arg)                          \
	static __always_inline void ekho_op_##op(arg); \
	SEC("struct_ops/" #op) void op(__u64 *args)    \
	{                                              \
		ekho_op_##op((void *)args[0]);         \
	}                                              \
	static __always_inline void ekho_op_##op(arg)

/*
 * Defines the firmware, once an object: its name, and its ops. The loader
 * chooses the device.
 */
#define EKHO_FIRMWARE(fw, ...)                                                \
	char _license[] SEC("license") = "GPL";                               \
	SEC(".struct_ops.link")                                               \
	struct bpf_flow_offload_ops fw##_fw = {                               \
		.abi_version = BPF_FLOW_OFFLOAD_ABI, .name = #fw, __VA_ARGS__ \
	}

/*
 * What firmware calls. The kernel-doc is in rust/c/bpf.c; vmlinux.h doesn't
 * always declare them.
 */
extern int bpf_flow_offload_set_stats(struct ekho_stats_ctx *ctx, u64 packets,
				      u64 bytes, u64 drops,
				      u64 last_used_ns) __ksym;
extern int bpf_flow_offload_map_stats(struct ekho_stats_ctx *ctx,
				      const struct ekho_totals *totals,
				      void *map__map) __weak __ksym;
extern int bpf_flow_offload_add_stats(struct ekho_stats_ctx *ctx, u64 packets,
				      u64 bytes, u64 drops,
				      u64 last_used_ns) __weak __ksym;
extern int bpf_flow_offload_choose_hw_stats(struct ekho_replace_ctx *ctx,
					    u32 hw_stats) __weak __ksym;
extern int
bpf_flow_offload_count_actions(struct ekho_replace_ctx *ctx) __weak __ksym;
extern u8 *bpf_flow_offload_flow_data(struct ekho_flow *flow,
				      const size_t rdwr_buf_size) __weak __ksym;
extern int bpf_flow_offload_set_reason(struct ekho_replace_ctx *ctx,
				       const char *reason,
				       u32 reason__sz) __weak __ksym;
extern int bpf_flow_offload_get_match(struct ekho_replace_ctx *ctx, u32 key_id,
				      void *match, u32 match__sz) __weak __ksym;
extern int bpf_iter_flow_action_new(struct bpf_iter_flow_action *it,
				    struct ekho_replace_ctx *ctx) __weak __ksym;
extern struct ekho_action *
bpf_iter_flow_action_next(struct bpf_iter_flow_action *it) __weak __ksym;
extern void
bpf_iter_flow_action_destroy(struct bpf_iter_flow_action *it) __weak __ksym;
extern int bpf_flow_offload_add_qdisc_stats(struct ekho_qdisc_ctx *ctx,
					    u64 packets, u64 bytes, u32 drops,
					    u32 overlimits) __weak __ksym;
extern int bpf_flow_offload_set_qdisc_queue(struct ekho_qdisc_ctx *ctx,
					    u16 qid) __weak __ksym;

/*
 * In stats: tells the totals that a map has of the flow. Modules of before know
 * of no maps, and take totals for those since the flow was accepted.
 */
static __always_inline __attribute__((unused)) int
ekho_map_stats(struct ekho_stats_ctx *ctx,
	       const struct ekho_flow_counters *counters, void *map)
{
	if (bpf_ksym_exists(bpf_flow_offload_map_stats))
		return bpf_flow_offload_map_stats(
			ctx, (const struct ekho_totals *)counters, map);
	return bpf_flow_offload_set_stats(ctx, counters->packets,
					  counters->bytes, counters->drops,
					  counters->last_used_ns);
}

_Static_assert(sizeof(struct ekho_totals) == sizeof(struct ekho_flow_counters),
	       "the same in the map and for the module");

/*
 * Counters by cookie, struct ekho_flow_counters, as `ekho-fw stats` and agents
 * fill them. The firmware makes and removes the entries, user space only
 * updates them. EKHO_FLOW_STATS(max) at the top of a firmware defines the map,
 * and the three functions that use it: one for each op. See stats.bpf.c.
 *
 * All entries are there once the firmware is loaded, about 100 bytes each: ops
 * can't sleep, and would at times find no memory for a new one.
 */
#define EKHO_FLOW_STATS(max)                                           \
	struct {                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                       \
		__uint(max_entries, max);                              \
		__type(key, __u64);                                    \
		__type(value, struct ekho_flow_counters);              \
	} flow_stats SEC(".maps");                                     \
                                                                       \
	static __always_inline __attribute__((unused)) int             \
	ekho_counters_create(struct ekho_replace_ctx *ctx)             \
	{                                                              \
		struct ekho_flow_counters zero = {};                   \
		__u64 cookie = ctx->flow.cookie;                       \
		long err;                                              \
                                                                       \
		err = bpf_map_update_elem(&flow_stats, &cookie, &zero, \
					  BPF_NOEXIST);                \
		/* A hash map says -E2BIG when it is full. */          \
		return err == -E2BIG ? -ENOSPC : err;                  \
	}                                                              \
                                                                       \
	static __always_inline __attribute__((unused)) int             \
	ekho_counters_delete(struct ekho_destroy_ctx *ctx)             \
	{                                                              \
		__u64 cookie = ctx->flow.cookie;                       \
                                                                       \
		return bpf_map_delete_elem(&flow_stats, &cookie);      \
	}                                                              \
                                                                       \
	static __always_inline __attribute__((unused)) int             \
	ekho_counters_report(struct ekho_stats_ctx *ctx)               \
	{                                                              \
		struct ekho_flow_counters *counters;                   \
		__u64 cookie = ctx->flow.cookie;                       \
                                                                       \
		counters = bpf_map_lookup_elem(&flow_stats, &cookie);  \
		if (!counters)                                         \
			return -ENOENT;                                \
		return ekho_map_stats(ctx, counters, &flow_stats);     \
	}                                                              \
	struct ekho_flow_counters

/*
 * What a device can do, for the data of EKHO_FIRMWARE: sets of enum ekho_key,
 * enum ekho_action_id, enum ekho_classifier.
 *
 *	.keys = EKHO_KEYS(BASIC, IPV4_ADDRS, PORTS),
 *	.actions = EKHO_ACTIONS(DROP, REDIRECT),
 *	.classifiers = EKHO_CLASSIFIERS(FLOWER),
 */
#define EKHO_KEYS(...) EKHO_SET(EKHO_KEY_, __VA_ARGS__)
#define EKHO_ACTIONS(...) EKHO_SET(EKHO_ACT_, __VA_ARGS__)
#define EKHO_CLASSIFIERS(...) ((__u32)EKHO_SET(EKHO_CLS_, __VA_ARGS__))

#define EKHO_SET(p, ...)                                                     \
	EKHO_NTH(__VA_ARGS__, EKHO_S32, EKHO_S31, EKHO_S30, EKHO_S29,        \
		 EKHO_S28, EKHO_S27, EKHO_S26, EKHO_S25, EKHO_S24, EKHO_S23, \
		 EKHO_S22, EKHO_S21, EKHO_S20, EKHO_S19, EKHO_S18, EKHO_S17, \
		 EKHO_S16, EKHO_S15, EKHO_S14, EKHO_S13, EKHO_S12, EKHO_S11, \
		 EKHO_S10, EKHO_S9, EKHO_S8, EKHO_S7, EKHO_S6, EKHO_S5,      \
		 EKHO_S4, EKHO_S3, EKHO_S2, EKHO_S1)                         \
	(p, __VA_ARGS__)
#define EKHO_NTH(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, \
		 _15, _16, _17, _18, _19, _20, _21, _22, _23, _24, _25, _26,  \
		 _27, _28, _29, _30, _31, _32, n, ...)                        \
	n
#define EKHO_S1(p, x) (1ULL << p##x)
#define EKHO_S2(p, x, ...) (EKHO_S1(p, x) | EKHO_S1(p, __VA_ARGS__))
#define EKHO_S3(p, x, ...) (EKHO_S1(p, x) | EKHO_S2(p, __VA_ARGS__))
#define EKHO_S4(p, x, ...) (EKHO_S1(p, x) | EKHO_S3(p, __VA_ARGS__))
#define EKHO_S5(p, x, ...) (EKHO_S1(p, x) | EKHO_S4(p, __VA_ARGS__))
#define EKHO_S6(p, x, ...) (EKHO_S1(p, x) | EKHO_S5(p, __VA_ARGS__))
#define EKHO_S7(p, x, ...) (EKHO_S1(p, x) | EKHO_S6(p, __VA_ARGS__))
#define EKHO_S8(p, x, ...) (EKHO_S1(p, x) | EKHO_S7(p, __VA_ARGS__))
#define EKHO_S9(p, x, ...) (EKHO_S1(p, x) | EKHO_S8(p, __VA_ARGS__))
#define EKHO_S10(p, x, ...) (EKHO_S1(p, x) | EKHO_S9(p, __VA_ARGS__))
#define EKHO_S11(p, x, ...) (EKHO_S1(p, x) | EKHO_S10(p, __VA_ARGS__))
#define EKHO_S12(p, x, ...) (EKHO_S1(p, x) | EKHO_S11(p, __VA_ARGS__))
#define EKHO_S13(p, x, ...) (EKHO_S1(p, x) | EKHO_S12(p, __VA_ARGS__))
#define EKHO_S14(p, x, ...) (EKHO_S1(p, x) | EKHO_S13(p, __VA_ARGS__))
#define EKHO_S15(p, x, ...) (EKHO_S1(p, x) | EKHO_S14(p, __VA_ARGS__))
#define EKHO_S16(p, x, ...) (EKHO_S1(p, x) | EKHO_S15(p, __VA_ARGS__))
#define EKHO_S17(p, x, ...) (EKHO_S1(p, x) | EKHO_S16(p, __VA_ARGS__))
#define EKHO_S18(p, x, ...) (EKHO_S1(p, x) | EKHO_S17(p, __VA_ARGS__))
#define EKHO_S19(p, x, ...) (EKHO_S1(p, x) | EKHO_S18(p, __VA_ARGS__))
#define EKHO_S20(p, x, ...) (EKHO_S1(p, x) | EKHO_S19(p, __VA_ARGS__))
#define EKHO_S21(p, x, ...) (EKHO_S1(p, x) | EKHO_S20(p, __VA_ARGS__))
#define EKHO_S22(p, x, ...) (EKHO_S1(p, x) | EKHO_S21(p, __VA_ARGS__))
#define EKHO_S23(p, x, ...) (EKHO_S1(p, x) | EKHO_S22(p, __VA_ARGS__))
#define EKHO_S24(p, x, ...) (EKHO_S1(p, x) | EKHO_S23(p, __VA_ARGS__))
#define EKHO_S25(p, x, ...) (EKHO_S1(p, x) | EKHO_S24(p, __VA_ARGS__))
#define EKHO_S26(p, x, ...) (EKHO_S1(p, x) | EKHO_S25(p, __VA_ARGS__))
#define EKHO_S27(p, x, ...) (EKHO_S1(p, x) | EKHO_S26(p, __VA_ARGS__))
#define EKHO_S28(p, x, ...) (EKHO_S1(p, x) | EKHO_S27(p, __VA_ARGS__))
#define EKHO_S29(p, x, ...) (EKHO_S1(p, x) | EKHO_S28(p, __VA_ARGS__))
#define EKHO_S30(p, x, ...) (EKHO_S1(p, x) | EKHO_S29(p, __VA_ARGS__))
#define EKHO_S31(p, x, ...) (EKHO_S1(p, x) | EKHO_S30(p, __VA_ARGS__))
#define EKHO_S32(p, x, ...) (EKHO_S1(p, x) | EKHO_S31(p, __VA_ARGS__))

/*
 * In replace: refuses the flow with an errno and a sentence, which may hold
 * what bpf_snprintf() can format.
 *
 *	return ekho_refuse(ctx, EOPNOTSUPP, "no action %s", act->name);
 */
#define ekho_refuse(ctx, errno, fmt, args...)                                \
	({                                                                   \
		char ekho_reason[EKHO_REASON_SIZE] = {};                     \
		BPF_SNPRINTF(ekho_reason, sizeof(ekho_reason), fmt, ##args); \
		bpf_flow_offload_set_reason(ctx, ekho_reason,                \
					    sizeof(ekho_reason));            \
		-(errno);                                                    \
	})
#define EKHO_REASON_SIZE 80

/*
 * In replace: reads a key of enum ekho_key and its mask; true if the flow has
 * it, else both are zero.
 *
 *	EKHO_MATCH(ports) ports;
 *
 *	if (ekho_match(ctx, PORTS, &ports) && ports.mask.dst)
 *		...
 */
#define EKHO_MATCH(type)                                    \
	struct {                                            \
		struct flow_dissector_key_##type key, mask; \
	}
#define ekho_match(ctx, k, match)                              \
	(!bpf_flow_offload_get_match(ctx, EKHO_KEY_##k, match, \
				     sizeof(*(match))))

/*
 * Events: what the kernel asked for, for programs in user space to read.
 *
 *	EKHO_EVENTS(1 << 18);
 *
 *	EKHO_OP(replace, struct ekho_replace_ctx *ctx)
 *	{
 *		return ekho_emit_replace(ctx, decide(ctx));
 *	}
 *
 * EKHO_EVENTS(size) at the top of a firmware defines two maps, and a function
 * for each op that takes the op's argument and result, and returns the result:
 *
 *	ekho_events	a ring buffer of so many bytes, a power of two and at
 *			least a page. One program reads it: `ekho-fw events`,
 *			or any other that uses libbpf. What finds no room is
 *			lost, so that the oldest are kept until they are read.
 *	ekho_lost	how many were lost, key 0, a __u64
 *
 * ekho_maps.h says what a record looks like.
 *
 * Requests that the module refuses by what the firmware declares don't reach
 * the firmware, and make no event. See `ekho-fw show` for them.
 */

/* A record in the making. */
struct ekho_writer {
	struct bpf_dynptr record;
	__u64 end;
};

/*
 * The next bytes of the record, for the caller to fill in; NULL if there is no
 * room, which was counted before. All have an even size, a constant.
 */
static __always_inline void *ekho_next(struct ekho_writer *w, __u32 size)
{
	void *next = bpf_dynptr_data(&w->record, w->end, size);

	if (!next)
		return NULL;
	w->end += size;
	return __builtin_assume_aligned(next, 2);
}

static __always_inline void ekho_write_part(struct ekho_writer *w, __u16 type,
					    const void *data, __u16 size)
{
	struct ekho_event_part *part = ekho_next(w, sizeof(*part) + size);

	if (part) {
		part->type = type;
		part->size = size;
		__builtin_memcpy(part + 1, data, size);
	}
}

static __always_inline void ekho_write_field(struct ekho_writer *w, __u16 type,
					     const void *key, const void *mask,
					     __u16 size)
{
	struct ekho_event_part *part;
	const __u8 *bytes = mask;
	__u8 any = 0;

	for (int i = 0; i < size; i++)
		any |= bytes[i];
	if (!any)
		return;
	part = ekho_next(w, sizeof(*part) + 2 * size);
	if (part) {
		part->type = type;
		part->size = 2 * size;
		__builtin_memcpy(part + 1, key, size);
		__builtin_memcpy((void *)(part + 1) + size, mask, size);
	}
}

/* The longest that a key's parts can be: two IPv6 addresses with masks. */
#define EKHO_EVENT_KEY_MAX (2 * (sizeof(struct ekho_event_part) + 32))

#define EKHO_WRITE(field, m, member)                             \
	ekho_write_field(w, EKHO_FIELD_##field, &(m).key.member, \
			 &(m).mask.member, sizeof((m).key.member))
/* Bits of a number, as a number of their own. */
#define EKHO_WRITE_BITS(field, m, type, member, shift, bits)                  \
	({                                                                    \
		type key = ((m).key.member >> (shift)) & ((1 << (bits)) - 1); \
		type mask = ((m).mask.member >> (shift)) &                    \
			    ((1 << (bits)) - 1);                              \
		ekho_write_field(w, EKHO_FIELD_##field, &key, &mask,          \
				 sizeof(type));                               \
	})

/* Without asking for what isn't matched. */
#define ekho_matched(ctx, k, match) \
	((ctx)->keys & EKHO_KEYS(k) && ekho_match(ctx, k, match))

/* In parts, as a function of all would need more stack than there is. */
static __noinline __attribute__((unused)) void
ekho_write_headers(struct ekho_writer *w, struct ekho_replace_ctx *ctx)
{
	union {
		EKHO_MATCH(control) control;
		EKHO_MATCH(basic) basic;
		EKHO_MATCH(ipv4_addrs) ipv4;
		EKHO_MATCH(ipv6_addrs) ipv6;
		EKHO_MATCH(ports) ports;
		EKHO_MATCH(ports_range) range;
		EKHO_MATCH(icmp) icmp;
		EKHO_MATCH(eth_addrs) eth;
		EKHO_MATCH(arp) arp;
		EKHO_MATCH(tcp) tcp;
		EKHO_MATCH(ip) ip;
	} m;

	if (ekho_matched(ctx, CONTROL, &m.control))
		EKHO_WRITE(IP_FLAGS, m.control, flags);
	if (ekho_matched(ctx, BASIC, &m.basic)) {
		EKHO_WRITE(ETH_TYPE, m.basic, n_proto);
		EKHO_WRITE(IP_PROTO, m.basic, ip_proto);
	}
	if (ekho_matched(ctx, IPV4_ADDRS, &m.ipv4)) {
		EKHO_WRITE(IPV4_SRC, m.ipv4, src);
		EKHO_WRITE(IPV4_DST, m.ipv4, dst);
	}
	if (ekho_matched(ctx, IPV6_ADDRS, &m.ipv6)) {
		EKHO_WRITE(IPV6_SRC, m.ipv6, src);
		EKHO_WRITE(IPV6_DST, m.ipv6, dst);
	}
	if (ekho_matched(ctx, PORTS, &m.ports)) {
		EKHO_WRITE(PORT_SRC, m.ports, src);
		EKHO_WRITE(PORT_DST, m.ports, dst);
	}
	if (ekho_matched(ctx, PORTS_RANGE, &m.range)) {
		EKHO_WRITE(PORT_SRC_MIN, m.range, tp_min.src);
		EKHO_WRITE(PORT_SRC_MAX, m.range, tp_max.src);
		EKHO_WRITE(PORT_DST_MIN, m.range, tp_min.dst);
		EKHO_WRITE(PORT_DST_MAX, m.range, tp_max.dst);
	}
	if (ekho_matched(ctx, ICMP, &m.icmp)) {
		EKHO_WRITE(ICMP_TYPE, m.icmp, type);
		EKHO_WRITE(ICMP_CODE, m.icmp, code);
	}
	if (ekho_matched(ctx, ETH_ADDRS, &m.eth)) {
		EKHO_WRITE(ETH_DST, m.eth, dst);
		EKHO_WRITE(ETH_SRC, m.eth, src);
	}
	if (ekho_matched(ctx, ARP, &m.arp)) {
		EKHO_WRITE(ARP_SIP, m.arp, sip);
		EKHO_WRITE(ARP_TIP, m.arp, tip);
		EKHO_WRITE(ARP_OP, m.arp, op);
		EKHO_WRITE(ARP_SHA, m.arp, sha);
		EKHO_WRITE(ARP_THA, m.arp, tha);
	}
	if (ekho_matched(ctx, TCP, &m.tcp))
		EKHO_WRITE(TCP_FLAGS, m.tcp, flags);
	if (ekho_matched(ctx, IP, &m.ip)) {
		EKHO_WRITE(IP_TOS, m.ip, tos);
		EKHO_WRITE(IP_TTL, m.ip, ttl);
	}
}

static __noinline __attribute__((unused)) void
ekho_write_tags(struct ekho_writer *w, struct ekho_replace_ctx *ctx)
{
	union {
		EKHO_MATCH(vlan) vlan;
		EKHO_MATCH(mpls) mpls;
		EKHO_MATCH(num_of_vlans) num_of_vlans;
		EKHO_MATCH(pppoe) pppoe;
		EKHO_MATCH(l2tpv3) l2tpv3;
		EKHO_MATCH(cfm) cfm;
		EKHO_MATCH(ipsec) ipsec;
		EKHO_MATCH(meta) meta;
		EKHO_MATCH(ct) ct;
		EKHO_MATCH(hash) hash;
	} m;

	if (ekho_matched(ctx, VLAN, &m.vlan)) {
		EKHO_WRITE_BITS(VLAN_ID, m.vlan, __u16, vlan_tci, 0, 12);
		EKHO_WRITE_BITS(VLAN_PRIO, m.vlan, __u8, vlan_tci, 13, 3);
		EKHO_WRITE(VLAN_ETH_TYPE, m.vlan, vlan_eth_type);
		EKHO_WRITE(VLAN_TPID, m.vlan, vlan_tpid);
	}
	if (ekho_matched(ctx, CVLAN, &m.vlan)) {
		EKHO_WRITE_BITS(CVLAN_ID, m.vlan, __u16, vlan_tci, 0, 12);
		EKHO_WRITE_BITS(CVLAN_PRIO, m.vlan, __u8, vlan_tci, 13, 3);
		EKHO_WRITE(CVLAN_ETH_TYPE, m.vlan, vlan_eth_type);
		EKHO_WRITE(CVLAN_TPID, m.vlan, vlan_tpid);
	}
	if (ekho_matched(ctx, MPLS, &m.mpls))
		EKHO_WRITE(MPLS, m.mpls, ls);
	if (ekho_matched(ctx, NUM_OF_VLANS, &m.num_of_vlans))
		EKHO_WRITE(NUM_OF_VLANS, m.num_of_vlans, num_of_vlans);
	if (ekho_matched(ctx, PPPOE, &m.pppoe)) {
		EKHO_WRITE(PPPOE_SID, m.pppoe, session_id);
		EKHO_WRITE(PPP_PROTO, m.pppoe, ppp_proto);
	}
	if (ekho_matched(ctx, L2TPV3, &m.l2tpv3))
		EKHO_WRITE(L2TPV3_SID, m.l2tpv3, session_id);
	if (ekho_matched(ctx, CFM, &m.cfm)) {
		EKHO_WRITE(CFM_MDL_VER, m.cfm, mdl_ver);
		EKHO_WRITE(CFM_OPCODE, m.cfm, opcode);
	}
	if (ekho_matched(ctx, IPSEC, &m.ipsec))
		EKHO_WRITE(IPSEC_SPI, m.ipsec, spi);
	if (ekho_matched(ctx, META, &m.meta)) {
		EKHO_WRITE(INDEV, m.meta, ingress_ifindex);
		EKHO_WRITE(L2_MISS, m.meta, l2_miss);
	}
	if (ekho_matched(ctx, CT, &m.ct)) {
		EKHO_WRITE(CT_STATE, m.ct, ct_state);
		EKHO_WRITE(CT_ZONE, m.ct, ct_zone);
		EKHO_WRITE(CT_MARK, m.ct, ct_mark);
		EKHO_WRITE(CT_LABELS, m.ct, ct_labels);
	}
	if (ekho_matched(ctx, HASH, &m.hash))
		EKHO_WRITE(HASH, m.hash, hash);
}

static __noinline __attribute__((unused)) void
ekho_write_tunnel(struct ekho_writer *w, struct ekho_replace_ctx *ctx)
{
	union {
		EKHO_MATCH(keyid) keyid;
		EKHO_MATCH(control) control;
		EKHO_MATCH(ipv4_addrs) ipv4;
		EKHO_MATCH(ipv6_addrs) ipv6;
		EKHO_MATCH(ports) ports;
		EKHO_MATCH(ip) ip;
	} m;

	if (ekho_matched(ctx, ENC_KEYID, &m.keyid))
		EKHO_WRITE(ENC_KEY_ID, m.keyid, keyid);
	if (ekho_matched(ctx, ENC_IPV4_ADDRS, &m.ipv4)) {
		EKHO_WRITE(ENC_IPV4_SRC, m.ipv4, src);
		EKHO_WRITE(ENC_IPV4_DST, m.ipv4, dst);
	}
	if (ekho_matched(ctx, ENC_IPV6_ADDRS, &m.ipv6)) {
		EKHO_WRITE(ENC_IPV6_SRC, m.ipv6, src);
		EKHO_WRITE(ENC_IPV6_DST, m.ipv6, dst);
	}
	if (ekho_matched(ctx, ENC_PORTS, &m.ports)) {
		EKHO_WRITE(ENC_PORT_SRC, m.ports, src);
		EKHO_WRITE(ENC_PORT_DST, m.ports, dst);
	}
	if (ekho_matched(ctx, ENC_IP, &m.ip)) {
		EKHO_WRITE(ENC_TOS, m.ip, tos);
		EKHO_WRITE(ENC_TTL, m.ip, ttl);
	}
	if (ekho_matched(ctx, ENC_CONTROL, &m.control))
		EKHO_WRITE(ENC_FLAGS, m.control, flags);
}

/* The verifier doesn't follow pointers into a union. */
#define EKHO_PAYLOAD(act, member) BPF_CORE_READ(act, entry, member)

static __noinline __attribute__((unused)) void
ekho_write_actions(struct ekho_writer *w, struct ekho_replace_ctx *ctx)
{
	/* Before them is a reason, if anything, whose size keeps them aligned. */
	struct {
		struct ekho_event_part part;
		struct ekho_event_action action;
	} *out;
	struct ekho_action *act;
	int n = 0;

	bpf_for_each(flow_action, act, ctx) {
		if (n++ == EKHO_EVENT_ACTIONS_MAX)
			break;
		out = ekho_next(w, sizeof(*out));
		if (!out)
			break;
		out->part.type = EKHO_PART_ACTION;
		out->part.size = sizeof(out->action);
		out->action.id = act->id;
		out->action.hw_stats = act->hw_stats;
		out->action.index = act->index;
		out->action.arg = act->arg;
		__builtin_memset(out->action.data, 0, sizeof(out->action.data));
		switch (act->id) {
		case EKHO_ACT_VLAN_PUSH:
		case EKHO_ACT_VLAN_MANGLE:
			out->action.data[0] =
				bpf_ntohs(EKHO_PAYLOAD(act, vlan.proto));
			out->action.data[1] = EKHO_PAYLOAD(act, vlan.prio);
			break;
		case EKHO_ACT_MANGLE:
		case EKHO_ACT_ADD:
			out->action.data[0] = EKHO_PAYLOAD(act, mangle.htype);
			out->action.data[1] = EKHO_PAYLOAD(act, mangle.offset);
			out->action.data[2] = EKHO_PAYLOAD(act, mangle.mask);
			out->action.data[3] = EKHO_PAYLOAD(act, mangle.val);
			break;
		}
	}
}

#define EKHO_EVENTS(bytes)                          \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_RINGBUF); \
		__uint(max_entries, bytes);         \
	} ekho_events SEC(".maps");                 \
                                                    \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_ARRAY);   \
		__uint(max_entries, 1);             \
		__type(key, __u32);                 \
		__type(value, __u64);               \
	} ekho_lost SEC(".maps")

#define ekho_emit_attach(ctx, err) \
	ekho_event_device(EKHO_EVENT_MAPS, &(ctx)->dev, EKHO_EVENT_ATTACH, err)
#define ekho_emit_detach(ctx) \
	ekho_event_device(EKHO_EVENT_MAPS, &(ctx)->dev, EKHO_EVENT_DETACH, 0)
#define ekho_emit_replace(ctx, err) \
	ekho_event_replace(EKHO_EVENT_MAPS, ctx, EKHO_EVENT_REPLACE, err)
#define ekho_emit_destroy(ctx, err) \
	ekho_event_destroy(EKHO_EVENT_MAPS, ctx, EKHO_EVENT_DESTROY, err)
#define ekho_emit_stats(ctx, err) ekho_event_stats(EKHO_EVENT_MAPS, ctx, err)
#define ekho_emit_template_create(ctx, err)                                  \
	ekho_event_replace(EKHO_EVENT_MAPS, ctx, EKHO_EVENT_TEMPLATE_CREATE, \
			   err)
#define ekho_emit_template_destroy(ctx, err)                                  \
	ekho_event_destroy(EKHO_EVENT_MAPS, ctx, EKHO_EVENT_TEMPLATE_DESTROY, \
			   err)
#define ekho_emit_hnode(ctx, err) ekho_event_hnode(EKHO_EVENT_MAPS, ctx, err)
#define ekho_emit_qdisc(ctx, err) ekho_event_qdisc(EKHO_EVENT_MAPS, ctx, err)
#define EKHO_EVENT_MAPS &ekho_events, &ekho_lost

/*
 * Reserves the header and `room`, and fills in what all events have. NULL if
 * there isn't so much: an event is lost then.
 */
static __always_inline struct ekho_event *ekho_begin(struct ekho_writer *w,
						     void *ring, void *lost_map,
						     __u32 room, __u32 what,
						     int err)
{
	struct ekho_event *event = NULL;
	__u64 *lost;
	__u32 key = 0;

	lost = bpf_map_lookup_elem(lost_map, &key);
	if (!bpf_ringbuf_reserve_dynptr(ring, sizeof(*event) + room, 0,
					&w->record))
		event = bpf_dynptr_data(&w->record, 0, sizeof(*event));
	if (!event) {
		bpf_ringbuf_discard_dynptr(&w->record, 0);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return NULL;
	}
	*event = (struct ekho_event){
		.version = EKHO_EVENT_VERSION,
		.header_size = sizeof(*event),
		.time_ns = bpf_ktime_get_ns(),
		.lost = lost ? *lost : 0,
		.what = what,
		.err = err,
	};
	w->end = sizeof(*event);
	return event;
}

static __always_inline void ekho_finish(struct ekho_writer *w,
					struct ekho_event *event)
{
	event->size = w->end;
	bpf_ringbuf_submit_dynptr(&w->record, 0);
}

static __always_inline void ekho_set_flow(struct ekho_event *event,
					  const struct ekho_flow *flow)
{
	event->cookie = flow->cookie;
	event->ifindex = flow->ifindex;
	event->chain_index = flow->chain_index;
	event->prio = flow->prio;
	event->protocol = flow->protocol;
	event->skip_sw = flow->skip_sw;
	event->classifier = flow->classifier;
	event->block_index = flow->block_index;
	event->hooks = flow->hooks;
}

static __always_inline void ekho_set_device(struct ekho_event *event,
					    const struct ekho_device *dev)
{
	event->ifindex = dev->ifindex;
	event->generation = dev->generation;
}

#define EKHO_DEVICE_ROOM (sizeof(struct ekho_event_part) + 16)

static __always_inline void ekho_write_device(struct ekho_writer *w,
					      const struct ekho_device *dev)
{
	char name[16] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), dev->name);
	ekho_write_part(w, EKHO_PART_DEVICE, name, sizeof(name));
}

static __noinline __attribute__((unused)) int
ekho_event_device(void *ring, void *lost, const struct ekho_device *dev,
		  __u32 what, int err)
{
	struct ekho_event *event;
	struct ekho_writer w;

	event = ekho_begin(&w, ring, lost, EKHO_DEVICE_ROOM, what, err);
	if (event) {
		ekho_set_device(event, dev);
		ekho_write_device(&w, dev);
		ekho_finish(&w, event);
	}
	return err;
}

static __noinline __attribute__((unused)) int
ekho_event_replace(void *ring, void *lost, struct ekho_replace_ctx *ctx,
		   __u32 what, int err)
{
	char reason[EKHO_REASON_SIZE];
	struct ekho_event *event;
	struct ekho_writer w;
	__u32 room, n_actions;
	long length = 0;

	n_actions = ctx->n_actions;
	if (n_actions > EKHO_EVENT_ACTIONS_MAX)
		n_actions = EKHO_EVENT_ACTIONS_MAX;
	room = n_actions * (sizeof(struct ekho_event_part) +
			    sizeof(struct ekho_event_action)) +
	       __builtin_popcountll(ctx->keys) * EKHO_EVENT_KEY_MAX;
	if (err) {
		/* What is behind the text goes to user space, too. */
		__builtin_memset(reason, 0, sizeof(reason));
		length = bpf_probe_read_kernel_str(reason, sizeof(reason),
						   ctx->reason);
	}
	if (length > 1)
		room += sizeof(struct ekho_event_part) + sizeof(reason);

	event = ekho_begin(&w, ring, lost, room, what, err);
	if (event) {
		ekho_set_flow(event, &ctx->flow);
		event->classid = ctx->classid;
		event->n_actions = ctx->n_actions;
		event->keys = ctx->keys;
		if (length > 1)
			ekho_write_part(&w, EKHO_PART_REASON, reason,
					sizeof(reason));
		_Static_assert(sizeof(reason) % 4 == 0, "actions are aligned");
		ekho_write_actions(&w, ctx);
		ekho_write_headers(&w, ctx);
		ekho_write_tags(&w, ctx);
		ekho_write_tunnel(&w, ctx);
		ekho_finish(&w, event);
	}
	return err;
}

#define EKHO_COUNTERS_ROOM \
	(sizeof(struct ekho_event_part) + sizeof(struct ekho_flow_counters))

static __noinline __attribute__((unused)) int
ekho_event_destroy(void *ring, void *lost, struct ekho_destroy_ctx *ctx,
		   __u32 what, int err)
{
	struct ekho_flow_counters counters = {
		.packets = ctx->packets,
		.bytes = ctx->bytes,
		.drops = ctx->drops,
	};
	struct ekho_event *event;
	struct ekho_writer w;

	event = ekho_begin(&w, ring, lost, EKHO_COUNTERS_ROOM, what, err);
	if (event) {
		ekho_set_flow(event, &ctx->flow);
		ekho_write_part(&w, EKHO_PART_COUNTERS, &counters,
				sizeof(counters));
		ekho_finish(&w, event);
	}
	return err;
}

static __noinline __attribute__((unused)) int
ekho_event_stats(void *ring, void *lost, struct ekho_stats_ctx *ctx, int err)
{
	struct ekho_flow_counters counters = {
		.packets = ctx->packets,
		.bytes = ctx->bytes,
		.drops = ctx->drops,
		.last_used_ns = ctx->last_used_ns,
	};
	struct ekho_event *event;
	struct ekho_writer w;

	event = ekho_begin(&w, ring, lost, EKHO_COUNTERS_ROOM, EKHO_EVENT_STATS,
			   err);
	if (event) {
		ekho_set_flow(event, &ctx->flow);
		ekho_write_part(&w, EKHO_PART_COUNTERS, &counters,
				sizeof(counters));
		ekho_finish(&w, event);
	}
	return err;
}

static __noinline __attribute__((unused)) int
ekho_event_hnode(void *ring, void *lost, struct ekho_hnode_ctx *ctx, int err)
{
	struct ekho_event_hnode hnode = {
		.command = ctx->command,
		.handle = ctx->handle,
		.divisor = ctx->divisor,
	};
	struct ekho_event *event;
	struct ekho_writer w;

	event = ekho_begin(&w, ring, lost,
			   EKHO_DEVICE_ROOM + sizeof(struct ekho_event_part) +
				   sizeof(hnode),
			   EKHO_EVENT_HNODE, err);
	if (event) {
		ekho_set_device(event, &ctx->dev);
		event->chain_index = ctx->chain_index;
		event->prio = ctx->prio;
		event->skip_sw = ctx->skip_sw;
		ekho_write_device(&w, &ctx->dev);
		ekho_write_part(&w, EKHO_PART_HNODE, &hnode, sizeof(hnode));
		ekho_finish(&w, event);
	}
	return err;
}

#define EKHO_QDISC_REQUEST(which, number)                    \
	do {                                                 \
		if (ctx->which) {                            \
			qdisc.kind = number;                 \
			qdisc.command = ctx->which->command; \
		}                                            \
	} while (0)

static __noinline __attribute__((unused)) int
ekho_event_qdisc(void *ring, void *lost, struct ekho_qdisc_ctx *ctx, int err)
{
	struct ekho_event_qdisc qdisc = {};
	struct ekho_event *event;
	struct ekho_writer w;

	if (ctx->mqprio)
		qdisc.kind = EKHO_QDISC_MQPRIO;
	if (ctx->taprio) {
		qdisc.kind = EKHO_QDISC_TAPRIO;
		qdisc.command = ctx->taprio->cmd;
	}
	EKHO_QDISC_REQUEST(ets, EKHO_QDISC_ETS);
	EKHO_QDISC_REQUEST(red, EKHO_QDISC_RED);
	EKHO_QDISC_REQUEST(gred, EKHO_QDISC_GRED);
	EKHO_QDISC_REQUEST(tbf, EKHO_QDISC_TBF);
	EKHO_QDISC_REQUEST(prio, EKHO_QDISC_PRIO);
	EKHO_QDISC_REQUEST(htb, EKHO_QDISC_HTB);
	EKHO_QDISC_REQUEST(fifo, EKHO_QDISC_FIFO);
	if (ctx->cbs)
		qdisc.kind = EKHO_QDISC_CBS;
	if (ctx->etf)
		qdisc.kind = EKHO_QDISC_ETF;
	EKHO_QDISC_REQUEST(mq, EKHO_QDISC_MQ);
	EKHO_QDISC_REQUEST(root, EKHO_QDISC_ROOT);
	event = ekho_begin(&w, ring, lost,
			   EKHO_DEVICE_ROOM + sizeof(struct ekho_event_part) +
				   sizeof(qdisc),
			   EKHO_EVENT_QDISC, err);
	if (event) {
		ekho_set_device(event, &ctx->dev);
		ekho_write_device(&w, &ctx->dev);
		ekho_write_part(&w, EKHO_PART_QDISC, &qdisc, sizeof(qdisc));
		ekho_finish(&w, event);
	}
	return err;
}

#endif /* EKHO_BPF_H */
