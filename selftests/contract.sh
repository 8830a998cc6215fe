#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The module's own checks, reached without ekho-fw, which would find most first.
#
#	raw --- bpf(2) --- module --- lo, index 1 in every namespace

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_whole_firmware_attaches() {
	expect 'raw' 'load 0 attach 0 ' "$(raw broken-none 1)"
}

test_a_newer_abi_and_none_are_refused() {
	expect 'ABI 99' 'load 0 attach EPROTONOSUPPORT ' "$(raw broken-abi_newer 1)"
	expect 'ABI 0' 'load 0 attach EPROTONOSUPPORT ' "$(raw broken-abi_zero 1)"
}

test_a_missing_op_is_refused() {
	expect 'raw' 'load 0 attach EINVAL ' "$(raw broken-no_destroy 1)"
}

test_bad_names_are_refused() {
	expect 'blank' 'load 0 attach EINVAL ' "$(raw broken-name_blank 1)"
	expect 'none' 'load 0 attach EINVAL ' "$(raw broken-name_empty 1)"
	expect 'no end' 'load 0 attach EINVAL ' "$(raw broken-name_long 1)"
}

test_ops_without_a_link_are_refused() {
	expect 'raw' 'load 0 attach EOPNOTSUPP ' "$(raw broken-no_link 1)"
	expect 'records' '' "$(records firmware)"
}

test_the_verifier_refuses_what_the_contract_forbids() {
	local what
	for what in sleepable null wrong_op writes proprietary; do
		said=$(raw "broken-$what" 1)
		[[ $said == 'load E'* ]] || fail "$what" 'expected: load E...' "seen:     $said"
	done
}

# verifier WHAT TEXT: it refuses the firmware that is broken in this way, and says so.
verifier() {
	said=$(RAW_DEBUG=1 "$here/bpf/build/raw" "$(object "broken-$1")" 1 2>&1 </dev/null) || :
	says "$2" 'load E'
}

test_the_context_of_one_op_is_of_no_use_in_another() {
	verifier wrong_op 'set_stats R1 expected pointer to STRUCT ekho_stats_ctx but R1 has a pointer to STRUCT ekho_replace_ctx'
	verifier foreign_destroy 'set_reason R1 expected pointer to STRUCT ekho_replace_ctx but R1 has a pointer to STRUCT ekho_destroy_ctx'
	verifier foreign_stats 'get_match R1 expected pointer to STRUCT ekho_replace_ctx but R1 has a pointer to STRUCT ekho_stats_ctx'
	verifier foreign_attach 'flow_data R1 expected pointer to STRUCT ekho_flow but R1 has a pointer to STRUCT ekho_attach_ctx'
	verifier foreign_qdisc 'add_qdisc_stats R1 expected pointer to STRUCT ekho_qdisc_ctx but R1 has a pointer to STRUCT ekho_replace_ctx'
}

test_a_flow_that_was_kept_from_another_op_cannot_be_read() {
	verifier stale "R1 invalid mem access 'scalar'"
}

test_recursion_and_deep_calls_are_refused_by_the_verifier() {
	verifier recursive 'recursive call from recursive()'
	# Without a word, on 7.2.
	verifier deep 'BPF program load failed: Invalid argument'
}

test_no_device_and_a_taken_one_are_refused() {
	expect 'no such index' 'load 0 attach ENODEV ' "$(raw broken-none 4711)"
	load stats lo
	expect 'taken' 'load 0 attach EBUSY ' "$(raw broken-none 1)"
	expect_figures lo firmware=stats generation=1
}

test_an_attach_that_fails_refuses_and_is_no_violation() {
	ip link add refused0 up type ekho
	expect refused0 'load 0 attach EACCES ' "$(raw faulty "$(get devices refused0 ifindex)")"
	expect 'records' '' "$(records firmware)"
}

test_attaching_needs_cap_net_admin() {
	said=$(setpriv --bounding-set -net_admin "$here/bpf/build/raw" "$(object broken-none)" 1 </dev/null) || :
	says 'load 0' 'attach EPERM'
}

test_errors_that_are_errors_are_no_violation() {
	port ek0
	load faulty ek0
	refused 2 drop ek0 128 skip_sw
	says '(errno 28)'
	# ENOTSUPP, which parts of the kernel return by mistake, is taken for EOPNOTSUPP.
	refused 2 drop ek0 209 skip_sw
	says '(errno 95)'
	drop ek0 207 skip_sw
	drop ek0 208 skip_sw
	expect_filters 'dev ek0 ingress' '207/1 in_hw=1 hw=0/0 all=0/0 *' '208/1 in_hw=1 hw=0/0 all=0/0 *'
	expect_figures ek0 flows=2 replace=4 replace_refused=2 stats=2 violations=0
}

main "$@"
