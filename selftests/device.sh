#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Devices of kind ekho, without firmware.
#
#	 +-----------------+
#	 | ek0, ek1, ...   |	what they transmit is counted, and goes nowhere
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

main "$@"
