// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device: as record.bpf.c, but it leaves out the match, other than of u32, and
 * of actions all but their name and argument.
 */
#define BRIEF
#include "record.bpf.c"
