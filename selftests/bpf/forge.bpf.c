// SPDX-License-Identifier: GPL-2.0-only
/*
 * Firmware that gives the module's functions what they must not trust: memory
 * of its own in place of a context, or what another op was given. The Makefile
 * compiles this file once for each attempt. The verifier refuses all of them,
 * but for the last three, which tests run.
 *
 *	FORGE_		what it tries
 *	stats		statistics for a context on its stack
 *	match		a key of a context in a map
 *	flow		the private memory of a flow on its stack
 *	qdisc		a queue for a context on its stack
 *	iterator	the actions of a context on its stack
 *	kept		a key of a context that was kept in a map
 *	cast		a key of an address that is said to be a context
 *	into_ctx	a key, written over the context
 *	into_action	a key, written over a record of an action
 *	write_action	another number in a record of an action
 *	write_iterator	a context of its own in an iterator that is in use
 *	leave_iterator	an iterator that is in use when the op returns
 *	beyond		memory behind the private memory of a flow
 *	encoding	the encoded rule of a context on its stack
 *	old_encoding	the encoded rule of a context that was kept in a map
 *	write_encoding	another byte in the encoded rule
 *	read_beyond	what is behind the encoded rule
 *	timer		a context in a timer, which runs after the op
 *	overwrite	what an iterator has left on the stack, overwritten
 *	nested		records of several iterators, in use at a time
 *	last		the record of each action, once the iterator is done
 */
#include "ekho.bpf.h"

#define CLOCK_MONOTONIC 1

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

struct kept {
	struct ekho_replace_ctx
		__attribute__((btf_type_tag("kptr_untrusted"))) *
		ctx;
	struct flow_dissector_key_ports ports[2];
	char forged[sizeof(struct ekho_replace_ctx)];
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kept);
} keep SEC(".maps");

static __always_inline __attribute__((unused)) struct kept *kept(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&keep, &zero);
}

#ifdef FORGE_timer
struct ekho_replace_ctx *current_ctx;

static int later(void *map, __u32 *key, struct kept *kept)
{
	return bpf_flow_offload_get_match(current_ctx, EKHO_KEY_PORTS,
					  kept->ports, sizeof(kept->ports));
}
#endif

/* What the compiler knows nothing of, but that it is written. */
static __always_inline __attribute__((unused)) void scribble(void *at,
							     __u32 words)
{
	volatile __u64 *word = at;

	for (__u32 i = 0; i < words; i++)
		word[i] = 0x4141414141414141;
}

