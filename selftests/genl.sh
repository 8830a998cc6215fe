#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The netlink family, by its specification and the kernel's own ynl tool.
#
#	ynl (Python) ─▶ generic netlink "ekho" ─▶ module

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

spec=$top/docs/netlink/specs/ekho.yaml
tree=${EKHO_TREE:-}

# ynl [CMD...]: starts the helper, by way of CMD; see `say`.
ynl() {
	[[ -e $tree/tools/net/ynl/pyynl/cli.py ]] || skip 'the kernel tree with tools/net/ynl is not here'
	coproc YNL { exec "$@" python3 "$here/ynl.py" "$tree" "$spec" 2>&1; }
	# shellcheck disable=SC2154 # coproc sets it
	exec {answers}<&"${YNL[0]}" {questions}>&"${YNL[1]}"
}

# say COMMAND [FILTER]: what the helper answers, through jq, is in $said.
say() {
	local answer
	printf '%s\n' "$1" >&"$questions"
	IFS= read -rt 120 answer <&"$answers" || fail "ynl: $1" 'no answer'
	said=$(jq -c "${2:-.}" <<<"$answer" 2>&1) || fail "ynl: $1" "$answer"
}

# expect_say COMMAND FILTER EXPECTED
expect_say() {
	say "$1" "$2"
	expect "$1" "$3" "$said"
}

