#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Open vSwitch with `hw-offload`: what it says of its flows when their devices have firmware.
#
#	 vh --- vp ==> ek0 ---[ br0 ]--- ek1
#
# A filter hands ek0 what vp receives (==>). Each case has an Open vSwitch of its own, whose
# files are in /run.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

schema=/usr/share/openvswitch/vswitch.ovsschema

# end_daemon NAME ARGS...: by its control socket.
end_daemon() {
	local pid
	pid=$(<"$OVS_RUNDIR/$1.pid") || return
	ovs-appctl -t "$1" exit "${@:2}"
	wait "$pid"
}

# switch: Open vSwitch with a bridge br0 of ek0 (port 1) and ek1 (port 2), and a source of
# packets to ek0, see `send`.
switch() {
	type -P ovs-vswitchd >/dev/null || skip 'needs Open vSwitch'
	modprobe -a openvswitch cls_flower act_mirred || skip 'this kernel has no Open vSwitch'
	export OVS_RUNDIR=/run/ekho-selftest-ovs-$$
	export OVS_LOGDIR=$OVS_RUNDIR OVS_DBDIR=$OVS_RUNDIR OVS_SYSCONFDIR=$OVS_RUNDIR
	mkdir "$OVS_RUNDIR"
	defer rm -rf "$OVS_RUNDIR"

	port ek0 ek1
	wire vh vp
	ip link set vp up
	tc qdisc add dev vp clsact
	tc filter add dev vp ingress matchall action mirred ingress redirect dev ek0

	ovsdb-tool create "$OVS_RUNDIR/conf.db" "$schema"
	ovsdb-server "$OVS_RUNDIR/conf.db" --remote="punix:$OVS_RUNDIR/db.sock" --pidfile -vconsole:warn &
	defer end_daemon ovsdb-server
	patience=30 eventually test -S "$OVS_RUNDIR/db.sock"
	# A flow stays however long a slow machine has no packet for it.
	ovs-vsctl --no-wait -- init -- set Open_vSwitch . other_config:hw-offload=true other_config:max-idle=600000
	ovs-vswitchd --pidfile -vconsole:warn &
	# The datapath in the kernel goes with the bridge.
	defer end_daemon ovs-vswitchd --cleanup
	ovs-vsctl --timeout=60 add-br br0 -- set-fail-mode br0 secure -- \
		add-port br0 ek0 -- set Interface ek0 ofport_request=1 -- \
		add-port br0 ek1 -- set Interface ek1 ofport_request=2
}

# flow: what Open vSwitch says of the datapath's flow for IPv4 from ek0.
flow() {
	ovs-appctl dpctl/dump-flows -m | grep -F 'in_port(ek0)' | grep -F 'eth_type(0x0800)'
}

# does TEXT...: a packet is sent, and what Open vSwitch says of its flow has each TEXT, or
# doesn't have it, for a TEXT that begins with "!".
does() {
	local text
	send 1
	said=$(flow) || return
	for text; do
		if [[ $text == !* ]]; then
			[[ $said != *"${text#!}"* ]] || return
		else
			[[ $said == *"$text"* ]] || return
		fi
	done
}

# eventually_does TEXT...
eventually_does() {
	wait_begin
	until does "$@"; do
		wait_more 0.2 || fail 'flow of IPv4 from ek0' "expected: $*" "seen:     ${said:-none}" \
			"$(ovs-appctl dpctl/dump-flows -m)" "$(records refusals dev=ek0)"
	done
}

# forward [ACTIONS,]: IPv4 goes from ek0 to ek1.
forward() {
	ovs-ofctl -O OpenFlow13 add-flow br0 "in_port=1,ip,actions=${1:-}output:2"
}

# packets N: Open vSwitch has counted so many at least, in the datapath and for the rule.
packets() {
	local rule
	said=$(flow) && [[ $said =~ packets:([0-9]+) ]] && ((BASH_REMATCH[1] >= $1)) || return
	rule=$(ovs-ofctl dump-flows br0 ip)
	[[ $rule =~ n_packets=([0-9]+) ]] && ((BASH_REMATCH[1] >= $1))
}

