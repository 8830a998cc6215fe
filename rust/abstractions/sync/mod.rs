// SPDX-License-Identifier: GPL-2.0-only

//! Data that several contexts share, and work that is left for later.

pub(crate) mod cache;
pub(crate) mod cookie_table;
pub(crate) mod kept;
pub(crate) mod keyed_table;
pub(crate) mod once_box;
pub(crate) mod percpu;
pub(crate) mod rcu;
pub(crate) mod recursion;
pub(crate) mod workqueue;