# refuses COMMAND ERRNO PART TEXT...: the request fails with ERRNO because of PART, an
# attribute or "-", and says TEXT.
refuses() {
	say "$1"
	local answer=$said
	expect "$1" "\"$2\" \"$3\"" "$(jq -r '"\(.error | @json) \(.["bad-attr"] // .["miss-type"] // "-" | ltrimstr(".") | @json)"' <<<"$answer")"
	says "${@:4}"
}

ifindex() {
	ip -j link show "$1" | jq '.[].ifindex'
}

test_the_kernels_own_tool_validates_the_specification_and_dumps() {
	local cli=$tree/tools/net/ynl/pyynl/cli.py
	[[ -e $cli ]] || skip 'the kernel tree with tools/net/ynl is not here'
	port ek0
	accepted python3 "$cli" --spec "$spec" --schema "$tree/Documentation/netlink/genetlink.yaml" \
		--output-json --dump device-get
	expect 'devices' '["ek0","ekho"]' "$(jq -c '.[] | [.ifname, .kind]' <<<"$said")"
}

test_the_kernel_checks_requests_as_the_specification_says() {
	ynl
	expect_say policies . '[]'
	refuses 'do module-get {"version":"1"}' EINVAL version
	refuses 'do device-get {"ifname":"ek0","ifindex":1}' EINVAL ifname
	refuses 'do device-get {"ifindex":0}' ERANGE ifindex
	refuses 'do fault-set {"ifindex":1,"stats":2}' ERANGE stats
	refuses 'do fault-set {"ifindex":1,"point":"bind","delay-us":100001}' EINVAL delay-us '100000 at most'
	refuses 'do fault-set {"ifindex":1,"point":"end_link","delay-us":10000001}' ERANGE delay-us
	refuses 'do fault-set {"ifindex":1,"point":"bind","stall-us":2000001}' ERANGE stall-us
	refuses 'do fault-set {"ifindex":1,"point":"0123456789012345678901234567890123456789"}' EINVAL point
}

test_what_is_there_is_told() {
	port ek0
	wire v0 v1
	local index
	index=$(ifindex ek0)
	ynl
	expect_say 'do module-get' '[.abi, (.op | index("replace") != null), (.["fault-point"] | index("register") != null)]' '[3,true,true]'
	expect_say 'dump device-get' "[.[] | [.ifindex, .ifname, .netns, .kind, .[\"hw-tc-offload\"], .bindings, .flows, .firmware]]" \
		"[[$index,\"ek0\",$netns,\"ekho\",true,2,0,null],[$(ifindex v0),\"v0\",$netns,\"indirect\",null,2,0,null]]"
	refuses "do firmware-get {\"ifindex\":$index}" ENOENT ifindex 'no firmware'
	load stats ek0
	drop ek0 1 skip_sw
	drop ek0 2 skip_sw
	feed ek0 1 10 1000
	tc -s filter show dev ek0 ingress >/dev/null
	expect_say "do device-get {\"ifindex\":$index}" '[.ifname, .flows, .["table-entries"], .firmware]' '["ek0",2,2,"stats"]'
	expect_say "do port-get {\"ifindex\":$index}" '[.ifname, .index]' '["ek0",0]'
	say 'dump device-get' '[.[].id]'
	expect 'ids' "$said" "$(say 'dump port-get' '[.[]["device-id"]]' && echo "$said")"
	expect_say 'dump firmware-get' '[.[] | [.ifname, .name, .abi, .generation, .flows, .op, (.["op-stats"].call[] | select(.op == "replace").count), (.["op-stats"].call[] | select(.op == "stats").count > 0), .["link-id"] > 0, .["map-id"] > 0]]' \
		'[["ek0","stats",3,1,2,["replace","destroy","stats"],2,true,true,true]]'
	expect_say 'dump capability-get' '[.[] | [.firmware, .["hw-stats"]]]' '[["stats",["delayed","disabled"]]]'
	expect_say 'dump flow-get' '[.[] | [.classifier, .chain, .prio, .protocol, .["skip-sw"], .hooks, .packets, .bytes, .["stats-requests"] > 0]] | sort' \
		'[["flower",0,1,2048,true,["ingress"],10,1000,true],["flower",0,2,2048,true,["ingress"],0,0,true]]'
}

test_one_flow_is_found_by_its_cookie() {
	port ek0
	load stats ek0
	drop ek0 7 skip_sw
	local index cookie
	index=$(ifindex ek0) cookie=$(($(cookie ek0 7)))
	ynl
	expect_say "do flow-get {\"ifindex\":$index,\"cookie\":$(printf %u "$cookie")}" .prio 7
	refuses "do flow-get {\"ifindex\":$index,\"cookie\":1}" ENOENT cookie 'no such flow'
	refuses "do flow-get {\"ifindex\":$index}" EINVAL cookie
	refuses 'do flow-get {"cookie":1}' EINVAL ifindex
	refuses 'do device-get {"ifindex":999}' ENODEV ifindex
}

test_faults_are_set_told_and_cleared() {
	port ek0
	load stats ek0
	local index
	index=$(ifindex ek0)
	ynl
	expect_say "do fault-set {\"ifindex\":$index,\"point\":\"replace\",\"nth\":2,\"errno\":12}" . null
	expect_say "do fault-set {\"ifindex\":$index,\"nospc-after\":7}" . null
	expect_say "do fault-set {\"ifindex\":$index,\"stats\":\"freeze\"}" . null
	expect_say "do fault-set {\"ifindex\":$index,\"point\":\"stats\",\"delay-us\":10,\"recurse\":true}" . null
	expect_say "do fault-set {\"ifindex\":$index,\"point\":\"destroy\",\"stall-us\":20,\"interrupt\":true}" . null
	drop ek0 1 skip_sw
	refused 2 drop ek0 2 skip_sw
	says 'injected fault'
	drop ek0 3 skip_sw
	expect_say 'dump fault-get' '[.[] | del(.ifindex, .ifname, .netns)]' \
		'[{"point":"replace","nth":2,"errno":12,"calls":3},{"point":"destroy","stall-us":20,"interrupt":true,"calls":0},{"point":"stats","delay-us":10,"recurse":true,"calls":0},{"nospc-after":7},{"stats":"freeze"}]'
	expect_say "do device-get {\"ifindex\":$index}" '.["max-flows"]' 7
	expect_say "do fault-clear {\"ifindex\":$index}" . null
	expect_say 'dump fault-get' . '[]'
	drop ek0 4 skip_sw
	refuses 'do fault-set {"point":"bind","errno":5}' EINVAL ifindex
	refuses "do fault-set {\"ifindex\":$index}" EINVAL point
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"no\",\"errno\":5}" EINVAL point 'no such point'
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"replace\"}" EINVAL point 'no fault'
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"replace\",\"errno\":11}" EINVAL errno
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"replace\",\"errno\":4294967295}" EINVAL errno
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"detach\",\"errno\":5}" EINVAL errno 'no result'
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"bind\",\"recurse\":true}" EINVAL recurse
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"bind\",\"stall-us\":1}" EINVAL stall-us 'only ops'
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"bind\",\"interrupt\":true}" EINVAL interrupt 'only ops'
	refuses "do fault-set {\"ifindex\":$index,\"stats\":\"drop\",\"stall-us\":1}" EINVAL stall-us 'with a point'
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"register\",\"errno\":5}" EINVAL point
	refuses "do fault-set {\"ifindex\":$index,\"nospc-after\":1,\"stats\":\"drop\"}" EINVAL stats 'one fault'
	refuses "do fault-set {\"ifindex\":$index,\"nospc-after\":1,\"nth\":1}" EINVAL nth 'with a point'
	refuses "do fault-set {\"ifindex\":$index,\"new-devices\":true,\"point\":\"register\",\"errno\":5}" EINVAL new-devices
}

test_what_becomes_of_firmware_is_notified_in_the_devices_own_namespace() {
	port ek0
	ynl
	say 'subscribe events'
	load faulty ek0
	fw replace "$(object stats)" --dev ek0 >/dev/null
	unload ek0
	load faulty ek0
	refused 2 drop ek0 201 skip_sw
	eventually eval '[[ -z $(records firmware dev=ek0) ]]'
	expect_say 'quiet 1' '[.[] | [.name, .msg.ifname, .msg.name // .msg.firmware, .msg.generation, .msg.code]]' \
		'[["firmware-attach-ntf","ek0","faulty",1,null],["firmware-replace-ntf","ek0","stats",2,null],["firmware-detach-ntf","ek0","stats",2,null],["firmware-attach-ntf","ek0","faulty",1,null],["firmware-exit-ntf","ek0","faulty",1,"return"]]'
	ip netns add "ekho-genl-$$"
	defer ip netns del "ekho-genl-$$"
	ip -n "ekho-genl-$$" link add ek0 up type ekho
	nsenter --net="/run/netns/ekho-genl-$$" "$EKHO_FW" --pin-root "$pins" load "$(object noop)" --dev ek0 >/dev/null
	expect_say 'quiet 1' . '[]'
}

test_what_becomes_of_devices_is_notified() {
	ynl
	say 'subscribe events'
	port ek0
	say 'quiet 1' '.[] | [.name, .msg.ifname]'
	says '["device-add-ntf","ek0"]'
	ip link set ek0 name ek1
	say 'quiet 1' '.[] | [.name, .msg.ifname]'
	says '["device-change-ntf","ek1"]'
	ip netns add "ekho-genl-$$"
	defer ip netns del "ekho-genl-$$"
	ip link set ek1 netns "ekho-genl-$$"
	say 'quiet 1' '.[] | [.name, .msg.ifname]'
	expect 'the last' '["device-del-ntf","ek1"]' "${said##*$'\n'}"
	ip -n "ekho-genl-$$" link del ek1
	expect_say 'quiet 1' . '[]'
}

test_without_privileges_devices_and_firmware_are_read_only() {
	port ek0
	load stats ek0
	local index
	index=$(ifindex ek0)
	ynl
	say drop
	expect_say 'dump device-get' '[.[].ifname]' '["ek0"]'
	expect_say 'dump firmware-get' '[.[].name]' '["stats"]'
	say 'dump fault-get'
	refuses 'dump flow-get' EPERM -
	refuses 'dump refusal-get' EPERM -
	refuses 'dump device-get {"all-netns":true}' EPERM all-netns
	refuses "do fault-set {\"ifindex\":$index,\"nospc-after\":1}" EPERM -
	refuses "do fault-clear {\"ifindex\":$index}" EPERM -
	refuses "do flow-get {\"ifindex\":$index,\"cookie\":1}" EPERM -
}

# A user namespace's owner has all capabilities in it, and none outside.
test_a_user_namespace_rules_its_own_devices_only() {
	port ek0
	ynl unshare -Urn
	expect_say 'dump device-get' . '[]'
	expect_say 'sh ip link add ek7 up type ekho && tc qdisc add dev ek7 clsact' . 0
	local index
	say 'dump device-get' '.[].ifindex'
	index=$said
	nsenter --net="/proc/$YNL_PID/ns/net" "$EKHO_FW" --pin-root "$pins" load "$(object stats)" --dev ek7 >/dev/null
	expect_say 'sh tc filter add dev ek7 ingress protocol ip prio 7 handle 1 flower skip_sw dst_ip 10.0.0.7 action drop' . 0
	# Cookies are addresses of the kernel.
	expect_say 'dump flow-get' '[.[] | [.ifname, .prio, .cookie]]' '[["ek7",7,null]]'
	refuses "do flow-get {\"ifindex\":$index,\"cookie\":1}" EPERM cookie CAP_SYSLOG
	refuses 'dump device-get {"all-netns":true}' EPERM all-netns
	refuses 'do fault-set {"new-devices":true,"point":"register","errno":5}' EPERM new-devices
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"bind\",\"delay-us\":5}" EPERM delay-us
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"stats\",\"stall-us\":5}" EPERM stall-us
	refuses "do fault-set {\"ifindex\":$index,\"point\":\"stats\",\"interrupt\":true}" EPERM interrupt
	expect_say "do fault-set {\"ifindex\":$index,\"nospc-after\":1}" . null
	refuses 'do fault-set {"ifindex":999,"nospc-after":1}' ENODEV ifindex
	expect_say 'dump fault-get' '[.[] | [.ifname, .["nospc-after"]]]' '[["ek7",1]]'
}

test_the_initial_namespace_sees_all_of_them() {
	port ek0
	ynl nsenter --net=/proc/1/ns/net
	expect_say 'dump device-get' "[.[] | select(.netns == $netns)]" '[]'
	expect_say 'dump device-get {"all-netns":true}' "[.[] | select(.netns == $netns) | .ifname]" '["ek0"]'
	refuses 'dump device-get {"all-netns":true,"ifindex":1}' EINVAL all-netns
	expect_say 'do fault-set {"new-devices":true,"point":"register","errno":12}' . null
	defer eval 'echo new clear >$debugfs/faults'
	expect_say 'dump fault-get' '[.[] | [.["new-devices"], .point, .errno]]' '[[true,"register",12]]'
	refused 2 ip link add ek1 type ekho
	expect_say 'do fault-clear {"new-devices":true}' . null
	port ek1
}

test_the_group_of_all_namespaces_is_told_in_the_initial_one() {
	ynl nsenter --net=/proc/1/ns/net
	expect_say 'subscribe all-netns' . null
	port ek0
	load noop ek0
	unload ek0
	ip link del ek0
	expect_say 'quiet 1' "[.[] | select(.msg.netns == $netns) | [.name, .msg.ifname, .msg.name]]" \
		'[["device-add-ntf","ek0",null],["firmware-attach-ntf","ek0","noop"],["firmware-detach-ntf","ek0","noop"],["device-del-ntf","ek0",null]]'
}

test_the_group_of_all_namespaces_is_silent_elsewhere() {
	ynl
	expect_say 'subscribe all-netns' . null
	port ek0
	expect_say 'quiet 1' . '[]'
}

test_the_group_of_all_namespaces_needs_a_privilege() {
	ynl nsenter --net=/proc/1/ns/net
	say drop
	expect_say 'subscribe all-netns' . '{"error":"EPERM"}'
}

# add FIRST LAST: filters with these preferences.
add() {
	awk -v first="$1" -v last="$2" 'BEGIN { for (i = first; i <= last; i++)
		printf "filter add dev ek0 ingress protocol ip prio %d handle 1 flower skip_sw dst_ip 10.0.%d.%d action drop\n", i, int(i / 256), i % 256 }' | tc -b -
}

