// SPDX-License-Identifier: GPL-2.0-only

//! Requests to offload a qdisc, one type of data for each kind.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::{
            net_device::NetDevice,
            netlink::ExtAck, //
        },
    },
    bindings, //
};
use core::{
    ffi::c_void,
    ptr, //
};
use kernel::prelude::*;

/// Answers `TC_QUERY_CAPS`: what the kernel checks before it asks the driver to offload a qdisc.
///
/// # Safety
///
/// `query` must be what `ndo_setup_tc` got with `TC_QUERY_CAPS`, for the length of that call.
pub(crate) unsafe fn query_caps(query: *mut bindings::tc_query_caps_base) -> Result {
    // SAFETY: By the requirements of this function.
    let query = unsafe { &*query };
    if query.type_ != bindings::tc_setup_type_TC_SETUP_QDISC_MQPRIO {
        return Err(eopnotsupp());
    }
    let caps: *mut bindings::tc_mqprio_caps = query.caps.cast();
    // Without it the kernel doesn't check the queues of traffic classes, and would read the
    // statistics of queues that the device doesn't have.
    //
    // SAFETY: The type says what the capabilities are; they are the callee's for the call.
    unsafe { (*caps).set_validate_queue_counts(true) };
    Ok(())
}

/// A request about a qdisc of a device: what `ndo_setup_tc` got with one of `TC_SETUP_QDISC_*`.
///
/// # Invariants
///
/// `data` is of the type that belongs to `kind`, and for `'a` nobody else's. RTNL is held by this
/// thread.
pub(crate) struct QdiscRequest<'a> {
    dev: &'a NetDevice,
    kind: bindings::tc_setup_type,
    data: *mut c_void,
}

/// What a qdisc has counted since the last report.
#[derive(Clone, Copy)]
pub(crate) struct QdiscStats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) drops: u32,
    pub(crate) overlimits: u32,
}

macro_rules! views {
    ($($(#[$doc:meta])* $name:ident: $kind:ident => $ty:ident;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name(&self) -> *mut bindings::$ty {
                self.view(bindings::$kind)
            }
        )*
    };
}

impl<'a> QdiscRequest<'a> {
    /// # Safety
    ///
    /// `kind` and `data` must be what `ndo_setup_tc` of `dev` got, and `'a` be no longer than that
    /// call.
    pub(crate) unsafe fn from_raw(
        dev: &'a NetDevice,
        kind: bindings::tc_setup_type,
        data: *mut c_void,
    ) -> Self {
        // INVARIANT: By the requirements of this function; RTNL is held for all of them.
        Self { dev, kind, data }
    }

