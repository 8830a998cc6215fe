// SPDX-License-Identifier: GPL-2.0-only

//! Flow offload: blocks of filters that are bound to devices, and the requests that arrive for
//! the filters in them.
//!
//! C headers: [`include/net/flow_offload.h`](srctree/include/net/flow_offload.h),
//! [`include/net/pkt_cls.h`](srctree/include/net/pkt_cls.h)
//!
//! ```text
//!   BIND ──▶ BlockOffload::bind ──▶ BlockCallback::setup (requests) ──▶ UNBIND ──▶ release
//!                                        ▲
//!              TcBlock::reoffload ───────┘  the kernel walks its filters again
//! ```
//!
//! | call | locks held by the kernel |
//! |---|---|
//! | bind and unbind of a qdisc's block | RTNL, the block's `cb_lock` for writing |
//! | the same through an indirect block | and then `flow_indr_block_lock` |
//! | flower requests | `cb_lock` for reading; RTNL where a callback of the block needs it |
//! | flower statistics of nftables | RCU: atomic |
//! | reoffload | RTNL; `cb_lock` for writing, taken here |

use crate::{
    abstractions::{
        flow_rule::FlowRule,
        net_device::{
            NetDevice,
            Rtnl, //
        },
        netlink::{
            ExtAck,
            OwnExtAck, //
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
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    error::{
        from_err_ptr,
        from_result, //
    },
    prelude::*,
    sync::Arc, //
};

/// The error for requests that a driver has no use for.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// The receiver of the requests of one block on one device.
pub(crate) trait BlockCallback: Send + Sync + 'static {
    /// A request arrived. May be atomic context if it is [`FlowerCommand::Stats`].
    fn setup(&self, request: &mut ClsRequest<'_>) -> Result;

    /// The kernel has forgotten the binding: no request follows. Process context, same locks as
    /// unbind.
    fn release(&self, locked: Released<'_>);
}

/// What [`BlockCallback::release`] may do to the block that it leaves.
pub(crate) struct Released<'a>(PhantomData<&'a ()>);

impl Released<'_> {
    /// Corrects the block's count of callbacks that need RTNL, when the kernel cleans up after an
    /// indirect callback that didn't count.
    ///
    /// `tc_block_indr_cleanup()` never asks the driver whether its callback was unlocked and
    /// always counts one off (`net/sched/cls_api.c`).
    pub(crate) fn uncount_indirect_cleanup(&self, block: TcBlock) {
        // SAFETY: The kernel calls `release` for this block with RTNL and `cb_lock` held, which
        // guard the count, and it lowers the count right after. The count may be off already, by
        // the doing of others.
        unsafe {
            let count = &raw mut (*block.0.as_ptr()).lockeddevcnt;
            *count = (*count).wrapping_add(1);
        }
    }
}

/// Passes a request on to the callback.
///
/// # Safety
///
/// To be called as `flow_setup_cb_t` of a binding whose `cb_priv` is an `Arc<T>`'s pointer.
unsafe extern "C" fn setup_cb<T: BlockCallback>(
    kind: bindings::tc_setup_type,
    data: *mut c_void,
    cb_priv: *mut c_void,
) -> c_int {
    // SAFETY: The binding owns a reference until `release_cb`.
    let callback = unsafe { &*cb_priv.cast_const().cast::<T>() };
    let mut request = match kind {
        bindings::tc_setup_type_TC_SETUP_CLSFLOWER => {
            // SAFETY: That is the type of this request's data, the callee's for the length of the
            // call.
            ClsRequest::Flower(ClsFlower(unsafe { &mut *data.cast() }))
        }
        _ => ClsRequest::Other,
    };
    from_result(|| callback.setup(&mut request).map(|()| 0))
}

/// Drops the binding's reference.
///
/// # Safety
///
/// To be called as `release` of such a binding, once.
unsafe extern "C" fn release_cb<T: BlockCallback>(cb_priv: *mut c_void) {
    // SAFETY: The reference that `bind` gave away.
    let callback = unsafe { Arc::from_raw(cb_priv.cast_const().cast::<T>()) };
    callback.release(Released(PhantomData));
}

/// Whether a block comes or goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockCommand {
    /// It is bound to the device.
    Bind,
    /// It is unbound.
    Unbind,
}

