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
#include <bpf/bpf_helpers.h>

/* errno.h values that firmware returns; macros, so not in BTF. */
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
 * Counters by cookie, as `ekho-fw stats` and agents fill them: monotonic
 * totals; last_used_ns is CLOCK_MONOTONIC. The firmware makes and removes the
 * entries, user space only updates them. See stats.bpf.c.
 */
struct ekho_flow_counters {
	__u64 packets;
	__u64 bytes;
	__u64 drops;
	__u64 last_used_ns;
};

#define EKHO_FLOW_STATS(max)                              \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_HASH);          \
		__uint(map_flags, BPF_F_NO_PREALLOC);     \
		__uint(max_entries, max);                 \
		__type(key, __u64);                       \
		__type(value, struct ekho_flow_counters); \
	} flow_stats SEC(".maps")

/* In stats: the flow's totals so far. See rust/c/bpf.c. */
extern int bpf_flow_offload_set_stats(struct ekho_stats_ctx *ctx, u64 packets,
				      u64 bytes, u64 drops,
				      u64 last_used_ns) __ksym;

#endif /* EKHO_BPF_H */
