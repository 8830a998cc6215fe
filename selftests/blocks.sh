#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Blocks of filters that several ports share.
#
#	 +----------+   +----------+	 +------+   +------+
#	 | ek0      |   | ek1      |	 | v0   |---| v1   |
#	 | firmware |   | firmware |	 +---+--+   +---+--+
#	 +----+-----+   +----+-----+	     |          |
#	      +-- block 22 --+		     +-block 33-+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# in_block N FLAGS...: adds filter 10 to the block.
in_block() {
	tc filter add block "$1" protocol ip prio 10 handle 1 flower "${@:2}" dst_ip 10.0.0.10 action drop
}

test_a_block_of_two_ports_is_in_the_hardware_of_both() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	tc qdisc add dev ek0 ingress_block 22 clsact
	tc qdisc add dev ek1 ingress_block 22 clsact
	load stats ek0
	load stats ek1
	in_block 22 skip_sw
	expect_in_hw 'block 22' 2
	expect 'cookies' "$(cookie ek0 10)" "$(cookie ek1 10)"
	# Both count; tc shows the sum.
	fw stats set --dev ek0 --cookie "$(cookie ek0 10)" --packets 10 --bytes 1000 >/dev/null
	fw stats set --dev ek1 --cookie "$(cookie ek1 10)" --packets 5 --bytes 500 >/dev/null
	expect_filters 'block 22' '10/1 in_hw=2 hw=15/1500 all=15/1500 *'
	expect_filters 'block 22' '10/1 in_hw=2 hw=15/1500 all=15/1500 *'
	expect 'share of ek1' 5 "$(get flows ek1 packets)"
	# One is unbound, the other stays bound.
	unload ek1
	expect_in_hw 'block 22' 1
	load stats ek1
	expect_in_hw 'block 22' 2
	tc qdisc del dev ek1 clsact
	expect_in_hw 'block 22' 1
	expect_figures ek1 flows=0 destroy=1
}

# One device counts action by action, the other the filter as a whole: the kernel asks
# for the actions then, and forgets what it was told of the filter.
test_devices_of_a_block_count_a_filter_each_in_its_own_way() {
	local first second
	ip link add ek9 up type ekho
	# whole PACKETS, action N PACKETS: what the devices counted, all in all.
	whole() {
		fw stats set --dev ek1 --cookie "$(cookie ek1 10)" --packets "$1" --bytes "$1"00 >/dev/null
	}
	action() {
		local place=$((1000 + $1)) cookie
		cookie=$(bpftool map lookup pinned "$pins/ek0/maps/places" key $((place & 255)) $((place >> 8)) 0 0 |
			sed -n 's/.*"value": \([0-9]*\).*/\1/p')
		fw stats set --dev ek0 --cookie "$(printf '%#x' "$cookie")" --packets "$2" --bytes "$2"00 >/dev/null
	}
	expect_actions() {
		expect 'what tc says of each action' "$1" "$(tc -s -j filter show block 22 |
			jq -r '[.[] | .options.actions[]?.stats | "\(.hw_packets // 0)/\(.hw_bytes // 0)"] | join(" ")')"
	}
	for first in ek0 ek1; do
		second=ek$((1 - ${first#ek}))
		ip link add "$first" up type ekho
		ip link add "$second" up type ekho
		tc qdisc add dev "$first" ingress_block 22 clsact
		tc qdisc add dev "$second" ingress_block 22 clsact
		load action_counters ek0
		load stats ek1
		tc filter add block 22 protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.10 \
			action mirred egress mirror dev ek9 action drop
		expect_in_hw 'block 22' 2
		action 1 3
		action 2 4
		expect_actions '3/300 4/400'
		whole 5
		expect_actions '8/800 9/900'
		expect_actions '8/800 9/900'
		action 2 5
		whole 7
		expect_actions '10/1000 12/1200'
		# Alone again.
		unload ek0
		whole 8
		expect_actions '11/1100 13/1300'
		unload ek1
		ip link del ek0
		ip link del ek1
	done
}

test_a_port_without_firmware_cannot_join_a_block_with_skip_sw_filters() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	tc qdisc add dev ek0 ingress_block 22 clsact
	load stats ek0
	in_block 22 skip_sw
	refused 2 tc qdisc add dev ek1 ingress_block 22 clsact
	expect_in_hw 'block 22' 1
	expect_figures ek0 flows=1 replace=1 destroy=0
	expect 'bindings of ek1' 0 "$(get devices ek1 bindings)"
	load stats ek1
	tc qdisc add dev ek1 ingress_block 22 clsact
	expect_in_hw 'block 22' 2
}

test_a_port_that_joins_gets_the_filters_that_are_there() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	tc qdisc add dev ek0 ingress_block 22 clsact
	load stats ek0
	load stats ek1
	in_block 22
	tc qdisc add dev ek1 ingress_block 22 clsact
	expect_in_hw 'block 22' 2
	tc qdisc del dev ek0 clsact
	expect_in_hw 'block 22' 1
	expect_figures ek0 flows=0 destroy=1
	expect_figures ek1 flows=1
}

