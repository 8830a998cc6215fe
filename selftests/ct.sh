#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Connections that filters of tc track with `action ct`. A device whose firmware has
# accepted such a filter is asked for the connections of the filter's zone, for as long as
# it has one.
#
#	  ekho-selftest-c                                          ekho-selftest-s
#	 +----------------+   +-----------------------------+   +----------------+
#	 | eth0           |---| vc ==> ek0 --ct--> vs       |---|           eth0 |
#	 | 192.0.2.1      |   |       vc <--ct-- ek1 <== vs |   |      192.0.2.2 |
#	 +----------------+   +-----------------------------+   +----------------+
#
# A filter hands the ports what the veths receive (==>).

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# hosts: both hosts, and ek0 and ek1 between them.
hosts() {
	local host
	type -P conntrack >/dev/null || skip 'needs conntrack'
	modprobe -a act_ct act_mirred nf_conntrack cls_flower cls_matchall || skip 'this kernel has no action ct'
	base=$(</sys/module/act_ct/refcnt)
	for host in c:1:s s:2:c; do
		local name=${host%%:*} number=${host:2:1}
		ip netns add "ekho-selftest-$name"
		defer ip netns del "ekho-selftest-$name"
		ip link add "v$name" up type veth peer name eth0 address "02:00:00:00:00:0$number" \
			netns "ekho-selftest-$name"
		ip -n "ekho-selftest-$name" link set eth0 up
		ip -n "ekho-selftest-$name" addr add "192.0.2.$number/24" dev eth0
		ip -n "ekho-selftest-$name" neigh add "192.0.2.$((3 - number))" \
			lladdr "02:00:00:00:00:0$((3 - number))" dev eth0
	done
	echo 1 >/proc/sys/net/netfilter/nf_conntrack_acct
	port ek0 ek1
	tc qdisc add dev vc clsact
	tc filter add dev vc ingress matchall action mirred ingress redirect dev ek0
	tc qdisc add dev vs clsact
	tc filter add dev vs ingress matchall action mirred ingress redirect dev ek1
	# Before the namespaces, whose devices the filters name.
	defer ip link del ek0
	defer ip link del ek1
}

# track WHERE OUT [ZONE]: what comes in there is tracked, and goes out by OUT. WHERE is words.
track() {
	local zone=${3:-5}
	# shellcheck disable=SC2086 # WHERE is words
	tc -b - <<-END
		filter add $1 protocol ip pref 1 handle 1 flower ct_state -trk action ct zone $zone pipe action goto chain 1
		filter add $1 protocol ip pref 1 handle 1 chain 1 flower ct_state +trk+new action ct commit zone $zone pipe action mirred egress redirect dev $2
		filter add $1 protocol ip pref 2 handle 1 chain 1 flower ct_state +trk+est action mirred egress redirect dev $2
	END
}

# connect [KIND]: a connection from c to port 80 of s, which sends back what it gets.
# shellcheck disable=SC2120 # STREAM is what all of them want so far
connect() {
	local kind=${1:-STREAM} ready=$EKHO_TMP/server.$$
	ip netns exec ekho-selftest-s python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_$kind)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', 80))
if '$kind' == 'STREAM':
    s.listen()
open('$ready', 'w').close()
if '$kind' == 'STREAM':
    s, _ = s.accept()
while True:
    data, peer = s.recvfrom(4096)
    if not data:
        break
    s.sendto(data, peer) if peer else s.send(data)
" &
	patience=30 eventually test -e "$ready"
	coproc CLIENT { exec ip netns exec ekho-selftest-c python3 -c "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_$kind)
s.settimeout(20)
s.connect(('192.0.2.2', 80))
for line in sys.stdin:
    s.send(b'x' * 100)
    s.recv(4096)
    print(flush=True)
"; }
}

# exchange [N]: packets there and back.
exchange() {
	local i
	for ((i = 0; i < ${1:-1}; i++)); do
		echo >&"${CLIENT[1]}"
		read -rt 30 _ <&"${CLIENT[0]}" || fail 'nothing came back'
	done
}

