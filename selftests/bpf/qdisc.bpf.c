// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one that offloads every qdisc, and writes down what it was asked for,
 * as its own reading of the kernel's structures. See log.h.
 *
 * Each request for statistics finds 7 packets of 100 bytes more, 2 drops and 1
 * that met a limit; these aren't in the log. Classes of htb send by queue 1,
 * then 2 and so on.
 */
#include "ekho.bpf.h"
#include "log.h"

static int queues = 0;

static __noinline int more_statistics(struct ekho_qdisc_ctx *ctx)
{
	return bpf_flow_offload_add_qdisc_stats(ctx, 7, 700, 2, 1);
}

static __noinline int red(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_red_qopt_offload *red = ctx->red;

	say(line, "red command=%u handle=%x parent=%x", red->command,
	    red->handle, red->parent);
	if (red->command == TC_RED_REPLACE)
		say(line,
		    " min=%u max=%u probability=%u limit=%u ecn=%u harddrop=%u nodrop=%u",
		    BPF_CORE_READ(red, set.min), BPF_CORE_READ(red, set.max),
		    BPF_CORE_READ(red, set.probability),
		    BPF_CORE_READ(red, set.limit),
		    BPF_CORE_READ(red, set.is_ecn),
		    BPF_CORE_READ(red, set.is_harddrop),
		    BPF_CORE_READ(red, set.is_nodrop));
	return 0;
}

static __noinline int tbf(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_tbf_qopt_offload *tbf = ctx->tbf;

	say(line, "tbf command=%u handle=%x parent=%x", tbf->command,
	    tbf->handle, tbf->parent);
	if (tbf->command == TC_TBF_REPLACE)
		say(line, " rate=%llu max_size=%u",
		    BPF_CORE_READ(tbf, replace_params.rate.rate_bytes_ps),
		    BPF_CORE_READ(tbf, replace_params.max_size));
	return 0;
}

static __noinline int prio(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_prio_qopt_offload *prio = ctx->prio;
	__u8 map[16];

	say(line, "prio command=%u handle=%x parent=%x", prio->command,
	    prio->handle, prio->parent);
	if (prio->command == TC_PRIO_REPLACE) {
		BPF_CORE_READ_INTO(&map, prio, replace_params.priomap);
		say(line, " bands=%d map=%u,%u,%u,%u...",
		    BPF_CORE_READ(prio, replace_params.bands), map[0], map[1],
		    map[2], map[3]);
	}
	if (prio->command == TC_PRIO_GRAFT)
		say(line, " band=%u child=%x",
		    BPF_CORE_READ(prio, graft_params.band),
		    BPF_CORE_READ(prio, graft_params.child_handle));
	return 0;
}

static __noinline int ets(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_ets_qopt_offload *ets = ctx->ets;
	__u32 quanta[16];

	say(line, "ets command=%u handle=%x parent=%x", ets->command,
	    ets->handle, ets->parent);
	if (ets->command == TC_ETS_REPLACE) {
		BPF_CORE_READ_INTO(&quanta, ets, replace_params.quanta);
		say(line, " bands=%u quanta=%u,%u,%u...",
		    BPF_CORE_READ(ets, replace_params.bands), quanta[0],
		    quanta[1], quanta[2]);
	}
	return 0;
}

static __noinline int fifo(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_fifo_qopt_offload *fifo = ctx->fifo;

	say(line, "fifo command=%u handle=%x parent=%x", fifo->command,
	    fifo->handle, fifo->parent);
	return 0;
}

static __noinline int mqprio_options(struct log_line *line,
				     struct tc_mqprio_qopt_offload *mqprio)
{
	struct tc_mqprio_qopt qopt;

	bpf_core_read(&qopt, sizeof(qopt), &mqprio->qopt);
	say(line, " num_tc=%u hw=%u map=%u,%u,%u,%u...", qopt.num_tc, qopt.hw,
	    qopt.prio_tc_map[0], qopt.prio_tc_map[1], qopt.prio_tc_map[2],
	    qopt.prio_tc_map[3]);
	say(line, " queues=%u@%u,%u@%u", qopt.count[0], qopt.offset[0],
	    qopt.count[1], qopt.offset[1]);
	return 0;
}

