#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Firmware is attached to EKHO devices, accepts and refuses filters, and is detached.
#
#	 +----------+   +----------+
#	 | ek0      |   | ek1      |	clsact; filters on ingress unless a case
#	 | firmware |   | firmware |	says otherwise
#	 +----------+   +----------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_attached_firmware_is_on_record_and_pinned() {
	port ek0
	load stats ek0
	expect_figures ek0 firmware=stats abi=3 generation=1 flows=0 ops=replace,destroy,stats \
		replace=0 replace_refused=0 destroy=0 stats=0 violations=0
	expect 'firmware of the device' stats "$(get devices ek0 firmware)"
	[[ -e $pins/ek0/link && -e $pins/ek0/maps/flow_stats ]] ||
		fail "pins" "expected: link, maps/flow_stats" "seen:     $(find "$pins")"
}

test_a_skip_sw_filter_is_in_hardware() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
	expect_figures ek0 flows=1 replace=1 replace_refused=0
	expect 'skip_sw on record' 1 "$(get flows ek0 skip_sw)"
}

test_a_filter_without_skip_sw_is_in_hardware_too() {
	port ek0
	load stats ek0
	drop ek0 10
	expect_in_hw 'dev ek0 ingress' 1
	expect 'skip_sw on record' 0 "$(get flows ek0 skip_sw)"
}

test_a_skip_hw_filter_is_not_offered_to_firmware() {
	port ek0
	load stats ek0
	drop ek0 10 skip_hw
	expect_in_hw 'dev ek0 ingress' 0
	expect_figures ek0 replace=0
}

test_egress_filters_are_offloaded() {
	port ek0
	load stats ek0
	tc filter add dev ek0 egress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop
	expect_in_hw 'dev ek0 egress' 1
	fw stats set --dev ek0 --egress --prio 10 --handle 1 --packets 4 --bytes 400 >/dev/null
	expect_filters 'dev ek0 egress' '10/1 in_hw=1 hw=4/400 all=4/400 *'
}

test_filters_of_an_ingress_qdisc_are_offloaded() {
	ip link add ek0 up type ekho
	tc qdisc add dev ek0 ingress
	load stats ek0
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
}

test_filters_of_other_chains_are_offloaded() {
	port ek0
	load stats ek0
	tc filter add dev ek0 ingress protocol ip chain 5 prio 10 flower skip_sw dst_ip 10.0.0.1 action drop
	expect 'chain on record' 5 "$(get flows ek0 chain)"
	fw stats set --dev ek0 --chain 5 --prio 10 --handle 1 --packets 4 --bytes 400 >/dev/null
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=4/400 all=4/400 *'
}

test_filters_of_a_chain_with_a_template_are_offloaded() {
	port ek0
	load stats ek0
	tc chain add dev ek0 ingress protocol ip chain 5 flower dst_ip 0.0.0.0/32
	tc filter add dev ek0 ingress protocol ip chain 5 prio 10 flower skip_sw dst_ip 10.0.0.1 action drop
	expect_figures ek0 replace=1 flows=1
	tc chain del dev ek0 ingress protocol ip chain 5
	expect_figures ek0 destroy=1 flows=0
}

test_other_classifiers_reach_the_firmware() {
	port ek0
	load stats ek0
	tc filter add dev ek0 ingress prio 10 matchall skip_sw action drop
	tc filter add dev ek0 ingress protocol ip prio 12 u32 match ip dst 10.0.0.1/32 action drop
	expect_figures ek0 replace=2 flows=2
	tc filter del dev ek0 ingress
	expect_figures ek0 destroy=2 flows=0
}

test_a_refused_skip_sw_filter_fails_with_the_reason() {
	port ek0
	load faulty ek0
	refused 2 drop ek0 128 skip_sw
	says "ek0: firmware 'faulty' refused the filter (errno 28)"
	expect_no_filters 'dev ek0 ingress'
	expect_figures ek0 replace=1 replace_refused=1 destroy=0 flows=0
}

test_a_refused_filter_stays_in_software_and_verbose_tells_why() {
	port ek0
	load faulty ek0
	accepted drop ek0 128
	expect 'words' '' "$said"
	accepted drop ek0 129 verbose
	says "ek0: firmware 'faulty' refused the filter (errno 29)"
	expect_in_hw 'dev ek0 ingress' 0 0
	expect_figures ek0 replace=2 replace_refused=2 flows=0
	undrop ek0 128
	undrop ek0 129
	expect_figures ek0 destroy=0
}