# conntrack_says FLAG: of a connection of zone $zone.
conntrack_says() {
	conntrack -L -w "${zone:-5}" 2>/dev/null | grep -qF "[$1]"
}

isnt_offloaded() {
	! conntrack_says HW_OFFLOAD
}

# has DEV N: the device has so many connections.
has() {
	[[ $(n_flows "dev=$1" classifier=ct) == "$2" ]]
}

# offers DEV N: packets are exchanged until the device has so many.
offers() {
	wait_begin 30
	until has "$1" "$2"; do
		exchange
		wait_more 0.25 || fail "connections on $1" "expected: $2" "seen:     $(records flows "dev=$1")" \
			"$(conntrack -L 2>/dev/null)" "$(records refusals "dev=$1")"
	done
}

# zones DEV: for how many zones the device is asked.
zones() {
	get devices "$1" ct_zones
}

# No table of act_ct is left, nor anything else of it.
is_over() {
	[[ $(</sys/module/act_ct/refcnt) == "$base" ]]
}

# cleared: nothing is left of connections; to be called at the end of a case.
cleared() {
	tc qdisc del dev vc clsact
	tc qdisc del dev vs clsact
	tc qdisc del dev ek0 clsact 2>/dev/null || :
	tc qdisc del dev ek1 clsact 2>/dev/null || :
	eventually is_over
}

# lines DEV: what the firmware tracker said.
lines() {
	bpftool map dump pinned "$pins/$1/maps/log_lines" | jq -r 'sort_by(.key)[].value.text'
}

test_a_connection_is_offered_where_a_filter_tracks_its_zone() {
	hosts
	load tracker ek0
	load stats ek1
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	expect 'zones' '1 1' "$(zones ek0) $(zones ek1)"
	connect
	exchange 3
	# The kernel doesn't know by which device packets come in, but in the first namespace.
	offers ek0 2
	offers ek1 2
	conntrack_says HW_OFFLOAD || fail 'conntrack says otherwise' "$(conntrack -L 2>/dev/null)"
	local line
	line=$(records flows dev=ek0 classifier=ct | grep dst_port:80)
	expect 'zone' 5 "$(field ct_zone "$line")"
	expect 'match' 'eth_type:0x0800,ip_proto:6,src_ip:192.0.2.1,dst_ip:192.0.2.2' \
		"$(field match "$line" | grep -oE 'eth_type:0x0800,ip_proto:6,src_ip:192.0.2.1,dst_ip:192.0.2.2')"
	# IP_CT_ESTABLISHED and IP_CT_ESTABLISHED_REPLY.
	expect 'what the firmware was told' $'zone=5 info=0 orig=1\nzone=5 info=3 orig=0' \
		"$(lines ek0 | sort -u)"
	unload ek0
	expect 'connections' '0 2' "$(n_flows dev=ek0) $(n_flows dev=ek1 classifier=ct)"
	unload ek1
	expect 'zones' '0 0' "$(zones ek0) $(zones ek1)"
	cleared
}

# talk: c sends to port 80 of s ten times a second, which sends back once there is a file $answer.
talk() {
	local ready=$EKHO_TMP/server.$$
	answer=$EKHO_TMP/answer.$$
	ip netns exec ekho-selftest-s python3 -c "
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 80))
open('$ready', 'w').close()
while True:
    data, peer = s.recvfrom(4096)
    if os.path.exists('$answer'):
        s.sendto(data, peer)
" &
	patience=30 eventually test -e "$ready"
	ip netns exec ekho-selftest-c python3 -c "
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('192.0.2.2', 80))
while True:
    s.send(b'x' * 100)
    time.sleep(0.1)
" &
}

