// SPDX-License-Identifier: GPL-2.0-only

//! Blocks of filters, and the devices that they are bound to.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::{
            net_device::{
                NetDevice,
                Rtnl, //
            },
            netlink::OwnExtAck, //
        },
        tc::flow_offload::{
            nft::Chain,
            request::{
                FlowRequest,
                Request, //
            }, //
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
    sync::Arc,
    types::NotThreadSafe, //
};

/// Receives the requests for one block on one device.
pub(crate) trait BlockCallback: Send + Sync + 'static {
    /// A request arrived. May be atomic context if it is for statistics.
    fn setup(&self, request: Request<'_>) -> Result;

    /// The kernel has removed the callback: no request follows. Process context, same locks as
    /// unbind.
    fn release(&self, locked: Released<'_>);
}

/// The binding that [`BlockCallback::release`] is told to have ended.
///
/// # Invariants
///
/// The tc block, if it is one's, is alive, with RTNL and its `cb_lock` held by this thread.
pub(crate) struct Released<'a> {
    block: Option<TcBlock>,
    indirect: bool,
    _locked: PhantomData<&'a ()>,
    _thread: NotThreadSafe,
}

impl Released<'_> {
    /// Corrects the block's count of callbacks that need RTNL, when the kernel cleans up after an
    /// indirect callback that didn't count. Does nothing to blocks of others than tc, or that were
    /// bound directly.
    ///
    /// `tc_block_indr_cleanup()` never asks the driver whether its callback was unlocked and
    /// always counts one off (`net/sched/cls_api.c`).
    pub(crate) fn uncount_indirect_cleanup(&self) {
        let Some(block) = self.block.filter(|_| self.indirect) else {
            return;
        };
        // SAFETY: By the type invariants; the locks guard the count. The count may be off already,
        // by the doing of others.
        unsafe {
            let count = &raw mut (*block.ptr.as_ptr()).lockeddevcnt;
            *count = (*count).wrapping_add(1);
        }
    }
}

/// What the kernel has of a binding: its `cb_priv`.
struct Bound<T> {
    callback: Arc<T>,
    block: Option<TcBlock>,
    indirect: bool,
}

/// Passes a request on to the callback of a binding.
///
/// # Safety
///
/// To be called as `flow_setup_cb_t` with the pointer of a [`Bound<T>`] that is alive.
unsafe extern "C" fn setup_cb<T: BlockCallback>(
    kind: bindings::tc_setup_type,
    data: *mut c_void,
    cb_priv: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let bound = unsafe { &*cb_priv.cast_const().cast::<Bound<T>>() };
    // SAFETY: By the requirements of this function.
    unsafe { setup(&*bound.callback, kind, data) }
}

/// Passes a request on to a callback that walks a block by itself: [`TcBlock::reoffload`].
///
/// # Safety
///
/// To be called as `flow_setup_cb_t` with the pointer of a `T` that is alive.
unsafe extern "C" fn reoffload_cb<T: BlockCallback>(
    kind: bindings::tc_setup_type,
    data: *mut c_void,
    cb_priv: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    unsafe { setup(&*cb_priv.cast_const().cast::<T>(), kind, data) }
}

/// # Safety
///
/// `kind` and `data` must be what a `flow_setup_cb_t` got, for the length of that call.
unsafe fn setup<T: BlockCallback>(
    callback: &T,
    kind: bindings::tc_setup_type,
    data: *mut c_void,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let request = unsafe { Request::from_raw(kind, data) };
    from_result(|| callback.setup(request.ok_or_else(eopnotsupp)?).map(|()| 0))
}

/// Drops what the kernel has of a binding.
///
/// # Safety
///
/// To be called as `release` of a binding of [`BlockOffload::bind`], once.
pub(super) unsafe extern "C" fn release_cb<T: BlockCallback>(cb_priv: *mut c_void) {
    // SAFETY: `bind` gave it away.
    let bound = unsafe { KBox::from_raw(cb_priv.cast::<Bound<T>>()) };
    // INVARIANT: The kernel releases a callback of a tc block with the locks of its unbinding held,
    // before the block is freed.
    bound.callback.release(Released {
        block: bound.block,
        indirect: bound.indirect,
        _locked: PhantomData,
        _thread: NotThreadSafe,
    });
}

