# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own net/forwarding tests of tc, unmodified, on ports of EKHO. They ask each filter
# to be executed by software (skip_hw), then by hardware (skip_sw): by the rule tables of the
# ports, with firmware `nic`. Sourced.
#
#	  device hosts                              device hosts
#	+------+              device nic0               +------+
#	|  h1  |          +-----------------+           |  h2  |
#	+--|---+          |  swp1     swp2  |           +---|--+
#	   |              +---|---------|---+               |
#	   +------------------+  cables +-------------------+
#
# All of them are in the initial network namespace, where the tests separate them by VRFs.

# shellcheck source=selftests/conformance/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# They needn't wait so long for these ports.
export NETIF_CREATE=no WAIT_TIME=1

topology() {
	ekho-fw device add nic0 --ports 2 &&
		ekho-fw device add hosts --ports 2 &&
		ip link set nic0p0 name swp1 &&
		ip link set nic0p1 name swp2 &&
		ip link set hostsp0 name h1 &&
		ip link set hostsp1 name h2 &&
		ekho-fw cable connect h1 swp1 &&
		ekho-fw cable connect swp2 h2 &&
		ekho-fw load "$EKHO_FIRMWARE/nic.bpf.o" --dev swp1 &&
		ekho-fw load "$EKHO_FIRMWARE/nic.bpf.o" --dev h1
}

# figure DEV NAME: of `ethtool -S`.
figure() {
	ethtool -S "$1" | sed -n "s/^ *$2: //p"
}

# results_of FILE: reads what the test says. A result may have a line of explanation after it.
results_of() {
	local file=$1 line test='' pass result='' said='' message
	declare -A seen=()
	while IFS= read -r line; do
		message=''
		if [[ -n $test && $line == $'\t'* ]]; then
			message=$line
		fi
		if [[ -n $test ]]; then
			judge "$file" "$pass" "$test" "$result" "$said$message"
			test='' said=''
			[[ -z $message ]] || continue
		fi
		if [[ $line =~ ^TEST:\ (.*[^\ ])\ +\[(.*)\]$ ]]; then
			test=${BASH_REMATCH[1]} result=fails
			[[ ${BASH_REMATCH[2]} != ' OK ' ]] || result=ok
			# Those that don't tell are done in each pass, too.
			case $test in
			*' (skip_hw)') pass=skip_hw ;;
			*' (skip_sw)') pass=skip_sw ;;
			*) pass=skip_hw ;;
			esac
			test=${test% (skip_?w)}
			[[ -z ${seen[$pass $test]:-} ]] || pass=skip_sw
			seen[$pass $test]=1
		else
			said+=$line$'\n'
		fi
	done
	[[ -z $test ]] || judge "$file" "$pass" "$test" "$result" "$said"
}

# forwarding_test FILE: all of it, on devices of its own. What doesn't end is ended.
forwarding_test() {
	local file=$1 dropped
	begin "$file"
	topology >"$logs/$file.topology" 2>&1 || bail "no topology: $(tail -n 1 "$logs/$file.topology")"
	results_of "$file" < <(cd "$kernel_tests/forwarding" &&
		timeout --kill-after=10 900 "./$file" h1 swp1 swp2 h2 2>&1 | tee "$logs/$file.log")
	dropped=$(figure swp1 rule_drop)
	# Not just accepted.
	judge "$file" skip_sw 'packets are dropped by the device' "$( ((dropped > 0)) && echo ok || echo fails)" \
		"swp1 rule_drop: $dropped"
	ekho-fw device del nic0 >/dev/null
	ekho-fw device del hosts >/dev/null
	finish
}