static __noinline int mqprio(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_mqprio_qopt_offload *mqprio = ctx->mqprio;

	say(line, "mqprio mode=%u shaper=%u", mqprio->mode, mqprio->shaper);
	mqprio_options(line, mqprio);
	say(line, " rates=%llu-%llu,%llu-%llu", mqprio->min_rate[0],
	    mqprio->max_rate[0], mqprio->min_rate[1], mqprio->max_rate[1]);
	return 0;
}

static __noinline int taprio(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_taprio_qopt_offload *taprio = ctx->taprio;
	struct tc_taprio_sched_entry entry;
	__u64 n;

	say(line, "taprio command=%u", taprio->cmd);
	if (taprio->cmd != TAPRIO_CMD_REPLACE)
		return 0;
	mqprio_options(line, &taprio->mqprio);
	n = BPF_CORE_READ(taprio, num_entries);
	say(line, " base=%lld cycle=%llu ext=%llu entries=%llu",
	    BPF_CORE_READ(taprio, base_time), BPF_CORE_READ(taprio, cycle_time),
	    BPF_CORE_READ(taprio, cycle_time_extension), n);
	for (int i = 0; i < 4 && i < n; i++) {
		bpf_core_read(&entry, sizeof(entry), &taprio->entries[i]);
		say(line, " %u:%x:%u", entry.command, entry.gate_mask,
		    entry.interval);
	}
	return 0;
}

static __noinline int htb(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_htb_qopt_offload *htb = ctx->htb;

	say(line,
	    "htb command=%u parent=%x class=%x rate=%llu ceil=%llu prio=%u quantum=%u",
	    htb->command, htb->parent_classid, htb->classid, htb->rate,
	    htb->ceil, htb->prio, htb->quantum);
	if (htb->command == TC_HTB_LEAF_ALLOC_QUEUE)
		return bpf_flow_offload_set_qdisc_queue(ctx, ++queues);
	return 0;
}

static __noinline int cbs(struct ekho_qdisc_ctx *ctx, struct log_line *line)
{
	struct tc_cbs_qopt_offload *cbs = ctx->cbs;

	say(line,
	    "cbs enable=%u queue=%d hicredit=%d locredit=%d idleslope=%d sendslope=%d",
	    cbs->enable, cbs->queue, cbs->hicredit, cbs->locredit,
	    cbs->idleslope, cbs->sendslope);
	return 0;
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return 0;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return 0;
}

EKHO_OP(qdisc, struct ekho_qdisc_ctx *ctx)
{
	struct log_line *line;

	if ((ctx->red && ctx->red->command == TC_RED_STATS) ||
	    (ctx->tbf && ctx->tbf->command == TC_TBF_STATS) ||
	    (ctx->prio && ctx->prio->command == TC_PRIO_STATS) ||
	    (ctx->ets && ctx->ets->command == TC_ETS_STATS) ||
	    (ctx->fifo && ctx->fifo->command == TC_FIFO_STATS) ||
	    (ctx->mq && ctx->mq->command == TC_MQ_STATS))
		return more_statistics(ctx);
	if (ctx->red && ctx->red->command == TC_RED_XSTATS)
		return 0;
	if (ctx->htb && ctx->htb->command == TC_HTB_LEAF_QUERY_QUEUE)
		return bpf_flow_offload_set_qdisc_queue(ctx, 1);

	line = log_line();
	if (!line)
		return -ENOMEM;
	if (ctx->red)
		return red(ctx, line);
	if (ctx->tbf)
		return tbf(ctx, line);
	if (ctx->prio)
		return prio(ctx, line);
	if (ctx->ets)
		return ets(ctx, line);
	if (ctx->fifo)
		return fifo(ctx, line);
	if (ctx->mqprio)
		return mqprio(ctx, line);
	if (ctx->taprio)
		return taprio(ctx, line);
	if (ctx->htb)
		return htb(ctx, line);
	if (ctx->cbs)
		return cbs(ctx, line);
	if (ctx->etf)
		say(line, "etf enable=%u queue=%d", ctx->etf->enable,
		    ctx->etf->queue);
	else if (ctx->mq)
		say(line, "mq command=%u handle=%x", ctx->mq->command,
		    ctx->mq->handle);
	else if (ctx->root)
		say(line, "root command=%u handle=%x ingress=%u",
		    ctx->root->command, ctx->root->handle, ctx->root->ingress);
	else
		say(line, "type %u", ctx->type);
	return 0;
}

EKHO_FIRMWARE(qdisc, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats, .qdisc = (void *)qdisc);