/// A callback that a block has: `struct flow_block_cb`.
///
/// # Invariants
///
/// It isn't freed before its [`BlockCallback::release`] is called, and was added to the list of
/// `block`, which isn't freed before either, unless nftables forgets the callback.
#[derive(Clone, Copy)]
pub(crate) struct BoundCallback {
    callback: NonNull<bindings::flow_block_cb>,
    block: NonNull<bindings::flow_block>,
}

// SAFETY: Callbacks aren't tied to a thread.
unsafe impl Send for BoundCallback {}
// SAFETY: All that a `&BoundCallback` can do has requirements of its own.
unsafe impl Sync for BoundCallback {}

impl BoundCallback {
    /// The callbacks of the block, in the order in which they are asked.
    ///
    /// # Safety
    ///
    /// The block must exist, and its list not change until the iterator is dropped.
    unsafe fn all(self) -> impl Iterator<Item = NonNull<bindings::flow_block_cb>> {
        let mut last = ptr::null_mut();
        core::iter::from_fn(move || {
            // SAFETY: By the requirements of this function; `last` is null or on the list.
            last = unsafe { bindings::ekho_helper_block_cb_next(self.block.as_ptr(), last) };
            NonNull::new(last)
        })
    }

    /// Calls `f` with the receivers of the block's requests that are of type `T`, in the order of the
    /// list, until it returns a result.
    ///
    /// # Safety
    ///
    /// The block must exist, and its list be locked.
    pub(crate) unsafe fn find<T: BlockCallback, R>(
        self,
        mut f: impl FnMut(&T) -> Option<R>,
    ) -> Option<R> {
        let ours: bindings::flow_setup_cb_t = Some(setup_cb::<T>);
        let address = |cb: bindings::flow_setup_cb_t| cb.map(|cb| cb as usize);
        // SAFETY: By the requirements of this function.
        unsafe { self.all() }.find_map(|other| {
            // SAFETY: On the list, and so valid.
            let other = unsafe { other.as_ref() };
            if address(other.cb) != address(ours) {
                return None;
            }
            // SAFETY: Those with this callback were made by `bind`, with a `Bound<T>` that they own.
            f(unsafe { &*(*other.cb_priv.cast_const().cast::<Bound<T>>()).callback })
        })
    }

    /// Destroys a flow that this callback refuses on the devices that were asked before it, of any
    /// driver.
    ///
    /// # Safety
    ///
    /// To be called by [`BlockCallback::setup`] of this callback with its request, which must come
    /// with the lock of the block's list: any but one of nftables for statistics.
    pub(crate) unsafe fn undo(self, request: &FlowRequest<'_>) {
        let Some(mut destroy) = request.to_destroy() else {
            return;
        };
        // SAFETY: The callback is being called, so the block exists; its list is locked.
        for other in unsafe { self.all() }.take_while(|other| *other != self.callback) {
            // SAFETY: On the list, and so valid.
            let (cb, cb_priv) = unsafe { (other.as_ref().cb, other.as_ref().cb_priv) };
            if let Some(cb) = cb {
                // SAFETY: As the kernel calls it, in the same context.
                unsafe {
                    cb(
                        bindings::tc_setup_type_TC_SETUP_CLSFLOWER,
                        (&raw mut destroy).cast(),
                        cb_priv,
                    )
                };
            }
        }
    }

    /// Gives up the callback of a chain, or the shares of some devices in it, if nftables won't: the
    /// chain was freed, or has no hook at these devices. Process context, may hold RTNL; waits for a
    /// grace period if the callback is released.
    ///
    /// `forgotten` is called with the ruleset locked, before the callback is accessed. It is given what
    /// tells whether the chain has a hook at a device, and returns what is to be given up; nothing if
    /// the callback was released before. Releases by the kernel hold the same lock.
    ///
    /// # Safety
    ///
    /// The chain's namespace must exist, and `forgotten` must be right.
    pub(crate) unsafe fn release_forgotten(
        self,
        chain: &Chain,
        forgotten: impl FnOnce(&dyn Fn(&NetDevice) -> bool) -> Forgotten,
    ) {
        {
            // SAFETY: By the requirements of this function.
            let ruleset = unsafe { chain.lock() };
            // SAFETY: The block is that of a chain that exists, whose list is locked with the ruleset.
            let is_in_list = || unsafe { self.all() }.any(|callback| callback == self.callback);
            let is_listed = ruleset.has_chain(self.block) && is_in_list();
            let has_hook = |dev: &NetDevice| {
                // SAFETY: As above.
                is_listed && unsafe { ruleset.has_hook(self.block, dev) }
            };
            match forgotten(&has_hook) {
                Forgotten::Nothing => return,
                Forgotten::Shares(n) => {
                    for _ in 0..n {
                        // SAFETY: Not released, so it is there; its count is locked with the ruleset.
                        unsafe { bindings::flow_block_cb_decref(self.callback.as_ptr()) };
                    }
                    return;
                }
                Forgotten::All => {}
            }
            // Otherwise it is on the list of a chain that was freed.
            if is_listed {
                // SAFETY: On the list, which is locked.
                unsafe { bindings::ekho_helper_block_cb_unlink(self.callback.as_ptr()) };
            }
        }
        // SAFETY: Process context. Walks without the lock are under RCU.
        unsafe { bindings::synchronize_net() };
        // SAFETY: Claimed, and so not freed; on no list that exists.
        unsafe { bindings::flow_block_cb_free(self.callback.as_ptr()) };
    }
}

