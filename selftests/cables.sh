#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Frames go from port to port, and between ports and interfaces of other drivers, over cables.
#
# The topology is drawn in libcable.sh.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# shellcheck source=selftests/libcable.sh
. "${BASH_SOURCE[0]%/*}/libcable.sh"

# random: the next number of a line's generator; see rust/hardware/line.rs.
random_state=$((0x9e3779b97f4a7c15))
random() {
	((random_state ^= random_state >> 12 & 0xfffffffffffff))
	((random_state ^= random_state << 25))
	((random_state ^= random_state >> 27 & 0x1fffffffff))
	((random = random_state * 0x2545f4914f6cdd1d >> 32 & 0xffffffff)) || :
}

# chance PPM: what the line's generator says to it.
chance() {
	random
	((random * 1000000 >> 32 < $1))
}

# -------------------------------------------------------------------- cases ----

test_ip_finds_neighbours_and_pings_over_a_cable() {
	ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip link add ek0 up type ekho
	ip link add ek1 up netns "$ns" type ekho
	ip addr add 10.9.0.1/24 dev ek0
	ip addr add fd09::1/64 dev ek0 nodad
	ip -n "$ns" addr add 10.9.0.2/24 dev ek1
	ip -n "$ns" addr add fd09::2/64 dev ek1 nodad
	connect ek0 ek1
	pings
	accepted ping -q -c 3 -i 0.01 -W "$patience" fd09::2
	accepted ping -q -c 3 -i 0.01 -W "$patience" -s 20000 fd09::2
	expect 'neighbour' "$(link ek1 .address)" "$(ip -j neigh show 10.9.0.2 dev ek0 | jq -r '.[0].lladdr')"
	expect 'figures of ek1' '' "$(reasons ek1 rx)"
}

test_two_ports_of_one_namespace_are_joined() {
	netns
	ip link add ek0 up type ekho
	ip link add ek2 up type ekho
	connect ek0 ek2
	eventually is_running ek0
	listen ek2 recv ek2 88b5 "$quiet"
	"$traffic" send ek0 "${frame}616263"
	hear
	expect 'frame' "${frame}616263" "$heard"
}

# with DEV FEATURE on|off ...
with() {
	at "$1" ethtool -K "$@"
}

# csum_errors: how many packets had wrong checksums there.
csum_errors() {
	# The last but one line of each pair are names.
	there cat /proc/net/snmp | awk '/^(Tcp|Udp|Ip|Icmp):/ {
		if (!($1 in names)) { names[$1] = $0; next }
		split(names[$1], name)
		for (i = 2; i <= NF; i++) if (name[i] ~ /InCsumErrors|InHdrErrors/) sum += $i
	} END { print sum + 0 }'
}

# content_arrives: by TCP, by UDP, and by UDP that the stack or the port cuts into datagrams.
content_arrives() {
	transfer 1000000
	datagrams 50 1400
	expect 'datagrams' '50 0' "$received $late"
	datagrams 10 14000 1 1400
	expect 'datagrams of segments' '100 0' "$received $late"
	expect 'checksum errors' 0 "$(csum_errors)"
}

test_content_arrives_with_and_without_offloads() {
	local packets
	cabled
	packets=$(count ek0 tx.packets)
	transfer 1000000
	# Fewer packets than segments: they cross as they are.
	((($(count ek0 tx.packets) - packets) < 600)) || fail 'TCP was segmented' "$(count ek0 tx.packets)"
	content_arrives
	with ek0 tso off gso off tx-udp-segmentation off
	packets=$(count ek1 rx.packets)
	transfer 1000000
	((($(count ek1 rx.packets) - packets) > 690)) || fail 'TCP was not segmented' "$(count ek1 rx.packets)"
	content_arrives
	with ek1 gro off
	content_arrives
	with ek0 tx off sg off
	content_arrives
	with ek1 rx off
	content_arrives
	with ek0 tx on sg on tso on gso on
	content_arrives
	with ek1 gro on
	content_arrives
	expect 'figures of ek1' '' "$(reasons ek1 rx)"
}

test_checksums_are_made_before_a_frame_leaves_for_another_driver() {
	netns
	ip link add ek0 address 02:00:00:00:00:01 type ekho
	ip link add v0 type veth peer name ek1 address 02:00:00:00:00:02 netns "$ns"
	addresses ek0 ek1
	ip link set v0 up
	connect ek0 v0
	eventually is_running ek0
	with ek1 rx off gro off
	content_arrives
	with v0 tx off tso off gso off
	content_arrives
	with ek0 tx off
	content_arrives
}

test_vlans_stand_on_both_ends() {
	local on
	modprobe 8021q
	cabled
	vlans() {
		ip link add link "$1" name "${1}a" type vlan id 5
		ip link add link "$1" name "${1}b" type vlan id 6 protocol 802.1ad
		ip link add link "${1}b" name "${1}c" type vlan id 7
		ip addr add "10.9.5.$2/24" dev "${1}a"
		ip addr add "10.9.7.$2/24" dev "${1}c"
		ip link set "${1}a" up
		ip link set "${1}b" up
		ip link set "${1}c" up
	}
	export -f vlans
	vlans ek0 1
	there bash -c 'vlans ek1 2'
	eventually is_running ek0c
	eventually is_running ek1c
	for on in on off; do
		with ek0 tx-vlan-offload "$on" tx-vlan-stag-hw-insert "$on"
		with ek1 rx-vlan-offload "$on" rx-vlan-stag-hw-parse "$on"
		accepted ping -q -c 2 -i 0.01 -W "$patience" 10.9.5.2
		accepted ping -q -c 2 -i 0.01 -W "$patience" 10.9.7.2
		# As long as it can be.
		accepted ping -q -c 2 -i 0.01 -W "$patience" -M "do" -s 1472 10.9.5.2
	done
	# Other tags don't arrive.
	there ip link set ek1a down
	refused 1 ping -q -c 2 -i 0.01 -W 1 10.9.5.2
	expect 'figures of ek1' '' "$(reasons ek1 rx)"
}

