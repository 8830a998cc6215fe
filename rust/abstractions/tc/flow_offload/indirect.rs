// SPDX-License-Identifier: GPL-2.0-only

//! Offload on behalf of devices whose drivers have none: indirect blocks, and actions that belong
//! to no device.

use crate::{
    abstractions::{
        net::net_device::NetDevice,
        tc::flow_offload::{
            block::{
                release_cb,
                Binder,
                BlockCallback,
                BlockOffload,
                Indirect, //
            },
            request::FlowRequest, //
        },
    },
    bindings, //
};
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::Arc, //
};

/// Serves devices whose drivers have no `ndo_setup_tc`.
pub(crate) trait IndirectDriver: 'static {
    /// What it binds to blocks.
    type Callback: BlockCallback;

    /// A block of filters is bound to such a device, or unbound.
    ///
    /// Process context; under RTNL if the block is a qdisc's. Not all blocks can be bound:
    /// [`BlockOffload::check`].
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_, Self::Callback>) -> Result;
}

/// The registration of an [`IndirectDriver`], until dropped.
///
/// # Invariants
///
/// The callback of `T` is registered.
pub(crate) struct IndirectRegistration<T: IndirectDriver>(PhantomData<T>);

// SAFETY: There is nothing in it.
unsafe impl<T: IndirectDriver> Send for IndirectRegistration<T> {}
// SAFETY: As above.
unsafe impl<T: IndirectDriver> Sync for IndirectRegistration<T> {}

impl<T: IndirectDriver> IndirectRegistration<T> {
    /// Registers for blocks that are bound from now on. Process context, without RTNL.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: `setup` is fit to be called from here on.
        to_result(unsafe { bindings::flow_indr_dev_register(Some(Self::setup), ptr::null_mut()) })?;
        // INVARIANT: Just registered.
        Ok(Self(PhantomData))
    }

    /// # Safety
    ///
    /// To be called as `flow_indr_block_bind_cb_t`.
    unsafe extern "C" fn setup(
        dev: *mut bindings::net_device,
        sch: *mut bindings::Qdisc,
        cb_priv: *mut c_void,
        kind: bindings::tc_setup_type,
        type_data: *mut c_void,
        data: *mut c_void,
        cleanup: Option<unsafe extern "C" fn(*mut bindings::flow_block_cb)>,
    ) -> c_int {
        if dev.is_null() {
            return -(bindings::EOPNOTSUPP as c_int);
        }
        let binder = match kind {
            bindings::tc_setup_type_TC_SETUP_BLOCK => Binder::Block,
            bindings::tc_setup_type_TC_SETUP_FT => Binder::Flowtable,
            _ => return -(bindings::EOPNOTSUPP as c_int),
        };
        // SAFETY: The request is the callee's for the length of the call.
        let bo: &mut bindings::flow_block_offload = unsafe { &mut *type_data.cast() };
        // To a new listener the kernel tells what it believes to be bound already; it forgets to
        // strike binds that failed (`flow_indr_dev_setup_offload()`), so device and block may be
        // gone. Nothing but the request itself may be looked at.
        if bo.block.is_null() {
            return -(bindings::EOPNOTSUPP as c_int);
        }
        // SAFETY: The device is registered for the length of the call.
        let net_dev = unsafe { NetDevice::from_raw(dev) };
        let indirect = Indirect {
            dev,
            sch,
            data,
            cb_priv,
            cleanup,
        };
        let block = BlockOffload::indirect(bo, binder, indirect);
        from_result(|| T::setup_block(net_dev, block).map(|()| 0))
    }
}

impl<T: IndirectDriver> Drop for IndirectRegistration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered, by the type invariants. Unbinds what was bound through `setup`, all
        // of it by `bind` of `BlockOffload<'_, T::Callback>`. RTNL isn't held, as the cleanup takes
        // it.
        unsafe {
            bindings::flow_indr_dev_unregister(
                Some(Self::setup),
                ptr::null_mut(),
                Some(release_cb::<T::Callback>),
            )
        };
    }
}

/// Receives requests for actions that filters share, and that belong to no device.
pub(crate) trait ActionCallback: Send + Sync + 'static {
    /// A request arrived. Process context, `flow_indr_block_lock` or the lock of the actions'
    /// table held; RTNL in parts.
    fn setup(&self, request: &mut FlowRequest<'_>) -> Result;
}

/// The registration of an [`ActionCallback`], until dropped. Existing actions are offered at the
/// start, and taken back at the end.
///
/// # Invariants
///
/// `setup` is registered with the pointer of the `Arc`.
pub(crate) struct ActionRegistration<T: ActionCallback>(Arc<T>);

impl<T: ActionCallback> ActionRegistration<T> {
    /// Registers. Process context.
    pub(crate) fn new(callback: Arc<T>) -> Result<Self> {
        let cb_priv = Arc::as_ptr(&callback).cast_mut().cast();
        // SAFETY: `setup` is fit to be called until it is unregistered, with `cb_priv` that lives
        // as long.
        to_result(unsafe { bindings::flow_indr_dev_register(Some(Self::setup), cb_priv) })?;
        // INVARIANT: Just registered.
        Ok(Self(callback))
    }

    /// # Safety
    ///
    /// To be called as `flow_indr_block_bind_cb_t` with the pointer of an `Arc<T>`.
    unsafe extern "C" fn setup(
        _dev: *mut bindings::net_device,
        _sch: *mut bindings::Qdisc,
        cb_priv: *mut c_void,
        kind: bindings::tc_setup_type,
        _type_data: *mut c_void,
        data: *mut c_void,
        _cleanup: Option<unsafe extern "C" fn(*mut bindings::flow_block_cb)>,
    ) -> c_int {
        if kind != bindings::tc_setup_type_TC_SETUP_ACT {
            return -(bindings::EOPNOTSUPP as c_int);
        }
        // SAFETY: By the requirements of this function.
        let callback = unsafe { &*cb_priv.cast_const().cast::<T>() };
        // SAFETY: That is what comes with `TC_SETUP_ACT`.
        let mut request = unsafe { FlowRequest::action(data.cast()) };
        from_result(|| callback.setup(&mut request).map(|()| 0))
    }
}

impl<T: ActionCallback> Drop for ActionRegistration<T> {
    fn drop(&mut self) {
        let cb_priv = Arc::as_ptr(&self.0).cast_mut().cast();
        // SAFETY: Registered, by the type invariants. It never bound a block.
        unsafe { bindings::flow_indr_dev_unregister(Some(Self::setup), cb_priv, None) };
    }
}