/// What nftables has forgotten of a callback; see [`BoundCallback::release_forgotten`].
pub(crate) enum Forgotten {
    /// Nothing.
    Nothing,
    /// So many of its shares ([`BlockOffload::share`]), and there are others.
    Shares(u32),
    /// All of it.
    All,
}

/// Whether a block is bound or unbound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockCommand {
    /// It is bound to the device.
    Bind,
    /// It is unbound.
    Unbind,
}

/// What kind of list a block belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binder {
    /// Filters of a qdisc, or rules of a chain of nftables.
    Block,
    /// A flowtable of nftables.
    Flowtable,
}

/// Where packets are matched by the filters of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// On ingress.
    Ingress,
    /// On egress.
    Egress,
    /// At an event within a qdisc.
    QdiscEvent,
}

/// The part of an indirect request that a direct one doesn't have.
pub(super) struct Indirect {
    pub(super) dev: *mut bindings::net_device,
    pub(super) sch: *mut bindings::Qdisc,
    pub(super) data: *mut c_void,
    pub(super) cb_priv: *mut c_void,
    pub(super) cleanup: Option<unsafe extern "C" fn(*mut bindings::flow_block_cb)>,
}

/// Keeps the list of a block's callbacks locked for a request that changes or searches it.
///
/// The kernel locks the list of a tc block by its `cb_lock`, that of a chain by the `commit_mutex` of
/// its ruleset. It holds the `flow_block_lock` of a flowtable, with which workers walk the list and
/// call firmware, for direct requests only (`nf_flow_table_offload_cmd()`), so indirect ones take it
/// here. It comes after `flow_indr_block_lock`, which isn't taken by those who walk the list.
///
/// # Invariants
///
/// If there is a block, it is that of a flowtable that is alive, and whose lock this has taken.
struct ListLock(Option<NonNull<bindings::flow_block>>);

impl Drop for ListLock {
    fn drop(&mut self) {
        if let Some(block) = self.0 {
            // SAFETY: By the type invariants.
            unsafe { bindings::ekho_helper_flowtable_unlock(block.as_ptr()) };
        }
    }
}

/// A request to bind a callback of type `T` to a block, or to unbind it: `struct
/// flow_block_offload`.
///
/// Who takes the requests chooses the type: [`TcDriver::Callback`], [`IndirectDriver::Callback`].
/// The kernel tells callbacks apart by functions that belong to the type, and cleans up after
/// indirect ones by them.
///
/// [`TcDriver::Callback`]: crate::abstractions::tc::setup_tc::TcDriver::Callback
/// [`IndirectDriver::Callback`]: super::IndirectDriver::Callback
pub(crate) struct BlockOffload<'a, T: BlockCallback> {
    bo: &'a mut bindings::flow_block_offload,
    binder: Binder,
    indirect: Option<Indirect>,
    _callback: PhantomData<Arc<T>>,
}

impl<'a, T: BlockCallback> BlockOffload<'a, T> {
    /// # Safety
    ///
    /// `bo` must be what `ndo_setup_tc` got with `TC_SETUP_BLOCK` or `TC_SETUP_FT`, which `binder`
    /// tells, for the length of that call.
    pub(crate) unsafe fn direct(bo: *mut bindings::flow_block_offload, binder: Binder) -> Self {
        Self {
            // SAFETY: By the requirements of this function.
            bo: unsafe { &mut *bo },
            binder,
            indirect: None,
            _callback: PhantomData,
        }
    }

