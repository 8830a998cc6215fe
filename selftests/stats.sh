#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Counters on their way from user space to tc.
#
#	user space --- map flow_stats --- firmware --- module --- tc -s
#	              totals             totals       deltas     sums

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_ten_flows_have_ten_different_counters() {
	local i batch='' agent='' want=()
	port ek0
	load stats ek0
	for i in {1..10}; do
		batch+="filter add dev ek0 ingress protocol ip prio $i handle 1 flower skip_sw dst_ip 10.0.0.$i action pass"$'\n'
		agent+="{\"dev\":\"ek0\",\"prio\":$i,\"handle\":1,\"packets\":$((i * i)),\"bytes\":$((i * 1000 + i)),\"drops\":$i}"$'\n'
		want+=("$i/1 in_hw=1 hw=$((i * i))/$((i * 1000 + i)) all=$((i * i))/$((i * 1000 + i)) drops=$i")
	done
	tc -b - <<<"$batch"
	fw stats feed - <<<"$agent" >/dev/null
	expect_filters 'dev ek0 ingress' "${want[@]}"
	# The records say what the kernel was told.
	for i in {1..10}; do
		expect "record of filter $i" "$((i * i)) $((i * 1000 + i)) $i" "$(
			line=$(records flows "prio=$i")
			echo "$(field packets "$line") $(field bytes "$line") $(field drops "$line")"
		)"
	done
}

test_repeated_dumps_count_nothing_twice() {
	local i
	port ek0
	load stats ek0
	pass ek0 10 skip_sw
	feed ek0 10 10 1000 1
	for i in 1 2 3 4; do
		tc -s filter show dev ek0 ingress >/dev/null
	done
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 all=10/1000 drops=1'
	feed ek0 10 25 2500 2
	for i in 1 2 3 4; do
		tc -s filter show dev ek0 ingress >/dev/null
	done
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=25/2500 all=25/2500 drops=2'
}

test_dumps_in_parallel_count_nothing_twice() {
	local i n dumps=()
	port ek0
	load stats ek0
	pass ek0 10 skip_sw
	for i in {1..10}; do
		dumps+=('filter show dev ek0 ingress')
	done
	for n in 1 2 3; do
		for i in 1 2 3 4; do
			tc -s -b - <<<"$(printf '%s\n' "${dumps[@]}")" >/dev/null &
		done
		for i in 1 2 3; do
			feed ek0 10 $((n * 100 + i)) $((n * 10000 + i))
		done
		wait
	done
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=303/30003 all=303/30003 drops=0'
}

test_counters_beyond_32_bits_are_exact() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	feed ek0 10 5000000001 4611686018427387905
	# jq's numbers have 53 bits: look at the text.
	said=$(tc -s filter show dev ek0 ingress)
	says 'Sent hardware 4611686018427387905 bytes 5000000001 pkt'
}

test_totals_that_go_backwards_are_held() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	feed ek0 10 10 1000
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *'
	feed ek0 10 4 400
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *'
	feed ek0 10 10 1000
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *'
	feed ek0 10 12 1200
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=12/1200 all=12/1200 *'
}

test_statistics_say_that_they_are_delayed() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	expect 'used_hw_stats' delayed "$(tc -s -j filter show dev ek0 ingress |
		jq -r '.[] | select(.options.handle).options.actions[0].used_hw_stats[]')"
}

test_the_time_of_the_last_use_reaches_tc() {
	port ek0
	load stats ek0
	tc -b - <<-END
		filter add dev ek0 ingress protocol ip prio 1 handle 1 flower skip_sw dst_ip 10.0.0.1 action drop
		filter add dev ek0 ingress protocol ip prio 2 handle 1 flower skip_sw dst_ip 10.0.0.2 action drop
	END
	pause 3.2
	feed ek0 1 1 100
	said=$(tc -s -j filter show dev ek0 ingress | jq -r '[.[] | select(.options.handle).options.actions[0]]
		| "used \(.[0].last_used < 2) unused \(.[1].last_used >= 3)"')
	expect 'seconds since the last use' 'used true unused true' "$said"
	(($(get flows ek0 last_used_ms | head -n 1) >= -1))
	expect 'the unused one on record' -1 "$(field last_used_ms "$(records flows prio=2)")"
	local ms
	ms=$(field last_used_ms "$(records flows prio=1)")
	((ms >= 0 && ms < 3000)) || fail 'last_used_ms' 'expected: 0 to 3000' "seen:     $ms"
}

test_hw_stats_disabled_asks_for_none() {
	port ek0
	load meter ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop hw_stats disabled
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=0/0 all=0/0 drops=0'
	expect_figures ek0 flows=1 stats=0
}

test_hw_stats_delayed_is_served() {
	port ek0
	load meter ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop hw_stats delayed
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 all=10/1000 *'
}

test_hw_stats_immediate_is_refused_with_the_alternatives() {
	port ek0
	load meter ek0
	refused 2 tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 \
		action drop hw_stats immediate
	says "hw_stats immediate can't be had; use delayed, disabled or any"
	expect_figures ek0 flows=0 replace=0
}

test_firmware_without_numbers_counts_nothing() {
	port ek0
	load faulty ek0
	drop ek0 208 skip_sw
	drop ek0 207 skip_sw
	drop ek0 1 skip_sw
	expect_filters 'dev ek0 ingress' '1/1 in_hw=1 hw=7/700 *' '207/1 in_hw=1 hw=0/0 all=0/0 *' \
		'208/1 in_hw=1 hw=0/0 all=0/0 *'
	expect_figures ek0 violations=0
}

test_a_filter_with_two_actions_counts_in_both() {
	port ek0
	load meter ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 \
		action skbedit mark 1 continue action drop
	expect 'hardware counters' '10/1000 10/1000' "$(tc -s -j filter show dev ek0 ingress |
		jq -r '[.[] | select(.options.handle).options.actions[].stats | "\(.hw_packets)/\(.hw_bytes)"] | join(" ")')"
}

test_an_entry_of_the_map_that_vanished_keeps_what_was_counted() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	feed ek0 10 10 1000
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *'
	local cookie key='' i
	cookie=$(cookie ek0 10)
	for ((i = 14; i >= 0; i -= 2)); do
		key+=" 0x${cookie:2+i:2}"
	done
	# shellcheck disable=SC2086 # one word a byte
	bpftool map delete pinned "$pins/ek0/maps/flow_stats" key $key
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 all=10/1000 *'
	undrop ek0 10
	expect_figures ek0 flows=0 destroy=1 violations=0
}

main "$@"
