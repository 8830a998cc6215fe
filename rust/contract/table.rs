// SPDX-License-Identifier: GPL-2.0-only

//! The struct_ops table: `struct bpf_flow_offload_ops`.

use crate::{
    abstractions::{
        bpf::struct_ops::Parts,
        error::eopnotsupp, //
    },
    bindings,
    contract::{
        name::Name,
        ops::for_each_op, //
    },
};
use core::{
    ffi::c_int,
    mem::offset_of, //
};
use kernel::prelude::*;

/// The C table.
pub(crate) type Table = bindings::bpf_flow_offload_ops;

/// The newest contract.
pub(crate) const ABI: u32 = bindings::bpf_flow_offload_abi_BPF_FLOW_OFFLOAD_ABI;

/// The C parts of the struct_ops type.
pub(crate) fn parts() -> Parts {
    Parts {
        cfi_stubs: (&raw mut bindings::ekho_cfi_stubs).cast(),
        verifier_ops: &raw const bindings::ekho_verifier_ops,
        register: bindings::ekho_register_struct_ops,
    }
}

/// Registers the kfuncs for struct_ops programs.
pub(crate) fn register_kfuncs(module: &'static ThisModule) -> Result {
    // SAFETY: The module is being initialised.
    kernel::error::to_result(unsafe { bindings::ekho_register_kfuncs(module.as_ptr().cast()) })
}

/// Checks and copies a data member; see `StructOps::init_member`.
pub(crate) fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
    macro_rules! plain {
        ($($member:ident),*) => {
            $(if offset == offset_of!(Table, $member) {
                table.$member = user.$member;
                return Ok(true);
            })*
        };
    }
    if offset == offset_of!(Table, abi_version) {
        if !(1..=ABI).contains(&user.abi_version) {
            return Err(Error::from_errno(-(bindings::EPROTONOSUPPORT as c_int)));
        }
        table.abi_version = user.abi_version;
    } else if offset == offset_of!(Table, name) {
        table.name = *Name::new(user.name)?.bytes();
    } else if offset == offset_of!(Table, flow_size) {
        if user.flow_size > bindings::EKHO_FLOW_SIZE_MAX {
            return Err(E2BIG);
        }
        table.flow_size = user.flow_size;
    } else if offset == offset_of!(Table, tables) {
        if user.tables & !bindings::ekho_tables_EKHO_TABLES_RULES != 0 {
            return Err(eopnotsupp());
        }
        table.tables = user.tables;
    } else {
        plain!(
            ifindex,
            keys,
            actions,
            classifiers,
            hw_stats,
            max_flows,
            max_chains,
            prio_min,
            prio_max,
            max_actions,
            budget_us
        );
        return Ok(false);
    }
    Ok(true)
}

/// Checks that the table is complete; see `StructOps::validate`. Its data was checked by
/// [`init_member`], which the kernel calls for each member.
pub(crate) fn validate(table: &Table) -> Result {
    macro_rules! check {
        ($($variant:ident $member:ident $presence:ident $result:ident,)*) => {
            $(check!(@$presence $member);)*
        };
        (@optional $member:ident) => {};
        (@required $member:ident) => {
            if table.$member.is_none() {
                return Err(EINVAL);
            }
        };
    }
    for_each_op!(check);
    // What is executed is counted by the device.
    if table.stats.is_none() && table.tables == 0 {
        return Err(EINVAL);
    }
    Ok(())
}
