#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh FILE...: run test files, and print what they say as TAP in TAP, as
# kselftest's runner does. Exit status 1 if any failed.

cd "$(dirname "$0")" || exit
failed=0 number=0
echo 'TAP version 13'
echo "1..$#"
for file; do
	((++number))
	echo "# selftests: selftests: $file"
	"./$file" 2>&1 | while IFS= read -r line; do
		printf '# %s\n' "$line"
	done
	status=${PIPESTATUS[0]}
	case $status in
	0) echo "ok $number selftests: $file" ;;
	4) echo "ok $number selftests: $file # SKIP" ;;
	*)
		echo "not ok $number selftests: $file # exit=$status"
		failed=1
		;;
	esac
done
exit $failed
