#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Profiles of devices: what each accepts, and what it refuses with which message.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# device PROFILE: ek0 is one.
device() {
	port ek0
	load "$1" ek0
}

# takes WORDS...: a filter, "CLASSIFIER MATCH... action...", and lets it go.
takes() {
	filter "$@"
	expect "in_hw of $*" true "$(tc -j filter show dev ek0 "${hook:-ingress}" |
		jq -r '[.[] | select(.options.handle).options.in_hw] | join(" ")')"
	tc filter del dev ek0 "${hook:-ingress}" chain "${chain:-0}"
}

# leaves TEXT WORDS...: refuses it with that.
leaves() {
	refused - filter "${@:2}"
	says "Error: ek0: $1"
}

filter() {
	tc filter add dev ek0 "${hook:-ingress}" protocol "${protocol:-ip}" prio "${prio:-1}" \
		chain "${chain:-0}" "$1" skip_sw "${@:2}"
}

test_spectrum_takes_what_the_switch_does() {
	device spectrum
	ip link add ek1 type ekho
	takes flower ip_proto tcp src_ip 192.0.2.0/24 dst_port 80 tcp_flags 0x2/0x2 action drop
	takes flower ip_proto udp dst_port 100-200 ip_tos 0x20/0xfc ip_ttl 64 action trap
	takes flower indev ek0 dst_mac 02:00:00:00:00:01 action mirred egress redirect dev ek1
	takes flower dst_ip 192.0.2.1 action sample rate 100 group 1 action pass
	takes flower dst_ip 192.0.2.1 action mirred egress mirror dev ek1 action skbedit priority 3
	takes flower dst_ip 192.0.2.1 action police rate 10mbit burst 16k conform-exceed drop/pipe
	takes flower dst_ip 192.0.2.1 action pedit ex munge ip tos set 0x10
	protocol=802.1q takes flower vlan_id 5 action vlan modify id 7
	protocol=all takes matchall action mirred egress mirror dev ek1
	chain=7 takes flower dst_ip 192.0.2.1 action goto chain 9
}

test_spectrum_refuses_the_rest() {
	device spectrum
	ip link add ek1 type ekho
	leaves "the device can't match enc_key_id" flower enc_key_id 5 action drop
	leaves "the device can't match type" flower ip_proto icmp type 8 action drop
	leaves "the device can't do action mpls" flower dst_ip 192.0.2.1 action mpls push protocol mpls_uc label 5
	leaves 'ports are of TCP and UDP only' flower ip_proto sctp dst_port 80 action drop
	leaves "reserved TCP flags 200 can't be matched" flower ip_proto tcp tcp_flags 0x200/0x200 action drop
	leaves 'one mirror or sample a filter' flower dst_ip 192.0.2.1 \
		action mirred egress mirror dev ek1 action mirred egress mirror dev ek1
	leaves 'police: bytes per second only' flower dst_ip 192.0.2.1 \
		action police pkts_rate 1000 pkts_burst 100 conform-exceed drop/pipe
	leaves 'hw_stats delayed' flower dst_ip 192.0.2.1 action drop hw_stats delayed
	protocol=all leaves 'matchall mirrors or samples only, no action drop' matchall action drop
	hook=egress leaves 'no redirect on egress' flower dst_ip 192.0.2.1 action mirred egress redirect dev ek1
	hook=egress protocol=802.1q leaves 'the VLAN key is there on ingress only' flower vlan_id 5 action drop
	# The kernel doesn't make a failure of it: cls_u32 loses skip_sw on the way.
	tc filter add dev ek0 ingress protocol ip prio 1 u32 match ip dst 192.0.2.1/32 action drop
	[[ $(records refusals dev=ek0) == *"reason=the device doesn't offload u32"* ]] ||
		fail 'u32 was not refused' "$(records refusals)"
}

# fill N: tries to add N filters of one preference, as one batch; how many went in.
fill() {
	local i batch='' pattern=${1:?}
	for ((i = 1; i <= pattern; i++)); do
		batch+="filter add dev ek0 ingress protocol ip prio 1 handle $i flower skip_sw dst_ip 10.$((i >> 16)).$((i >> 8 & 255)).$((i & 255)) action drop"$'\n'
	done
	tc -force -b - <<<"$batch"
}

test_spectrum_holds_5631_flows_and_not_one_more() {
	device spectrum
	refused - fill 5632
	says 'Error: ek0: the device holds 5631 flows'
	expect_figures ek0 flows=5631 replace_refused=1
	expect 'its table' 5631 "$(get devices ek0 occupied)"
	# There is room again when one goes.
	tc filter del dev ek0 ingress protocol ip prio 1 handle 77 flower
	tc filter add dev ek0 ingress protocol ip prio 1 handle 5632 flower skip_sw dst_ip 10.0.22.0 action drop
	expect_figures ek0 flows=5631
	tc filter del dev ek0 ingress
	expect_figures ek0 flows=0
}

