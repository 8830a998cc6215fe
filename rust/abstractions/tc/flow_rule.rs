// SPDX-License-Identifier: GPL-2.0-only

//! What a flow is asked to match and do: `struct flow_rule`.
//!
//! Each emitter (flower, nftables, flowtables) lays its keys out in its own way; the rule's
//! dissector says where a key is.
//!
//! C headers: [`include/net/flow_offload.h`](srctree/include/net/flow_offload.h),
//! [`include/net/flow_dissector.h`](srctree/include/net/flow_dissector.h)

use crate::bindings;
use core::{
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};

/// A conntrack action that comes with a flowtable, for the length of the request that brings it.
///
/// # Invariants
///
/// The entry was made from a `struct tcf_ct` that is alive, and names a flowtable.
#[derive(Clone, Copy)]
pub(crate) struct CtAction<'a>(&'a bindings::flow_action_entry);

impl<'a> CtAction<'a> {
    /// None if the entry is of another action, or of `ct clear`, which has a table but doesn't use it.
    ///
    /// # Safety
    ///
    /// `entry` must be one that the kernel made from a tc action, or from none, and the action be
    /// alive for `'a`.
    unsafe fn of(entry: &'a bindings::flow_action_entry) -> Option<Self> {
        // INVARIANT: Only act_ct makes entries of this kind, from its own action.
        (entry.id == bindings::flow_action_id_FLOW_ACTION_CT)
            .then_some(Self(entry))
            .filter(|action| !action.clears() && action.key() != 0)
    }

    /// The kernel's entry; its cookie is the address of the `struct tcf_ct`.
    pub(crate) fn as_raw(self) -> *const bindings::flow_action_entry {
        self.0
    }

    /// What tells the table from others while it lives.
    pub(crate) fn key(self) -> usize {
        // SAFETY: The member that belongs to the kind.
        unsafe { self.0.__bindgen_anon_1.ct.flow_table as usize }
    }

    fn clears(self) -> bool {
        // SAFETY: The member that belongs to the kind.
        let flags = unsafe { self.0.__bindgen_anon_1.ct.action };
        flags & i32::from(bindings::EKHO_CONST_TCA_CT_ACT_CLEAR) != 0
    }

    /// The zone whose connections are in the table.
    pub(crate) fn zone(self) -> u16 {
        // SAFETY: The member that belongs to the kind.
        unsafe { self.0.__bindgen_anon_1.ct.zone }
    }
}

/// A rule that was made from the actions of a filter which has no rule.
///
/// # Invariants
///
/// The pointer is of a rule from `ekho_helper_rule_of_exts()`.
pub(crate) struct OwnedRule(NonNull<bindings::flow_rule>);

impl OwnedRule {
    /// Process context.
    ///
    /// # Safety
    ///
    /// `exts` must be the actions of a filter that is being offloaded, and `extack` be null or valid.
    pub(crate) unsafe fn of_actions(
        exts: *mut bindings::tcf_exts,
        extack: *mut bindings::netlink_ext_ack,
    ) -> Result<Self> {
        // SAFETY: By the requirements of this function.
        let rule = from_err_ptr(unsafe { bindings::ekho_helper_rule_of_exts(exts, extack) })?;
        // INVARIANT: Just made.
        Ok(Self(NonNull::new(rule).ok_or(ENOMEM)?))
    }

    /// The rule.
    pub(crate) fn get(&self) -> FlowRule<'_> {
        // SAFETY: Valid until `drop`, by the type invariants.
        let rule = unsafe { self.0.as_ref() };
        FlowRule {
            rule: Some(rule),
            action: &rule.action,
        }
    }
}

impl Drop for OwnedRule {
    fn drop(&mut self) {
        // SAFETY: Ours, by the type invariants.
        unsafe { bindings::ekho_helper_rule_free(self.0.as_ptr()) };
    }
}

/// The number of a key, of which a dissector says where it is: `enum flow_dissector_key_id`.
pub(crate) type KeyId = bindings::flow_dissector_key_id;

/// What a rule matches: where its keys are, and their masks.
///
/// # Invariants
///
/// The dissector says where in `key` and in `mask` the structures of the keys are, which are valid
/// for `'a`.
pub(crate) struct Match<'a> {
    dissector: &'a bindings::flow_dissector,
    key: *const u8,
    mask: *const u8,
}

impl<'a> Match<'a> {
    /// The keys that the rule has: a bit for each [`KeyId`].
    pub(crate) fn used_keys(&self) -> u64 {
        self.dissector.used_keys
    }

    /// The structures of a key and its mask, if the rule has the key.
    #[inline(always)]
    fn at(&self, key: KeyId) -> Option<(*const u8, *const u8)> {
        if self.dissector.used_keys & (1 << key) == 0 {
            return None;
        }
        let offset = usize::from(self.dissector.offset[key as usize]);
        // SAFETY: By the type invariants the structure of `key` is at its offset in both.
        unsafe { Some((self.key.add(offset), self.mask.add(offset))) }
    }

    /// The same as bytes.
    ///
    /// # Safety
    ///
    /// `N` must be the size of the structure.
    #[inline(always)]
    pub(crate) unsafe fn get<const N: usize>(
        &self,
        key: KeyId,
    ) -> Option<(&'a [u8; N], &'a [u8; N])> {
        let (key, mask) = self.at(key)?;
        // SAFETY: By the requirements of this function; they are valid as long as the rule.
        unsafe { Some((&*key.cast(), &*mask.cast())) }
    }

