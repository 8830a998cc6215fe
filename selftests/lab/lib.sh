# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only
#
# What every lab script shares: where things are kept, how a step is shown, how
# a failure is told. Sourced, never run.
#
#   $EKHO_CACHE/            outlives the clone, shared by all clones
#     root/                 Debian root with the toolchain, read-only in use
#     kernel/<series>/      packages/ (image, modules), tree/ (source + metadata),
#                           debug/ (the debug kernel of `make torture`)
#     kernel/archive        what Debian's archive had when it was last asked
#     kernel/instead-of-<series>  the series that is used since that one can't be had
#     tools/                programs for `make conformance`, a layer over the root
#     cargo/                registry cache of cargo in the root, and target/ (cargo-deps)
#     log/                  what the set-up printed
#   $EKHO_SRC/build/        this clone's logs and documentation

# For mount, chroot and their like; not every caller looks there.
PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/sbin:/sbin

EKHO_LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
EKHO_SRC=$(cd "$EKHO_LAB/../.." && pwd -P)
EKHO_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ekho
EKHO_ROOT=$EKHO_CACHE/root
EKHO_TOOLS=$EKHO_CACHE/tools
EKHO_TESTED=$EKHO_LAB/tested
# Older kernels lack what the module calls.
oldest_series=7.2
: "${EKHO_FLAVOUR:=stock}"

# The series that were tested, the preferred one first.
tested_series() {
	sed -n 's/^series=\([^ ]*\) .*/\1/p' "$EKHO_TESTED" | awk '!seen[$0]++'
}

# The series of the lab if none is asked for: the preferred one, or what the set-up took
# when Debian's archive didn't have it.
default_series() {
	local series
	series=$(tested_series | sed -n 1p)
	if [[ -s $EKHO_CACHE/kernel/instead-of-$series ]]; then
		series=$(<"$EKHO_CACHE/kernel/instead-of-$series")
	fi
	printf '%s\n' "$series"
}

# use_kernel SERIES: which kernel is meant from here on: Debian's own of this series, or
# with EKHO_FLAVOUR=debug that of `make torture`. EKHO_IMAGE has its release and files (a
# layer over the root, with image and modules), EKHO_TREE builds modules for it, and
# EKHO_KO is ours that was.
use_kernel() {
	EKHO_KERNEL=$1
	EKHO_KDIR=$EKHO_CACHE/kernel/$EKHO_KERNEL
	case $EKHO_FLAVOUR in
	stock)
		EKHO_IMAGE=$EKHO_KDIR/packages EKHO_TREE=$EKHO_KDIR/tree
		EKHO_KO=$EKHO_SRC/rust/ekho.ko
		;;
	debug)
		EKHO_IMAGE=$EKHO_KDIR/debug EKHO_TREE=$EKHO_KDIR/debug/tree
		EKHO_KO=$EKHO_SRC/build/torture/module/rust/ekho.ko
		;;
	*)
		printf 'error: EKHO_FLAVOUR is stock or debug, and not %s\n' "$EKHO_FLAVOUR" >&2
		exit 1
		;;
	esac
}

# Whether somebody asked for a series, or left the choice to the set-up.
series_is_asked_for=${EKHO_KERNEL:+1}
use_kernel "${EKHO_KERNEL:-$(default_series)}"

# The kernel release, such as 7.2.12+deb13-amd64; empty before the set-up.
kernel_release() {
	cat "$EKHO_IMAGE/release" 2>/dev/null || true
}

