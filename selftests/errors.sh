#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Errors of ekho-fw: each a sentence that names the object, a remedy, an exit
# status, and nothing left behind (which is looked at after each case).

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# programs: the ids of struct_ops programs, sorted for comm.
programs() {
	bpftool -j prog list | jq -r '.[] | select(.type == "struct_ops").id' | sort
}

# Those of others, which were there before the case.
others=$(programs)

no_programs() {
	[[ -z $(comm -13 - <(programs) <<<"$others") ]]
}

# nothing_left: no pin, no firmware.
nothing_left() {
	[[ ! -e $pins ]] || fail 'pins are left' "$(find "$pins")"
	expect 'firmware' '' "$(records firmware)"
	# The kernel frees programs a moment later.
	eventually no_programs
}

test_not_being_root() {
	refused 3 setpriv --reuid 65534 --regid 65534 --clear-groups "$EKHO_FW" load "$(object stats)" --dev lo
	says "can't load" 'CAP_BPF' 'hint: run it as root'
	nothing_left
}

# lacking CAPABILITY CMD...: CMD as root without it.
lacking() {
	setpriv --bounding-set "-$1" --inh-caps "-$1" "${@:2}"
}

# The tool without each capability in turn: what needs it says so, and the rest works.
test_each_capability_taken_away_in_turn() {
	local tool=("$EKHO_FW" --pin-root "$pins") command
	port ek0 ek1
	load stats ek0
	drop ek0 10 skip_sw

	for command in "load $(object stats) --dev ek1" "replace $(object stats) --dev ek0" 'flows' 'flows --dev ek0' \
		'show --dev ek0' 'fault set --dev ek0 --nospc-after 1' 'fault clear --dev ek0' 'device add ek2' \
		'stats set --dev ek0 --prio 10 --handle 1 --packets 1'; do
		# shellcheck disable=SC2086 # words
		refused 3 lacking net_admin "${tool[@]}" $command
		says 'CAP_NET_ADMIN' 'hint: '
	done
	fw fault set --dev ek0 --nospc-after 5 >/dev/null
	for command in 'device list' 'fault list' 'list' 'monitor --timeout 0'; do
		# shellcheck disable=SC2086 # words
		accepted lacking net_admin "${tool[@]}" $command
		says ek0
	done

	for command in "load $(object stats) --dev ek1" "replace $(object stats) --dev ek0" 'show --dev ek0' 'show' \
		'unload --dev ek0' 'stats set --cookie 1 --packets 1' 'events --dev ek0' '-n /proc/1/ns/net list'; do
		# shellcheck disable=SC2086 # words
		refused 3 lacking sys_admin "${tool[@]}" $command
		says 'CAP_SYS_ADMIN' 'hint: '
	done
	# Other namespaces aren't seen then.
	expect 'devices' 'ek0 ek1' "$(lacking sys_admin "${tool[@]}" -j device list | jq -r '[.[].dev] | sort | join(" ")')"
	expect 'flows' '10' "$(lacking sys_admin "${tool[@]}" -j flows | jq -r '.[].prio')"
	accepted lacking sys_admin "${tool[@]}" fault set --dev ek0 --nospc-after 7
	refused 3 lacking sys_admin "${tool[@]}" fault set --new-devices --point register --errno ENOMEM
	says 'new devices'
	accepted lacking sys_admin "${tool[@]}" fault clear --dev ek0

	expect 'cookies' null "$(lacking syslog "${tool[@]}" -j flows --dev ek0 | jq -r '.[].cookie')"
	accepted lacking syslog "${tool[@]}" flows --dev ek0
	says ' -  '
	refused 3 lacking syslog "${tool[@]}" stats set --dev ek0 --prio 10 --handle 1 --packets 1
	says 'finding the flow of a filter needs CAP_SYSLOG'
	accepted lacking syslog "${tool[@]}" show --dev ek0

	# CAP_SYS_ADMIN covers these two.
	for command in bpf perfmon; do
		accepted lacking "$command" "${tool[@]}" load "$(object noop)" --dev ek1
		accepted lacking "$command" "${tool[@]}" unload --dev ek1
	done
	refused 3 lacking bpf,-sys_admin "${tool[@]}" load "$(object noop)" --dev ek1
	says 'CAP_BPF' 'CAP_SYS_ADMIN'
	expect_figures ek0 firmware=stats generation=1
}

