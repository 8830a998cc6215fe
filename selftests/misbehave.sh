#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Firmware that violates the contract is stopped, and its filters go back to
# software. bpf/violation.bpf.c says which preferences and names make it do what.
#
#	op returns 1 ─▶ not called any more ─▶ work item: filters to software,
#	                                       record in `exits`, uevent, link detached

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# What each number returns; see bpf/violation.bpf.c.
returns=([1]=1 [2]=-4000 [3]=-11)

stopped() { ! is_attached "$1"; }

# The time of the last exit before this case: namespaces that went have left
# records, and their numbers are used again.
before=$(tail -n 1 "$debugfs/exits" 2>/dev/null | grep -o 'time_ns=[0-9]*') || :
before=${before#time_ns=}

# exits: those of this case.
exits() {
	local lines line
	mapfile -t lines < <(records exits)
	for line in "${lines[@]}"; do
		(($(field time_ns "$line") <= ${before:-0})) || printf '%s\n' "$line"
	done
}

# expect_exits LINE...: they are these, without what they always say; a LINE may
# be a pattern. Waits: the work item may not have come to it yet.
expect_exits() {
	local lines line seen='' i same
	wait_begin
	while :; do
		mapfile -t lines < <(exits)
		seen='' same=1
		for ((i = 0; i < ${#lines[@]} || i < $#; i++)); do
			line=${lines[i]:-}
			[[ -z $line ]] ||
				line="$(field dev "$line") $(field firmware "$line") ${line#* generation=}"
			[[ ! $line =~ ' time_ns='[0-9]+ ]] || line=${line/"${BASH_REMATCH[0]}"/}
			# shellcheck disable=SC2053 # a pattern
			[[ $line == ${*:i+1:1} && i -lt $# ]] || same=0
			seen+=$line$'\n'
		done
		((!same)) || return 0
		wait_more 0.02 || break
	done
	expect 'exits' "$(printf '%s\n' "$@")" "${seen%$'\n'}"
}

# each_return OP DEV CMD...: CMD makes the op return N, which is appended to it.
# Each time the firmware is stopped, and another takes its place at once.
each_return() {
	local op=$1 dev=$2 n want=()
	for n in 1 2 3; do
		load violation "$dev"
		"${@:3}" "$n"
		eventually stopped "$dev"
		want+=("$dev violation 1 op=$op code=return value=${returns[n]} flows=[0-9] reason=$op returned ${returns[n]}")
		expect_exits "${want[@]}"
	done
	expect 'flows' 0 "$(n_flows)"
}

wrong_replace() {
	refused 2 drop ek0 "10$1" skip_sw
	says "ek0: firmware 'violation' stopped: replace returned ${returns[$1]}; load another"
}

test_a_wrong_return_of_replace_stops_the_firmware() {
	port ek0
	each_return replace ek0 wrong_replace
}

wrong_destroy() {
	drop ek0 "20$1" skip_sw
	undrop ek0 "20$1"
}

test_a_wrong_return_of_destroy_stops_the_firmware() {
	port ek0
	each_return destroy ek0 wrong_destroy
}

wrong_stats() {
	drop ek0 "30$1" skip_sw
	tc -s filter show dev ek0 ingress >/dev/null
	eventually stopped ek0
	undrop ek0 "30$1"
}

test_a_wrong_return_of_stats_stops_the_firmware() {
	port ek0
	each_return stats ek0 wrong_stats
}

wrong_template_create() {
	tc chain add dev ek0 ingress protocol ip chain "40$1" flower dst_ip 0.0.0.0/8
	eventually stopped ek0
	tc chain del dev ek0 ingress chain "40$1"
}

test_a_wrong_return_of_template_create_stops_the_firmware() {
	port ek0
	each_return template_create ek0 wrong_template_create
}

wrong_template_destroy() {
	tc chain add dev ek0 ingress protocol ip chain "50$1" flower dst_ip 0.0.0.0/8
	tc chain del dev ek0 ingress chain "50$1"
}

test_a_wrong_return_of_template_destroy_stops_the_firmware() {
	port ek0
	each_return template_destroy ek0 wrong_template_destroy
}

wrong_hnode() {
	refused 2 tc filter add dev ek0 ingress protocol ip prio "60$1" handle "$1": u32 divisor 16 skip_sw
}

test_a_wrong_return_of_hnode_stops_the_firmware() {
	port ek0
	each_return hnode ek0 wrong_hnode
}

test_a_wrong_return_of_qdisc_stops_the_firmware() {
	local n want=()
	for n in 1 2 3; do
		ip link add "q$n" up type ekho
		load violation "q$n"
		tc qdisc add dev "q$n" root handle 1: tbf rate 1mbit burst 10k limit 10k
		eventually stopped "q$n"
		want+=("q$n violation 1 op=qdisc code=return value=${returns[n]} flows=0 reason=qdisc returned ${returns[n]}")
	done
	expect_exits "${want[@]}"
}

test_a_wrong_return_of_attach_refuses_the_firmware() {
	local n want=()
	for n in 1 2 3; do
		ip link add "a$n" up type ekho
		expect "a$n" 'load 0 attach EINVAL ' "$(raw violation "$(get devices "a$n" ifindex)")"
		want+=("a$n violation 1 op=attach code=return value=${returns[n]} flows=0 reason=attach returned ${returns[n]}")
	done
	expect_exits "${want[@]}"
	expect 'records' '' "$(records firmware)"
}

test_a_replacement_that_is_stopped_in_attach_leaves_the_old_one() {
	local ifindex
	ip link add u1 up type ekho
	ifindex=$(get devices u1 ifindex)
	sleep 60 | "$here/bpf/build/raw" "$(object violation)" "$ifindex" "$(object violation)" "$ifindex" \
		>"$EKHO_TMP/raw.$$" &
	eventually grep -q 'update' "$EKHO_TMP/raw.$$"
	expect 'raw' 'load 0 attach 0 load 0 update EINVAL ' "$(tr '\n' ' ' <"$EKHO_TMP/raw.$$")"
	expect_exits 'u1 violation 2 op=attach code=return value=1 flows=0 reason=attach returned 1'
	expect_figures u1 firmware=violation generation=1 violations=0
	tc qdisc add dev u1 clsact
	drop u1 10 skip_sw
	expect_in_hw 'dev u1 ingress' 1
}

test_a_filter_that_is_there_can_stop_the_firmware_that_is_attached() {
	port ek0
	drop ek0 10
	drop ek0 101
	expect 'raw' 'load 0 attach EINVAL ' "$(raw violation "$(get devices ek0 ifindex)")"
	expect_exits 'ek0 violation 1 op=replace code=return value=1 *'
	expect_in_hw 'dev ek0 ingress' 0 0
	expect 'records' '' "$(records firmware)$(records flows)"
}

test_filters_go_back_to_software_and_skip_sw_is_told_why() {
	port ek0
	load violation ek0
	drop ek0 10
	drop ek0 11 skip_sw
	expect_in_hw 'dev ek0 ingress' 1 1
	# One that may be in software is accepted there.
	accepted drop ek0 101
	eventually stopped ek0
	expect_in_hw 'dev ek0 ingress' 0 0 0
	said=$(tc filter show dev ek0 ingress)
	says 'not_in_hw'
	expect 'flows' 0 "$(n_flows)"
	# The flow that it refused may be on record yet.
	expect_exits 'ek0 violation 1 op=replace code=return value=1 flows=[23] reason=replace returned 1'
	refused 2 drop ek0 12 skip_sw
	says "ek0: firmware 'violation' stopped: replace returned 1; load another"
	# verbose tells it to those who didn't insist.
	accepted drop ek0 13 verbose
	says 'stopped: replace returned 1'
	# Until there is another, or until that one is unloaded.
	load stats ek0
	expect_in_hw 'dev ek0 ingress' 1 1 1 1
	unload ek0
	refused 2 drop ek0 12 skip_sw
	says 'no firmware attached; use ekho-fw load'
}

test_software_takes_over_on_a_device_without_offload_of_its_own() {
	wire v0 v1
	load violation v0
	tc filter add dev v0 egress protocol ip prio 10 handle 1 flower ip_proto udp dst_ip 10.9.0.2 action drop
	send 2
	expect_filters 'dev v0 egress' '10/1 in_hw=1 hw=7/700 all=9/* *'
	drop v0 101
	eventually stopped v0
	send 3
	expect_filters 'dev v0 egress' '10/1 in_hw=0 hw=7/700 all=12/* *'
}

test_the_first_error_is_the_one_on_record_and_no_op_runs_after_it() {
	local i batch=''
	port ek0
	load violation ek0
	drop ek0 203 skip_sw
	trace_on
	for i in 1 2 3 4; do
		batch+="filter add dev ek0 ingress protocol ip prio 101 handle $i flower dst_ip 10.0.0.$i action drop"$'\n'
	done
	tc -b - <<<"$batch"
	eventually stopped ek0
	# Neither destroy of the flow, nor detach.
	expect_trace 'exit *op=replace code=return value=1 *' 'replace * result=-22 *'
	expect_exits 'ek0 violation 1 op=replace code=return value=1 *'
}

test_firmware_that_takes_too_long_is_stopped() {
	port ek0
	load default_budget ek0
	refused 2 drop ek0 104 skip_sw
	[[ $said =~ "ek0: firmware 'violation' stopped: replace took "([0-9]+)'/10000 us; load another' ]] ||
		fail 'budget' 'expected: replace took ...' "seen:     $said"
	((BASH_REMATCH[1] > 10000))
	expect_exits "ek0 violation 1 op=replace code=budget value=${BASH_REMATCH[1]} flows=* reason=replace took ${BASH_REMATCH[1]}/10000 us"
	# What it has counted in too much time is right all the same.
	load default_budget ek0
	drop ek0 204 skip_sw
	drop ek0 304
	expect_filters 'dev ek0 ingress' '204/1 * hw=7/700 *' '304/1 in_hw=1 hw=7/700 all=7/700 *'
	eventually stopped ek0
	load default_budget ek0
	undrop ek0 204
	eventually stopped ek0
	expect_exits '*op=replace code=budget *' 'ek0 violation 1 op=stats code=budget value=* flows=2 *' \
		'ek0 violation 1 op=destroy code=budget value=* flows=1 *'
	expect_in_hw 'dev ek0 ingress' 0
}

test_firmware_that_takes_too_long_in_detach_is_on_record() {
	ip link add d4 up type ekho
	load default_budget d4
	unload d4
	expect_exits 'd4 violation 1 op=detach code=budget value=* flows=0 reason=detach took */10000 us'
}

test_long_work_within_the_budget_is_fine() {
	local us
	port ek0
	load violation ek0
	drop ek0 104 skip_sw
	us=$(get firmware ek0 longest_us)
	((us > 10000)) || fail 'longest_us' 'expected: over 10000' "seen:     $us"
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1 1
	expect 'exits' '' "$(exits)"
}

# One that is late for once may have been robbed of its CPU.
test_firmware_is_stopped_after_repeated_overruns() {
	local i
	port ek0
	load default_budget ek0
	for i in {1..15}; do
		tc filter add dev ek0 ingress protocol ip prio 106 handle "$i" flower skip_sw dst_ip "10.0.1.$i" action drop
	done
	expect 'exits' '' "$(exits)"
	refused 2 tc filter add dev ek0 ingress protocol ip prio 106 handle 16 flower skip_sw dst_ip 10.0.1.16 action drop
	[[ $said =~ "ek0: firmware 'violation' stopped: ops took "([0-9]+)'/10000 us; load another' ]] ||
		fail 'budget' 'expected: ops took ...' "seen:     $said"
	((BASH_REMATCH[1] > 20000))
	expect_exits "ek0 violation 1 op=replace code=budget value=${BASH_REMATCH[1]} *"
}

test_slow_ops_among_many_others_stop_nothing() {
	local i n
	port ek0
	load default_budget ek0
	for i in {1..20}; do
		tc filter add dev ek0 ingress protocol ip prio 106 handle "$i" flower skip_sw dst_ip "10.0.1.$i" action drop
		for n in 1 2; do
			drop ek0 10 skip_sw
			undrop ek0 10
		done
	done
	expect 'exits' '' "$(exits)"
	expect_figures ek0 flows=20 violations=0
}

# stall OP US: the CPU stands still during the next call of the op.
stall() {
	echo "dev=ek0 op=$1 nth=1 stall_us=$2" >"$debugfs/faults"
}

# The clock goes on, and no interrupt comes: a guest whose vCPU is taken away.
test_a_cpu_that_stands_still_for_a_while_stops_nothing() {
	local us
	port ek0
	load default_budget ek0
	stall replace 2000000
	drop ek0 10 skip_sw
	us=$(get firmware ek0 longest_us)
	# A delay loop is only as exact as what it was calibrated with.
	((us > 500000)) || fail 'longest_us' 'expected: over 500000' "seen:     $us"
	stall stats 500000
	expect_in_hw 'dev ek0 ingress' 1
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=7/700 *'
	stall destroy 500000
	undrop ek0 10
	stall attach 500000
	unload ek0
	load default_budget ek0
	drop ek0 11 skip_sw
	expect 'exits' '' "$(exits)"
	expect_figures ek0 flows=1 violations=0
}

# Firmware that keeps interrupts off looks just like that; but who does so again
# and again doesn't get away with it.
test_overruns_with_interrupts_off_are_stopped_when_repeated() {
	local i
	port ek0
	load default_budget ek0
	echo 'dev=ek0 op=replace stall_us=20000' >"$debugfs/faults"
	for i in {1..15}; do
		tc filter add dev ek0 ingress protocol ip prio 10 handle "$i" flower skip_sw dst_ip "10.0.1.$i" action drop
	done
	expect 'exits' '' "$(exits)"
	refused 2 drop ek0 11 skip_sw
	says 'stopped: ops took '
	expect_exits 'ek0 violation 1 op=replace code=budget *'
}

# The kernel has no way to enter an op from within one so far; a knob has.
test_firmware_that_is_entered_again_is_stopped() {
	port ek0
	load violation ek0
	drop ek0 10
	echo 'dev=ek0 op=replace recurse' >"$debugfs/faults"
	refused 2 drop ek0 11 skip_sw
	says 'stopped: replace was entered again; load another'
	eventually stopped ek0
	expect_exits 'ek0 violation 1 op=replace code=recursion value=0 flows=* reason=replace was entered again'
	echo 'dev=ek0 clear' >"$debugfs/faults"
	load violation ek0
	echo 'dev=ek0 op=stats recurse' >"$debugfs/faults"
	tc -s filter show dev ek0 ingress >/dev/null
	eventually stopped ek0
	expect_exits '*' 'ek0 violation 1 op=stats code=recursion *'
	expect_in_hw 'dev ek0 ingress' 0
}

test_an_interrupt_in_the_middle_of_an_op_is_no_recursion() {
	port ek0
	load violation ek0
	echo 'dev=ek0 op=replace interrupt' >"$debugfs/faults"
	drop ek0 10 skip_sw
	echo 'dev=ek0 op=stats interrupt' >"$debugfs/faults"
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=7/700 *'
	expect 'exits' '' "$(exits)"
	# It is entered all the same: one that enters twice is found.
	echo 'dev=ek0 op=replace interrupt recurse' >"$debugfs/faults"
	refused 2 drop ek0 11 skip_sw
	says 'stopped: replace was entered again; load another'
}

# There is room for any number of them, and they may be preempted in the middle.
test_many_slow_tasks_in_parallel_are_no_recursion() {
	local i jobs=() status=0
	port ek0
	load violation ek0
	for i in {1..48}; do
		tc filter add dev ek0 ingress protocol ip prio 106 handle "$i" flower skip_sw dst_ip "10.0.1.$i" action drop &
		jobs+=($!)
	done
	for i in "${jobs[@]}"; do
		wait "$i" || status=$?
	done
	expect 'status of tc' 0 "$status"
	expect 'exits' '' "$(exits)"
	expect_figures ek0 flows=48 replace=48 violations=0
}

test_tasks_in_parallel_are_no_recursion() {
	local i jobs=() status=0
	port ek0
	load violation ek0
	for i in 1 2 3 4; do
		for _ in {1..50}; do
			echo "filter add dev ek0 ingress protocol ip prio $i handle 1 flower skip_sw dst_ip 10.0.0.$i action drop"
			echo 'filter show dev ek0 ingress'
			echo "filter del dev ek0 ingress protocol ip prio $i handle 1 flower"
		done >"$EKHO_TMP/batch.$i"
		tc -s -b "$EKHO_TMP/batch.$i" >/dev/null &
		jobs+=($!)
	done
	for i in "${jobs[@]}"; do
		wait "$i" || status=$?
	done
	expect 'status of tc' 0 "$status"
	expect 'exits' '' "$(exits)"
	expect_figures ek0 flows=0 replace=200 destroy=200
}

test_a_queue_that_the_device_has_not_is_refused() {
	ip link add q5 up type ekho
	load violation q5
	tc qdisc add dev q5 root handle 1: htb offload
	refused 2 tc class add dev q5 parent 1: classid 1:1 htb rate 1mbit
	eventually stopped q5
	expect_exits 'q5 violation 1 op=qdisc code=contract value=1000 flows=0 reason=qdisc chose queue 1000 of 1'
}

# listen: notes uevents of this namespace in a file.
listen() {
	uevents=$EKHO_TMP/uevents.$$
	"$here/bpf/build/uevents" >"$uevents" &
	eventually grep -q listening "$uevents"
}

# expect_events LINE...: they were these.
expect_events() {
	enough() { (($(wc -l <"$uevents") > $1)); }
	eventually enough "$#"
	expect 'uevents' "$(printf '%s\n' listening "$@")" "$(<"$uevents")"
}

test_user_space_is_told_by_uevents() {
	local on='change /devices/virtual/net/ek0' v0='EKHO_DEV=v0'
	port ek0
	listen
	load violation ek0
	fw replace "$(object violation)" --dev ek0 >/dev/null
	unload ek0
	load violation ek0
	refused 2 drop ek0 102 skip_sw
	eventually stopped ek0
	wire v0 v1
	load stats v0
	ip link del v0
	expect_events "$on EKHO_EVENT=attach EKHO_DEV=ek0 EKHO_FIRMWARE=violation" \
		"$on EKHO_EVENT=replace EKHO_DEV=ek0 EKHO_FIRMWARE=violation" \
		"$on EKHO_EVENT=detach EKHO_DEV=ek0 EKHO_FIRMWARE=violation" \
		"$on EKHO_EVENT=attach EKHO_DEV=ek0 EKHO_FIRMWARE=violation" \
		"$on EKHO_EVENT=exit EKHO_DEV=ek0 EKHO_FIRMWARE=violation EKHO_OP=replace EKHO_CODE=return EKHO_REASON=replace returned -4000" \
		"${on/ek0/v0} EKHO_EVENT=attach $v0 EKHO_FIRMWARE=stats" \
		"${on/ek0/v0} EKHO_EVENT=detach $v0 EKHO_FIRMWARE=stats"
}

test_uevents_stay_in_the_namespace_of_the_device() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip -n "$ns" link add ek0 up type ekho
	listen
	fw --netns "$ns" load "$(object violation)" --dev ek0 >/dev/null
	fw --netns "$ns" unload --dev ek0 >/dev/null
	port ek1
	load violation ek1
	expect_events 'change /devices/virtual/net/ek1 EKHO_EVENT=attach EKHO_DEV=ek1 EKHO_FIRMWARE=violation'
}

test_the_owner_of_the_link_is_told() {
	port ek0
	local out=$EKHO_TMP/raw.$$
	sleep 60 | "$here/bpf/build/raw" "$(object violation)" "$(get devices ek0 ifindex)" >"$out" &
	eventually is_attached ek0
	refused 2 drop ek0 101 skip_sw
	eventually grep -q 'hangup 0' "$out"
}

test_firmware_can_be_loaded_right_after_an_exit() {
	local i ifindex want=()
	port ek0
	ifindex=$(get devices ek0 ifindex)
	for i in 1 2 3; do
		load violation ek0
		refused 2 drop ek0 101 skip_sw
		expect 'at once' 'load 0 attach 0 ' "$(raw broken-none "$ifindex")"
		want+=('ek0 violation 1 op=replace *')
	done
	expect_exits "${want[@]}"
}

# Each way in which firmware can leave, in a race with its own end.
test_exits_racing_with_unload_replace_and_deletion_leave_nothing() {
	local i ns=ekho-selftest-$$
	for i in 1 2 3; do
		port ek0
		load violation ek0
		drop ek0 10 skip_sw
		drop ek0 101
		ip link del ek0

		port ek0
		load violation ek0
		drop ek0 101
		fw unload --dev ek0 >/dev/null 2>&1 || :
		eventually stopped ek0
		undrop ek0 101

		load violation ek0
		drop ek0 102
		fw replace "$(object violation)" --dev ek0 >/dev/null 2>&1 || :
		eventually stopped ek0
		ip link del ek0

		ip netns add "$ns"
		ip -n "$ns" link add ek0 up type ekho
		tc -n "$ns" qdisc add dev ek0 clsact
		fw --netns "$ns" load "$(object violation)" --dev ek0 >/dev/null
		tc -n "$ns" filter add dev ek0 ingress protocol ip prio 101 flower dst_ip 10.0.0.1 action drop
		ip netns del "$ns"
	done
	expect 'records' '' "$(records firmware)$(records flows)"
}

test_the_module_can_go_after_an_exit() {
	borrow_module
	port ek0
	load violation ek0
	drop ek0 10 skip_sw
	drop ek0 101
	eventually stopped ek0
	# The pin of its link is still there.
	[[ -e $pins/ek0/link ]]
	eventually rmmod ekho
}

test_the_last_64_exits_are_kept() {
	ip link add a1 up type ekho
	RAW_TIMES=70 raw violation "$(get devices a1 ifindex)" >/dev/null
	mapfile -t lines <"$debugfs/exits"
	expect 'lines' 64 "${#lines[@]}"
	expect 'lines of this case' 64 "$(exits | wc -l)"
}

main "$@"
