// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of filters that are bound to devices, and the requests that arrive through them.
//!
//! [`bind`] makes a [`binding::Binding`] and adds it to the set of [`bindings`], `callback` receives
//! its requests, [`replay`] brings filters to firmware that is attached and takes them back,
//! [`forgotten`] ends bindings that the kernel doesn't.
//!
//! | state | changed under | read under |
//! |---|---|---|
//! | the set of bindings | the locks of bind and unbind, `BINDINGS` | `BINDINGS` |
//! | `Binding::gate` | RTNL, a tc block's `cb_lock` for writing | `cb_lock` |
//! | `Binding::hooks` | the locks of bind and unbind | none: a late reader is told the old ones |
//! | `Binding::nodes` | `nodes` | `nodes` |

pub(crate) mod bind;
pub(crate) mod binding;
pub(crate) mod bindings;
pub(crate) mod callback;
pub(crate) mod forgotten;
pub(crate) mod gate;
mod replay;
