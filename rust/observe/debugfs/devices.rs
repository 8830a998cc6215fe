// SPDX-License-Identifier: GPL-2.0-only

//! The file `devices`.

#![deny(unsafe_code)]

use crate::{
    intake::{
        block::binding_set,
        ct_zones, //
    },
    offload::devices, //
};
use core::fmt;
use kernel::sync::rcu;

/// One line for each device.
pub(super) fn devices(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for device in &*devices::all().map_err(|_| fmt::Error)? {
        let ident = device.ident();
        write!(
            f,
            "{ident} kind={} hw_tc_offload={} bindings={} flows={} table_entries={} action_counters={} ct_zones={} firmware=",
            if device.own { "ekho" } else { "indirect" },
            u8::from(ident.hw_tc_offload),
            binding_set::count(device),
            device.flows.len(),
            device.flows.table_entries(),
            device.flows.action_counters(),
            ct_zones::count(device),
        )?;
        match device.firmware.get(&rcu::read_lock()) {
            Some(firmware) => writeln!(f, "{}", firmware.ops.name())?,
            None => f.write_str("-\n")?,
        }
    }
    Ok(())
}
