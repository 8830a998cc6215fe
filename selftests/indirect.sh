#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Devices of others: those whose drivers have no offload of their own are served
# through indirect blocks. skip_sw isn't to be had there: the kernel itself says
# no.
#
#	 +----------+        +----------+
#	 | v0       |--------| v1       |	10.9.0.1 sends to 10.9.0.2
#	 | firmware |        | firmware |
#	 +----------+        +----------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# served DEV: from attach to detach, on a device that is up.
served() {
	tc qdisc add dev "$1" clsact
	drop "$1" 9
	load stats "$1"
	expect 'kind' indirect "$(get devices "$1" kind)"
	expect_in_hw "dev $1 ingress" 1
	drop "$1" 10
	feed "$1" 9 9 900
	feed "$1" 10 10 1000
	expect_filters "dev $1 ingress" '9/1 in_hw=1 hw=9/900 all=9/900 *' '10/1 in_hw=1 hw=10/1000 all=10/1000 *'
	undrop "$1" 9
	expect_figures "$1" flows=1 replace=2 destroy=1
	unload "$1"
	expect_in_hw "dev $1 ingress" 0
	expect 'flows' 0 "$(n_flows)"
}

test_a_veth_is_served() {
	ip link add v0 up type veth peer name v1
	served v0
}

test_a_dummy_is_served() {
	ip link add d0 up type dummy
	served d0
}

test_a_bridge_is_served() {
	ip link add br0 up type bridge
	served br0
}

test_a_vxlan_is_served() {
	ip link add vx0 up type vxlan id 42 dstport 4789 local 127.0.0.1
	served vx0
}

test_a_tap_is_served() {
	[[ -e /dev/net/tun ]] || modprobe tun || skip 'this kernel has no tun'
	ip tuntap add dev tap0 mode tap
	ip link set tap0 up
	served tap0
}

test_a_vlan_is_served() {
	ip link add d0 up type dummy
	ip link add link d0 name d0.5 up type vlan id 5
	# A dot isn't allowed in a name on bpffs: it is escaped.
	served d0.5
}

test_devices_over_an_ekho_port_are_served_beside_it() {
	port ek0
	load stats ek0
	ip link add ek0.5 link ek0 up type vlan id 5
	served ek0.5
	ip link add br0 up type bridge
	ip link set ek0 master br0
	served br0
	ip link add vx0 up type vxlan id 42 dstport 4789 dev ek0 group 239.1.1.1
	served vx0
	drop ek0 10 skip_sw
	expect_figures ek0 flows=1 replace=1
}

test_the_loopback_is_served() {
	ip link set lo up
	served lo
}

test_skip_sw_is_refused_by_the_kernel() {
	wire v0 v1
	load stats v0
	refused 2 drop v0 10 skip_sw
	expect_no_filters 'dev v0 ingress'
	expect_figures v0 flows=0
}

test_hardware_and_software_add_up() {
	wire v0 v1
	tc qdisc add dev v1 clsact
	load stats v1
	tc filter add dev v1 ingress protocol ip prio 10 handle 1 flower dst_ip 10.9.0.2 ip_proto udp action drop
	send 3
	# 8 bytes of payload, 8 of UDP, 20 of IP
	expect_filters 'dev v1 ingress' '10/1 in_hw=1 hw=0/0 all=3/108 *'
	feed v1 10 10 1000
	expect_filters 'dev v1 ingress' '10/1 in_hw=1 hw=10/1000 all=13/1108 *'
	send 2
	feed v1 10 20 2000
	expect_filters 'dev v1 ingress' '10/1 in_hw=1 hw=20/2000 all=25/2180 *'
}

test_software_goes_on_when_firmware_goes() {
	wire v0 v1
	tc qdisc add dev v1 clsact
	load stats v1
	tc filter add dev v1 ingress protocol ip prio 10 handle 1 flower dst_ip 10.9.0.2 ip_proto udp action drop
	feed v1 10 10 1000
	expect_filters 'dev v1 ingress' '10/1 in_hw=1 hw=10/1000 all=10/1000 *'
	unload v1
	send 3
	expect_filters 'dev v1 ingress' '10/1 in_hw=0 hw=10/1000 all=13/1108 *'
}

test_refused_filters_stay_in_software() {
	wire v0 v1
	load faulty v0
	drop v0 128
	expect_in_hw 'dev v0 ingress' 0
	accepted drop v0 129 verbose
	says "v0: firmware 'faulty' refused the filter (errno 29)"
	expect_figures v0 flows=0 replace=2 replace_refused=2
}

test_existing_filters_are_replayed_and_refusals_are_fine() {
	wire v0 v1
	drop v0 10
	drop v0 128
	load faulty v0
	expect_in_hw 'dev v0 ingress' 1 0
	expect_figures v0 flows=1 replace=2 replace_refused=1
}

test_firmware_is_replaced_with_flows_and_counters_kept() {
	wire v0 v1
	load stats v0
	drop v0 10
	feed v0 10 10 1000
	expect_filters 'dev v0 ingress' '10/1 in_hw=1 hw=10/1000 *'
	replace stats_v2 v0
	expect_figures v0 firmware=stats_v2 generation=2 flows=1 replace=0 destroy=0
	feed v0 10 12 1200
	expect_filters 'dev v0 ingress' '10/1 in_hw=1 hw=12/1200 all=12/1200 *'
}

test_both_ends_have_firmware_of_their_own() {
	wire v0 v1
	tc qdisc add dev v1 clsact
	load stats v0
	load prio_counters v1
	drop v0 10
	drop v1 10
	feed v0 10 1 100
	expect_filters 'dev v0 ingress' '10/1 in_hw=1 hw=1/100 *'
	expect_filters 'dev v1 ingress' '10/1 in_hw=1 hw=10/1000 *'
}

test_a_qdisc_that_comes_later_is_served() {
	ip link add v0 up type veth peer name v1
	load stats v0
	tc qdisc add dev v0 clsact
	drop v0 10
	expect_in_hw 'dev v0 ingress' 1
	tc qdisc del dev v0 clsact
	eventually eval '[[ $(n_flows) == 0 ]]'
	expect_figures v0 destroy=1 flows=0
	tc qdisc add dev v0 clsact
	drop v0 11
	expect_in_hw 'dev v0 ingress' 1
}

test_a_device_without_qdisc_and_firmware_is_not_listed() {
	ip link add v0 up type veth peer name v1
	expect 'records' '' "$(records devices)"
	load stats v0
	expect 'records' stats "$(get devices v0 firmware)"
	unload v0
	expect 'records' '' "$(records devices)"
}

main "$@"
