#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Knobs in debugfs that make a device fail as hardware would: rust/faults/parse.rs
# has the language.
#
#	tc ─▶ module ─▶ (fault) ─▶ firmware

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# fault LINE: must be taken.
fault() {
	echo "$1" >"$debugfs/faults"
}

# expect_faults LINE...: what is set here, without the names of the device.
expect_faults() {
	expect 'faults' "$(printf '%s\n' "$@")" "$(records faults | sed "s/.* netns=$netns //")"
}

test_the_nth_call_of_an_op_fails_and_no_other() {
	port ek0
	load stats ek0
	fault 'dev=ek0 op=replace nth=3 errno=ENOMEM'
	expect_faults 'op=replace calls=0 nth=3 errno=ENOMEM'
	drop ek0 1 skip_sw
	drop ek0 2 skip_sw
	refused 2 drop ek0 3 skip_sw
	says 'ek0: injected fault'
	drop ek0 4 skip_sw
	expect_in_hw 'dev ek0 ingress' 1 1 1
	expect_faults 'op=replace calls=4 nth=3 errno=ENOMEM'
	expect_figures ek0 flows=3 replace=4 replace_refused=1
	expect 'refusals' 'errno=12 count=1 reason=injected fault' "$(records refusals | sed 's/.* errno=/errno=/')"
	# Firmware wasn't asked: it has three entries.
	expect 'entries' 3 "$(bpftool -j map dump pinned "$pins/ek0/maps/flow_stats" | jq length)"
}

test_every_call_fails_until_the_knob_is_cleared() {
	port ek0
	load stats ek0
	fault 'dev=ek0 op=replace errno=EIO'
	accepted drop ek0 1 verbose
	says 'injected fault'
	refused 2 drop ek0 2 skip_sw
	expect_in_hw 'dev ek0 ingress' 0
	fault 'dev=ek0 clear'
	expect_faults ''
	drop ek0 2 skip_sw
	expect_in_hw 'dev ek0 ingress' 0 1
}

test_an_injected_delay_does_not_use_the_budget() {
	local from to
	port ek0
	load default_budget ek0
	fault 'dev=ek0 op=replace delay_us=100000'
	trace_on
	from=$(date +%s%N)
	drop ek0 1 skip_sw
	to=$(date +%s%N)
	((to - from >= 100000000)) || fail 'delay' 'expected: 100 ms' "seen:     $((to - from)) ns"
	said=$(trace)
	[[ $said =~ replace\ .*duration_ns=([0-9]+) ]]
	((BASH_REMATCH[1] < 100000000)) || fail 'time of the op' 'expected: without the delay' "seen:     $said"
	expect_figures ek0 flows=1 violations=0
	# A delay of stats changes no counter.
	fault 'dev=ek0 op=stats delay_us=2000'
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=7/700 *'
}

test_a_device_is_full_after_n_flows() {
	port ek0
	load stats ek0
	drop ek0 1 skip_sw
	fault 'dev=ek0 nospc_after=2'
	expect_faults 'nospc_after=2'
	drop ek0 2 skip_sw
	refused 2 drop ek0 3 skip_sw
	says 'the device holds 2 flows'
	undrop ek0 1
	drop ek0 3 skip_sw
	fault 'dev=ek0 nospc_after=0'
	refused 2 drop ek0 4 skip_sw
	says 'the device holds 0 flows'
	expect_figures ek0 flows=2
}

test_statistics_freeze_and_catch_up() {
	port ek0
	load stats ek0
	drop ek0 1 skip_sw
	feed ek0 1 10 1000
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=10/1000 *'
	fault 'dev=ek0 stats=freeze'
	expect_faults 'stats=freeze'
	local asked
	asked=$(figures ek0 stats)
	cookie=$(cookie ek0 1)
	fw stats feed - <<<"{\"cookie\":\"$cookie\",\"packets\":25,\"bytes\":2500}" >/dev/null
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=10/1000 *'
	expect 'calls' "$asked" "$(figures ek0 stats)"
	fault 'dev=ek0 clear'
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=25/2500 all=25/2500 *'
}

test_statistics_are_lost() {
	port ek0
	load stats ek0
	drop ek0 1 skip_sw
	fault 'dev=ek0 stats=drop'
	expect_faults 'stats=drop'
	cookie=$(cookie ek0 1)
	fw stats feed - <<<"{\"cookie\":\"$cookie\",\"packets\":25,\"bytes\":2500}" >/dev/null
	local asked
	asked=$(get firmware ek0 stats)
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=0/0 *'
	(($(get firmware ek0 stats) > asked))
	# It speaks in totals, so the next answer that arrives has all.
	fault 'dev=ek0 clear'
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=25/2500 all=25/2500 *'
}

