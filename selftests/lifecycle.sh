#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Devices, namespaces, links and the module are removed, in any order.
#
#	 ekho-selftest-N (a namespace)
#	 +----------+
#	 | ek0      |
#	 | firmware |
#	 +----------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

gone() { [[ -z $(records devices)$(records firmware)$(records flows) ]]; }

# link_map PIN: the map of a pinned link, 0 once it is detached. bpftool shows it,
# and fails after that, as it doesn't know the type.
link_map() {
	{ bpftool -j link show pinned "$1" || :; } | jq -r .map_id
}

# without_module: removes the module until the case ends.
without_module() {
	borrow_module
	rmmod ekho
}

test_a_deleted_device_detaches_its_firmware() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	trace_on
	ip link del ek0
	expect 'records' '' "$(records firmware)$(records flows)$(records devices)"
	expect_trace 'destroy * result=0 *' 'detach dev=ek0 *'
	detached() { [[ $(link_map "$pins/ek0/link") == 0 ]]; }
	eventually detached
	expect 'list' '[]' "$(fw -j --netns /proc/self/ns/net list)"
	# What it left on bpffs is no obstacle.
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	expect_in_hw 'dev ek0 ingress' 1
}

test_the_owner_of_a_link_is_told_that_the_device_went() {
	port ek0
	local out=$EKHO_TMP/raw.$$
	sleep 60 | "$here/bpf/build/raw" "$(object stats)" "$(get devices ek0 ifindex)" >"$out" &
	defer rm -f "$out"
	eventually is_attached ek0
	ip link del ek0
	eventually grep -q 'hangup 0' "$out"
}

# What is stopped or deleted meanwhile doesn't wait for the link that takes long.
test_links_are_detached_at_once_while_one_takes_long() {
	local dev
	for dev in ek0 ek1 ek2; do
		port "$dev"
	done
	load violation ek0
	load violation ek1
	load stats ek2
	fw fault set --dev ek0 --point end_link --delay-us 8000000 >/dev/null
	sleeps() { [[ $(records faults 'op=end_link') == *' calls=1 '* ]]; }
	detached() { [[ $(link_map "$pins/$1/link") == 0 ]]; }
	refused 2 drop ek0 101 skip_sw
	eventually sleeps
	expect 'firmware' '' "$(records firmware dev=ek0)"
	refused 2 drop ek1 101 skip_sw
	eventually detached ek1
	ip link del ek2
	eventually detached ek2
	# Not in this order because it was over.
	! detached ek0 || fail 'ek0' 'expected: detached after the others' 'seen:     detached before'
	patience=$((patience + 8)) eventually detached ek0
}

test_a_killed_owner_of_an_unpinned_link_takes_the_firmware_with_it() {
	port ek0
	sleep 60 | "$here/bpf/build/raw" "$(object stats)" "$(get devices ek0 ifindex)" >/dev/null &
	local owner=$!
	eventually is_attached ek0
	drop ek0 10
	expect_in_hw 'dev ek0 ingress' 1
	kill -KILL "$owner"
	eventually eval '! is_attached ek0'
	expect_in_hw 'dev ek0 ingress' 0
	expect 'flows' 0 "$(n_flows)"
}

test_a_deleted_veth_detaches_its_firmware() {
	wire v0 v1
	load stats v0
	drop v0 10
	# Its peer takes it along.
	ip link del v1
	eventually gone
}

test_firmware_moves_with_its_device_and_filters_do_not() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	local link
	link=$(get firmware ek0 link)
	ip link set ek0 netns "$ns"
	expect 'here' '' "$(records firmware)$(records flows)"
	netns=$(netns_id "/run/netns/$ns")
	expect_figures ek0 firmware=stats link="$link" flows=0 destroy=1 generation=1
	ip -n "$ns" link set ek0 up
	tc -n "$ns" qdisc add dev ek0 clsact
	tc -n "$ns" filter add dev ek0 ingress protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.1 action drop
	fw --netns "$ns" stats set --dev ek0 --prio 10 --handle 1 --packets 3 --bytes 300 >/dev/null
	said=$(tc -n "$ns" -s filter show dev ek0 ingress)
	says 'Sent hardware 300 bytes 3 pkt'
	fw --netns "$ns" unload --dev ek0 >/dev/null
}

