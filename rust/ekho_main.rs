// SPDX-License-Identifier: GPL-2.0-only

//! EKHO: Extending Kernel Hardware Offload.
//!
//! BPF firmware implements the kernel's flow-offload callbacks on behalf of network devices.
//!
//! ```text
//!   tc ──▶ cls_flower ──▶ device (ndo_setup_tc) ──┐
//!                     └─▶ indirect blocks ────────┤
//!                                                 ▼
//!                                              intake ──▶ flows
//!                                                 │
//!                                                 ▼
//!   bpf(2) ──▶ lifecycle ──▶ offload ──────▶ firmware ──▶ contract ──▶ BPF
//!                              │
//!                              └──▶ observe ──▶ netlink, debugfs
//! ```
//!
//! Layers, from low to high; each uses only those before it, which `make lint` checks: [`bindings`]
//! (generated), [`abstractions`] (know nothing of EKHO), [`contract`], [`flows`], [`faults`],
//! [`firmware`], [`offload`], [`hardware`], [`intake`], [`device`], [`lifecycle`], [`observe`].

#![crate_name = "ekho"]

mod abstractions;
mod bindings;
mod contract;
mod device;
mod faults;
mod firmware;
mod flows;
mod hardware;
mod intake;
mod lifecycle;
#[cfg(ekho_native)]
#[path = "../bench/native/native.rs"]
mod native;
mod observe;
mod offload;
mod version;

use abstractions::{
    compat,
    debugfs::Files,
    net::{
        net_device::Watch,
        rtnl_link::LinkRegistration, //
    },
    tc::flow_offload::{
        nft,
        IndirectRegistration, //
    },
};
use device::{
    clock::Clock,
    netdev,
    nic, //
};
use firmware::budget;
use hardware::{
    cable,
    port,
    rules, //
};
use intake::{
    block::{
        binding::Binding,
        binding_set,
        callback,
        chain::Owners, //
    },
    ct_zones, //
};
use kernel::prelude::*;
use lifecycle::{
    notifier::Devices,
    struct_ops, //
};
use observe::{
    debugfs,
    genl, //
};
use offload::{
    devices,
    work, //
};

module! {
    type: Ekho,
    name: "ekho",
    authors: ["EKHO developers"],
    description: "Flow offload by BPF firmware",
    license: "GPL v2",
    alias: ["rtnl-link-ekho"],
    params: {
        budget_us: u32 {
            default: 10000,
            description: "Microseconds that an op of firmware may take, unless it declares its own budget",
        },
    },
}

/// The module.
///
/// The module can be removed only while no firmware is loaded, as each struct_ops map holds a
/// reference to it. Fields are dropped in this order.
#[pin_data]
struct Ekho {
    #[pin]
    debugfs: Files,
    netlink: genl::Registered,
    indirect: Indirect,
    nics: nic::Registered,
    #[pin]
    link: LinkRegistration<netdev::Ekho>,
    #[pin]
    watch: Watch<Devices>,
    #[pin]
    owners: nft::Watch<Owners>,
    #[pin]
    clock: Clock,
    end: End,
}

impl kernel::InPlaceModule for Ekho {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            end: End::new()?,
            clock <- Clock::new(module),
            owners <- nft::Watch::new(),
            watch <- Watch::new(),
            link <- LinkRegistration::new(),
            nics: nic::Registered::new(module)?,
            indirect: Indirect(IndirectRegistration::new()?),
            netlink: genl::Registered::new(module)?,
            debugfs <- debugfs::files(module),
            _: {
                struct_ops::register(module).inspect_err(|error| {
                    if *error == ENOEXEC {
                        pr_err!("the module was built without BTF: build it with a vmlinux in the kernel's build directory\n");
                    }
                })?;
            },
        } ? Error)
    }
}

/// The registration for indirect blocks; the kernel releases their bindings when it is dropped.
struct Indirect(IndirectRegistration<Binding>);

impl Drop for Indirect {
    fn drop(&mut self) {
        callback::close();
    }
}

/// What is initialised first and dropped last.
struct End;

impl End {
    fn new() -> Result<Self> {
        // Made first: `drop` copes with what isn't initialised yet.
        let end = Self;
        budget::set_default(compat::param(module_parameters::budget_us.value()));
        flows::init()?;
        cable::init();
        rules::init()?;
        port::find_by(netdev::find);
        nic::init();
        devices::init();
        binding_set::init();
        ct_zones::init();
        lifecycle::init()?;
        work::init()?;
        Ok(end)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        work::drain();
        lifecycle::clear();
        devices::clear();
        cable::clear();
        rules::end();
        faults::clear();
        flows::end();
    }
}
