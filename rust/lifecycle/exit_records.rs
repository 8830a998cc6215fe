// SPDX-License-Identifier: GPL-2.0-only

//! Records of firmware that was stopped.

use crate::{
    abstractions::net::net_device::{
        NetDevice,
        Rtnl, //
    },
    firmware::exit::Exit,
    lifecycle::events::{
        self,
        Event, //
    },
    offload::{
        device::Device,
        ident::Ident, //
    },
};
use core::mem;
use kernel::prelude::*;

/// How many records are kept for all devices; the oldest is dropped.
const RECORDS: usize = 64;

struct Record {
    /// One more than that of the record before.
    number: u64,
    ident: Ident,
    exit: Exit,
    /// How many flows the device held.
    flows: usize,
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    unsafe(uninit) static EXITS: Mutex<KVec<Record>> = KVec::new();
}

/// Makes the list of records ready; to be called once.
pub(super) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { EXITS.init() };
}

/// Drops the records when the module is removed.
pub(super) fn clear() {
    drop(mem::take(&mut *EXITS.lock()));
}

/// Calls `f` with each record, the oldest first: its number, which grows, the device, the exit, and
/// how many flows the device held.
pub(crate) fn for_each<E>(
    mut f: impl FnMut(u64, &Ident, &Exit, usize) -> Result<(), E>,
) -> Result<(), E> {
    for record in &**EXITS.lock() {
        f(record.number, &record.ident, &record.exit, record.flows)?;
    }
    Ok(())
}

/// Records that firmware was stopped, with the number of its flows, and tells user space. Process
/// context.
pub(super) fn exited(exit: &Exit, flows: usize, device: &Device, dev: &NetDevice, rtnl: &Rtnl) {
    {
        let mut exits = EXITS.lock();
        let record = Record {
            number: exits.last().map_or(1, |last| last.number + 1),
            ident: Ident::of(dev),
            exit: *exit,
            flows,
        };
        if exits.len() >= RECORDS {
            let _ = exits.remove(0);
        }
        // Without memory there is only the message in the kernel's log.
        let _ = exits.push(record, GFP_KERNEL);
    }
    events::tell(Event::FirmwareExit(exit, flows), device, dev, rtnl);
}
