// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's interface to BPF: kfuncs, struct_ops stubs and their BTF.
 *
 * struct_ops stubs are looked up by symbol and then by BTF name, and kfuncs by
 * BTF name, so both have to be C functions. They forward to Rust at once; the
 * callbacks of struct bpf_struct_ops itself are Rust (abstractions/bpf/struct_ops.rs).
 */
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>

#include "ekho.h"

/*
 * A stub gives an op's prototype, and stands in for it where the kernel wants
 * a callable default. None is ever called: dispatch tests for NULL.
 */
#define EKHO_OP_STUB(name, variant, presence, result, argument, value)	\
static result bpf_flow_offload_ops__##name(struct argument *ctx)	\
{									\
	return value;							\
}
EKHO_OPS(EKHO_OP_STUB)

#define EKHO_OP_MEMBER(name, variant, presence, result, argument, value) \
	.name = bpf_flow_offload_ops__##name,

struct bpf_flow_offload_ops ekho_cfi_stubs = {
	EKHO_OPS(EKHO_OP_MEMBER)
};

static const struct bpf_func_proto *
ekho_get_func_proto(enum bpf_func_id func_id, const struct bpf_prog *prog)
{
	return bpf_base_func_proto(func_id, prog);
}

static bool ekho_is_valid_access(int off, int size, enum bpf_access_type type,
				 const struct bpf_prog *prog,
				 struct bpf_insn_access_aux *info)
{
	return bpf_tracing_btf_ctx_access(off, size, type, prog, info);
}

/* No btf_struct_access: firmware writes through kfuncs only. */
const struct bpf_verifier_ops ekho_verifier_ops = {
	.get_func_proto = ekho_get_func_proto,
	.is_valid_access = ekho_is_valid_access,
};

/* A macro that emits the value type into this unit's BTF. */
int ekho_register_struct_ops(struct bpf_struct_ops *st_ops)
{
	/* What firmware needs to know of, and nothing else here uses. */
	BTF_TYPE_EMIT_ENUM(BPF_FLOW_OFFLOAD_ABI);
	BTF_TYPE_EMIT_ENUM(EKHO_CLS_FLOWER);
	BTF_TYPE_EMIT_ENUM(EKHO_HOOK_INGRESS);
	BTF_TYPE_EMIT_ENUM(EKHO_KEY_CONTROL);
	BTF_TYPE_EMIT_ENUM(EKHO_ACT_ACCEPT);
	BTF_TYPE_EMIT_ENUM(EKHO_HW_STATS_DELAYED);
	BTF_TYPE_EMIT_ENUM(EKHO_STATS_TOTALS);
	BTF_TYPE_EMIT_ENUM(EKHO_HNODE_NEW);
	BTF_TYPE_EMIT_ENUM(EKHO_TABLES_RULES);
	BTF_TYPE_EMIT(struct flow_dissector_key_control);
	BTF_TYPE_EMIT(struct flow_dissector_key_basic);
	BTF_TYPE_EMIT(struct flow_dissector_key_ipv4_addrs);
	BTF_TYPE_EMIT(struct flow_dissector_key_ipv6_addrs);
	BTF_TYPE_EMIT(struct flow_dissector_key_ports);
	BTF_TYPE_EMIT(struct flow_dissector_key_ports_range);
	BTF_TYPE_EMIT(struct flow_dissector_key_icmp);
	BTF_TYPE_EMIT(struct flow_dissector_key_eth_addrs);
	BTF_TYPE_EMIT(struct flow_dissector_key_arp);
	BTF_TYPE_EMIT(struct flow_dissector_key_vlan);
	BTF_TYPE_EMIT(struct flow_dissector_key_mpls);
	BTF_TYPE_EMIT(struct flow_dissector_key_tcp);
	BTF_TYPE_EMIT(struct flow_dissector_key_ip);
	BTF_TYPE_EMIT(struct flow_dissector_key_meta);
	BTF_TYPE_EMIT(struct flow_dissector_key_ct);
	BTF_TYPE_EMIT(struct flow_dissector_key_hash);
	BTF_TYPE_EMIT(struct flow_dissector_key_num_of_vlans);
	BTF_TYPE_EMIT(struct flow_dissector_key_pppoe);
	BTF_TYPE_EMIT(struct flow_dissector_key_l2tpv3);
	BTF_TYPE_EMIT(struct flow_dissector_key_cfm);
	BTF_TYPE_EMIT(struct flow_dissector_key_ipsec);
	BTF_TYPE_EMIT(struct flow_dissector_key_keyid);
	BTF_TYPE_EMIT(struct flow_dissector_key_enc_opts);

	return register_bpf_struct_ops(st_ops, bpf_flow_offload_ops);
}

