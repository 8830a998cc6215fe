#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# ekho-fw: what it does and prints, as text and as JSON.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# keys KEY...: the input is JSON, and (the first element of) it has these keys.
keys() {
	local json missing
	json=$(cat)
	missing=$(jq -r --args '(if type == "array" then .[0] else . end) as $o | $ARGS.positional[] | select(. as $k | $o | has($k) | not)' "$@" <<<"$json")
	expect 'missing keys' '' "$missing"
}

test_load_list_show_unload() {
	ip link add ek0 up type ekho
	accepted fw load "$(object stats)" --dev ek0
	says 'ek0: firmware stats attached (link ' "pinned at $pins/ek0/link"
	accepted fw list
	says 'DEVICE' 'FIRMWARE' 'ek0' 'stats'
	accepted fw show ek0
	says 'firmware stats' 'flow_stats' 'replace' 'destroy' "$pins/ek0/link"
	accepted fw unload --dev ek0
	says 'ek0: firmware stats detached'
	expect 'firmware' '' "$(records firmware)"
}

test_listings_are_json_with_the_documented_keys() {
	port ek0
	fw -j load "$(object stats)" --dev ek0 | keys dev ifindex firmware abi link map pin replaced carried_maps new_maps
	drop ek0 10 skip_sw
	fw -j list | keys ifindex dev netns netns_name firmware abi link map generation flows ops calls
	fw -p show ek0 | keys ifindex dev firmware pins programs maps calls capabilities occupied refusals exits
	fw -j flows --dev ek0 | keys ifindex dev netns cookie source chain prio protocol skip_sw packets bytes drops last_used_ms polls match actions
	fw -j device list | keys ifindex dev netns kind hw_tc_offload bindings flows occupied firmware
	fw -j monitor --dev ek0 --timeout 0 | keys event time_ns dev firmware replaced op code reason flows
	fw -j stats set --dev ek0 --prio 10 --handle 1 --packets 1 | keys dev cookie packets bytes drops last_used_ns
	fw -j stats feed - </dev/null | keys lines applied malformed unknown failed
	fw -j replace "$(object stats_v2)" --dev ek0 | keys dev firmware replaced carried_maps new_maps
	fw -j unload --dev ek0 | keys dev firmware link unpinned
	fw -j inspect "$(object stats)" | keys file size sha256 license firmware programs kfuncs maps problems
	{ fw -j doctor || :; } | keys ok checks
}

test_devices_are_added_listed_and_deleted() {
	accepted fw device add ek5
	says 'ek5: added'
	expect 'kind' ekho "$(get devices ek5 kind)"
	refused 6 fw device add ek5
	says 'device `ek5` exists already'
	refused 6 fw device del lo
	accepted fw device list
	says 'ek5' 'ekho'
	fw device del ek5 >/dev/null
	expect 'records' '' "$(records devices)"
}

test_flows_are_listed_with_match_actions_and_counters() {
	port ek0
	load prio_counters ek0
	drop ek0 10 skip_sw
	tc -s filter show dev ek0 ingress >/dev/null
	accepted fw flows --dev ek0
	says 'dst_ip 10.0.0.10' 'drop' '1000' "$(cookie ek0 10)"
	expect 'as JSON' '10 1000 drop' "$(fw -j flows --dev ek0 | jq -r '.[0] | "\(.packets) \(.bytes) \(.actions[0].name)"')"
}

test_statistics_by_cookie_and_by_filter() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	fw stats set --cookie "$(cookie ek0 10)" --packets 10 --bytes 1000 >/dev/null
	fw stats add --dev ek0 --prio 10 --handle 0x1 --packets 1 --bytes 64 >/dev/null
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=11/1064 *'
}

test_a_filter_is_told_from_others_by_its_handle() {
	port ek0
	load stats ek0
	local i
	for i in 1 2 3; do
		tc filter add dev ek0 ingress protocol ip prio 10 handle "$i" flower skip_sw dst_ip "10.0.0.$i" action drop
	done
	fw stats set --dev ek0 --prio 10 --handle 2 --packets 7 --bytes 700 >/dev/null
	said=$(filters 'dev ek0 ingress' | sort)
	says '10/1 in_hw=1 hw=0/0' '10/2 in_hw=1 hw=7/700' '10/3 in_hw=1 hw=0/0'
}

test_another_netns_is_reached_by_name() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	fw --netns "$ns" device add ek0 >/dev/null
	fw --netns "$ns" load "$(object stats)" --dev ek0 >/dev/null
	expect 'netns_name' "$ns" "$(fw -j --netns "$ns" list | jq -r '.[0].netns_name')"
	refused - fw --netns nowhere-$$ list
	says "there is no network namespace \`nowhere-$$\`"
	fw --netns "$ns" unload --dev ek0 >/dev/null
}

test_inspect_needs_no_privilege_and_finds_problems() {
	accepted setpriv --reuid 65534 --regid 65534 --clear-groups "$EKHO_FW" inspect "$(object stats)"
	says 'firmware stats, ABI 2' 'bpf_flow_offload_set_stats' 'flow_stats' 'sha256'
	refused 5 fw inspect "$(object broken-no_destroy)"
	says 'lacks the mandatory op `destroy`'
}

test_one_of_several_firmwares_is_chosen_and_renamed() {
	fw load "$(object broken-two)" --dev lo --ops second_fw --name other-1.2 >/dev/null
	expect_figures lo firmware=other-1.2
}

test_doctor_finds_this_system_ready() {
	accepted nsenter -n -t 1 "$EKHO_FW" doctor
	says 'module ekho is loaded and speaks ABI 2'
}

test_completions_and_manual_pages() {
	accepted fw completions bash
	says 'ekho-fw'
	accepted fw man
	says '.TH'
}

main "$@"