test_a_flow_is_offloaded_and_gets_the_counters_of_the_device() {
	local cookie
	switch
	load stats ek0
	forward
	eventually_does dp:tc offloaded:yes actions:ek1
	said=$(ovs-appctl dpctl/dump-flows -m type=offloaded)
	says 'in_port(ek0)'
	cookie=$(field cookie "$(records flows dev=ek0 protocol=0x0800)")
	! packets 100000 || fail 'counted already' "$said"
	fw stats set --dev ek0 --cookie "$cookie" --packets 100000 --bytes 6400000 >/dev/null
	eventually packets 100000
	expect_figures ek0 violations=0
}

# says_actions TEXT: a flow that the device has been given has these.
says_actions() {
	said=$(records flows dev=ek0 protocol=0x0800)
	says "$1"
}

test_rewrites_and_vlan_tags_are_offloaded() {
	switch
	load stats ek0
	forward set_field:02:00:00:00:00:09-\>eth_dst,set_field:192.0.2.9-\>ip_dst,
	eventually_does dp:tc offloaded:yes 'set(eth(dst=02:00:00:00:00:09))' 'set(ipv4(dst=192.0.2.9))'
	says_actions 'pedit;header:2;offset:16;value:0xc0000209;mask:0x00000000,csum;flags:0x11,redirect:'
	forward push_vlan:0x8100,set_field:4103-\>vlan_vid,
	eventually_does dp:tc offloaded:yes 'push_vlan(vid=7,pcp=0)'
	says_actions 'vlan_push:7;protocol:0x8100;priority:0,redirect:'
}

test_a_flow_that_firmware_refuses_stays_in_software() {
	switch
	load stats ek0
	forward
	eventually_does dp:tc offloaded:yes
	unload ek0
	load acl ek0
	ovs-appctl revalidator/purge
	eventually_does dp:tc !offloaded
	expect 'flows' 0 "$(n_flows dev=ek0)"
	said=$(records refusals dev=ek0)
	says "the device can't match ip_flags"
}

# See docs/controllers.md and patches/0002: the kernel doesn't take "not in hardware" back.
test_a_flow_is_offloaded_to_late_firmware_after_a_purge() {
	switch
	forward
	eventually_does dp:tc !offloaded
	load stats ek0
	expect 'flows' 1 "$(n_flows dev=ek0 protocol=0x0800)"
	eventually_does dp:tc !offloaded
	ovs-appctl revalidator/purge
	eventually_does dp:tc offloaded:yes
}

# doctor: what it says of an option of controllers that is off. A guest of the lab has the
# kernel's configuration elsewhere.
doctor() {
	unshare --mount -- "$BASH" -c '
		if [[ -e ${EKHO_TREE:-}/.config ]]; then
			mount -t tmpfs boot /boot && cp "$EKHO_TREE/.config" "/boot/config-$(uname -r)"
		fi
		"$EKHO_FW" -j doctor || :'
}

test_flows_with_ct_are_offloaded_unless_doctor_says_otherwise() {
	local checks
	switch
	checks=$(doctor | jq -c '[.checks[].id]')
	[[ $checks == *'"controller-options"'* ]] || skip "the kernel's configuration isn't to be found"
	load stats ek0
	forward
	eventually_does dp:tc offloaded:yes
	ovs-ofctl -O OpenFlow13 add-flow br0 table=1,in_port=1,ip,ct_state=+trk,actions=output:2
	ovs-ofctl -O OpenFlow13 add-flow br0 "in_port=1,ip,actions=ct(table=1)"
	if [[ $checks == *'"CONFIG_NET_TC_SKB_EXT"'* ]]; then
		eventually_does 'actions:ct,recirc(' dp:ovs !offloaded
	else
		eventually_does 'actions:ct,recirc(' dp:tc offloaded:yes
	fi
}

main "$@"
