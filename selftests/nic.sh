#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Devices with several ports, on the bus ekho, as devlink shows them.
#
#	 initial namespace                      a case's own
#	+----------------------------+         +----------+
#	| nic0p0 nic0p1 …   nic1p0 … |  move   | nic0p0   |
#	|    |      |          |     | ------> |          |
#	+----+------+----------+-----+         +----------+
#	   ekho/nic0       ekho/nic1

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

bus=/sys/bus/ekho
first=/proc/1/ns/net

# initial CMD...: in the initial network namespace.
initial() {
	nsenter --net="$first" -- "$@"
}

# tool ARGS...: ekho-fw there.
tool() {
	fw --netns "$first" "$@"
}

# nic NAME PORTS: makes a device, which goes when the case ends. What is known of ports is
# looked for in the initial namespace.
nic() {
	echo "$1 $2" >"$bus/new_device"
	defer remove "$1"
	netns=$(netns_id "$first")
}

remove() {
	[[ ! -e $bus/devices/$1 ]] || echo "$1" >"$bus/del_device"
}

# names NIC...: those of the ports in the initial namespace.
names() {
	initial ip -j link show | jq -r '[.[].ifname | select(startswith("'"$1"'p"))] | join(" ")'
}

# shown PORT KEY: a field of `ip -d -j link show`.
shown() {
	initial ip -d -j link show dev "$1" | jq -r ".[0].$2 // \"-\""
}

# netns NAME: a namespace that goes when the case ends.
netns() {
	ip netns add "$1"
	defer ip netns del "$1"
}

blue=ekho-selftest-blue-$$
red=ekho-selftest-red-$$
here_ns=/proc/$$/ns/net

