#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Open vSwitch with hw-offload, over ports with firmware.
#
#	  ekho-selftest-h
#	 +----------------+   +------------------------+
#	 | eth0 192.0.2.1 |---| p0 ==> ek0 --br0-- ek1 |	what ek1 sends is gone
#	 +----------------+   +------------------------+
#
# Ports have no data path yet: a filter hands ek0 what p0 receives (==>).

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# vswitch: Open vSwitch, in this case's namespace.
vswitch() {
	type -P ovs-vswitchd >/dev/null || skip 'needs openvswitch-switch'
	modprobe openvswitch || skip 'this kernel has no Open vSwitch'
	OVS_RUNDIR=$(mktemp -d /run/ekho-selftest-ovs-XXXXXX)
	export OVS_RUNDIR OVS_LOGDIR=$OVS_RUNDIR OVS_DBDIR=$OVS_RUNDIR
	defer rm -rf "$OVS_RUNDIR"
	ovsdb-tool create "$OVS_RUNDIR/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	# It makes files in /tmp that have no name, which not every file system can.
	unshare --mount sh -c 'mount -t tmpfs tmpfs /tmp; exec "$@"' - ovsdb-server \
		"$OVS_RUNDIR/conf.db" --remote="punix:$OVS_RUNDIR/db.sock" --no-chdir 2>"$OVS_RUNDIR/ovsdb.log" &
	eventually test -S "$OVS_RUNDIR/db.sock"
	vsctl init
	vsctl set Open_vSwitch . other_config:hw-offload=true
	ovs-vswitchd --pidfile --no-chdir --log-file="$OVS_RUNDIR/vswitchd.log" \
		"unix:$OVS_RUNDIR/db.sock" 2>/dev/null &
	defer ovs-appctl -t ovs-vswitchd exit --cleanup
	patience=30 eventually answers
	ovs-appctl vlog/set netdev_offload_tc:file:dbg
}

vsctl() {
	ovs-vsctl --timeout=30 --no-wait --db="unix:$OVS_RUNDIR/db.sock" "$@"
}

answers() {
	ovs-appctl -t ovs-vswitchd version >/dev/null 2>&1
}

# bridge: br0 with ek0 and ek1, and a host that sends to ek0.
bridge() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	ip netns add ekho-selftest-h
	defer ip netns del ekho-selftest-h
	ip link add p0 up type veth peer name eth0 netns ekho-selftest-h
	ip -n ekho-selftest-h link set eth0 up
	ip -n ekho-selftest-h addr add 192.0.2.1/24 dev eth0
	ip -n ekho-selftest-h neigh add 192.0.2.2 lladdr 02:00:00:00:00:0b dev eth0
	ovs-vsctl --timeout=60 --db="unix:$OVS_RUNDIR/db.sock" \
		add-br br0 -- add-port br0 ek0 -- add-port br0 ek1
	defer vsctl del-br br0
	tc qdisc add dev p0 clsact
	tc filter add dev p0 ingress matchall action mirred ingress redirect dev ek0
}

# rules RULE...: of br0.
rules() {
	local rule
	ovs-ofctl del-flows br0
	for rule; do
		ovs-ofctl add-flow br0 "$rule"
	done
}

# flow: what Open vSwitch says of its flow for the host's packets, which are sent until
# it has one. Its flows look at the preceding recirculation first.
flow() {
	local line
	wait_begin 20
	while :; do
		ip netns exec ekho-selftest-h bash -c 'printf x >/dev/udp/192.0.2.2/9' || :
		pause 0.5
		line=$(ovs-appctl dpctl/dump-flows -m | grep 'recirc_id(0).*in_port(ek0).*eth_type(0x0800)' | head -n 1)
		if [[ -n $line ]] || ! wait_more 0; then
			break
		fi
	done
	echo "$line"
}

flow_is() {
	said=$(flow)
	[[ $said == *"offloaded:$1"* ]]
}

# in_hw DEV: how many filters tc shows there that are in hardware.
in_hw() {
	tc -j filter show dev "$1" ingress | jq '[.[] | select((.options.in_hw_count // 0) > 0)] | length'
}

# has_option NAME: whether the kernel was built with it.
has_option() {
	local release
	release=$(uname -r)
	grep -qs "^CONFIG_$1=[ym]" "/boot/config-$release" "/lib/modules/$release/config" \
		"/lib/modules/$release/build/.config"
}

test_flows_of_open_vswitch_are_offloaded() {
	vswitch
	bridge
	load stats ek0
	load stats ek1
	rules in_port=ek0,ip,actions=output:ek1
	eventually flow_is yes
	says 'dp:tc'
	(($(n_flows dev=ek0 source=flower) >= 1)) || fail 'no flow on ek0' "$said"
	(($(in_hw ek0) >= 1)) || fail 'tc says otherwise' "$(tc filter show dev ek0 ingress)"
	unload ek0
	unload ek1
}

test_flows_with_ct_are_offloaded_if_tc_shares_recirculation_and_doctor_says_whether() {
	vswitch
	bridge
	load stats ek0
	load stats ek1
	rules 'table=0,ip,ct_state=-trk,actions=ct(table=1,zone=5)' \
		'table=1,ip,ct_state=+trk,in_port=ek0,actions=ct(commit,zone=5),output:ek1'
	said=$(flow)
	says 'ct('
	if has_option NET_TC_SKB_EXT; then
		eventually flow_is yes
		said=$(fw doctor || :)
		[[ $said != *NET_TC_SKB_EXT* ]] || fail "doctor warns of what is there" "$said"
	else
		says 'dp:ovs'
		grep -q 'recirc_id sharing not supported' "$OVS_RUNDIR/vswitchd.log" || fail 'another reason'
		said=$(fw doctor || :)
		says 'CONFIG_NET_TC_SKB_EXT is not set: Open vSwitch offloads no flow with ct()'
	fi
	unload ek0
	unload ek1
}

test_flows_that_were_there_before_firmware_are_listed_as_offloaded_once_added_again() {
	vswitch
	bridge
	rules in_port=ek0,ip,actions=output:ek1
	said=$(flow)
	says 'dp:tc'
	[[ $said != *offloaded* ]] || fail 'offloaded without firmware' "$said"
	expect 'filters in hardware' 0 "$(in_hw ek0)"
	load stats ek0
	load stats ek1
	# They are: but Linux doesn't take back what Open vSwitch asks for, see patches/.
	(($(in_hw ek0) >= 1)) || fail 'the filter is not in hardware' "$(tc filter show dev ek0 ingress)"
	ovs-appctl revalidator/purge
	eventually flow_is yes
	says 'dp:tc'
	unload ek0
	unload ek1
}

main "$@"
