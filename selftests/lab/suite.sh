# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Running commands that speak TAP in the test kernel. Sourced, after lib.sh.

# shellcheck source=selftests/lab/tap.sh
. "$EKHO_LAB/tap.sh"

# Each test file's name also goes into the kernel's log, so that a complaint
# there has a test to its name.
tell_kernel='while IFS= read -r line; do
	printf "%s\n" "$line"
	case $line in "# selftests: "*) echo "ekho-lab: test ${line##*: }" >/dev/kmsg ;; esac
done
exit "${PIPESTATUS[0]}"'

# guest_begin LOGS COMMAND: COMMAND begins in a guest of its own, which ends with
# this shell at the latest.
declare -A guest_pid=()
guest_begin() {
	local logs=$1 command=$2
	mkdir -p "$logs"
	rm -f "$logs/kernel.log"
	: >"$logs/guest.log"
	# What bash starts beside itself is deaf to Ctrl-C.
	setpriv --pdeathsig TERM env --default-signal=INT,QUIT \
		"$EKHO_LAB/vm" --log "$logs/kernel.log" \
		"$command 2>&1 | $tell_kernel" >"$logs/guest.log" 2>"$logs/vm.log" </dev/null &
	guest_pid[$logs]=$!
}

# guest_end LOGS [NAME]: count what that COMMAND says, under the name of its files or
# NAME, and have a kernel that complained count as a failed test.
guest_end() {
	local logs=$1 name=${2:-} pid=${guest_pid[$1]} status=0
	local had=$((passed + failed + skipped)) fails=$failed
	# Of one that is over nothing says how long its files took.
	[[ -d /proc/$pid ]] || local tap_untimed=''
	# Results are counted in this shell, so it is the reader that is substituted.
	tap_read "$name" < <(exec tail --pid="$pid" --lines=+1 --sleep-interval=0.2 -f "$logs/guest.log" 2>/dev/null)
	wait "$pid" || status=$?
	if ((status == 255 || status == 124 || passed + failed + skipped == had)); then
		begin 'the test kernel'
		if ((status == 255 || status == 124)); then
			count failed "the test kernel died, or nothing came from it any more"
			say "$(sed 's/^/         /' "$logs/vm.log")"
		else
			count failed "the test kernel ran no test"
			say "$(tail -n 15 "$logs/guest.log" | sed 's/^/         /')"
		fi
		end
	elif ((status != 0 && failed == fails)); then
		count failed "the tests in the guest ended with status $status, though none failed"
	fi

	begin "the kernel's log"
	if "$EKHO_LAB/check-kernel-log" "$logs/kernel.log" >"$logs/kernel-complaints.log" 2>&1; then
		count passed 'kernel log'
	else
		count failed "the kernel complained, see $logs/kernel.log"
		say "$(<"$logs/kernel-complaints.log")"
	fi
	end
}

# guest_tests LOGS COMMAND [NAME]: both.
guest_tests() {
	guest_begin "$1" "$2"
	guest_end "$1" "${3:-}"
}

# guests KB: how many guests to run beside each other, of which each takes this much memory:
# one for each processor, as most of a test waits for one.
guests() {
	local n free
	n=$(nproc)
	free=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
	while ((n > 4 || (n > 1 && free < n * $1))); do
		((--n))
	done
	echo "$n"
}

# shared_tests LOGS N TIMES LIST [COMMAND...]: the files of selftests/ that `make LIST` prints
# in there, in N guests, each file in one of them. COMMAND has to run the command that it is
# given, and is to do so TIMES times.
shared_tests() {
	local logs=$1 n=$2 times=$3 list=$4 i file ran
	shift 4
	rm -rf "$logs/taken" "$logs"/guest-*
	for ((i = 1; i <= n; i++)); do
		guest_begin "$logs/guest-$i" "$* selftests/lab/share ${logs@Q}/taken $list"
	done
	for ((i = 1; i <= n; i++)); do
		guest_end "$logs/guest-$i"
	done
	for file in $(make -s -C selftests "$list"); do
		ran=$(cat "$logs"/guest-*/guest.log | grep -cE "^(not )?ok [0-9]+ selftests: $file( |\$)") || :
		((ran == times)) || count failed "$file ran ${ran:-0} times, and not $times"
	done
}