test_somebody_without_privileges_sees_this_namespace() {
	local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups "$EKHO_FW")
	port ek0
	load stats ek0
	expect 'devices' ek0 "$("${nobody[@]}" -j device list | jq -r '.[].dev')"
	expect 'firmware' stats "$("${nobody[@]}" -j list | jq -r '.[].firmware')"
	expect 'what is attached' 'attached stats' "$("${nobody[@]}" -j monitor --timeout 0 | jq -r 'select(.event == "attached") | "\(.event) \(.firmware)"')"
	refused 3 "${nobody[@]}" flows
	says 'listing flows needs CAP_NET_ADMIN' 'hint: '
	refused 3 "${nobody[@]}" fault clear --dev ek0
	says 'clearing faults needs CAP_NET_ADMIN' 'hint: '
}

# A user namespace's root has all capabilities in it, and none that counts here.
test_the_root_of_a_container_sees_and_rules_its_own() {
	port ek0
	said=$(unshare -Urn sh -c "ip link add ek7 up type ekho && $EKHO_FW -j device list && $EKHO_FW -j flows &&
		$EKHO_FW fault set --dev ek7 --nospc-after 3 && $EKHO_FW -j fault list" 2>&1) || fail 'in a container' "$said"
	expect 'devices' ek7 "$(sed -n 1p <<<"$said" | jq -r '.[].dev')"
	expect 'flows' '[]' "$(sed -n 2p <<<"$said")"
	expect 'faults' 'ek7 3' "$(sed -n 4p <<<"$said" | jq -r '.[] | "\(.dev) \(.nospc_after)"')"
	refused 3 unshare -Urn sh -c "ip link add ek7 up type ekho && $EKHO_FW fault set --dev ek7 --point stats --stall-us 5"
	says 'setting this fault needs CAP_NET_ADMIN'
}

test_faults_that_make_no_sense() {
	port ek0
	refused 6 fw fault set --dev nodev0 --nospc-after 1
	says 'there is no device `nodev0`' 'hint: '
	refused 6 fw fault set --dev ek0 --point replaced --errno EIO
	says 'the module has no fault point `replaced`' 'hint: use one of: ' 'replace' 'withdraw'
	refused 6 fw fault set --dev ek0 --point replace --errno EAGAIN
	says 'the module refuses to set a fault of device `ek0`' 'not an errno that can be injected' 'hint: '
	refused 6 fw fault set --dev ek0 --point detach --errno EIO
	says 'no result'
	refused 6 fw fault set --dev ek0 --point bind --stall-us 5
	says 'only ops can be stalled'
	refused 6 fw fault set --dev ek0 --point register --errno EIO
	says 'for devices to come only'
	refused 6 fw fault set --dev ek0 --point stats --delay-us 100001
	refused 2 fw fault set --dev ek0 --point replace --errno ENOSUCH
	says 'not the name or number of an error'
	refused 2 fw fault set --dev ek0 --point replace
	refused 2 fw fault set --dev ek0 --errno EIO
	refused 2 fw fault set --dev ek0 --nospc-after 1 --stats drop
	refused 2 fw fault set --point bind --errno EIO
	expect 'faults' '[]' "$(fw -j fault list --dev ek0)"
}

test_a_module_that_is_not_there() {
	borrow_module
	rmmod ekho
	for command in list flows 'device list' monitor 'fault list' 'unload --dev lo' 'show --dev lo'; do
		# shellcheck disable=SC2086 # words
		refused 4 fw $command
		says "the module ekho isn't loaded" 'hint: load it'
	done
	load_module
}

test_a_monitor_ends_with_the_module() {
	borrow_module
	local status=0
	"$EKHO_FW" monitor >"$EKHO_TMP/monitor" 2>&1 &
	# All namespaces are told of in the initial one.
	listens() {
		nsenter --net=/proc/1/ns/net grep -q "^[0-9a-f]* 16 *$1 " /proc/net/netlink
	}
	eventually listens $!
	eventually rmmod ekho
	wait $! || status=$?
	expect 'status' 4 "$status"
	said=$(<"$EKHO_TMP/monitor")
	says "the module ekho isn't loaded"
	load_module
}

test_bpffs_not_mounted() {
	refused 4 unshare --mount sh -c "umount /sys/fs/bpf && exec $EKHO_FW load $(object stats) --dev lo"
	says 'no bpffs is mounted at /sys/fs/bpf/ekho' 'hint: mount it: mount -t bpf bpf /sys/fs/bpf'
	refused 4 "$EKHO_FW" --pin-root /tmp/pins load "$(object stats)" --dev lo
	says 'no bpffs is mounted at /tmp/pins'
	nothing_left
}

# What is pinned there goes with the last process of the namespace, as of `ip netns exec`.
test_a_bpffs_that_goes_with_its_mount_namespace() {
	local ns=ekho-selftest-$$ load
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip -n "$ns" link add ek0 up type ekho
	load="$EKHO_FW load $(object stats) --dev"
	refused 4 ip netns exec "$ns" sh -c "$load ek0"
	says 'no bpffs is mounted at ' "hint: run \`ekho-fw -n $ns ...\` in place of \`ip netns exec\`"
	refused 4 ip netns exec "$ns" sh -c "mount -t bpf bpf /sys/fs/bpf && $load ek0"
	says 'exists in this mount namespace only' "hint: run \`ekho-fw -n $ns ...\`"
	refused 4 unshare --mount sh -c "mount -t bpf bpf /sys/fs/bpf && $load lo"
	says 'exists in this mount namespace only' "hint: run it where the system's bpffs is"
	expect 'firmware' '[]' "$(fw -j --netns "$ns" list)"
	nothing_left
	# The system's bpffs stays, wherever else it is mounted.
	accepted unshare --mount sh -c "mount --bind /sys/fs/bpf /mnt && $EKHO_FW -n $ns --pin-root /mnt/${pins##*/} load $(object stats) --dev ek0"
	expect 'firmware' stats "$(fw -j --netns "$ns" list | jq -r '.[].firmware')"
	accepted fw --netns "$ns" unload --dev ek0
}

test_a_file_that_is_missing_or_no_firmware() {
	refused 5 fw load /nowhere.bpf.o --dev lo
	says '/nowhere.bpf.o' 'ENOENT'
	refused 5 fw load "$here/Makefile" --dev lo
	says "$here/Makefile isn't an ELF object" 'hint: compile with clang'
	refused 5 fw load "$here/bpf/build/raw" --dev lo
	says 'is an object for x86-64, not for BPF'
	refused 5 load broken-no_ops lo
	says 'broken-no_ops.bpf.o holds no firmware' 'hint: put SEC(".struct_ops.link")'
	nothing_left
}

test_firmware_that_breaks_the_contract() {
	refused 5 load broken-abi_newer lo
	says 'was built for ABI 99, and the loaded module speaks ABI 3 at most' 'hint: load a newer module'
	refused 5 load broken-abi_zero lo
	says '`.abi_version` is 0' 'hint: '
	refused 5 load broken-no_destroy lo
	says 'lacks the mandatory op `destroy`' 'hint: set .destroy'
	refused 5 load broken-name_blank lo
	says "\`no blanks\` isn't a name for firmware" 'hint: '
	refused 5 load broken-no_link lo
	says 'section `.struct_ops`' 'hint: use SEC(".struct_ops.link")'
	refused 5 load broken-sleepable lo
	says '`broken_replace`' 'is sleepable' 'hint: '
	refused 5 load broken-proprietary lo
	says 'is licensed as `Proprietary`' 'hint: '
	refused 5 load broken-two lo
	says 'holds several firmwares: broken_fw and second_fw' 'hint: choose one with --ops'
	nothing_left
}

test_the_verifier_says_no_in_few_lines() {
	refused 5 load broken-null lo
	says "rejects program \`broken_replace\` of $(object broken-null)" "invalid mem access 'map_value_or_null'" 'hint: '
	refused 5 load broken-long_log lo
	says "invalid mem access 'map_value_or_null'"
	mapfile -t lines <<<"$said"
	((${#lines[@]} < 15)) || fail "${#lines[@]} lines" "$said"
	refused 5 load broken-wrong_op lo
	says 'broken_replace'
	refused 5 load broken-kfunc lo
	says '`bpf_flow_offload_made_up`' 'hint: '
	refused 5 load broken-layout lo
	says 'was built for other kernel types' 'made_up' 'hint: '
	nothing_left
}

test_no_such_device() {
	refused 6 load stats nodev0
	says 'there is no device `nodev0`' 'hint: list them: ip link'
	refused 6 fw unload --dev nodev0
	says 'nodev0'
	refused 6 fw unload --dev lo
	says 'device `lo` has no firmware attached' 'hint: '
	nothing_left
}

test_a_device_with_an_offload_of_its_own() {
	[[ ! -d /sys/module/mac80211_hwsim ]] || skip 'mac80211_hwsim is in use'
	modprobe mac80211_hwsim radios=1 || skip 'no mac80211_hwsim in this kernel'
	defer modprobe -r mac80211_hwsim
	# Its devices are in the first namespace.
	local dev
	dev=$(nsenter -n -t 1 sh -c 'for d in /sys/class/ieee80211/*/device/net/wlan*; do echo "${d##*/}"; done' | sort | tail -1)
	refused 6 nsenter -n -t 1 "$EKHO_FW" --pin-root "$pins" load "$(object stats)" --dev "${dev:-wlan0}"
	says "device \`${dev:-wlan0}\` can't take firmware: its driver has an offload of its own" 'hint: '
	nothing_left
}

test_firmware_attached_already() {
	load stats lo
	refused 6 load noop lo
	says "device \`lo\` has firmware already: \`stats\`, link $(get firmware lo link)" 'hint: replace it'
	expect_figures lo firmware=stats generation=1
}

test_maps_that_take_no_statistics() {
	port ek0
	load noop ek0
	drop ek0 10 skip_sw
	refused 7 feed ek0 10 1 1
	says 'firmware `noop` of `ek0` has no map `flow_stats`' 'hint: '
	unload ek0
	load broken-shape ek0
	refused 7 feed ek0 10 1 1
	says 'map `flow_stats` of firmware `broken` on `ek0`' 'value 16 bytes' 'hint: '
}

test_unknown_cookies_and_filters() {
	port ek0
	load stats ek0
	refused 7 fw stats set --cookie 0x1234 --packets 1
	says 'no attached firmware has a flow with cookie 0x1234' 'hint: see the flows'
	refused 7 feed ek0 10 1 1
	says 'there is no filter' 'hint: '
	drop ek0 10 skip_hw
	refused 7 feed ek0 10 1 1
	says "isn't offloaded to \`ek0\`"
}

test_malformed_lines_of_a_feed_are_counted_and_passed_over() {
	port ek0
	load stats ek0
	drop ek0 10 skip_sw
	drop ek0 11 skip_sw
	refused 7 fw stats feed - <<-END
		{"dev":"ek0","prio":10,"handle":1,"packets":5,"bytes":500}
		not json
		{"cookie":"0x1234","packets":1}
		{"dev":"ek0","prio":10,"handle":1,"packts":9}
		{"dev":"ek0","prio":11,"handle":1,"packets":6,"bytes":600}
	END
	says 'standard input, line 2: malformed' 'line 3: no attached firmware has' 'line 4: malformed' '`packts`' \
		'5 lines: 2 applied, 2 malformed, 1 about unknown flows, 0 failed'
	expect_filters 'dev ek0 ingress' '10/1 in_hw=1 hw=5/500 *' '11/1 in_hw=1 hw=6/600 *'
}

test_a_pin_path_that_is_occupied() {
	mkdir -p "$pins/lo/other"
	refused 6 load stats lo
	says "pin path $pins/lo/other is occupied by a directory" 'hint: '
	expect 'firmware' '' "$(records firmware)"
	rmdir "$pins/lo/other" "$pins/lo" "$pins"
	nothing_left
}

test_firmware_whose_attach_returns_nonsense() {
	local name
	for name in positive0 nonsense0; do
		port "$name"
		refused 6 load faulty "$name"
		says "$name" 'EINVAL' 'hint: '
	done
	nothing_left
}

test_programs_of_others_are_not_taken_for_what_is_left() {
	local out=$EKHO_TMP/raw.$$
	sleep 60 | unshare --net "$here/bpf/build/raw" "$(object broken-none)" 1 >"$out" &
	eventually grep -qx 'load 0' "$out"
	eventually grep -q '^attach' "$out"
	others=$(programs)
	[[ -n $others ]] || fail 'no programs of others' "$(<"$out")"
	refused 5 load broken-null lo
	nothing_left
}

test_errors_are_json_too() {
	refused 6 fw -j load "$(object stats)" --dev nodev0
	said=$(fw -j load "$(object stats)" --dev nodev0 2>/dev/null | jq -r '.error | "\(.id) \(has("message")) \(has("details")) \(has("remedy"))"') || :
	expect 'error' 'no-device true true true' "$said"
}

main "$@"
