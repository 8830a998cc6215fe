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
extern const u8 *
bpf_flow_offload_encoding(struct ekho_replace_ctx *ctx,
			  const size_t rdonly_buf_size) __weak __ksym;
extern int bpf_flow_offload_insert(struct ekho_replace_ctx *ctx) __weak __ksym;
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
 * In replace: the encoded rule (see ekho_rule.h) for reading in place, with so
 * many bytes, a constant. NULL if it is longer, or of a module of before.
 */
#define ekho_encoding(ctx, size)                        \
	(bpf_ksym_exists(bpf_flow_offload_encoding) ?   \
		 bpf_flow_offload_encoding(ctx, size) : \
		 (const __u8 *)NULL)

/* The number in an attribute, of which 6 bytes can be read. */
static __always_inline __attribute__((unused)) __u32
ekho_attr_u32(const __u8 *attr)
{
	__u32 number = 0;

	for (int i = 0; i < 4; i++)
		if (i < attr[1])
			number |= (__u32)attr[2 + i] << 8 * i;
	return number;
}

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

/* A record whose parts have a size that is known when firmware is built. */
#define EKHO_RECORD(parts...)            \
	struct {                         \
		struct ekho_event event; \
		parts                    \
	}

#define EKHO_PART(name, type)               \
	struct ekho_event_part name##_part; \
	type name

/* Parts have no gaps before them. */
typedef struct ekho_flow_counters ekho_part_counters
	__attribute__((aligned(4)));

/* Where it ends with the part `last`. */
#define ekho_end_of(record, last) \
	(offsetof(typeof(*(record)), last) + sizeof((record)->last))

/* Fills in what all events have. */
static __always_inline void ekho_set_event(struct ekho_event *event,
					   const __u64 *lost, __u32 what,
					   int err, __u32 size)
{
	*event = (struct ekho_event){
		.version = EKHO_EVENT_VERSION,
		.header_size = sizeof(*event),
		.size = size,
		.time_ns = bpf_ktime_get_ns(),
		.lost = lost ? *lost : 0,
		.what = what,
		.err = err,
	};
}

static __always_inline void ekho_set_part(struct ekho_event_part *part,
					  __u16 type, __u16 size)
{
	part->type = type;
	part->size = size;
}

static __always_inline __u64 *ekho_lost_of(void *lost_map)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(lost_map, &key);
}

/*
 * Reserves a record, and fills in what all events have. NULL if there is no
 * room: the event is lost then.
 */
#define ekho_begin(record, last, ring, lost_map, what, err)                 \
	({                                                                  \
		__u64 *lost_ = ekho_lost_of(lost_map);                      \
                                                                            \
		(record) = bpf_ringbuf_reserve(ring, sizeof(*(record)), 0); \
		if (record)                                                 \
			ekho_set_event(&(record)->event, lost_, what, err,  \
				       ekho_end_of(record, last));          \
		else if (lost_)                                             \
			__sync_fetch_and_add(lost_, 1);                     \
		(record);                                                   \
	})

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
	if (bpf_core_field_exists(flow->ct_zone))
		event->ct_zone = flow->ct_zone;
}

#define EKHO_DEVICE_NAME EKHO_PART(name, char)[16];

#define ekho_set_device(record, dev)                                          \
	do {                                                                  \
		(record)->event.ifindex = (dev)->ifindex;                     \
		(record)->event.generation = (dev)->generation;               \
		ekho_set_part(&(record)->name_part, EKHO_PART_DEVICE,         \
			      sizeof((record)->name));                        \
		/* What is behind the text goes to user space, too. */        \
		__builtin_memset((record)->name, 0, sizeof((record)->name));  \
		bpf_probe_read_kernel_str(                                    \
			(record)->name, sizeof((record)->name), (dev)->name); \
	} while (0)

static __noinline __attribute__((unused)) int
ekho_event_device(void *ring, void *lost, const struct ekho_device *dev,
		  __u32 what, int err)
{
	EKHO_RECORD(EKHO_DEVICE_NAME) * record;

	if (ekho_begin(record, name, ring, lost, what, err)) {
		ekho_set_device(record, dev);
		bpf_ringbuf_submit(record, 0);
	}
	return err;
}

/* Most rules fit in here. */
#define EKHO_EVENT_RULE_SIZE 64

static __always_inline void ekho_set_rule(struct ekho_event *event,
					  struct ekho_replace_ctx *ctx)
{
	ekho_set_flow(event, &ctx->flow);
	event->classid = ctx->classid;
	event->keys = ctx->keys;
}

