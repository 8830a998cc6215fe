#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's net/forwarding/tc_shblocks.sh.

# shellcheck source=selftests/conformance/forwarding.sh
. "${BASH_SOURCE[0]%/*}/forwarding.sh"

forwarding_test tc_shblocks.sh
