# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the tests share. A test file sources this, defines its cases, and ends
# in `main "$@"`:
#
#	test_a_refused_filter_leaves_no_flow() { ... }
#
# The case's name, in words, is the behaviour that it proves. Each case is a
# process in a network namespace of its own, under `set -e`: whatever fails
# without being expected to fails the case, and what was said until then is shown
# as "# " lines. After a case the module must be as it was before: no firmware,
# no device, no flow, no pin, no namespace may be left.
#
#	./attach.sh                 all cases
#	./attach.sh a_refused       those whose names begin so
#
# Cases that are rows of a table share a process, and devices: a file that has
# some defines
#
#	rows                        prints their names, TABLE/ROW
#	table_TABLE                 runs those of a table: `row ROW [LINE...]` for each
#
# A file whose cases come from elsewhere defines `cases`, which prints their names, and
# a function test_NAME for each.
#
# Exit status: 0, 1 if a case failed, 4 if none can run here.

here=${BASH_SOURCE[0]%/*}
[[ $here == /* ]] || here=$PWD/$here
top=${here%/selftests*}

EKHO_MODULE=${EKHO_MODULE:-$top/rust/ekho.ko}
EKHO_FIRMWARE=${EKHO_FIRMWARE:-$top/bpf/build}
EKHO_FW=${EKHO_FW:-$(type -P ekho-fw || echo "$top/userspace/target/release/ekho-fw")}
# Seconds that the kernel has for what it does later; a debug kernel takes more. See
# wait_begin.
patience=${EKHO_PATIENCE:-5}

debugfs=/sys/kernel/debug/ekho
bpffs=/sys/fs/bpf
tracefs=/sys/kernel/tracing
# A file descriptor from which nothing ever comes: see pause.
exec {never}<> <(:)

# ------------------------------------------------------- what a case says ----

# fail LINE...: fails the case, with these lines as its notes.
fail() {
	local i
	printf '%s\n' "$@"
	for ((i = 0; i < ${#FUNCNAME[@]}; i++)); do
		if [[ ${FUNCNAME[i]} == test_* ]]; then
			echo "at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"
			break
		fi
	done
	exit 1
}

# row NAME [LINE...]: how a row of the table went; it failed if there is something
# to say.
row() {
	{ (($# == 1)) || printf '%s\n' "${@:2}"; } >"$EKHO_TMP/$table/$1"
}

# skip REASON: the case can't run here.
skip() {
	echo "SKIP: $1"
	exit 4
}

# expect WHAT EXPECTED SEEN
expect() {
	[[ $2 == "$3" ]] || fail "$1" "expected: ${2//$'\n'/$'\n          '}" "seen:     ${3//$'\n'/$'\n          '}"
}

# refused STATUS CMD...: CMD fails with STATUS, or with any if that is "-". What
# it said is in $said then.
refused() {
	local want=$1 status=0
	shift
	said=$("$@" 2>&1) || status=$?
	if ((status == 0)) || [[ $want != - && $want != "$status" ]]; then
		fail "$*" "expected: exit status ${want/#-/other than 0}" "seen:     $status" "$said"
	fi
}

# accepted CMD...: CMD succeeds. What it said is in $said.
accepted() {
	local status=0
	said=$("$@" 2>&1) || status=$?
	((status == 0)) || fail "$*" 'expected: exit status 0' "seen:     $status" "$said"
}

# says TEXT...: each is in $said.
says() {
	local text
	for text; do
		[[ $said == *"$text"* ]] || fail 'in what was said' "expected: $text" "seen:     $said"
	done
}

# pause SECONDS: without starting a process.
pause() {
	read -rt "$1" -u "$never" || :
}

# wait_begin [SECONDS]; then wait_more PAUSE after each look that saw nothing: whether to
# look again. It ends when the time ($patience) is over and there were ten looks for each
# second of it: on a machine that stood still, nobody looked meanwhile.
wait_begin() {
	wait_end=$((SECONDS + ${1:-$patience} + 1)) wait_looks=$((10 * ${1:-$patience}))
}

wait_more() {
	((--wait_looks > 0 || SECONDS < wait_end)) || return
	pause "$1"
}

# eventually CMD...: CMD succeeds within the time of wait_begin.
eventually() {
	wait_begin
	until "$@"; do
		wait_more 0.02 || fail "$*" "expected: to come true within $patience s"
	done
}

# defer CMD...: to be done when the case ends, the last first.
defer() {
	deferred=("$(printf '%q ' "$@")" "${deferred[@]}")
}

# ----------------------------------------------- what the module knows -------
#
# The cases read debugfs, whose format is of the same tree as they are: it takes no process,
# and an emulated machine takes long for each. genl.sh and tool.sh try what programs rely on.

# netns_id [PROCESS|FILE]: as the module's records have it.
# shellcheck disable=SC2120 # only test files pass one
netns_id() {
	stat -Lc %i "${1:-/proc/self/ns/net}"
}

# records FILE [KEY=VALUE...]: lines of a file in debugfs about this namespace (or
# the one in $netns) that have all of these fields.
records() {
	local lines line want
	mapfile -t lines <"$debugfs/$1"
	for line in "${lines[@]}"; do
		for want in "netns=$netns" "${@:2}"; do
			[[ " $line " == *" $want "* ]] || continue 2
		done
		printf '%s\n' "$line"
	done
}

# field KEY LINE
field() {
	if [[ " $2 " =~ \ $1=([^ ]*)\  ]]; then
		printf '%s\n' "${BASH_REMATCH[1]}"
	else
		echo "no $1"
	fi
}

# get FILE DEV KEY: a field of the record of a device.
get() {
	field "$3" "$(records "$1" "dev=$2")"
}

# figures DEV KEY...: "KEY=VALUE KEY=VALUE..." of its firmware.
figures() {
	local line key text=''
	line=$(records firmware "dev=$1")
	for key in "${@:2}"; do
		text+=" $key=$(field "$key" "$line")"
	done
	printf '%s\n' "${text# }"
}

# expect_figures DEV KEY=VALUE...
expect_figures() {
	local keys=("${@:2}")
	expect "figures of the firmware on $1" "${*:2}" "$(figures "$1" "${keys[@]%%=*}")"
}

# n_flows [KEY=VALUE...]
n_flows() {
	local lines
	mapfile -t lines < <(records flows "$@")
	echo "${#lines[@]}"
}

# cookie DEV PRIO
cookie() {
	field cookie "$(records flows "dev=$1" "prio=$2")"
}

# is_attached DEV
is_attached() {
	[[ -n $(records firmware "dev=$1") ]]
}

# ------------------------------------------------------ devices and filters --

# port DEV...: EKHO devices, up, with clsact.
port() {
	local dev
	for dev; do
		ip link add "$dev" up type ekho
		tc qdisc add dev "$dev" clsact
	done
}

# wire A B: a veth pair, up, with clsact on A. A can send to B, see `send`.
wire() {
	ip link add "$1" type veth peer name "$2"
	ip -b - <<-END
		link set $1 up
		link set $2 address 02:00:00:00:00:02 up
		addr add 10.9.0.1/24 dev $1
		neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev $1 nud permanent
	END
	tc qdisc add dev "$1" clsact
}

# send N: UDP packets to 10.9.0.2, port 9, with a payload of 8 bytes.
send() {
	local i
	for ((i = 0; i < $1; i++)); do
		printf 12345678 >/dev/udp/10.9.0.2/9
	done
}

# drop DEV PRIO [FLAGS...]: adds a filter on ingress that drops packets to
# 10.0.0.PRIO, with FLAGS such as skip_sw. To the kernel all packets of such a
# filter are drops; with `pass` only those are that the device says it dropped.
drop() {
	tc filter add dev "$1" ingress protocol ip prio "$2" handle 1 flower "${@:3}" \
		dst_ip "10.0.0.$(($2 % 256))" action drop
}

pass() {
	tc filter add dev "$1" ingress protocol ip prio "$2" handle 1 flower "${@:3}" \
		dst_ip "10.0.0.$(($2 % 256))" action pass
}

# undrop DEV PRIO: deletes it.
undrop() {
	tc filter del dev "$1" ingress protocol ip prio "$2" handle 1 flower
}

# One line a filter: its first action has the statistics of all.
filters_jq='.[] | select(.options.handle) | .options as $o | $o.actions[0].stats as $s |
	"\(.pref)/\($o.handle) in_hw=\($o.in_hw_count // 0)" +
	" hw=\($s.hw_packets // 0)/\($s.hw_bytes // 0) all=\($s.packets)/\($s.bytes) drops=\($s.drops)"'

# filters WHERE: the filters there ("dev ek0 ingress", "block 22"), one line each:
#
#	10/1 in_hw=1 hw=10/1000 all=12/1200 drops=0
#
# PRIO/HANDLE, in how many devices' hardware, what hardware counted, what was
# counted in all, as PACKETS/BYTES.
filters() {
	# shellcheck disable=SC2086 # WHERE is words
	tc -s -j filter show $1 | jq -r "$filters_jq"
}

# expect_filters WHERE LINE...: a LINE may end in *.
expect_filters() {
	local seen want lines
	seen=$(filters "$1")
	mapfile -t lines <<<"$seen"
	for ((i = 0; i < ${#lines[@]} || i + 2 <= $#; i++)); do
		want=${*:i+2:1}
		# shellcheck disable=SC2053 # a pattern
		[[ ${lines[i]:-} == $want && -n $want ]] ||
			expect "filters of $1" "$(printf '%s\n' "${@:2}")" "$seen"
	done
}

# expect_no_filters WHERE
expect_no_filters() {
	expect "filters of $1" '' "$(filters "$1")"
}

# expect_in_hw WHERE N...: in how many devices' hardware each filter is.
expect_in_hw() {
	# shellcheck disable=SC2086 # WHERE is words
	expect "in_hw_count of the filters of $1" "${*:2}" "$(tc -j filter show $1 |
		jq -r '[.[] | select(.options.handle).options | .in_hw_count // 0] | join(" ")')"
}

# --------------------------------------------------------------- the tool ----

# fw ARGS...: ekho-fw, with this case's pins.
fw() {
	"$EKHO_FW" --pin-root "$pins" "$@"
}

load_module() {
	insmod "$EKHO_MODULE"
}

# borrow_module: nobody else uses the module, so the case may remove it, and it is there
# again when the case ends.
borrow_module() {
	local refs
	read -r refs </sys/module/ekho/refcnt
	[[ $refs == 0 && -z $(<"$debugfs/devices") ]] || skip 'the module is in use'
	defer eval '[[ -d /sys/module/ekho ]] || load_module'
}

# object NAME: the file of a firmware, of the tests or of EKHO.
object() {
	local own=$here/bpf/build/$1.bpf.o
	if [[ -e $own ]]; then
		echo "$own"
	else
		echo "$EKHO_FIRMWARE/$1.bpf.o"
	fi
}

# load NAME DEV, replace NAME DEV, unload DEV: must succeed.
load() {
	fw load "$(object "$1")" --dev "$2" >/dev/null
}

replace() {
	fw replace "$(object "$1")" --dev "$2" >/dev/null
}

unload() {
	fw unload --dev "$1" >/dev/null
}

# feed DEV PRIO PACKETS BYTES [DROPS]: totals of the filter with handle 1.
feed() {
	fw stats set --dev "$1" --prio "$2" --handle 1 --packets "$3" --bytes "$4" --drops "${5:-0}" >/dev/null
}

# raw OBJECT IFINDEX [OBJECT IFINDEX]...: see bpf/raw.c. Its lines, joined.
raw() {
	local args=()
	while (($# > 0)); do
		args+=("$(object "$1")" "$2")
		shift 2
	done
	{ "$here/bpf/build/raw" "${args[@]}" </dev/null || :; } | tr '\n' ' '
}

# ----------------------------------------------------------------- traces ----

# trace_on: notes which ops run, in a tracing instance of this case.
trace_on() {
	[[ -d $tracefs/instances ]] || skip "tracefs isn't mounted at $tracefs"
	instance=$tracefs/instances/ekho-selftest-$$
	mkdir "$instance"
	defer rmdir "$instance"
	echo 1 >"$instance/events/ekho/enable"
}

# trace: the ops so far: "replace dev=ek0 ifindex=2 firmware=stats cookie=0x.. result=0 duration_ns=7".
trace() {
	local lines line
	mapfile -t lines <"$instance/trace"
	for line in "${lines[@]}"; do
		if [[ $line =~ \ ekho_([a-z_]+):\ (.*)$ ]]; then
			echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
		fi
	done
}

# expect_trace LINE...: the ops were these; a LINE may be a pattern.
expect_trace() {
	local seen lines i
	seen=$(trace)
	mapfile -t lines <<<"$seen"
	for ((i = 0; i < ${#lines[@]} || i < $#; i++)); do
		# shellcheck disable=SC2053 # a pattern
		[[ ${lines[i]:-} == ${*:i+1:1} && i -lt $# ]] ||
			expect 'traced ops' "$(printf '%s\n' "$@")" "$seen"
	done
	: >"$instance/trace"
}

# ------------------------------------------------------------ one case -------

# In a process of its own: see main.
run_case() {
	set -eEuo pipefail
	shopt -s inherit_errexit
	deferred=()
	pins=$bpffs/ekho-selftest-$$
	# shellcheck disable=SC2119
	netns=$(netns_id)
	trap 'on_error $? "$BASH_COMMAND"' ERR
	trap 'exit 143' INT TERM HUP
	trap on_exit EXIT
	if [[ $1 == */* ]]; then
		table=${1%%/*}
		mkdir "$EKHO_TMP/$table"
		"table_$table"
	else
		"test_$1"
	fi
	exit 0
}

on_error() {
	local i
	for ((i = 0; i < ${#FUNCNAME[@]}; i++)); do
		if [[ ${FUNCNAME[i]} == test_* || ${FUNCNAME[i]} == table_* ]]; then
			echo "${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}: \`$2\` ended with status $1" >&2
			break
		fi
	done
}

on_exit() {
	local status=$? command
	trap - ERR
	set +eu
	for command in "${deferred[@]}"; do
		eval "$command"
	done
	local jobs
	jobs=$(jobs -p)
	# shellcheck disable=SC2086 # one word each
	[[ -z $jobs ]] || { kill $jobs && wait; } 2>/dev/null
	[[ ! -d $pins ]] || rm -rf "$pins"
	exit "$status"
}

# ------------------------------------------------------------ all cases ------

# What must be the same after a case as before it.
snapshot() {
	local refs='not loaded' devices=() flows=()
	if [[ -d /sys/module/ekho ]]; then
		read -r refs </sys/module/ekho/refcnt
		mapfile -t devices <"$debugfs/devices"
		mapfile -t flows <"$debugfs/flows"
	fi
	shopt -s nullglob
	state=("module references: $refs" "${devices[@]}" "${flows[@]:0:3}"
		"$bpffs"/ekho-selftest-* /run/netns/ekho-selftest-* "$tracefs"/instances/ekho-selftest-*)
	shopt -u nullglob
}

# left_behind BEFORE: what a case left; waits for what the kernel does later.
left_behind() {
	local line new
	wait_begin $((2 * patience))
	while :; do
		snapshot
		new=()
		for line in "${state[@]}"; do
			[[ $1 == *"$line"* ]] || new+=("$line")
		done
		# What was there before may have gone: of a namespace whose end takes its time.
		((${#new[@]} != 0)) || return 1
		wait_more 0.01 || break
	done
	printf 'left behind: %s\n' "${new[@]}"
}

# row_status NAME: whether it went well; else its lines are added to those said.
row_status() {
	if [[ ! -e $EKHO_TMP/$1 ]]; then
		echo 'the row has no result' >>"$EKHO_TMP/said"
		return 1
	fi
	[[ -s $EKHO_TMP/$1 ]] || return 0
	cat "$EKHO_TMP/$1" >>"$EKHO_TMP/said"
	return 1
}

cannot_run() {
	echo "1..0 # SKIP $1"
	exit 4
}

# Everything that the cases need, or exit status 4 and what is missing.
prepare() {
	local tool
	((EUID == 0)) || cannot_run 'needs root'
	for tool in tc ip ethtool bpftool jq unshare; do
		type -P "$tool" >/dev/null || cannot_run "needs $tool"
	done
	[[ -x $EKHO_FW ]] || cannot_run 'needs ekho-fw: on PATH, in EKHO_FW, or built by `make userspace`'
	[[ -e $here/bpf/build/raw ]] || cannot_run 'needs the test firmware: make -C selftests all'
	if [[ ! -d /sys/module/ekho ]]; then
		if [[ -e $EKHO_MODULE ]]; then
			load_module || cannot_run "can't load $EKHO_MODULE"
		else
			modprobe ekho || cannot_run 'needs the module: loaded, in EKHO_MODULE, or built by `make module`'
		fi
		loaded_here=1
	fi
	[[ -d $debugfs ]] || cannot_run 'needs debugfs: mount -t debugfs debugfs /sys/kernel/debug'
	[[ $(stat -fc %T "$bpffs") == bpf_fs ]] || cannot_run 'needs bpffs: mount -t bpf bpf /sys/fs/bpf'
}

# What main made goes, however it ends.
tidy() {
	rm -rf "$EKHO_TMP"
	if [[ -n $loaded_here && -d /sys/module/ekho ]]; then
		rmmod ekho
	fi
}

main() {
	[[ ${1:-} != --case ]] || run_case "$2"
	local cases=() all name wanted number=0 failures=0 status before left words reason line
	mapfile -t all < <(! declare -F rows >/dev/null || rows
		! declare -F cases >/dev/null || cases
		sed -n 's/^test_\([a-z0-9_]*\)() {$/\1/p' "$0")
	for name in "${all[@]}"; do
		for wanted in "${@:-}"; do
			[[ $name != "$wanted"* ]] || cases+=("$name")
		done
	done
	loaded_here=''
	prepare
	EKHO_TMP=$(mktemp -d)
	export EKHO_TMP EKHO_FW EKHO_FIRMWARE EKHO_MODULE
	trap tidy EXIT
	trap 'exit 130' INT TERM HUP

	echo 'TAP version 13'
	echo "1..${#cases[@]}"
	for name in "${cases[@]}"; do
		status=0 left='' words=${name//_/ }
		# The first row of a table is charged with what isn't about one.
		if [[ $name != */* || ! -d $EKHO_TMP/${name%%/*} ]]; then
			snapshot
			before=${state[*]}
			unshare --net -- "$BASH" "$0" --case "$name" </dev/null >"$EKHO_TMP/said" 2>&1 || status=$?
			if left=$(left_behind "$before"); then
				status=1
			fi
		else
			: >"$EKHO_TMP/said"
		fi
		if [[ $name == */* && $status == 0 ]]; then
			row_status "$name" || status=1
		fi
		((++number))
		case $status in
		0) echo "ok $number $words" ;;
		4)
			reason=$(sed -n 's/^SKIP: //p' "$EKHO_TMP/said")
			echo "ok $number $words # SKIP $reason"
			;;
		*)
			((++failures))
			while IFS= read -r line; do
				echo "# $line"
			done < <(cat "$EKHO_TMP/said" && printf '%s' "${left:+$left$'\n'}")
			echo "not ok $number $words"
			;;
		esac
	done
	((failures == 0))
	exit
}
