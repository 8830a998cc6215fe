#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's net/forwarding/tc_actions.sh.

# shellcheck source=selftests/conformance/forwarding.sh
. "${BASH_SOURCE[0]%/*}/forwarding.sh"

# Two of its tests don't clear the result of the one before. So one that is expected to fail is
# the last.
fails=mirred_egress_to_ingress_tcp_test
ALL_TESTS=''
eval "$(sed -n '/^ALL_TESTS="/,/"$/p' "$kernel_tests/forwarding/tc_actions.sh")"
TESTS="${ALL_TESTS/$fails/} $fails" forwarding_test tc_actions.sh