    pub(super) fn indirect(
        bo: &'a mut bindings::flow_block_offload,
        binder: Binder,
        indirect: Indirect,
    ) -> Self {
        Self {
            bo,
            binder,
            indirect: Some(indirect),
            _callback: PhantomData,
        }
    }

    /// Whether the block is bound or unbound.
    pub(crate) fn command(&self) -> BlockCommand {
        match self.bo.command {
            bindings::flow_block_command_FLOW_BLOCK_BIND => BlockCommand::Bind,
            _ => BlockCommand::Unbind,
        }
    }

    /// What kind of list it belongs to.
    pub(crate) fn binder(&self) -> Binder {
        self.binder
    }

    /// Where packets are matched by the filters of the block.
    pub(crate) fn direction(&self) -> Direction {
        match self.bo.binder_type {
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_INGRESS => {
                Direction::Ingress
            }
            bindings::flow_block_binder_type_FLOW_BLOCK_BINDER_TYPE_CLSACT_EGRESS => {
                Direction::Egress
            }
            _ => Direction::QdiscEvent,
        }
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
        let ptr = NonNull::new(block)?;
        // SAFETY: The block is alive for the length of the request; its number never changes.
        let index = unsafe { (*ptr.as_ptr()).index };
        Some(TcBlock { ptr, index })
    }

    /// Whether the block is of a chain of nftables.
    fn is_chain(&self) -> bool {
        self.binder == Binder::Block && self.indirect.is_none() && self.bo.sch.is_null()
    }

    /// The chain of nftables that is bound; none if the block is something else's.
    ///
    /// Fails with [`ENODEV`] if nftables is going.
    pub(crate) fn nft_chain(&self) -> Result<Option<Chain>> {
        if !self.is_chain() {
            return Ok(None);
        }
        // SAFETY: Requests for blocks that aren't tc's and not flowtables' are those for chains, which
        // come with the lock of their ruleset.
        unsafe { Chain::of(self.bo) }.map(Some)
    }

    /// Whether a chain is bound again, as the transaction that deleted it is aborted.
    pub(crate) fn is_restored(&self) -> bool {
        if !self.is_chain() {
            return false;
        }
        // SAFETY: As for `nft_chain`; `net` is the chain's namespace.
        unsafe { bindings::ekho_helper_nft_chain_is_active(self.bo.net, self.bo.block) }
    }

    /// Whether the request came through an indirect block.
    pub(crate) fn is_indirect(&self) -> bool {
        self.indirect.is_some()
    }

    /// Identifies the block while it is bound.
    pub(crate) fn id(&self) -> usize {
        self.bo.block as usize
    }

    /// Whether the block has no chains, and so no filters that the kernel will offer. True for
    /// blocks that aren't tc's.
    fn is_empty(&self) -> bool {
        let Some(block) = self.tc_block() else {
            return true;
        };
        // SAFETY: The block is alive for the length of the request; returns a reference, if any.
        let mut chain =
            unsafe { bindings::tcf_get_next_chain(block.ptr.as_ptr(), ptr::null_mut()) };
        let empty = chain.is_null();
        // The kernel exports the iterator but not the put: only going on to the end of the list
        // gives the reference back. Chains are kept by their filters, or by the user.
        while !chain.is_null() {
            // SAFETY: The iterator takes back the reference that it gave.
            chain = unsafe { bindings::tcf_get_next_chain(block.ptr.as_ptr(), chain) };
        }
        empty
    }

    fn flow_block(&self) -> *mut bindings::flow_block {
        match self.tc_block() {
            // SAFETY: Takes the address only.
            Some(block) => unsafe { &raw mut (*block.ptr.as_ptr()).flow_block },
            None => self.bo.block,
        }
    }

    /// Locks the list of the block's callbacks, if the kernel hasn't.
    fn lock_list(&self) -> ListLock {
        let is_locked = self.indirect.is_none() || self.binder != Binder::Flowtable;
        if is_locked {
            return ListLock(None);
        }
        let block = NonNull::new(self.bo.block);
        if let Some(block) = block {
            // SAFETY: The block is part of a flowtable, which is alive for the length of the
            // request. The kernel doesn't hold the lock, and it may be waited for.
            unsafe { bindings::ekho_helper_flowtable_lock(block.as_ptr()) };
        }
        // INVARIANT: Just locked.
        ListLock(block)
    }

