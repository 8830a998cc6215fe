// SPDX-License-Identifier: GPL-2.0-only

//! Tracepoints: `c/trace.h`.

use crate::{
    abstractions::{
        net::net_device::NetDevice,
        tracepoint::declare_module_trace, //
    },
    bindings::net_device,
    contract::{
        calls::Ops,
        name::Name,
        ops::{
            for_each_op,
            Op, //
        },
        reason::Reason, //
    },
};
use core::ffi::c_int;
use kernel::prelude::*;

macro_rules! declare_ops {
    ($($variant:ident $member:ident $presence:ident $result:ident,)*) => {
        ::kernel::macros::paste! {
            declare_module_trace! {
                $(
                    /// # Safety
                    ///
                    /// `dev` must be alive, and `firmware` a string.
                    unsafe fn [<ekho_ $member>](dev: *const net_device, firmware: *const u8, cookie: u64, result: c_int, duration_ns: u64);
                )*
            }
        }
    };
}
for_each_op!(declare_ops);

declare_module_trace! {
    /// # Safety
    ///
    /// `dev` must be alive, and the pointers to characters be strings.
    unsafe fn ekho_exit(dev: *const net_device, firmware: *const u8, generation: u32, op: *const kernel::ffi::c_char, code: *const kernel::ffi::c_char, value: i64, reason: *const u8);
}

/// An op ran. Any context.
pub(crate) fn op(
    op: Op,
    dev: &NetDevice,
    firmware: &Ops,
    cookie: u64,
    result: c_int,
    duration_ns: u64,
) {
    // Called one by one, so that each is no more than its branch while it is off.
    macro_rules! emit {
        ($($variant:ident $member:ident $presence:ident $result:ident,)*) => {
            ::kernel::macros::paste! {
                match op {
                    $(
                        // SAFETY: The device is alive, and a name is NUL-terminated.
                        Op::$variant => unsafe {
                            [<ekho_ $member>](
                                dev.as_raw(),
                                firmware.name_bytes().as_ptr(),
                                cookie,
                                result,
                                duration_ns,
                            )
                        },
                    )*
                }
            }
        };
    }
    for_each_op!(emit);
}

/// Firmware was stopped. Any context.
pub(crate) fn exit(
    dev: &NetDevice,
    firmware: &Name,
    generation: u32,
    op: Op,
    code: &CStr,
    value: i64,
    reason: &Reason,
) {
    // SAFETY: The device is alive; names and reasons are NUL-terminated.
    unsafe {
        ekho_exit(
            dev.as_raw(),
            firmware.bytes().as_ptr(),
            generation,
            op.c_name().as_char_ptr(),
            code.as_char_ptr(),
            value,
            reason.bytes().as_ptr(),
        );
    }
}
