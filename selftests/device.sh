#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Devices of kind ekho, without firmware.
#
#	 +-----------------+
#	 | ek0, ek1, ...   |	no cables: what they transmit is counted, and goes nowhere
#	 | clsact          |
#	 +-----------------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_ip_link_adds_and_deletes_a_device_of_kind_ekho() {
	ip link add ek0 type ekho
	expect 'kind that ip shows' ekho "$(ip -d -j link show dev ek0 | jq -r '.[0].linkinfo.info_kind')"
	expect 'kind in the records' ekho "$(get devices ek0 kind)"
	expect 'firmware in the records' - "$(get devices ek0 firmware)"
	ip link del ek0
	expect 'records' '' "$(records devices)"
}

test_a_device_is_made_in_the_netns_that_is_asked_for() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip link add ek0 netns "$ns" type ekho
	expect 'records here' '' "$(records devices)"
	netns=$(netns_id "/run/netns/$ns")
	expect 'records there' ekho "$(get devices ek0 kind)"
}

test_a_device_goes_with_its_netns() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	ip link add ek0 netns "$ns" type ekho
	netns=$(netns_id "/run/netns/$ns")
	expect 'kind' ekho "$(get devices ek0 kind)"
	ip netns del "$ns"
	gone() { [[ -z $(records devices) ]]; }
	eventually gone
}

test_a_device_moves_between_netns_and_can_be_renamed() {
	local ns=ekho-selftest-$$ index
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip link add ek0 type ekho
	ip link set ek0 netns "$ns" name ek7
	expect 'records here' '' "$(records devices)"
	netns=$(netns_id "/run/netns/$ns")
	expect 'kind' ekho "$(get devices ek7 kind)"
	ip -n "$ns" link set ek7 name ek8
	expect 'old name' '' "$(records devices dev=ek7)"
	index=$(ip -n "$ns" -j link show dev ek8 | jq -r '.[0].ifindex')
	expect 'index' "$index" "$(get devices ek8 ifindex)"
}

test_a_device_is_ethernet_with_an_address_and_an_mtu() {
	ip link add ek0 type ekho
	ip link set ek0 address 02:00:00:00:00:99 mtu 9000
	expect 'device' 'ether 02:00:00:00:00:99 9000' \
		"$(ip -j link show dev ek0 | jq -r '.[0] | "\(.link_type) \(.address) \(.mtu)"')"
}

test_what_a_device_transmits_is_counted() {
	port ek0
	ip -b - <<-END
		addr add 10.9.0.1/24 dev ek0
		neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev ek0 nud permanent
	END
	tc filter add dev ek0 egress protocol ip prio 1 flower dst_ip 10.9.0.2 action pass
	local before after
	before=$(ip -s -j link show dev ek0 | jq '.[0].stats64.tx.packets')
	send 5
	after=$(ip -s -j link show dev ek0 | jq '.[0].stats64.tx.packets')
	# IPv6 may have sent something of its own in between.
	((after >= before + 5)) || fail 'packets sent' "expected: at least $((before + 5))" "seen:     $after"
	expect_filters 'dev ek0 egress' '1/1 in_hw=0 hw=0/0 all=5/* drops=0'
}

test_a_device_needs_no_qdisc_and_has_the_features_of_a_packet_device() {
	ip link add ek0 up type ekho
	expect 'qdisc' noqueue "$(link ek0 .qdisc)"
	expect 'queues' '1 1' "$(link ek0 '|"\(.num_tx_queues) \(.num_rx_queues)"')"
	expect 'features that are off or fixed' '' "$(ethtool -k ek0 | grep -E \
		'^(rx-checksumming|tx-checksumming|scatter-gather|tcp-segmentation-offload|generic-receive-offload|[rt]x-vlan-offload|tx-udp-segmentation):' |
		grep -v ': on$')"
	ip link add ek1 up numtxqueues 4 numrxqueues 2 type ekho
	expect 'queues' '4 2' "$(link ek1 '|"\(.num_tx_queues) \(.num_rx_queues)"')"
	tc qdisc add dev ek1 root fq
	expect 'qdisc' fq "$(link ek1 .qdisc)"
	tc qdisc del dev ek1 root
	expect 'qdisc' noqueue "$(link ek1 .qdisc)"
}

