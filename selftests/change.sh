#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Filters that change, fail and are deleted: the requests that the kernel makes.
#
#	 +----------+   +----------+
#	 | ek0      |   | ek1      |
#	 | firmware |   | firmware |
#	 +----+-----+   +----+-----+
#	      +--- block 22 -+		where a case says so

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

test_a_changed_filter_is_a_new_flow_and_then_the_old_one_goes() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	feed ek0 10 10 1000
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 *'
	local old new
	old=$(cookie ek0 10)
	trace_on
	tc filter change dev ek0 ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.10 action pass
	new=$(cookie ek0 10)
	expect_trace "replace dev=ek0 * cookie=$new result=0 *" "destroy dev=ek0 * cookie=$old result=0 *"
	expect 'actions on record' 'pass' "$(get flows ek0 actions)"
	# The new flow counts from zero.
	feed ek0 10 3 300
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=3/300 all=3/300 *'
	expect_figures ek0 flows=1 replace=2 destroy=1
}

test_a_replaced_filter_is_the_same() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	local old
	old=$(cookie ek0 10)
	trace_on
	tc filter replace dev ek0 ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.99 action drop
	expect_trace "replace dev=ek0 * cookie=$(cookie ek0 10) result=0 *" "destroy dev=ek0 * cookie=$old result=0 *"
	said=$(get flows ek0 match)
	says 'dst_ip:10.0.0.99'
	expect_figures ek0 flows=1
}

test_a_change_that_is_refused_leaves_the_old_flow() {
	port ek0
	load narrow ek0
	drop ek0 10 skip_sw
	feed ek0 10 10 1000
	local old
	old=$(cookie ek0 10)
	refused 2 tc filter change dev ek0 ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.10 \
		action skbedit mark 1
	expect 'cookie' "$old" "$(cookie ek0 10)"
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=10/1000 all=10/1000 *'
	expect_figures ek0 flows=1 replace=2 replace_refused=1 destroy=0
}

test_a_filter_can_be_taken_out_of_hardware_by_a_change() {
	port ek0
	load stats ek0
	drop ek0 10
	tc filter change dev ek0 ingress protocol ip prio 10 handle 1 flower skip_hw dst_ip 10.0.0.10 action drop
	expect_in_hw 'dev ek0 ingress' 0
	expect_figures ek0 flows=0 destroy=1
}

test_two_destroys_after_a_failed_replace_reach_no_firmware() {
	port ek0
	load faulty ek0
	trace_on
	refused 2 drop ek0 128 skip_sw
	# The kernel asks to destroy the flow twice: nobody has it.
	expect_trace 'replace dev=ek0 * result=-28 *'
	expect_figures ek0 flows=0 replace=1 replace_refused=1 destroy=0
	drop ek0 10 skip_sw
	expect_figures ek0 flows=1
}

test_a_filter_that_one_port_of_a_block_refuses_is_taken_back_once_from_the_other() {
	ip -b - <<-END
		link add ek0 up type ekho
		link add ek1 up type ekho
	END
	tc -b - <<-END
		qdisc add dev ek0 ingress_block 22 clsact
		qdisc add dev ek1 ingress_block 22 clsact
	END
	load stats ek0
	load faulty ek1
	refused 2 tc filter add block 22 protocol ip prio 128 flower skip_sw dst_ip 10.0.0.1 action drop
	says "ek1: firmware 'faulty' refused the filter (errno 28)"
	expect_no_filters 'block 22'
	expect 'flows' 0 "$(n_flows)"
	# ek0 had it first or was never asked, depending on the order; never twice.
	local replaced destroyed
	replaced=$(get firmware ek0 replace)
	destroyed=$(get firmware ek0 destroy)
	expect 'destroyed as often as replaced' "$replaced" "$destroyed"
	# Where software will do, the filter is in the one that takes it.
	tc filter add block 22 protocol ip prio 128 flower dst_ip 10.0.0.1 action drop
	expect_in_hw 'block 22' 1
	expect 'flows of ek0' 1 "$(n_flows dev=ek0)"
	expect 'flows of ek1' 0 "$(n_flows dev=ek1)"
	tc filter del block 22 protocol ip prio 128
	expect 'flows' 0 "$(n_flows)"
}

test_a_qdisc_takes_its_flows_with_it() {
	port ek0
	load stats ek0
	tc -b - <<-END
		filter add dev ek0 ingress protocol ip prio 1 flower skip_sw dst_ip 10.0.0.1 action drop
		filter add dev ek0 ingress protocol ip prio 2 flower skip_sw dst_ip 10.0.0.2 action drop
		filter add dev ek0 egress protocol ip prio 3 flower skip_sw dst_ip 10.0.0.3 action drop
	END
	expect_figures ek0 flows=3
	tc qdisc del dev ek0 clsact
	eventually eval '[[ $(n_flows) == 0 ]]'
	expect_figures ek0 destroy=3
	expect 'bindings' 0 "$(get devices ek0 bindings)"
	# The firmware is still attached.
	tc qdisc add dev ek0 clsact
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
}

test_a_flushed_chain_takes_its_flows_with_it() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	drop ek0 11 skip_sw
	tc filter del dev ek0 ingress
	expect_no_filters 'dev ek0 ingress'
	expect_figures ek0 flows=0 destroy=2
}

main "$@"