/// The part of an indirect request that a direct one doesn't have.
struct Indirect {
    dev: *mut bindings::net_device,
    sch: *mut bindings::Qdisc,
    data: *mut c_void,
    cb_priv: *mut c_void,
    cleanup: Option<unsafe extern "C" fn(*mut bindings::flow_block_cb)>,
}

/// A request to bind or unbind a block: `struct flow_block_offload`.
pub(crate) struct BlockOffload<'a> {
    bo: &'a mut bindings::flow_block_offload,
    indirect: Option<Indirect>,
}

impl<'a> BlockOffload<'a> {
    /// # Safety
    ///
    /// `bo` must be what `ndo_setup_tc` got with `TC_SETUP_BLOCK`, for the length of that call.
    pub(crate) unsafe fn direct(bo: *mut bindings::flow_block_offload) -> Self {
        Self {
            // SAFETY: By the requirements of this function.
            bo: unsafe { &mut *bo },
            indirect: None,
        }
    }

    /// Whether the block comes or goes.
    pub(crate) fn command(&self) -> BlockCommand {
        match self.bo.command {
            bindings::flow_block_command_FLOW_BLOCK_BIND => BlockCommand::Bind,
            _ => BlockCommand::Unbind,
        }
    }

    /// Whether filters of the block see packets of `clsact` or `ingress`, as opposed to those of a
    /// qdisc event.
    pub(crate) fn is_classifier(&self) -> bool {
        matches!(
            self.bo.binder_type,
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_INGRESS
                | bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_EGRESS
        )
    }

    /// The tc block in question; none if the block is nftables'.
    pub(crate) fn tc_block(&self) -> Option<TcBlock> {
        let block = match &self.indirect {
            Some(indirect) if !indirect.sch.is_null() => indirect.data.cast(),
            // SAFETY: The blocks of qdiscs are part of a `struct tcf_block`.
            None if !self.bo.sch.is_null() => unsafe {
                bindings::ekho_helper_tcf_block(self.bo.block)
            },
            _ => return None,
        };
        // INVARIANT: It is bound for the length of the request at least.
        NonNull::new(block).map(TcBlock)
    }

    /// Whether the request came through an indirect block.
    pub(crate) fn is_indirect(&self) -> bool {
        self.indirect.is_some()
    }

    /// Whether the block has no chains, and so no filters that the kernel will offer. True for
    /// blocks that aren't tc's.
    pub(crate) fn is_empty(&self) -> bool {
        let Some(block) = self.tc_block() else {
            return true;
        };
        // SAFETY: The block is alive for the length of the request; returns a reference, if any.
        let mut chain = unsafe { bindings::tcf_get_next_chain(block.0.as_ptr(), ptr::null_mut()) };
        let empty = chain.is_null();
        // The kernel exports the iterator but not the put: only going on to the end of the list
        // gives the reference back. Chains are kept by their filters, or by the user.
        while !chain.is_null() {
            // SAFETY: The iterator takes back the reference that it gave.
            chain = unsafe { bindings::tcf_get_next_chain(block.0.as_ptr(), chain) };
        }
        empty
    }

