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
	local from=${EPOCHREALTIME/./} took used unused ms
	feed ek0 1 1 100
	read -r used unused < <(tc -s -j filter show dev ek0 ingress |
		jq -r '[.[] | select(.options.handle).options.actions[0].last_used] | join(" ")')
	# However long that took: the one was used in that time, the other before.
	took=$((${EPOCHREALTIME/./} - from))
	((used <= took / 1000000 + 1 && unused >= 3 && unused - used >= 2)) ||
		fail 'seconds since the last use' "took:     $took us" "used:     $used" "unused:   $unused"
	expect 'the unused one on record' -1 "$(field last_used_ms "$(records flows prio=2)")"
	ms=$(field last_used_ms "$(records flows prio=1)")
	took=$((${EPOCHREALTIME/./} - from))
	((ms >= 0 && ms <= took / 1000)) || fail 'last_used_ms' "expected: 0 to $((took / 1000))" "seen:     $ms"
}

test_hw_stats_disabled_asks_for_none() {
	port ek0
	load prio_counters ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop hw_stats disabled
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=0/0 all=0/0 drops=0'
	expect_figures ek0 flows=1 stats=0
}

test_hw_stats_delayed_is_served() {
	port ek0
	load prio_counters ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop hw_stats delayed
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 all=10/1000 *'
}

test_hw_stats_immediate_is_refused_with_the_alternatives() {
	port ek0
	load prio_counters ek0
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
	load prio_counters ek0
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

# ------------------------------------------------------- action by action ----

# mirror DEV PRIO [CLASSIFIER...]: adds a filter that mirrors packets to ek9 and drops
# them.
mirror() {
	tc filter add dev "$1" ingress protocol ip prio "$2" handle 1 "${@:3}" skip_sw \
		action mirred egress mirror dev ek9 action drop
}

# count DEV PRIO N PACKETS: so many packets of 100 bytes have met the Nth action of a
# filter. See bpf/action_counters.bpf.c.
count() {
	local place=$((100 * $2 + $3)) cookie
	cookie=$(bpftool map lookup pinned "$pins/$1/maps/places" key $((place & 255)) $((place >> 8)) 0 0 |
		sed -n 's/.*"value": \([0-9]*\).*/\1/p')
	fw stats set --dev "$1" --cookie "$(printf '%#x' "$cookie")" --packets "$4" --bytes "${4}00" >/dev/null
}

# expect_counts WHERE LINE...: what hardware has counted for each action of each filter:
# "PRIO PACKETS/BYTES PACKETS/BYTES".
expect_counts() {
	# shellcheck disable=SC2086 # WHERE is words
	expect "hardware's counters of the actions of $1" "$(printf '%s\n' "${@:2}")" "$(tc -s -j filter show $1 |
		jq -r '.[] | select(.options.actions) | "\(.pref) " +
			([.options.actions[].stats | "\(.hw_packets // 0)/\(.hw_bytes // 0)"] | join(" "))')"
}

test_actions_of_a_filter_count_one_by_one() {
	local i
	port ek0 ek9
	load action_counters ek0
	mirror ek0 10 flower dst_ip 10.0.0.1
	mirror ek0 20 matchall
	expect_counts 'dev ek0 ingress' '10 0/0 0/0' '20 0/0 0/0'
	count ek0 10 1 7
	count ek0 10 2 4
	count ek0 20 2 1
	for i in 1 2 3; do
		expect_counts 'dev ek0 ingress' '10 7/700 4/400' '20 0/0 1/100'
	done
	count ek0 10 2 5
	count ek0 20 1 2
	expect_counts 'dev ek0 ingress' '10 7/700 5/500' '20 2/200 1/100'
	expect 'used_hw_stats' 'delayed delayed delayed delayed' "$(tc -s -j filter show dev ek0 ingress |
		jq -r '[.[] | .options.actions[]?.used_hw_stats[]] | join(" ")')"
	# The list of actions asks, too, and takes nothing away.
	count ek0 10 1 9
	expect 'drops' 5 "$(tc -s -j actions list action gact | jq '[.[] | .actions[]?.stats.hw_packets] | max')"
	expect_counts 'dev ek0 ingress' '10 9/900 5/500' '20 2/200 1/100'
	# Parts are no flows.
	expect_figures ek0 flows=2 violations=0
	expect 'flows on record' 2 "$(n_flows)"
	expect 'action counters' 4 "$(get devices ek0 action_counters)"
}

test_actions_count_by_what_is_new() {
	port ek0 ek9
	load action_counters ek0
	mirror ek0 100 flower dst_ip 10.0.0.1
	expect_counts 'dev ek0 ingress' '100 1/100 2/200'
	expect_counts 'dev ek0 ingress' '100 2/200 4/400'
}

test_actions_of_a_shared_block_add_up() {
	port ek9
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	tc qdisc add dev ek0 ingress_block 22 clsact
	tc qdisc add dev ek1 ingress_block 22 clsact
	load action_counters ek0
	load action_counters ek1
	tc filter add block 22 protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 \
		action mirred egress mirror dev ek9 action drop
	count ek0 10 1 7
	count ek0 10 2 4
	count ek1 10 2 10
	expect_counts 'block 22' '10 7/700 14/1400'
	tc qdisc del dev ek0 clsact
	count ek1 10 1 1
	expect_counts 'block 22' '10 8/800 14/1400'
}

