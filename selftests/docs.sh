#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The commands of README.md and docs/: each block marked `sh run=guest` is a case.
#
# Each line is run as it is written, in one shell a block, from the top of the clone.
# `#> TEXT` under a command says that its output contains TEXT, `#! TEXT` that it fails
# and says TEXT. Without `#!` a command must succeed.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# blocks: "CASE FILE LINE" for each block; LINE is its first.
blocks() {
	local file line number name n
	for file in "$top"/README.md "$top"/docs/*.md; do
		n=0 number=0 name=${file##*/}
		while IFS= read -r line; do
			((++number))
			[[ $line == '```sh run=guest' ]] || continue
			name=${name,,}
			echo "${name%.md}_$((++n))" "$file" $((number + 1))
		done <"$file"
	done
}

while read -r name file first; do
	eval "test_$name() { run_block ${file@Q} $first; }"
	names+=("$name")
done < <(blocks)

cases() {
	printf '%s\n' "${names[@]}"
}

# As a reader has them, but with this case's pins, and with a module that is there.
ekho-fw() {
	fw "$@"
}

insmod() {
	[[ -d /sys/module/ekho ]] || command insmod "$@"
}

run_block() {
	local file=$1 first=$2 line lines=() i command status output=$EKHO_TMP/output
	while IFS= read -r line && [[ $line != '```' ]]; do
		lines+=("$line")
	done < <(tail -n "+$first" "$file")
	defer forget_namespaces
	cd "$top"
	for ((i = 0; i < ${#lines[@]}; i++)); do
		line=${lines[i]}
		case $line in
		'#> '* | '#! '*)
			said=$(<"$output")
			says "${line:3}"
			continue
			;;
		esac
		command=${line%%  \#*} status=0
		eval "$command" >"$output" 2>&1 || status=$?
		if [[ ${lines[i + 1]:-} == '#! '* ]]; then
			((status != 0)) || fail "${file##*/}: $command" 'expected: to fail' "seen:     $(<"$output")"
		else
			((status == 0)) || fail "${file##*/}: $command" 'expected: exit status 0' "seen:     $status" "$(<"$output")"
		fi
	done
}

# Of a block that failed before its end.
forget_namespaces() {
	local name
	while read -r name; do
		[[ ! -e /run/netns/$name ]] || ip netns del "$name"
	done < <(tail -n "+$first" "$file" | sed -n '/^```$/q; s/^ip netns add \([a-z0-9]*\)$/\1/p')
}

main "$@"