test_jumbo_frames_cross() {
	cabled
	ip link set ek0 mtu 9000
	ip -n "$ns" link set ek1 mtu 9000
	pings -M "do" -s 8972
	with ek0 tso off gso off
	transfer 300000
	ip link set ek0 mtu 65535
	ip -n "$ns" link set ek1 mtu 65535
	pings -M "do" -s 65507
}

test_what_is_longer_than_the_receivers_mtu_is_dropped_and_counted() {
	cabled
	ip link set ek0 mtu 9000
	listen ek1 recv ek1 88b5 "$quiet"
	# A VLAN tag has room beside the MTU and the header, as with the kernel's own drivers.
	"$traffic" send ek0 "$frame" 1 1514
	"$traffic" send ek0 "$frame" 1 1518
	"$traffic" send ek0 "$frame" 2 1519
	"$traffic" send ek0 "$frame" 1 9014
	hear
	expect 'lengths of frames' '1514 1518' "$(awk '{ print length($0) / 2 }' <<<"$heard" | paste -sd ' ')"
	expect 'figures of ek1' 'rx_too_long=3' "$(reasons ek1 rx)"
	expect 'counters' '5 2 3' "$(count ek0 tx.packets) $(count ek1 rx.packets) $(count ek1 rx.dropped)"
	# What a stack with TSO sends is long, and made of segments that aren't.
	ip link set ek0 mtu 1500
	transfer 300000
	expect 'figures of ek1' 'rx_too_long=3' "$(reasons ek1 rx)"
}

test_odd_frames_arrive_or_are_counted() {
	local hex
	cabled
	listen ek1 recv ek1 3 "$quiet"
	# Of all types: a header alone, a cut tag, cut tags in tags, a length instead of a type, MPLS
	# and IP without anything, an address of all zero.
	for hex in "$frame" "${frame}00" 0300000000010200000000aa8100 \
		0300000000010200000000aa810000 0300000000010200000000aa8100000188a800 \
		0300000000010200000000aa002642 0300000000010200000000aa88470000 \
		0300000000010200000000aa0800 0300000000010200000000aa080045 \
		0300000000010200000000aa86dd60 0300000000010200000000aa0806 \
		00000000000000000000000088b5 ffffffffffffffffffffffff88b5; do
		"$traffic" send ek0 "$hex"
	done
	hear
	expect 'packets sent and received' '13 13' "$(count ek0 tx.packets) $(count ek1 rx.packets)"
	# Less than a header, the kernel doesn't even give to the port.
	refused 1 "$traffic" send ek0 03
	says 'Invalid argument'
	refused 1 "$traffic" send ek0 0300000000010200000000aa88
	expect 'counters' '13 0' "$(count ek0 tx.packets) $(count ek0 tx.dropped)"
	pings
}

test_a_port_that_never_had_a_cable_has_carrier_and_sends_nowhere() {
	ports
	expect_carriers yes yes
	"$traffic" send ek0 "$frame" 3
	expect 'figures of ek0' tx_uncabled=3 "$(reasons ek0 tx)"
	expect 'counters' '3 0' "$(count ek0 tx.packets) $(count ek0 tx.dropped)"
}

test_both_ends_have_carrier_while_both_are_up() {
	netns
	ip link add ek0 address 02:00:00:00:00:01 type ekho
	ip link add ek1 netns "$ns" address 02:00:00:00:00:02 type ekho
	connect ek0 ek1
	expect_carriers no no
	ip link set ek0 up
	expect_carriers no no
	expect 'carrier of the cable' false "$(cable ek0 .carrier)"
	ip -n "$ns" link set ek1 up
	expect_carriers yes yes
	expect 'carrier of the cable' true "$(cable ek0 .carrier)"
	addresses ek0 ek1
	eventually can_ping
	ip -n "$ns" link set ek1 down
	expect_carriers no no
	ip -n "$ns" link set ek1 up
	expect_carriers yes yes
	ip link set ek0 carrier off
	expect_carriers no no
	ip -n "$ns" link set ek1 carrier off
	ip link set ek0 carrier on
	expect_carriers no no
	ip -n "$ns" link set ek1 carrier on
	expect_carriers yes yes
	neighbours ek0 ek1
	eventually can_ping
}

test_a_pulled_cable_takes_the_carrier_and_a_new_one_brings_it() {
	cabled
	pings
	disconnect ek1
	expect_carriers no no
	expect 'cables' '' "$(cable ek0)"
	# Nor after it was down.
	ip link set ek0 down
	ip link set ek0 up
	expect_carriers no no
	connect ek1 ek0
	expect_carriers yes yes
	neighbours ek0 ek1
	eventually can_ping
}

test_a_cable_stays_when_its_ends_move_and_are_renamed() {
	local other=ekho-selftest-$$-b
	cabled
	ip netns add "$other"
	defer ip netns del "$other"
	ip -n "$ns" link set ek1 netns "$other" name ek7
	ip link set ek0 down
	ip link set ek0 name ek8
	expect 'cable' "ek7 $(netns_id "/run/netns/$other")" "$(cable ek8 '|"\(.peer_dev) \(.peer_netns)"')"
	# What moves is down.
	ip link set ek8 up
	expect 'carrier' no "$(carriers ek8)"
	ip -n "$other" addr add 10.9.0.2/24 dev ek7
	ip -n "$other" link set ek7 up
	ip -n "$other" neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 dev ek7 nud permanent
	ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev ek8 nud permanent
	eventually can_ping
	# And back, to where the first end is.
	ip -n "$other" link set ek7 netns $$
	ip link set ek7 up
	expect 'carriers' 'yes yes' "$(carriers ek7 ek8)"
	expect 'cable' ek8 "$(cable ek7 .peer_dev)"
}

