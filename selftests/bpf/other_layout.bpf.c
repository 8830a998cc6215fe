// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one whose firmware was built for another layout of the contract.
 *
 * It has no vmlinux.h: it declares the types with their members in another
 * order, without most of them, and with some that no module has. It runs only if members
 * are found by name when it is loaded.
 *
 *	matches		anything, with preference 42; -EDOM otherwise
 *	counters	as bpf/stats.bpf.c
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define ENOENT 2
#define EDOM 33
#define ERANGE 34

#pragma clang attribute push(__attribute__((preserve_access_index)), \
			     apply_to = record)

struct ekho_flow {
	__u8 from_the_future[40];
	__u32 prio;
	__u32 made_up;
	__u64 cookie;
};

struct ekho_replace_ctx {
	__u64 made_up;
	struct ekho_flow flow;
};

struct ekho_destroy_ctx {
	__u64 made_up;
	struct ekho_flow flow;
};

struct ekho_stats_ctx {
	__u64 made_up;
	struct ekho_flow flow;
};

#pragma clang attribute pop

struct bpf_flow_offload_ops {
	int (*stats)(struct ekho_stats_ctx *ctx);
	int (*from_the_future)(void *ctx);
	int (*destroy)(struct ekho_destroy_ctx *ctx);
	char name[32];
	int (*replace)(struct ekho_replace_ctx *ctx);
	__u32 abi_version;
	__u32 ifindex;
};

extern int bpf_flow_offload_set_stats(struct ekho_stats_ctx *ctx, __u64 packets,
				      __u64 bytes, __u64 drops,
				      __u64 last_used_ns) __ksym;

struct counters {
	__u64 packets;
	__u64 bytes;
	__u64 drops;
	__u64 last_used_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, struct counters);
} flow_stats SEC(".maps");

SEC("struct_ops/replace")
int replace(__u64 *args)
{
	struct ekho_replace_ctx *ctx = (void *)args[0];
	struct counters zero = {};
	__u64 cookie;

	if (bpf_core_field_exists(ctx->flow.made_up) ||
	    !bpf_core_field_exists(ctx->flow.cookie))
		return -ERANGE;
	if (ctx->flow.prio != 42)
		return -EDOM;
	cookie = ctx->flow.cookie;
	return bpf_map_update_elem(&flow_stats, &cookie, &zero, BPF_NOEXIST);
}

SEC("struct_ops/destroy")
int destroy(__u64 *args)
{
	struct ekho_destroy_ctx *ctx = (void *)args[0];
	__u64 cookie = ctx->flow.cookie;

	return bpf_map_delete_elem(&flow_stats, &cookie);
}

SEC("struct_ops/stats")
int stats(__u64 *args)
{
	struct ekho_stats_ctx *ctx = (void *)args[0];
	__u64 cookie = ctx->flow.cookie;
	struct counters *counters = bpf_map_lookup_elem(&flow_stats, &cookie);

	if (!counters)
		return -ENOENT;
	return bpf_flow_offload_set_stats(ctx, counters->packets,
					  counters->bytes, counters->drops,
					  counters->last_used_ns);
}

char _license[] SEC("license") = "GPL";

SEC(".struct_ops.link")
struct bpf_flow_offload_ops other_layout_fw = {
	.abi_version = 1,
	.name = "other_layout",
	.replace = (void *)replace,
	.destroy = (void *)destroy,
	.stats = (void *)stats,
};
