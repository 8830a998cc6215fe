// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: a NIC whose tables execute filters as the kernel's software does.
 *
 *	matches		what flower matches in a packet, and everything
 *	actions		drop, pass, trap, goto, mirred, vlan, pedit, csum,
 *			skbedit, mpls, police
 *	flows		as many as the kernel has
 *	counters	packets, bytes and drops of each action
 *	refuses		what it can't execute in the same way, with the reason
 *
 * The device does all of it; the firmware has each filter inserted as it is.
 */
#include "ekho.bpf.h"

EKHO_OP(replace, struct ekho_replace_ctx *ctx)
{
	if (!bpf_ksym_exists(bpf_flow_offload_insert))
		return -EOPNOTSUPP;
	return bpf_flow_offload_insert(ctx);
}

EKHO_OP(destroy, struct ekho_destroy_ctx *ctx)
{
	return 0;
}

EKHO_FIRMWARE(nic, .replace = (void *)replace, .destroy = (void *)destroy,
	      .tables = EKHO_TABLES_RULES);
