// SPDX-License-Identifier: GPL-2.0-only

//! Chains of nftables.
//!
//! nftables sends a request for a rule to the devices of the chain one after the other, and stops at
//! the first that returns an error (`nft_setup_cb_call()`). It doesn't undo what the devices before
//! that one did, and drops the counters that they reported. So an error is only returned where
//! nftables needs one:
//!
//! | request | result |
//! |---|---|
//! | a new rule | that of the firmware; on a refusal, the rule is destroyed on the devices before |
//! | a rule is restored, as a transaction is aborted | success; it stays in software if refused |
//! | a rule that its own transaction deletes again | success; it is deleted in the same commit |
//! | a rule is deleted | success |
//! | statistics | success, with nothing reported if there is no firmware |
//!
//! Devices of other drivers are asked first (see [`BlockOffload::bind`]). When one of them fails, no
//! flow was added here, and no counter was reported.
//!
//! nftables doesn't unbind a chain from a device that is renamed or leaves the namespace, nor the
//! chains of a namespace that ends, or of a table whose owner exits. So this module checks its
//! bindings in the netdevice and the netlink notifier chain, after nftables. As long as a binding
//! exists, its device is in the namespace of the chain.
//!
//! All but statistics come with the `commit_mutex` of the namespace held, as do bind and unbind; it is
//! taken after RTNL. Statistics come under RCU, so a callback is freed after a grace period.
//!
//! [`BlockOffload::bind`]: crate::abstractions::tc::flow_offload::BlockOffload::bind

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::{
            NetDevice,
            Rtnl, //
        },
        tc::flow_offload::{
            nft::{
                self,
                Rule, //
            },
            Command,
            FlowRequest,
            Forgotten, //
        },
    },
    intake::{
        block::{
            binding::Binding,
            binding_set, //
        },
        requests, //
    },
    offload::{
        device::Device,
        devices, //
    },
};
use kernel::prelude::*;

/// Handles a request for a rule.
#[expect(unsafe_code)]
pub(super) fn setup(
    binding: &Binding,
    chain: &nft::Chain,
    request: &mut FlowRequest<'_>,
) -> Result {
    let cookie = request.cookie();
    let dev = binding.dev();
    let context = binding.context(&dev, request.origin());
    match request.command() {
        Command::Replace => {}
        Command::Destroy => {
            let _ = requests::destroy(&context, cookie);
            return Ok(());
        }
        Command::Stats => {
            let _ = requests::stats(&context, cookie, request);
            return Ok(());
        }
        Command::TemplateCreate | Command::TemplateDestroy => return Err(eopnotsupp()),
    }
    // SAFETY: A request for a rule of the chain, and not for statistics.
    let rule = unsafe { chain.rule(cookie) };
    // A flow that is left belonged to another rule at the same address.
    let _ = requests::destroy(&context, cookie);
    let result = binding
        .admit(request)
        .and_then(|()| requests::replace(&context, cookie, request));
    if result.is_err() && rule == Rule::Restored {
        // The rule is in software, as all rules are after a detach.
        return Ok(());
    }
    result.inspect_err(|_| {
        if let Some(callback) = binding.bound() {
            // SAFETY: This is the callback, and the request isn't for statistics.
            unsafe { callback.undo(request) };
        }
    })
}

/// Releases the bindings of a device to chains that nftables has removed from it: the device was
/// renamed, or leaves its namespace. Process context, to be called after nftables' notifier.
#[expect(unsafe_code)]
pub(crate) fn check(device: &Device, _rtnl: &Rtnl) {
    for binding in binding_set::chains(device) {
        // SAFETY: The chain is of the namespace that the device is in, or is just about to leave.
        unsafe { binding.check_chain() };
    }
}

/// Releases bindings to chains that nftables freed with the process that owned their table.
pub(crate) struct Owners;

impl nft::Watcher for Owners {
    #[expect(unsafe_code)]
    fn owner_gone(namespace: nft::Namespace) {
        // Without memory they are found with the next process, or when the device is removed.
        for device in devices::all().iter().flatten() {
            for binding in binding_set::chains(device) {
                if binding
                    .chain
                    .as_ref()
                    .is_some_and(|chain| chain.is_in(namespace))
                {
                    // SAFETY: The namespace exists, as the caller says.
                    unsafe { binding.check_chain() };
                }
            }
        }
    }
}

impl Binding {
    /// Releases the binding if nftables has freed the chain, or removed it from the device. Process
    /// context.
    ///
    /// # Safety
    ///
    /// If it is of a chain, the namespace of that must exist.
    #[expect(unsafe_code)]
    unsafe fn check_chain(&self) {
        if let (Some(chain), Some(callback)) = (&self.chain, self.bound()) {
            let forgotten = |has_hook: &dyn Fn(&NetDevice) -> bool| {
                if self.is_released() {
                    return Forgotten::Nothing;
                }
                match self.retain_places(has_hook) {
                    (0, true) => Forgotten::Nothing,
                    (shares, true) => Forgotten::Shares(shares),
                    (_, false) if self.set_released() => Forgotten::Nothing,
                    (_, false) => Forgotten::All,
                }
            };
            // SAFETY: By the requirements of this function. `released` is set by the first caller,
            // and by a release by the kernel; each place has one share.
            unsafe { callback.release_forgotten(chain, forgotten) };
        }
    }
}