    /// The device.
    pub(crate) fn dev(&self) -> &'a NetDevice {
        self.dev
    }

    /// `enum tc_setup_type`.
    pub(crate) fn kind(&self) -> u32 {
        self.kind
    }

    fn view<T>(&self, kind: bindings::tc_setup_type) -> *mut T {
        if self.kind == kind {
            self.data.cast()
        } else {
            ptr::null_mut()
        }
    }

    views! {
        /// The request if it is of that kind, or null; likewise the others.
        mqprio: tc_setup_type_TC_SETUP_QDISC_MQPRIO => tc_mqprio_qopt_offload;
        /// See [`Self::mqprio`].
        taprio: tc_setup_type_TC_SETUP_QDISC_TAPRIO => tc_taprio_qopt_offload;
        /// See [`Self::mqprio`].
        ets: tc_setup_type_TC_SETUP_QDISC_ETS => tc_ets_qopt_offload;
        /// See [`Self::mqprio`].
        red: tc_setup_type_TC_SETUP_QDISC_RED => tc_red_qopt_offload;
        /// See [`Self::mqprio`].
        gred: tc_setup_type_TC_SETUP_QDISC_GRED => tc_gred_qopt_offload;
        /// See [`Self::mqprio`].
        tbf: tc_setup_type_TC_SETUP_QDISC_TBF => tc_tbf_qopt_offload;
        /// See [`Self::mqprio`].
        prio: tc_setup_type_TC_SETUP_QDISC_PRIO => tc_prio_qopt_offload;
        /// See [`Self::mqprio`].
        htb: tc_setup_type_TC_SETUP_QDISC_HTB => tc_htb_qopt_offload;
        /// See [`Self::mqprio`].
        fifo: tc_setup_type_TC_SETUP_QDISC_FIFO => tc_fifo_qopt_offload;
        /// See [`Self::mqprio`].
        cbs: tc_setup_type_TC_SETUP_QDISC_CBS => tc_cbs_qopt_offload;
        /// See [`Self::mqprio`].
        etf: tc_setup_type_TC_SETUP_QDISC_ETF => tc_etf_qopt_offload;
        /// See [`Self::mqprio`].
        mq: tc_setup_type_TC_SETUP_QDISC_MQ => tc_mq_qopt_offload;
        /// See [`Self::mqprio`].
        root: tc_setup_type_TC_SETUP_ROOT_QDISC => tc_root_qopt_offload;
    }

    /// The name of the kind of qdisc, as tc has it.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            bindings::tc_setup_type_TC_SETUP_QDISC_MQPRIO => "mqprio",
            bindings::tc_setup_type_TC_SETUP_QDISC_TAPRIO => "taprio",
            bindings::tc_setup_type_TC_SETUP_QDISC_HTB => "htb",
            _ => "this qdisc",
        }
    }

    /// The extack for the reason of a refusal. Qdiscs that fail if they aren't offloaded have one,
    /// except cbs and etf.
    pub(crate) fn extack(&self) -> ExtAck<'_> {
        // SAFETY: By the type invariants; the acknowledgement in it is null, or valid for the length
        // of the request and used by nobody else during it.
        unsafe { ExtAck::from_raw(bindings::ekho_helper_qdisc_extack(self.kind, self.data)) }
    }

    /// Whether the request ends the offload of a mqprio.
    pub(crate) fn ends_mqprio(&self) -> bool {
        // SAFETY: Null, or valid by the type invariants.
        unsafe { self.mqprio().as_ref() }.is_some_and(|mqprio| mqprio.qopt.num_tc == 0)
    }

    /// Configures the traffic classes of the device, as the kernel expects of a driver.
    pub(crate) fn map_traffic_classes(&self) {
        let mqprio = self.mqprio();
        if !mqprio.is_null() {
            // SAFETY: Valid by the type invariants, for this device, with RTNL held.
            unsafe { bindings::ekho_helper_mqprio_map(self.dev.as_raw(), mqprio) };
        }
    }

    /// Whether the queue in the answer is free: htb doesn't check the queue for a class.
    pub(crate) fn has_free_queue(&self) -> bool {
        let htb = self.htb();
        // SAFETY: Valid by the type invariants, for this device, with RTNL held.
        htb.is_null() || unsafe { bindings::ekho_helper_htb_queue_ok(self.dev.as_raw(), htb) }
    }

    /// The queue that the answer names, if the device hasn't got it; the answer is made one that
    /// names the first then.
    pub(crate) fn queue_beyond(&self) -> Option<u16> {
        // SAFETY: Null, or valid by the type invariants; the reference isn't kept.
        let htb = unsafe { self.htb().as_mut()? };
        (u32::from(htb.qid) >= self.dev.num_tx_queues())
            .then(|| core::mem::replace(&mut htb.qid, 0))
    }

    /// Adds to the statistics, if the request asks for statistics.
    pub(crate) fn add_stats(&self, stats: QdiscStats) {
        // SAFETY: By the type invariants.
        unsafe {
            bindings::ekho_helper_qdisc_add_stats(
                self.kind,
                self.data,
                stats.bytes,
                stats.packets,
                stats.drops,
                stats.overlimits,
            );
        }
    }
}
