#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Firmware that replaces other firmware.
#
#	 +----------+
#	 | ek0      |	stats --> stats_v2, prio_counters, ...
#	 | firmware |
#	 +----------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_flows_and_counters_outlive_a_replacement() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	drop ek0 11
	feed ek0 10 10 1000
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *' '11/1 in_hw=1 hw=0/0 *'
	trace_on
	replace stats_v2 ek0
	# No flow was touched: the firmware's own figures start anew.
	expect_trace 'attach dev=ek0 * firmware=stats_v2 cookie=0x0 result=0 *' \
		'detach dev=ek0 * firmware=stats cookie=0x0 result=0 *'
	expect_figures ek0 firmware=stats_v2 generation=2 flows=2 replace=0 destroy=0
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *' '11/1 in_hw=1 hw=0/0 *'
	feed ek0 10 25 2500
	feed ek0 11 1 100
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=25/2500 all=25/2500 *' '11/1 in_hw=1 hw=1/100 *'
}

test_the_new_firmware_takes_requests_for_old_flows() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	replace stats_v2 ek0
	trace_on
	undrop ek0 10
	drop ek0 11 skip_sw
	expect_trace 'destroy * firmware=stats_v2 * result=0 *' 'replace * firmware=stats_v2 * result=0 *'
	expect_figures ek0 flows=1 replace=1 destroy=1
}

test_the_link_and_its_pin_stay() {
	port ek0
	load stats ek0
	local link
	link=$(get firmware ek0 link)
	replace stats_v2 ek0
	expect 'link' "$link" "$(get firmware ek0 link)"
	expect 'pins' "link maps maps/flow_stats maps/seen" "$(cd "$pins/ek0" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
	# A map that the new firmware has no use for isn't pinned any more.
	replace stats ek0
	expect 'pins' "link maps maps/flow_stats" "$(cd "$pins/ek0" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
	expect_figures ek0 generation=3
	unload ek0
	[[ ! -e $pins/ek0 ]] || fail "$pins/ek0 is still there"
}

# expect_packets PRIO PACKETS: the filter has counted so many packets so far.
expect_packets() {
	expect_filters 'dev ek0 ingress' "$1/1 in_hw=1 hw=$2/$((100 * $2)) all=$2/$((100 * $2)) *"
}

# See bpf/totals.bpf.c: each dump is a report of as many packets more as the
# preference says.
test_totals_of_a_map_that_is_kept_go_on() {
	port ek0
	load totals-map ek0
	drop ek0 10 skip_sw
	expect_packets 10 10
	expect_packets 10 20
	replace totals-map ek0
	expect_packets 10 30
	expect_packets 10 40
}

test_totals_of_another_map_are_added_whether_they_are_less_or_more_than_the_old_ones() {
	port ek0
	load totals-map ek0
	drop ek0 10 skip_sw
	expect_packets 10 10
	expect_packets 10 20
	# In the new map there are 10, then 20, then 30.
	replace totals-other ek0
	expect_packets 10 30
	expect_packets 10 40
	expect_packets 10 50
	unload ek0
	undrop ek0 10
	load stats ek0
	drop ek0 30 skip_sw
	feed ek0 30 10 1000
	expect_packets 30 10
	# In the new map there are 30, more than in the old one.
	replace totals-other ek0
	expect_packets 30 40
	expect_packets 30 70
}

test_deltas_and_totals_of_maps_follow_each_other() {
	port ek0
	load totals-delta ek0
	drop ek0 10 skip_sw
	expect_packets 10 10
	expect_packets 10 20
	replace totals-map ek0
	expect_packets 10 30
	expect_packets 10 40
	replace totals-delta ek0
	expect_packets 10 50
	replace totals-other ek0
	expect_packets 10 60
}

test_totals_since_the_flow_was_accepted_go_on_whoever_has_counted_before() {
	port ek0
	load totals-accepted ek0
	drop ek0 10 skip_sw
	expect_packets 10 10
	replace totals-delta ek0
	expect_packets 10 20
	# Its total is in the memory of the flow: 30 now, of which 20 are known.
	replace totals-accepted ek0
	expect_packets 10 30
	expect_packets 10 40
	replace totals-map ek0
	expect_packets 10 50
}

