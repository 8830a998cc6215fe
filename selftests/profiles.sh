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
	takes flower dst_ip 192.0.2.1 action mirred egress mirror dev ek1 action skbedit priority 7
	takes flower dst_ip 192.0.2.1 action police rate 10mbit burst 16k conform-exceed drop/pipe
	takes flower action police rate 1.5kbit burst 2k conform-exceed drop/ok
	takes flower action police rate 1.9tbit burst 1g conform-exceed drop/ok
	takes flower dst_ip 192.0.2.1 action pedit ex munge ip tos set 0x10
	takes flower dst_ip 192.0.2.1 action pedit ex munge ip tos set 0x10 retain 0xfc
	protocol=ipv6 takes flower ip_proto tcp action pedit ex munge ip6 traffic_class set 0x3 retain 0x3
	protocol=802.1q takes flower vlan_id 5 action vlan modify id 7
	hook=egress protocol=802.1q takes flower vlan_prio 5 action drop
	protocol=all takes matchall action mirred egress mirror dev ek1
	protocol=all takes matchall action sample rate 100 group 1
	hook=egress protocol=all takes matchall action mirred egress mirror dev ek1
}

test_spectrum_refuses_the_rest() {
	device spectrum
	ip link add ek1 type ekho
	leaves "the device can't match enc_key_id" flower enc_key_id 5 action drop
	leaves "the device can't match type" flower ip_proto icmp type 8 action drop
	leaves "the device can't match ip_flags" flower ip_flags frag action drop
	leaves "the device can't do action mpls" flower dst_ip 192.0.2.1 action mpls push protocol mpls_uc label 5
	leaves 'ports are of TCP and UDP only' flower ip_proto sctp dst_port 80 action drop
	leaves "reserved TCP flags 200 can't be matched" flower ip_proto tcp tcp_flags 0x200/0x200 action drop
	leaves 'one mirror a filter' flower dst_ip 192.0.2.1 \
		action mirred egress mirror dev ek1 action mirred egress mirror dev ek1
	leaves 'sampling by matchall only' flower dst_ip 192.0.2.1 action sample rate 100 group 1
	leaves 'priority 8: 0 to 7 only' flower dst_ip 192.0.2.1 action skbedit priority 8
	leaves 'pedit: DSCP and ECN only' flower ip_proto tcp action pedit ex munge ip ttl set 5
	leaves 'pedit: DSCP and ECN only' flower ip_proto tcp action pedit ex munge tcp dport set 5
	leaves 'hw_stats delayed' flower dst_ip 192.0.2.1 action drop hw_stats delayed
	hook=egress leaves 'no redirect on egress' flower dst_ip 192.0.2.1 action mirred egress redirect dev ek1
	hook=egress protocol=802.1q leaves 'a VLAN id can be matched on ingress only' flower vlan_id 5 action drop
	# The kernel doesn't make a failure of it: cls_u32 loses skip_sw on the way.
	tc filter add dev ek0 ingress protocol ip prio 1 u32 match ip dst 192.0.2.1/32 action drop
	[[ $(records refusals dev=ek0) == *"reason=the device doesn't offload u32"* ]] ||
		fail 'u32 was not refused' "$(records refusals)"
}

test_spectrum_polices_within_its_limits() {
	device spectrum
	leaves 'police: bytes per second only' flower dst_ip 192.0.2.1 \
		action police pkts_rate 1000 pkts_burst 100 conform-exceed drop/pipe
	leaves 'police: only drop for what exceeds' flower action police rate 10mbit burst 16k conform-exceed ok/pipe
	leaves 'police: pipe for what conforms, or ok at the end' flower \
		action police rate 10mbit burst 16k conform-exceed drop/ok action drop
	leaves 'police: no peakrate, avrate or overhead' flower \
		action police rate 10mbit burst 16k peakrate 20mbit mtu 2k conform-exceed drop/pipe
	leaves 'police: 1024 bit/s to 2 Tbit/s only' flower action police rate 0.5kbit burst 2k conform-exceed drop/ok
	leaves 'police: 1024 bit/s to 2 Tbit/s only' flower action police rate 2.5tbit burst 1g conform-exceed drop/ok
	leaves 'police: burst of' flower action police rate 1.5kbit burst 512b conform-exceed drop/ok
	leaves 'one policer a filter' flower dst_ip 192.0.2.2 \
		action police rate 100mbit burst 100k conform-exceed drop/pipe \
		action police rate 200mbit burst 200k conform-exceed drop/ok
}

