// SPDX-License-Identifier: GPL-2.0-only

//! The family and its operations.

#![deny(unsafe_code)]

use super::{
    cable, device, exit, fault, firmware, flow, nic,
    scope::{
        Each,
        One, //
    },
};
use crate::{
    abstractions::net::genetlink::{
        Family,
        Group,
        Operation, //
    },
    contract::uapi, //
};
use kernel::prelude::*;

/// The index of the group `events`.
pub(super) const EVENTS: usize = 0;

/// The index of the group `all-netns`: the events of all namespaces, sent in the initial one only.
pub(super) const ALL_NETNS: usize = 1;

/// The family.
pub(super) struct Ekho;

impl Family for Ekho {
    const NAME: &'static CStr = c"ekho";
    const VERSION: u32 = uapi::EKHO_FAMILY_VERSION;
    const OPERATIONS: &'static [Operation] = &[
        Operation::call::<device::ModuleGet>(),
        Operation::call::<One<device::DeviceGet>>(),
        Operation::dump::<Each<device::DeviceGet>>(),
        Operation::call::<device::PortGet>(),
        Operation::dump::<device::Ports>(),
        Operation::call::<One<firmware::Attached>>(),
        Operation::dump::<Each<firmware::Attached>>(),
        Operation::call::<One<firmware::Capability>>(),
        Operation::dump::<Each<firmware::Capability>>(),
        Operation::call::<flow::FlowGet>(),
        Operation::dump::<Each<flow::Flows>>(),
        Operation::dump::<Each<firmware::Refusals>>(),
        Operation::dump::<exit::Exits>(),
        Operation::dump::<Each<fault::Faults>>(),
        Operation::call::<fault::FaultSet>(),
        Operation::call::<fault::FaultClear>(),
        Operation::call::<cable::CableGet>(),
        Operation::dump::<cable::Cables>(),
        Operation::call::<cable::CableNew>(),
        Operation::call::<cable::CableDel>(),
        Operation::call::<nic::DeviceNew>(),
        Operation::call::<nic::DeviceDel>(),
    ];
    const GROUPS: &'static [Group] = &[Group::new(c"events"), Group::of_admins(c"all-netns")];
}
