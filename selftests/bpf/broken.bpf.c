// SPDX-License-Identifier: GPL-2.0-only
/*
 * Firmware that can't be used, and one that can to compare with: the Makefile
 * compiles this file once for each way in which it is broken.
 *
 *	BROKEN_		what is wrong
 *	none		nothing
 *	abi_newer	.abi_version of the far future
 *	abi_zero	.abi_version was forgotten
 *	no_destroy	a mandatory op is missing
 *	name_blank	a name with a blank in it
 *	name_empty	no name
 *	name_long	a name without its end
 *	no_link		in section .struct_ops, so without a link
 *	sleepable	an op that may sleep
 *	no_ops		programs, but no ops
 *	null		a map's value is used without a check: the verifier says no
 *	long_log	the same after a hundred branches: much for it to say
 *	kfunc		calls a function that nobody has
 *	wrong_op	replace calls what only stats may
 *	writes		writes into what it was given
 *	proprietary	a licence that isn't the GPL
 *	shape		flow_stats with values of 16 bytes
 *	array		flow_stats is an array
 *	layout		reads a field of a type that no kernel has
 *	two		two sets of ops
 */
#include "ekho.bpf.h"

#if defined(BROKEN_abi_newer)
#define ABI 99
#elif defined(BROKEN_abi_zero)
#define ABI 0
#else
#define ABI BPF_FLOW_OFFLOAD_ABI
#endif

#if defined(BROKEN_name_blank)
#define NAME "no blanks"
#elif defined(BROKEN_name_empty)
#define NAME ""
#elif defined(BROKEN_name_long)
#define NAME { [0 ... 31] = 'x' }
#else
#define NAME "broken"
#endif

#ifdef BROKEN_no_link
#define SECTION ".struct_ops"
#else
#define SECTION ".struct_ops.link"
#endif

#ifdef BROKEN_sleepable
#define REPLACE "struct_ops.s/replace"
#else
#define REPLACE "struct_ops/replace"
#endif

#ifdef BROKEN_proprietary
#define LICENSE "Proprietary"
#else
#define LICENSE "GPL"
#endif

struct {
#ifdef BROKEN_array
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
#else
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
#endif
	__uint(max_entries, 65536);
#if defined(BROKEN_shape)
	__type(value, __u64[2]);
#else
	__type(value, struct ekho_flow_counters);
#endif
} flow_stats SEC(".maps");

extern int bpf_flow_offload_made_up(struct ekho_replace_ctx *ctx) __ksym;

struct ekho_flow___made_up {
	__u32 made_up;
} __attribute__((preserve_access_index));

SEC(REPLACE)
int broken_replace(__u64 *args)
{
	struct ekho_replace_ctx *ctx = (void *)args[0];
	__u64 cookie = ctx->flow.cookie;
	__u64 *value __attribute__((unused)) =
		bpf_map_lookup_elem(&flow_stats, &cookie);

#ifdef BROKEN_long_log
#pragma clang loop unroll(full)
	for (int i = 0; i < 100; i++)
		if (bpf_get_prandom_u32() == i)
			cookie += i;
#endif
#if defined(BROKEN_null) || defined(BROKEN_long_log)
	return *value == cookie;
#elif defined(BROKEN_kfunc)
	return bpf_flow_offload_made_up(ctx);
#elif defined(BROKEN_wrong_op)
	return bpf_flow_offload_set_stats((void *)ctx, 1, 1, 1, 1);
#elif defined(BROKEN_writes)
	*(volatile __u32 *)&ctx->flow.prio = 1;
	return 0;
#elif defined(BROKEN_layout)
	return ((struct ekho_flow___made_up *)&ctx->flow)->made_up;
#else
#ifdef BROKEN_array
	return 0;
#else
	return value ? -EEXIST : 0;
#endif
#endif
}

#ifndef BROKEN_no_destroy
SEC("struct_ops/destroy")
int broken_destroy(__u64 *args)
{
	return 0;
}
#endif

SEC("struct_ops/stats")
int broken_stats(__u64 *args)
{
	return 0;
}

char _license[] SEC("license") = LICENSE;

#ifndef BROKEN_no_ops
SEC(SECTION)
struct bpf_flow_offload_ops broken_fw = {
	.abi_version = ABI,
	.name = NAME,
	.replace = (void *)broken_replace,
#ifndef BROKEN_no_destroy
	.destroy = (void *)broken_destroy,
#endif
	.stats = (void *)broken_stats,
};
#endif

#ifdef BROKEN_two
SEC(SECTION)
struct bpf_flow_offload_ops second_fw = {
	.abi_version = ABI,
	.name = "second",
	.replace = (void *)broken_replace,
	.destroy = (void *)broken_destroy,
	.stats = (void *)broken_stats,
};
#endif