test_spectrum_mirrors_before_flower_on_ingress() {
	device spectrum
	local action
	for action in 'mirred egress mirror dev ek0' 'sample rate 100 group 1'; do
		action="action $action"
		prio=10 filter flower dst_ip 192.0.2.2 action drop
		# shellcheck disable=SC2086 # words
		{
			protocol=all prio=9 filter matchall $action
			tc filter del dev ek0 ingress prio 9
			protocol=all prio=11 leaves 'matchall comes before flower (pref 10)' matchall $action
			tc filter del dev ek0 ingress prio 10
			protocol=all prio=9 filter matchall $action
		}
		prio=10 filter flower dst_ip 192.0.2.2 action drop
		prio=8 leaves 'flower comes behind matchall (pref 9)' flower dst_ip 192.0.2.2 action drop
		# Another chain and the other direction don't matter.
		prio=8 chain=1 filter flower dst_ip 192.0.2.2 action drop
		prio=8 hook=egress filter flower dst_ip 192.0.2.2 action drop
		tc filter del dev ek0 ingress
		tc filter del dev ek0 ingress chain 1
		tc filter del dev ek0 egress
		prio=8 filter flower dst_ip 192.0.2.2 action drop
		tc filter del dev ek0 ingress
	done
}

test_spectrum_mirrors_behind_flower_on_egress() {
	device spectrum
	local mirror='action mirred egress mirror dev ek0' hook=egress
	prio=10 filter flower dst_ip 192.0.2.2 action drop
	# shellcheck disable=SC2086 # words
	{
		protocol=all prio=11 filter matchall $mirror
		tc filter del dev ek0 egress prio 11
		protocol=all prio=9 leaves 'matchall comes behind flower (pref 10)' matchall $mirror
		tc filter del dev ek0 egress prio 10
		protocol=all prio=11 filter matchall $mirror
	}
	prio=10 filter flower dst_ip 192.0.2.2 action drop
	prio=12 leaves 'flower comes before matchall (pref 11)' flower dst_ip 192.0.2.2 action drop
}

test_spectrum_limits_matchall() {
	device spectrum
	ip link add ek1 type ekho
	protocol=all leaves 'matchall mirrors or samples only, no action drop' matchall action drop
	leaves 'matchall: protocol all only' matchall action sample rate 100 group 1
	protocol=all chain=1 leaves 'matchall: chain 0 only' matchall action sample rate 100 group 1
	protocol=all leaves 'matchall: one action only' matchall \
		action sample rate 100 group 1 action mirred egress mirror dev ek1
	protocol=all leaves 'sampling rate too high' matchall action sample rate 3500000001 group 1
	protocol=all hook=egress leaves 'no sampling on egress' matchall action sample rate 100 group 1
}

test_spectrum_goes_to_chains_that_are_there() {
	device spectrum
	leaves 'goto chain 9, which has no filters' flower dst_ip 192.0.2.1 action goto chain 9
	chain=9 filter flower dst_ip 192.0.2.1 action drop
	prio=2 filter flower dst_ip 192.0.2.1 action goto chain 9
	tc filter del dev ek0 ingress
	tc filter del dev ek0 ingress chain 9
	leaves 'goto chain 9, which has no filters' flower dst_ip 192.0.2.1 action goto chain 9
	tc chain add dev ek0 ingress protocol ip chain 7 flower dst_ip 0.0.0.0/32
	prio=2 filter flower dst_ip 192.0.2.1 action goto chain 7
	# What was there counts for firmware that replaces this one, too.
	replace spectrum ek0
	prio=3 filter flower dst_ip 192.0.2.3 action goto chain 7
	prio=4 leaves 'goto chain 9, which has no filters' flower dst_ip 192.0.2.1 action goto chain 9
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
	expect 'its table' 5631 "$(get devices ek0 table_entries)"
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
	ip link add ek2 type ekho
	takes flower ip_proto icmp type 8 action drop
	takes flower indev ek0 ip_flags frag action drop
	takes flower ct_state +trk+est action mirred egress redirect dev ek1
	takes flower dst_ip 192.0.2.1 action ct action goto chain 1
	takes flower dst_ip 192.0.2.1 action ct commit action mirred egress redirect dev ek1
	takes flower enc_key_id 5 enc_src_ip 192.0.2.1 enc_dst_port 4789 action tunnel_key unset \
		action mirred egress redirect dev ek1
	protocol=802.1ad takes flower vlan_id 5 vlan_ethtype 802.1q cvlan_id 6 action drop
	takes flower dst_ip 192.0.2.1 action vlan push id 5 action vlan push id 6 \
		action mirred egress mirror dev ek2 action mirred egress redirect dev ek1
	protocol=802.1q takes flower vlan_id 5 action vlan modify id 7 action mirred egress redirect dev ek1
	takes flower ip_proto tcp action pedit ex munge ip ttl set 5 pipe action csum ip and tcp \
		action mirred egress redirect dev ek1
	takes flower dst_ip 192.0.2.1 action police rate 10mbit burst 16k conform-exceed drop/pipe \
		action mirred egress redirect dev ek1
	protocol=all takes matchall action police rate 10mbit burst 16k conform-exceed drop/continue
	prio=16 takes flower dst_ip 192.0.2.1 action drop
	chain=3 takes flower dst_ip 192.0.2.1 action drop
	takes flower dst_ip 192.0.2.1 action drop hw_stats delayed
}

