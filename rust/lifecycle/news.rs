// SPDX-License-Identifier: GPL-2.0-only

//! What becomes of firmware, for user space: uevents of its device, and a record of each that was
//! stopped.
//!
//! An event is a `change` of the device with variables of its own: `EKHO_EVENT` (attach, replace,
//! detach or exit), `EKHO_DEV`, `EKHO_FIRMWARE`, and of an exit `EKHO_OP`, `EKHO_CODE`,
//! `EKHO_REASON`. It goes to listeners in the device's network namespace, and to no others.

use crate::{
    abstractions::net::{
        net_device::{
            NetDevice,
            Rtnl, //
        },
        uevent, //
    },
    ops::{
        contract::Name,
        exit::Exit, //
    },
    port::Ident, //
};
use core::mem;
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

/// How many records are kept, over all devices; the oldest goes first.
const RECORDS: usize = 64;

struct Record {
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

/// Drops the records when the module goes.
pub(super) fn clear() {
    drop(mem::take(&mut *EXITS.lock()));
}

/// Calls `f` with each record.
pub(crate) fn for_each_exit<E>(
    mut f: impl FnMut(&Ident, &Exit, usize) -> Result<(), E>,
) -> Result<(), E> {
    for record in &**EXITS.lock() {
        f(&record.ident, &record.exit, record.flows)?;
    }
    Ok(())
}

/// What has become of the firmware of a device.
pub(super) enum News<'a> {
    /// It has come.
    Attach(&'a Name),
    /// It has taken another's place.
    Replace(&'a Name),
    /// It has gone.
    Detach(&'a Name),
    /// It was stopped, when the device held so many flows.
    Exit(&'a Exit, usize),
}

/// Tells user space. Process context.
pub(super) fn tell(news: News<'_>, dev: &NetDevice, rtnl: &Rtnl) {
    if let News::Exit(exit, flows) = news {
        let record = Record {
            ident: Ident::of(dev),
            exit: *exit,
            flows,
        };
        let mut exits = EXITS.lock();
        if exits.len() >= RECORDS {
            let _ = exits.remove(0);
        }
        // Without memory the kernel's log has to do.
        let _ = exits.push(record, GFP_KERNEL);
    }
    if let Err(error) = send(news, dev, rtnl) {
        pr_warn!(
            "{}: user space wasn't told of a change of firmware (errno {})\n",
            dev.name(),
            -error.to_errno()
        );
    }
}

fn send(news: News<'_>, dev: &NetDevice, rtnl: &Rtnl) -> Result {
    let (event, firmware) = match news {
        News::Attach(firmware) => ("attach", *firmware),
        News::Replace(firmware) => ("replace", *firmware),
        News::Detach(firmware) => ("detach", *firmware),
        News::Exit(exit, _) => ("exit", exit.firmware),
    };
    let mut variables = KVec::new();
    let mut add = |variable: fmt::Arguments<'_>| -> Result {
        variables.push(CString::try_from_fmt(variable)?, GFP_KERNEL)?;
        Ok(())
    };
    add(fmt!("EKHO_EVENT={}", event))?;
    add(fmt!("EKHO_DEV={}", dev.name()))?;
    add(fmt!("EKHO_FIRMWARE={}", firmware))?;
    if let News::Exit(exit, _) = news {
        add(fmt!("EKHO_OP={}", exit.op))?;
        add(fmt!("EKHO_CODE={}", exit.code))?;
        add(fmt!("EKHO_REASON={}", exit.reason))?;
    }
    uevent::change(dev, &variables, rtnl)
}
