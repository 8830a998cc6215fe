#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nftables: chains with `flags offload` at the ingress of a device, and
# flowtables with `flags offload`.
#
#	  ekho-selftest-c            router              ekho-selftest-s
#	 +-----------------+   +------------------+   +-----------------+
#	 | eth0            |---| vc            vs |---|            eth0 |
#	 | 10.1.0.2        |   | .1   firmware .1 |   |        10.2.0.2 |
#	 +-----------------+   +------------------+   +-----------------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# chain DEV: a chain that is offloaded, empty.
chain() {
	type -P nft >/dev/null || skip 'needs nft'
	nft -f - <<-END
		table netdev t {
			chain c { type filter hook ingress device $1 priority 1; flags offload; }
		}
	END
}

rule() {
	nft add rule netdev t c "$@"
}

# rule_of N: the cookie of the rule that was added as the Nth, counted from 1:
# the flow that matches port N.
rule_of() {
	local line
	while read -r line; do
		if [[ $line == *"dst_port:$1 "* || $line == *"dst_port:$1,"* ]]; then
			field cookie "$line"
		fi
	done < <(records flows source=nft)
}

test_a_rule_of_a_chain_reaches_the_firmware() {
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	expect 'bindings' 1 "$(get devices ek0 bindings)"
	rule ip saddr 10.0.0.0/24 ip daddr 10.0.1.1 tcp dport 1 counter drop
	expect_figures ek0 replace=1 flows=1
	local line
	line=$(records flows dev=ek0)
	expect 'source' nft "$(field source "$line")"
	expect 'priority' 1 "$(field prio "$line")"
	expect 'match' 'eth_type:0x0800,ip_proto:6,src_ip:10.0.0.0/255.255.255.0,dst_ip:10.0.1.1,dst_port:1' \
		"$(field match "$line")"
	expect 'actions' drop "$(field actions "$line")"
	nft flush chain netdev t c
	expect_figures ek0 destroy=1 flows=0
	nft delete table netdev t
	expect 'bindings' 0 "$(get devices ek0 bindings)"
}

test_more_kinds_of_match_and_verdict_in_a_chain() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	load stats ek0
	chain ek0
	rule ip6 saddr 2001:db8::/32 udp dport 2 counter accept
	rule ether saddr 02:00:00:00:00:01 tcp dport 3 fwd to ek1
	rule meta l4proto udp udp dport 4 dup to ek1
	rule vlan id 5 ip saddr 10.0.0.1 tcp dport 5 drop
	expect_figures ek0 replace=4 flows=4
	local ifindex
	ifindex=$(get devices ek1 ifindex)
	expect 'actions of the first' pass "$(field actions "$(records flows "cookie=$(rule_of 2)")")"
	expect 'match of the first' \
		'eth_type:0x86dd,ip_proto:17,src_ip:2001:db8::/ffff:ffff::,dst_port:2' \
		"$(field match "$(records flows "cookie=$(rule_of 2)")")"
	expect 'actions of the second' "redirect:$ifindex" \
		"$(field actions "$(records flows "cookie=$(rule_of 3)")")"
	expect 'actions of the third' "mirror:$ifindex" \
		"$(field actions "$(records flows "cookie=$(rule_of 4)")")"
	[[ $(field match "$(records flows "cookie=$(rule_of 5)")") == *vlan_tci:0x5/0xfff* ]] ||
		fail 'no VLAN' "$(records flows)"
	nft delete table netdev t
}

test_counters_of_a_chain_come_from_the_firmware() {
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 counter drop
	rule tcp dport 2 counter drop
	fw stats set --dev ek0 --cookie "$(rule_of 1)" --packets 5 --bytes 500 >/dev/null
	fw stats set --dev ek0 --cookie "$(rule_of 2)" --packets 7 --bytes 700 >/dev/null
	said=$(nft list chain netdev t c)
	says 'tcp dport 1 counter packets 5 bytes 500' 'tcp dport 2 counter packets 7 bytes 700'
	fw stats set --dev ek0 --cookie "$(rule_of 1)" --packets 6 --bytes 600 >/dev/null
	said=$(nft list chain netdev t c)
	says 'tcp dport 1 counter packets 6 bytes 600' 'tcp dport 2 counter packets 7 bytes 700'
	nft delete table netdev t
}

