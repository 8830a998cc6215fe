#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a device's tables do to packets is what the kernel's software does: random rules and
# packets on two sides, by userspace/equality-test.
#
#	     software side                    hardware side
#	+---------------------+          +---------------------+
#	| p0  p1  p2  p3  ... | skip_hw  | p0  p1  p2  p3  ... | skip_sw
#	+--|---|---|---|------+          +--|---|---|---|------+
#	   |   |   |   |   cables           |   |   |   |
#	+--|---|---|---|------+          +--|---|---|---|------+
#	| w0  w1  w2  w3  ... |          | w0  w1  w2  w3  ... |  the same frames are sent here,
#	+---------------------+          +---------------------+  and what comes out is compared
#
# A set that differs is done again by its seed and number, which are told with it.
# EKHO_EQUALITY_SEED has another seed tried, EKHO_EQUALITY_SETS says how many sets of rules
# each case makes, and EKHO_EQUALITY_TEST which program it is.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

EKHO_EQUALITY_TEST=${EKHO_EQUALITY_TEST:-$top/userspace/target/release/ekho-equality-test}

# equality ARGUMENTS...
equality() {
	"$EKHO_EQUALITY_TEST" --seed "${EKHO_EQUALITY_SEED:-1}" "$@"
}

needs_program() {
	[[ -x $EKHO_EQUALITY_TEST ]] ||
		skip 'needs ekho-equality-test: in EKHO_EQUALITY_TEST, or built by `make userspace`'
}

# equal SETS ARGUMENTS...: both sides are, and most packets matched a rule.
equal() {
	needs_program
	accepted equality --sets "${EKHO_EQUALITY_SETS:-$1}" "${@:2}"
	says 'software and hardware are equal'
	[[ $said =~ ([0-9]+)\ %\ of\ which\ hit && ${BASH_REMATCH[1]} -gt 60 ]] ||
		fail 'most packets hit no rule' "$said"
}

# noticed HOW TEXT: a difference that was made is found, and told with what was made.
noticed() {
	needs_program
	refused 1 equality --software --sets 100 --break 5 --how "$1"
	says "differ in $2" 'to do it again: '
}

# tables ARGUMENTS...: those of a device and software are equal.
tables() {
	local firmware
	firmware=$(object nic)
	[[ -e $firmware ]] || skip 'needs firmware nic'
	equal "$@" --firmware "$firmware"
}

# Without which a difference would say nothing.
test_software_is_equal_to_itself() {
	equal 150 --software
}

test_tables_of_a_device_with_several_ports_are_equal_to_software() {
	tables 5000
}

test_tables_of_single_ports_are_equal_to_software() {
	tables 300 --single
}

test_rules_that_do_something_else_are_noticed() {
	noticed rule 'frames and counters'
	says 'tc filter add dev' 'packet into' 'counters of dev'
}

test_a_bit_of_a_frame_is_noticed() {
	noticed frame frames
}

test_frames_in_another_order_are_noticed() {
	noticed order frames
}

test_a_byte_in_a_counter_is_noticed() {
	noticed count counters
}

main "$@"
