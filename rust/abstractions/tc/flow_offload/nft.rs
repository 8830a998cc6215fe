// SPDX-License-Identifier: GPL-2.0-only

//! Chains of nftables that are bound to devices.
//!
//! Some things that a driver needs to know aren't in nftables' requests:
//!
//! - Whether a rule is new, or restored by an abort of a transaction ([`Rule`]).
//! - Whether a chain is still bound to a device. nftables removes the hook, but doesn't unbind, when
//!   the device is unregistered, renamed or moved to another namespace; it frees the chain without
//!   an unbind when the namespace ends, or the process that owns the table exits ([`Watch`]). The
//!   callback stays on the chain's list then (`BoundCallback::release_forgotten`).
//!
//! C header: [`include/net/netfilter/nf_tables.h`](srctree/include/net/netfilter/nf_tables.h)

use crate::{
    abstractions::net::net_device::NetDevice,
    bindings, //
};
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// The ruleset that a chain is part of: `struct nftables_pernet`, with the lock that guards it.
///
/// # Invariants
///
/// `ruleset` is that of `net`. A reference to the module nf_tables is held.
pub(crate) struct Chain {
    ruleset: NonNull<bindings::nftables_pernet>,
    net: NonNull<bindings::net>,
}

// SAFETY: Neither object is tied to a thread.
unsafe impl Send for Chain {}
// SAFETY: All safe methods on `&self` may be called in parallel.
unsafe impl Sync for Chain {}

/// The part that a rule has in the transaction that is being committed or aborted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The transaction adds it.
    New,
    /// It existed before. The transaction deleted it and is aborted; `nft_flow_rule_offload_abort()`
    /// warns if a driver returns an error other than ENOMEM.
    ///
    /// A rule that the transaction adds and deletes is told as this, too, as `nft_deactivate_next()`
    /// forgets that it isn't active yet. It is destroyed with the end of the transaction.
    Restored,
}

impl Chain {
    /// # Safety
    ///
    /// `bo` must be a request to bind a chain of nftables.
    pub(super) unsafe fn of(bo: &bindings::flow_block_offload) -> Result<Self> {
        // SAFETY: Any context.
        if !unsafe { bindings::ekho_helper_nft_get() } {
            return Err(ENODEV);
        }
        // SAFETY: By the requirements of this function.
        let ruleset = NonNull::new(unsafe { bindings::ekho_helper_nft_ruleset(bo) });
        let net = NonNull::new(bo.net);
        let (Some(ruleset), Some(net)) = (ruleset, net) else {
            // SAFETY: Just taken.
            unsafe { bindings::ekho_helper_nft_put() };
            return Err(ENODEV);
        };
        // INVARIANT: Both are the chain's, and the reference was taken above.
        Ok(Self { ruleset, net })
    }

    /// Whether the chain is of this namespace.
    pub(crate) fn is_in(&self, namespace: Namespace) -> bool {
        self.net.as_ptr() as usize == namespace.0
    }

    /// The part of a rule in the current transaction.
    ///
    /// # Safety
    ///
    /// `cookie` must be that of a request for a rule of the chain, and not for statistics: it comes
    /// with the lock of the ruleset.
    pub(crate) unsafe fn rule(&self, cookie: usize) -> Rule {
        let net = self.net.as_ptr();
        // SAFETY: The cookie is the address of the rule, which exists for the length of the request;
        // so does the namespace.
        if unsafe { bindings::ekho_helper_nft_rule_is_active(net, cookie) } {
            Rule::Restored
        } else {
            Rule::New
        }
    }

    /// Locks the ruleset, so that neither chains nor their bindings change. Process context.
    ///
    /// # Safety
    ///
    /// The chain's namespace must exist until the guard is dropped.
    pub(super) unsafe fn lock(&self) -> RulesetGuard<'_> {
        // SAFETY: The ruleset exists as long as its namespace and nf_tables.
        unsafe { bindings::ekho_helper_nft_lock(self.ruleset.as_ptr()) };
        // INVARIANT: Just locked.
        RulesetGuard(self)
    }
}

/// A ruleset, while it is locked.
///
/// # Invariants
///
/// The ruleset of the chain is locked.
pub(super) struct RulesetGuard<'a>(&'a Chain);

impl RulesetGuard<'_> {
    /// Whether there is a chain with this block.
    pub(super) fn has_chain(&self, block: NonNull<bindings::flow_block>) -> bool {
        // SAFETY: Locked, by the type invariants; only the address of the block is looked at.
        unsafe { bindings::ekho_helper_nft_has_chain(self.0.ruleset.as_ptr(), block.as_ptr()) }
    }

    /// Whether the chain with this block has a hook at a device.
    ///
    /// # Safety
    ///
    /// There must be such a chain, as [`Self::has_chain`] tells.
    pub(super) unsafe fn has_hook(
        &self,
        block: NonNull<bindings::flow_block>,
        dev: &NetDevice,
    ) -> bool {
        // SAFETY: Locked, and by the requirements of this function.
        unsafe { bindings::ekho_helper_nft_has_hook(block.as_ptr(), dev.as_raw()) }
    }
}

impl Drop for RulesetGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: Locked, by the type invariants.
        unsafe { bindings::ekho_helper_nft_unlock(self.0.ruleset.as_ptr()) };
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: Taken by `of`.
        unsafe { bindings::ekho_helper_nft_put() };
    }
}

/// A network namespace, by its address, for as long as it exists.
#[derive(Clone, Copy)]
pub(crate) struct Namespace(usize);

/// A listener for processes that may have owned tables of nftables.
pub(crate) trait Watcher: 'static {
    /// Called when a netlink socket is closed that may have owned tables of this namespace, after
    /// nftables has freed them. The namespace exists for the length of the call. Process context.
    fn owner_gone(namespace: Namespace);
}

/// Keeps a [`Watcher`] on the notifier chain until dropped.
///
/// # Invariants
///
/// `block` is on the netlink notifier chain.
#[pin_data(PinnedDrop)]
pub(crate) struct Watch<T: Watcher> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    _t: PhantomData<T>,
}

// SAFETY: The chain may be left from any thread.
unsafe impl<T: Watcher> Send for Watch<T> {}
// SAFETY: There is nothing to do with a `&Watch`.
unsafe impl<T: Watcher> Sync for Watch<T> {}

impl<T: Watcher> Watch<T> {
    /// Registers the notifier. Process context.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: On the chain if registration succeeds.
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    // After nftables, which frees the tables.
                    priority: c_int::MIN,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes, and pinned until `drop`.
                unsafe { slot.write(block) };
                // SAFETY: Just initialised.
                to_result(unsafe { bindings::netlink_register_notifier(slot) })
            }),
            _t: PhantomData,
        })
    }

    /// # Safety
    ///
    /// To be called by the netlink notifier chain.
    unsafe extern "C" fn call(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        info: *mut c_void,
    ) -> c_int {
        // SAFETY: That is what `info` is on this chain, for the length of the call.
        let socket = unsafe { &*info.cast::<bindings::netlink_notify>() };
        if event == bindings::NETLINK_URELEASE as c_ulong
            && socket.protocol == bindings::NETLINK_NETFILTER as c_int
        {
            T::owner_gone(Namespace(socket.net as usize));
        }
        0
    }
}

#[pinned_drop]
impl<T: Watcher> PinnedDrop for Watch<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: On the chain, by the type invariants. Returns once no call is under way.
        unsafe { bindings::netlink_unregister_notifier(self.block.get()) };
    }
}