test_a_cable_ends_with_either_of_its_ports() {
	ports
	connect ek0 ek1
	ip -n "$ns" link del ek1
	expect 'carrier' no "$(carriers ek0)"
	expect 'cables' '' "$(cable ek0)"
	ip link add ek1 netns "$ns" up type ekho
	connect ek0 ek1
	expect_carriers yes yes
	ip link del ek0
	expect 'carrier' no "$(carriers ek1)"
	expect 'cables' '' "$(cable ek1)"
}

test_a_cable_ends_with_the_interface_of_another_driver() {
	netns
	ip link add ek0 up type ekho
	veth v0 v1
	connect ek0 v0
	expect 'carrier' yes "$(carriers ek0)"
	ip link del v1
	expect 'carrier' no "$(carriers ek0)"
	expect 'cables' '' "$(cable ek0)"
}

test_a_cable_ends_with_a_namespace() {
	local other=ekho-selftest-$$-b
	netns
	ip netns add "$other"
	ip link add ek0 up type ekho
	ip link add ek9 netns "$other" up type ekho
	fw cable connect ek0 "ek9@$other" >/dev/null
	expect 'carrier' yes "$(carriers ek0)"
	ip netns del "$other"
	gone() { [[ -z $(cable ek0) ]]; }
	eventually gone
	expect 'carrier' no "$(carriers ek0)"
}

test_cables_end_with_the_module_and_leave_others_interfaces() {
	borrow_module
	ports
	ip link add ek2 up type ekho
	veth v0 v1
	connect ek0 ek1
	connect ek2 v0
	expect 'promiscuity' 1 "$(link v0 .promiscuity)"
	# Some are under way.
	ip link add ek3 up type ekho
	ip link add ek4 up type ekho
	connect ek3 ek4 --delay 10s
	"$traffic" send ek3 "$frame" 100
	"$traffic" send ek0 "$frame" 100
	rmmod ekho
	expect 'promiscuity' 0 "$(link v0 .promiscuity)"
	listen v0 recv v0 88b5 "$quiet"
	"$traffic" send v1 "$frame"
	hear
	expect 'frame' "$frame" "$heard"
	load_module
}

# queues DEV tx|rx packets|bytes: the sum over its queues.
queues() {
	at "$1" ethtool -S "$1" | awk -F: "\$1 ~ /${2}_queue_[0-9]+_$3/ { sum += \$2 } END { print sum + 0 }"
}

# threaded DEV: its receive queues are polled by threads of the kernel.
threaded() {
	ip netns exec "$ns" sh -c "echo 1 >/sys/class/net/$1/threaded"
}

# flood N: twice as many datagrams, from both processors at a time.
flood() {
	"$traffic" udp-send 10.9.0.2 7 "$1" 8 4 &
	"$traffic" udp-send 10.9.0.2 7 "$1" 8 4
	wait $!
}

# settled: no frame has come since the last look.
settled() {
	local before=${seen:-}
	seen=$(count ek1 rx.packets)
	[[ $seen == "$before" ]]
}

# expect_each_frame_once: of those that ek0 has sent, at ek1.
expect_each_frame_once() {
	eventually settled
	tx=$(count ek0 tx.packets) rx=$(count ek1 rx.packets) dropped=$(count ek1 rx.dropped)
	lost=$(cable ek0 .lost)
	expect 'sent = received + dropped + lost' "$tx" "$((rx + dropped + ${lost:-0}))"
	expect 'frames of queues' "$tx $rx" "$(queues ek0 tx packets) $(queues ek1 rx packets)"
	expect 'bytes of queues' "$(count ek0 tx.bytes) $(count ek1 rx.bytes)" \
		"$(queues ek0 tx bytes) $(queues ek1 rx bytes)"
}

test_each_frame_is_counted_once_while_queues_overflow() {
	local tx rx dropped lost
	ports
	connect ek0 ek1
	# A thread gets less time than the senders.
	threaded ek1
	listen ek1 udp-listen 7 "$quiet"
	flood 5000
	hear
	expect_each_frame_once
	expect 'frames that were sent' 40000 "$tx"
	((dropped > 0)) || fail 'no queue was full' "sent $tx, received $rx"
	expect 'rx_ring_full' "$dropped" "$(figure ek1 rx_ring_full)"
	expect 'datagrams' "received $rx" "${heard% late*}"
	# None is stuck.
	pings
}

test_each_frame_is_counted_once_while_the_peer_comes_and_goes() {
	local tx rx dropped lost i
	cabled
	threaded ek1
	flood 5000 &
	for ((i = 0; i < 10; i++)); do
		ip -n "$ns" link set ek1 down
		ip -n "$ns" link set ek1 up
		pause 0.05
	done
	neighbours ek0 ek1
	wait $!
	expect_each_frame_once
	eventually can_ping
}

test_each_frame_is_counted_once_in_a_cable_that_delays_and_is_pulled() {
	local lost
	cabled --delay 10s --limit 200
	"$traffic" udp-send 10.9.0.2 7 300 8
	lost=$(cable ek0 .lost)
	expect 'lost' 100 "$lost"
	expect 'lost by the other end' 0 "$(cable ek0 .peer_lost)"
	expect 'seen from the other end' '0 100' "$(cable ek1 '|"\(.lost) \(.peer_lost)"')"
	disconnect ek0
	expect 'counters' '300 0 0' "$(count ek0 tx.packets) $(count ek1 rx.packets) $(count ek1 rx.dropped)"
	# What was under way doesn't come by a new one.
	connect ek0 ek1
	eventually is_running ek1
	eventually can_ping
}

test_without_carrier_nothing_is_sent() {
	cabled
	disconnect ek0
	"$traffic" send ek0 "$frame" 5 || :
	expect 'counters' '0 0' "$(count ek0 tx.packets) $(count ek1 rx.packets)"
	connect ek0 ek1
	eventually is_running ek0
	"$traffic" send ek0 "$frame" 5
	eventually settled
	expect 'counters' '5 5' "$(count ek0 tx.packets) $(count ek1 rx.packets)"
}

