// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of filters that are bound to devices, and the requests that arrive through them.
//!
//! [`bind`] makes a [`binding::Binding`] and adds it to the set of [`bindings`]. [`callback`]
//! receives its requests, [`chain`] those for rules of nftables. [`replay`] offers existing filters
//! to new firmware, and takes them back from firmware that is detached.
//!
//! | state | changed under | read under |
//! |---|---|---|
//! | the set of bindings | the locks of bind and unbind, `BINDINGS` | `BINDINGS` |
//! | `Binding::gate` | RTNL, a tc block's `cb_lock` for writing | `cb_lock` |
//! | `Binding::hooks` | the locks of bind and unbind | no lock: a reader may see the old ones |
//! | `Binding::nodes` | `nodes` | `nodes` |

mod admit;
pub(crate) mod bind;
pub(crate) mod binding;
pub(crate) mod bindings;
pub(crate) mod callback;
pub(crate) mod chain;
pub(crate) mod gate;
mod replay;
