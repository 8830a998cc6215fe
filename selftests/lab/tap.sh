# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Reading TAP as kselftest writes it, line by line as it comes. Sourced.
#
# A kselftest run is TAP in TAP: each file's own results are indented by "# "
# and followed by one unindented result for the file.
#
#   # selftests: selftests: life.sh      a file begins
#   # 1..3
#   # ok 1 rmmod while attached says EBUSY
#   # not ok 2 netns exit leaves nothing behind
#   # ok 3 macvlan is served # SKIP no macvlan in this kernel
#   not ok 1 selftests: life.sh # exit=1
#
# A case counts once: what a file reports inside counts, its own result only when
# nothing inside explains it (plain TAP, or a file that died). Planned cases that
# never came have failed.
#
# So has a skip that selftests/skips doesn't list, and one that is listed and didn't come.

# shellcheck disable=SC2154 # red, plain, step_fd: lib.sh, which comes first
passed=0 failed=0 skipped=0
# The files that ran, and which lines of the list came true.
files_seen=' ' skips_seen=' '

# listed_skips: "NUMBER|MUST|FILE|CASE" for each line of the list that is about this kernel.
listed_skips() {
	awk -F' *[|] *' -v kernel="${EKHO_KERNEL:-}" -v flavour="${EKHO_FLAVOUR:-stock}" '
		/^#/ || /^ *$/ { next }
		NF != 4 || $4 == "" { print FILENAME ":" FNR ": not KERNEL | FILE | CASE | REASON" >"/dev/stderr"; next }
		{ must = sub(/^may /, "", $1) ? "" : "must" }
		$1 == "all" || $1 == flavour || ($1 == kernel && flavour == "stock") {
			print FNR "|" must "|" $2 "|" $3
		}' "${EKHO_SKIPS:-$EKHO_SRC/selftests/skips}"
}

# skip FILE CASE REASON: counts as a skip if it is listed, and else as a failure.
skip() {
	local number must file case
	while IFS='|' read -r number must file case; do
		# shellcheck disable=SC2053 # a pattern
		if [[ $1 == "$file" && $2 == $case ]]; then
			skips_seen+="$number "
			count skipped "$2"
			return
		fi
	done < <(listed_skips)
	count failed "$1: $2: skipped ($3), and selftests/skips doesn't list that"
}

# Lines of the list that didn't come true, though their file ran.
check_skips() {
	local number must file case
	while IFS='|' read -r number must file case; do
		[[ -z $must || $files_seen != *" $file "* || $skips_seen == *" $number "* ]] ||
			count failed "$file: $case: ran, and selftests/skips lists it as skipped"
	done < <(listed_skips)
}

# count RESULT NAME [NUMBER]: failures are told at once.
count() {
	local result=$1 name=$2 number=${3:-1}
	case $result in
	passed) passed=$((passed + number)) ;;
	skipped) skipped=$((skipped + number)) ;;
	failed)
		failed=$((failed + number))
		say "      ${red}not ok${plain} $name"
		;;
	esac
}

# begin NAME ... end: one line for a file or tool, with what came out of it, and how long
# it took unless tap_untimed is set.
begin() {
	part=$1 part_begin=$SECONDS before=("$passed" "$failed" "$skipped")
}

end() {
	local p=$((passed - before[0])) f=$((failed - before[1])) s=$((skipped - before[2])) text label
	text="$p passed"
	((f == 0)) || text+=", $red$f failed$plain"
	((s == 0)) || text+=", $s skipped"
	label="  test     $part "
	say "$label$dim$(printf '%*s' $((${#label} < 58 ? 58 - ${#label} : 2)) '' | tr ' ' .)$plain $text${tap_untimed-, $(duration $((SECONDS - part_begin)))}"
}