    /// The list must be locked: see [`ListLock`].
    fn lookup(&self, ident: usize) -> *mut bindings::flow_block_cb {
        // SAFETY: The list is locked.
        unsafe {
            bindings::flow_block_cb_lookup(
                self.flow_block(),
                Some(setup_cb::<T>),
                ident as *mut c_void,
            )
        }
    }

    /// Lets `ident` share the callback that it bound to this block before (the other direction of
    /// the same device). Returns false if there is none.
    pub(crate) fn share(&mut self, ident: usize) -> bool {
        let _list = self.lock_list();
        let block_cb = self.lookup(ident);
        if block_cb.is_null() {
            return false;
        }
        self.bo.unlocked_driver_cb = true;
        // SAFETY: Just found; the list is locked.
        unsafe { bindings::flow_block_cb_incref(block_cb) };
        true
    }

    /// Fails if an indirect device can't be bound to the block, as [`Self::bind`] does:
    ///
    /// - A tc block with filters: should one of them be refused, the kernel frees the callback
    ///   without taking it off its list of indirect ones (`tcf_block_bind()`).
    /// - A chain of nftables: it isn't unbound from a device that is unregistered, and the kernel's
    ///   cleanup of indirect blocks would use the freed device.
    ///
    /// The answer stays the same for the length of the request: a filter that is offered has a chain
    /// since before its block's `cb_lock` was taken, which the kernel holds.
    pub(crate) fn check(&self) -> Result {
        let is_tc = self.tc_block().is_some();
        let is_allowed = match self.binder {
            _ if self.indirect.is_none() => true,
            Binder::Block => is_tc && self.is_empty(),
            Binder::Flowtable => true,
        };
        is_allowed.then_some(()).ok_or_else(eopnotsupp)
    }

    /// Adds `callback` to the block. The kernel then asks it for each filter that is there.
    ///
    /// Fails for a block that [`Self::check`] doesn't allow.
    ///
    /// Requests will arrive without RTNL, and in parallel.
    ///
    /// In a chain of nftables it is asked after the devices of other drivers, as nftables stops at the
    /// first error: a rule that they refuse isn't added here, and when they fail to report
    /// statistics, none were reported here.
    pub(crate) fn bind(&mut self, ident: usize, callback: Arc<T>) -> Result<BoundCallback> {
        self.check()?;
        let bound = Bound {
            callback,
            block: self.tc_block(),
            indirect: self.is_indirect(),
        };
        let cb_priv: *mut c_void = KBox::into_raw(KBox::new(bound, GFP_KERNEL)?).cast();
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
            // SAFETY: Nobody took what was given away above.
            drop(unsafe { KBox::from_raw(cb_priv.cast::<Bound<T>>()) });
        })?;
        self.bo.unlocked_driver_cb = true;
        let block = self.flow_block();
        // SAFETY: `block_cb` is new, with a count of zero; the request's own list takes it, or that
        // of the block, which is locked.
        unsafe {
            bindings::flow_block_cb_incref(block_cb);
            if self.is_chain() {
                bindings::ekho_helper_block_cb_add_last(block_cb, block);
            } else {
                bindings::ekho_helper_block_cb_add(block_cb, self.bo);
            }
        }
        let (Some(callback), Some(block)) = (NonNull::new(block_cb), NonNull::new(block)) else {
            return Err(ENOMEM);
        };
        // INVARIANT: Freeing it includes a call of `release_cb`. What was put on the request's list
        // is moved to the block's.
        Ok(BoundCallback { callback, block })
    }

    /// Takes the callback of `ident` off the block, unless it is still shared: returns whether.
    /// The kernel then asks it to destroy each flow and releases it. Sleeps for a grace period if
    /// the block is a chain's, which is walked under RCU.
    pub(crate) fn unbind(&mut self, ident: usize) -> Result<bool> {
        let _list = self.lock_list();
        let block_cb = self.lookup(ident);
        if block_cb.is_null() {
            return Err(ENOENT);
        }
        self.bo.unlocked_driver_cb = true;
        // SAFETY: Found on the block, whose list is locked.
        unsafe {
            if bindings::flow_block_cb_decref(block_cb) != 0 {
                return Ok(false);
            }
            if self.is_chain() {
                // The kernel walks the list under RCU for statistics. A move to the list of the
                // request would lead such a walk there.
                bindings::ekho_helper_block_cb_unlink(block_cb);
                bindings::synchronize_net();
                bindings::ekho_helper_block_cb_hand_back(block_cb, self.bo);
            } else {
                bindings::ekho_helper_block_cb_remove(block_cb, self.bo, self.indirect.is_some());
            }
        }
        Ok(true)
    }
}

