# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Running tests of the kernel's source package, unmodified, and comparing what they say with
# the table `expected`. Sourced.
#
# Each line of the table that is about the test is a case: it passes if the result is that of
# the table. An expected failure that passes has failed, and so has a test that isn't in the
# table, or is there and didn't run. What came out goes to `results`, for who prints it.

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
top=${here%/selftests/*}

EKHO_MODULE=${EKHO_MODULE:-$top/rust/ekho.ko}
EKHO_FIRMWARE=${EKHO_FIRMWARE:-$top/bpf/build}
kernel_tests=${EKHO_TREE:-}/tools/testing/selftests/net
logs=$top/build/log/conformance
mkdir -p "$logs"

# begin FILE: the cases are those that `expected` has of this file of the kernel's.
declare -A expected=() texts=() reasons=()
number=0 failed=0
begin() {
	local file pass test result text reason
	results=$logs/results-$1
	: >"$results"
	while IFS='|' read -r file pass test result text reason; do
		[[ $file == "$1" ]] || continue
		expected[$file|$pass|$test]=$result
		texts[$file|$pass|$test]=$text
		reasons[$file|$pass|$test]=$reason
	done < <(expectations)
	echo 'TAP version 13'
	echo "1..${#expected[@]}"
	[[ -d $kernel_tests ]] || bail "no tests of the kernel in $kernel_tests"
	local program
	for program in tc jq mausezahn ncat nft socat ekho-fw; do
		type -P "$program" >/dev/null || bail "there is no $program"
	done
	[[ -d /sys/module/ekho ]] || insmod "$EKHO_MODULE" || bail "can't load $EKHO_MODULE"
	PATH=$here/bin:$PATH
}

bail() {
	echo "Bail out! $1"
	exit 1
}

# expectations: the lines of the table without blanks around the columns, "both" as two lines.
expectations() {
	awk -F' *[|] *' -v OFS='|' '
		/^#/ || /^ *$/ { next }
		$4 != "ok" && $4 != "fails" || $4 == "ok" && NF != 4 || $4 == "fails" && (NF != 6 || $5 == "" || $6 == "") {
			print FILENAME ":" FNR ": not FILE | PASS | TEST | ok, nor … | fails | TEXT | REASON" >"/dev/stderr"
			next
		}
		$2 == "both" {
			flowtable = $1 == "nft_flowtable.sh"
			print $1, flowtable ? "software" : "skip_hw", $3, $4, $5, $6
			$2 = flowtable ? "offload" : "skip_sw"
		}
		{ print $1, $2, $3, $4, $5, $6 }' "$here/expected"
}

# judge FILE PASS TEST ok|fails SAID
judge() {
	local file=$1 pass=$2 test=$3 result=$4 said=$5 key="$1|$2|$3" why=''
	case ${expected[$key]:-} in
	'') why="isn't in selftests/conformance/expected" ;;
	"$result")
		if [[ $result == fails && $said != *"${texts[$key]}"* ]]; then
			why="fails, but doesn't say: ${texts[$key]}"
		fi
		;;
	ok) why='fails' ;;
	fails) why="passes, and is expected to fail: ${reasons[$key]}" ;;
	ran) why='ran twice' ;;
	esac
	expected[$key]=ran
	((++number))
	if [[ -z $why ]]; then
		echo "ok $number $file $pass: $test"
	else
		failed=1
		printf '%s\n' "$said"
		echo "not ok $number $file $pass: $test: $why"
	fi
	printf '%s|%s|%s|%s|%s\n' "$file" "$pass" "$test" "$result${why:+ (!)}" "${why:-${reasons[$key]}}" >>"$results"
}

# finish: what the table has and didn't run has failed.
finish() {
	local key
	for key in "${!expected[@]}"; do
		[[ ${expected[$key]} != ran ]] || continue
		failed=1
		((++number))
		IFS='|' read -r file pass test <<<"$key"
		echo "not ok $number $file $pass: $test: didn't run"
		printf '%s|didn'"'"'t run (!)|see %s\n' "$key" "$logs" >>"$results"
	done
	exit $failed
}
