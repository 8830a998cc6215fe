// SPDX-License-Identifier: GPL-2.0-only

//! EKHO: Extending Kernel Hardware Offload.
//!
//! BPF firmware implements the kernel's flow-offload callbacks on behalf of network devices.
//!
//! ```text
//!   tc ──▶ cls_flower ──▶ device (ndo_setup_tc) ──┐
//!                     └─▶ indirect blocks ────────┤
//!                                                 ▼
//!                                              intake ──▶ flows      what was accepted
//!                                                 │
//!                                                 ▼
//!   bpf(2) ──▶ lifecycle ──▶ port ───────────▶ ops ──▶ firmware (BPF)
//!                              │
//!                              └──▶ observe ──▶ debugfs
//! ```
//!
//! Layers: [`bindings`] (generated) are used by [`abstractions`] only, which know nothing of EKHO;
//! the rest is the driver.

#![crate_name = "ekho"]

mod abstractions;
mod bindings;
mod device;
mod faults;
mod flows;
mod intake;
mod lifecycle;
#[cfg(ekho_native)]
mod native;
mod observe;
mod ops;
mod port;

use abstractions::{
    compat,
    debugfs::Files,
    net::{
        net_device::Watch,
        rtnl_link::LinkRegistration, //
    },
    sync::rcu,
    tc::flow_offload::IndirectRegistration, //
};
use kernel::prelude::*;
use port::Binding;

/// The module's version.
const VERSION: &str = "0.1.0";

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

/// Microseconds that an op may take if the firmware doesn't say.
fn default_budget_us() -> u32 {
    match compat::param(module_parameters::budget_us.value()) {
        // No op takes no time.
        0 => 10_000,
        budget_us => budget_us,
    }
}

/// The module.
///
/// It can only be removed while no firmware exists: each is a struct_ops map, which holds the
/// module. So what is left to take down is devices and bindings, in this order.
#[pin_data]
struct Ekho {
    #[pin]
    observe: Files,
    indirect: Indirect,
    #[pin]
    link: LinkRegistration<device::Ekho>,
    #[pin]
    watch: Watch<lifecycle::Devices>,
    #[pin]
    clock: device::Clock,
    end: End,
}

impl kernel::InPlaceModule for Ekho {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            end: End::new()?,
            clock <- device::Clock::new(module),
            watch <- Watch::new(),
            link <- LinkRegistration::new(),
            indirect: Indirect(IndirectRegistration::new()?),
            observe <- observe::files(module),
            _: {
                lifecycle::register(module).inspect_err(|error| {
                    if *error == ENOEXEC {
                        pr_err!("the module was built without BTF: build it with a vmlinux in the kernel's build directory\n");
                    }
                })?;
            },
        } ? Error)
    }
}

/// Indirect blocks; the kernel cleans up after them when they are given up.
struct Indirect(IndirectRegistration<Binding, Binding>);

impl Drop for Indirect {
    fn drop(&mut self) {
        intake::blocks::close();
    }
}

/// What has to be ready first and goes last.
struct End;

impl End {
    fn new() -> Result<Self> {
        // What `drop` takes down need not have been set up.
        let end = Self;
        port::init();
        lifecycle::init()?;
        intake::init()?;
        Ok(end)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        intake::drain();
        lifecycle::clear();
        port::clear();
        faults::clear();
        // Flows are freed by RCU callbacks in this module's text.
        rcu::barrier();
    }
}
