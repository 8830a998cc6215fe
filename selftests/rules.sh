#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Filters that a device executes on packets: ek0 has firmware `nic`, and packets come to it from ek1,
# which is in another namespace, or go there. See libcable.sh. That a device and the kernel's
# software do the same with random filters and packets is shown by equality.sh.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"
# shellcheck source=selftests/libcable.sh
. "${BASH_SOURCE[0]%/*}/libcable.sh"

# ---------------------------------------------------------------- topology ----

# device [FIRMWARE]: cabled, with firmware.
device() {
	cabled
	tc qdisc add dev ek0 clsact
	[[ $# == 0 ]] || load "$1" ek0
}

# outlet NAME: another port of EKHO, whose frames arrive at NAMEx.
outlet() {
	ip link add "$1" up type ekho
	ip link add "$1x" up type ekho
	fw cable connect "$1" "$1x" >/dev/null
	eventually is_running "$1x"
}

# flower PRIO ARGS...: a filter on ek0, at ingress unless $hook says otherwise.
hook=ingress
flower() {
	tc filter add dev ek0 "$hook" protocol ip prio "$1" handle 1 flower "${@:2}"
}

# counts PRIO: PACKETS/BYTES/DROPS of each action, as hardware counted, then as software.
counts() {
	tc -s -j filter show dev ek0 "$hook" prio "$1" | jq -r '[.[] | select(.options.handle) | .options.actions[].stats |
		"hw \(.hw_packets // 0)/\(.hw_bytes // 0) all \(.packets)/\(.bytes)/\(.drops)"] | join(", ")'
}

# overlimits PRIO: of each action.
overlimits() {
	tc -s -j filter show dev ek0 "$hook" prio "$1" |
		jq -r '[.[] | select(.options.handle) | .options.actions[].stats.overlimits] | join(",")'
}

# counted PRIO TEXT: it counts this.
counted() {
	[[ $(counts "$1") == "$2" ]]
}

# udp N: datagrams of 8 bytes to port 9, from there to here: 36 bytes of IP each. Nobody minds the
# answer that the port isn't open.
udp() {
	there "$traffic" send ek1 "$udp_frame" "$1"
}
udp_frame=02000000000102000000000208004500002400004000401126b50a0900020a09000110000009001000001122334455667788

# seen DEV TYPE CMD...: the frames of this type that arrive at DEV while CMD runs, in hex.
seen() {
	listen "$1" recv "$1" "$2" "$quiet"
	"${@:3}"
	hear
}

# -------------------------------------------------------------------- cases ----

test_a_filter_drops_in_the_device() {
	device nic
	pings
	flower 1 skip_sw ip_proto icmp action drop
	no_pings
	# The answers.
	expect 'counts' 'hw 3/252 all 3/252/3' "$(counts 1)"
	expect 'what the port says of it' 'rule_drop=3' "$(reasons ek0 rule)"
	undrop ek0 1
	pings
}

test_only_what_matches_is_dropped() {
	device nic
	flower 1 skip_sw ip_proto udp dst_port 9 action drop
	pings
	udp 5
	eventually counted 1 'hw 5/180 all 5/180/5'
}

test_software_executes_what_goes_to_the_cpu() {
	device nic
	flower 1 ip_proto udp action pass
	flower 2 ip_proto icmp action drop
	udp 5
	eventually counted 1 'hw 0/0 all 5/180/0'
	no_pings
	expect 'counts' 'hw 3/252 all 3/252/3' "$(counts 2)"
}

test_what_passes_is_counted() {
	device nic
	flower 1 skip_sw ip_proto udp action pass
	flower 2 skip_sw ip_proto icmp action skbedit priority 3
	udp 5
	eventually counted 1 'hw 5/180 all 5/180/0'
	pings
	expect 'counts' 'hw 3/252 all 3/252/0' "$(counts 2)"
}

test_a_packet_is_redirected() {
	device nic
	outlet out
	flower 1 skip_sw ip_proto udp action mirred egress redirect dev out
	seen outx 0800 udp 3
	expect 'frames that arrived' 3 "$(grep -c ^020000000001020000000002080045 <<<"$heard")"
	expect 'counts' 'hw 3/108 all 3/108/0' "$(counts 1)"
	# Where it can't be sent.
	ip link set out down
	udp 2
	eventually counted 1 'hw 5/180 all 5/180/0'
	expect 'what the port says of it' 'rule_no_target=2' "$(reasons ek0 rule)"
}

test_a_chain_of_actions() {
	device nic
	outlet out
	flower 1 skip_sw ip_proto udp action vlan push id 7 action goto chain 3
	tc filter add dev ek0 ingress chain 3 protocol 802.1Q prio 1 handle 1 flower skip_sw vlan_id 7 \
		action mirred egress redirect dev out
	tc qdisc add dev outx clsact
	tc filter add dev outx ingress protocol 802.1Q prio 1 handle 1 flower vlan_id 7 vlan_ethtype ip \
		src_mac 02:00:00:00:00:02 action pass
	udp 2
	arrived() {
		[[ $(filters 'dev outx ingress') == '1/1 in_hw=0 hw=0/0 all=2/72 drops=0' ]]
	}
	eventually arrived
	expect 'counts' 'hw 2/72 all 2/72/0, hw 2/72 all 2/72/0, hw 2/72 all 2/72/0' "$(counts 1)"
}

# range HANDLE SRC_IP PORTS VERDICT: a filter with such a mask.
range() {
	local words
	read -ra words <<<"${flags-skip_sw}"
	tc filter "${how:-add}" dev ek0 ingress protocol ip prio 1 handle "$1" flower "${words[@]}" \
		ip_proto udp src_ip "$2" dst_port "$3" action "$4"
}

test_the_first_range_of_ports_is_that_of_the_first_filter() {
	device nic
	range 1 10.9.0.9 5-20 pass
	range 2 10.9.0.2 1-9 pass
	range 3 10.9.0.2 5-20 drop
	udp 1
	eventually counted 1 'hw 0/0 all 0/0/0, hw 0/0 all 0/0/0, hw 1/36 all 1/36/1'
	# Without the first filter it comes later.
	tc filter del dev ek0 ingress protocol ip prio 1 handle 1 flower
	udp 1
	eventually counted 1 'hw 1/36 all 1/36/0, hw 1/36 all 1/36/1'
	# A filter that takes the place of another has it.
	how=replace range 2 10.9.0.2 1-9 drop
	udp 1
	eventually counted 1 'hw 1/36 all 1/36/1, hw 1/36 all 1/36/1'
	# What is in no range.
	udp_frame=${udp_frame/10000009/10000015} udp 1
	udp_frame=${udp_frame/10000009/10000014} udp 1
	eventually counted 1 'hw 1/36 all 1/36/1, hw 2/72 all 2/72/2'
}

test_ranges_of_filters_that_were_there_before_firmware() {
	device
	flags='' range 1 10.9.0.2 5-20 drop
	flags='' range 2 10.9.0.2 1-9 pass
	# The kernel offers the last one first.
	load nic ek0
	udp 1
	eventually counted 1 'hw 1/36 all 1/36/1, hw 0/0 all 0/0/0'
}

test_different_ranges_of_a_mask_have_a_limit() {
	local handle batch=''
	device nic
	for ((handle = 1; handle <= 1024; handle++)); do
		batch+="filter add dev ek0 ingress protocol ip prio 1 handle $handle flower skip_sw ip_proto udp dst_port $handle-$((handle + 1)) action drop"$'\n'
	done
	tc -b - <<<"$batch"
	one_more=(tc filter add dev ek0 ingress protocol ip prio 1 handle 1025 flower skip_sw ip_proto udp dst_port 2000-3000 action drop)
	refused 2 "${one_more[@]}"
	says 'no room for another range of ports'
	tc filter del dev ek0 ingress protocol ip prio 1 handle 7 flower
	accepted "${one_more[@]}"
}

test_police_limits_bytes() {
	device nic
	outlet out
	# A byte each second: none that comes back counts here.
	flower 1 skip_sw ip_proto udp action police rate 8bit burst 100 conform-exceed drop/pipe \
		action mirred egress redirect dev out
	seen outx 0800 udp 5
	expect 'frames that arrived' 2 "$(grep -c ^020000000001020000000002080045 <<<"$heard")"
	expect 'counts' 'hw 5/180 all 5/180/3, hw 2/72 all 2/72/0' "$(counts 1)"
	expect 'what the port says of it' 'rule_drop=3' "$(reasons ek0 rule)"
	# The kernel can't be told.
	expect 'overlimits' '0,0' "$(overlimits 1)"
}

test_police_limits_the_length_of_packets() {
	device nic
	# The Ethernet header counts.
	flower 1 skip_sw ip_proto udp action police mtu 49 conform-exceed drop/pipe action pass
	udp 2
	eventually counted 1 'hw 2/72 all 2/72/2, hw 0/0 all 0/0/0'
	flower 2 skip_sw ip_proto icmp action police mtu 98 conform-exceed drop/pipe action pass
	pings
	expect 'counts' 'hw 3/252 all 3/252/0, hw 3/252 all 3/252/0' "$(counts 2)"
}

test_police_limits_packets() {
	device nic
	# It begins without a token, and can save one.
	flower 1 skip_sw ip_proto udp action police pkts_rate 1 pkts_burst 1 conform-exceed drop/pipe action pass
	sleep 1.1
	udp 3
	eventually counted 1 'hw 3/108 all 3/108/2, hw 1/36 all 1/36/0'
}

test_filters_share_the_tokens_of_an_action() {
	device nic
	flower 1 skip_sw ip_proto icmp action police rate 8bit burst 260 conform-exceed drop/pipe index 7
	flower 2 skip_sw ip_proto udp action police index 7
	pings
	udp 3
	# Of all that both have counted, each is told what it counted itself.
	is_told() {
		counts 1 >/dev/null
		counted 2 'hw 6/360 all 6/360/3'
	}
	eventually is_told
	# They go with the last filter that has it.
	tc filter del dev ek0 ingress
	flower 1 skip_sw ip_proto icmp action police rate 8bit burst 260 conform-exceed drop/pipe
	pings
}

test_what_software_polices_takes_no_token_of_the_device() {
	device nic
	outlet out
	flower 1 ip_proto udp dst_port 9 action police rate 8bit burst 100 conform-exceed drop/pipe index 7
	flower 2 ip_proto udp dst_port 10 action police index 7 \
		action mirred egress redirect dev out
	udp 5
	eventually counted 1 'hw 0/0 all 5/180/3'
	expect 'overlimits of software' 3 "$(overlimits 1)"
	udp_frame=${udp_frame/10000009/1000000a} seen outx 0800 udp 5
	expect 'frames that arrived' 2 "$(grep -c ^020000000001020000000002080045 <<<"$heard")"
	expect 'counts' 'hw 5/180 all 10/360/6, hw 2/72 all 2/72/0' "$(counts 2)"
}

test_police_goes_on_with_what_software_has_left() {
	device
	outlet out
	flower 1 ip_proto udp action police rate 8bit burst 100 conform-exceed drop/pipe \
		action mirred egress redirect dev out
	seen outx 0800 udp 1
	expect 'counts' 'hw 0/0 all 1/36/0, hw 0/0 all 1/36/0' "$(counts 1)"
	load nic ek0
	seen outx 0800 udp 2
	expect 'frames that arrived' 1 "$(grep -c ^020000000001020000000002080045 <<<"$heard")"
	expect 'counts' 'hw 2/72 all 3/108/1, hw 1/36 all 2/72/0' "$(counts 1)"
}

test_limits_are_changed() {
	device nic
	outlet out
	flower 1 ip_proto udp action police rate 8bit burst 100 conform-exceed drop/pipe index 7 \
		action mirred egress redirect dev out
	udp 3
	eventually counted 1 'hw 3/108 all 3/108/1, hw 2/72 all 2/72/0'
	tc actions replace action police rate 8bit burst 150 conform-exceed drop/pipe index 7
	udp 6
	eventually counted 1 'hw 9/324 all 9/324/3, hw 6/216 all 6/216/0'
	# What it can't do it doesn't.
	tc actions replace action police rate 8bit burst 1000 conform-exceed continue/pipe index 7
	udp 6
	eventually counted 1 'hw 15/540 all 15/540/9, hw 6/216 all 6/216/0'
}

test_what_is_refused_says_why() {
	device nic
	refused 2 flower 1 skip_sw ip_proto udp action sample rate 1 group 5
	says "ek0: the device can't execute action sample on packets"
	refused 2 flower 1 skip_sw ip_proto udp action police rate 1mbit burst 10k conform-exceed continue
	says 'ek0: action police with a control other than drop, pass or pipe'
	refused 2 flower 1 skip_sw ct_state +trk action drop
	says "ek0: the device can't match ct_state in packets"
	refused 2 flower 1 skip_sw ip_proto udp action drop random determ pass 2
	says 'ek0: action drop depends on chance'
	# It is in software.
	flower 1 ip_proto udp action police rate 1mbit burst 10k conform-exceed continue
	expect 'in hardware' '1/1 in_hw=0' "$(filters 'dev ek0 ingress' | cut -d ' ' -f 1-2)"
}

test_filters_that_were_there_before_firmware_are_executed() {
	device
	flower 1 ip_proto icmp action drop
	load nic ek0
	no_pings
	expect 'counts' 'hw 3/252 all 3/252/3' "$(counts 1)"
	replace nic ek0
	no_pings
	expect 'counts' 'hw 6/504 all 6/504/6' "$(counts 1)"
	# Software goes on.
	unload ek0
	no_pings
	expect 'counts' 'hw 6/504 all 9/756/9' "$(counts 1)"
}

test_packets_that_go_round_end() {
	device nic
	outlet out
	tc qdisc add dev out clsact
	load nic out
	# Without a cable between them.
	hook=egress
	flower 1 skip_sw ip_proto icmp action mirred egress redirect dev out
	tc filter add dev out egress protocol ip prio 1 handle 1 flower skip_sw ip_proto icmp \
		action mirred egress redirect dev ek0
	no_pings
	expect 'what the ports say of it' 'rule_loop=3' "$(reasons ek0 rule)$(reasons out rule)"
	# Each CPU still redirects: it counts packets within each other with act_mirred, up and down.
	tc filter del dev out egress
	local cpu before
	before=$(counts 1 | cut -d / -f 1)
	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		refused 1 taskset -c "$cpu" ping -q -c 1 -W 1 10.9.0.2
	done
	expect 'packets redirected' "hw $((${before#hw } + cpu))" "$(counts 1 | cut -d / -f 1)"
	expect 'what the ports say of it' 'rule_loop=3' "$(reasons ek0 rule)$(reasons out rule)"
	# Into the stack of another device, which doesn't execute what is in its hardware.
	tc filter del dev ek0 egress
	hook=ingress
	flower 1 skip_sw ip_proto udp action mirred egress mirror dev out pipe action mirred ingress redirect dev out
	tc filter add dev out ingress protocol ip prio 1 handle 1 flower skip_sw ip_proto udp action mirred ingress redirect dev ek0
	udp 2
	eventually counted 1 'hw 2/72 all 2/72/0, hw 2/72 all 2/72/0'
	pings
}

main "$@"