test_a_block_of_ingress_and_egress_is_one_flow_a_port() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	tc qdisc add dev ek0 ingress_block 22 clsact
	tc qdisc add dev ek1 egress_block 22 clsact
	load stats ek0
	load stats ek1
	in_block 22 skip_sw
	expect_in_hw 'block 22' 2
	expect_figures ek0 flows=1 replace=1
	expect_figures ek1 flows=1 replace=1
	fw stats set --dev ek1 --block 22 --prio 10 --handle 1 --packets 4 --bytes 400 >/dev/null
	expect_filters 'block 22' '10/1 in_hw=2 hw=4/400 all=4/400 *'
}

test_a_block_for_both_directions_of_a_port_leaves_no_trace_where_the_kernel_refuses_it() {
	ip link add ek0 up type ekho
	load stats ek0
	# Kernels since 6.8 refuse it; those before have one flow for both.
	if tc qdisc add dev ek0 ingress_block 22 egress_block 22 clsact; then
		in_block 22 skip_sw
		expect_figures ek0 flows=1 replace=1
		tc qdisc del dev ek0 clsact
	fi
	expect 'flows' 0 "$(n_flows)"
	expect 'bindings' 0 "$(get devices ek0 bindings)"
	tc qdisc add dev ek0 clsact
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
}

test_a_block_of_two_devices_of_others() {
	ip link add v0 up type veth peer name v1
	ip link set v1 up
	tc qdisc add dev v0 ingress_block 33 clsact
	tc qdisc add dev v1 ingress_block 33 clsact
	load stats v0
	load stats v1
	in_block 33
	expect_in_hw 'block 33' 2
	unload v0
	expect_in_hw 'block 33' 1
	unload v1
	expect_in_hw 'block 33' 0
}

# Were one of the filters refused, the kernel would free what it still has on a
# list; so the module stays out of a block that isn't empty.
test_a_device_of_others_that_joins_a_block_with_filters_stays_in_software() {
	ip link add v0 up type veth peer name v1
	ip link set v1 up
	tc qdisc add dev v0 ingress_block 33 clsact
	in_block 33
	expect_in_hw 'block 33' 0
	load stats v1
	tc qdisc add dev v1 ingress_block 33 clsact
	expect_in_hw 'block 33' 0
	expect_figures v1 flows=0 replace=0
	tc qdisc del dev v1 clsact
	tc filter del block 33 protocol ip prio 10
	tc qdisc add dev v1 ingress_block 33 clsact
	in_block 33
	expect_in_hw 'block 33' 1
	expect_figures v1 flows=1
}

test_a_device_of_others_cannot_join_a_block_with_filters_in_hardware() {
	# A limit of the kernel, after which nothing may be left.
	ip link add v0 up type veth peer name v1
	ip link set v1 up
	tc qdisc add dev v0 ingress_block 33 clsact
	load stats v0
	load stats v1
	in_block 33
	expect_in_hw 'block 33' 1
	refused 2 tc qdisc add dev v1 ingress_block 33 clsact
	expect_in_hw 'block 33' 1
	expect 'bindings of v1' 0 "$(get devices v1 bindings)"
	tc filter del block 33 protocol ip prio 10
	tc qdisc add dev v1 ingress_block 33 clsact
	in_block 33
	expect_in_hw 'block 33' 2
}