# The kernel offloads UDP before there is an answer, in one direction, and asks again once there
# is one: the same flow, which is now of an established connection.
test_udp_is_offloaded_one_way_until_it_is_answered() {
	hosts
	load tracker ek0
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	talk
	patience=30 eventually has ek0 1
	# IP_CT_NEW
	expect 'what the firmware was told' 'zone=5 info=2 orig=1' "$(lines ek0 | sort -u)"
	touch "$answer"
	patience=30 eventually has ek0 2
	told() {
		[[ $(lines ek0 | sort -u) == $'zone=5 info=0 orig=1\nzone=5 info=2 orig=1\nzone=5 info=3 orig=0' ]]
	}
	patience=30 eventually told
	expect 'connections' 2 "$(n_flows dev=ek0 classifier=ct)"
	expect_figures ek0 violations=0
	unload ek0
	cleared
}

test_what_udp_counted_before_the_answer_is_not_lost() {
	local cookie
	hosts
	load stats ek0
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	# The kernel asks for counters when a tenth of this is over: not before the answer.
	echo 3000 >/proc/sys/net/netfilter/nf_flowtable_udp_timeout
	talk
	patience=30 eventually has ek0 1
	cookie=$(field cookie "$(records flows dev=ek0 classifier=ct)")
	fw stats set --dev ek0 --cookie "$cookie" --packets 100000 --bytes 10000000 >/dev/null
	touch "$answer"
	patience=30 eventually has ek0 2
	# The same flow again.
	replaced() { [[ $(figures ek0 destroy) == destroy=1 ]]; }
	patience=30 eventually replaced
	echo 3 >/proc/sys/net/netfilter/nf_flowtable_udp_timeout
	counted() {
		said=$(conntrack -L -w 5 2>/dev/null | sed 's/.*udp .*packets=\([0-9]*\) .*packets=.*/\1/')
		((${said:-0} >= 100000))
	}
	patience=30 eventually counted
	unload ek0
	cleared
}

test_connections_of_a_zone_end_with_its_last_filter() {
	hosts
	load stats ek0
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	connect
	exchange 3
	offers ek0 2
	tc filter del dev ek0 ingress protocol ip pref 1 handle 1 flower
	expect 'zones' 1 "$(zones ek0)"
	expect 'connections' 2 "$(n_flows dev=ek0 classifier=ct)"
	expect_figures ek0 destroy=1
	tc filter del dev ek0 ingress protocol ip pref 1 handle 1 chain 1 flower
	expect 'zones' 0 "$(zones ek0)"
	expect 'flows' 1 "$(n_flows dev=ek0)"
	expect_figures ek0 destroy=4 violations=0
	unload ek0
	cleared
}

test_a_filter_that_is_refused_brings_no_connections() {
	hosts
	load acl ek0
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	expect 'zones' 0 "$(zones ek0)"
	connect
	exchange 5
	isnt_offloaded || fail 'offloaded all the same'
	unload ek0
	cleared
}

test_firmware_can_refuse_the_connections_of_a_zone() {
	local zone=6
	hosts
	load tracker ek0
	track 'dev ek0 ingress' vs 6
	track 'dev ek1 ingress' vc 6
	expect 'zones' 1 "$(zones ek0)"
	connect
	exchange 3
	refusals() {
		[[ $(records refusals dev=ek0) == *'reason=no connections of zone 6'* ]]
	}
	eventually refusals
	expect 'connections' 0 "$(n_flows dev=ek0 classifier=ct)"
	isnt_offloaded || fail 'offloaded all the same'
	unload ek0
	cleared
}