# tap_read [NAME]: reads standard input, counts, shows a line for each file; for
# plain TAP one for each result, or with NAME one for all of them.
tap_read() {
	local group=${1:-}
	local line body inner directive reason number rest not file=''
	local outer_plan=0 outer_seen=0 plan=0 seen=0 notes=() fails
	[[ -z $group ]] || begin "$group"
	files_seen+="${group// /-} "
	while IFS= read -r line; do
		line=${line%$'\r'}
		[[ -z ${tap_log:-} ]] || printf '%s\n' "$line" >>"$tap_log"
		inner=''
		body=$line
		if [[ $line == '# '* || $line == '#' ]]; then
			inner=1
			body=${line#'#'}
			body=${body#' '}
		fi

		if [[ -n $inner && $body =~ ^selftests:\ [^:]*:\ (.*)$ ]]; then
			file=${BASH_REMATCH[1]}
			files_seen+="$file "
			begin "$file"
			plan=0 seen=0 fails=$failed notes=()
		elif [[ $body =~ ^1\.\.([0-9]+) ]]; then
			if [[ -n $inner ]]; then plan=${BASH_REMATCH[1]}; else outer_plan=${BASH_REMATCH[1]}; fi
		elif [[ $body =~ ^(not\ )?ok\ +([0-9]+)[\ -]*(.*)$ ]]; then
			not=${BASH_REMATCH[1]} number=${BASH_REMATCH[2]} rest=${BASH_REMATCH[3]} directive='' reason=''
			if [[ $rest =~ ^(.*[^\ ])?\ *#\ *(SKIP|TODO|XFAIL)(.*)$ ]]; then
				rest=${BASH_REMATCH[1]} directive=${BASH_REMATCH[2]} reason=${BASH_REMATCH[3]# }
			fi
			rest=${rest:-case $number}
			if [[ -n $inner ]]; then
				((++seen))
				tap_result "$not" "$directive" "$rest" "${notes[@]}"
				notes=()
				continue
			fi
			((++outer_seen))
			if [[ -n $file ]]; then
				if ((plan > seen)); then
					count failed "$file: $((plan - seen)) of $plan cases never ran" $((plan - seen))
				elif ((seen == 0)) || [[ -n $not && -z $directive && $failed -eq $fails ]]; then
					tap_result "$not" "$directive" "$rest" "${notes[@]}"
				fi
				end
				file=''
			else
				[[ -n $group ]] || begin "$rest"
				tap_result "$not" "$directive" "$rest" "${notes[@]}"
				[[ -n $group ]] || end
			fi
			notes=()
		else
			notes=("${notes[@]: -11}" "$body")
		fi
	done
	# The stream ended early: a file was under way, or files are still to come.
	if [[ -n $file ]]; then
		count failed "$file: ended without a result"
		printf '         %s\n' "${notes[@]}" >&"$step_fd"
		end
		((++outer_seen))
	fi
	if ((outer_plan > outer_seen)); then
		count failed "$((outer_plan - outer_seen)) of $outer_plan tests never ran" $((outer_plan - outer_seen))
	fi
	[[ -z $group ]] || end
}

tap_result() {
	local not=$1 directive=$2 name=$3
	shift 3
	if [[ $directive == SKIP || (-n $directive && -n $not) ]]; then
		local where=${file:-${group// /-}}
		skip "${where:--}" "$name" "${reason:-${*: -1}}"
	elif [[ -n $not ]]; then
		count failed "$name"
		[[ $# -eq 0 ]] || printf '         %s\n' "$@" >&"$step_fd"
	else
		count passed "$name"
	fi
}

# The sum over everything, on a line of its own; also into EKHO_SUMS, for who adds up.
summary() {
	check_skips
	local text="$passed passed, $failed failed"
	[[ -z ${EKHO_SUMS:-} ]] || echo "$passed $failed $skipped" >>"$EKHO_SUMS"
	((skipped == 0)) || text+=", $skipped skipped"
	printf '%s\n' "$text"
	((failed == 0 && passed > 0))
}