/*
 * What firmware can call, and why it can't do harm with that.
 *
 * Firmware reads a context and what it leads to through BTF, where a pointer
 * that it has made up reads as zeros, and writes nowhere but here. The kernel's
 * verifier checks the arguments:
 *
 *  - A context, or the flow in it, is the argument of the op that runs, by its
 *    type. The verifier takes nothing else for it: a pointer that was kept in a
 *    map isn't trusted any more, nor is one from bpf_rdonly_cast(), callbacks
 *    that run after the op can't get hold of it, and no program of another type
 *    can call these functions. But it takes memory of firmware's own in place of
 *    a structure of nothing but numbers. So each structure that is an argument
 *    here must have a pointer in it; selftests/contract.sh looks after that.
 *    It lies in memory of the op's caller, as does all that it points at, for
 *    the length of the op, and no other thread uses it.
 *  - Memory with a size is firmware's to write and to read: its stack, a value
 *    of a map, the private memory of a flow. Others may write to it meanwhile.
 *    It is nothing that pointers of contexts lead to, which can't be written.
 *  - A map is one that the program uses, which holds a reference to it.
 *
 * What is returned to firmware stays valid until the op returns. What firmware
 * has said is looked at after that.
 */

__bpf_kfunc_start_defs();

/**
 * bpf_flow_offload_map_stats - say what a map has counted of a flow so far
 * @ctx: the argument of the stats op
 * @totals: monotonic totals, which begin at zero with the flow in this map
 * @map__map: the map
 *
 * The module hands the kernel what is new since the last call. It knows maps
 * apart: one that is carried over to other firmware goes on there, one that
 * takes the place of another counts from zero. The last call of an op counts.
 * Any context.
 *
 * If ctx->action isn't 0, it is this action of the flow that is asked for: see
 * bpf_flow_offload_count_actions().
 *
 * Return: 0.
 */
__bpf_kfunc int bpf_flow_offload_map_stats(struct ekho_stats_ctx *ctx,
					   const struct ekho_totals *totals,
					   void *map__map)
{
	const struct bpf_map *map = map__map;

	/* An agent may be writing to them. */
	return ekho_kfunc_set_stats(ctx, map->id, READ_ONCE(totals->packets),
				    READ_ONCE(totals->bytes),
				    READ_ONCE(totals->drops),
				    READ_ONCE(totals->last_used_ns));
}

/**
 * bpf_flow_offload_set_stats - say what a flow has counted so far
 * @ctx: the argument of the stats op
 * @packets: packets that matched since the flow was accepted
 * @bytes: their bytes
 * @drops: how many of them were dropped
 * @last_used_ns: bpf_ktime_get_ns() of the last packet, 0 if not known
 *
 * All are monotonic totals since the flow was accepted, by this firmware or by
 * one that it has replaced: such as hardware keeps, or the private memory of
 * the flow. For totals in a map there is bpf_flow_offload_map_stats(). The
 * module hands the kernel what is new. The last call of an op counts. Any
 * context.
 *
 * Return: 0.
 */
__bpf_kfunc int bpf_flow_offload_set_stats(struct ekho_stats_ctx *ctx,
					   u64 packets, u64 bytes, u64 drops,
					   u64 last_used_ns)
{
	return ekho_kfunc_set_stats(ctx, 0, packets, bytes, drops,
				    last_used_ns);
}