# What a device has goes by the device, whatever it is called.
test_a_renamed_device_keeps_all_it_has() {
	port ek0 ek1
	tc qdisc add dev ek1 handle 1: root prio
	tc qdisc del dev ek1 clsact
	tc qdisc add dev ek1 ingress_block 22 clsact
	load stats ek0
	load stats ek1
	echo 'dev=ek0 op=replace nth=2 errno=EIO' >"$debugfs/faults"
	drop ek0 10 skip_sw
	tc filter add block 22 protocol ip prio 10 handle 1 flower skip_sw dst_ip 10.0.0.10 action drop
	local link
	link=$(get firmware ek0 link)
	ip link set ek0 name lan0
	ip link set ek1 name ek0
	expect_figures lan0 firmware=stats link="$link" flows=1 destroy=0
	expect_figures ek0 firmware=stats flows=1 destroy=0
	expect 'fault' 'lan0 op=replace calls=1 nth=2 errno=EIO' \
		"$(records faults | sed 's/.*dev=\([^ ]*\) netns=[0-9]*/\1/')"
	feed lan0 10 3 300
	expect_filters 'dev lan0 ingress' '10/1 in_hw=1 hw=3/300 *'
	refused 2 drop lan0 11 skip_sw
	says 'lan0: injected fault'
	drop lan0 11 skip_sw
	tc filter add block 22 protocol ip prio 11 handle 1 flower skip_sw dst_ip 10.0.0.11 action drop
	expect_figures ek0 flows=2
	unload lan0
	expect_in_hw 'block 22' 1 1
	unload ek0
	echo 'dev=lan0 clear' >"$debugfs/faults"
	ip link del lan0
	ip link del ek0
	expect 'records' '' "$(records firmware)$(records flows)$(records devices)$(records faults)"
}

test_a_netns_that_ends_leaves_nothing() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	ip -n "$ns" link add ek0 up type ekho
	ip -n "$ns" link add v0 type veth peer name v1
	netns=$(netns_id "/run/netns/$ns")
	local dev
	for dev in ek0 v0; do
		tc -n "$ns" qdisc add dev "$dev" clsact
		fw --netns "$ns" load "$(object stats)" --dev "$dev" >/dev/null
		tc -n "$ns" filter add dev "$dev" ingress protocol ip prio 10 flower dst_ip 10.0.0.1 action drop
	done
	expect 'flows' 2 "$(n_flows)"
	ip netns del "$ns"
	eventually gone
	detached() { [[ $(link_map "$pins/ek0/link")$(link_map "$pins/v0/link") == 00 ]]; }
	eventually detached
}

test_rmmod_while_attached_says_in_use() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	refused 1 rmmod ekho
	says 'in use'
	feed ek0 10 3 300
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=3/300 *'
}

test_rmmod_with_devices_and_filters_but_no_firmware() {
	without_module
	load_module
	port ek0
	wire v0 v1
	drop ek0 10
	drop v0 10
	load stats ek0
	load stats v0
	unload ek0
	unload v0
	eventually rmmod ekho
	expect 'ek0' '' "$(ip -j link show type ekho | jq -r '.[].ifname // empty')"
	# The veth and its filter are kept.
	expect_in_hw 'dev v0 ingress' 0
	undrop v0 10
	drop v0 11
	tc qdisc del dev v0 clsact
}

# The devices of a chain go with the module, and nftables is told of it.
test_rmmod_with_chains_of_nftables() {
	type -P nft >/dev/null || skip 'needs nft'
	without_module
	load_module
	port ek0 ek1
	nft -f - <<-END
		table netdev t {
			chain c { type filter hook ingress devices = { ek0, ek1 } priority 1; flags offload; }
			chain d { type filter hook ingress device ek0 priority 2; flags offload; }
		}
	END
	load noop ek0
	load noop ek1
	nft add rule netdev t c tcp dport 1 counter drop
	expect 'flows' 2 "$(n_flows)"
	unload ek0
	unload ek1
	eventually rmmod ekho
	said=$(nft list table netdev t)
	says 'tcp dport 1 counter'
	nft add rule netdev t c tcp dport 2 counter drop
	nft delete table netdev t
	load_module
	port ek0
	load noop ek0
	nft -f - <<-END
		table netdev t {
			chain c { type filter hook ingress device ek0 priority 1; flags offload; tcp dport 1 counter drop; }
		}
	END
	expect_figures ek0 flows=1
	nft delete table netdev t
}