test_connectx_takes_what_the_nic_does() {
	device connectx
	ip link add ek1 type ekho
	takes flower ip_proto icmp type 8 action drop
	takes flower ct_state +trk+est action mirred egress redirect dev ek1
	takes flower dst_ip 192.0.2.1 action ct action goto chain 1
	takes flower enc_key_id 5 enc_src_ip 192.0.2.1 enc_dst_port 4789 action tunnel_key unset \
		action mirred egress redirect dev ek1
	protocol=802.1ad takes flower vlan_id 5 vlan_ethtype 802.1q cvlan_id 6 action drop
	takes flower dst_ip 192.0.2.1 action vlan push id 5 action vlan push id 6 \
		action mirred egress redirect dev ek1
	prio=16 takes flower dst_ip 192.0.2.1 action drop
	chain=3 takes flower dst_ip 192.0.2.1 action drop
	takes flower dst_ip 192.0.2.1 action drop hw_stats delayed
}

test_connectx_refuses_the_rest() {
	device connectx
	ip link add ek1 type ekho
	chain=2 leaves 'goto chain 1: from 2 only on to higher ones' flower dst_ip 192.0.2.1 action goto chain 1
	leaves '2 VLAN tags at most' flower dst_ip 192.0.2.1 action vlan push id 5 action vlan push id 6 \
		action vlan push id 7 action mirred egress redirect dev ek1
	leaves 'mark 0x10000: 16 bits only' flower dst_ip 192.0.2.1 action skbedit mark 0x10000 action pass
	leaves 'ptype host only' flower dst_ip 192.0.2.1 action skbedit ptype otherhost action pass
	leaves 'nothing says where the packet goes' flower dst_ip 192.0.2.1 action skbedit mark 1
	leaves 'vlan modify needs a VLAN to match' flower dst_ip 192.0.2.1 action vlan modify id 7 action pass
	prio=17 leaves 'pref 17: the device has 1 to 16' flower dst_ip 192.0.2.1 action drop
	chain=4 leaves 'chain 4: the device has chains 0 to 3' flower dst_ip 192.0.2.1 action drop
	leaves "hw_stats immediate can't be had" flower dst_ip 192.0.2.1 action drop hw_stats immediate
	protocol=all leaves 'matchall polices only, no action drop' matchall action drop
}

test_ppe_forwards_connections_and_nothing_else() {
	device ppe
	ip link add ek1 type ekho
	takes flower indev ek0 ip_proto tcp src_ip 192.0.2.1 dst_ip 192.0.2.2 src_port 1 dst_port 2 \
		action pedit ex munge eth dst set 02:00:00:00:00:09 pipe \
		action mirred egress redirect dev ek1
	takes flower indev ek0 dst_mac 02:00:00:00:00:01 src_mac 02:00:00:00:00:02 \
		action vlan push id 5 action mirred egress redirect dev ek1
	leaves 'the device that packets come from is missing' flower ip_proto tcp dst_port 2 \
		action mirred egress redirect dev ek1
	leaves 'routes single connections: ports are missing' flower indev ek0 dst_ip 192.0.2.1 \
		action mirred egress redirect dev ek1
	leaves "the device can't do action drop" flower indev ek0 dst_mac 02:00:00:00:00:01 action drop
	leaves 'one device to send out of' flower indev ek0 dst_mac 02:00:00:00:00:01 \
		action mirred egress redirect dev ek1 action mirred egress redirect dev ek1
	leaves "VLAN protocol 0x88a8 isn't 802.1Q" flower indev ek0 dst_mac 02:00:00:00:00:01 \
		action vlan push protocol 802.1ad id 5 action mirred egress redirect dev ek1
	leaves '2 tags at most' flower indev ek0 dst_mac 02:00:00:00:00:01 \
		action vlan push id 5 action vlan push id 6 action vlan push id 7 \
		action mirred egress redirect dev ek1
	protocol=ipv6 leaves 'no NAT for IPv6' flower indev ek0 ip_proto udp src_ip 2001:db8::1 dst_ip 2001:db8::2 \
		src_port 1 dst_port 2 action pedit ex munge ip6 dst set 2001:db8::3 pipe \
		action mirred egress redirect dev ek1
	leaves 'hw_stats immediate' flower indev ek0 dst_mac 02:00:00:00:00:01 \
		action mirred egress redirect dev ek1 hw_stats immediate
}

test_one_device_turns_into_another() {
	device acl
	tc filter add dev ek0 ingress protocol ip prio 1 flower ip_proto tcp dst_port 80 action drop
	expect_in_hw 'dev ek0 ingress' 1
	unload ek0
	expect_in_hw 'dev ek0 ingress' 0
	load spectrum ek0
	expect_in_hw 'dev ek0 ingress' 1
	prio=2 filter flower ip_proto udp dst_port 100-200 action trap
	# What the next can't do must stay in hardware, so it doesn't come.
	unload ek0
	refused - fw load "$(object ppe)" --dev ek0
	tc filter del dev ek0 ingress prio 2
	load ppe ek0
	expect_in_hw 'dev ek0 ingress' 0
	prio=3 leaves "the device can't do action trap" flower indev ek0 dst_mac 02:00:00:00:00:01 action trap
}

main "$@"