/* With what was said of a refusal, and rules of any length. */
static __noinline __attribute__((unused)) int
ekho_event_long_rule(void *ring, void *lost_map, struct ekho_replace_ctx *ctx,
		     __u32 what, int err)
{
	__u64 *lost = ekho_lost_of(lost_map);
	char reason[EKHO_REASON_SIZE] = {};
	struct bpf_dynptr record;
	struct ekho_event event;
	struct ekho_event_part part;
	const __u8 *small = NULL, *large = NULL;
	__u32 size = 0, room, at;
	long length = 0;

	if (bpf_ksym_exists(bpf_flow_offload_encoding)) {
		size = ctx->encoding_size;
		if (size <= EKHO_RULE_SHORT) {
			small = bpf_flow_offload_encoding(ctx, EKHO_RULE_SHORT);
			if (!small)
				size = 0;
		} else {
			large = bpf_flow_offload_encoding(ctx, EKHO_RULE_MAX);
			if (!large || size > EKHO_RULE_MAX)
				size = 0;
		}
	}
	if (err)
		length = bpf_probe_read_kernel_str(reason, sizeof(reason),
						   ctx->reason);
	room = sizeof(event) + sizeof(part) + size;
	if (length > 1)
		room += sizeof(part) + sizeof(reason);
	if (bpf_ringbuf_reserve_dynptr(ring, room, 0, &record)) {
		if (lost)
			__sync_fetch_and_add(lost, 1);
		goto out;
	}
	ekho_set_event(&event, lost, what, err, room);
	ekho_set_rule(&event, ctx);
	bpf_dynptr_write(&record, 0, &event, sizeof(event), 0);
	at = sizeof(event);
	if (length > 1) {
		ekho_set_part(&part, EKHO_PART_REASON, sizeof(reason));
		bpf_dynptr_write(&record, at, &part, sizeof(part), 0);
		bpf_dynptr_write(&record, at + sizeof(part), reason,
				 sizeof(reason), 0);
		at += sizeof(part) + sizeof(reason);
	}
	ekho_set_part(&part, EKHO_PART_RULE, size);
	bpf_dynptr_write(&record, at, &part, sizeof(part), 0);
	at += sizeof(part);
	if (small && size <= EKHO_RULE_SHORT)
		bpf_dynptr_write(&record, at, (void *)small, size, 0);
	else if (large && size <= EKHO_RULE_MAX)
		bpf_dynptr_write(&record, at, (void *)large, size, 0);
out:
	bpf_ringbuf_submit_dynptr(&record, 0);
	return err;
}

static __noinline __attribute__((unused)) int
ekho_event_replace(void *ring, void *lost, struct ekho_replace_ctx *ctx,
		   __u32 what, int err)
{
	EKHO_RECORD(EKHO_PART(rule, __u8)[EKHO_EVENT_RULE_SIZE];) * record;
	const __u8 *rule;
	__u32 size;

	if (err || !bpf_ksym_exists(bpf_flow_offload_encoding))
		return ekho_event_long_rule(ring, lost, ctx, what, err);
	/* What is behind the rule is zero. */
	rule = bpf_flow_offload_encoding(ctx, EKHO_EVENT_RULE_SIZE);
	if (!rule)
		return ekho_event_long_rule(ring, lost, ctx, what, err);
	size = ctx->encoding_size;
	if (ekho_begin(record, rule, ring, lost, what, err)) {
		ekho_set_rule(&record->event, ctx);
		record->event.size += size - EKHO_EVENT_RULE_SIZE;
		ekho_set_part(&record->rule_part, EKHO_PART_RULE, size);
		__builtin_memcpy(record->rule,
				 __builtin_assume_aligned(rule, 8),
				 sizeof(record->rule));
		bpf_ringbuf_submit(record, 0);
	}
	return err;
}

#define EKHO_COUNTERS EKHO_PART(counters, ekho_part_counters);

static __noinline __attribute__((unused)) int
ekho_event_destroy(void *ring, void *lost, struct ekho_destroy_ctx *ctx,
		   __u32 what, int err)
{
	EKHO_RECORD(EKHO_COUNTERS) * record;

	if (ekho_begin(record, counters, ring, lost, what, err)) {
		ekho_set_flow(&record->event, &ctx->flow);
		ekho_set_part(&record->counters_part, EKHO_PART_COUNTERS,
			      sizeof(record->counters));
		record->counters.packets = ctx->packets;
		record->counters.bytes = ctx->bytes;
		record->counters.drops = ctx->drops;
		record->counters.last_used_ns = 0;
		bpf_ringbuf_submit(record, 0);
	}
	return err;
}

static __noinline __attribute__((unused)) int
ekho_event_stats(void *ring, void *lost, struct ekho_stats_ctx *ctx, int err)
{
	EKHO_RECORD(EKHO_COUNTERS) * record;

	if (ekho_begin(record, counters, ring, lost, EKHO_EVENT_STATS, err)) {
		ekho_set_flow(&record->event, &ctx->flow);
		ekho_set_part(&record->counters_part, EKHO_PART_COUNTERS,
			      sizeof(record->counters));
		record->counters.packets = ctx->packets;
		record->counters.bytes = ctx->bytes;
		record->counters.drops = ctx->drops;
		record->counters.last_used_ns = ctx->last_used_ns;
		bpf_ringbuf_submit(record, 0);
	}
	return err;
}

static __noinline __attribute__((unused)) int
ekho_event_hnode(void *ring, void *lost, struct ekho_hnode_ctx *ctx, int err)
{
	EKHO_RECORD(EKHO_DEVICE_NAME EKHO_PART(hnode, struct ekho_event_hnode);)
	*record;

	if (ekho_begin(record, hnode, ring, lost, EKHO_EVENT_HNODE, err)) {
		ekho_set_device(record, &ctx->dev);
		record->event.chain_index = ctx->chain_index;
		record->event.prio = ctx->prio;
		record->event.skip_sw = ctx->skip_sw;
		ekho_set_part(&record->hnode_part, EKHO_PART_HNODE,
			      sizeof(record->hnode));
		record->hnode.command = ctx->command;
		record->hnode.handle = ctx->handle;
		record->hnode.divisor = ctx->divisor;
		bpf_ringbuf_submit(record, 0);
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
	EKHO_RECORD(EKHO_DEVICE_NAME EKHO_PART(qdisc, struct ekho_event_qdisc);)
	*record;
	struct ekho_event_qdisc qdisc = {};

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
	if (ekho_begin(record, qdisc, ring, lost, EKHO_EVENT_QDISC, err)) {
		ekho_set_device(record, &ctx->dev);
		ekho_set_part(&record->qdisc_part, EKHO_PART_QDISC,
			      sizeof(record->qdisc));
		record->qdisc = qdisc;
		bpf_ringbuf_submit(record, 0);
	}
	return err;
}

#endif /* EKHO_BPF_H */