test_statistics_fail() {
	port ek0
	load violation ek0
	fault 'dev=ek0 op=stats nth=1 errno=EIO'
	drop ek0 1 skip_sw
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=0/0 *'
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=7/700 *'
	expect_figures ek0 violations=0
}

test_filters_are_taken_back_at_the_second_try() {
	port ek0
	load stats ek0
	drop ek0 10
	drop ek0 20
	expect_in_hw 'dev ek0 ingress' '1 1'
	# The kernel has no memory for it.
	fault 'dev=ek0 op=withdraw nth=1 errno=ENOMEM'
	unload ek0
	expect_in_hw 'dev ek0 ingress' '0 0'
	expect 'flows' 0 "$(n_flows)"
}

test_filters_that_are_not_taken_back_are_told() {
	port ek0
	load stats ek0
	drop ek0 10
	fault 'dev=ek0 op=withdraw errno=ENOMEM'
	dmesg -C
	unload ek0
	said=$(dmesg)
	says 'ek0: filters of block'
	# Such filters prevent nothing later.
	fault 'dev=ek0 clear'
	expect 'flows' 0 "$(n_flows)"
	load stats ek0
	tc filter del dev ek0 ingress
	expect 'flows' 0 "$(n_flows)"
}

test_a_bind_is_refused() {
	ip link add ek0 up type ekho
	fault 'dev=ek0 op=bind nth=2 errno=EBUSY'
	tc qdisc add dev ek0 ingress
	tc qdisc del dev ek0 ingress
	refused 2 tc qdisc add dev ek0 ingress
	says 'Driver ndo_setup_tc failed'
	expect 'bindings' 0 "$(get devices ek0 bindings)"
	tc qdisc add dev ek0 ingress
	expect 'bindings' 1 "$(get devices ek0 bindings)"
}

test_a_clsact_that_fails_halfway_can_be_added_again() {
	ip link add ek0 up type ekho
	load stats ek0
	# Ingress is bound, egress refused.
	fault 'dev=ek0 op=bind nth=2 errno=EBUSY'
	refused 2 tc qdisc add dev ek0 clsact
	expect 'bindings' 0 "$(get devices ek0 bindings)"
	tc qdisc add dev ek0 clsact
	expect 'bindings' 2 "$(get devices ek0 bindings)"
	drop ek0 10 skip_sw
	# The same when one is to take another's place.
	fault 'dev=ek0 op=bind nth=2 errno=EBUSY'
	tc qdisc del dev ek0 clsact
	refused 2 tc qdisc replace dev ek0 clsact
	expect 'bindings' 0 "$(get devices ek0 bindings)"
	expect 'flows' 0 "$(n_flows)"
	tc qdisc replace dev ek0 clsact
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
}

test_a_bind_of_a_device_without_offload_of_its_own_is_refused() {
	ip link add v0 up type veth peer name v1
	# The knob alone keeps the device on record.
	fault 'dev=v0 op=bind errno=ENOMEM'
	expect 'kind' indirect "$(get devices v0 kind)"
	tc qdisc add dev v0 clsact
	load stats v0
	drop v0 10
	expect_in_hw 'dev v0 ingress' 0
	fault 'dev=v0 clear'
	tc qdisc del dev v0 clsact
	tc qdisc add dev v0 clsact
	drop v0 10
	expect_in_hw 'dev v0 ingress' 1
	unload v0
	tc qdisc del dev v0 clsact
	expect 'devices' '' "$(records devices)"
}

test_a_device_that_is_not_registered_is_in_no_list_and_can_be_made_again() {
	local name
	defer eval 'echo new clear >"$debugfs/faults"'
	# There is no memory for the second one's port.
	fault 'new op=register nth=2 errno=ENOMEM'
	expect 'faults' 'new op=register calls=0 nth=2 errno=ENOMEM' "$(grep ^new "$debugfs/faults")"
	ip link add ek0 up type ekho
	dmesg -C
	refused 2 ip link add ek1 up type ekho
	says 'Cannot allocate memory'
	said=$(dmesg)
	says 'ek1: injected fault'
	expect 'link' 'ek0' "$(ip -j link show type ekho | jq -r '.[].ifname')"
	expect 'devices' 1 "$(records devices | wc -l)"
	ip link add ek1 up type ekho
	expect 'devices' 2 "$(records devices | wc -l)"
	expect 'faults' 'new op=register calls=3 nth=2 errno=ENOMEM' "$(grep ^new "$debugfs/faults")"
	fault 'new clear'
	expect 'faults' '' "$(grep ^new "$debugfs/faults" || :)"
	# Each that is there is one that firmware can be had for.
	for name in ek0 ek1; do
		tc qdisc add dev "$name" clsact
		load stats "$name"
		drop "$name" 1 skip_sw
		expect_in_hw "dev $name ingress" 1
	done
	expect 'flows' 2 "$(n_flows)"
}