test_limits_that_firmware_expresses_are_the_devices() {
	local i
	port ek0
	load narrow ek0
	for i in 1 2 3 4; do
		drop ek0 "$i" skip_sw
	done
	refused 2 drop ek0 5 skip_sw
	says "ek0: firmware 'narrow' refused the filter (errno 28)"
	undrop ek0 2
	drop ek0 6 skip_sw
	expect_in_hw 'dev ek0 ingress' 1 1 1 1
	undrop ek0 6
	# The rule's actions are readable, and so is how many there are.
	refused 2 tc filter add dev ek0 ingress protocol ip prio 7 flower skip_sw dst_ip 10.0.0.7 \
		action skbedit mark 1 continue action drop
	says '(errno 7)'
	refused 2 tc filter add dev ek0 ingress protocol ip prio 7 flower skip_sw dst_ip 10.0.0.7 \
		action skbedit mark 1
	says '(errno 22)'
	refused 2 tc filter add dev ek0 ingress protocol ip chain 3 prio 7 flower skip_sw dst_ip 10.0.0.7 action drop
	says '(errno 95)'
	tc filter add dev ek0 ingress protocol ip prio 7 flower skip_sw dst_ip 10.0.0.7 action pass
	expect_figures ek0 flows=4
}

test_existing_filters_are_replayed_to_new_firmware() {
	port ek0
	drop ek0 10
	drop ek0 128
	drop ek0 11
	tc filter add dev ek0 egress protocol ip prio 12 flower dst_ip 10.0.0.1 action drop
	drop ek0 13 skip_hw
	load faulty ek0
	# 128 is refused, which is no reason to refuse the others.
	expect_in_hw 'dev ek0 ingress' 1 1 0 0
	expect_in_hw 'dev ek0 egress' 1
	expect_figures ek0 flows=3 replace=4 replace_refused=1
}

# A classifier sets not_in_hw when a filter is added, and nobody clears it: when a driver binds
# to a block later, or unbinds, the core changes in_hw alone. So a filter that is older than
# its offload has both flags, and one that outlives it has neither, whatever the driver.
# patches/0002 mends that; on a kernel that has it, this case fails.
#
# cls_u32 offers a filter that says skip_hw to a driver that is bound, doesn't tell the driver
# so, and doesn't take the filter back: see patches/README.md.
test_filters_older_than_firmware_have_both_flags_and_those_that_outlive_it_neither() {
	local kind skip n skipped
	# add FLAGS: a filter, its preference is the next number.
	add() {
		local match=(protocol ip pref $((++n)) "$kind" ${1:+"$1"})
		case $kind in
		flower) match+=(dst_ip "10.0.0.$n") ;;
		u32) match+=(match ip dst "10.0.0.$n") ;;
		esac
		tc filter add dev "$kind" ingress "${match[@]}" action drop
	}
	# expect_flags WHEN LINE...: each is "PREF FLAG..." of the kernel; tc shows not_in_hw only
	# of filters without in_hw.
	expect_flags() {
		local shown
		expect "flags of $kind $1" "$(printf '%s\n' "${@:2}")" "$("$here/flags.py" "$kind" | sed "s/ $kind//")"
		shown=$(printf '%s\n' "${@:2}" | sed 's/ in_hw not_in_hw/ in_hw/')
		expect "what tc shows of $kind $1" "$shown" "$(tc -j filter show dev "$kind" ingress |
			jq -r '.[] | select(.options | has("handle") or has("order")) | .options as $has |
				[.pref, ("skip_hw", "skip_sw", "in_hw", "not_in_hw" | select($has[.]))] | join(" ")')"
	}
	for kind in flower matchall u32; do
		n=0 skipped=not_in_hw
		[[ $kind != u32 ]] || skipped=in_hw
		port "$kind"
		for skip in '' skip_hw; do
			add "$skip"
		done
		expect_flags 'without firmware' '1 not_in_hw' '2 skip_hw not_in_hw'
		load stats "$kind"
		for skip in '' skip_hw skip_sw; do
			add "$skip"
		done
		expect_flags 'with firmware' '1 in_hw not_in_hw' '2 skip_hw not_in_hw' \
			'3 in_hw' "4 skip_hw $skipped" '5 skip_sw in_hw'
		unload "$kind"
		expect_flags 'after it' '1 not_in_hw' '2 skip_hw not_in_hw' '3' "4 skip_hw $skipped" '5 skip_sw'
		ip link del "$kind"
	done
}