test_totals_without_a_map_are_not_added_again() {
	port ek0
	load stats ek0
	drop ek0 30 skip_sw
	feed ek0 30 10 1000
	expect_filters 'dev ek0 ingress' '30/1 in_hw=1 hw=10/1000 *'
	# Its total is 30, of which 10 are known.
	replace prio_counters ek0
	expect_filters 'dev ek0 ingress' '30/1 in_hw=1 hw=30/3000 all=30/3000 *'
}

test_new_firmware_that_refuses_the_device_leaves_the_old_one() {
	port refused0
	load stats refused0
	drop refused0 10 skip_sw
	feed refused0 10 10 1000
	refused 6 replace faulty refused0
	says 'refused0' 'faulty' 'EACCES'
	expect_figures refused0 firmware=stats generation=1 flows=1
	feed refused0 10 11 1100
	expect_filters 'dev refused0 ingress' '10/1 in_hw=1 hw=11/1100 *'
	expect 'pins' 'link maps maps/flow_stats' "$(cd "$pins/refused0" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
}

test_a_map_of_another_shape_leaves_the_old_firmware() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	refused 5 replace broken-shape ek0
	says 'map `flow_stats`' 'value 32 bytes' 'value 16 bytes'
	expect_figures ek0 firmware=stats generation=1 flows=1
	refused 5 replace broken-array ek0
	says 'map `flow_stats`' 'array'
	refused 5 replace broken-null ek0
	refused 5 replace broken-abi_newer ek0
	expect_figures ek0 firmware=stats generation=1 flows=1
	expect_in_hw 'dev ek0 ingress' 1
}

test_replace_needs_firmware_and_load_replace_does_not() {
	port ek0
	refused 6 replace stats ek0
	says 'device `ek0` has no firmware attached' 'ekho-fw load'
	fw load "$(object stats)" --dev ek0 --replace >/dev/null
	expect_figures ek0 firmware=stats generation=1
	fw load "$(object stats_v2)" --dev ek0 --replace >/dev/null
	expect_figures ek0 firmware=stats_v2 generation=2
}

test_an_update_for_another_device_is_refused() {
	port ek0 ek1
	local ek0 ek1
	ek0=$(get devices ek0 ifindex)
	ek1=$(get devices ek1 ifindex)
	expect 'update to ek1' 'load 0 attach 0 load 0 update EINVAL ' "$(raw stats "$ek0" stats "$ek1")"
	expect 'update to ek0' 'load 0 attach 0 load 0 update 0 ' "$(raw stats "$ek0" stats_v2 "$ek0")"
	expect 'update to any' 'load 0 attach 0 load 0 update 0 ' "$(raw stats "$ek0" stats_v2 0)"
	expect 'attach to any' 'load 0 attach ENODEV ' "$(raw stats 0)"
}

# The kernel's own view of "atomic": while tc adds and deletes skip_sw filters as
# fast as it can, each must find firmware that takes it.
test_no_filter_fails_while_firmware_is_replaced() {
	local i batch=''
	port ek0
	load stats ek0
	drop ek0 1 skip_sw
	feed ek0 1 10 1000
	for i in {1..400}; do
		batch+="filter add dev ek0 ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.10 action drop"$'\n'
		batch+="filter del dev ek0 ingress protocol ip prio 10 handle 1 flower"$'\n'
	done
	# tc -b ends at the first failure.
	tc -b - <<<"$batch" 2>"$EKHO_TMP/tc" &
	local tc=$! swaps=0 status=0
	while [[ -d /proc/$tc ]]; do
		replace stats_v2 ek0
		replace stats ek0
		((swaps += 2))
	done
	wait "$tc" || status=$?
	expect 'status of tc, and what it said' '0 ' "$status $(cat "$EKHO_TMP/tc")"
	((swaps >= 2)) || fail 'there was no swap meanwhile'
	expect_figures ek0 generation=$((swaps + 1)) flows=1 violations=0
	feed ek0 1 20 2000
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=20/2000 *'
}

main "$@"
