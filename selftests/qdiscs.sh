#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Qdiscs that are offloaded: one op of firmware for all of them.
#
#	tc qdisc --- sch_* --- ndo_setup_tc --- module --- qdisc.bpf.c --- its log
#
# gred and mq have no option by which a user would want them in hardware; mq is
# told anyway.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# lines KIND...: what the firmware of ek0 has written down of these, in order.
lines() {
	local kinds="$*"
	bpftool map dump pinned "$pins/ek0/maps/log_lines" |
		jq -r 'sort_by(.key)[].value.text' | grep -E "^(${kinds// /|}) " || :
}

# expect_lines KINDS LINE...
expect_lines() {
	# shellcheck disable=SC2086 # words
	expect "requests about $1" "$(printf '%s\n' "${@:2}")" "$(lines $1)"
}

# device: ek0 with four queues, and firmware that takes all.
device() {
	# Without the packets that IPv6 sends: tc counts them too.
	echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
	ip link add ek0 numtxqueues 4 up type ekho
	load qdisc ek0
}

# root ARGS...: the qdisc of ek0.
root() {
	tc qdisc replace dev ek0 root handle 1: "$@"
}

# expect_counted: what the firmware counts of the qdisc is what tc shows, once for
# each time that it asks.
expect_counted() {
	local n
	for n in 1 2; do
		expect 'qdisc' "true packets=$((7 * n)) bytes=$((700 * n)) drops=$((2 * n)) overlimits=$n" \
			"$(tc -s -j qdisc show dev ek0 | jq -r '.[] | select(.root) |
				"\(.offloaded // false) packets=\(.packets) bytes=\(.bytes) drops=\(.drops) overlimits=\(.overlimits)"')"
	done
}

test_red() {
	device
	root red limit 100000 min 10000 max 30000 probability 0.25 avpkt 1000 bandwidth 10mbit ecn nodrop
	expect_counted
	tc qdisc del dev ek0 root
	expect_lines red 'red command=0 handle=10000 parent=ffffffff min=10000 max=30000 probability=1073741824 limit=100000 ecn=1 harddrop=0 nodrop=1' \
		'red command=1 handle=10000 parent=ffffffff'
}

test_tbf() {
	device
	root tbf rate 8mbit burst 10000 limit 20000
	expect_counted
	tc qdisc del dev ek0 root
	expect_lines tbf 'tbf command=0 handle=10000 parent=ffffffff rate=1000000 max_size=10000' \
		'tbf command=1 handle=10000 parent=ffffffff'
}

test_prio_and_what_is_grafted_to_it() {
	device
	root prio bands 4 priomap 3 2 1 0 0 0 0 0 0 0 0 0 0 0 0 0
	expect_counted
	tc qdisc add dev ek0 parent 1:2 handle 12: tbf rate 8mbit burst 10000 limit 20000
	tc qdisc del dev ek0 root
	expect_lines 'prio tbf' 'prio command=0 handle=10000 parent=ffffffff bands=4 map=3,2,1,0...' \
		'tbf command=0 handle=120000 parent=10002 rate=1000000 max_size=10000' \
		'prio command=3 handle=10000 parent=ffffffff band=1 child=120000' \
		'prio command=1 handle=10000 parent=ffffffff' 'tbf command=1 handle=120000 parent=10002'
}

test_ets() {
	device
	root ets bands 3 strict 1 quanta 3000 1500
	expect_counted
	tc qdisc del dev ek0 root
	expect_lines ets 'ets command=0 handle=10000 parent=ffffffff bands=3 quanta=0,3000,1500...' \
		'ets command=1 handle=10000 parent=ffffffff'
}

test_fifos() {
	local kind
	device
	for kind in pfifo bfifo; do
		root "$kind" limit 1000
		expect_counted
		tc qdisc del dev ek0 root
	done
	expect_lines fifo 'fifo command=0 handle=10000 parent=ffffffff' 'fifo command=1 handle=10000 parent=ffffffff' \
		'fifo command=0 handle=10000 parent=ffffffff' 'fifo command=1 handle=10000 parent=ffffffff'
}

test_the_root_and_the_default_of_a_device_with_queues() {
	device
	# A port needs no qdisc: without one there is noqueue, and no mq.
	root pfifo
	tc qdisc del dev ek0 root
	expect_lines 'root mq' 'root command=0 handle=10000 ingress=0' 'root command=0 handle=0 ingress=0'
}