test_connectx_refuses_the_rest() {
	device connectx
	local n copies='' out='action mirred egress redirect dev ek1'
	for n in {1..9}; do
		ip link add "ek$n" type ekho
		((n == 1)) || copies+=" action mirred egress mirror dev ek$n"
	done
	# shellcheck disable=SC2086 # words
	{
		protocol=mpls_uc leaves "the device can't match mpls" flower mpls_label 5 $out
		leaves 'ports are of TCP and UDP only' flower ip_proto sctp dst_port 80 action drop
		leaves 'a device is matched at its own filters only' flower indev ek1 action drop
		leaves "l2_miss can't be matched" flower l2_miss 1 action drop
		chain=2 leaves 'goto chain 1: from 2 only on to higher ones' flower dst_ip 192.0.2.1 action goto chain 1
		leaves 'no goto behind a decapsulation' flower enc_key_id 5 action tunnel_key unset action goto chain 1
		leaves '2 VLAN tags at most' flower dst_ip 192.0.2.1 action vlan push id 5 action vlan push id 6 \
			action vlan push id 7 $out
		leaves 'one copy to a device' flower dst_ip 192.0.2.1 action mirred egress mirror dev ek1 $out
		leaves "a packet can't go out where it came in" flower dst_ip 192.0.2.1 \
			action mirred egress redirect dev ek0
		leaves 'redirect to ingress needs ptype host' flower dst_ip 192.0.2.1 \
			action mirred ingress redirect dev ek1
		leaves 'redirect to ingress goes alone' flower dst_ip 192.0.2.1 action skbedit ptype host \
			action mirred egress mirror dev ek1 action mirred ingress redirect dev ek2
		leaves '8 devices at most' flower dst_ip 192.0.2.1 $copies $out
		leaves 'something must follow ct commit' flower dst_ip 192.0.2.1 action ct commit
		leaves "what is dropped can't be rewritten" flower ip_proto tcp \
			action pedit ex munge ip ttl set 5 pipe action drop
		leaves 'a packet is dropped or goes somewhere' flower dst_ip 192.0.2.1 \
			action mirred egress mirror dev ek1 action drop
		leaves 'csum comes behind pedit only' flower ip_proto tcp action csum ip $out
		leaves 'csum of IPv4, TCP and UDP only' flower ip_proto icmp \
			action pedit ex munge ip ttl set 5 pipe action csum icmp $out
		protocol=802.1q leaves 'vlan modify leaves the priority alone' flower vlan_id 5 \
			action vlan modify id 7 priority 3 $out
		leaves 'mpls push of mpls_uc only' flower dst_ip 192.0.2.1 \
			action mpls push protocol mpls_mc label 5 $out
		leaves "the device can't do action mpls" flower dst_ip 192.0.2.1 action mpls pop protocol ip $out
		leaves 'police: pipe, ok, goto and drop only' flower dst_ip 192.0.2.1 \
			action police rate 10mbit burst 16k conform-exceed drop/continue $out
		leaves 'police: no peakrate, avrate or overhead' flower dst_ip 192.0.2.1 \
			action police rate 10mbit burst 16k peakrate 20mbit mtu 2k conform-exceed drop/pipe $out
	}
	leaves 'mark 0x10000: 16 bits only' flower dst_ip 192.0.2.1 action skbedit mark 0x10000 action pass
	leaves 'ptype host only' flower dst_ip 192.0.2.1 action skbedit ptype otherhost action pass
	leaves 'nothing says where the packet goes' flower dst_ip 192.0.2.1 action skbedit mark 1
	leaves 'vlan modify needs a VLAN to match' flower dst_ip 192.0.2.1 action vlan modify id 7 action pass
	prio=17 leaves 'pref 17: the device has 1 to 16' flower dst_ip 192.0.2.1 action drop
	chain=4 leaves 'chain 4: the device has chains 0 to 3' flower dst_ip 192.0.2.1 action drop
	leaves "hw_stats immediate can't be had" flower dst_ip 192.0.2.1 action drop hw_stats immediate
	protocol=all leaves 'matchall polices only, no action drop' matchall action drop
	protocol=all leaves 'matchall: one action only' matchall \
		action police rate 10mbit burst 16k conform-exceed drop/continue action drop
	protocol=all leaves 'police: conform-exceed drop/continue only' matchall \
		action police rate 10mbit burst 16k conform-exceed drop/pipe
	protocol=all prio=2 leaves 'matchall: preference 1 only' matchall \
		action police rate 10mbit burst 16k conform-exceed drop/continue
}