test_each_kind_of_filter_and_a_shared_action_bring_connections() {
	local kind
	hosts
	load stats ek0
	for kind in 'protocol ip pref 1 matchall' 'protocol ip pref 1 u32 match ip dst 192.0.2.0/24'; do
		# shellcheck disable=SC2086 # words
		tc filter add dev ek0 ingress $kind action ct zone 7
		expect "zones of $kind" 1 "$(zones ek0)"
		tc filter del dev ek0 ingress pref 1
		expect 'zones without' 0 "$(zones ek0)"
	done
	# Two of one filter, and one that has no table.
	tc filter add dev ek0 ingress protocol ip pref 1 handle 1 flower action ct zone 7 pipe action ct zone 8 pipe action ct clear
	expect 'zones of one filter' 2 "$(zones ek0)"
	# Changed: the new filter comes before the old one goes.
	tc filter replace dev ek0 ingress protocol ip pref 1 handle 1 flower action ct zone 8 pipe action ct zone 9
	expect 'zones of the changed filter' 2 "$(zones ek0)"
	tc filter del dev ek0 ingress pref 1
	expect 'zones without' 0 "$(zones ek0)"
	defer tc actions flush action ct
	tc actions add action ct zone 7 index 70
	expect 'zones of an action' 1 "$(zones ek0)"
	tc filter add dev ek0 ingress protocol ip pref 1 flower action ct index 70
	tc actions add action ct zone 8 index 80
	expect 'zones of actions' 2 "$(zones ek0)"
	tc actions del action ct index 80
	expect 'zones of actions' 1 "$(zones ek0)"
	tc filter del dev ek0 ingress pref 1
	expect 'zones of the action' 1 "$(zones ek0)"
	tc actions flush action ct
	expect 'zones without' 0 "$(zones ek0)"
	unload ek0
	cleared
}

# See blocks.sh.
test_a_filter_whose_action_is_not_offloadable_any_more_takes_its_zone_along() {
	hosts
	load stats ek0
	tc actions add action pass index 7
	defer tc actions flush action gact
	tc filter add dev ek0 ingress protocol ip pref 1 handle 1 flower action ct zone 5 pipe action gact index 7
	expect 'zones' 1 "$(zones ek0)"
	tc actions replace action pipe index 7
	tc qdisc del dev ek0 clsact
	expect 'zones without the qdisc' 0 "$(zones ek0)"
	expect 'filters of flower' 0 "$(n_flows dev=ek0 classifier=flower)"
	unload ek0
	cleared
}

test_a_shared_block_has_each_of_its_devices_asked() {
	hosts
	tc qdisc del dev ek0 clsact
	tc qdisc del dev ek1 clsact
	tc qdisc add dev ek0 ingress_block 22 clsact
	tc qdisc add dev ek1 ingress_block 22 clsact
	load stats ek0
	load stats ek1
	# Whatever comes in goes to both.
	tc -b - <<-END
		filter add block 22 protocol ip pref 1 handle 1 flower ct_state -trk action ct zone 5 pipe action goto chain 1
		filter add block 22 protocol ip pref 1 handle 1 chain 1 flower ct_state +trk+new action ct commit zone 5 pipe action mirred egress mirror dev vs pipe action mirred egress redirect dev vc
		filter add block 22 protocol ip pref 2 handle 1 chain 1 flower ct_state +trk+est action mirred egress mirror dev vs pipe action mirred egress redirect dev vc
	END
	expect 'zones' '1 1' "$(zones ek0) $(zones ek1)"
	connect
	exchange 3
	offers ek0 2
	offers ek1 2
	unload ek0
	expect 'connections' '0 2' "$(n_flows dev=ek0) $(n_flows dev=ek1 classifier=ct)"
	# The other device has it still.
	exchange
	load stats ek0
	expect 'zones' '1 1' "$(zones ek0) $(zones ek1)"
	offers ek0 2
	tc qdisc del dev ek0 ingress_block 22 clsact
	expect 'zones' '0 1' "$(zones ek0) $(zones ek1)"
	expect 'connections' '0 2' "$(n_flows dev=ek0) $(n_flows dev=ek1 classifier=ct)"
	unload ek0
	unload ek1
	tc qdisc del dev ek1 ingress_block 22 clsact
	cleared
}