# The kernel fills a buffer ahead of what is read: the flows must not fit into two.
test_a_dump_has_each_flow_once_and_is_marked_when_some_come_and_go() {
	local first rest gone='' i
	port ek0
	load noop ek0
	add 1 1500
	ynl
	# Nothing changes.
	say 'begin flow-get' '[.[].prio]'
	first=$said
	say finish '[.marked, .["end-marked"], .error, [.unmarked[].prio]]'
	expect 'a dump that nothing disturbs' '[[],false,0]' "$(jq -c .[:3] <<<"$said")"
	expect 'its flows' true "$(jq --argjson first "$first" '($first + .[3] | sort) == [range(1; 1501)]' <<<"$said")"
	# A quarter goes, and as many come, so that the table is resized in between.
	say 'begin flow-get' '[.[].prio]'
	first=$said
	for ((i = 1; i <= 1500; i += 4)); do
		gone+="filter del dev ek0 ingress protocol ip prio $i handle 1 flower"$'\n'
	done
	tc -b - <<<"$gone"
	add 1501 2500
	say finish '{marked: [.marked[].prio], unmarked: [.unmarked[].prio], end: .["end-marked"], error}'
	rest=$said
	expect 'marks' '[true,true,0]' "$(jq -c '[(.marked | length > 0), .end, .error]' <<<"$rest")"
	# What was there all the time is in it, once; of the others, none is there twice, or once it has gone.
	said=$(jq -c --argjson first "$first" '($first + .unmarked + .marked) as $all |
		[range(1; 1501) | select(. % 4 != 1)] as $stayed |
		{missing: ($stayed - $all), twice: ($all | group_by(.) | map(select(length > 1)[0])),
			gone: [.marked[] | select(. <= 1500 and . % 4 == 1)]}' <<<"$rest")
	expect 'flows in the dump' '{"missing":[],"twice":[],"gone":[]}' "$said"
}

test_flows_that_stay_are_in_each_dump_once_while_others_come_and_go() {
	local first churn batch='' i marked=0
	port ek0
	load noop ek0
	add 1 1000
	for ((i = 2001; i <= 2200; i++)); do
		batch+="filter add dev ek0 ingress protocol ip prio $i handle 1 flower skip_sw dst_ip 10.1.0.$((i % 256)) action drop"$'\n'
	done
	for ((i = 2001; i <= 2200; i++)); do
		batch+="filter del dev ek0 ingress protocol ip prio $i handle 1 flower"$'\n'
	done
	ynl
	while :; do
		tc -b - <<<"$batch"
	done &
	churn=$!
	for i in {1..5}; do
		say 'begin flow-get' '[.[].prio]'
		first=$said
		say finish '{marked: [.marked[].prio], unmarked: [.unmarked[].prio], end: .["end-marked"], error}'
		((marked += $(jq 'if .end then 1 else 0 end' <<<"$said"))) || :
		said=$(jq -c --argjson first "$first" '($first + .unmarked + .marked | map(select(. <= 1000)) | sort) == [range(1; 1001)] and
			.error == 0' <<<"$said")
		expect 'each flow that stays, once' true "$said"
	done
	((marked > 0)) || fail 'no dump was interrupted'
	kill "$churn"
	wait "$churn" || :
}

# A socket that is new has a buffer of less than a page, unless the dump demands more.
test_the_longest_rule_fits_into_a_message() {
	local i index pedit='action pedit ex munge ip6 src set ffff::1 munge ip6 dst set ffff::2 pipe'
	local actions=() words
	for i in {1..31}; do
		read -ra words <<<"$pedit"
		actions+=("${words[@]}")
	done
	port ek0
	load noop ek0
	tc filter add dev ek0 ingress protocol ipv6 prio 1 handle 1 flower skip_sw ip_proto tcp "${actions[@]}" action drop
	drop ek0 2 skip_sw
	index=$(ifindex ek0)
	ynl
	expect_say 'small flow-get' '[.[].prio] | sort' '[1,2]'
	say 'dump flow-get' '.[] | select(.prio == 1).rule | length / 2'
	((said > 3800)) || fail 'the longest rule' 'expected: more than 3800 bytes' "seen:     $said"
	expect_say "do flow-get {\"ifindex\":$index,\"cookie\":$(printf %u "$(($(cookie ek0 1)))")}" .prio 1
	expect 'the tool' '1 2' "$(fw -j flows --dev ek0 | jq -r '[.[].prio] | sort | join(" ")')"
}

test_a_dump_ends_in_order_when_its_device_goes() {
	port ek0
	load noop ek0
	add 1 1000
	ynl
	say 'begin flow-get' length
	ip link del ek0
	expect_say finish '[.["end-marked"], .error, (.marked | length)]' '[true,0,0]'
}

test_the_module_stays_while_a_dump_is_under_way() {
	borrow_module
	port ek0
	load noop ek0
	add 1 400
	ynl
	say 'begin flow-get'
	unload ek0
	ip link del ek0
	refused - rmmod ekho
	say finish
	eventually rmmod ekho
	refuses 'dump device-get' ENOENT -
}

main "$@"
