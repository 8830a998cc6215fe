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

test_bpffs_not_mounted() {
	refused 4 unshare --mount sh -c "umount /sys/fs/bpf && exec $EKHO_FW load $(object stats) --dev lo"
	says 'no bpffs is mounted at /sys/fs/bpf/ekho' 'hint: mount it: mount -t bpf bpf /sys/fs/bpf'
	refused 4 "$EKHO_FW" --pin-root /tmp/pins load "$(object stats)" --dev lo
	says 'no bpffs is mounted at /tmp/pins'
	nothing_left
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
	says 'was built for ABI 99, and the loaded module speaks ABI 2 at most' 'hint: load a newer module'
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
