// SPDX-License-Identifier: GPL-2.0-only

//! Flowtables of tc's conntrack action: `struct nf_flowtable`.
//!
//! A filter that sends packets to conntrack ([`CtAction`]) hands the driver the flowtable of its
//! zone. A driver that takes the filter adds a callback to the table, and is then asked for each
//! connection of the zone as it is for one in a flowtable of nftables.
//!
//! ```text
//!   filter with action ct ──▶ CtAction ──▶ FlowtableCallback::new ──▶ requests for connections
//!                                                   │
//!                                                   └── drop: no request runs any more
//! ```
//!
//! A table lives for as long as an action or a callback refers to it; so does act_ct, the module
//! that frees it. The kernel doesn't say that its connections end with the callback: who drops that
//! has to forget them.
//!
//! C headers: [`include/net/netfilter/nf_flow_table.h`](srctree/include/net/netfilter/nf_flow_table.h),
//! [`include/net/tc_act/tc_ct.h`](srctree/include/net/tc_act/tc_ct.h)

use super::request::{
    FlowRequest,
    Request, //
};
use crate::{
    abstractions::{
        error::eopnotsupp,
        tc::flow_rule::CtAction, //
    },
    bindings, //
};
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::Arc, //
};

/// Who is asked for the connections of a table.
pub(crate) trait Tracker: Send + Sync + 'static {
    /// A request for one direction of a connection. Process context, with the table's
    /// `flow_block_lock` held for reading; several in parallel.
    fn setup(&self, request: &mut FlowRequest<'_>) -> Result;
}

/// Passes a request on to the tracker.
///
/// # Safety
///
/// To be called as `flow_setup_cb_t` with an `Arc<T>`'s pointer that isn't dropped meanwhile.
unsafe extern "C" fn setup_cb<T: Tracker>(
    kind: bindings::tc_setup_type,
    data: *mut c_void,
    cb_priv: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let tracker = unsafe { &*cb_priv.cast_const().cast::<T>() };
    // SAFETY: As above.
    let request = unsafe { Request::from_raw(kind, data) };
    from_result(|| match request {
        Some(Request::Flow(mut request)) => tracker.setup(&mut request).map(|()| 0),
        _ => Err(eopnotsupp()),
    })
}

/// Has a [`Tracker`] asked for the connections of a table until dropped.
///
/// # Invariants
///
/// The table has the callback of `tracker`, which keeps the table.
pub(crate) struct FlowtableCallback<T: Tracker> {
    table: NonNull<bindings::nf_flowtable>,
    tracker: Arc<T>,
}

// SAFETY: The callback may be taken off by any thread.
unsafe impl<T: Tracker> Send for FlowtableCallback<T> {}
// SAFETY: With a `&FlowtableCallback` one can only look at the tracker, which is `Sync`.
unsafe impl<T: Tracker> Sync for FlowtableCallback<T> {}

impl<T: Tracker> FlowtableCallback<T> {
    /// Adds a callback to the table of an action; takes its `flow_block_lock`. The kernel offers
    /// each connection that is there with its next packet.
    ///
    /// Fails with [`EBUSY`] if the action is being given another zone.
    pub(crate) fn new(action: CtAction<'_>, tracker: Arc<T>) -> Result<Self> {
        let cb_priv = Arc::as_ptr(&tracker).cast_mut().cast();
        // SAFETY: The entry is that of a ct action with a table, by the invariants of `CtAction`;
        // the tracker is dropped after the callback has been taken off.
        to_result(unsafe {
            bindings::ekho_helper_ct_add_cb(action.as_raw(), Some(setup_cb::<T>), cb_priv)
        })?;
        // INVARIANT: Just added. The table isn't null, since it was dereferenced.
        let table = NonNull::new(action.key() as *mut bindings::nf_flowtable).ok_or(EINVAL)?;
        Ok(Self { table, tracker })
    }

    /// Who is asked.
    pub(crate) fn tracker(&self) -> &Arc<T> {
        &self.tracker
    }
}

impl<T: Tracker> Drop for FlowtableCallback<T> {
    /// Process context; waits for requests that run. Takes the table's `flow_block_lock`.
    fn drop(&mut self) {
        let cb_priv = Arc::as_ptr(&self.tracker).cast_mut().cast();
        // SAFETY: The table has this callback and is kept by it, by the type invariants.
        unsafe {
            bindings::ekho_helper_flowtable_del_cb(
                self.table.as_ptr(),
                Some(setup_cb::<T>),
                cb_priv,
            );
        }
    }
}