test_mq() {
	device
	root mq
	tc qdisc del dev ek0 root
	expect_lines 'root mq' 'mq command=0 handle=10000' 'root command=0 handle=10000 ingress=0' \
		'root command=0 handle=0 ingress=0' 'mq command=1 handle=10000'
}

# classes: traffic classes of ek0, and their queues, as the kernel has them.
classes() {
	tc -j qdisc show dev ek0 | jq -c '.[] | select(.kind == "mqprio") | [.options.tc, .options.map[:4], .options.queues]'
}

test_mqprio_maps_traffic_classes_to_queues() {
	device
	root mqprio num_tc 2 map 0 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 queues 1@0 3@1 hw 1 \
		mode channel shaper bw_rlimit min_rate 8mbit 16mbit max_rate 80mbit 160mbit
	expect 'traffic classes' '[2,[0,1,1,0],[[0,0],[1,3]]]' "$(classes)"
	tc qdisc del dev ek0 root
	expect_lines mqprio \
		'mqprio mode=1 shaper=1 num_tc=2 hw=1 map=0,1,1,0... queues=1@0,3@1 rates=1000000-10000000,2000000-20000000' \
		'mqprio mode=0 shaper=0 num_tc=0 hw=0 map=0,0,0,0... queues=0@0,0@0 rates=0-0,0-0'
	# The classes end with the qdisc even if the firmware ended before.
	root mqprio num_tc 2 map 0 1 queues 1@0 1@1 hw 1
	unload ek0
	tc qdisc del dev ek0 root
	root mqprio num_tc 1 map 0 queues 4@0 hw 0
	expect 'traffic classes' '[1,[0,0,0,0],[[0,3]]]' "$(classes)"
}

# The kernel reads the statistics of a class from the queues that it is told, whether
# or not there are any.
test_mqprio_gets_no_queues_that_the_device_hasnt_got() {
	local queues
	device
	for queues in '1@0 4@1' '1@0 60000@5000' '1@0 65535@1'; do
		# shellcheck disable=SC2086 # words
		refused 2 tc qdisc add dev ek0 root handle 1: mqprio num_tc 2 map 0 1 queues $queues hw 1
		says 'exceed the 4 TX queues available'
	done
}

test_cbs_and_etf_on_a_queue() {
	device
	root mqprio num_tc 2 map 0 1 queues 1@0 3@1 hw 1
	tc qdisc replace dev ek0 parent 1:1 handle 10: cbs idleslope 98688 sendslope -901312 hicredit 153 locredit -1389 offload 1
	tc qdisc replace dev ek0 parent 1:3 handle 11: etf clockid CLOCK_TAI delta 300000 offload
	tc qdisc del dev ek0 parent 1:1
	tc qdisc del dev ek0 parent 1:3
	expect_lines 'cbs etf' 'cbs enable=1 queue=0 hicredit=153 locredit=-1389 idleslope=98688 sendslope=-901312' \
		'etf enable=1 queue=2' 'cbs enable=0 queue=0 hicredit=0 locredit=0 idleslope=0 sendslope=0' \
		'etf enable=0 queue=2'
}

test_classes_of_htb_have_queues() {
	device
	# htb takes those in use for itself; classes get the others.
	ethtool -L ek0 tx 1
	root htb default 0x10 offload
	tc class add dev ek0 parent 1: classid 1:1 htb rate 80mbit ceil 160mbit quantum 2000
	tc class add dev ek0 parent 1:1 classid 1:10 htb rate 8mbit ceil 16mbit prio 3
	tc class add dev ek0 parent 1:1 classid 1:11 htb rate 16mbit
	tc class change dev ek0 parent 1:1 classid 1:10 htb rate 24mbit prio 2
	tc class del dev ek0 classid 1:11
	tc qdisc del dev ek0 root
	expect_lines htb 'htb command=0 parent=1 class=10 rate=0 ceil=0 prio=0 quantum=0' \
		'htb command=2 parent=ffffffff class=1 rate=10000000 ceil=20000000 prio=0 quantum=2000' \
		'htb command=3 parent=1 class=10 rate=1000000 ceil=2000000 prio=3 quantum=0' \
		'htb command=2 parent=1 class=11 rate=2000000 ceil=2000000 prio=0 quantum=0' \
		'htb command=7 parent=0 class=10 rate=3000000 ceil=3000000 prio=2 quantum=0' \
		'htb command=4 parent=0 class=11 rate=0 ceil=0 prio=0 quantum=0' \
		'htb command=6 parent=0 class=10 rate=0 ceil=0 prio=0 quantum=0' \
		'htb command=4 parent=0 class=1 rate=0 ceil=0 prio=0 quantum=0' \
		'htb command=1 parent=0 class=0 rate=0 ceil=0 prio=0 quantum=0'
}

