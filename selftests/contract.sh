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

# forged WHAT PATTERN: the verifier refuses what bpf/forge.bpf.c tries, and says so in words
# that match the extended regular expression; kernels differ in them.
forged() {
	said=$(RAW_DEBUG=1 "$here/bpf/build/raw" "$(object "forge-$1")" 1 2>&1 </dev/null) || :
	says 'load E'
	[[ $said =~ $2 ]] || fail 'in what was said' "expected: $2" "seen:     $said"
}

# not_a TYPE: what the verifier says of memory that isn't a structure of the kernel's.
not_a() {
	printf '(pointer type STRUCT %s must point to scalar|R[0-9] is [a-z_]+ expected STRUCT %s)' "$1" "$1"
}

# marks N: adds a skip_sw filter with N actions to ek0: marks from 1 on.
marks() {
	local actions=() i
	for ((i = 1; i <= $1; i++)); do
		actions+=(action skbedit mark "$i" pipe)
	done
	tc filter add dev ek0 ingress protocol ip prio "$1" handle 1 flower skip_sw dst_ip 10.0.0.1 "${actions[@]}"
}

test_no_function_takes_a_context_that_firmware_made() {
	local what
	for what in stats qdisc; do
		forged "$what" "$(not_a "ekho_${what}_ctx")"
	done
	for what in match iterator encoding; do
		forged "$what" "$(not_a ekho_replace_ctx)"
	done
	forged flow "$(not_a ekho_flow)"
}

test_no_function_takes_a_context_that_was_kept_or_made_up() {
	forged kept 'must be referenced or trusted'
	forged old_encoding 'must be referenced or trusted'
	# Types of modules can't even be named.
	forged cast 'passed to kfunc bpf_rdonly_cast'
	forged timer "$(not_a ekho_replace_ctx)"
}

test_firmware_cannot_write_to_what_it_is_given() {
	local not_memory='(get_match R3 pointer type .* is not supported|only read is supported|R3 and R4 memory, len pair)'
	forged into_ctx "$not_memory"
	forged into_action "$not_memory"
	forged write_action 'only read is supported'
	forged write_iterator 'expected an initialized iter_flow_action'
	forged leave_iterator 'Unreleased reference'
	forged beyond 'invalid access to memory, mem_size=16 off=16 size=1'
	forged write_encoding "cannot write into rdonly_mem"
	forged read_beyond 'invalid access to memory, mem_size=256 off=256 size=1'
}

# Type and size of each attribute: the numbers are those of bpf/ekho_rule.h, for good.
test_encodings_are_read_in_place_by_firmware_for_newer_modules() {
	local i actions=()
	port ek0
	load encoding ek0
	refused 2 tc filter add dev ek0 ingress protocol ip prio 1 flower skip_sw ip_proto tcp \
		src_ip 10.0.0.0/8 dst_ip 192.0.2.1 dst_port 80 action drop index 300
	says 'ek0: 080209010b0401040c0410028100c002'
	refused 2 tc filter add dev ek0 ingress prio 1 protocol all matchall skip_sw action drop index 1
	says 'ek0: 8100c001'
	refused 2 tc filter add dev ek0 ingress prio 1 protocol all matchall skip_sw \
		action vlan push id 5 priority 2 index 1
	says 'ek0: 8801c202c301c001'
	for i in {1..31}; do
		actions+=(action vlan push id "$i" pipe index "$i")
	done
	refused 2 tc filter add dev ek0 ingress prio 1 protocol all matchall skip_sw "${actions[@]}"
	says 'ek0: 372 bytes'
}

# The verifier lets firmware use a record after its iterator is gone, and write to
# the place where the iterator was.
test_a_record_of_an_action_is_not_where_firmware_can_write() {
	port ek0
	load forge-overwrite ek0
	marks 1
	marks 12
	expect_in_hw 'dev ek0 ingress' 1 1
}

test_a_record_of_an_action_stays_as_it_is_for_the_whole_op() {
	port ek0
	load forge-nested ek0
	marks 1
	marks 8
	marks 9
	marks 32
	expect_in_hw 'dev ek0 ingress' 1 1 1 1
	replace forge-last ek0
	refused 2 marks 4
	says '16/1 to 16/4 of 4'
	refused 2 marks 31
	says '16/1 to 16/31 of 31'
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