test_what_only_the_senders_host_knows_does_not_cross() {
	need_nft
	cabled
	nft -f - <<-'END'
		table ip t {
			chain out {
				type route hook output priority 0;
				meta mark set 7 meta priority set 1:2 ct mark set 5
			}
		}
		table netdev d {
			chain out {
				type filter hook egress device ek0 priority 0;
				meta mark 7 meta priority 1:2 counter
			}
		}
	END
	there nft -f - <<-'END'
		table netdev d {
			chain in {
				type filter hook ingress device ek1 priority 0;
				udp dport 7 counter comment "all"
				meta mark != 0 counter comment "mark"
				meta priority != 0 counter comment "priority"
			}
		}
		table ip t {
			chain in {
				type filter hook prerouting priority -300;
				ct mark 5 counter comment "conntrack"
				ct state established,new counter comment "state"
			}
		}
	END
	datagrams 5 8
	expect 'datagrams' 5 "$received"
	expect 'packets with mark and priority at egress' 5 \
		"$(nft -j list table netdev d | jq '[.nftables[].rule | select(.) | .expr[].counter | select(.)][0].packets')"
	expect 'packets at the receiver' '5 all,0 mark,0 priority,0 conntrack,0 state' "$(
		there nft -j list ruleset |
			jq -r '.nftables[].rule | select(.) | "\([.expr[].counter | select(.)][0].packets) \(.comment)"' |
			paste -sd ,
	)"
	said=$(there conntrack -L 2>/dev/null || :)
	[[ $said != *mark=5* ]] || fail "the receiver knows the sender's connection" "$said"
}

test_a_cable_that_loses_all_carries_nothing() {
	cabled --loss 100%
	expect_carriers yes yes
	datagrams_lost() {
		"$traffic" udp-send 10.9.0.2 7 10 8
		expect 'lost, received' '10 0' "$(cable ek0 .lost) $(count ek1 rx.packets)"
	}
	datagrams_lost
	no_pings
}

test_a_cable_loses_the_same_half_each_time() {
	local want='' lost=0 i
	for ((i = 0; i < 64; i++)); do
		if chance 500000; then
			((++lost))
		else
			want+=" $i"
		fi
	done
	((lost > 16 && lost < 48)) || fail 'what the test knows of the generator' "$lost of 64"
	cabled --loss 50%
	numbers 64
	expect 'numbers of datagrams' "${want# }" "$heard"
	expect 'lost' "$lost" "$(cable ek0 .lost)"
	expect 'lost of what the other end sent' 0 "$(cable ek1 .lost)"
	disconnect ek0
	connect ek0 ek1 --loss 50%
	eventually is_running ek0
	eventually is_running ek1
	numbers 64
	expect 'numbers of datagrams over another cable' "${want# }" "$heard"
}

test_a_cable_that_loses_one_of_a_million_loses_no_more_on_two_processors() {
	cabled --loss 0.0001%
	# Without who listens there are errors, and less is sent.
	listen ek1 udp-listen 7 "$quiet"
	flood 2000
	hear
	expect 'frames that were sent' 16000 "$(count ek0 tx.packets)"
	# Of the generator's first 60000 numbers one says so, number 3961.
	expect 'lost' 1 "$(cable ek0 .lost)"
}

# rtt: the least round-trip time in whole milliseconds.
rtt() {
	pings
	[[ $said =~ =\ ([0-9]+)[.0-9]*/ ]] || fail 'ping' "$said"
	echo "${BASH_REMATCH[1]}"
}

test_a_cable_delays_each_direction() {
	local ms
	cabled --delay 150ms
	ms=$(rtt)
	((ms >= 300)) || fail 'round-trip time' 'expected: 300 ms at least' "seen:     $ms"
	disconnect ek0
	connect ek0 ek1 --delay 150ms --jitter 50ms
	eventually is_running ek0
	ms=$(rtt)
	((ms >= 200)) || fail 'round-trip time with jitter' 'expected: 200 ms at least' "seen:     $ms"
	# Fewer than the 256 that a receive queue holds, as many may come at once.
	datagrams 200 100
	expect 'datagrams' '200 0' "$received $late"
	transfer 200000
}

test_a_cable_has_a_rate() {
	local slow
	cabled --rate 1mbit
	# 1252 bytes each with headers: 10 ms.
	datagrams 30 1210
	expect 'datagrams' '30 0' "$received $late"
	slow=$ms
	# The first may have been noticed late.
	((slow >= 200)) || fail 'time for 30 frames of 1252 bytes at 1 Mbit/s' 'expected: 290 ms, or 200 at least' "seen:     $slow ms"
	transfer 20000
	disconnect ek0
	connect ek0 ek1 --rate 20mbit
	eventually is_running ek0
	datagrams 30 1210
	expect 'datagrams' '30 0' "$received $late"
	((slow >= 2 * ms)) || fail 'ratio of times at 1 and 20 Mbit/s' "$slow ms, $ms ms"
}

test_what_is_lost_takes_no_part_of_the_rate() {
	local ms
	# A frame of 1252 bytes takes 10 ms; ten wait at most.
	cabled --rate 1mbit --limit 10
	"$traffic" udp-send 10.9.0.2 7 2000 1210
	(($(cable ek0 .lost) > 1000)) || fail 'lost' "$(cable ek0 .lost)"
	ms=$(rtt)
	((ms < 10000)) || fail 'round-trip time after an overload' "$ms ms"
}

test_the_largest_numbers_are_numbers() {
	cabled --delay 10s --jitter 10s --limit 100000 --loss 100%
	disconnect ek0
	connect ek0 ek1 --delay 10s --jitter 10s --limit 100000
	"$traffic" udp-send 10.9.0.2 7 500 8 2
	disconnect ek0
	connect ek0 ek1 --delay 10s --jitter 10s --reorder 99.9999% --rate 1bit --limit 100000
	"$traffic" udp-send 10.9.0.2 7 500 8 2
	disconnect ek0
	connect ek0 ek1 --delay 10s --rate 1bit --limit 100000
	"$traffic" udp-send 10.9.0.2 7 300 60000 2
	disconnect ek0
	connect ek0 ek1
	eventually is_running ek0
	eventually can_ping
}

