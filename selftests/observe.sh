#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the module shows: debugfs and tracepoints.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_the_version_is_on_record() {
	mapfile -t lines <"$debugfs/version"
	[[ ${lines[0]} =~ ^abi=3\ module=[0-9.]+$ ]] || fail 'version' 'expected: abi=3 module=...' "seen:     ${lines[0]}"
}

test_a_flow_is_on_record_with_match_actions_and_counters() {
	port ek0
	load prio_counters ek0
	tc filter add dev ek0 ingress protocol ip prio 10 flower skip_sw src_ip 10.1.0.0/16 ip_proto tcp dst_port 80 \
		action drop
	tc -s filter show dev ek0 ingress >/dev/null
	said=" $(records flows dev=ek0) "
	says ' cookie=0x' ' chain=0 ' ' prio=10 ' ' protocol=0x0800 ' ' skip_sw=1 ' ' packets=10 ' ' bytes=1000 ' \
		' drops=0 ' ' stats_requests=1 ' ' last_used_ms=-1 ' 'ip_proto:6' 'src_ip:10.1.0.0/255.255.0.0' 'dst_port:80' \
		' actions=drop '
}

test_each_op_is_traced_with_device_cookie_result_and_duration() {
	local cookie
	port ek0
	trace_on
	load stats_v2 ek0
	drop ek0 10 skip_sw
	cookie=$(cookie ek0 10)
	tc -s filter show dev ek0 ingress >/dev/null
	undrop ek0 10
	unload ek0
	local end
	end="ifindex=$(get devices ek0 ifindex) firmware=stats_v2"
	expect_trace "attach dev=ek0 $end cookie=0x0 result=0 duration_ns=[0-9]*" \
		"replace dev=ek0 $end cookie=$cookie result=0 duration_ns=[1-9]*" \
		"stats dev=ek0 $end cookie=$cookie result=0 duration_ns=[1-9]*" \
		"destroy dev=ek0 $end cookie=$cookie result=0 duration_ns=[1-9]*" \
		"detach dev=ek0 $end cookie=0x0 result=0 duration_ns=[0-9]*"
}

test_results_of_refusals_and_violations_are_traced() {
	port ek0
	load faulty ek0
	trace_on
	local end
	end="ifindex=$(get devices ek0 ifindex) firmware=faulty"
	refused 2 drop ek0 128 skip_sw
	refused 2 drop ek0 201 skip_sw
	expect_trace 'replace * result=-28 *' \
		"exit dev=ek0 $end generation=1 op=replace code=return value=1 reason=replace returned 1" \
		'replace * result=-22 *'
}

test_statistics_are_counted_by_how_often_they_were_asked_for() {
	port ek0
	load prio_counters ek0
	drop ek0 10 skip_sw
	drop ek0 11 skip_sw
	tc -s filter show dev ek0 ingress >/dev/null
	tc -s filter show dev ek0 ingress >/dev/null
	expect_figures ek0 stats=4
	expect 'stats requests' 2 "$(field stats_requests "$(records flows prio=11)")"
}

# Whoever owns a user namespace can give a device such a name. Netlink has the name as it is.
test_a_name_that_a_terminal_would_obey_is_escaped_in_text() {
	local name=$'e\e[2J\x7f\xc2\x9b\xe2\x80\xae\\' shown='e\x1b[2J\x7f\xc2\x9b\xe2\x80\xae\x5c' uevents=$EKHO_TMP/uevents.$$ file
	local LC_ALL=C
	# expect_shown WHAT WORDS: in $said, which has no name as it is.
	expect_shown() {
		[[ $said == *"$2"* && ${said//$'\n'/} != *[![:print:]]* ]] ||
			fail "$1" "expected: $2" "seen:     $(cat -v <<<"$said")"
	}
	stopped() {
		[[ -n $(records exits) ]]
	}
	"$here/bpf/build/uevents" >"$uevents" &
	eventually grep -q listening "$uevents"
	port "$name"
	load faulty "$name"
	drop "$name" 10 skip_sw
	refused 2 drop "$name" 128 skip_sw
	expect_shown 'extack of a refusal' "$shown: firmware 'faulty' refused"
	fw fault set --dev "$name" --point replace --nth 9 --errno EIO >/dev/null
	for file in devices firmware capabilities flows refusals faults; do
		said=$(records "$file")
		expect_shown "$file" " dev=$shown "
	done
	refused 2 drop "$name" 201 skip_sw
	eventually stopped
	said=$(records exits)
	expect_shown exits " dev=$shown "
	# The log escapes a backslash, as it does what a terminal would obey.
	said=$({ timeout 10 dd if=/dev/kmsg iflag=nonblock bs=8k 2>/dev/null || :; } | tail -n 20)
	expect_shown 'the log' "ekho: ${shown//\\/\\x5c}: "
	eventually grep -q EKHO_EVENT=exit "$uevents"
	said=$(grep -o 'EKHO_DEV=.*' "$uevents")
	expect_shown 'uevents' "EKHO_DEV=$shown "
}

test_a_name_that_is_not_utf8_is_escaped_in_text() {
	ip link add $'e\xffk' type ekho
	expect 'name' 'e\xffk' "$(field dev "$(records devices)")"
}

main "$@"