/**
 * bpf_flow_offload_add_stats - say what a flow has counted since the last time
 * @ctx: the argument of the stats op
 * @packets: packets that matched since the last call for this flow
 * @bytes: their bytes
 * @drops: how many of them were dropped
 * @last_used_ns: bpf_ktime_get_ns() of the last packet, 0 if not known
 *
 * For counters that are read and cleared, instead of
 * bpf_flow_offload_set_stats(). Several calls in one op add up. Any context.
 *
 * Return: 0.
 */
__bpf_kfunc int bpf_flow_offload_add_stats(struct ekho_stats_ctx *ctx,
					   u64 packets, u64 bytes, u64 drops,
					   u64 last_used_ns)
{
	return ekho_kfunc_add_stats(ctx, packets, bytes, drops, last_used_ns);
}

/**
 * bpf_flow_offload_choose_hw_stats - say how a flow will be counted
 * @ctx: the argument of the replace op
 * @hw_stats: one bit of enum ekho_hw_stats
 *
 * Without it the first is taken that the firmware declares and the user
 * allows: delayed, immediate, disabled. The user reads it as used_hw_stats.
 *
 * Return: 0; -EOPNOTSUPP if the user doesn't allow it (see ctx->hw_stats),
 * -EINVAL if it isn't one bit.
 */
__bpf_kfunc int bpf_flow_offload_choose_hw_stats(struct ekho_replace_ctx *ctx,
						 u32 hw_stats)
{
	if (hw_stats != EKHO_HW_STATS_IMMEDIATE &&
	    hw_stats != EKHO_HW_STATS_DELAYED &&
	    hw_stats != EKHO_HW_STATS_DISABLED)
		return -EINVAL;
	if (!(ctx->hw_stats & hw_stats))
		return -EOPNOTSUPP;
	ctx->chosen_hw_stats = hw_stats;
	return 0;
}

/**
 * bpf_flow_offload_count_actions - count each action of a flow by itself
 * @ctx: the argument of the replace op
 *
 * Without it a flow has one set of counters, which tc shows for each of its
 * actions. With it, stats is called for each action instead, with the action's
 * cookie (struct ekho_action) as ctx->action, and ctx->flow as ever; never for
 * the flow as a whole.
 *
 * An action that filters share by its index is counted with the one that came
 * last on the device, as long as that lives; if it was accepted by itself, as
 * EKHO_CLS_ACTION, it is that flow which is asked for. Of a pedit action that
 * both sets and adds the kernel doesn't ask for statistics. In a block that
 * devices share, count a filter in the same way on all of them: once one wants
 * its actions asked for, the kernel ignores what others say of the whole.
 *
 * Return: 0; -EOPNOTSUPP if the flow isn't of flower or matchall.
 */
__bpf_kfunc int bpf_flow_offload_count_actions(struct ekho_replace_ctx *ctx)
{
	if (ctx->flow.classifier != EKHO_CLS_FLOWER &&
	    ctx->flow.classifier != EKHO_CLS_MATCHALL)
		return -EOPNOTSUPP;
	ctx->counts_actions = 1;
	return 0;
}

/**
 * bpf_flow_offload_flow_data - the private memory of a flow
 * @flow: the flow: &ctx->flow of replace, destroy or stats
 * @rdwr_buf_size: how much of it is used, a constant
 *
 * The memory is zero when the flow is new, belongs to the firmware, outlives
 * the firmware's replacement, and goes with the flow. How much there is the
 * firmware says with bpf_flow_offload_ops.flow_size. Ops for the same flow can
 * run in parallel: use atomic operations where that matters.
 *
 * The verifier keeps firmware within the size that it asked for. The memory goes
 * after a grace period of RCU, and so not before the op returns.
 *
 * Return: the memory, or NULL if the flow has less than asked for.
 */
__bpf_kfunc u8 *bpf_flow_offload_flow_data(struct ekho_flow *flow,
					   const size_t rdwr_buf_size)
{
	if (!flow->data || rdwr_buf_size > flow->data_size)
		return NULL;
	return flow->data;
}