test_a_refused_rule_undoes_its_transaction() {
	ip link add ek0 up type ekho
	load acl ek0
	chain ek0
	refused 1 rule tcp dport 1 drop
	says 'Operation not supported'
	expect 'flows' 0 "$(n_flows)"
	expect 'rules' 0 "$(nft -j list chain netdev t c | jq '[.nftables[] | select(.rule)] | length')"
	said=$(records refusals dev=ek0)
	says "errno=95 count=1 reason=the device doesn't offload nft"
	nft delete table netdev t
}

test_without_firmware_a_rule_is_refused() {
	ip link add ek0 up type ekho
	chain ek0
	refused 1 rule tcp dport 1 drop
	load stats ek0
	rule tcp dport 1 drop
	expect_figures ek0 flows=1
	unload ek0
	expect 'flows' 0 "$(n_flows)"
	refused 1 rule tcp dport 2 drop
	nft delete table netdev t
}

test_a_device_that_goes_takes_its_rules_along() {
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	trace_on
	ip link del ek0
	expect 'flows' 0 "$(n_flows)"
	expect_trace 'destroy dev=ek0 *' 'detach dev=ek0 *'
	nft delete table netdev t
}

# Who lists rules has no lock that would let the module take the callback off the list.
test_listing_a_chain_whose_device_has_gone_changes_nothing() {
	local refs=/sys/module/ekho/refcnt
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	unload ek0
	eventually grep -qx 1 "$refs"
	ip link del ek0
	nft list table netdev t >/dev/null
	pause 1
	expect 'references to the module' 1 "$(<"$refs")"
	nft delete table netdev t
	eventually grep -qx 0 "$refs"
}

test_a_device_that_moves_leaves_its_rules_behind() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	ip link set ek0 netns "$ns"
	expect 'flows' 0 "$(netns=$(netns_id "/run/netns/$ns") n_flows)"
	expect 'bindings' 0 "$(netns=$(netns_id "/run/netns/$ns") get devices ek0 bindings)"
	# What holds the module is gone with the rule: see what is left behind.
	nft delete table netdev t
	fw --netns "$ns" unload --dev ek0 >/dev/null
}

test_a_namespace_ends_with_a_chain_in_it() {
	# What it leaves behind is looked at after the case.
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	expect_figures ek0 flows=1
}

test_a_chain_of_a_device_that_isnt_of_ekho_is_refused() {
	ip link add v0 up type veth peer name v1
	load stats v0
	chain_is_refused() {
		chain v0 2>&1
	}
	refused 1 chain_is_refused
	says 'Operation not supported'
	unload v0
}

test_a_chain_and_tc_share_a_device() {
	port ek0
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	drop ek0 10 skip_sw
	expect_figures ek0 flows=2
	expect 'bindings' 3 "$(get devices ek0 bindings)"
	nft delete table netdev t
	expect_figures ek0 flows=1 destroy=1
	expect_in_hw 'dev ek0 ingress' 1
}

# -------------------------------------------------------------- flowtables ----

# router [FLAGS]: a router between two hosts, with firmware on both its devices,
# and a flowtable for UDP.
router() {
	local ns
	type -P nft >/dev/null || skip 'needs nft'
	type -P conntrack >/dev/null || skip 'needs conntrack'
	modprobe -a nf_flow_table_inet nft_flow_offload nf_conntrack || skip 'this kernel has no flowtables'
	for ns in c s; do
		ip netns add "ekho-selftest-$ns"
		defer ip netns del "ekho-selftest-$ns"
		ip link add "v$ns" up type veth peer name eth0 netns "ekho-selftest-$ns"
		ip -n "ekho-selftest-$ns" link set eth0 up
	done
	ip addr add 10.1.0.1/24 dev vc
	ip addr add 10.2.0.1/24 dev vs
	ip addr add 2001:db8:1::1/64 dev vc nodad
	ip addr add 2001:db8:2::1/64 dev vs nodad
	ip -n ekho-selftest-c addr add 10.1.0.2/24 dev eth0
	ip -n ekho-selftest-s addr add 10.2.0.2/24 dev eth0
	ip -n ekho-selftest-c addr add 2001:db8:1::2/64 dev eth0 nodad
	ip -n ekho-selftest-s addr add 2001:db8:2::2/64 dev eth0 nodad
	ip -n ekho-selftest-c route add default via 10.1.0.1
	ip -n ekho-selftest-s route add default via 10.2.0.1
	ip -n ekho-selftest-c -6 route add default via 2001:db8:1::1
	ip -n ekho-selftest-s -6 route add default via 2001:db8:2::1
	echo 1 >/proc/sys/net/ipv4/ip_forward
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
	echo 1 >/proc/sys/net/netfilter/nf_conntrack_acct
}