    /// Where to give the reason of a refusal.
    pub(crate) fn extack(&mut self) -> ExtAck<'_> {
        // SAFETY: Null, or valid for the length of the request.
        unsafe { ExtAck::from_raw(self.bo.extack) }
    }

    fn lookup<T: BlockCallback>(&self, ident: usize) -> *mut bindings::flow_block_cb {
        let Some(block) = self.tc_block() else {
            return ptr::null_mut();
        };
        // SAFETY: The block is locked by the kernel for the length of the request.
        unsafe {
            bindings::flow_block_cb_lookup(
                &raw mut (*block.0.as_ptr()).flow_block,
                Some(setup_cb::<T>),
                ident as *mut c_void,
            )
        }
    }

    /// Lets `ident` share the callback that it bound to this block before (the other direction of
    /// the same device). Returns false if there is none.
    pub(crate) fn share<T: BlockCallback>(&mut self, ident: usize) -> bool {
        let block_cb = self.lookup::<T>(ident);
        if block_cb.is_null() {
            return false;
        }
        self.bo.unlocked_driver_cb = true;
        // SAFETY: Just found; the kernel holds the block's lock.
        unsafe { bindings::flow_block_cb_incref(block_cb) };
        true
    }

    /// Adds `callback` to the block. The kernel then asks it for each filter that is there.
    ///
    /// Requests will arrive without RTNL, and in parallel.
    pub(crate) fn bind<T: BlockCallback>(&mut self, ident: usize, callback: Arc<T>) -> Result {
        let cb_priv: *mut c_void = Arc::into_raw(callback).cast_mut().cast();
        let ident = ident as *mut c_void;
        // SAFETY: `setup_cb` and `release_cb` are made for `cb_priv`; the indirect arguments are
        // passed on as they came.
        let block_cb = from_err_ptr(unsafe {
            match &self.indirect {
                None => bindings::flow_block_cb_alloc(
                    Some(setup_cb::<T>),
                    ident,
                    cb_priv,
                    Some(release_cb::<T>),
                ),
                Some(indirect) => bindings::flow_indr_block_cb_alloc(
                    Some(setup_cb::<T>),
                    ident,
                    cb_priv,
                    Some(release_cb::<T>),
                    self.bo,
                    indirect.dev,
                    indirect.sch,
                    indirect.data,
                    indirect.cb_priv,
                    indirect.cleanup,
                ),
            }
        })
        .inspect_err(|_| {
            // SAFETY: Nobody took the reference that was given away above.
            drop(unsafe { Arc::from_raw(cb_priv.cast_const().cast::<T>()) });
        })?;
        self.bo.unlocked_driver_cb = true;
        // SAFETY: `block_cb` is new, with a count of zero, and the request's own list takes it.
        unsafe {
            bindings::flow_block_cb_incref(block_cb);
            bindings::ekho_helper_block_cb_add(block_cb, self.bo);
        }
        Ok(())
    }

    /// Takes the callback of `ident` off the block, unless it is still shared: returns whether.
    /// The kernel then asks it to destroy each flow and releases it.
    pub(crate) fn unbind<T: BlockCallback>(&mut self, ident: usize) -> Result<bool> {
        let block_cb = self.lookup::<T>(ident);
        if block_cb.is_null() {
            return Err(ENOENT);
        }
        self.bo.unlocked_driver_cb = true;
        // SAFETY: Found on the block, which the kernel has locked.
        unsafe {
            if bindings::flow_block_cb_decref(block_cb) != 0 {
                return Ok(false);
            }
            bindings::ekho_helper_block_cb_remove(block_cb, self.bo, self.indirect.is_some());
        }
        Ok(true)
    }
}

/// A block of tc filters: `struct tcf_block`.
///
/// # Invariants
///
/// The block is bound to a device at the time that the object is made. Who keeps the object must
/// forget it at unbind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcBlock(NonNull<bindings::tcf_block>);

// SAFETY: Blocks aren't tied to a thread.
unsafe impl Send for TcBlock {}
// SAFETY: As above; all use is through `lock`.
unsafe impl Sync for TcBlock {}

impl TcBlock {
    /// Calls `f` while no request for the block's filters runs. Process context.
    ///
    /// # Safety
    ///
    /// The block must still be bound, which RTNL keeps it, and its `cb_lock` not be held by this
    /// thread.
    pub(crate) unsafe fn locked<R>(self, _rtnl: &Rtnl, f: impl FnOnce() -> R) -> R {
        // SAFETY: The block is alive, by the requirements of this function.
        unsafe { bindings::down_write(&raw mut (*self.0.as_ptr()).cb_lock) };
        let result = f();
        // SAFETY: Locked above.
        unsafe { bindings::up_write(&raw mut (*self.0.as_ptr()).cb_lock) };
        result
    }