/// A block of tc filters: the address and the number of a `struct tcf_block`, without a claim that
/// it still exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcBlock {
    ptr: NonNull<bindings::tcf_block>,
    index: u32,
}

// SAFETY: Only compared, or used under the requirements of the methods.
unsafe impl Send for TcBlock {}
// SAFETY: As above.
unsafe impl Sync for TcBlock {}

impl TcBlock {
    /// The number of a shared block, or 0.
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    /// Calls `f` while no request for the block's filters runs. Process context.
    ///
    /// # Safety
    ///
    /// The block must still be bound, which RTNL keeps it, and its `cb_lock` not be held by this
    /// thread.
    pub(crate) unsafe fn locked<R>(self, _rtnl: &Rtnl, f: impl FnOnce() -> R) -> R {
        // SAFETY: The block is alive, by the requirements of this function.
        unsafe { bindings::down_write(&raw mut (*self.ptr.as_ptr()).cb_lock) };
        let result = f();
        // SAFETY: Locked above.
        unsafe { bindings::up_write(&raw mut (*self.ptr.as_ptr()).cb_lock) };
        result
    }

    /// Makes the kernel offer the block's filters to `callback`, or take them back from it, as if
    /// the block were being bound or unbound: for what is taken back the callback is asked to
    /// destroy, and the filter no longer counts as in hardware.
    ///
    /// `around` is called for each group of filters, with what offers them; no other request runs
    /// for as long as it does, but others may run in between. It may sleep, and try again: what was
    /// taken back already is asked for once more then. The walk ends with its first failure, as
    /// when a filter that has to be in hardware is refused; what was accepted before stays so then.
    ///
    /// Mirrors `tcf_block_playback_offloads()`, which isn't exported. Other than that, it doesn't
    /// hold the block's `cb_lock` over the iterators: the last reference to a group that was
    /// deleted meanwhile may be theirs, and dropping it takes the lock.
    ///
    /// # Safety
    ///
    /// As for [`Self::locked`].
    pub(crate) unsafe fn reoffload<T: BlockCallback>(
        self,
        rtnl: &Rtnl,
        callback: &Arc<T>,
        add: bool,
        ack: &mut OwnExtAck,
        around: impl Fn(&mut dyn FnMut() -> Result) -> Result,
    ) -> Result {
        let block = self.ptr.as_ptr();
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
            let mut tell = || {
                template(chain, add, callback);
                Ok(())
            };
            if result.is_ok() && add {
                // SAFETY: `chain` is referenced, and RTNL and the lock are held in there.
                result = unsafe { self.locked(rtnl, || around(&mut tell)) };
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
                    // SAFETY: RTNL and `cb_lock` are held; `reoffload_cb` fits `cb_priv`, which the
                    // caller keeps alive.
                    let ret = unsafe { reoffload(tp, add, Some(reoffload_cb::<T>), cb_priv, ack) };
                    kernel::error::to_result(ret)
                };
                // SAFETY: By the requirements of this function.
                result = unsafe { self.locked(rtnl, || around(&mut offer)) };
            }
            if result.is_ok() && !add {
                // SAFETY: As for the other one.
                result = unsafe { self.locked(rtnl, || around(&mut tell)) };
            }
        }
        result
    }
}

/// Tells `callback` of the template of a chain, if it has one.
///
/// Called with RTNL and the `cb_lock` of the chain's block held, by [`TcBlock::reoffload`].
fn template<T: BlockCallback>(chain: *mut bindings::tcf_chain, add: bool, callback: &Arc<T>) {
    let cb_priv: *mut c_void = Arc::as_ptr(callback).cast_mut().cast();
    // SAFETY: The chain is referenced, and RTNL keeps its template; `reoffload_cb` fits `cb_priv`.
    unsafe {
        let ops = (*chain).tmplt_ops;
        if let Some(reoffload) = ops.as_ref().and_then(|ops| ops.tmplt_reoffload) {
            reoffload(chain, add, Some(reoffload_cb::<T>), cb_priv);
        }
    }
}