test_without_firmware_skip_sw_is_refused_with_the_remedy() {
	port ek0
	refused 2 drop ek0 10 skip_sw
	says 'ek0: no firmware attached; use ekho-fw load'
	expect_no_filters 'dev ek0 ingress'
	expect 'flows' 0 "$(n_flows)"
}

test_without_firmware_filters_stay_in_software() {
	port ek0
	drop ek0 10
	expect_in_hw 'dev ek0 ingress' 0
	expect 'flows' 0 "$(n_flows)"
	accepted drop ek0 11 verbose
	says 'no firmware attached'
}

test_hw_tc_offload_is_on_and_can_be_turned_off_and_on() {
	port ek0
	expect 'feature' 'hw-tc-offload: on' "$(ethtool -k ek0 | grep hw-tc-offload)"
	expect 'record' 1 "$(get devices ek0 hw_tc_offload)"
	ethtool -K ek0 hw-tc-offload off
	expect 'feature' 'hw-tc-offload: off' "$(ethtool -k ek0 | grep hw-tc-offload)"
	expect 'record' 0 "$(get devices ek0 hw_tc_offload)"
	ethtool -K ek0 hw-tc-offload on
	expect 'record' 1 "$(get devices ek0 hw_tc_offload)"
}

test_with_hw_tc_offload_off_no_filter_is_offloaded() {
	port ek0
	load stats ek0
	ethtool -K ek0 hw-tc-offload off
	refused 2 drop ek0 10 skip_sw
	says 'hw-tc-offload is off'
	drop ek0 11
	expect_in_hw 'dev ek0 ingress' 0
	expect_figures ek0 replace=0 flows=0
	ethtool -K ek0 hw-tc-offload on
	drop ek0 12 skip_sw
	expect_in_hw 'dev ek0 ingress' 0 1
}

test_hw_tc_offload_stays_on_while_filters_are_offloaded() {
	port ek0
	# The kernel's log tells the reason: ethtool has no words for it.
	ip link set ek0 name "ek$$"
	load stats "ek$$"
	drop "ek$$" 10 skip_sw
	refused - ethtool -K "ek$$" hw-tc-offload off
	expect 'record' 1 "$(get devices "ek$$" hw_tc_offload)"
	said=$(dmesg | grep "ek$$: hw-tc-offload")
	says 'stays on while 1 filters are offloaded; delete them first'
	undrop "ek$$" 10
	# The kernel remembers what was wanted, and doesn't ask again for the same.
	ethtool -K "ek$$" hw-tc-offload on
	ethtool -K "ek$$" hw-tc-offload off
	expect 'record' 0 "$(get devices "ek$$" hw_tc_offload)"
}

# ------------------------------------------- a device as what others stand on --

# link DEV JQ: what ip says of a device.
link() {
	ip -d -j link show dev "$1" | jq -r ".[0]$2"
}

# is_up DEV: it is up, and has a carrier.
is_up() {
	[[ $(link "$1" '.flags | contains(["LOWER_UP"])') == true ]]
}

isnt_up() {
	! is_up "$1"
}

# follows UPPER PORT...: UPPER is up for as long as one of the ports has a carrier.
follows() {
	local port
	eventually is_up "$1"
	for port in "${@:2}"; do
		ip link set "$port" carrier off
	done
	eventually isnt_up "$1"
	ip link set "$2" carrier on
	eventually is_up "$1"
}