test_a_cable_holds_no_more_than_its_limit() {
	cabled --delay 2s --limit 5
	numbers 20
	expect 'numbers of datagrams' '0 1 2 3 4' "$heard"
	expect 'lost' 15 "$(cable ek0 .lost)"
}

test_frames_that_a_cable_does_not_delay_overtake_others() {
	local first='' then='' i
	for ((i = 0; i < 40; i++)); do
		if chance 500000; then
			first+=" $i"
		else
			then+=" $i"
		fi
	done
	cabled --delay 1s --reorder 50%
	quiet=2000 numbers 40
	expect 'order of datagrams' "${first# }$then" "$heard"
	expect 'lost' 0 "$(cable ek0 .lost)"
}

test_each_connection_keeps_its_order_over_several_queues() {
	local used
	ports numtxqueues 4 numrxqueues 4
	connect ek0 ek1
	eventually is_running ek0
	# One flow takes one queue.
	datagrams 100 100
	expect 'datagrams' '100 0' "$received $late"
	expect 'queues of one flow' '1 1' "$(nonzero_queues ek0 tx) $(nonzero_queues ek1 rx)"
	datagrams 500 100 32
	expect 'datagrams' '16000 0' "$received $late"
	used=$(nonzero_queues ek1 rx)
	((used > 1)) || fail 'receive queues in use' "$used"
	expect 'queues in use' "$used" "$(nonzero_queues ek0 tx)"
	datagrams 100 14000 8 1400
	expect 'datagrams of segments' '8000 0' "$received $late"
	transfer 1000000
	threaded ek1
	datagrams 500 100 16
	expect 'datagrams that came, by threads, later than the next ones' 0 "$late"
}

# nonzero_queues DEV tx|rx: how many have had frames.
nonzero_queues() {
	at "$1" ethtool -S "$1" | grep -cE "${2}_queue_[0-9]+_packets: [1-9]"
}

test_ends_may_have_different_numbers_of_queues() {
	netns
	ip link add ek0 address 02:00:00:00:00:01 numtxqueues 4 numrxqueues 1 type ekho
	ip link add ek1 netns "$ns" address 02:00:00:00:00:02 numtxqueues 1 numrxqueues 3 type ekho
	addresses ek0 ek1
	connect ek0 ek1
	eventually is_running ek0
	datagrams 100 100 32
	expect 'datagrams' '3200 0' "$received $late"
	expect 'receive queues in use' 3 "$(nonzero_queues ek1 rx)"
	pings
}

test_receive_queues_are_polled_by_threads() {
	cabled
	threaded ek1
	compgen -G '/proc/[0-9]*' >/dev/null
	grep -qlx 'napi/ek1-[0-9]*' /proc/[0-9]*/comm || fail 'there is no thread napi/ek1-N'
	pings
	transfer 1000000
	datagrams 100 1000
	expect 'datagrams' '100 0' "$received $late"
}

# ------------------------------------------ interfaces of other drivers ----

# behind: ek0's cable leads to v0, whose other end is in $ns.
behind() {
	netns
	ip link add ek0 address 02:00:00:00:00:01 type ekho
	ip link add v0 type veth peer name ek1v address 02:00:00:00:00:02 netns "$ns"
	addresses ek0 ek1v
	ip link set v0 up
	connect ek0 v0 "$@"
	eventually is_running ek0
}

test_a_veth_is_the_other_end() {
	neighbour() { ip -n "$ns" -j neigh show 10.9.0.3 | jq -r '.[0].lladdr'; }
	behind
	pings
	expect 'promiscuity' 1 "$(link v0 .promiscuity)"
	expect 'cable' 'v0 true' "$(cable ek0 '|"\(.peer_dev) \(.carrier)"')"
	expect 'cable' 'ek0 true' "$(cable v0 '|"\(.peer_dev) \(.carrier)"')"
	# Its own stack gets nothing: who asks for its address hears of the port, in whose namespace it is.
	ip addr add 10.9.0.3/24 dev v0
	there ping -q -c 1 -W "$patience" 10.9.0.3 >/dev/null
	expect 'neighbour' 02:00:00:00:00:01 "$(neighbour)"
	# A frame for some other address comes, too.
	listen ek0 recv ek0 88b5 "$quiet"
	there "$traffic" send ek1v 02000000007702000000000288b5
	hear
	expect 'frame' 02000000007702000000000288b5 "$heard"
	disconnect v0
	expect 'carrier' no "$(carriers ek0)"
	expect 'promiscuity' 0 "$(link v0 .promiscuity)"
	ip addr flush dev ek0
	ip -n "$ns" neigh flush dev ek1v
	there ping -q -c 1 -W "$patience" 10.9.0.3 >/dev/null
	expect 'neighbour' "$(link v0 .address)" "$(neighbour)"
}

test_a_port_has_the_carrier_of_another_drivers_interface() {
	behind
	is() { [[ $(carriers ek0) == "$1" ]]; }
	expect 'carrier' yes "$(carriers ek0)"
	ip -n "$ns" link set ek1v down
	eventually is no
	ip -n "$ns" link set ek1v up
	eventually is yes
	ip link set v0 down
	eventually is no
	ip link set v0 up
	eventually is yes
	neighbours ek0 ek1v
	eventually can_ping
}

test_a_cable_to_another_drivers_interface_can_delay_and_lose() {
	local ms
	behind --delay 100ms
	ms=$(rtt)
	((ms >= 200)) || fail 'round-trip time' 'expected: 200 ms at least' "seen:     $ms"
	disconnect ek0
	connect v0 ek0 --loss 100%
	eventually is_running ek0
	no_pings
}

