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
	fw -p show ek0 | keys ifindex dev firmware pins programs maps calls capabilities table_entries refusals exits
	fw -j flows --dev ek0 | keys ifindex dev netns cookie classifier chain prio protocol skip_sw packets bytes drops last_used_ms stats_requests match actions
	fw -j device list | keys ifindex dev netns kind nic hw_tc_offload bindings flows table_entries firmware
	fw -j monitor --dev ek0 --timeout 0 | keys event time_ns dev netns netns_name firmware replaced op code reason flows
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
	says 'eth_type ipv4, dst_ip 10.0.0.10' 'drop' '1000' "$(cookie ek0 10)"
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
	fw stats set --dev ek0 --prio 10 --handle 0x3 --packets 8 --bytes 800 >/dev/null
	said=$(filters 'dev ek0 ingress' | sort)
	says '10/2 in_hw=1 hw=7/700' '10/3 in_hw=1 hw=8/800'
}

# It has counters in software only: the kernel never asks a driver for others.
test_a_filter_of_u32_is_known_by_the_handle_that_tc_prints() {
	local handle
	port ek0
	load stats ek0
	tc filter add dev ek0 ingress protocol ip prio 5 u32 match ip dst 192.0.2.1/32 action drop
	handle=$(tc filter show dev ek0 ingress | grep -o 'fh [0-9a-f]*::[0-9a-f]*')
	expect 'handle' 'fh 800::800' "$handle"
	for handle in "$handle" "${handle#fh }" 0x80000800; do
		refused - fw stats set --dev ek0 --prio 5 --handle "$handle" --packets 2 --bytes 200
		says 'is a u32 filter, and no hardware counts for these' 'hint: use flower or matchall'
	done
	refused - fw stats set --dev ek0 --prio 5 --handle 800::801 --packets 2 --bytes 200
	says 'there is no filter'
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

# without_debugfs CMD...: in a mount namespace without it.
without_debugfs() {
	unshare --mount sh -c 'umount -l /sys/kernel/debug && [ -z "$(ls /sys/kernel/debug)" ] && exec "$@"' sh "$@"
}

test_everything_works_with_debugfs_unmounted() {
	local tool=(without_debugfs "$EKHO_FW" --pin-root "$pins") cookie
	ip link add ek0 up type ekho
	tc qdisc add dev ek0 clsact
	accepted "${tool[@]}" load "$(object stats)" --dev ek0
	drop ek0 10 skip_sw
	cookie=$(cookie ek0 10)
	expect 'devices' '["ek0","ekho",true,1,"stats"]' \
		"$("${tool[@]}" -j device list | jq -c ".[] | select(.netns == $netns) | [.dev, .kind, .hw_tc_offload, .flows, .firmware]")"
	expect 'firmware' '["ek0","stats",1,["replace","destroy","stats"]]' \
		"$("${tool[@]}" -j list | jq -c ".[] | select(.netns == $netns) | [.dev, .firmware, .flows, .ops]")"
	expect 'the firmware in full' '["ek0",3,["delayed","disabled"],1]' \
		"$("${tool[@]}" -j show --dev ek0 | jq -c '.[] | [.dev, (.programs | length), .capabilities.hw_stats, .table_entries]')"
	expect 'flows' "[\"ek0\",\"$cookie\",10,true,\"10.0.0.10\",\"drop\"]" \
		"$("${tool[@]}" -j flows --dev ek0 | jq -c '.[] | [.dev, .cookie, .prio, .skip_sw, (.match[] | select(.field == "dst_ip").value), .actions[0].name]')"
	accepted "${tool[@]}" stats set --dev ek0 --prio 10 --handle 1 --packets 10 --bytes 1000
	accepted "${tool[@]}" fault set --dev ek0 --point replace --errno ENOSPC
	refused 2 drop ek0 11 skip_sw
	expect 'faults' '["ek0","replace",28,1]' "$("${tool[@]}" -j fault list --dev ek0 | jq -c '.[] | [.dev, .point, .errno, .calls]')"
	accepted "${tool[@]}" fault clear --dev ek0
	expect 'refusals' '28 1' "$("${tool[@]}" -j show --dev ek0 | jq -r '.[].refusals[] | "\(.errno) \(.count)"')"
	expect 'the monitor' 'attached ek0 stats' "$("${tool[@]}" -j monitor --timeout 0 | jq -r 'select(.event != "exit") | "\(.event) \(.dev) \(.firmware)"')"
	accepted "${tool[@]}" replace "$(object stats_v2)" --dev ek0
	accepted without_debugfs nsenter -n -t 1 "$EKHO_FW" doctor
	says 'answers over netlink'
	accepted "${tool[@]}" unload --dev ek0
	says 'ek0: firmware stats_v2 detached'
	expect 'firmware' '' "$(records firmware)"
}

test_faults_are_set_listed_and_cleared() {
	port ek0
	load stats ek0
	expect 'faults' '[]' "$(fw -j fault list --dev ek0)"
	accepted fw fault set --dev ek0 --point replace --nth 2 --errno ENOMEM
	says 'ek0: fault set'
	fw fault set --dev ek0 --point stats --delay-us 10 --stall-us 20 --recurse --interrupt >/dev/null
	fw fault set --dev ek0 --nospc-after 7 >/dev/null
	fw -j fault set --dev ek0 --stats freeze | keys dev new_devices set
	drop ek0 1 skip_sw
	refused 2 drop ek0 2 skip_sw
	says 'injected fault'
	fw -j fault list | keys ifindex dev netns netns_name new_devices calls point nth errno delay_us stall_us recurse \
		interrupt nospc_after stats
	accepted fw fault list --dev ek0
	says 'DEVICE' 'replace      2  nth 2 errno ENOMEM' 'stats        0  delay-us 10 stall-us 20 recurse interrupt' \
		'nospc-after 7' 'stats freeze'
	# As the file of debugfs has them.
	expect 'in debugfs' 'dev=ek0 op=stats calls=0 delay_us=10 stall_us=20 recurse interrupt' \
		"$(grep "netns=$netns " "$debugfs/faults" | grep -o 'dev=ek0 .*op=stats.*' | sed 's/ netns=[0-9]*//')"
	accepted fw fault clear --dev ek0
	says 'ek0: faults cleared'
	expect 'faults' '[]' "$(fw -j fault list --dev ek0)"
	drop ek0 3 skip_sw
}

test_faults_of_devices_to_come_are_set_and_cleared() {
	fw fault set --new-devices --point register --errno ENOMEM >/dev/null
	defer eval 'echo new clear >"$debugfs/faults"'
	expect 'faults' 'null register 12' "$(fw -j fault list | jq -r '.[] | select(.new_devices) | "\(.dev) \(.point) \(.errno)"')"
	refused - fw device add ek1
	says ENOMEM
	accepted fw fault clear --new-devices
	port ek1
}

test_a_name_may_be_in_several_namespaces_and_change() {
	local one=ekho-selftest-$$-1 two=ekho-selftest-$$-2 ns
	for ns in "$one" "$two"; do
		ip netns add "$ns"
		defer ip netns del "$ns"
		fw -n "$ns" device add ek0 >/dev/null
		fw -n "$ns" load "$(object stats)" --dev ek0 >/dev/null
	done
	port ek0
	load noop ek0
	# All of them, as root; one by its namespace.
	expect 'all' "$one stats
$two stats
null noop" "$(fw -j list | jq -r ".[] | select(.netns_name == \"$one\" or .netns_name == \"$two\" or .netns == $netns) | \"\(.netns_name) \(.firmware)\"" | sort)"
	expect 'one' "$one" "$(fw -j -n "$one" list | jq -r '.[].netns_name')"
	expect 'here' noop "$(fw -j show --dev ek0 | jq -r '.[].firmware')"
	ip -n "$one" link set ek0 name ek7
	expect 'renamed' 'ek7 stats' "$(fw -j -n "$one" list | jq -r '.[] | "\(.dev) \(.firmware)"')"
	refused 6 fw -n "$one" unload --dev ek0
	says 'there is no device `ek0` in this network namespace'
	# An alternative name is one, too.
	ip -n "$two" link property add dev ek0 altname second
	expect 'by its alternative name' 'ek0 stats' "$(fw -j -n "$two" show --dev second | jq -r '.[] | "\(.dev) \(.firmware)"')"
	accepted fw -n "$one" unload --dev ek7
	accepted fw -n "$two" unload --dev ek0
	expect 'what is left' noop "$(fw -j list | jq -r ".[] | select(.netns_name == \"$one\" or .netns_name == \"$two\" or .netns == $netns) | .firmware")"
}

test_the_tool_may_run_many_times_at_once() {
	local i jobs=() job status=0
	port ek0 ek1
	load stats ek0
	for i in {1..4}; do
		drop ek0 "$i" skip_sw
	done
	for i in {1..4}; do
		{ fw -j flows --dev ek0 && fw -j show --dev ek0 && fw -j list; } >"$EKHO_TMP/many.$i" 2>&1 &
		jobs+=($!)
		fw fault set --dev ek1 --nospc-after "$i" >/dev/null 2>"$EKHO_TMP/many.fault.$i" &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do
		wait "$job" || status=$?
	done
	expect 'status' 0 "$status"
	for i in {1..4}; do
		expect "what number $i saw" '[4,1]' "$(jq -sc '[(.[0] | length), (.[1] | length)]' "$EKHO_TMP/many.$i")"
	done
	expect 'the fault' 1 "$(fw -j fault list --dev ek1 | jq length)"
	# One of several that load wins, and the others say who is there.
	jobs=() status=''
	for i in {1..3}; do
		fw load "$(object noop)" --dev ek1 >"$EKHO_TMP/load.$i" 2>&1 &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do
		wait "$job" && status+=' 0' || status+=" $?"
	done
	expect 'statuses' '0 6 6' "$(tr ' ' '\n' <<<"${status# }" | sort | paste -sd ' ')"
	expect_figures ek1 firmware=noop generation=1
}

test_inspect_needs_no_privilege_and_finds_problems() {
	accepted setpriv --reuid 65534 --regid 65534 --clear-groups "$EKHO_FW" inspect "$(object stats)"
	says 'firmware stats, ABI 3' 'bpf_flow_offload_set_stats' 'flow_stats' 'sha256'
	refused 5 fw inspect "$(object broken-no_destroy)"
	says 'lacks the mandatory op `destroy`'
}

test_one_of_several_firmwares_is_chosen_and_renamed() {
	fw load "$(object broken-two)" --dev lo --ops second_fw --name other-1.2 >/dev/null
	expect_figures lo firmware=other-1.2
}

test_doctor_finds_this_system_ready() {
	accepted nsenter -n -t 1 "$EKHO_FW" doctor
	says 'module ekho is loaded and speaks ABI 3'
}

test_list_and_monitor_cover_the_same_namespaces() {
	local other=ekho-selftest-$$ way prefix file want
	local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	ip netns add "$other"
	defer ip netns del "$other"
	# seen: of what ekho-fw tells, what is of these two namespaces.
	seen() {
		jq -r --argjson here "$netns" --arg other "$other" 'if type == "array" then .[] else . end |
			select(.event != "exit" and (.netns == $here or .netns_name == $other)) |
			"\(.event // "attached") \(if .netns == $here then "here" else "other" end) \(.dev) \(.firmware)"' | sort
	}
	load noop lo
	fw -n "$other" load "$(object stats)" --dev lo >/dev/null
	defer fw -n "$other" unload --dev lo
	for way in all one here; do
		prefix=()
		[[ $way != here ]] || prefix=("${nobody[@]}")
		file=$EKHO_TMP/cover.$way
		prefix+=("$EKHO_FW" -j)
		[[ $way != one ]] || prefix+=(-n "$other")
		case $way in
		all) want=$'attached here lo noop\nattached other lo stats' ;;
		one) want='attached other lo stats' ;;
		here) want='attached here lo noop' ;;
		esac
		expect "list, $way" "$want" "$("${prefix[@]}" list | seen)"
		"${prefix[@]}" monitor >"$file" &
		began() {
			[[ $(seen <"$file") == "$want" ]]
		}
		eventually began
	done
	replace stats lo
	fw -n "$other" replace "$(object noop)" --dev lo >/dev/null
	for way in all one here; do
		case $way in
		all) want=$'attached here lo noop\nattached other lo stats\nreplace here lo stats\nreplace other lo noop' ;;
		one) want=$'attached other lo stats\nreplace other lo noop' ;;
		here) want=$'attached here lo noop\nreplace here lo stats' ;;
		esac
		file=$EKHO_TMP/cover.$way
		eventually began
	done
	expect 'replaced' 'noop stats' "$(jq -r 'select(.event == "replace").replaced' "$EKHO_TMP/cover.all" | sort | paste -sd ' ')"
	accepted fw monitor --timeout 0
	says "lo@$other: firmware noop is attached" ' lo: firmware stats is attached'
}

