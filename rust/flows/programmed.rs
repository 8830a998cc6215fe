// SPDX-License-Identifier: GPL-2.0-only

//! What a flow is executed by, if firmware has had it inserted into tables of the device.

#![deny(unsafe_code)]

use crate::contract::stats::Totals;

/// A rule in tables of the device. It is made before the firmware is asked, and matches no packet before
/// it is activated.
pub(crate) trait Programmed: Send + Sync {
    /// Packets match it from now on.
    fn activate(&self);

    /// Whether it was activated.
    fn is_active(&self) -> bool;

    /// Takes it out of the tables. Packets that are being matched may still be executed and counted. Any
    /// context but hard interrupts.
    fn withdraw(&self);

    /// What it has counted, or its action with the cookie `action` if that isn't 0. Any context.
    fn totals(&self, action: u64) -> Totals;

    /// Whether some of its actions may count what others don't.
    fn counts_actions(&self) -> bool;

    /// What an action has counted of which the kernel can't ask for statistics, if there is one. Any
    /// context.
    fn totals_unasked(&self) -> Option<Totals>;
}
