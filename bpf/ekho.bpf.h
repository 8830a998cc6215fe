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
extern int bpf_flow_offload_add_stats(struct ekho_stats_ctx *ctx, u64 packets,
				      u64 bytes, u64 drops,
				      u64 last_used_ns) __weak __ksym;
extern int bpf_flow_offload_choose_hw_stats(struct ekho_replace_ctx *ctx,
					    u32 hw_stats) __weak __ksym;
extern u8 *bpf_flow_offload_flow_data(struct ekho_flow *flow,
				      const size_t rdwr_buf_size) __weak __ksym;
extern int bpf_flow_offload_set_reason(struct ekho_replace_ctx *ctx,
				       const char *reason,
				       u32 reason__sz) __weak __ksym;
extern int bpf_flow_offload_get_match(struct ekho_replace_ctx *ctx, u32 key_id,
				      void *match,
				      u32 match__sz) __weak __ksym;
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
 * Counters by cookie, as `ekho-fw stats` and agents fill them: monotonic
 * totals; last_used_ns is CLOCK_MONOTONIC. The firmware makes and removes the
 * entries, user space only updates them. EKHO_FLOW_STATS(max) at the top of a
 * firmware defines the map, and the three functions that use it: one for
 * each op. See stats.bpf.c.
 */
struct ekho_flow_counters {
	__u64 packets;
	__u64 bytes;
	__u64 drops;
	__u64 last_used_ns;
};

#define EKHO_FLOW_STATS(max)                                                     \
	struct {                                                                 \
		__uint(type, BPF_MAP_TYPE_HASH);                                 \
		__uint(map_flags, BPF_F_NO_PREALLOC);                            \
		__uint(max_entries, max);                                        \
		__type(key, __u64);                                              \
		__type(value, struct ekho_flow_counters);                        \
	} flow_stats SEC(".maps");                                               \
                                                                                 \
	static __always_inline __attribute__((unused)) int ekho_counters_create( \
		struct ekho_replace_ctx *ctx)                                    \
	{                                                                        \
		struct ekho_flow_counters zero = {};                             \
		__u64 cookie = ctx->flow.cookie;                                 \
		long err;                                                        \
                                                                                 \
		err = bpf_map_update_elem(&flow_stats, &cookie, &zero,           \
					  BPF_NOEXIST);                          \
		/* A hash map says -E2BIG when it is full. */                    \
		return err == -E2BIG ? -ENOSPC : err;                            \
	}                                                                        \
                                                                                 \
	static __always_inline __attribute__((unused)) int ekho_counters_delete( \
		struct ekho_destroy_ctx *ctx)                                    \
	{                                                                        \
		__u64 cookie = ctx->flow.cookie;                                 \
                                                                                 \
		return bpf_map_delete_elem(&flow_stats, &cookie);                \
	}                                                                        \
                                                                                 \
	static __always_inline __attribute__((unused)) int ekho_counters_report( \
		struct ekho_stats_ctx *ctx)                                      \
	{                                                                        \
		struct ekho_flow_counters *counters;                             \
		__u64 cookie = ctx->flow.cookie;                                 \
                                                                                 \
		counters = bpf_map_lookup_elem(&flow_stats, &cookie);            \
		if (!counters)                                                   \
			return -ENOENT;                                          \
		return bpf_flow_offload_set_stats(                               \
			ctx, counters->packets, counters->bytes,                 \
			counters->drops, counters->last_used_ns);                \
	}                                                                        \
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

#define EKHO_SET(p, ...)                                                      \
	EKHO_NTH(__VA_ARGS__, EKHO_S32, EKHO_S31, EKHO_S30, EKHO_S29,         \
		 EKHO_S28, EKHO_S27, EKHO_S26, EKHO_S25, EKHO_S24, EKHO_S23,  \
		 EKHO_S22, EKHO_S21, EKHO_S20, EKHO_S19, EKHO_S18, EKHO_S17,  \
		 EKHO_S16, EKHO_S15, EKHO_S14, EKHO_S13, EKHO_S12, EKHO_S11,  \
		 EKHO_S10, EKHO_S9, EKHO_S8, EKHO_S7, EKHO_S6, EKHO_S5,       \
		 EKHO_S4, EKHO_S3, EKHO_S2, EKHO_S1)                          \
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
#define EKHO_MATCH(type)                                  \
	struct {                                          \
		struct flow_dissector_key_##type key, mask; \
	}
#define ekho_match(ctx, k, match)                              \
	(!bpf_flow_offload_get_match(ctx, EKHO_KEY_##k, match, \
				     sizeof(*(match))))

#endif /* EKHO_BPF_H */
