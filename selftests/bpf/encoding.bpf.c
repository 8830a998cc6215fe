// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refuses every flow, and says what it has read of the encoded rule, in place:
 * its size, the types of its attributes, and the size of each. It is built for
 * modules to come, too, which have a function more.
 */
#include "ekho.bpf.h"

#define ATTRIBUTES 24

extern int
bpf_flow_offload_to_come(struct ekho_replace_ctx *ctx) __weak __ksym;

struct walk {
	const __u8 *rule;
	__u32 at;
	__u32 len;
	char text[EKHO_REASON_SIZE];
};

static __always_inline void digit(struct walk *w, __u32 number)
{
	number &= 15;
	if (w->len < sizeof(w->text) - 1)
		w->text[w->len++] = number < 10 ? '0' + number :
						  'a' + number - 10;
}

static __always_inline void walk(struct walk *w)
{
	int i;

	bpf_for(i, 0, ATTRIBUTES) {
		__u32 at = w->at, type, size;

		if (at >= EKHO_RULE_SHORT - 1)
			break;
		type = w->rule[at];
		size = w->rule[at + 1];
		if (type == EKHO_RULE_END)
			break;
		digit(w, type >> 4);
		digit(w, type);
		digit(w, size >> 4);
		digit(w, size);
		w->at = at + sizeof(struct ekho_rule_attr) + size;
	}
}

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	struct walk w = {};

	if (bpf_ksym_exists(bpf_flow_offload_to_come))
		return bpf_flow_offload_to_come(ctx);
	/* No more than there is. */
	if (ctx->encoding_size <= EKHO_RULE_SHORT &&
	    bpf_flow_offload_encoding(ctx, EKHO_RULE_SHORT + 1))
		return ekho_refuse(ctx, EINVAL, "more than there is");
	if (bpf_flow_offload_encoding(ctx, 1))
		return ekho_refuse(ctx, EINVAL, "less than the rule");
	w.rule = bpf_flow_offload_encoding(ctx, EKHO_RULE_SHORT);
	if (!w.rule) {
		if (!bpf_flow_offload_encoding(ctx, EKHO_RULE_MAX))
			return ekho_refuse(ctx, EINVAL, "nothing to read");
		return ekho_refuse(ctx, EOPNOTSUPP, "%u bytes",
				   ctx->encoding_size);
	}
	walk(&w);
	if (w.at != ctx->encoding_size)
		return ekho_refuse(ctx, EINVAL, "%u of %u bytes", w.at,
				   ctx->encoding_size);
	bpf_flow_offload_set_reason(ctx, w.text, sizeof(w.text));
	return -EOPNOTSUPP;
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_OP(stats, struct ekho_stats_ctx *ctx)
{
	return 0;
}

EKHO_FIRMWARE(encoding, .replace = (void *)replace, .destroy = (void *)destroy,
	      .stats = (void *)stats);