test_a_tap_is_the_other_end() {
	local line
	modprobe tun
	netns
	ip link add ek0 up type ekho
	ip tuntap add t0 mode tap
	defer ip link del t0
	ip link set t0 up
	connect ek0 t0
	# Nobody holds it open.
	expect 'carrier' no "$(carriers ek0)"
	coproc TAP { exec "$traffic" tap t0; }
	exec {from}<&"${TAP[0]}" {to}>&"${TAP[1]}"
	IFS= read -rt 60 line <&"$from"
	eventually is_running ek0
	"$traffic" send ek0 "${frame}6162"
	IFS= read -rt 60 line <&"$from" || fail 'tap' 'no frame'
	expect 'frame from the port' "${frame}6162" "$line"
	listen ek0 recv ek0 88b5 "$quiet"
	echo "${frame}7778" >&"$to"
	hear
	expect 'frame from the tap' "${frame}7778" "$heard"
	exec {to}>&-
	kill "$TAP_PID"
	is_not_running() { ! is_running ek0; }
	eventually is_not_running
}

test_a_cable_ends_when_another_drivers_interface_moves_to_another_namespace() {
	behind
	ip link set v0 netns "$ns" name ek1w
	expect 'cables' ' ' "$(cable ek0) $(cable ek1w)"
	expect 'carrier' no "$(carriers ek0)"
	expect 'promiscuity' 0 "$(link ek1w .promiscuity)"
}

test_frames_longer_than_the_mtu_of_another_drivers_interface_are_lost() {
	behind
	ip link set ek0 mtu 9000
	listen ek1v recv ek1v 88b5 "$quiet"
	"$traffic" send ek0 "$frame" 1 1514
	"$traffic" send ek0 "$frame" 1 1518
	"$traffic" send ek0 "$frame" 1 1519
	"$traffic" send ek0 "$frame" 1 9014
	hear
	expect 'lengths of frames' '1514 1518' "$(awk '{ print length($0) / 2 }' <<<"$heard" | paste -sd ' ')"
	expect 'lost' 2 "$(cable ek0 .lost)"
}

test_content_arrives_from_another_driver_and_is_sent_again() {
	behind
	# The other way: what a veth hands over are clones of what its socket still holds. Some get
	# lost behind the port, and are sent again.
	need_nft
	listen ek0 tcp-listen 7 "$EKHO_TMP/received"
	head -c 2000000 /dev/urandom >"$EKHO_TMP/sent"
	nft -f - <<-'END'
		table ip t {
			chain in {
				type filter hook input priority 0;
				tcp dport 7 numgen inc mod 20 == 19 drop
			}
		}
	END
	there "$traffic" tcp-send 10.9.0.1 7 <"$EKHO_TMP/sent"
	hear
	expect 'sum of what was sent' "$(sha256sum <"$EKHO_TMP/sent")" "$(sha256sum <"$EKHO_TMP/received")"
}

test_an_interface_that_stands_on_the_port_is_refused() {
	modprobe 8021q
	netns
	ip link add ek0 up type ekho
	ip link add link ek0 name ek0.5 type vlan id 5
	ip link set ek0.5 up
	refused 6 fw cable connect ek0 ek0.5
	says 'ek0.5 is on top of the other end; use another interface'
	expect 'cables' '' "$(cable ek0)"
	# They can come to stand on each other later.
	veth v0 v1
	ip link add ek2 up type ekho
	ip link add br0 up type bridge
	defer ip link del br0
	connect ek0 v0
	connect ek2 v1
	ip link set ek0 master br0
	ip link set ek2 master br0
	"$traffic" send br0 "$frame" 3
	pause 0.5
	disconnect ek2
	expect 'carriers' 'no yes' "$(carriers ek2 ek0)"
}

# ------------------------------------------------------ ports in use by others ----

test_a_bridge_of_two_ports_forwards() {
	modprobe bridge
	netns
	ip link add ek0 address 02:00:00:00:00:01 type ekho
	ip link add ek2 up type ekho
	ip link add ek4 up type ekho
	ip link add ek1 netns "$ns" address 02:00:00:00:00:02 type ekho
	ip link add br0 up type bridge
	defer ip link del br0
	ip link set ek2 master br0
	ip link set ek4 master br0
	addresses ek0 ek1
	connect ek0 ek2
	connect ek4 ek1
	eventually is_running ek0
	eventually can_ping
	expect 'learned' ek4 "$(bridge -j fdb show br br0 | jq -r '.[] | select(.mac == "02:00:00:00:00:02") | .ifname')"
	content_arrives
	disconnect ek4
	no_pings
}

# bonds MODE...: of two ports each, here and there, with two cables.
bonds() {
	modprobe bonding max_bonds=0
	netns
	ip link add ek0 type ekho
	ip link add ek2 type ekho
	ip link add ek1 netns "$ns" type ekho
	ip link add ek1b netns "$ns" type ekho
	ip link add bo address 02:00:00:00:00:01 type bond miimon 20 "$@"
	defer ip link del bo
	ip -n "$ns" link add ek1bo address 02:00:00:00:00:02 type bond miimon 20 "$@"
	ip link set ek0 master bo
	ip link set ek2 master bo
	ip -n "$ns" link set ek1 master ek1bo
	ip -n "$ns" link set ek1b master ek1bo
	connect ek0 ek1
	connect ek2 ek1b
	addresses bo ek1bo
}

test_an_active_backup_bond_goes_on_by_the_other_cable() {
	active() { [[ $(link bo .linkinfo.info_data.active_slave) == "$1" ]]; }
	bonds mode active-backup
	eventually active ek0
	eventually can_ping
	disconnect ek1
	eventually active ek2
	eventually can_ping
	connect ek1 ek0
	disconnect ek2
	eventually active ek0
	eventually can_ping
}

