// SPDX-License-Identifier: GPL-2.0-only

//! The struct_ops type `bpf_flow_offload_ops`: what user space does with a map or link of it leads to
//! [`attach`], [`replace`] or [`detach`].

#![deny(unsafe_code)]

use crate::{
    abstractions::bpf::struct_ops::{
        Descriptor,
        Link,
        Parts,
        StructOps,
        TableRef, //
    },
    contract::table::{
        self,
        Table, //
    },
    lifecycle::{
        attach,
        detach,
        replace, //
    },
};
use kernel::prelude::*;

/// The struct_ops type `bpf_flow_offload_ops`.
pub(crate) struct FlowOffloadOps;

static DESCRIPTOR: Descriptor<FlowOffloadOps> = Descriptor::new();

/// Registers the type and its kfuncs. Firmware can be attached from here on.
pub(crate) fn register(module: &'static ThisModule) -> Result {
    table::register_kfuncs(module)?;
    DESCRIPTOR.register(module)
}

impl StructOps for FlowOffloadOps {
    const NAME: &'static CStr = c"bpf_flow_offload_ops";
    type Table = Table;

    fn parts() -> Parts {
        table::parts()
    }

    fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
        #[cfg(ekho_native)]
        if crate::native::init_member(table, user, offset)? {
            return Ok(true);
        }
        table::init_member(table, user, offset)
    }

    fn validate(table: &Table) -> Result {
        table::validate(table)
    }

    fn reg(table: TableRef<Table>, link: &Link) -> Result {
        attach::attach(table, link)
    }

    fn unreg(link: &Link) {
        detach::link_closed(link);
    }

    fn update(table: TableRef<Table>, link: &Link) -> Result {
        replace::replace(table, link)
    }
}