test_the_module_comes_and_goes_five_times() {
	local i
	without_module
	for i in {1..5}; do
		load_module
		port ek0
		wire v0 v1
		load stats ek0
		load stats v0
		drop ek0 10 skip_sw
		drop v0 10
		expect 'flows' 2 "$(n_flows)"
		unload ek0
		unload v0
		ip link del v0
		eventually rmmod ekho
		[[ ! -e $debugfs ]] || fail 'debugfs has files of a module that is gone'
		expect 'devices' '' "$(ip -j link show type ekho | jq -r '.[].ifname // empty')"
	done
}

# allocated_from FROM TO FILE...: the allocations whose stack has bare addresses
# between these; not those of a module's start, which may have been another's.
allocated_from() {
	awk -v from="$1" -v to="$2" '
		function end() {
			if (is_ours && !is_start) print stack
			stack = ""
			is_ours = is_start = 0
		}
		/^ *[0-9]+ / { end() }
		{ stack = stack $1 " " }
		/do_one_initcall/ { is_start = 1 }
		match($0, /0xffffffff[0-9a-f]+/) {
			at = substr($0, RSTART, RLENGTH)
			if (at >= from && at < to) is_ours = 1
		}
		END { end() }' "${@:3}" | sort -u
}

# What the module allocated is known by its addresses, which are bare once it has
# gone; so are those of others that had gone before, and left their place to it.
test_rmmod_frees_all_memory() {
	local traces from to
	without_module
	# The module's own cache goes with it; the kernel warns if there are flows in it.
	traces=(/sys/kernel/debug/slab/*/alloc_traces)
	[[ -r ${traces[0]} ]] || skip 'needs a kernel with slub_debug=U'
	cat "${traces[@]}" >"$EKHO_TMP/before"
	load_module
	read -r from to < <(awk '/ [tT] .*\[ekho\]/ { print "0x" $1 }' /proc/kallsyms | sort |
		sed -n '1p; $p' | xargs)
	port ek0
	load stats ek0
	drop ek0 10
	unload ek0
	# One that is stopped leaves a record.
	load violation ek0
	refused 2 drop ek0 101 skip_sw
	eventually eval '[[ -n $(records exits) && -z $(records firmware) ]]'
	tc qdisc add dev ek0 handle 1: root prio
	# Of no device, and so freed with none.
	echo 'new op=register nth=1000000 errno=ENOMEM' >"$debugfs/faults"
	grep -q '\[ekho\]' "${traces[@]}" || fail 'no allocation of a loaded module is known'
	ip link del ek0
	eventually rmmod ekho
	expect 'what a module that is gone has allocated' '' \
		"$(comm -13 <(allocated_from "$from" "$to" "$EKHO_TMP/before") \
			<(allocated_from "$from" "$to" "${traces[@]}"))"
}

test_insmod_works_after_a_failed_insmod() {
	type -P objcopy >/dev/null || skip 'needs objcopy'
	local broken
	broken=$(mktemp)
	defer rm -f "$broken"
	objcopy -R .BTF "$EKHO_MODULE" "$broken"
	without_module
	wire v0 v1
	refused - insmod "$broken"
	load_module
	tc qdisc del dev v0 clsact
	tc qdisc add dev v0 clsact
	load stats v0
	drop v0 10
	expect_in_hw 'dev v0 ingress' 1
	unload v0
}

# The kernel's list of such qdiscs can hold devices that are gone, so the module
# doesn't look at what is on it: a qdisc counts from when it is added.
test_a_qdisc_from_before_insmod_stays_in_software_until_it_is_added_again() {
	without_module
	wire v0 v1
	drop v0 10
	load_module
	load stats v0
	drop v0 11
	expect_in_hw 'dev v0 ingress' 0 0
	tc qdisc del dev v0 clsact
	tc qdisc add dev v0 clsact
	drop v0 10
	expect_in_hw 'dev v0 ingress' 1
	feed v0 10 3 300
	expect_filters 'dev v0 ingress' '10/1 in_hw=1 hw=3/300 *'
	tc qdisc del dev v0 clsact
	eventually eval '[[ $(n_flows) == 0 ]]'
}

# A reader of debugfs keeps the module, which its file belongs to.
test_an_open_file_in_debugfs_keeps_the_module() {
	local file
	exec {file}<"$debugfs/flows"
	refused - rmmod ekho
	says 'in use'
	exec {file}<&-
}

test_without_the_module_the_tool_says_so() {
	without_module
	refused 4 load stats lo
	says "the module ekho isn't loaded" 'hint: load it: insmod'
	refused 4 fw list
	refused 4 fw doctor
	says "the module ekho isn't loaded"
	[[ ! -e $pins ]] || fail 'pins are left'
}

main "$@"
