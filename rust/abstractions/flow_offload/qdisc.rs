// SPDX-License-Identifier: GPL-2.0-only

//! Requests to offload a qdisc, one type of data for each kind.

use crate::bindings;
use core::{
    ffi::c_void,
    ptr, //
};

/// A request about a qdisc: what `ndo_setup_tc` got with one of `TC_SETUP_QDISC_*`. RTNL is held.
pub(crate) struct QdiscRequest {
    kind: bindings::tc_setup_type,
    data: *mut c_void,
}

/// What a qdisc has done since it was last asked.
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

impl QdiscRequest {
    /// # Safety
    ///
    /// `kind` and `data` must be what `ndo_setup_tc` got, for the length of that call.
    pub(crate) unsafe fn from_raw(kind: bindings::tc_setup_type, data: *mut c_void) -> Self {
        Self { kind, data }
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

    /// Adds to what the kernel knows, if that is what the request asks for.
    pub(crate) fn add_stats(&self, stats: QdiscStats) {
        // SAFETY: The data is of the type that belongs to the kind.
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