static __always_inline __attribute__((unused)) int
sum(const struct ekho_action *act)
{
	return act->id * 1000 + act->arg + act->entry->hw_index;
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
#if defined(FORGE_match)
	struct kept *kept_ = kept();

	return kept_ ? bpf_flow_offload_get_match((void *)kept_->forged,
						  EKHO_KEY_PORTS, kept_->ports,
						  sizeof(kept_->ports)) :
		       0;
#elif defined(FORGE_flow)
	struct ekho_flow flow = { .data_size = 64, .data = ctx };

	return !bpf_flow_offload_flow_data(&flow, 64);
#elif defined(FORGE_iterator)
	struct ekho_replace_ctx forged;
	struct bpf_iter_flow_action it;

	scribble(&forged, sizeof(forged) / 8);
	bpf_iter_flow_action_new(&it, &forged);
	bpf_iter_flow_action_destroy(&it);
#elif defined(FORGE_encoding)
	struct ekho_replace_ctx forged;
	const __u8 *rule;

	scribble(&forged, sizeof(forged) / 8);
	rule = bpf_flow_offload_encoding(&forged, EKHO_RULE_SHORT);
	return rule ? -rule[0] : 0;
#elif defined(FORGE_old_encoding)
	struct kept *kept_ = kept();
	struct ekho_replace_ctx *old;

	if (!kept_)
		return 0;
	old = kept_->ctx;
	kept_->ctx = ctx;
	return old && bpf_flow_offload_encoding(old, EKHO_RULE_SHORT) ? -1 : 0;
#elif defined(FORGE_write_encoding)
	const __u8 *rule = bpf_flow_offload_encoding(ctx, EKHO_RULE_SHORT);

	if (rule)
		*(volatile __u8 *)rule = 0;
#elif defined(FORGE_read_beyond)
	const __u8 *rule = bpf_flow_offload_encoding(ctx, EKHO_RULE_SHORT);

	return rule ? -((volatile const __u8 *)rule)[EKHO_RULE_SHORT] : 0;
#elif defined(FORGE_kept)
	struct kept *kept_ = kept();
	struct ekho_replace_ctx *old;

	if (!kept_)
		return 0;
	old = kept_->ctx;
	kept_->ctx = ctx;
	return old ? bpf_flow_offload_get_match(old, EKHO_KEY_PORTS,
						kept_->ports,
						sizeof(kept_->ports)) :
		     0;
#elif defined(FORGE_cast)
	struct flow_dissector_key_ports ports[2];
	void *forged = (void *)(long)ctx->flow.cookie;

	return bpf_flow_offload_get_match(
		bpf_rdonly_cast(forged, bpf_core_type_id_kernel(
						struct ekho_replace_ctx)),
		EKHO_KEY_PORTS, ports, sizeof(ports));
#elif defined(FORGE_into_ctx)
	return bpf_flow_offload_get_match(ctx, EKHO_KEY_PORTS, ctx, 8);
#elif defined(FORGE_beyond)
	__u8 *data = bpf_flow_offload_flow_data(&ctx->flow, 16);

	return data ? ((volatile __u8 *)data)[16] : 0;
#elif defined(FORGE_timer)
	struct kept *kept_ = kept();

	if (!kept_)
		return 0;
	current_ctx = ctx;
	bpf_timer_init(&kept_->timer, &keep, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&kept_->timer, later);
	bpf_timer_start(&kept_->timer, 1000, 0);
#elif defined(FORGE_into_action) || defined(FORGE_write_action) ||        \
	defined(FORGE_write_iterator) || defined(FORGE_leave_iterator) || \
	defined(FORGE_overwrite)
	struct bpf_iter_flow_action it;
	struct ekho_action *act;
	__u32 id __attribute__((unused)), arg __attribute__((unused));

	bpf_iter_flow_action_new(&it, ctx);
	act = bpf_iter_flow_action_next(&it);
	if (!act) {
		bpf_iter_flow_action_destroy(&it);
		return 0;
	}
	id = act->id;
	arg = act->arg;
#if defined(FORGE_into_action)
	bpf_flow_offload_get_match(ctx, EKHO_KEY_PORTS, act, 8);
#elif defined(FORGE_write_action)
	((volatile struct ekho_action *)act)->arg = 1;
#elif defined(FORGE_write_iterator)
	scribble(&it, 1);
	act = bpf_iter_flow_action_next(&it);
#elif defined(FORGE_leave_iterator)
	return arg;
#endif
	bpf_iter_flow_action_destroy(&it);
#ifdef FORGE_overwrite
	scribble(&it, sizeof(it) / 8);
	if (((volatile struct ekho_action *)act)->id != id ||
	    ((volatile struct ekho_action *)act)->arg != arg)
		return ekho_refuse(ctx, EINVAL, "forged");
	/* What the record points at, too. */
	if (act->entry->hw_stats != act->hw_stats)
		return ekho_refuse(ctx, EINVAL, "forged entry");
#endif
#elif defined(FORGE_nested)
	struct ekho_action *outer, *inner, *third;
	struct bpf_iter_flow_action it;
	__u32 turns = 0;

	bpf_iter_flow_action_new(&it, ctx);
	bpf_for_each(flow_action, outer, ctx) {
		int before = sum(outer);
		__u32 inside = 0;

		third = bpf_iter_flow_action_next(&it);
		bpf_for_each(flow_action, inner, ctx)
			inside++;
		if (inside != ctx->n_actions || sum(outer) != before ||
		    !third || sum(third) != before)
			turns += 1000;
		turns++;
	}
	bpf_iter_flow_action_destroy(&it);
	if (turns != ctx->n_actions)
		return ekho_refuse(ctx, EINVAL, "%u turns of %u", turns,
				   ctx->n_actions);
#elif defined(FORGE_last)
	struct ekho_action *first = NULL, *last = NULL, *act;

	bpf_for_each(flow_action, act, ctx) {
		if (!first)
			first = act;
		last = act;
	}
	if (first && last)
		return ekho_refuse(ctx, EOPNOTSUPP, "%u/%u to %u/%u of %u",
				   first->id, first->arg, last->id, last->arg,
				   ctx->n_actions);
#endif
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
#ifdef FORGE_stats
	struct ekho_stats_ctx forged = {};

	forged.flow.data = ctx;
	return bpf_flow_offload_set_stats(&forged, 1, 100, 0, 0);
#endif
	return 0;
}

EKHO_OP(qdisc, struct ekho_qdisc_ctx *ctx)
{
#ifdef FORGE_qdisc
	struct ekho_qdisc_ctx forged;

	scribble(&forged, sizeof(forged) / 8);
	forged.htb = (void *)ctx;
	return bpf_flow_offload_set_qdisc_queue(&forged, 1);
#endif
	return 0;
}

EKHO_FIRMWARE(forge, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats, .qdisc = (void *)qdisc, .flow_size = 64);
