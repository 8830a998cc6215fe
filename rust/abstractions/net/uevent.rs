// SPDX-License-Identifier: GPL-2.0-only

//! Events about devices, for user space that listens to `NETLINK_KOBJECT_UEVENT`.
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)

use crate::{
    abstractions::net::net_device::{
        NetDevice,
        Rtnl, //
    },
    bindings, //
};
use core::ptr;
use kernel::{
    prelude::*,
    str::CString, //
};

/// Tells listeners in the device's network namespace that the device has changed, and how: in
/// variables of the form `NAME=value`, next to the kernel's own. Process context.
///
/// The device must be registered, or be in its unregister notification; RTNL keeps it so.
pub(crate) fn change(dev: &NetDevice, variables: &[CString], _rtnl: &Rtnl) -> Result {
    let mut pointers = KVec::with_capacity(variables.len() + 1, GFP_KERNEL)?;
    for variable in variables {
        pointers.push(variable.as_char_ptr().cast_mut(), GFP_KERNEL)?;
    }
    pointers.push(ptr::null_mut(), GFP_KERNEL)?;
    // SAFETY: The device is alive, and so is its kobject, which the kernel takes away after the
    // notification that the device goes. The strings are copied; their list ends in null.
    kernel::error::to_result(unsafe {
        bindings::ekho_helper_dev_uevent(dev.as_raw(), pointers.as_mut_ptr())
    })
}