test_a_bond_by_lacp_goes_on_by_the_other_cable() {
	# ad DEV: ports of its aggregate, and who is at the other end.
	ad() { link "$1" '.linkinfo.info_data.ad_info | "\(.num_ports) \(.partner_mac)"'; }
	ad_is() { [[ $(ad bo) == "$1 02:00:00:00:00:02" ]]; }
	bonds mode 802.3ad lacp_rate fast
	patience=60 eventually ad_is 2
	eventually can_ping
	disconnect ek1
	patience=60 eventually ad_is 1
	eventually can_ping
	connect ek0 ek1
	patience=60 eventually ad_is 2
}

test_software_sees_packets_at_ingress_and_egress() {
	cabled
	tc qdisc add dev ek0 clsact
	there tc qdisc add dev ek1 clsact
	tc filter add dev ek0 egress protocol ip prio 1 handle 1 flower ip_proto udp dst_port 7 action pass
	there tc filter add dev ek1 ingress protocol ip prio 1 handle 1 flower ip_proto udp dst_port 7 action pass
	datagrams 5 8
	expect_filters 'dev ek0 egress' '1/1 in_hw=0 hw=0/0 all=5/* drops=0'
	expect 'packets at ingress' 5 "$(there tc -s -j filter show dev ek1 ingress |
		jq '.[] | select(.options.handle) | .options.actions[0].stats.packets')"
	# And they decide.
	there tc filter add dev ek1 ingress protocol ip prio 2 flower ip_proto icmp action drop
	no_pings
	there tc filter del dev ek1 ingress
	pings
	tc filter add dev ek0 egress protocol ip prio 2 flower ip_proto icmp action drop
	no_pings
}

test_nftables_sees_packets_at_ingress_and_egress() {
	need_nft
	cabled
	there nft -f - <<-'END'
		table netdev d {
			chain in { type filter hook ingress device ek1 priority 0; icmp type echo-request drop; }
		}
	END
	no_pings
	there nft delete table netdev d
	pings
	nft -f - <<-'END'
		table netdev d {
			chain out { type filter hook egress device ek0 priority 0; icmp type echo-request drop; }
		}
	END
	no_pings
}

test_a_port_with_firmware_passes_traffic() {
	cabled
	tc qdisc add dev ek0 clsact
	load stats ek0
	fw load "$(object stats)" --dev ek1 --netns "$ns" >/dev/null || there "$EKHO_FW" --pin-root "$pins" load "$(object stats)" --dev ek1 >/dev/null
	there tc qdisc add dev ek1 clsact
	# In hardware only: see docs/ports.md, nobody executes it.
	there tc filter add dev ek1 ingress protocol ip prio 1 handle 1 flower skip_sw ip_proto icmp action drop
	pings
	transfer 300000
	there tc filter add dev ek1 ingress protocol ip prio 2 handle 1 flower ip_proto icmp action drop
	no_pings
	unload_there() { there "$EKHO_FW" --pin-root "$pins" unload --dev ek1 >/dev/null; }
	unload_there
	transfer 100000
}

# ------------------------------------------------------------- refusals -----

test_what_can_not_be_joined_is_refused_in_a_sentence() {
	modprobe bridge
	netns
	ip link add ek0 type ekho
	ip link add ek2 type ekho
	ip link add ek4 type ekho
	ip link add v0 type veth peer name v1
	refused 6 fw cable connect ek0 ek0
	says 'both ends are ek0; name another interface'
	refused 6 fw cable connect v0 v1
	says 'neither v0 nor v1 is of kind ekho: ekho-fw device add'
	refused 6 fw cable connect ek0 lo
	says "lo isn't an Ethernet interface that can be bridged"
	refused 6 fw cable connect ek0 ek9
	says 'ek9'
	refused 6 fw cable connect ek0 "ek0@$ns"
	says 'ek0' "$ns"
	refused 6 fw cable disconnect ek0
	says 'ek0' 'no cable'
	connect ek0 ek2
	refused 6 fw cable connect ek4 ek0
	says 'ek0 has a cable; first: ekho-fw cable disconnect ek0'
	refused 6 fw cable connect ek0 ek2
	says 'ek0 has a cable'
	refused 6 fw cable connect ek2 ek4
	says 'ek2 has a cable; first: ekho-fw cable disconnect ek2'
	# They say the truth.
	disconnect ek0
	connect ek4 ek0
	disconnect ek4
	ip link add br0 type bridge
	defer ip link del br0
	ip link set v0 master br0
	refused 6 fw cable connect ek0 v0
	says 'v0 is enslaved; first: ip link set v0 nomaster'
	expect 'promiscuity' 1 "$(link v0 .promiscuity)"
	expect 'cables' '' "$(cable ek0)"
	# A port that didn't get its cable is as it was.
	ip link add ek6 up type ekho
	refused 6 fw cable connect ek6 v0
	expect 'carrier' yes "$(carriers ek6)"
	ip link set v0 nomaster
	ip link add vr up type vrf table 7
	defer ip link del vr
	ip link set v0 master vr
	refused 6 fw cable connect ek6 v0
	says 'v0 is enslaved'
	ip link set v0 nomaster
	connect ek0 v0
	# A cable keeps a bridge away, too.
	refused 2 ip link set v0 master br0
	refused 6 fw cable connect ek2 v0
	says 'v0 has a cable; first: ekho-fw cable disconnect v0'
}

test_a_cable_of_impossible_numbers_is_refused() {
	netns
	ip link add ek0 type ekho
	ip link add ek2 type ekho
	refused 6 fw cable connect ek0 ek2 --delay 1ms --jitter 2ms
	says 'the jitter exceeds the delay; raise the delay, or lower the jitter'
	refused 6 fw cable connect ek0 ek2 --delay 11s
	says 'the longest delay is 10000000 microseconds'
	refused 6 fw cable connect ek0 ek2 --limit 100001
	says 'a cable holds 100000 frames at most'
	refused 2 fw cable connect ek0 ek2 --loss 101%
	expect 'cables' '' "$(cable ek0)"
}