test_a_queue_that_is_not_free_is_refused_to_htb() {
	device
	root htb default 0x10 offload
	# All four are htb's own: the kernel would warn.
	refused 2 tc class add dev ek0 parent 1: classid 1:1 htb rate 80mbit
	says "ek0: firmware chose a queue that isn't free; see ethtool -L ek0 tx N"
	# The next is queue 2, then 3; there is no queue 4.
	tc qdisc del dev ek0 root
	ethtool -L ek0 tx 1
	root htb offload
	tc class add dev ek0 parent 1: classid 1:1 htb rate 80mbit
	tc class add dev ek0 parent 1: classid 1:2 htb rate 80mbit
	refused 2 tc class add dev ek0 parent 1: classid 1:3 htb rate 80mbit
}

# The kernel believes it when a class gets another qdisc, and would lock the wrong one.
test_a_class_of_htb_keeps_its_queue_whatever_firmware_says() {
	local kind
	device
	ethtool -L ek0 tx 1
	root htb offload
	tc class add dev ek0 parent 1: classid 1:1 htb rate 80mbit
	tc class add dev ek0 parent 1: classid 1:2 htb rate 80mbit
	# The firmware says queue 1 of either.
	for kind in pfifo bfifo; do
		tc qdisc replace dev ek0 parent 1:1 "$kind"
		refused 2 tc qdisc replace dev ek0 parent 1:2 "$kind"
	done
	# The class without another qdisc has the default one, which tc doesn't show.
	expect 'qdiscs' '1:1 bfifo' "$(tc -j qdisc show dev ek0 |
		jq -r '[.[] | select(.parent == ("1:1", "1:2")) | "\(.parent) \(.kind)"] | sort | join(",")')"
	tc class del dev ek0 classid 1:1
	tc qdisc del dev ek0 root
	expect_figures ek0 violations=0
}

# The kernel asks for nothing of a device without a PTP clock.
test_taprio_hands_over_its_schedule() {
	device
	said=$(ethtool -T ek0)
	# In the words of netlink, or of a kernel without CONFIG_ETHTOOL_NETLINK.
	[[ $said == *'Hardware Clock: 0'* ]] || says 'Hardware timestamp provider index: 0'
	tc qdisc add dev ek0 root handle 1: taprio num_tc 2 map 0 1 queues 1@0 1@1 base-time 1000 \
		sched-entry S 1 100000 sched-entry S 2 200000 flags 2
	tc qdisc del dev ek0 root
	expect_lines taprio \
		'taprio command=0 num_tc=2 hw=0 map=0,1,0,0... queues=1@0,1@1 base=1000 cycle=300000 ext=0 entries=2 0:1:100000 0:2:200000' \
		'taprio command=1'
	refuse_taprio() {
		tc qdisc add dev ek0 root handle 1: taprio num_tc 2 map 0 1 queues 1@0 1@1 base-time 0 \
			sched-entry S 1 100000 flags 2
	}
	unload ek0
	refused 2 refuse_taprio
	says 'ek0: no firmware attached to offload taprio'
}

test_qdiscs_are_refused_by_default() {
	local who
	ip link add ek0 numtxqueues 4 up type ekho
	for who in 'no firmware attached to' "the firmware doesn't"; do
		refused 2 root mqprio num_tc 2 map 0 1 queues 1@0 3@1 hw 1
		says "ek0: $who offload mqprio"
		refused 2 root htb offload
		says "ek0: $who offload htb"
		root mqprio num_tc 2 map 0 1 queues 1@0 3@1 hw 0
		refused 2 tc qdisc replace dev ek0 parent 1:1 cbs idleslope 1 sendslope -1 hicredit 1 locredit -1 offload 1
		refused 2 tc qdisc replace dev ek0 parent 1:1 etf clockid CLOCK_TAI delta 300000 offload
		# Others don't have to be in hardware.
		tc qdisc del dev ek0 root
		root tbf rate 8mbit burst 10000 limit 20000
		expect 'offloaded' false "$(tc -j qdisc show dev ek0 | jq '.[] | select(.root).offloaded // false')"
		tc qdisc del dev ek0 root
		is_attached ek0 || load noop ek0
	done
}

main "$@"