test_attach_fails() {
	port ek0
	fault 'dev=ek0 op=attach errno=ENODEV'
	expect 'raw' 'load 0 attach ENODEV ' "$(raw broken-none "$(get devices ek0 ifindex)")"
	expect_figures ek0 firmware='no firmware'
}

test_a_destroy_that_is_lost_leaves_firmware_with_what_it_had() {
	port ek0
	load stats ek0
	drop ek0 1 skip_sw
	fault 'dev=ek0 op=destroy errno=EIO'
	undrop ek0 1
	expect 'flows' 0 "$(n_flows)"
	expect 'entries' 1 "$(bpftool -j map dump pinned "$pins/ek0/maps/flow_stats" | jq length)"
}

test_templates_hash_tables_and_qdiscs_fail() {
	port ek0
	load violation ek0
	trace_on
	printf '%s\n' 'dev=ek0 op=template_create errno=EIO' 'dev=ek0 op=hnode errno=EIO' \
		'dev=ek0 op=qdisc errno=EIO' >"$debugfs/faults"
	tc chain add dev ek0 ingress protocol ip chain 1 flower dst_ip 0.0.0.0/8
	refused 2 tc filter add dev ek0 ingress protocol ip prio 10 handle 1: u32 divisor 16 skip_sw
	refused 2 tc qdisc add dev ek0 root handle 1: htb offload
	# Firmware saw none of it, but what undid it.
	expect 'ops' '' "$(trace | grep -v destroy || :)"
	expect 'faults' $'template_create calls=N\nhnode calls=N\nqdisc calls=N' \
		"$(records faults | sed 's/.* op=\(.*=\)[1-9][0-9]* errno=EIO/\1N/')"
}

test_knobs_outlive_firmware_and_go_with_the_device() {
	port ek0
	fault 'dev=ek0 op=replace errno=EIO'
	load stats ek0
	refused 2 drop ek0 1 skip_sw
	unload ek0
	load stats ek0
	refused 2 drop ek0 1 skip_sw
	says 'injected fault'
	ip link del ek0
	port ek0
	expect_faults ''
	load stats ek0
	drop ek0 1 skip_sw
}

test_devices_are_those_of_who_writes_or_named_by_index_and_namespace() {
	local ns=ekho-selftest-$$ there
	ip netns add "$ns"
	defer ip netns del "$ns"
	port ek0
	ip -n "$ns" link add ek1 up type ekho
	refused 1 fault 'dev=ek1 clear'
	there=$(netns_id "/run/netns/$ns")
	fault "ifindex=$(netns=$there get devices ek1 ifindex) netns=$there op=replace errno=EIO"
	fault "ifindex=$(get devices ek0 ifindex) stats=drop"
	expect_faults 'stats=drop'
	netns=$there expect_faults 'op=replace calls=0 errno=EIO'
}

test_a_parse_error_names_the_wrong_word() {
	local line word
	port ek0
	ip link add ns0 type dummy
	while IFS='|' read -r line word; do
		dmesg -C
		refused 1 fault "$line"
		says 'Invalid argument'
		said=$(dmesg)
		says "faults: '$word': "
	done <<-'END'
		dev=nodev0 clear|dev=nodev0 clear
		dev=a/../b clear|dev=a/../b clear
		ifindex=4711 clear|ifindex=4711 clear
		ifindex=1 netns=1 clear|ifindex=1 netns=1 clear
		op=replace|op=replace
		dev=ek0 op=replace errno=EAGAIN|errno=EAGAIN
		dev=ek0 op=replaced errno=EIO|op=replaced
		dev=ek0 op=stats delay_us=99999999999|delay_us=99999999999
		dev=ek0 nospc_after=ten|nospc_after=ten
		dev=ek0 stats=lose|stats=lose
		dev=ek0 op=register errno=ENOMEM|op=register
		new op=bind errno=ENOMEM|op=bind
	END
	dmesg -C
	expect_faults ''
	# Neither text that isn't, nor more than fits.
	refused 1 fault $'\xff\xfe'
	printf 'dev=ek0 clear\n%.0s' {1..400} >"$EKHO_TMP/long"
	refused 1 dd if="$EKHO_TMP/long" of="$debugfs/faults" bs=8192 conv=notrunc
	says 'Argument list too long'
	# Lines before one that is wrong count, and those after it don't.
	refused 1 fault $'dev=ek0 stats=drop\nwrong\ndev=ek0 nospc_after=1'
	expect_faults 'stats=drop'
	# Files that are to be read can't be written.
	refused 1 eval 'echo x >"$debugfs/flows"'
}

main "$@"
