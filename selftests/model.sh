#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Random operations on everything, against a model of what must come of them:
# userspace/model-test. A mismatch is done again by its seed:
#
#	EKHO_MODEL_SEED=3 selftests/model.sh first_seed
#
# EKHO_MODEL_SEED="7 8" has other seeds tried, EKHO_MODEL_STEPS says how many
# operations each makes, and EKHO_MODEL_TEST which program it is.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

EKHO_MODEL_TEST=${EKHO_MODEL_TEST:-$top/userspace/target/release/ekho-model-test}
read -ra seeds <<<"${EKHO_MODEL_SEED:-1 2 3 4 5}"

# agree N: model and kernel do, for the Nth seed.
agree() {
	local seed=${seeds[$1]:-}
	[[ -n $seed ]] || skip 'no such seed in EKHO_MODEL_SEED'
	[[ -x $EKHO_MODEL_TEST ]] || skip 'needs ekho-model-test: in EKHO_MODEL_TEST, or built by `make userspace`'
	# In the end it takes the module away.
	borrow_module
	accepted "$EKHO_MODEL_TEST" --nft --seed "$seed" --steps "${EKHO_MODEL_STEPS:-2500}" \
		--module "$EKHO_MODULE" --firmware "$EKHO_FIRMWARE" --test-firmware "$here/bpf/build"
	says 'model and kernel agree'
}

# What the model found first, in short.
test_u32_filters_that_skip_hw_leave_with_their_block() {
	port ek0
	load stats ek0
	tc filter add dev ek0 ingress protocol ip prio 41 u32 skip_hw match ip dst 10.0.0.1 action drop
	tc qdisc del dev ek0 clsact
	expect 'flows' 0 "$(n_flows)"
	ethtool -K ek0 hw-tc-offload off
	expect 'hw-tc-offload' 0 "$(get devices ek0 hw_tc_offload)"
}

test_first_seed() {
	agree 0
}

test_second_seed() {
	agree 1
}

test_third_seed() {
	agree 2
}

test_fourth_seed() {
	agree 3
}

test_fifth_seed() {
	agree 4
}

main "$@"