    /// Makes the kernel offer the block's filters to `callback`, or take them back from it, as if
    /// the block were being bound or unbound: for what is taken back the callback is asked to
    /// destroy, and the filter no longer counts as in hardware.
    ///
    /// `around` is called for each group of filters, with what offers them; no other request runs
    /// for as long as it does, but others may run in between. Fails if a filter that has to be in
    /// hardware is refused; what was accepted before stays so then.
    ///
    /// Mirrors `tcf_block_playback_offloads()`, which isn't exported. Other than that, it doesn't
    /// hold the block's `cb_lock` over the iterators: the last reference to a group that was
    /// deleted meanwhile may be theirs, and dropping it takes the lock.
    ///
    /// # Safety
    ///
    /// As for [`Self::locked`]; `callback` must be bound to the block.
    pub(crate) unsafe fn reoffload<T: BlockCallback>(
        self,
        rtnl: &Rtnl,
        callback: &Arc<T>,
        add: bool,
        ack: &mut OwnExtAck,
        around: impl Fn(&mut dyn FnMut()),
    ) -> Result {
        let block = self.0.as_ptr();
        let cb_priv: *mut c_void = Arc::as_ptr(callback).cast_mut().cast();
        let mut result = Ok(());
        let mut chain = ptr::null_mut();
        loop {
            // SAFETY: The block is alive, and RTNL held. The iterator holds a reference to what it
            // returns, and drops the one to what it is given; the same for filters below.
            chain = unsafe { bindings::tcf_get_next_chain(block, chain) };
            if chain.is_null() {
                break;
            }
            let mut tp = ptr::null_mut();
            loop {
                // SAFETY: As above.
                tp = unsafe { bindings::tcf_get_next_proto(chain, tp) };
                if tp.is_null() {
                    break;
                }
                // After a failure the walk goes on to its end only to drop the references.
                if result.is_err() {
                    continue;
                }
                // SAFETY: `tp` is referenced, and its operations are static.
                let Some(reoffload) = (unsafe { (*(*tp).ops).reoffload }) else {
                    continue;
                };
                let ack = ack.as_raw();
                let mut offer = || {
                    // SAFETY: RTNL and `cb_lock` are held; `setup_cb` fits `cb_priv`, which the
                    // caller keeps alive.
                    let ret = unsafe { reoffload(tp, add, Some(setup_cb::<T>), cb_priv, ack) };
                    // Taking back can't fail.
                    if add {
                        result = kernel::error::to_result(ret);
                    }
                };
                // SAFETY: By the requirements of this function.
                unsafe { self.locked(rtnl, || around(&mut offer)) };
            }
        }
        result
    }
}

/// Someone who serves devices whose drivers have no `ndo_setup_tc`.
pub(crate) trait IndirectDriver: 'static {
    /// A block of filters is bound to such a device, or unbound.
    ///
    /// Process context; under RTNL if the block is a qdisc's. A bind must not be accepted if the
    /// block has filters ([`BlockOffload::is_empty`]): should one of them be refused, the kernel
    /// frees the callback without taking it off its list of indirect ones.
    fn setup_block(dev: &NetDevice, block: BlockOffload<'_>) -> Result;
}

/// Listens for indirect blocks until dropped.
///
/// # Invariants
///
/// The callback of `T` is registered, and bindings are of type `B`.
pub(crate) struct IndirectRegistration<T: IndirectDriver, B: BlockCallback>(PhantomData<(T, B)>);

// SAFETY: There is nothing in it.
unsafe impl<T: IndirectDriver, B: BlockCallback> Send for IndirectRegistration<T, B> {}
// SAFETY: As above.
unsafe impl<T: IndirectDriver, B: BlockCallback> Sync for IndirectRegistration<T, B> {}

impl<T: IndirectDriver, B: BlockCallback> IndirectRegistration<T, B> {
    /// Starts to listen for blocks that are bound from now on. Process context, without RTNL.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: `setup` is fit to be called from here on.
        kernel::error::to_result(unsafe {
            bindings::flow_indr_dev_register(Some(Self::setup), ptr::null_mut())
        })?;
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
        if dev.is_null() || kind != bindings::tc_setup_type_TC_SETUP_BLOCK {
            return -(bindings::EOPNOTSUPP as c_int);
        }
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
        let block = BlockOffload {
            bo,
            indirect: Some(Indirect {
                dev,
                sch,
                data,
                cb_priv,
                cleanup,
            }),
        };
        from_result(|| T::setup_block(net_dev, block).map(|()| 0))
    }
}