test_without_privilege_there_is_no_cable() {
	local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
	netns
	ip link add ek0 up type ekho
	ip link add ek2 up type ekho
	refused - "${nobody[@]}" "$EKHO_FW" cable connect ek0 ek2
	says 'CAP_NET_ADMIN'
	# Root of a user namespace isn't of this network namespace.
	refused - unshare --user --map-root-user "$EKHO_FW" cable connect ek0 ek2
	connect ek0 ek2
	refused - "${nobody[@]}" "$EKHO_FW" cable disconnect ek0
	refused - unshare --user --map-root-user "$EKHO_FW" cable disconnect ek0
	expect 'cable' ek2 "$(cable ek0 .peer_dev)"
	# All may look.
	accepted "${nobody[@]}" "$EKHO_FW" -j cable list
	says '"peer_dev":"ek2"'
}

test_root_of_a_user_namespace_makes_no_cable_to_others() {
	local tree=${EKHO_TREE:-} spec=$top/docs/netlink/specs/ekho.yaml index
	[[ -e $tree/tools/net/ynl/pyynl/cli.py ]] || skip 'the kernel tree with tools/net/ynl is not here'
	ip link add ek0 type ekho
	index=$(link ek0 .ifindex)
	exec 9</proc/self/ns/net
	said=$(unshare --user --map-root-user --net "$BASH" -c '
		ip link add ek0 type ekho
		ip link add ek2 type ekho
		own=$(ip -j link show ek0 | jq .[].ifindex) second=$(ip -j link show ek2 | jq .[].ifindex)
		python3 "$1" "$2" "$3" <<-END
			do cable-new {"ifindex":$own,"peer-ifindex":$4,"peer-netns-fd":9}
			do cable-new {"ifindex":$4,"netns-fd":9,"peer-ifindex":$own}
			do cable-del {"ifindex":$4,"netns-fd":9}
			do cable-new {"ifindex":$own,"peer-ifindex":$second}
			dump cable-get {}
		END
	' bash "$here/ynl.py" "$tree" "$spec" "$index")
	exec 9<&-
	expect 'answers' '"EPERM"
"EPERM"
"EPERM"
null
"ek0"' "$(jq 'if type == "array" then .[0].ifname elif . then .error else . end' <<<"$said")"
	says 'needs CAP_NET_ADMIN in the namespace that this stands for'
	expect 'cables' '' "$(cable ek0)"
}

test_names_of_other_namespaces_are_told_to_who_may_know_them() {
	local tree=${EKHO_TREE:-} spec=$top/docs/netlink/specs/ekho.yaml
	[[ -e $tree/tools/net/ynl/pyynl/cli.py ]] || skip 'the kernel tree with tools/net/ynl is not here'
	netns
	ip link add ek0 type ekho
	ip link add ek2 type ekho
	ip link add ek4 type ekho
	ip link add ek1 netns "$ns" type ekho
	connect ek1 ek0
	connect ek2 ek4 --delay 3ms --loss 1% --rate 1mbit
	said=$(
		python3 "$here/ynl.py" "$tree" "$spec" <<-END
			dump cable-get {}
			do cable-get {"ifindex":$(link ek4 .ifindex)}
		END
		nsenter --net=/proc/1/ns/net python3 "$here/ynl.py" "$tree" "$spec" <<-END
			dump cable-get {"all-netns":true}
		END
	)
	expect 'cables' '["ek0",null,"ek2","ek4"]
["ek4","ek2",3000,10000,1000000,1000]
["ek1","ek0","ek2","ek4"]' "$(jq -c '
		if type == "array" then [.[] | select(.netns == '"$netns"' or .["peer-netns"] == '"$netns"') | .ifname, .["peer-ifname"]]
		else [.ifname, .["peer-ifname"], .["delay-us"], .loss, .rate, .limit] end' <<<"$said")"
}

# -------------------------------------------------------------- all at once ----

test_cables_come_and_go_while_traffic_runs() {
	local i j pids=()
	netns
	for ((i = 0; i < 16; i++)); do
		echo "link add e$i up type ekho"
	done | ip -b -
	# From both processors, into ports with and without a cable.
	for i in 0 1; do
		while :; do
			for ((j = i; j < 16; j += 2)); do
				"$traffic" send "e$j" "$frame" 200 || :
				# Something else has to run as well.
				pause 0.02
			done
		done 2>/dev/null &
		pids+=($!)
	done
	for ((i = 0; i < 8; i++)); do
		for ((j = 0; j < 8; j++)); do
			case $((j % 4)) in
			0) connect "e$j" "e$((8 + (i + j) % 8))" ;;
			1) connect "e$j" "e$((8 + (i + j) % 8))" --delay 1ms --jitter 1ms --reorder 10% ;;
			2) connect "e$j" "e$((8 + (i + j) % 8))" --loss 10% ;;
			3) connect "e$j" "e$((8 + (i + j) % 8))" --rate 10mbit --limit 10 ;;
			esac
		done
		for ((j = 0; j < 8; j++)); do
			disconnect "e$j"
		done
	done
	connect e0 e1
	kill "${pids[@]}"
	wait "${pids[@]}" || :
	expect 'cables' '["e0","e1"]' "$(fw -j cable list --dev e0 | jq -c '[.[0].dev, .[0].peer_dev]')"
	# None is stuck.
	listen e1 recv e1 88b5 "$quiet"
	"$traffic" send e0 "${frame}55"
	hear
	says_last=${heard##*$'\n'}
	expect 'the last frame' "${frame}55" "$says_last"
}

test_every_counter_is_documented() {
	local documented
	ports
	documented=$(sed -n 's/^| `\(\([tr]x\|rule\)_[a-z_N]*\)`.*/\1/p' "$top/docs/ports.md" | sort)
	expect 'counters in docs/ports.md' "$(ethtool -S ek0 | sed -n 's/^ *\([a-z0-9_]*\):.*/\1/p' |
		sed 's/_queue_[0-9]*_/_queue_N_/' | sort -u)" "$documented"
}

main "$@"
