// SPDX-License-Identifier: GPL-2.0-only

//! Tracepoints of the ops: `c/trace.h`.

use crate::{
    abstractions::{
        net_device::NetDevice,
        tracepoint::declare_module_trace, //
    },
    bindings::net_device,
    ops::contract::Name, //
};
use core::ffi::c_int;

declare_module_trace! {
    /// # Safety
    ///
    /// `dev` must be alive, and `firmware` a string.
    unsafe fn ekho_attach(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_detach(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_replace(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_destroy(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_stats(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_template_create(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_template_destroy(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_hnode(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
    /// # Safety
    ///
    /// As above.
    unsafe fn ekho_qdisc(dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
}

/// Which op ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Attach,
    Detach,
    Replace,
    Destroy,
    Stats,
    TemplateCreate,
    TemplateDestroy,
    Hnode,
    Qdisc,
}

impl Op {
    /// Its name in the contract.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Replace => "replace",
            Self::Destroy => "destroy",
            Self::Stats => "stats",
            Self::TemplateCreate => "template_create",
            Self::TemplateDestroy => "template_destroy",
            Self::Hnode => "hnode",
            Self::Qdisc => "qdisc",
        }
    }

    /// Tells tracers that it ran.
    pub(super) fn trace(
        self,
        dev: &NetDevice,
        firmware: &Name,
        cookie: u64,
        result: c_int,
        duration_ns: u64,
    ) {
        let emit = match self {
            Self::Attach => ekho_attach,
            Self::Detach => ekho_detach,
            Self::Replace => ekho_replace,
            Self::Destroy => ekho_destroy,
            Self::Stats => ekho_stats,
            Self::TemplateCreate => ekho_template_create,
            Self::TemplateDestroy => ekho_template_destroy,
            Self::Hnode => ekho_hnode,
            Self::Qdisc => ekho_qdisc,
        };
        // SAFETY: The device is alive, and a name is NUL-terminated.
        unsafe { emit(dev.as_raw(), firmware.as_ptr(), cookie, result, duration_ns) };
    }
}
