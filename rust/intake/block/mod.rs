// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of filters that are bound to devices, and the requests that arrive through them.
//!
//! | file | what is in it |
//! |---|---|
//! | [`bind_unbind`] | the kernel binds a block to a device, or unbinds it |
//! | [`binding`] | one block that is bound to a device, and which of its requests reach the firmware |
//! | [`binding_set`] | the bindings of all devices |
//! | [`callback`] | the kernel's requests that arrive through a binding |
//! | [`chain`] | those for rules of nftables, and the end of their chains |
//! | [`replay`] | existing filters are offered to new firmware, and taken back from firmware that is detached |
//!
//! | state | changed under | read under |
//! |---|---|---|
//! | the set of bindings | the locks of bind and unbind, `BINDINGS` | `BINDINGS` |
//! | `Binding::gate` | RTNL, a tc block's `cb_lock` for writing | `cb_lock` |
//! | `Binding::hooks` | the locks of bind and unbind | no lock: a reader may see the old ones |
//! | `Binding::nodes` | `nodes` | `nodes` |

pub(crate) mod bind_unbind;
pub(crate) mod binding;
pub(crate) mod binding_set;
pub(crate) mod callback;
pub(crate) mod chain;
mod replay;