test_existing_connections_are_offered_to_new_firmware_and_kept_by_a_replacement() {
	hosts
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	connect
	exchange 3
	isnt_offloaded || fail 'offloaded without firmware'
	load stats ek0
	expect 'zones' 1 "$(zones ek0)"
	offers ek0 2
	conntrack_says HW_OFFLOAD || fail 'conntrack says otherwise' "$(conntrack -L 2>/dev/null)"
	replace stats ek0
	expect 'connections' 2 "$(n_flows dev=ek0 classifier=ct)"
	expect 'zones' 1 "$(zones ek0)"
	exchange 2
	expect_figures ek0 generation=2 replace=0 flows=5
	unload ek0
	expect 'zones' 0 "$(zones ek0)"
	expect 'flows' 0 "$(n_flows dev=ek0)"
	exchange
	cleared
}

test_a_device_that_is_served_by_indirect_blocks_is_asked_as_well() {
	hosts
	tc filter del dev vc ingress
	tc filter del dev vs ingress
	load stats vc
	load stats vs
	track 'dev vc ingress' vs
	track 'dev vs ingress' vc
	expect 'zones' '1 1' "$(zones vc) $(zones vs)"
	connect
	exchange 3
	offers vc 2
	offers vs 2
	conntrack_says HW_OFFLOAD || fail 'conntrack says otherwise' "$(conntrack -L 2>/dev/null)"
	unload vc
	unload vs
	cleared
}

test_counters_reach_conntrack_and_keep_a_connection() {
	local cookie deadline packets
	[[ ${EKHO_FLAVOUR:-stock} == stock ]] || skip 'a slow kernel ages connections before their counters come'
	hosts
	echo 3 >/proc/sys/net/netfilter/nf_flowtable_tcp_timeout
	load stats ek0
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	connect
	exchange 3
	offers ek0 2
	cookie=$(field cookie "$(records flows dev=ek0 classifier=ct | grep dst_port:80)")
	deadline=$((SECONDS + 6))
	fw stats set --dev ek0 --cookie "$cookie" --packets 1000 --bytes 100000 >/dev/null
	while ((SECONDS < deadline)); do
		fw stats add --dev ek0 --cookie "$cookie" --packets 1 --bytes 100 >/dev/null
		pause 0.3
	done
	conntrack_says HW_OFFLOAD || fail 'a connection in use has aged' "$(conntrack -L 2>/dev/null)"
	packets=$(conntrack -L 2>/dev/null)
	packets=${packets#*packets=} packets=${packets%% *}
	((packets >= 1000)) || fail 'packets in conntrack' 'expected: at least 1000' "seen:     $packets"
	# Nobody feeds it any more.
	patience=12 eventually has ek0 0
	isnt_offloaded || fail 'an idle connection stays in hardware' "$(conntrack -L 2>/dev/null)"
	unload ek0
	cleared
}

test_zones_end_with_their_device() {
	hosts
	load stats ek0
	load stats ek1
	track 'dev ek0 ingress' vs
	track 'dev ek1 ingress' vc
	connect
	exchange 3
	offers ek0 2
	offers ek1 2
	ip link del ek0
	expect 'connections' 2 "$(n_flows dev=ek1 classifier=ct)"
	ip link set ek1 name ek2
	expect 'zones' 1 "$(zones ek2)"
	ip link add ek0 type ekho
	ip link del ek2
	ip link add ek1 type ekho
	expect 'flows' 0 "$(n_flows)"
	cleared
}

test_a_namespace_that_ends_takes_the_zones_of_its_devices_along() {
	local ns=ekho-selftest-n
	type -P conntrack >/dev/null || skip 'needs conntrack'
	modprobe -a act_ct
	base=$(</sys/module/act_ct/refcnt)
	ip netns add "$ns"
	ip -n "$ns" link add ek0 up type ekho
	tc -n "$ns" qdisc add dev ek0 clsact
	fw -n "$ns" load "$(object stats)" --dev ek0 >/dev/null
	tc -n "$ns" filter add dev ek0 ingress protocol ip pref 1 flower skip_sw action ct zone 5
	netns=$(netns_id "/run/netns/$ns")
	expect 'zones' 1 "$(zones ek0)"
	ip netns del "$ns"
	gone() { [[ -z $(records devices) ]]; }
	eventually gone
	eventually is_over
}

main "$@"