# waits_for_lock PROCESS
waits_for_lock() {
	grep -qE -- "-> FLOCK .* $1 " /proc/locks
}

# The maps of a load whose link isn't pinned yet look as those of one that was killed.
test_a_load_leaves_the_pins_of_another_that_is_not_done() {
	local maps=$pins/ek0/maps lock pid
	port ek0
	mkdir -p "$maps"
	bpftool map create "$maps/other" type hash key 8 value 8 entries 1 name other
	exec {lock}<"$pins"
	flock "$lock"
	"$EKHO_FW" --pin-root "$pins" load "$(object stats)" --dev ek0 {lock}<&- &
	pid=$!
	eventually waits_for_lock "$pid"
	[[ -e $maps/other ]] || fail 'the pin of the other load is gone'
	# It is killed.
	exec {lock}<&-
	wait "$pid"
	expect 'pinned maps' 'flow_stats' "$(ls "$maps")"
	is_attached ek0 || fail 'not attached'
	unload ek0
}

# Whoever owns a user namespace can give a device such a name. JSON has the name itself.
test_a_name_that_a_terminal_would_obey_is_escaped_in_all_output() {
	local name=$'e\e[2J\x7f\xc2\x9b\xe2\x80\xae' shown='e\u{1b}[2J\u{7f}\u{9b}\u{202e}' command
	# harmless: $said has lines of printable ASCII.
	harmless() {
		local LC_ALL=C
		[[ ${said//[$'\n\r']/} != *[![:print:]]* ]] || fail "$*" "$(cat -v <<<"$said")"
	}
	# shows ARGS...: text has the name escaped.
	shows() {
		accepted fw "$@"
		harmless "$@"
		says "$shown"
	}
	# json_shows ARGS...: JSON has it.
	json_shows() {
		accepted fw -j "$@"
		harmless "$@"
		jq -r '.. | strings' <<<"$said" | grep -qF -- "$name" || fail "$* has another name" "$said"
	}
	shows device add "$name"
	shows device del "$name"
	json_shows device add "$name"
	json_shows device del "$name"
	port "$name" ek0
	for command in shows json_shows; do
		"$command" load "$(object events)" --dev "$name"
		# Redirected to itself, it is the argument of an action as well.
		tc filter add dev "$name" ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.10 \
			action mirred egress redirect dev "$name"
		fw cable connect "$name" ek0 >/dev/null
		fw fault set --dev "$name" --point stats --nth 99 --errno EIO >/dev/null
		"$command" list
		"$command" show --dev "$name"
		"$command" show
		"$command" flows
		"$command" device list
		"$command" cable list
		"$command" fault list
		"$command" fault clear --dev "$name"
		"$command" monitor --timeout 0
		"$command" events --dev "$name" --timeout 0
		"$command" cable disconnect "$name"
		"$command" replace "$(object stats)" --dev "$name"
		undrop "$name" 10
		drop "$name" 10
		"$command" stats set --dev "$name" --prio 10 --handle 1 --packets 1
		undrop "$name" 10
		"$command" unload --dev "$name"
	done
	# What went wrong is said on standard error, and with JSON on standard output.
	refused 6 fw unload --dev "$name"
	harmless unload
	says "$shown"
	refused 6 fw -j unload --dev "$name"
	harmless unload
	# On a terminal, tables wrap.
	load stats "$name"
	for command in list 'device list' show; do
		said=$(NO_COLOR=1 script -qec "stty cols 200 rows 50; $EKHO_FW --pin-root $pins $command" /dev/null)
		harmless "$command"
		says "$shown"
	done
	unload "$name"
}

test_completions_and_manual_pages() {
	accepted fw completions bash
	says 'ekho-fw'
	accepted fw man
	says '.TH'
}

main "$@"