# Colour is for people: only on a terminal, never when NO_COLOR asks otherwise.
step_fd=${EKHO_STEP_FD:-1}
if [[ -t $step_fd && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
	red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
else
	red='' green='' dim='' plain=''
fi

say() {
	printf '%s\n' "$*" >&"$step_fd"
}

# die SENTENCE [REMEDY...]: what is wrong, then what to do about it.
die() {
	printf '%serror%s: %s\n' "$red" "$plain" "$1" >&2
	shift
	[[ $# -eq 0 ]] || printf '       %s\n' "$@" >&2
	exit 1
}

# Seconds for a person: "14 s", "2 min 05 s".
duration() {
	if (($1 < 60)); then
		printf '%d s' "$1"
	else
		printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
	fi
}

# step VERB NOUN LOG CMD...: one line for the person, the noise into LOG. On
# failure the end of the log is shown, unless explain_failure (a function of the
# caller) knows better. CMD runs in a subshell under `set -e`, so call step as a
# plain statement: in a condition bash would ignore -e in all of CMD.
step() {
	local verb=$1 noun=$2 log=$3 begin=$SECONDS rc dots label
	shift 3
	mkdir -p "$(dirname "$log")"
	label="  $(printf '%-9s' "$verb")$noun "
	dots=$(printf '%*s' $((${#label} < 58 ? 58 - ${#label} : 2)) '')
	printf '%s%s%s%s ' "$label" "$dim" "${dots// /.}" "$plain" >&"$step_fd"
	printf '\n==== %s %s\n' "$verb" "$noun" >>"$log"
	local from
	from=$(wc -l <"$log")
	set +e
	(
		set -e
		"$@"
	) >>"$log" 2>&1 </dev/null
	rc=$?
	set -e
	if ((rc == 0)); then
		printf '%s\n' "$(duration $((SECONDS - begin)))" >&"$step_fd"
		return 0
	fi
	printf '%sfailed%s after %s\n' "$red" "$plain" "$(duration $((SECONDS - begin)))" >&"$step_fd"
	if declare -F explain_failure >/dev/null; then
		explain_failure "$rc" < <(tail -n +"$((from + 1))" "$log") || true
	fi
	tail -n +"$((from + 1))" "$log" | tail -n "${EKHO_LOG_LINES:-15}" | sed 's/^/    /' >&2
	printf '  the whole log: %s\n' "$log" >&2
	exit "$rc"
}

# What a stage of the set-up was made from, in short.
key() {
	printf '%s\n' "$@" | sha256sum | cut -d' ' -f1
}

is_current() {
	[[ $(cat "$1/.stamp" 2>/dev/null) == "$2" ]]
}

# stage NOUN DIRECTORY KEY LOG COMMAND: have COMMAND fill DIRECTORY, unless it did
# for this KEY before. The stamp comes last, so that what was interrupted counts
# as not made; what is unfinished or outdated is thrown away first.
stage() {
	! is_current "$2" "$3" || return 0
	if [[ -d $2 ]]; then
		rm -f "$2/.stamp"
		step 'clean up' "an unfinished or outdated $(basename "$2")" "$4" rm -rf "$2"
	fi
	mkdir -p "$2"
	step 'set up' "$1" "$4" "$5"
	printf '%s\n' "$3" >"$2/.stamp.new"
	mv "$2/.stamp.new" "$2/.stamp"
}

# The cache is shared by clones and by makes that run at the same time. Of the root, of
# each series of kernels and of the tools there is a lock: who uses it holds the lock shared,
# who makes it holds it alone. They are taken in this order.
#
# lock_cache HOW [SERIES|tools]
declare -A lock_fds=()
lock_cache() {
	local how=$1 series=${2:-} what=$EKHO_CACHE file=$EKHO_CACHE/lock fd
	if [[ $series == tools ]]; then
		what=$EKHO_TOOLS file=$EKHO_CACHE/tools.lock
	elif [[ -n $series ]]; then
		what="kernel $series in $EKHO_CACHE" file=$EKHO_CACHE/kernel/$series.lock
	fi
	mkdir -p "$(dirname "$file")"
	if [[ -z ${lock_fds[$file]:-} ]]; then
		exec {fd}>"$file"
		lock_fds[$file]=$fd
	fi
	fd=${lock_fds[$file]}
	if ! flock --nonblock "--$how" "$fd"; then
		say "  waiting  for another make that uses $what"
		lock_holders "$file" | while IFS= read -r line; do
			say "             $line"
		done
		flock "--$how" "$fd"
	fi
}

# lock_holders FILE: the processes that hold a lock of this file, without those that have
# it from their parent.
lock_holders() {
	local file=$1 info process parent begin now
	local -A holds=()
	read -r now _ </proc/uptime
	for info in /proc/[0-9]*/fd/*; do
		[[ $info -ef $file ]] || continue
		process=${info#/proc/}
		process=${process%%/*}
		# One that waits has the file open, too.
		! grep -q '^lock:' "/proc/$process/fdinfo/${info##*/}" 2>/dev/null || holds[$process]=1
	done
	for process in "${!holds[@]}"; do
		read -r parent begin < <(sed 's/.*) //' "/proc/$process/stat" 2>/dev/null | cut -d' ' -f2,20) || continue
		[[ -n $begin && -z ${holds[$parent]:-} && $process != "$$" ]] || continue
		printf 'process %d, for %s: %.90s\n' "$process" \
			"$(duration $((${now%.*} - begin / $(getconf CLK_TCK))))" \
			"$(tr '\0\n' '  ' <"/proc/$process/cmdline" 2>/dev/null)"
	done
}