test_an_address_that_no_device_can_have_is_refused_at_birth() {
	local address
	for address in 01:00:5e:00:00:01 ff:ff:ff:ff:ff:ff 00:00:00:00:00:00; do
		refused 2 ip link add ek0 address "$address" type ekho
		says 'the address must be unicast, and not all zero'
	done
	ip link add ek0 address 02:00:00:00:00:07 up type ekho
	expect 'address' 02:00:00:00:00:07 "$(link ek0 .address)"
}

test_the_address_of_a_device_that_is_up_can_change() {
	ip link add ek0 up type ekho
	ip link set ek0 address 02:00:00:00:00:51
	expect 'address' 02:00:00:00:00:51 "$(link ek0 .address)"
	refused 2 ip link set ek0 address 01:00:5e:00:00:01
}

test_the_mtu_has_the_limits_of_ethernet() {
	ip link add ek0 up type ekho
	expect 'limits' '68 65535' "$(link ek0 '|"\(.min_mtu) \(.max_mtu)"')"
	ip link set ek0 mtu 68
	ip link set ek0 mtu 65535
	refused 2 ip link set ek0 mtu 67
}

test_the_carrier_is_what_the_user_sets_it_to() {
	ip link add ek0 type ekho
	expect 'state of a device that is down' DOWN "$(link ek0 .operstate)"
	ip link set ek0 up
	state_is() {
		[[ $(link ek0 .operstate) == "$1" ]]
	}
	eventually state_is UP
	ip link set ek0 carrier off
	eventually state_is DOWN
	expect 'link' 'Link detected: no' "$(ethtool ek0 | grep -o 'Link detected.*')"
	# It lasts.
	ip link set ek0 down
	ip link set ek0 up
	expect 'flags' true "$(link ek0 '.flags | contains(["NO-CARRIER"])')"
	ip link set ek0 down
	ip link set ek0 carrier on
	expect 'state of a device that is down' DOWN "$(link ek0 .operstate)"
	ip link set ek0 up
	eventually is_up ek0
	expect 'link' 'Link detected: yes' "$(ethtool ek0 | grep -o 'Link detected.*')"
}

test_ethtool_says_and_sets_speed_and_duplex() {
	ip link add ek0 up type ekho
	settings() {
		ethtool "$1" | grep -oE '(Speed|Duplex|Auto-negotiation): .*' | paste -sd ' '
	}
	expect 'driver' 'driver: ekho' "$(ethtool -i ek0 | grep driver)"
	expect 'settings' 'Speed: 10000Mb/s Duplex: Full Auto-negotiation: off' "$(settings ek0)"
	ethtool -s ek0 speed 100 duplex half
	expect 'settings' 'Speed: 100Mb/s Duplex: Half Auto-negotiation: off' "$(settings ek0)"
	refused - ethtool -s ek0 autoneg on
	expect 'settings' 'Speed: 100Mb/s Duplex: Half Auto-negotiation: off' "$(settings ek0)"
}

test_a_device_can_be_promiscuous_and_take_addresses_of_groups() {
	ip link add ek0 up promisc on allmulticast on type ekho
	expect 'promiscuity' '1 1' "$(link ek0 '|"\(.promiscuity) \(.allmulti)"')"
	ip maddress add 33:33:00:00:00:42 dev ek0
	ip maddress show dev ek0 | grep -q 33:33:00:00:00:42 || fail 'the address is missing'
	ip link set ek0 promisc off allmulticast off
	expect 'promiscuity' '0 0' "$(link ek0 '|"\(.promiscuity) \(.allmulti)"')"
}

test_a_bond_of_devices_backs_one_up_by_the_other() {
	active() {
		[[ $(link bo .linkinfo.info_data.active_slave) == "$1" ]]
	}
	modprobe bonding max_bonds=0
	ip link add ek0 type ekho
	ip link add ek1 type ekho
	ip link add bo type bond mode active-backup miimon 20
	defer ip link del bo
	ip link set ek0 master bo
	ip link set ek1 master bo
	ip link set bo up
	eventually active ek0
	ip link set bo address 02:00:00:00:00:53
	expect 'addresses' '02:00:00:00:00:53 02:00:00:00:00:53' "$(link ek0 .address) $(link ek1 .address)"
	ip link set ek0 carrier off
	eventually active ek1
	ip link set ek0 carrier on
	follows bo ek0 ek1
}

