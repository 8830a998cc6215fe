// SPDX-License-Identifier: GPL-2.0-only

//! Generic netlink: families of commands that user space sends to the kernel, and of notifications
//! that the kernel sends to user space.
//!
//! A family is a type that implements [`Family`]. Each of its operations is a type that implements
//! [`Do`], for a command that has one answer, or [`Dump`], for one that lists objects in as many
//! messages as it takes. [`Registration`] makes the family known.
//!
//! ```text
//!   sendmsg(2) ──▶ genl_rcv ──▶ permission, policy ──┬─▶ Do::call ──▶ reply or acknowledgement
//!                 (cb_lock)                          │
//!                                                    └─▶ Dump::start ─▶ Dump::next ─┐
//!                                                                                   ▼
//!   recvmsg(2) ─────────────────────────────────────────▶ Dump::next ◀── buffer full, more to come
//!                                                                                   │
//!   last message received, or socket closed ─▶ the context is dropped ◀─────────────┘
//! ```
//!
//! | | context | locks held |
//! |---|---|---|
//! | [`Do::call`], [`Dump::start`] | process, of the sender | genetlink's `cb_lock` for reading |
//! | [`Dump::next`] | process, of the sender or the receiver | the socket's `nl_cb_mutex`; the first time `cb_lock` as well |
//! | drop of [`Dump::Context`] | process, any | the socket's `nl_cb_mutex`, or none |
//!
//! All may sleep. Operations run in parallel, also with themselves; RTNL isn't held, and may be
//! taken. A dump holds the module from start to end, and its socket holds the network namespace.
//!
//! What a dump's context refers to may be gone when the next buffer is filled, so a context holds
//! references, or numbers to look up; no lock is held from one [`Dump::next`] to another.
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h)

mod command;
mod dump;
mod family;
mod message;
mod policy;
mod request;

pub(crate) use self::{
    command::{
        Command,
        Permission, //
    },
    dump::{
        Batch,
        Dump, //
    },
    family::{
        Family,
        Group,
        Operation,
        Registration, //
    },
    message::Message,
    policy::{
        Attribute,
        Policy,
        Range, //
    },
    request::{
        Capability,
        Do,
        Request, //
    },
};
