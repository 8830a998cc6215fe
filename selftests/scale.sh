#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Many filters, and many things at once. EKHO_MANY says how many are very many, for a
# kernel that is slow.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

N=1000

test_a_thousand_filters_in_and_out() {
	local i n=0 add='' feed=''
	port ek0
	load stats ek0
	for ((i = 1; i <= N; i++)); do
		add+="filter add dev ek0 ingress protocol ip prio 1 handle $i flower skip_sw dst_ip 10.1.$((i / 256)).$((i % 256)) action drop"$'\n'
	done
	tc -b - <<<"$add"
	expect_figures ek0 flows="$N" replace="$N" replace_refused=0
	# Each cookie gets a number of its own; the sum must be right.
	for i in $(fw -j flows --dev ek0 | jq -r '.[].cookie'); do
		feed+="{\"cookie\":\"$i\",\"packets\":$((++n)),\"bytes\":$((100 * n))}"$'\n'
	done
	fw stats feed - <<<"$feed" >/dev/null
	tc -s filter show dev ek0 ingress >/dev/null
	expect 'sums' "$((N * (N + 1) / 2)) $((50 * N * (N + 1)))" "$(tc -s -j filter show dev ek0 ingress | jq -r '[.[] | select(.options.handle).options.actions[0].stats] | "\(map(.hw_packets) | add) \(map(.hw_bytes) | add)"')"
	tc filter del dev ek0 ingress
	expect_figures ek0 flows=0 destroy="$N"
	expect 'flows' 0 "$(n_flows)"
}

# walks CMD...: how many walks over tables of flows begin while CMD runs.
walks() {
	local probe=$tracefs/events/kprobes/ekho_walk/enable
	echo 'p:ekho_walk ekho:ekho_helper_rhashtable_walk_start' >>"$tracefs/kprobe_events"
	echo 1 >"$probe"
	"$@"
	echo 0 >"$probe"
	awk '$1 == "ekho_walk" { print $2 }' "$tracefs/kprobe_profile"
	echo '-:ekho_walk' >>"$tracefs/kprobe_events"
}

# Rules of nftables are left when firmware goes: the kernel doesn't take them back. To walk
# again for some of them at a time would be quadratic.
test_flows_that_are_left_go_in_one_walk() {
	local i rules='' n
	type -P nft >/dev/null || skip 'needs nft'
	[[ -e $tracefs/kprobe_events ]] || skip 'needs kprobe events'
	ip link add ek0 up type ekho
	load noop ek0
	for ((i = 1; i <= N; i++)); do
		rules+="udp dport $i drop"$'\n'
	done
	nft -f - <<-END
		table netdev t {
			chain c { type filter hook ingress device ek0 priority 1; flags offload; $rules }
		}
	END
	expect_figures ek0 flows="$N"
	n=$(walks unload ek0)
	expect 'flows' 0 "$(n_flows)"
	# One that removes them, and one that finds none; a table that shrinks may need another.
	((n > 0 && n <= 4)) || fail 'walks' 'expected: 2 to 4' "seen:     $n"
	nft delete table netdev t
}

test_a_thousand_filters_are_replayed_and_taken_back() {
	local i add=''
	port ek0
	for ((i = 1; i <= N; i++)); do
		add+="filter add dev ek0 ingress protocol ip prio 1 handle $i flower dst_ip 10.1.$((i / 256)).$((i % 256)) action drop"$'\n'
	done
	tc -b - <<<"$add"
	load stats ek0
	expect_figures ek0 flows="$N"
	unload ek0
	expect 'flows' 0 "$(n_flows)"
	load stats ek0
	expect_figures ek0 flows="$N"
	ip link del ek0
	expect 'flows' 0 "$(n_flows)"
}

# batch DEV PRIO FIRST LAST: the lines of `tc -b` that add so many filters.
batch() {
	awk -v dev="$1" -v prio="$2" -v first="$3" -v last="$4" 'BEGIN {
		for (i = first; i <= last; i++)
			printf "filter add dev %s ingress protocol ip prio %d handle %d flower skip_sw dst_ip 10.%d.%d.%d action drop\n",
				dev, prio, i, int(i / 65536), int(i / 256) % 256, i % 256
	}'
}

