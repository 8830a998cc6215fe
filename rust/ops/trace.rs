// SPDX-License-Identifier: GPL-2.0-only

//! Tracepoints of the ops: `c/trace.h`.

use crate::{
    abstractions::{
        net::net_device::NetDevice,
        tracepoint::declare_module_trace, //
    },
    bindings::{
        net_device,
        EKHO_NAME_MAX, //
    },
    ops::exit::Exit, //
};
use core::{
    ffi::c_int,
    fmt, //
};
use kernel::prelude::*;

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
    /// # Safety
    ///
    /// `dev` must be alive, and the pointers to characters be strings.
    unsafe fn ekho_exit(dev: *const net_device, firmware: *const u8, generation: u32, op: *const kernel::ffi::c_char, code: *const kernel::ffi::c_char, value: i64, reason: *const u8);
}

/// Which op ran.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
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
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Attach => c"attach",
            Self::Detach => c"detach",
            Self::Replace => c"replace",
            Self::Destroy => c"destroy",
            Self::Stats => c"stats",
            Self::TemplateCreate => c"template_create",
            Self::TemplateDestroy => c"template_destroy",
            Self::Hnode => c"hnode",
            Self::Qdisc => c"qdisc",
        }
    }

    /// Its place among the sites of faults.
    pub(super) fn site(self) -> usize {
        self as usize
    }

    /// Tells tracers that it ran.
    pub(super) fn trace(
        self,
        dev: &NetDevice,
        firmware: &[u8; EKHO_NAME_MAX as usize],
        cookie: u64,
        result: c_int,
        duration_ns: u64,
    ) {
        // Called one by one, so that each is no more than its branch while it is off.
        macro_rules! emit {
            ($($op:ident => $emit:ident),* $(,)?) => {
                match self {
                    $(
                        // SAFETY: The device is alive, and a name is NUL-terminated.
                        Self::$op => unsafe {
                            $emit(dev.as_raw(), firmware.as_ptr(), cookie, result, duration_ns)
                        },
                    )*
                }
            };
        }
        emit! {
            Attach => ekho_attach,
            Detach => ekho_detach,
            Replace => ekho_replace,
            Destroy => ekho_destroy,
            Stats => ekho_stats,
            TemplateCreate => ekho_template_create,
            TemplateDestroy => ekho_template_destroy,
            Hnode => ekho_hnode,
            Qdisc => ekho_qdisc,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().to_str().unwrap_or("?"))
    }
}

impl kernel::fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells tracers that firmware was stopped.
pub(super) fn exit(dev: &NetDevice, exit: &Exit) {
    // SAFETY: The device is alive; names and reasons are NUL-terminated.
    unsafe {
        ekho_exit(
            dev.as_raw(),
            exit.firmware.as_ptr(),
            exit.generation,
            exit.op.name().as_char_ptr(),
            exit.code.name().as_char_ptr(),
            exit.value,
            exit.reason.bytes().as_ptr(),
        );
    }
}
