#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own net/netfilter/nft_flowtable.sh, unmodified, on ports of EKHO in place of veths
# (bin/ip), first as it is, then with `flags offload` for its flowtables (bin/nft) and firmware
# `nic` on the ports of its routers.
#
#	  ns1          nsr1                nsr2          ns2
#	+------+   +-----------+       +-----------+   +------+
#	| eth0 |---| veth0     |       |     veth1 |---| eth0 |
#	+------+   |     veth1 |-------| veth0     |   +------+
#	           +-----------+       +-----------+
#
# The rule tables of a port don't execute connections yet, and `nic` refuses each. So this shows
# that packets of the software path, tunnels and IPsec pass over these ports, and that
# a flowtable whose connections hardware refuses is one of software.

# shellcheck source=selftests/conformance/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# results_of PASS: reads what the test says. It has the same names twice: without discovery of
# the path's MTU, and with it.
results_of() {
	local pass=$1 line words test said='' explained=''
	declare -A seen=()
	while IFS= read -r line; do
		case $line in
		'PASS: '* | 'FAIL: '*)
			read -ra words <<<"${line#*: }"
			test=${words[*]}
			# A detail of a failure that comes later.
			if [[ $line == 'FAIL: file mismatch '* ]]; then
				said+=$line$'\n'
				continue
			fi
			[[ -z ${seen[$test]:-} ]] || test+=', again'
			seen[$test]=1
			# One failure may be told in two lines.
			explained=${said:-$explained}
			judge nft_flowtable.sh "$pass" "$test" "$([[ $line == PASS* ]] && echo ok || echo fails)" "$explained"
			said=''
			;;
		*) said+=$line$'\n' ;;
		esac
	done
}

# flowtable_test PASS: it is given an MTU that it has anyway, as else it does all again with
# random ones.
flowtable_test() {
	local ports calls
	export EKHO_CONFORMANCE_SHOW=$logs/nft_flowtable.sh.$1.json
	rm -f "$EKHO_CONFORMANCE_SHOW"
	results_of "$1" < <(cd "$kernel_tests/netfilter" &&
		timeout --kill-after=10 900 ./nft_flowtable.sh -o 9000 2>&1 | tee "$logs/nft_flowtable.sh.$1.log")
	ports=$(jq -s '[.[][] | select(.kind == "ekho")] | length' "$EKHO_CONFORMANCE_SHOW")
	judge nft_flowtable.sh "$1" 'its six devices are ports of EKHO' \
		"$( ((ports == 6)) && echo ok || echo fails)" "ports of EKHO: $ports"
	[[ $1 == offload ]] || return
	calls=$(jq -sc '[.[][].calls | select(.)] | [map(.replace), map(.replace_refused) | add]' "$EKHO_CONFORMANCE_SHOW")
	judge nft_flowtable.sh "$1" 'the firmware was offered connections, and refused each' \
		"$([[ $calls =~ ^\[([1-9][0-9]*),([0-9]+)\]$ && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]] && echo ok || echo fails)" \
		"offered and refused: $calls"
}

begin nft_flowtable.sh
flowtable_test software
export EKHO_CONFORMANCE_FIRMWARE=$EKHO_FIRMWARE/nic.bpf.o EKHO_CONFORMANCE_TIMEOUT=10
flowtable_test offload
finish