/**
 * bpf_flow_offload_set_reason - say why a flow is refused
 * @ctx: the argument of the replace op
 * @reason: text; ends at the first NUL, or after @reason__sz bytes
 * @reason__sz: size of the buffer
 *
 * The user of tc reads it if the filter is skip_sw or verbose, and
 * `ekho-fw show` counts refusals by it. What is beyond EKHO_REASON_MAX is cut,
 * what can't be printed is replaced. The last call before a refusal counts.
 *
 * Return: 0.
 */
__bpf_kfunc int bpf_flow_offload_set_reason(struct ekho_replace_ctx *ctx,
					    const char *reason, u32 reason__sz)
{
	return ekho_kfunc_set_reason(ctx, reason, reason__sz);
}

/**
 * bpf_flow_offload_get_match - read one key of what a flow matches
 * @ctx: the argument of the replace op
 * @key_id: enum ekho_key
 * @match: where it goes: two of the structure that belongs to @key_id, first
 *	the key, then the mask
 * @match__sz: the size of both together
 *
 * Structures are the kernel's own struct flow_dissector_key_*, in the byte
 * order that they have there. If the kernel's is longer than the one asked
 * for, it is cut; if it is shorter, the rest is zero.
 *
 * Return: 0; -ENOENT if the flow hasn't got the key, -EINVAL if there is no
 * such key or the size is odd. Both are zero then.
 */
__bpf_kfunc int bpf_flow_offload_get_match(struct ekho_replace_ctx *ctx,
					   u32 key_id, void *match,
					   u32 match__sz)
{
	return ekho_kfunc_get_match(ctx, key_id, match, match__sz);
}

/**
 * bpf_flow_offload_encoding - what a flow matches and does, encoded
 * @ctx: the argument of the replace op
 * @rdonly_buf_size: how much of it is read, a constant
 *
 * bpf/ekho_rule.h says what is there, docs/rule-encoding.md has it as tables.
 * Nothing is copied: the memory is the module's, for reading until the op
 * returns. It begins with the ctx->encoding_size bytes of the rule; all that is
 * behind them is zero, EKHO_RULE_END. There are EKHO_RULE_SHORT bytes in all if
 * the rule isn't longer than that, else EKHO_RULE_MAX.
 *
 * Return: the memory, or NULL if there is less than asked for, or if the rule is
 * longer.
 */
__bpf_kfunc const u8 *
bpf_flow_offload_encoding(struct ekho_replace_ctx *ctx,
			  const size_t rdonly_buf_size)
{
	return ekho_kfunc_encoding(ctx, rdonly_buf_size);
}

/**
 * bpf_flow_offload_insert - have the device execute a flow on packets
 * @ctx: the argument of the replace op
 *
 * The rule is put into the tables of the device as it was asked for, once the op
 * has returned 0; it leaves them with the flow. Firmware that doesn't call this
 * keeps the rule for itself, and no packet matches it. The firmware has to
 * declare bpf_flow_offload_ops.tables.
 *
 * A rule that the device can't execute as the kernel's software does isn't
 * inserted. The reason is set as by bpf_flow_offload_set_reason(), so that the
 * op can return the error as it is.
 *
 * Return: 0, also if it was called before; -EOPNOTSUPP if the device can't
 * execute the rule, -ENOENT if the firmware has declared no tables.
 */
__bpf_kfunc int bpf_flow_offload_insert(struct ekho_replace_ctx *ctx)
{
	return ekho_kfunc_insert(ctx);
}

/*
 * Open-coded iterator over a rule's actions, in order:
 *
 *	struct ekho_action *act;
 *
 *	bpf_for_each(flow_action, act, ctx)
 *		...
 *
 * What it points at stays as it is until the op returns. Any number of
 * iterators can be in use at the same time.
 *
 * An iterator is on the BPF stack, where the verifier keeps firmware from
 * writing to it between new and destroy, and no longer: so it holds nothing but
 * a position. The records are in memory of the op's caller, one for each
 * action, see struct ekho_replace_call.
 */
struct bpf_iter_flow_action {
	u64 __opaque[2];
} __aligned(8);

