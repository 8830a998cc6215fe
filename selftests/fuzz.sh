#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A short run of `selftests/lab/fuzz`: mutated requests and firmware, from fixed seeds.
# `ekho-module-fuzzer --help` says how to repeat a failure.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

EKHO_MODULE_FUZZER=${EKHO_MODULE_FUZZER:-$top/userspace/target/release/ekho-module-fuzzer}

# fuzz ARGUMENTS...: finds no bug.
fuzz() {
	[[ -x $EKHO_MODULE_FUZZER ]] || skip 'needs ekho-module-fuzzer: in EKHO_MODULE_FUZZER, or built by `make userspace`'
	# In the end it takes the module away.
	borrow_module
	accepted "$EKHO_MODULE_FUZZER" --module "$EKHO_MODULE" --firmware "$EKHO_FIRMWARE" \
		--test-firmware "$here/bpf/build" "$@"
	says 'bugs=0'
}

test_mutated_requests_leave_no_state() {
	fuzz netlink --seed 1 --steps 1500
	# Not all for one and the same reason.
	[[ $said =~ accepted=([0-9]+) && ${BASH_REMATCH[1]} -gt 100 ]] ||
		fail 'the kernel took hardly any' "$said"
}

test_mutated_firmware_is_refused_or_works() {
	EKHO_FW=$EKHO_FW fuzz firmware --seed 1 --cases 12
	says 'cases=12'
}

main "$@"
