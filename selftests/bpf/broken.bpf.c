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
 *	foreign_destroy	destroy calls what only replace may
 *	foreign_stats	stats calls what only replace may
 *	foreign_attach	attach calls what ops for flows may
 *	foreign_qdisc	replace calls what only qdisc may
 *	recursive	a function that calls itself
 *	deep		functions that call one another, deeper than BPF goes
 *	stale		stats uses what replace has kept of another flow
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

#ifdef BROKEN_recursive
__attribute__((noinline)) int recursive(__u64 n)
{
	/* Twice, or the compiler makes a loop of it. */
	return n ? recursive(n - 1) * recursive(n / 2) : 1;
}
#endif

#ifdef BROKEN_deep
/* Linux 7.2 has 16 frames, others fewer; the op itself is the first. */
#define DEEPER(n, next)                                        \
	__attribute__((noinline)) static int deep##n(__u64 *x) \
	{                                                      \
		volatile __u64 y = *x;                         \
                                                               \
		return next((__u64 *)&y) + 1;                  \
	}
__attribute__((noinline)) static int deep0(__u64 *x)
{
	return *x;
}
DEEPER(1, deep0)
DEEPER(2, deep1)
DEEPER(3, deep2)
DEEPER(4, deep3)
DEEPER(5, deep4)
DEEPER(6, deep5)
DEEPER(7, deep6)
DEEPER(8, deep7)
DEEPER(9, deep8)
DEEPER(10, deep9)
DEEPER(11, deep10)
DEEPER(12, deep11)
DEEPER(13, deep12)
DEEPER(14, deep13)
DEEPER(15, deep14)
DEEPER(16, deep15)
#endif

#ifdef BROKEN_stale
struct ekho_flow *kept;
#endif

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
#elif defined(BROKEN_foreign_qdisc)
	return bpf_flow_offload_add_qdisc_stats((void *)ctx, 1, 1, 1, 1);
#elif defined(BROKEN_recursive)
	return recursive(cookie);
#elif defined(BROKEN_deep)
	return deep16(&cookie);
#elif defined(BROKEN_stale)
	kept = &ctx->flow;
	return 0;
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
#ifdef BROKEN_foreign_destroy
	return bpf_flow_offload_set_reason((void *)args[0], "x", 2);
#endif
	return 0;
}
#endif

SEC("struct_ops/stats")
int broken_stats(__u64 *args)
{
#ifdef BROKEN_foreign_stats
	struct flow_dissector_key_ports ports[2];

	return bpf_flow_offload_get_match((void *)args[0], EKHO_KEY_PORTS,
					  ports, sizeof(ports));
#endif
#ifdef BROKEN_stale
	return kept ? kept->prio : 0;
#endif
	return 0;
}

#ifdef BROKEN_foreign_attach
SEC("struct_ops/attach")
int broken_attach(__u64 *args)
{
	return !bpf_flow_offload_flow_data((void *)args[0], 8);
}
#endif

char _license[] SEC("license") = LICENSE;

#ifndef BROKEN_no_ops
SEC(SECTION)
struct bpf_flow_offload_ops broken_fw = {
	.abi_version = ABI,
	.name = NAME,
#ifdef BROKEN_foreign_attach
	.attach = (void *)broken_attach,
#endif
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
