#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# EKHO's main job, end to end, on the kernel that runs: `make demo` boots a stock
# one for it. Each step shows the command and what it said, and is checked.
#
#	ek0, an ekho device		v0 ---- v1, a veth pair
#	   | clsact ingress		 | clsact ingress
#	firmware: stats			firmware: stats

set -euo pipefail
cd "$(dirname "$0")/.."
module=rust/ekho.ko
firmware=bpf/build/stats.bpf.o
debugfs=/sys/kernel/debug/ekho
PATH=$PATH:$PWD/userspace/target/release

bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# run CMD...: show it and its output.
run() {
	printf '  %s$ %s%s\n' "$dim" "$*" "$plain"
	output=$("$@" 2>&1) || {
		printf '  %s\n' "${output//$'\n'/$'\n'  }"
		die "that failed"
	}
	[[ -z $output ]] || printf '  %s\n' "${output//$'\n'/$'\n'  }"
}

die() {
	printf '\nThe demo failed: %s\n' "$*" >&2
	exit 1
}

has() { [[ $output =~ $1 ]] || die "'$1' is not in what it said"; }

take_down() {
	ekho-fw unload --dev ek0 || true
	ekho-fw unload --dev v0 || true
	ip link del ek0 || true
	ip link del v0 || true
}
trap 'take_down >/dev/null 2>&1' EXIT

# show_job DEV FLAGS: from attach to removal, on one device.
show_job() {
	local dev=$1 flags=$2

	step "Firmware attached to $dev"
	run ekho-fw load "$firmware" --dev "$dev"
	run ekho-fw list
	has "$dev"

	step "A filter${flags:+ for hardware only} accepted: in_hw"
	run tc qdisc add dev "$dev" clsact
	# shellcheck disable=SC2086
	run tc filter add dev "$dev" ingress protocol ip pref 10 handle 1 \
		flower $flags ip_proto tcp dst_ip 192.0.2.1 dst_port 80 action drop
	run tc filter show dev "$dev" ingress
	has 'in_hw in_hw_count 1'

	step 'Counters fed by user space'
	run ekho-fw stats set --dev "$dev" --prio 10 --handle 1 --packets 1000 --bytes 64000

	step 'tc shows them as what hardware counted'
	run tc -s filter show dev "$dev" ingress
	has 'Sent hardware 64000 bytes 1000 pkt'
	run ekho-fw flows --dev "$dev"
	has ' 1000 *64000 '

	step 'Firmware replaced atomically, counters kept'
	run ekho-fw replace "$firmware" --dev "$dev"
	run ekho-fw stats add --dev "$dev" --prio 10 --handle 1 --packets 1 --bytes 64
	run tc -s filter show dev "$dev" ingress
	has 'Sent hardware 64064 bytes 1001 pkt'
	has 'in_hw in_hw_count 1'

	step 'Everything removed'
	run ekho-fw unload --dev "$dev"
	run tc filter show dev "$dev" ingress
	[[ ! $output =~ in_hw_count ]] || die "the filter still says in_hw"
	run ip link del "$dev"
	[[ -z $(cat "$debugfs/flows" "$debugfs/firmware") ]] || die 'flows or firmware are left'
}

step 'Stock kernel'
run uname -sr
step 'Module loaded'
if [[ ! -d /sys/module/ekho ]]; then
	run insmod "$module"
fi
run cat "$debugfs/version"

step 'A device of EKHO'
run ip link add ek0 type ekho
run ip link set ek0 up
show_job ek0 skip_sw

step 'The same on a veth, which has no offload of its own'
run ip link add v0 type veth peer name v1
run ip link set v0 up
show_job v0 ''

step 'Module removed'
# BPF lets go of the last map, which holds the module, a grace period later.
for ((i = 0; i < 50; i++)); do
	[[ $(cat /sys/module/ekho/refcnt) != 0 ]] || break
	sleep 0.1
done
run rmmod ekho
[[ ! -d /sys/module/ekho ]] || die 'the module is still there'
trap - EXIT
printf '\n%sThat was flow offload on a stock kernel, with no driver written.%s\n' "$bold" "$plain"