test_detached_firmware_leaves_filters_in_software() {
	port ek0
	load stats ek0
	drop ek0 10
	drop ek0 11 skip_sw
	feed ek0 10 5 500
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=5/500 *' '11/1 in_hw=1 *'
	trace_on
	unload ek0
	expect_in_hw 'dev ek0 ingress' 0 0
	expect 'flows' 0 "$(n_flows)"
	expect 'records' '' "$(records firmware)"
	[[ ! -e $pins/ek0 ]] || fail "$pins/ek0 is still there"
	# Each flow was destroyed; the firmware has no detach op, but its end is traced.
	expect_trace 'destroy dev=ek0 * firmware=stats * result=0 *' 'destroy dev=ek0 * firmware=stats * result=0 *' \
		'detach dev=ek0 * firmware=stats cookie=0x0 result=0 *'
	# What was counted stays counted.
	expect_filters 'dev ek0 ingress' '10/1 in_hw=0 hw=5/500 all=5/500 *' '11/1 in_hw=0 *'
	undrop ek0 10
	undrop ek0 11
}

test_firmware_that_comes_back_gets_its_filters_back() {
	port ek0
	load stats ek0
	drop ek0 10
	drop ek0 11 skip_sw
	feed ek0 10 5 500
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=5/500 *' '11/1 *'
	unload ek0
	load stats ek0
	# The flow is a new one, and counts from zero; the filter goes on.
	feed ek0 10 3 300
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=8/800 all=8/800 *' '11/1 in_hw=1 hw=0/0 *'
	expect_figures ek0 flows=2 generation=1 replace=2
}

test_firmware_that_refuses_a_skip_sw_filter_is_not_attached() {
	port ek0
	load stats ek0
	drop ek0 10
	drop ek0 128 skip_sw
	unload ek0
	refused 6 load faulty ek0
	says 'can'\''t load' 'ENOSPC'
	expect 'records' '' "$(records firmware)"
	expect 'flows' 0 "$(n_flows)"
	expect_in_hw 'dev ek0 ingress' 0 0
	[[ ! -e $pins/ek0 ]] || fail "$pins/ek0 is there"
	load stats ek0
	expect_in_hw 'dev ek0 ingress' 1 1
}

test_firmware_that_refuses_the_device_is_not_attached() {
	port refused0
	drop refused0 10
	refused 6 load faulty refused0
	says 'refused0' 'EACCES' 'its own `attach` op may have said so'
	expect 'records' '' "$(records firmware)"
	expect_in_hw 'dev refused0 ingress' 0
	[[ ! -e $pins/refused0 ]] || fail "$pins/refused0 is there"
	load stats refused0
}

test_attach_and_detach_get_the_device() {
	port ek0
	load stats_v2 ek0
	local index
	index=$(get devices ek0 ifindex)
	seen() {
		bpftool -j map dump pinned "$pins/ek0/maps/seen" |
			jq -r '[.[].formatted.value] | join(" ")'
	}
	# attach detach replace destroy index generation generation-of-detach
	expect 'what the firmware has seen' "1 0 0 0 $index 1 0" "$(seen)"
	drop ek0 10 skip_sw
	undrop ek0 10
	replace stats_v2 ek0
	expect 'what the firmware has seen' "2 1 1 1 $index 2 1" "$(seen)"
	expect_figures ek0 ops=attach,detach,replace,destroy,stats generation=2
}

test_devices_have_firmware_of_their_own() {
	port ek0 ek1 ek2
	load stats ek0
	load narrow ek1
	load prio_counters ek2
	drop ek0 10 skip_sw
	drop ek1 10 skip_sw
	drop ek2 10 skip_sw
	feed ek0 10 1 100
	feed ek1 10 2 200
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=1/100 *'
	expect_filters 'dev ek1 ingress' '10/1 in_hw=1 hw=2/200 *'
	expect_filters 'dev ek2 ingress' '10/1 in_hw=1 hw=10/1000 *'
	unload ek1
	expect_in_hw 'dev ek1 ingress' 0
	expect_in_hw 'dev ek0 ingress' 1
	expect 'firmware' 'prio_counters stats' "$(records firmware | sed 's/.* firmware=\([^ ]*\) .*/\1/' | sort | xargs)"
}

test_a_device_that_is_down_keeps_its_offload() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	ip link set ek0 down
	expect_in_hw 'dev ek0 ingress' 1
	drop ek0 11 skip_sw
	ip link set ek0 up
	expect_in_hw 'dev ek0 ingress' 1 1
}

test_an_object_built_for_another_layout_runs() {
	port ek0
	load other_layout ek0
	refused 2 drop ek0 41 skip_sw
	says '(errno 33)'
	drop ek0 42 skip_sw
	feed ek0 42 6 600
	expect_filters 'dev ek0 ingress' '42/1 in_hw=1 hw=6/600 all=6/600 *'
	undrop ek0 42
	expect_figures ek0 firmware=other_layout abi=1 destroy=1 violations=0 flows=0
}

main "$@"
