// SPDX-License-Identifier: GPL-2.0-only

//! Firmware that was stopped.

#![deny(unsafe_code)]

use super::scope::{
    put_ident,
    Namespaces,
    EACH,
    IFINDEX, //
};
use crate::{
    abstractions::net::genetlink::{
        Batch,
        Command,
        Dump,
        Message,
        Policy,
        Request, //
    },
    contract::uapi,
    firmware::exit::{
        Code,
        Exit, //
    },
    lifecycle::{
        events,
        exit_records, //
    },
    offload::ident::Ident,
};
use kernel::prelude::*;

/// Describes what has happened to a firmware, on a device that held so many flows.
pub(super) fn put(message: &mut Message<'_>, ident: &Ident, exit: &Exit, flows: usize) -> Result {
    put_ident(message, ident)?;
    message.string(uapi::EKHO_A_EXIT_FIRMWARE, exit.firmware.bytes())?;
    message.u32(uapi::EKHO_A_EXIT_GENERATION, exit.generation)?;
    message.string(uapi::EKHO_A_EXIT_OP, exit.op.name().as_bytes())?;
    let code = match exit.code {
        Code::Return => uapi::ekho_exit_code_EKHO_EXIT_CODE_RETURN,
        Code::Budget => uapi::ekho_exit_code_EKHO_EXIT_CODE_BUDGET,
        Code::Recursion => uapi::ekho_exit_code_EKHO_EXIT_CODE_RECURSION,
        Code::Contract => uapi::ekho_exit_code_EKHO_EXIT_CODE_CONTRACT,
    };
    message.u32(uapi::EKHO_A_EXIT_CODE, code)?;
    message.sint(uapi::EKHO_A_EXIT_VALUE, exit.value)?;
    message.uint(uapi::EKHO_A_EXIT_FLOWS, flows as u64)?;
    message.uint(uapi::EKHO_A_EXIT_TIME_NS, exit.time_ns)?;
    message.string(uapi::EKHO_A_EXIT_REASON, exit.reason.bytes())
}

/// `exit-get`.
pub(super) struct Exits;

/// Where its dump stands.
pub(super) struct Progress {
    namespaces: Namespaces,
    ifindex: Option<u32>,
    /// The number of the last record that is done with.
    last: u64,
    changes: u64,
}

impl Command for Exits {
    const NUMBER: u8 = uapi::EKHO_CMD_EXIT_GET as u8;
    const POLICY: Policy = EACH;
}

impl Dump for Exits {
    type Context = Progress;

    fn start(request: &Request<'_>) -> Result<Progress> {
        Ok(Progress {
            namespaces: Namespaces::of(request)?,
            // The device may be gone.
            ifindex: request.u32(IFINDEX),
            last: 0,
            changes: events::changes(),
        })
    }

    fn next(progress: &mut Progress, batch: &mut Batch<'_>) -> Result {
        exit_records::for_each(|number, ident, exit, flows| {
            if number <= progress.last {
                return Ok(());
            }
            let is_wanted = progress.namespaces.contain(ident)
                && progress
                    .ifindex
                    .is_none_or(|ifindex| ident.ifindex == ifindex);
            if is_wanted {
                batch.message(|message| put(message, ident, exit, flows))?;
            }
            progress.last = number;
            Ok(())
        })
    }

    fn is_interrupted(progress: &Progress) -> bool {
        events::changes() != progress.changes
    }
}
