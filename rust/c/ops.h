/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ops of struct bpf_flow_offload_ops: all that C and Rust have for each op is
 * made from this list, in its order. bindings/ops_table.h gives it to Rust;
 * contract/ops.rs says what is made from it, and what a new op touches.
 *
 * OP(name, variant of Rust's Op, whether firmware has to have it, result,
 *    argument, what a stub returns)
 */
#ifndef EKHO_OPS_H
#define EKHO_OPS_H

/* What the stub of an op without a result returns. */
#define EKHO_NO_VALUE

#define EKHO_OPS(OP)								\
	OP(attach, Attach, optional, int, ekho_attach_ctx, 0)			\
	OP(detach, Detach, optional, void, ekho_detach_ctx, EKHO_NO_VALUE)	\
	OP(replace, Replace, required, int, ekho_replace_ctx, -EOPNOTSUPP)	\
	OP(destroy, Destroy, required, int, ekho_destroy_ctx, -EOPNOTSUPP)	\
	OP(stats, Stats, optional, int, ekho_stats_ctx, -EOPNOTSUPP)		\
	OP(template_create, TemplateCreate, optional, int, ekho_replace_ctx,	\
	   -EOPNOTSUPP)								\
	OP(template_destroy, TemplateDestroy, optional, int, ekho_destroy_ctx,	\
	   -EOPNOTSUPP)								\
	OP(hnode, Hnode, optional, int, ekho_hnode_ctx, -EOPNOTSUPP)		\
	OP(qdisc, Qdisc, optional, int, ekho_qdisc_ctx, -EOPNOTSUPP)

#endif /* EKHO_OPS_H */
