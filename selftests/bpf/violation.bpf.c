// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: one whose firmware does what it must not do, once it is told to. The
 * last digit says what, the rest in which op:
 *
 *	where							op
 *	preference 10N						replace
 *	preference 20N						destroy
 *	preference 30N						stats
 *	chain 40N						template_create
 *	chain 50N						template_destroy
 *	preference 60N						hnode
 *	a device whose name begins with 'a', and ends in N	attach
 *	the same with 'u'					attach, when it
 *								replaces another
 *	the same with 'd'					detach
 *	the same with 'q'					qdisc
 *
 *	N	what
 *	1	returns 1
 *	2	returns -4000, which is no errno
 *	3	returns -EAGAIN
 *	4	works for 200 ms of its CPU's time: twenty times as long as
 *		the default budget
 *	5	chooses a queue that isn't there, in qdisc
 *	6	works for 30 ms: three times as long
 *
 * All else is accepted, and each flow has counted 7 packets, 700 bytes. The
 * Makefile makes two of it: one whose budget is ten seconds an op, and one with
 * DEFAULT_BUDGET, which declares none and so has 10 ms.
 */
#include "ekho.bpf.h"

#define EAGAIN 11

#define MS 1000000ULL

/* More than there is time for. */
#define MAX_LOOPS (1 << 23)

static int step(u64 n, u64 *end)
{
	return bpf_get_current_task_btf()->stime >= *end;
}

/* Takes CPU time, not elapsed time: the machine can be busy. */
static __always_inline void work(u64 time_ns)
{
	u64 end = bpf_get_current_task_btf()->stime + time_ns;

	bpf_loop(MAX_LOOPS, step, &end, 0);
	bpf_loop(MAX_LOOPS, step, &end, 0);
	bpf_loop(MAX_LOOPS, step, &end, 0);
	bpf_loop(MAX_LOOPS, step, &end, 0);
}

static __always_inline int misbehave(u32 what)
{
	switch (what) {
	case 1:
		return 1;
	case 2:
		return -4000;
	case 3:
		return -EAGAIN;
	case 4:
		work(200 * MS);
		return 0;
	case 6:
		work(30 * MS);
		return 0;
	}
	return 0;
}

/* By preference or chain. */
static __always_inline int by_number(u32 number, u32 hundreds)
{
	return number / 100 == hundreds ? misbehave(number % 10) : 0;
}

static __always_inline u32 last_digit(const struct ekho_device *dev)
{
	u32 digit = 0;

	for (int i = 0; i < sizeof(dev->name) && dev->name[i]; i++)
		digit = dev->name[i] - '0';
	return digit;
}

EKHO_OP(attach, struct ekho_attach_ctx *ctx)
{
	char first = ctx->dev.name[0];

	if (first == 'a' || (first == 'u' && ctx->dev.generation > 1))
		return misbehave(last_digit(&ctx->dev));
	return 0;
}

EKHO_OP_VOID(detach, struct ekho_detach_ctx *ctx)
{
	if (ctx->dev.name[0] == 'd')
		misbehave(last_digit(&ctx->dev));
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	return by_number(ctx->flow.prio, 1);
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return by_number(ctx->flow.prio, 2);
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	bpf_flow_offload_set_stats(ctx, 7, 700, 0, 0);
	return by_number(ctx->flow.prio, 3);
}

EKHO_OP(template_create, struct ekho_replace_ctx *ctx)
{
	return by_number(ctx->flow.chain_index, 4);
}

EKHO_OP(template_destroy, struct ekho_destroy_ctx *ctx)
{
	return by_number(ctx->flow.chain_index, 5);
}

EKHO_OP(hnode, struct ekho_hnode_ctx *ctx)
{
	return by_number(ctx->prio, 6);
}

EKHO_OP(qdisc, struct ekho_qdisc_ctx *ctx)
{
	u32 what = last_digit(&ctx->dev);

	if (ctx->dev.name[0] != 'q')
		return 0;
	if (what == 5 && ctx->htb &&
	    ctx->htb->command == TC_HTB_LEAF_ALLOC_QUEUE)
		bpf_flow_offload_set_qdisc_queue(ctx, 1000);
	return misbehave(what);
}

EKHO_FIRMWARE(violation, .attach = (void *)attach, .detach = (void *)detach,
	      .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats,
	      .template_create = (void *)template_create,
	      .template_destroy = (void *)template_destroy,
	      .hnode = (void *)hnode, .qdisc = (void *)qdisc,
#ifndef DEFAULT_BUDGET
	      .budget_us = 10000000
#endif
);