# host NETNS|FILE PORT ADDRESS: moves a port there, and sets it up.
host() {
	local file=$1
	[[ $file == /* ]] || file=/run/netns/$1
	initial ip link set "$2" netns "$file"
	nsenter --net="$file" -- ip addr add "$3/24" dev "$2"
	nsenter --net="$file" -- ip link set "$2" up
}

# pings NETNS ADDRESS
pings() {
	ip netns exec "$1" ping -c 1 -W 1 "$2" >/dev/null
}

test_files_of_the_bus_make_and_remove_a_device() {
	nic nic0 3
	expect 'ports' 'nic0p0 nic0p1 nic0p2' "$(names nic0)"
	expect 'children' 'nic0p0 nic0p1 nic0p2' "$(cd "$bus/devices/nic0/net" && echo *)"
	expect 'driver' ekho "$(basename "$(readlink "$bus/devices/nic0/driver")")"
	expect 'modes' '200 200' "$(stat -c %a "$bus/new_device" "$bus/del_device" | xargs)"
	# Nobody takes the device from its driver.
	[[ ! -e $bus/drivers/ekho/unbind && ! -e $bus/drivers/ekho/bind ]] || fail 'the driver can be unbound'
	echo nic0 >"$bus/del_device"
	expect 'ports' '' "$(names nic0)"
	[[ ! -e $bus/devices/nic0 ]] || fail 'the device is still there'
}

test_a_device_is_bound_even_if_the_user_turned_probing_off() {
	echo 0 >"$bus/drivers_autoprobe"
	defer eval 'echo 1 >"$bus/drivers_autoprobe"'
	nic nic0 1
	expect 'ports' nic0p0 "$(names nic0)"
}

test_the_tool_makes_lists_and_deletes_a_device() {
	netns=$(netns_id "$first")
	defer remove nic0
	accepted tool device add nic0 --ports 2
	says 'nic0: added, with ports nic0p0 to nic0p1'
	expect 'list' '["nic0p0","ekho","nic0"]' \
		"$(tool -j device list | jq -c '.[] | [.dev, .kind, .nic]' | xargs -d '\n')"
	accepted tool device list
	says NIC
	refused 6 tool device add nic0 --ports 2
	says 'there is a device nic0 already'
	refused 6 tool device del nic0p1
	says 'port of `nic0`'
	expect 'answer' '{"dev":"nic0","ifindex":null,"ports":null}' "$(tool -j device del nic0)"
	expect 'list' '[]' "$(tool -j device list)"
	refused 6 tool device del nic0
	says 'no device `nic0`'
}

test_devices_are_of_the_initial_namespace() {
	refused 3 fw device add nic0 --ports 2
	says 'initial namespaces'
	nic nic0 1
	refused 6 fw device del nic0
	expect 'ports' nic0p0 "$(names nic0)"
	# Root of a user namespace rules none of it.
	refused - unshare -Ur "$EKHO_FW" --netns "$first" device add nic1 --ports 1
	refused - unshare -Ur sh -c "echo nic1 1 >$bus/new_device"
	expect 'devices' nic0 "$(cd "$bus/devices" && echo *)"
}

test_names_and_numbers_that_can_not_be_are_refused_in_sentences() {
	nic nic0 1
	local ports said_of
	for ports in 0 65 4294967295; do
		refused 6 tool device add nic1 --ports "$ports"
		says 'a device has 1 to 64 ports'
	done
	refused 6 tool device add nic1234567890 --ports 11
	says 'the name is too long'
	for said_of in . .. a/b 'a b' a:b a%d 'a!b' $'a\x7f'; do
		refused 6 tool device add "$said_of" --ports 1
		says "a device can't be called"
	done
	refused 6 tool device add '' --ports 1
	initial ip link add nic2p1 type dummy
	defer initial ip link del nic2p1
	refused 6 tool device add nic2 --ports 2
	says 'there is an interface nic2p1 already'
	expect 'devices' nic0 "$(cd "$bus/devices" && echo *)"
	expect 'interfaces' nic2p1 "$(names nic2)"
	# By the file the same, and a line must be whole.
	local line
	for line in nic0 '' 'nic1 0' 'nic1 65' 'nic1 x' 'nic1 1 1' 'nic0 1' 'nic2 2' 'a/b 1'; do
		refused - sh -c "echo '$line' >$bus/new_device"
	done
	for line in '' nic1 'nic0 1' nic0p0; do
		refused - sh -c "echo '$line' >$bus/del_device"
	done
	expect 'devices' nic0 "$(cd "$bus/devices" && echo *)"
	# The longest that fits.
	nic nic12345678 11
	expect 'last port' nic12345678p10 "$(names nic12345678 | xargs -n 1 | tail -n 1)"
}

test_devlink_shows_the_device_and_its_ports() {
	nic nic0 2
	expect 'device' '["ekho/nic0"]' "$(initial devlink -j dev | jq -c '.dev | keys')"
	expect 'info' '{"driver":"ekho","serial_number":"nic0","versions":{"fixed":{"asic.id":"ekho"},"running":{"fw":"'"$(<"$debugfs/version")"'"}}}' \
		"$(initial devlink -j dev info ekho/nic0 | jq -c '.info["ekho/nic0"]' |
			sed 's/"fw":"[^"]*"/"fw":"'"$(<"$debugfs/version")"'"/')"
	expect 'ports' '["eth","nic0p0","physical",0] ["eth","nic0p1","physical",1]' \
		"$(initial devlink -j port | jq -c '.port[] | [.type, .netdev, .flavour, .port]' | xargs -d '\n')"
	expect 'driver information' 'ekho nic0' \
		"$(initial ethtool -i nic0p1 | sed -n 's/^driver: //p; s/^bus-info: //p' | xargs)"
}

test_ports_of_a_device_have_one_switch_and_names_of_their_own() {
	nic nic0 2
	nic nic1 1
	expect 'names' 'p0 p1 p0' \
		"$(shown nic0p0 phys_port_name) $(shown nic0p1 phys_port_name) $(shown nic1p0 phys_port_name)"
	local a b c
	a=$(shown nic0p0 phys_switch_id) b=$(shown nic0p1 phys_switch_id) c=$(shown nic1p0 phys_switch_id)
	expect 'switch of the second port' "$a" "$b"
	[[ $a != "$c" && $a =~ ^[0-9a-f]{16}$ ]] || fail 'switches' "$a and $c"
	expect 'parents' 'nic0 ekho' "$(shown nic0p1 parentdev) $(shown nic0p1 parentbus)"
	expect 'index of a port' 1 "$(initial devlink -j port show nic0p1 | jq '.port[].port')"
}

test_a_port_has_a_carrier_while_it_is_cabled() {
	nic nic0 2
	initial ip link set nic0p0 up
	initial ip link set nic0p1 up
	expect 'carrier' 0 "$(initial cat "$bus/devices/nic0/net/nic0p0/carrier")"
	tool cable connect nic0p0 nic0p1 >/dev/null
	expect 'carriers' '1 1' "$(cat "$bus"/devices/nic0/net/nic0p?/carrier | xargs)"
	tool cable disconnect nic0p1 >/dev/null
	expect 'carriers' '0 0' "$(cat "$bus"/devices/nic0/net/nic0p?/carrier | xargs)"
}

test_two_devices_ping_each_other_over_a_cable() {
	netns "$blue"
	netns "$red"
	nic nic0 2
	nic nic1 2
	tool cable connect nic0p1 nic1p0 >/dev/null
	host "$blue" nic0p1 10.9.0.1
	host "$red" nic1p0 10.9.0.2
	eventually pings "$blue" 10.9.0.2
	# Moved, renamed, and still cabled.
	ip -n "$red" link set nic1p0 netns "$$"
	ip link set nic1p0 name lan0
	ip addr add 10.9.0.2/24 dev lan0
	ip link set lan0 up
	eventually pings "$blue" 10.9.0.2
	remove nic1
	expect 'carrier' NO-CARRIER "$(ip -n "$blue" -j link show dev nic0p1 | jq -r '.[0].flags[] | select(. == "NO-CARRIER")')"
	expect 'cables' '[]' "$(tool -j cable list)"
}

test_ip_link_does_not_delete_a_port() {
	nic nic0 2
	refused 2 initial ip link del nic0p0
	says 'not supported'
	expect 'ports' 'nic0p0 nic0p1' "$(names nic0)"
}

test_a_port_comes_back_when_its_namespace_ends() {
	ip netns add "$blue"
	nic nic0 2
	initial ip link set nic0p1 netns "$blue"
	ip -n "$blue" link set nic0p1 up
	expect 'port of devlink' '["eth",null]' \
		"$(initial devlink -j port show ekho/nic0/1 | jq -c '.port[] | [.type, .netdev]')"
	ip netns del "$blue"
	back() { [[ $(names nic0) == *nic0p1* ]]; }
	eventually back
	expect 'port of devlink' nic0p1 "$(initial devlink -j port show ekho/nic0/1 | jq -r '.port[].netdev')"
	initial ip link set nic0p0 up
	initial ip link set nic0p1 up
	tool cable connect nic0p0 nic0p1 >/dev/null
	expect 'carrier' 1 "$(cat "$bus/devices/nic0/net/nic0p1/carrier")"
	remove nic0
	expect 'ports' '' "$(names nic0)"
}

test_a_port_takes_firmware_and_filters_and_both_go_with_the_device() {
	nic nic0 2
	initial tc qdisc add dev nic0p1 clsact
	tool load "$(object stats)" --dev nic0p1 >/dev/null
	initial tc filter add dev nic0p1 ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.1 action drop
	expect_figures nic0p0 firmware=stats flows=1 destroy=0
	refused - initial tc filter add dev nic0p0 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop
	trace_on
	remove nic0
	expect_trace 'destroy * result=0 *' 'detach dev=nic0p1 *'
	expect 'records' '' "$(records firmware)$(records flows)$(records devices)"
}

test_a_device_goes_while_its_ports_are_in_use() {
	netns "$blue"
	nic nic0 4
	nic nic1 4
	local n
	for n in 0 1 2 3; do
		tool cable connect "nic0p$n" "nic1p$n" --delay 1ms >/dev/null
	done
	for n in 0 1; do
		initial ip link set "nic0p$n" up
		initial ip link set "nic1p$n" up
	done
	initial ip link set nic0p1 down
	initial ip link set nic0p1 name lan0 up
	host "$blue" nic0p2 10.9.0.1
	host "$here_ns" nic1p2 10.9.0.2
	pings "$blue" 10.9.0.2
	# Frames are under way when the devices go.
	ip netns exec "$blue" ping -f -q -w 30 10.9.0.2 >/dev/null 2>&1 &
	ping -f -q -w 30 10.9.0.1 >/dev/null 2>&1 &
	tool load "$(object stats)" --dev nic0p3 >/dev/null
	initial tc qdisc add dev nic0p3 clsact
	initial tc filter add dev nic0p3 ingress protocol ip prio 10 flower skip_sw dst_ip 10.0.0.1 action drop
	pause 0.5
	remove nic0
	expect 'left here' '' "$(initial ip -j link show | jq -r '.[].ifname | select(. == "lan0" or startswith("nic0"))')"
	expect 'left there' lo "$(ip -n "$blue" -j link show | jq -r '.[].ifname')"
	remove nic1
	expect 'devices' '' "$(cd "$bus/devices" && ls)"
}

test_the_module_goes_with_the_devices_that_there_are() {
	borrow_module
	netns "$blue"
	nic nic0 4
	nic nic1 2
	tool cable connect nic0p0 nic1p0 >/dev/null
	tool cable connect nic0p2 nic0p3 --delay 10ms >/dev/null
	host "$blue" nic0p0 10.9.0.1
	host "$here_ns" nic1p0 10.9.0.2
	initial ip link set nic0p1 name lan0
	nic nic2 1
	initial devlink dev reload ekho/nic2 netns "$blue"
	eventually pings "$blue" 10.9.0.2
	ping -f -q -w 30 10.9.0.1 >/dev/null 2>&1 &
	pause 0.3
	rmmod ekho
	[[ ! -e $bus ]] || fail 'the bus is still there'
	expect 'left there' lo "$(ip -n "$blue" -j link show | jq -r '.[].ifname')"
	expect 'devlink' '{}' "$(initial devlink -j dev | jq -c .dev)"
	load_module
	nic nic0 1
	expect 'ports' nic0p0 "$(names nic0)"
}

test_a_reload_makes_the_ports_anew_in_another_namespace() {
	ip netns add "$blue"
	nic nic0 2
	nic nic1 1
	initial ip link set nic0p1 name lan0
	initial devlink dev reload ekho/nic0
	expect 'ports' 'nic0p0 nic0p1' "$(names nic0)"
	tool cable connect nic0p0 nic1p0 >/dev/null
	initial devlink dev reload ekho/nic0 netns "$blue"
	expect 'left here' '' "$(names nic0)"
	expect 'cables' '[]' "$(tool -j cable list)"
	expect 'ports there' 'lo nic0p0 nic0p1' "$(ip -n "$blue" -j link show | jq -r '.[].ifname' | xargs)"
	expect 'device there' '["ekho/nic0"]' "$(ip netns exec "$blue" devlink -j dev | jq -c '.dev | keys')"
	ip -n "$blue" link set nic0p0 up
	# It returns to the initial namespace.
	ip netns del "$blue"
	back() { [[ $(names nic0) == 'nic0p0 nic0p1' ]]; }
	eventually back
	expect 'devices' '["ekho/nic0","ekho/nic1"]' "$(initial devlink -j dev | jq -c '.dev | keys')"
	expect 'ports of devlink' 'nic0p0 nic0p1' "$(initial devlink -j port | jq -r '.port[].netdev | select(startswith("nic0"))' | xargs)"
}

test_a_device_whose_ports_find_their_names_taken_can_be_reloaded_and_removed() {
	netns "$blue"
	nic nic0 2
	ip -n "$blue" link add nic0p1 type dummy
	refused - initial devlink dev reload ekho/nic0 netns "$blue"
	says 'the name of a port is that of an interface there'
	expect 'ports there' 'lo nic0p1' "$(ip -n "$blue" -j link show | jq -r '.[].ifname' | xargs)"
	# It is there without ports now.
	ip -n "$blue" link del nic0p1
	ip netns exec "$blue" devlink dev reload ekho/nic0
	expect 'ports there' 'lo nic0p0 nic0p1' "$(ip -n "$blue" -j link show | jq -r '.[].ifname' | xargs)"
	ip netns exec "$blue" devlink dev reload ekho/nic0 netns "$$"
	expect 'ports here' 'lo nic0p0 nic0p1' "$(ip -j link show | jq -r '.[].ifname' | xargs)"
	ip link add nic0p9 type dummy
	remove nic0
	expect 'ports here' 'lo nic0p9' "$(ip -j link show | jq -r '.[].ifname' | xargs)"
}

test_a_device_whose_namespace_ends_may_find_the_names_of_its_ports_taken() {
	ip netns add "$blue"
	nic nic0 2
	initial devlink dev reload ekho/nic0 netns "$blue"
	initial ip link add nic0p0 type dummy
	defer initial ip link del nic0p0
	ip netns del "$blue"
	back() { [[ $(initial devlink -j dev | jq -c .dev) == '{"ekho/nic0":'* ]]; }
	eventually back
	expect 'interfaces' nic0p0 "$(names nic0)"
	expect 'failed' true "$(initial devlink -j -s dev show ekho/nic0 | jq '.dev[].reload_failed')"
	remove nic0
	expect 'devices' '' "$(cd "$bus/devices" && ls)"
}

test_the_family_tells_which_port_of_which_device_it_is() {
	local tree=${EKHO_TREE:-} spec=$top/docs/netlink/specs/ekho.yaml
	local cli=$tree/tools/net/ynl/pyynl/cli.py
	[[ -e $cli ]] || skip 'the kernel tree with tools/net/ynl is not here'
	ynl() {
		initial python3 "$cli" --no-schema --spec "$spec" --output-json "$@"
	}
	nic nic0 2
	expect 'ports' '["nic0p0",0] ["nic0p1",1]' \
		"$(ynl --dump port-get | jq -c '.[] | [.ifname, .index]' | xargs -d '\n')"
	expect 'devices' '["nic0p0","nic0"]' \
		"$(ynl --dump device-get | jq -c '.[] | [.ifname, .name]' | xargs -d '\n')"
	refused - ynl --do device-new --json '{"name": "nic1", "ports": 65}'
	says 'a device has 1 to 64 ports' "'bad-attr': '.ports'"
	refused - ynl --do device-new --json '{"ports": 4}'
	says 'what is the name of the device?' "'miss-type': 'name'"
	refused - ynl --do device-del --json '{"name": "nic1"}'
	says 'no device nic1' "'bad-attr': '.name'"
}

test_a_device_that_fails_halfway_leaves_nothing() {
	fw fault set --new-devices --point register --nth 3 --errno ENOMEM >/dev/null
	defer fw fault clear --new-devices
	refused 6 tool device add nic0 --ports 4
	says ENOMEM
	expect 'ports' '' "$(names nic0)"
	expect 'devlink' '{}' "$(initial devlink -j dev | jq -c .dev)"
	fw fault clear --new-devices >/dev/null
	nic nic0 4
	expect 'ports' 'nic0p0 nic0p1 nic0p2 nic0p3' "$(names nic0)"
}

test_a_device_has_64_ports() {
	nic nic0 64
	expect 'ports' 64 "$(names nic0 | wc -w)"
	expect 'last' '63 nic0p63' "$(initial devlink -j port show ekho/nic0/63 | jq -r '.port[] | "\(.port) \(.netdev)"')"
	expect 'records' 1 "$(records devices | wc -l)"
	initial devlink dev reload ekho/nic0
	expect 'ports' 64 "$(names nic0 | wc -w)"
	remove nic0
	expect 'records' '' "$(records devices)"
}

# drops FLAGS...: filter 10 of block 22.
drops() {
	initial tc filter add block 22 protocol ip prio 10 handle 1 flower "$@" dst_ip 10.0.0.10 action drop
}

in_hw() {
	initial tc -j filter show block 22 | jq '[.[].options.in_hw_count // empty] | add // 0'
}

# share_block PORT...: these have block 22 at their ingress.
share_block() {
	local port
	for port; do
		initial tc qdisc add dev "$port" ingress_block 22 clsact
	done
}

test_firmware_is_on_the_device_whichever_port_it_is_named_by() {
	local dev
	nic nic0 3
	accepted tool load "$(object stats)" --dev nic0
	for dev in nic0 nic0p0 nic0p2; do
		expect "firmware by $dev" '["stats"]' "$(tool -j show --dev "$dev" | jq -c '[.[].firmware]')"
		refused 6 tool load "$(object stats)" --dev "$dev"
	done
	accepted tool replace "$(object stats)" --dev nic0p1
	expect_figures nic0p0 firmware=stats generation=2
	accepted tool unload --dev nic0p2
	expect 'firmware' '' "$(records firmware)"
	accepted tool load "$(object stats)" --dev nic0p2
	accepted tool unload --dev nic0
	expect 'firmware' '' "$(records firmware)"
	refused 6 tool show --dev nic1
}

test_a_block_of_two_ports_is_offloaded_once() {
	nic nic0 3
	share_block nic0p0 nic0p1
	tool load "$(object stats)" --dev nic0 >/dev/null
	drops skip_sw
	expect 'devices that have the filter' 1 "$(in_hw)"
	expect_figures nic0p0 flows=1 replace=1 destroy=0
	# The block, and the one that each port has for egress.
	expect 'bindings' 3 "$(get devices nic0p0 bindings)"
	tool stats set --dev nic0p1 --block 22 --prio 10 --handle 1 --packets 3 --bytes 300 >/dev/null
	expect 'packets' 3 "$(initial tc -s -j filter show block 22 | jq '[.[].options.actions[]?.stats.hw_packets] | add')"
	# A port that joins brings no flow, and one that leaves takes none away.
	share_block nic0p2
	initial tc qdisc del dev nic0p0 clsact
	expect 'devices that have the filter' 1 "$(in_hw)"
	expect_figures nic0p0 flows=1 replace=1 destroy=0
	initial tc qdisc del dev nic0p1 clsact
	expect_figures nic0p0 flows=1 replace=1 destroy=0
	# Both directions of a port are places, too.
	initial tc qdisc del dev nic0p2 clsact
	expect_figures nic0p0 flows=0 replace=1 destroy=1
	expect 'bindings' 0 "$(get devices nic0p0 bindings)"
}

test_filters_of_two_devices_are_counted_by_device() {
	nic nic0 2
	nic nic1 2
	share_block nic0p0 nic0p1 nic1p0 nic1p1
	tool load "$(object stats)" --dev nic0 >/dev/null
	drops
	expect 'devices that have the filter' 1 "$(in_hw)"
	# Late firmware gets each filter once.
	tool load "$(object stats)" --dev nic1p1 >/dev/null
	expect 'devices that have the filter' 2 "$(in_hw)"
	expect_figures nic1p0 flows=1 replace=1
	tool unload --dev nic0p1 >/dev/null
	expect 'devices that have the filter' 1 "$(in_hw)"
	remove nic1
	expect 'devices that have the filter' 0 "$(in_hw)"
	expect 'bindings' 3 "$(get devices nic0p0 bindings)"
}

test_a_chain_of_two_ports_is_offloaded_once_and_follows_those_that_are_left() {
	type -P nft >/dev/null || skip 'needs nft'
	nic nic0 2
	tool load "$(object stats)" --dev nic0 >/dev/null
	initial nft -f - <<-END
		table netdev ekho-nic {
			chain in {
				type filter hook ingress devices = { nic0p0, nic0p1 } priority 1; flags offload;
				ip daddr 10.0.0.10 drop
			}
		}
	END
	defer initial nft delete table netdev ekho-nic
	expect_figures nic0p0 flows=1 replace=1 destroy=0
	expect 'bindings' 1 "$(get devices nic0p0 bindings)"
	# nftables forgets a port that is renamed, without a word.
	initial ip link set nic0p1 name nic0x1
	expect_figures nic0p0 flows=1 replace=1 destroy=0
	initial ip link set nic0p0 name nic0x0
	expect_figures nic0x0 flows=0
	expect 'bindings' 0 "$(get devices nic0x0 bindings)"
}

# nftables binds a port that comes before anybody else knows it.
test_a_flowtable_that_waits_for_ports_has_them_again_after_a_reload() {
	local n
	type -P nft >/dev/null || skip 'needs nft'
	modprobe -a nf_flow_table_inet nft_flow_offload || skip 'this kernel has no flowtables'
	nic nic0 2
	initial nft -f - <<-END
		table inet ekho-nic {
			flowtable f { hook ingress priority 0; devices = { nic0p0, nic0p1 }; flags offload; }
		}
	END
	defer initial nft delete table inet ekho-nic
	for n in 1 2 3; do
		expect 'bindings' 1 "$(get devices nic0p0 bindings)"
		initial devlink dev reload ekho/nic0
	done
	remove nic0
	expect 'ports' '' "$(names nic0)"
	nic nic0 2
	expect 'bindings' 1 "$(get devices nic0p0 bindings)"
	# The second port is bound, and then isn't registered.
	remove nic0
	fw fault set --new-devices --point register --nth 2 --errno ENOMEM >/dev/null
	defer fw fault clear --new-devices
	refused 6 tool device add nic0 --ports 2
	expect 'ports' '' "$(names nic0)"
}

test_a_port_that_was_not_bound_takes_nothing_from_others() {
	nic nic0 2
	tool load "$(object stats)" --dev nic0 >/dev/null
	tool fault set --dev nic0 --point bind --nth 1 --errno EOPNOTSUPP >/dev/null
	share_block nic0p0 nic0p1
	drops
	expect 'devices that have the filter' 1 "$(in_hw)"
	initial tc qdisc del dev nic0p0 clsact
	expect 'devices that have the filter' 1 "$(in_hw)"
	expect_figures nic0p0 flows=1 replace=1 destroy=0
	# No port of the block is without offload any more.
	initial tc filter del block 22 prio 10
	drops skip_sw
	expect 'devices that have the filter' 1 "$(in_hw)"
}

test_hw_tc_offload_is_of_a_port_and_a_block_needs_that_of_all() {
	nic nic0 3
	tool load "$(object stats)" --dev nic0 >/dev/null
	share_block nic0p0 nic0p1
	initial ethtool -K nic0p1 hw-tc-offload off
	refused 2 drops skip_sw
	says 'nic0p1: hw-tc-offload is off'
	initial ethtool -K nic0p1 hw-tc-offload on
	drops skip_sw
	initial ethtool -K nic0p2 hw-tc-offload off
	refused - initial ethtool -K nic0p1 hw-tc-offload off
	# What was refused stays requested.
	initial ethtool -K nic0p1 hw-tc-offload on
	initial tc qdisc del dev nic0p1 clsact
	initial ethtool -K nic0p1 hw-tc-offload off
	expect_figures nic0p0 flows=1 destroy=0
}

test_shared_actions_stay_with_the_ports_that_stay() {
	netns "$blue"
	nic nic0 2
	initial tc actions add action drop index 77
	defer initial tc actions del action gact index 77
	tool load "$(object stats)" --dev nic0p1 >/dev/null
	expect_figures nic0p0 flows=1 destroy=0
	initial ip link set nic0p1 netns "$blue"
	expect_figures nic0p0 flows=1
	ip netns exec "$blue" tc actions add action drop index 78
	expect_figures nic0p0 flows=1
	tool unload --dev nic0 >/dev/null
}

test_a_device_is_seen_where_all_its_ports_are() {
	netns "$blue"
	nic nic0 2
	tool load "$(object stats)" --dev nic0 >/dev/null
	initial ip link set nic0p1 netns "$blue"
	expect 'devices there' '[]' "$(fw -n "$blue" -j device list)"
	refused 6 fw -n "$blue" show --dev nic0p1
	refused 6 fw -n "$blue" fault set --dev nic0p1 --point replace --errno EIO
	expect 'firmware here' stats "$(tool -j show --dev nic0 | jq -r '.[].firmware')"
	initial ip link set nic0p0 netns "$blue"
	expect 'devices there' '["nic0p0","nic0"]' "$(fw -n "$blue" -j device list | jq -c '.[] | [.dev, .nic]')"
	expect 'firmware there' stats "$(fw -n "$blue" -j show --dev nic0p1 | jq -r '.[].firmware')"
	accepted fw -n "$blue" unload --dev nic0
}

test_devices_come_and_go_while_others_look() {
	local n stop=$EKHO_TMP/stop.$$ pids=()
	defer rm -f "$stop"
	look() {
		until [[ -e $stop ]]; do
			"$@" >/dev/null 2>&1 || :
		done
	}
	look initial ip -d link show &
	pids+=($!)
	look initial devlink port show &
	pids+=($!)
	look initial devlink dev info &
	pids+=($!)
	for ((n = 0; n < 50; n++)); do
		echo "nic0 $((n % 4 + 1))" >"$bus/new_device"
		echo nic0 >"$bus/del_device"
	done
	: >"$stop"
	wait "${pids[@]}"
	expect 'ports' '' "$(names nic0)"
}

# far NETNS PORT ADDRESS: a device `far` of one port there, cabled to PORT, with an address.
far() {
	ip -n "$1" link add far up type ekho
	ip -n "$1" addr add "$3/24" dev far
	initial ip link set "$2" up
	tool cable connect "$2" "far@$1" >/dev/null
}

# forwarded PORT: packets that its filter sent on: by hardware, and by software.
forwarded() {
	initial tc -s -j filter show dev "$1" ingress prio 1 |
		jq -r '.[] | select(.options.handle) | .options.actions[0].stats | "\(.hw_packets) \(.sw_packets)"'
}

test_a_device_forwards_by_itself() {
	netns "$blue"
	netns "$red"
	nic nic0 2
	far "$blue" nic0p0 10.9.0.1
	far "$red" nic0p1 10.9.0.2
	tool load "$(object nic)" --dev nic0 >/dev/null
	local port other
	for port in nic0p0 nic0p1; do
		other=${port%?}$((1 - ${port: -1}))
		initial tc qdisc add dev "$port" clsact
		initial tc filter add dev "$port" ingress protocol ip pref 1 handle 1 flower skip_sw ip_proto icmp \
			action mirred egress redirect dev "$other"
		initial tc filter add dev "$port" ingress protocol arp pref 2 handle 1 matchall skip_sw \
			action mirred egress redirect dev "$other"
	done
	# No software follows there, also for filters that it would execute.
	initial tc filter add dev nic0p1 egress protocol ip pref 1 handle 1 flower ip_proto icmp action skbedit priority 1
	eventually pings "$blue" 10.9.0.2
	pings "$red" 10.9.0.1
	# Those before the carrier was there were lost behind the filter.
	egress() {
		initial tc -s -j filter show dev nic0p1 egress |
			jq -r '.[] | select(.options.handle) | .options.actions[0].stats | "\(.hw_packets) \(.sw_packets)"'
	}
	# Each packet by hardware, in and out, and none by software.
	ten_are_forwarded() {
		local before sent
		before=$(forwarded nic0p0) sent=$(egress)
		ip netns exec "$blue" ping -q -c 10 -i 0.01 10.9.0.2 >/dev/null || return 1
		seen="$(forwarded nic0p0), $(egress)"
		[[ $seen == "$((${before% *} + 10)) 0, $((${sent% *} + 10)) 0" ]]
	}
	eventually ten_are_forwarded
	# Without a carrier there. The device goes with its rules.
	unsent() {
		initial ethtool -S nic0p0 | sed -n 's/^ *rule_no_target: //p'
	}
	local before
	before=$(unsent)
	tool cable disconnect nic0p1 >/dev/null
	refused 1 ip netns exec "$blue" ping -q -c 2 -i 0.01 -W 1 10.9.0.2
	expect 'packets that could not be sent on' $((before + 2)) "$(unsent)"
}

main "$@"