test_what_actions_have_counted_goes_with_the_filter() {
	local i
	port ek0 ek9
	load action_counters ek0
	for i in 1 2 3; do
		mirror ek0 10 flower dst_ip 10.0.0.1
		expect_counts 'dev ek0 ingress' '10 0/0 0/0'
		count ek0 10 1 3
		count ek0 10 2 2
		expect_counts 'dev ek0 ingress' '10 3/300 2/200'
		undrop ek0 10
	done
	# Firmware that wants it for a node of u32 is told that it can't be.
	tc filter add dev ek0 ingress protocol ip prio 30 u32 match ip dst 10.0.0.1/32 action drop
	expect 'a node of u32' 'errno=95 count=1 reason=count_actions: -95' "$(records refusals | sed 's/.*\(errno=.*\)/\1/')"
	expect_figures ek0 flows=0 replace=4 destroy=3 violations=0
	expect 'action counters' 0 "$(get devices ek0 action_counters)"
	# Whichever way it goes.
	mirror ek0 10 flower dst_ip 10.0.0.1
	tc qdisc del dev ek0 clsact
	expect 'action counters without the block' 0 "$(get devices ek0 action_counters)"
	tc qdisc add dev ek0 clsact
	mirror ek0 10 matchall
	expect 'action counters' 2 "$(get devices ek0 action_counters)"
	unload ek0
	expect 'action counters without firmware' 0 "$(get devices ek0 action_counters)"
}

test_actions_are_counted_on_by_the_next_firmware() {
	port ek0 ek9
	load action_counters ek0
	mirror ek0 10 flower dst_ip 10.0.0.1
	tc filter add dev ek0 ingress protocol ip prio 20 flower dst_ip 10.0.0.2 \
		action mirred egress mirror dev ek9 action drop
	count ek0 10 1 7
	expect_counts 'dev ek0 ingress' '10 7/700 0/0' '20 0/0 0/0'
	replace action_counters ek0
	expect_counts 'dev ek0 ingress' '10 7/700 0/0' '20 0/0 0/0'
	count ek0 10 1 8
	count ek0 10 2 2
	count ek0 20 2 3
	expect_counts 'dev ek0 ingress' '10 8/800 2/200' '20 0/0 3/300'
	# What goes back to software and returns starts at zero, for tc on top of what was.
	unload ek0
	load action_counters ek0
	count ek0 20 2 4
	expect_counts 'dev ek0 ingress' '10 8/800 2/200' '20 0/0 7/700'
}

# counted PRIO: packets that hardware has counted for the first action of a filter.
counted() {
	tc -s -j filter show dev ek0 ingress |
		jq --argjson prio "$1" '.[] | select(.pref == $prio and .options.actions) | .options.actions[0].stats.hw_packets // 0'
}

test_a_shared_action_counts_with_its_last_filter_or_by_itself() {
	local i before
	port ek0
	load action_counters ek0
	tc actions add action pass index 1999
	tc actions add action pass index 2000
	for i in 1 2; do
		tc filter add dev ek0 ingress protocol ip prio "10$i" handle 1 flower dst_ip "10.0.0.$i" \
			action gact index 1999
	done
	tc filter add dev ek0 ingress protocol ip prio 103 flower dst_ip 10.0.0.3 action gact index 2000
	# Each filter that has it makes the kernel ask once more.
	before=$(counted 102)
	expect 'packets of the shared action' "$((before + 2))" "$(counted 102)"
	expect 'packets of the one that is offloaded by itself' 1000 "$(counted 103)"
	# A new filter in the place of the old one takes it over.
	tc filter replace dev ek0 ingress protocol ip prio 102 handle 1 flower dst_ip 10.0.0.4 action gact index 1999
	before=$(counted 102)
	expect 'packets after the change' "$((before + 2))" "$(counted 102)"
	# One that goes leaves it to the last.
	undrop ek0 101
	before=$(counted 102)
	expect 'packets with one filter left' "$((before + 1))" "$(counted 102)"
	expect 'action counters' 2 "$(get devices ek0 action_counters)"
	tc filter del dev ek0 ingress
	tc actions flush action gact
	expect_figures ek0 flows=0 violations=0
}

test_an_action_of_several_edits_counts_as_one() {
	port ek0 ek9
	load action_counters ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw ip_proto tcp dst_ip 10.0.0.1 \
		action pedit ex munge ip ttl set 3 munge ip tos set 4 munge ip src set 10.0.0.9 pipe \
		action mirred egress redirect dev ek9
	count ek0 10 3 7
	count ek0 10 4 4
	expect_counts 'dev ek0 ingress' '10 7/700 4/400'
}

test_a_filter_that_firmware_counts_as_a_whole_is_as_ever() {
	port ek0 ek9
	load action_counters ek0
	mirror ek0 200 flower dst_ip 10.0.0.1
	feed ek0 200 6 600
	expect_counts 'dev ek0 ingress' '200 6/600 6/600'
	expect 'what the record of the flow says' '6 600' "$(
		line=$(records flows prio=200)
		echo "$(field packets "$line") $(field bytes "$line")"
	)"
}

test_actions_that_need_no_counters_are_not_asked_for() {
	port ek0
	load action_counters ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 \
		action skbedit mark 1 hw_stats disabled action drop hw_stats disabled
	expect 'used_hw_stats' 'disabled disabled' "$(tc -s -j filter show dev ek0 ingress |
		jq -r '[.[] | .options.actions[]?.used_hw_stats[]] | join(" ")')"
	expect_figures ek0 flows=1 stats=0
}

main "$@"