# flowtable [DEV...]: for these devices, counting; connections of UDP go in.
flowtable() {
	local list="${*:-vc vs}"
	nft -f - <<-END
		table inet t {
			flowtable f { hook ingress priority 0; devices = { ${list// /, } }; flags offload; counter; }
			chain forward { type filter hook forward priority 0; meta l4proto udp flow add @f; }
		}
	END
	# The kernel asks for counters when a tenth of this is over.
	echo "${timeout:-3}" >/proc/sys/net/netfilter/nf_flowtable_udp_timeout
}

# client ADDR: a process that sends a packet to port 9 for each line it is told.
client() {
	coproc CLIENT { exec ip netns exec ekho-selftest-c "$BASH" -c \
		"exec 5<>/dev/udp/$1/9; while read -r _; do printf 12345678 >&5; echo; done"; }
}

# packet [N]: makes it send.
packet() {
	local i
	for ((i = 0; i < ${1:-1}; i++)); do
		echo >&"${CLIENT[1]}"
		read -r _ <&"${CLIENT[0]}"
	done
}

# connections FLAG: how many conntrack has with this flag.
connections() {
	conntrack -L -p udp "${@:2}" 2>/dev/null | grep -cF "[$1]" || :
}

# shellcheck disable=SC2120 # callers go through eventually()
is_offloaded() {
	(($(connections HW_OFFLOAD "$@") == 1))
}

# shellcheck disable=SC2120
isnt_offloaded() {
	(($(connections HW_OFFLOAD "$@") == 0))
}

test_a_connection_is_offloaded_in_both_directions() {
	router
	load flowtable vc
	load flowtable vs
	flowtable
	expect 'bindings' '1 1' "$(get devices vc bindings) $(get devices vs bindings)"
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	local there back port vc vs
	vc=$(get devices vc ifindex) vs=$(get devices vs ifindex)
	there=$(records flows dev=vc) back=$(records flows dev=vs)
	expect 'source' 'flowtable flowtable' "$(field source "$there") $(field source "$back")"
	port=$(field match "$there")
	port=${port##*src_port:} port=${port%%,*}
	expect 'match of the request' \
		"eth_type:0x0800,ip_proto:17,src_ip:10.1.0.2,dst_ip:10.2.0.2,indev:$vc,src_port:$port,dst_port:9" \
		"$(field match "$there")"
	expect 'match of the reply' \
		"eth_type:0x0800,ip_proto:17,src_ip:10.2.0.2,dst_ip:10.1.0.2,indev:$vs,src_port:9,dst_port:$port" \
		"$(field match "$back")"
	expect 'actions' "pedit,pedit,pedit,pedit,redirect:$vs pedit,pedit,pedit,pedit,redirect:$vc" \
		"$(field actions "$there") $(field actions "$back")"
	nft delete table inet t
	expect 'flows after the flowtable' 0 "$(n_flows)"
	expect_figures vc destroy=1
	expect_figures vs destroy=1
	unload vc
	unload vs
}

test_a_connection_of_ipv6_with_nat() {
	router
	load flowtable vc
	load flowtable vs
	flowtable
	nft add chain inet t post '{ type nat hook postrouting priority 100; }'
	nft add rule inet t post oifname vs masquerade
	client 2001:db8:2::2
	packet 3
	eventually is_offloaded -f ipv6
	said=$(records flows dev=vs)
	says 'src_ip:2001:db8:2::2,dst_ip:2001:db8:2::1' 'ip_proto:17'
	client 10.2.0.2
	packet 3
	eventually is_offloaded -f ipv4
	said=$(records flows dev=vs)
	says 'src_ip:10.2.0.2,dst_ip:10.2.0.1' 'csum'
	nft delete table inet t
	unload vc
	unload vs
}

test_counters_reach_conntrack_and_keep_a_connection() {
	local cookie deadline
	[[ ${EKHO_FLAVOUR:-stock} == stock ]] || skip 'a slow kernel ages connections before their counters come'
	router
	load flowtable vc
	load flowtable vs
	flowtable
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	cookie=$(field cookie "$(records flows dev=vc)")
	deadline=$((SECONDS + 6))
	fw stats set --dev vc --cookie "$cookie" --packets 1000 --bytes 100000 >/dev/null
	while ((SECONDS < deadline)); do
		fw stats add --dev vc --cookie "$cookie" --packets 1 --bytes 100 >/dev/null
		pause 0.3
	done
	is_offloaded || fail 'a connection in use has aged' "$(conntrack -L -p udp)"
	(($(field polls "$(records flows "cookie=$cookie")") > 0)) || fail 'nobody asked for counters'
	local packets
	packets=$(conntrack -L -p udp 2>/dev/null)
	packets=${packets#*packets=} packets=${packets%% *}
	((packets >= 1000)) || fail 'packets in conntrack' 'expected: at least 1000' "seen:     $packets"
	# No packet refreshes it any more.
	wait_begin $((7 + patience))
	until isnt_offloaded; do
		wait_more 0.2 || fail 'an idle connection stays in hardware' "$(conntrack -L -p udp)"
	done
	expect 'flows' 0 "$(n_flows)"
	nft delete table inet t
	unload vc
	unload vs
}

test_packets_in_software_ask_again_but_once_is_enough() {
	local i
	router
	load flowtable vc
	load flowtable vs
	flowtable
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	# A refresh comes with packets, a second apart.
	for ((i = 0; i < 12; i++)); do
		packet
		pause 0.25
	done
	expect_figures vc replace=1 flows=1 destroy=0
	expect_figures vs replace=1 flows=1 destroy=0
	nft delete table inet t
	unload vc
	unload vs
}

test_firmware_that_refuses_leaves_a_connection_in_software() {
	router
	load acl vc
	load acl vs
	flowtable
	client 10.2.0.2
	packet 3
	pause 0.5
	isnt_offloaded || fail 'offloaded all the same' "$(conntrack -L -p udp)"
	expect 'in software' 1 "$(connections OFFLOAD)"
	expect 'flows' 0 "$(n_flows)"
	said=$(records refusals dev=vc)
	says "reason=the device doesn't offload flowtable"
	nft delete table inet t
	unload vc
	unload vs
}

test_firmware_that_comes_late_gets_connections_as_they_are_refreshed() {
	local i
	router
	timeout=30 flowtable
	client 10.2.0.2
	packet 3
	isnt_offloaded || fail 'offloaded without firmware'
	load flowtable vc
	load flowtable vs
	for ((i = 0; i < 20; i++)); do
		packet
		! is_offloaded || break
		pause 0.25
	done
	is_offloaded || fail 'not offloaded' "$(records devices)" "$(conntrack -L -p udp)"
	unload vc
	unload vs
	expect 'flows' 0 "$(n_flows)"
	nft delete table inet t
}

test_an_ekho_device_takes_part_in_a_flowtable() {
	router
	ip link add ek0 up type ekho
	load flowtable ek0
	flowtable vc vs ek0
	expect 'bindings' 1 "$(get devices ek0 bindings)"
	# Connections that it doesn't receive aren't its own.
	client 10.2.0.2
	packet 3
	pause 0.5
	expect_figures ek0 replace=0 flows=0
	nft delete table inet t
	expect 'bindings' 0 "$(get devices ek0 bindings)"
}

main "$@"
