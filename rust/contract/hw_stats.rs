// SPDX-License-Identifier: GPL-2.0-only

//! How flows are counted: `enum ekho_hw_stats`.

#![deny(unsafe_code)]

use crate::{
    bindings,
    contract::encoding::tables::HW_STATS, //
};
use core::fmt;

/// What firmware supports that declares nothing.
pub(super) const DEFAULT: u32 =
    bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED | bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED;

const _: () = {
    // The bits of the contract equal those of the kernel.
    assert!(
        bindings::ekho_hw_stats_EKHO_HW_STATS_IMMEDIATE
            == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_IMMEDIATE
    );
    assert!(
        bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED
            == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED
    );
    assert!(
        bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED
            == bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DISABLED
    );
};

/// Which one of several is used, unless the firmware chooses.
pub(super) fn choose(can: u32) -> u32 {
    [
        bindings::ekho_hw_stats_EKHO_HW_STATS_DELAYED,
        bindings::ekho_hw_stats_EKHO_HW_STATS_IMMEDIATE,
        bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED,
    ]
    .into_iter()
    .find(|way| can & way != 0)
    .unwrap_or(bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED)
}

/// The name of one bit, as in tc(8).
pub(crate) fn hw_stats_name(bit: u32) -> &'static str {
    HW_STATS
        .iter()
        .find(|way| way.number == bit)
        .map_or("unknown", |way| way.name)
}

/// The names of a set of bits, with a blank after each.
pub(super) struct HwStatsList(pub(super) u32);

impl kernel::fmt::Display for HwStatsList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while rest != 0 {
            f.write_str(hw_stats_name(rest & rest.wrapping_neg()))?;
            rest &= rest - 1;
            f.write_str(if rest == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

/// Whether a flow with this bit has no statistics.
pub(crate) fn hw_stats_disabled(bit: u32) -> bool {
    bit == bindings::ekho_hw_stats_EKHO_HW_STATS_DISABLED
}