impl<T: IndirectDriver, B: BlockCallback> Drop for IndirectRegistration<T, B> {
    fn drop(&mut self) {
        // SAFETY: Registered, by the type invariants. Unbinds what `bind::<B>` bound. RTNL isn't
        // held, as the cleanup takes it.
        unsafe {
            bindings::flow_indr_dev_unregister(
                Some(Self::setup),
                ptr::null_mut(),
                Some(release_cb::<B>),
            )
        };
    }
}

/// A request about a filter.
pub(crate) enum ClsRequest<'a> {
    /// `TC_SETUP_CLSFLOWER`.
    Flower(ClsFlower<'a>),
    /// Any other classifier.
    Other,
}

/// What is asked for a flower filter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowerCommand {
    /// Offload it.
    Replace,
    /// It is gone.
    Destroy,
    /// Say what it has counted.
    Stats,
    /// The template of a chain comes or goes.
    Template,
}

/// What a flow has counted since it was last asked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StatsDelta {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Packets that were dropped.
    pub(crate) drops: u64,
    /// Time of the last packet in `CLOCK_MONOTONIC` nanoseconds; 0 if not known.
    pub(crate) last_used_ns: u64,
}

impl StatsDelta {
    /// Milliseconds since a time in `CLOCK_MONOTONIC` nanoseconds; the future counts as now.
    pub(crate) fn age_ms(last_used_ns: u64) -> u64 {
        // SAFETY: Reads a clock; any context.
        unsafe { bindings::ekho_helper_ktime_age_ms(last_used_ns) }
    }
}

/// A request about a flower filter: `struct flow_cls_offload`.
pub(crate) struct ClsFlower<'a>(&'a mut bindings::flow_cls_offload);

impl ClsFlower<'_> {
    /// What is asked.
    pub(crate) fn command(&self) -> FlowerCommand {
        match self.0.command {
            bindings::flow_cls_command_FLOW_CLS_REPLACE => FlowerCommand::Replace,
            bindings::flow_cls_command_FLOW_CLS_DESTROY => FlowerCommand::Destroy,
            bindings::flow_cls_command_FLOW_CLS_STATS => FlowerCommand::Stats,
            _ => FlowerCommand::Template,
        }
    }

    /// The filter's key, for as long as it exists.
    pub(crate) fn cookie(&self) -> usize {
        self.0.cookie
    }

    /// The chain that the filter is in.
    pub(crate) fn chain_index(&self) -> u32 {
        self.0.common.chain_index
    }

    /// Its preference; lower goes first.
    pub(crate) fn prio(&self) -> u32 {
        self.0.common.prio
    }

    /// The EtherType it is bound to.
    pub(crate) fn protocol(&self) -> u16 {
        u16::from_be(self.0.common.protocol)
    }

    /// Whether it must be in hardware.
    pub(crate) fn skip_sw(&self) -> bool {
        self.0.common.skip_sw
    }

    /// The class that it maps to, or 0.
    pub(crate) fn classid(&self) -> u32 {
        self.0.classid
    }

    /// Its match and actions. Only [`FlowerCommand::Replace`] has them for sure.
    pub(crate) fn rule(&self) -> Option<FlowRule<'_>> {
        // SAFETY: Null, or valid for the length of the request.
        unsafe { FlowRule::from_raw(self.0.rule) }
    }

    /// Where to give the reason of a refusal.
    pub(crate) fn extack(&mut self) -> ExtAck<'_> {
        // SAFETY: Null, or valid for the length of the request. Statistics come without.
        unsafe { ExtAck::from_raw(self.0.common.extack) }
    }

    /// Adds to what the kernel knows the filter has counted. Mirrors `flow_stats_update()`, with
    /// statistics of the delayed type.
    pub(crate) fn update_stats(&mut self, delta: StatsDelta) {
        let stats = &mut self.0.stats;
        stats.pkts = stats.pkts.wrapping_add(delta.packets);
        stats.bytes = stats.bytes.wrapping_add(delta.bytes);
        stats.drops = stats.drops.wrapping_add(delta.drops);
        if delta.last_used_ns != 0 {
            // SAFETY: Reads clocks; any context.
            let jiffies = unsafe { bindings::ekho_helper_ktime_to_jiffies(delta.last_used_ns) };
            stats.lastused = stats.lastused.max(jiffies);
        }
        stats.used_hw_stats |= bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DELAYED;
        stats.used_hw_stats_valid = true;
    }
}
