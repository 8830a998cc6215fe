/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ops of struct bpf_flow_offload_ops: all that C has for each op is made
 * from this list. Rust has the same list in contract/ops.rs, and doesn't compile
 * if the two differ.
 *
 * OP(name, result, argument, what a stub returns)
 */
#ifndef EKHO_OPS_H
#define EKHO_OPS_H

/* What the stub of an op without a result returns. */
#define EKHO_NO_VALUE

#define EKHO_OPS(OP)							\
	OP(attach, int, ekho_attach_ctx, 0)				\
	OP(detach, void, ekho_detach_ctx, EKHO_NO_VALUE)		\
	OP(replace, int, ekho_replace_ctx, -EOPNOTSUPP)			\
	OP(destroy, int, ekho_destroy_ctx, -EOPNOTSUPP)			\
	OP(stats, int, ekho_stats_ctx, -EOPNOTSUPP)			\
	OP(template_create, int, ekho_replace_ctx, -EOPNOTSUPP)		\
	OP(template_destroy, int, ekho_destroy_ctx, -EOPNOTSUPP)	\
	OP(hnode, int, ekho_hnode_ctx, -EOPNOTSUPP)			\
	OP(qdisc, int, ekho_qdisc_ctx, -EOPNOTSUPP)

/* For Rust to compare. */
#define EKHO_OP_NUMBER(name, result, argument, value) EKHO_OP_##name,
enum ekho_op {
	EKHO_OPS(EKHO_OP_NUMBER)
	EKHO_N_OPS
};

#endif /* EKHO_OPS_H */
