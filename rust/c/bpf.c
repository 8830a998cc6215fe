// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's face to BPF: what the verifier finds in the module's BTF.
 *
 * struct_ops stubs are looked up by symbol and then by BTF name, and kfuncs by
 * BTF name, so both have to be C functions. They forward to Rust at once; the
 * callbacks of struct bpf_struct_ops itself are Rust (abstractions/struct_ops.rs).
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
static int bpf_flow_offload_ops__attach(struct ekho_attach_ctx *ctx)
{
	return 0;
}

static void bpf_flow_offload_ops__detach(struct ekho_detach_ctx *ctx)
{
}

static int bpf_flow_offload_ops__replace(struct ekho_replace_ctx *ctx)
{
	return -EOPNOTSUPP;
}

static int bpf_flow_offload_ops__destroy(struct ekho_destroy_ctx *ctx)
{
	return -EOPNOTSUPP;
}

static int bpf_flow_offload_ops__stats(struct ekho_stats_ctx *ctx)
{
	return -EOPNOTSUPP;
}

struct bpf_flow_offload_ops ekho_cfi_stubs = {
	.attach = bpf_flow_offload_ops__attach,
	.detach = bpf_flow_offload_ops__detach,
	.replace = bpf_flow_offload_ops__replace,
	.destroy = bpf_flow_offload_ops__destroy,
	.stats = bpf_flow_offload_ops__stats,
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
	BTF_TYPE_EMIT_ENUM(BPF_FLOW_OFFLOAD_ABI);

	return register_bpf_struct_ops(st_ops, bpf_flow_offload_ops);
}

__bpf_kfunc_start_defs();

/**
 * bpf_flow_offload_set_stats - say what a flow has counted so far
 * @ctx: the argument of the stats op
 * @packets: packets that matched since the flow was accepted
 * @bytes: their bytes
 * @drops: how many of them were dropped
 * @last_used_ns: bpf_ktime_get_ns() of the last packet, 0 if not known
 *
 * All are monotonic totals; the module hands the kernel what is new since the
 * last call. The last call of an op counts. Any context.
 *
 * Return: 0.
 */
__bpf_kfunc int bpf_flow_offload_set_stats(struct ekho_stats_ctx *ctx,
					   u64 packets, u64 bytes, u64 drops,
					   u64 last_used_ns)
{
	return ekho_kfunc_set_stats(ctx, packets, bytes, drops, last_used_ns);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(ekho_kfunc_ids)
BTF_ID_FLAGS(func, bpf_flow_offload_set_stats)
BTF_KFUNCS_END(ekho_kfunc_ids)

int ekho_register_kfuncs(struct module *owner)
{
	static struct btf_kfunc_id_set set = { .set = &ekho_kfunc_ids };

	set.owner = owner;
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS, &set);
}