test_very_many_filters_in_and_out() {
	local many=${EKHO_MANY:-100000}
	port ek0
	load noop ek0
	batch ek0 1 1 "$many" | tc -b -
	expect_figures ek0 flows="$many" replace="$many" replace_refused=0
	expect 'its table' "$many" "$(get devices ek0 table_entries)"
	tc filter del dev ek0 ingress
	expect_figures ek0 flows=0 destroy="$many"
	expect 'its table' 0 "$(get devices ek0 table_entries)"
	# The namespace would take longer than a case is given for it.
	ip link del ek0
}

test_filters_are_added_and_deleted_in_parallel() {
	local i jobs=() job status=0
	port ek0 ek1
	load stats ek0
	load stats ek1
	# Two preferences of one device, and another device: neither waits for RTNL.
	for i in 1 2 3; do
		{
			batch "ek$((i / 3))" "$i" 1 1500 | tc -b - &&
				batch "ek$((i / 3))" "$i" 1 1500 | sed 's/add/del/; s/skip_sw.*//' | tc -b -
		} &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do
		wait "$job" || status=$?
	done
	expect 'status of tc' 0 "$status"
	expect_figures ek0 flows=0 replace=3000 destroy=3000 replace_refused=0
	expect_figures ek1 flows=0 replace=1500 destroy=1500 replace_refused=0
	expect 'their tables' '0 0' "$(get devices ek0 table_entries) $(get devices ek1 table_entries)"
}

# Devices that take their time don't wait for each other: if RTNL were held, each
# request of either would end at least that time after the one before.
test_requests_of_two_devices_run_at_the_same_time() {
	local dev jobs=() job together
	port ek0 ek1
	for dev in ek0 ek1; do
		load noop "$dev"
		echo "dev=$dev op=replace delay_us=90000" >"$debugfs/faults"
	done
	trace_on
	echo mono >"$instance/trace_clock"
	for dev in ek0 ek1; do
		batch "$dev" 1 1 20 | tc -b - &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do
		wait "$job"
	done
	expect 'requests' 40 "$(trace | grep -c '^replace ')"
	together=$(sed -n 's/.* \([0-9]*\)\.\([0-9]*\): ekho_replace: .*/\1\2/p' "$instance/trace" | sort -n |
		awk 'NR > 1 && $1 - was < 90000 { together++ } { was = $1 } END { print together + 0 }')
	((together >= 10)) || fail 'one waits for the other' \
		'expected: 10 that end within 90000 us after another, or more' "seen:     $together"
}

# The last reference to a preference that is deleted may be that of the walk which
# offers its filters, and giving it back takes the block's lock.
test_a_preference_can_be_deleted_while_it_is_replayed() {
	local tc tool to
	port ek0
	batch ek0 1 1 4000 | sed 's/skip_sw//' | tc -b -
	coproc TC { tc -b - 2>&1; }
	tc=$! to=${TC[1]}
	fw load "$(object noop)" --dev ek0 >/dev/null &
	tool=$!
	until (($(get devices ek0 flows) > 0)); do
		[[ -d /proc/$tool ]] || break
	done
	echo 'filter del dev ek0 ingress protocol ip prio 1 flower' >&"$to"
	exec {to}>&-
	wait "$tc"
	wait "$tool"
	ip link show ek0 >/dev/null
	eventually eval '[[ $(get devices ek0 flows) == 0 ]]'
	expect_no_filters 'dev ek0 ingress'
	unload ek0
}

test_attach_and_detach_while_tc_is_busy() {
	local i batch='' dev jobs=() status=0
	port ek0
	wire v0 v1
	for dev in ek0 v0; do
		batch=''
		for i in {1..150}; do
			batch+="filter add dev $dev ingress protocol ip prio 10 handle 1 flower dst_ip 10.0.0.10 action drop"$'\n'
			batch+="filter show dev $dev ingress"$'\n'
			batch+="filter del dev $dev ingress protocol ip prio 10 handle 1 flower"$'\n'
		done
		tc -s -b - <<<"$batch" >/dev/null &
		jobs+=($!)
	done
	while [[ -d /proc/${jobs[0]} || -d /proc/${jobs[1]} ]]; do
		load stats ek0
		load stats v0
		unload ek0
		unload v0
	done
	wait "${jobs[0]}" || status=$?
	wait "${jobs[1]}" || status=$?
	expect 'status of tc' 0 "$status"
	expect 'flows' 0 "$(n_flows)"
}

main "$@"