test_a_bond_by_lacp_takes_speed_and_duplex_of_devices() {
	# 2 for each speed that bonding knows, and 1 for full duplex.
	key_is() {
		[[ $(link bo .linkinfo.info_data.ad_info.actor_key) == "$1" ]]
	}
	modprobe bonding max_bonds=0
	ip link add ek0 type ekho
	ip link add bo type bond mode 802.3ad miimon 20
	defer ip link del bo
	ip link set ek0 master bo
	ip link set bo up
	eventually is_up bo
	eventually key_is 15
	ethtool -s ek0 speed 1000 duplex full
	eventually key_is 9
	follows bo ek0
}

test_a_team_of_devices_follows_their_carriers() {
	modprobe team
	ip link add ek0 type ekho
	ip link add ek1 type ekho
	ip link add te type team
	defer ip link del te
	ip link set ek0 master te
	ip link set ek1 master te
	ip link set te up
	follows te ek0 ek1
}

test_a_bridge_takes_the_cost_of_a_port_from_its_speed() {
	cost_is() {
		[[ $(link ek0 .linkinfo.info_slave_data.cost) == "$1" ]]
	}
	ip link add ek0 up type ekho
	ip link add bridge0 type bridge
	defer ip link del bridge0
	ip link set ek0 master bridge0
	ip link set bridge0 up
	eventually cost_is 2
	ethtool -s ek0 speed 100 duplex full
	eventually cost_is 19
	expect 'promiscuity' 1 "$(link ek0 .promiscuity)"
	follows bridge0 ek0
}

test_a_macvlan_passes_its_address_through_to_the_device() {
	ip link add ek0 up type ekho
	ip link add mv0 link ek0 up type macvlan mode passthru
	defer ip link del mv0
	ip link set mv0 address 02:00:00:00:00:52
	expect 'address of the device' 02:00:00:00:00:52 "$(link ek0 .address)"
	follows mv0 ek0
}

test_a_macvlan_stands_on_a_device() {
	ip link add ek0 up type ekho
	ip link add mv0 link ek0 up type macvlan mode bridge
	defer ip link del mv0
	ip link set mv0 address 02:00:00:00:00:54
	follows mv0 ek0
}

test_an_ipvlan_stands_on_a_device() {
	ip link add ek0 up type ekho
	ip link add iv0 link ek0 up type ipvlan mode l2
	defer ip link del iv0
	expect 'address' "$(link ek0 .address)" "$(link iv0 .address)"
	follows iv0 ek0
}

test_a_vlan_stands_on_a_device() {
	ip link add ek0 up mtu 9000 type ekho
	ip link add vl0 link ek0 up type vlan id 5
	defer ip link del vl0
	ip link set vl0 address 02:00:00:00:00:55 mtu 8996
	follows vl0 ek0
}

test_a_device_can_be_in_a_vrf() {
	ip link add vr up type vrf table 7
	defer ip link del vr
	ip link add ek0 up master vr type ekho
	ip addr add 10.9.0.1/24 dev ek0
	eventually is_up ek0
	expect 'routes' 10.9.0.0/24 "$(ip -j route show vrf vr type unicast | jq -r '.[].dst')"
}

test_a_device_with_firmware_can_be_one_of_a_bond() {
	modprobe bonding max_bonds=0
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	ip link set ek0 down
	ip link add bo type bond mode active-backup miimon 20
	defer ip link del bo
	ip link set ek0 master bo
	ip link set bo up address 02:00:00:00:00:56
	eventually is_up bo
	feed ek0 10 7 700
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=7/700 all=7/700 drops=7'
}

main "$@"
