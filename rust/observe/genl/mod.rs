// SPDX-License-Identifier: GPL-2.0-only

//! The generic netlink family `ekho`: what user space can rely on.
//!
//! `docs/netlink/specs/ekho.yaml` specifies it; the numbers here come from the header that is
//! generated from it. Which attributes an operation takes is repeated here, and a test compares the
//! two (`selftests/genl.sh`).
//!
//! ```text
//!   request ─▶ Scope: the devices that it covers ─▶ for each: Ident, then what it asks for ─▶ message
//!                │                                    (RCU, or a lock of the device's own)
//!                └─ counts of changes ─────────────▶ moved? NLM_F_DUMP_INTR
//!
//!   lifecycle ─▶ events ─▶ multicast group "events" of the device's namespace
//! ```
//!
//! Nothing is locked between two buffers of a dump. A dump takes references to its devices when it
//! begins, in the order of their ids; a device that has gone, or has moved to another namespace, is
//! skipped. The flows of a device can't be walked in parts, since a hash table that changes has no
//! order to come back to. So the dump notes the cookies of all flows of a device in one go, 8 bytes
//! each, and looks each up when its turn comes. What is there throughout is in the dump once,
//! whatever else comes and goes; what comes later may be; `NLM_F_DUMP_INTR` tells that something did.
//! Cables are found anew for each buffer, in the order of their numbers, which aren't used again.
//!
//! | | taken by operations, in this order |
//! |---|---|
//! | by genetlink | `cb_lock`, or the socket's `nl_cb_mutex` |
//! | to set faults, and for cables | RTNL |
//! | to find devices | the lock of the set of devices |
//! | to describe one | its `ident`, or its `bindings`; RCU |
//!
//! What is described may change while it is described: figures are read one by one.

#![deny(unsafe_code)]

mod cable;
mod device;
mod events;
mod exit;
mod family;
mod fault;
mod firmware;
mod flow;
mod nic;
mod scope;

pub(crate) use events::Registered;