struct ekho_action_iter {
	const struct ekho_replace_ctx *ctx;
	u64 next;
};

__bpf_kfunc int bpf_iter_flow_action_new(struct bpf_iter_flow_action *it,
					 struct ekho_replace_ctx *ctx)
{
	struct ekho_action_iter *iter = (void *)it;

	BUILD_BUG_ON(sizeof(*iter) > sizeof(*it));
	BUILD_BUG_ON(__alignof__(*iter) != __alignof__(*it));

	iter->ctx = ctx;
	iter->next = 0;
	return 0;
}

__bpf_kfunc struct ekho_action *
bpf_iter_flow_action_next(struct bpf_iter_flow_action *it)
{
	struct ekho_action_iter *iter = (void *)it;
	struct ekho_action *action;

	action = ekho_kfunc_action(iter->ctx, iter->next);
	if (action)
		iter->next++;
	return action;
}

__bpf_kfunc void bpf_iter_flow_action_destroy(struct bpf_iter_flow_action *it)
{
}

/**
 * bpf_flow_offload_add_qdisc_stats - answer what a qdisc has done
 * @ctx: the argument of the qdisc op
 * @packets: packets sent since the last call for this qdisc
 * @bytes: their bytes
 * @drops: packets dropped since then
 * @overlimits: likewise, packets that met a limit
 *
 * Of use for the STATS commands of red, prio, ets, tbf, fifo and mq; others
 * don't ask.
 *
 * Return: 0.
 */
__bpf_kfunc int bpf_flow_offload_add_qdisc_stats(struct ekho_qdisc_ctx *ctx,
						 u64 packets, u64 bytes,
						 u32 drops, u32 overlimits)
{
	ctx->packets += packets;
	ctx->bytes += bytes;
	ctx->drops += drops;
	ctx->overlimits += overlimits;
	ctx->valid = 1;
	return 0;
}

/**
 * bpf_flow_offload_set_qdisc_queue - answer by which queue a class of htb sends
 * @ctx: the argument of the qdisc op
 * @qid: number of a transmit queue of the device that isn't in use: from the
 *	number on that `ethtool -L DEV tx N` sets, and no other class has
 *
 * The request is the kernel's own, for the length of the op. After the op the
 * module looks whether the device has such a queue and whether it is free.
 *
 * Return: 0; -EINVAL if the request isn't one of htb.
 */
__bpf_kfunc int bpf_flow_offload_set_qdisc_queue(struct ekho_qdisc_ctx *ctx,
						 u16 qid)
{
	if (!ctx->htb)
		return -EINVAL;
	ctx->htb->qid = qid;
	return 0;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(ekho_kfunc_ids)
BTF_ID_FLAGS(func, bpf_flow_offload_map_stats)
BTF_ID_FLAGS(func, bpf_flow_offload_set_stats)
BTF_ID_FLAGS(func, bpf_flow_offload_add_stats)
BTF_ID_FLAGS(func, bpf_flow_offload_choose_hw_stats)
BTF_ID_FLAGS(func, bpf_flow_offload_count_actions)
BTF_ID_FLAGS(func, bpf_flow_offload_flow_data, KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_flow_offload_set_reason)
BTF_ID_FLAGS(func, bpf_flow_offload_get_match)
BTF_ID_FLAGS(func, bpf_flow_offload_encoding, KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_flow_offload_insert)
BTF_ID_FLAGS(func, bpf_iter_flow_action_new, KF_ITER_NEW)
BTF_ID_FLAGS(func, bpf_iter_flow_action_next, KF_ITER_NEXT | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_iter_flow_action_destroy, KF_ITER_DESTROY)
BTF_ID_FLAGS(func, bpf_flow_offload_add_qdisc_stats)
BTF_ID_FLAGS(func, bpf_flow_offload_set_qdisc_queue)
BTF_KFUNCS_END(ekho_kfunc_ids)

int ekho_register_kfuncs(struct module *owner)
{
	static struct btf_kfunc_id_set set = { .set = &ekho_kfunc_ids };

	set.owner = owner;
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS, &set);
}