test_a_block_of_an_ekho_device_and_one_of_others() {
	ip link add ek0 up type ekho
	ip link add v0 up type veth peer name v1
	tc qdisc add dev ek0 ingress_block 22 clsact
	tc qdisc add dev v0 ingress_block 22 clsact
	load stats ek0
	load stats v0
	in_block 22
	expect_in_hw 'block 22' 2
	unload v0
	expect_in_hw 'block 22' 1
	ip link del v0
	expect_in_hw 'block 22' 1
	expect_figures ek0 flows=1 destroy=0
}

# A bind that fails must not count: the block would refuse skip_sw for ever, and the
# kernel's list of indirect callbacks would name what is gone.
test_binds_that_fail_leave_a_block_as_it_was() {
	local dev
	port ek0
	tc qdisc del dev ek0 clsact
	tc qdisc add dev ek0 ingress_block 1 clsact
	ip link add ek1 up type ekho
	load noop ek0
	tc filter add block 1 protocol ip prio 1 flower skip_sw dst_ip 10.0.0.1 action drop
	unload ek0
	for dev in ek1 d0; do
		[[ $dev == ek1 ]] || ip link add d0 up type dummy
		tc qdisc add dev "$dev" ingress_block 1 clsact 2>/dev/null || continue
		tc qdisc del dev "$dev" clsact
	done
	load noop ek0
	tc filter add block 1 protocol ip prio 2 flower skip_sw dst_ip 10.0.0.2 action drop
	expect_in_hw 'block 1' 1 1
	# The lists still take others.
	tc qdisc add dev d0 clsact
	load noop d0
	drop d0 10
	expect_in_hw 'dev d0 ingress' 1
	unload d0
	unload ek0
}

# filter_flows DEV: without those of shared actions, of which the kernel doesn't tell that they
# can't be offloaded any more.
filter_flows() {
	records flows "dev=$1" | grep -v classifier=action || :
}

# The kernel leaves a filter out when it takes back those of a block, if it can't offload an action
# of it any more: firmware would go on with the rule, at an address that the next filter may get.
test_filters_whose_action_is_not_offloadable_any_more_go_with_the_block() {
	local ns=ekho-selftest-$$ dev
	ip netns add "$ns"
	defer ip netns del "$ns"
	for dev in ek0 ek1 ek2; do
		ip link add "$dev" up type ekho
		tc qdisc add dev "$dev" ingress_block 22 clsact
		load stats "$dev"
	done
	tc actions add action drop index 7
	defer tc actions flush action gact
	tc filter add block 22 protocol ip prio 1 handle 1 flower dst_ip 10.0.0.1 action gact index 7
	tc filter add block 22 protocol ip prio 2 handle 1 matchall action gact index 7
	tc filter add block 22 protocol ip prio 1 handle 2 flower skip_sw dst_ip 10.0.0.2 action drop
	for dev in ek0 ek1 ek2; do
		expect "flows of $dev" 3 "$(filter_flows "$dev" | wc -l)"
	done
	tc actions replace action pipe index 7
	tc qdisc del dev ek0 clsact
	expect 'flows of the device that left' '' "$(filter_flows ek0)"
	expect 'table entries' 0 "$(get devices ek0 table_entries)"
	expect 'flows of one that stays' 3 "$(filter_flows ek1 | wc -l)"
	# A device that moves leaves its blocks.
	ip link set ek1 netns "$ns"
	expect 'flows of the device that moved' '' \
		"$(netns=$(netns_id "/run/netns/$ns") filter_flows ek1)"
	# One that stays until the block itself goes.
	tc qdisc del dev ek2 clsact
	expect 'flows of the last' '' "$(filter_flows ek2)"
	# The device isn't spoilt.
	tc qdisc add dev ek0 clsact
	drop ek0 1 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
	expect_figures ek0 violations=0
}

main "$@"
