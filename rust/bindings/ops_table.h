/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The list of c/ops.h as a macro of Rust, which contract/ops.rs describes: the C
 * preprocessor writes it.
 */
#include "../c/ops.h"

#define EKHO_OP_ROW(name, variant, presence, result, argument, value) \
	variant name presence result,

macro_rules! for_each_op {
	($then:ident) => { $then! { EKHO_OPS(EKHO_OP_ROW) } };
}
