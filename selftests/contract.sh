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

test_no_device_and_a_taken_one_are_refused() {
	expect 'no such index' 'load 0 attach ENODEV ' "$(raw broken-none 4711)"
	load stats lo
	expect 'taken' 'load 0 attach EBUSY ' "$(raw broken-none 1)"
	expect_figures lo firmware=stats generation=1
}

test_a_violating_attach_is_einval() {
	local name
	for name in positive0 nonsense0; do
		ip link add "$name" up type ekho
		expect "$name" 'load 0 attach EINVAL ' "$(raw faulty "$(get devices "$name" ifindex)")"
	done
	ip link add refused0 up type ekho
	expect refused0 'load 0 attach EACCES ' "$(raw faulty "$(get devices refused0 ifindex)")"
	expect 'records' '' "$(records firmware)"
}

test_attaching_needs_cap_net_admin() {
	said=$(setpriv --bounding-set -net_admin "$here/bpf/build/raw" "$(object broken-none)" 1 </dev/null) || :
	says 'load 0' 'attach EPERM'
}

test_a_violating_replace_is_einval_and_counted() {
	port ek0
	load faulty ek0
	refused 2 drop ek0 201 skip_sw
	says '(errno 22)'
	refused 2 drop ek0 202 skip_sw
	says '(errno 22)'
	expect_no_filters 'dev ek0 ingress'
	expect_figures ek0 flows=0 replace=2 replace_refused=2 violations=2
	# ENOTSUPP is a kernel's slip of the pen for EOPNOTSUPP, and none.
	refused 2 drop ek0 209 skip_sw
	says '(errno 95)'
	expect_figures ek0 violations=2
}

test_a_violating_destroy_destroys_and_is_counted() {
	port ek0
	load faulty ek0
	drop ek0 203 skip_sw
	drop ek0 204 skip_sw
	undrop ek0 203
	undrop ek0 204
	expect_figures ek0 flows=0 destroy=2 violations=2
	expect_no_filters 'dev ek0 ingress'
}

test_violating_or_failing_stats_count_nothing() {
	port ek0
	load faulty ek0
	drop ek0 205 skip_sw
	drop ek0 206 skip_sw
	expect_filters 'dev ek0 ingress' '205/1 in_hw=1 hw=0/0 all=0/0 *' '206/1 in_hw=1 hw=0/0 all=0/0 *'
	expect_figures ek0 flows=2 stats=2 violations=2
}

main "$@"