    /// The same if the size isn't known at build time.
    ///
    /// # Safety
    ///
    /// The structure must have `size` bytes at least.
    pub(crate) unsafe fn bytes(&self, key: KeyId, size: usize) -> Option<(&'a [u8], &'a [u8])> {
        let (key, mask) = self.at(key)?;
        // SAFETY: By the requirements of this function; they are valid as long as the rule.
        unsafe {
            Some((
                slice::from_raw_parts(key, size),
                slice::from_raw_parts(mask, size),
            ))
        }
    }
}

/// A rule, for the length of the request that brought it.
#[derive(Clone, Copy)]
pub(crate) struct FlowRule<'a> {
    /// None if it has actions only, and stands in no rule.
    rule: Option<&'a bindings::flow_rule>,
    action: &'a bindings::flow_action,
}

impl<'a> FlowRule<'a> {
    /// # Safety
    ///
    /// `ptr` must be null or point at a rule that is valid for `'a`, with its match and its
    /// actions.
    pub(crate) unsafe fn from_raw(ptr: *const bindings::flow_rule) -> Option<Self> {
        // SAFETY: By the requirements of this function.
        let rule = unsafe { ptr.as_ref() }?;
        Some(Self {
            rule: Some(rule),
            action: &rule.action,
        })
    }

    /// A rule that has nothing but actions.
    pub(crate) fn of_action(action: &'a bindings::flow_action) -> Self {
        Self { rule: None, action }
    }

    /// For firmware to read through BTF; null if there is none.
    pub(crate) fn as_raw(&self) -> *mut bindings::flow_rule {
        self.rule
            .map_or(ptr::null_mut(), |rule| (&raw const *rule).cast_mut())
    }

    /// The list of actions, for firmware to read through BTF.
    pub(crate) fn action_raw(&self) -> *mut bindings::flow_action {
        (&raw const *self.action).cast_mut()
    }

    /// The kernel's records of the actions. The kind of each says which member of its union is valid,
    /// with what that points at, for `'a`.
    pub(crate) fn actions(&self) -> &'a [bindings::flow_action_entry] {
        // SAFETY: The array has as many entries as the rule says.
        unsafe {
            self.action
                .entries
                .as_slice(self.action.num_entries as usize)
        }
    }

    /// How many actions there are.
    pub(crate) fn n_actions(&self) -> u32 {
        self.action.num_entries
    }

    /// The kernel's keys of the actions; an action of several entries comes as often.
    pub(crate) fn action_cookies(&self) -> impl Iterator<Item = u64> + 'a {
        self.actions().iter().map(|action| action.cookie as u64)
    }

    /// The ways of counting that suit all actions: bits of `enum flow_action_hw_stats`. Actions
    /// that don't care suit all.
    pub(crate) fn hw_stats(&self) -> u32 {
        self.actions().iter().fold(
            bindings::flow_action_hw_stats_FLOW_ACTION_HW_STATS_DONT_CARE,
            |common, action| common & action.hw_stats,
        )
    }

    /// What it matches; none if that is everything.
    pub(crate) fn matches(&self) -> Option<Match<'a>> {
        let flow_match = &self.rule?.match_;
        // SAFETY: Null, or valid as long as the rule.
        let dissector = unsafe { flow_match.dissector.as_ref() }?;
        // INVARIANT: That is what a rule is.
        Some(Match {
            dissector,
            key: flow_match.key.cast(),
            mask: flow_match.mask.cast(),
        })
    }

    /// Those of its actions that send packets to conntrack, and bring a flowtable.
    pub(crate) fn ct_actions(&self) -> impl Iterator<Item = CtAction<'a>> + 'a {
        self.actions().iter().filter_map(|entry| {
            // SAFETY: The entries come from the kernel, with the request that keeps their actions.
            unsafe { CtAction::of(entry) }
        })
    }

    /// What conntrack will say of the packets of a connection, if the rule is that of one in a table
    /// of act_ct: `enum ip_conntrack_info`.
    pub(crate) fn ct_info(&self) -> Option<u8> {
        let entry = self
            .actions()
            .iter()
            .find(|entry| entry.id == bindings::flow_action_id_FLOW_ACTION_CT_METADATA)?;
        // SAFETY: The member that belongs to the kind. It is a pointer whose lowest bits tell.
        let cookie = unsafe { entry.__bindgen_anon_1.ct_metadata.cookie };
        Some(cookie as u8 & bindings::EKHO_CONST_NFCT_INFOMASK)
    }

    /// The device by which packets come in, as flowtables match it for each direction.
    pub(crate) fn ingress_ifindex(&self) -> Option<u32> {
        const SIZE: usize = size_of::<bindings::flow_dissector_key_meta>();
        const AT: usize = offset_of!(bindings::flow_dissector_key_meta, ingress_ifindex);
        let matches = self.matches()?;
        // SAFETY: That is the structure of the key.
        let (key, mask) = unsafe {
            matches.get::<SIZE>(bindings::flow_dissector_key_id_FLOW_DISSECTOR_KEY_META)
        }?;
        let part = |of: &[u8; SIZE]| of.get(AT..)?.first_chunk::<4>().copied();
        if part(mask)? != [0xff; 4] {
            return None;
        }
        Some(u32::from_ne_bytes(part(key)?))
    }
}