# Both MAC addresses, as a router rewrites them.
macs='action pedit ex munge eth src set 02:00:00:00:00:08 munge eth dst set 02:00:00:00:00:09 pipe'

test_ppe_forwards_connections_and_nothing_else() {
	device ppe
	ip link add ek1 type ekho
	local out='action mirred egress redirect dev ek1'
	local connection='indev ek0 ip_proto tcp src_ip 192.0.2.1 dst_ip 192.0.2.2 src_port 1 dst_port 2'
	local bridge='indev ek0 dst_mac 02:00:00:00:00:01 src_mac 02:00:00:00:00:02'
	# shellcheck disable=SC2086 # words
	{
		takes flower $connection $macs $out
		takes flower $connection $macs action pedit ex munge ip src set 192.0.2.9 \
			munge tcp sport set 9 pipe $out
		takes flower $bridge action vlan push id 5 $out
		protocol=802.1q takes flower $bridge vlan_id 5 vlan_ethtype ip $out
		leaves 'the device that packets come from is missing' flower ip_proto tcp dst_port 2 $out
		protocol=all leaves 'the protocol is missing' flower $bridge $out
		leaves 'routes single connections: ports are missing' flower indev ek0 dst_ip 192.0.2.1 $out
		leaves 'bridges by MAC addresses, which are missing' flower indev ek0 ip_proto tcp dst_port 2 $out
		leaves 'bridges by MAC addresses, not by ports' flower $bridge ip_proto tcp dst_port 2 $out
		leaves 'both MAC addresses of what goes out must be known' flower $connection $out
		leaves 'both MAC addresses of what goes out must be known' flower $connection \
			action pedit ex munge eth dst set 02:00:00:00:00:09 pipe $out
		leaves 'both MAC addresses of what goes out must be known' flower $connection \
			action pedit ex munge eth src set 02:00:00:00:00:08 munge eth dst set 01:00:5e:00:00:09 pipe $out
		leaves 'both MAC addresses of what goes out must be known' flower indev ek0 dst_mac 02:00:00:00:00:01 $out
		leaves 'IPv4: only addresses are rewritten' flower $connection $macs \
			action pedit ex munge ip ttl set 5 pipe $out
		leaves 'TCP and UDP: only ports are rewritten' flower $connection $macs \
			action pedit ex munge tcp flags set 2 pipe $out
		leaves 'bridging rewrites nothing' flower $bridge $macs $out
		leaves "the device can't do action drop" flower $bridge action drop
		leaves 'no device to send out of' flower $bridge action vlan push id 5
		leaves 'one device to send out of' flower $bridge $out $out
		leaves "VLAN protocol 0x88a8 isn't 802.1Q" flower $bridge action vlan push protocol 802.1ad id 5 $out
		protocol=802.1ad leaves "VLAN protocol 0x88a8 isn't 802.1Q" flower $bridge vlan_id 5 vlan_ethtype ip $out
		leaves '2 tags at most' flower $bridge action vlan push id 5 action vlan push id 6 \
			action vlan push id 7 $out
		protocol=ipv6 leaves 'no NAT for IPv6' flower indev ek0 ip_proto udp src_ip 2001:db8::1 \
			dst_ip 2001:db8::2 src_port 1 dst_port 2 action pedit ex munge ip6 dst set 2001:db8::3 pipe $out
		leaves 'hw_stats immediate' flower $bridge $out hw_stats immediate
	}
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
