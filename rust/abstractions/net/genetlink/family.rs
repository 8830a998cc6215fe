// SPDX-License-Identifier: GPL-2.0-only

//! Families, and notifications.

use super::{
    dump::{
        self,
        Dump, //
    },
    message::{
        self,
        Message, //
    },
    request::{
        self,
        Do, //
    },
};
use crate::{
    abstractions::net::namespace::Net,
    bindings, //
};
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    ffi::c_char,
    prelude::*,
    types::Opaque, //
};

/// An entry in a family's list of operations.
///
/// # Invariants
///
/// The callbacks are those of one implementation of [`Do`] or [`Dump`], and the policy is that of
/// the same type.
#[repr(transparent)]
pub(crate) struct Operation(bindings::genl_split_ops);

// SAFETY: The policy that it points at never changes.
unsafe impl Sync for Operation {}

impl Operation {
    /// A command that has one answer.
    pub(crate) const fn call<T: Do>() -> Self {
        // INVARIANT: All is of `T`.
        Self(bindings::genl_split_ops {
            __bindgen_anon_1: bindings::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_1: bindings::genl_split_ops__bindgen_ty_1__bindgen_ty_1 {
                    pre_doit: None,
                    doit: Some(request::doit::<T>),
                    post_doit: None,
                },
            },
            policy: T::POLICY.as_ptr(),
            maxattr: T::POLICY.max(),
            cmd: T::NUMBER,
            internal_flags: 0,
            flags: T::PERMISSION.flags() | bindings::GENL_CMD_CAP_DO as u8,
            validate: 0,
        })
    }

    /// A command that lists objects.
    pub(crate) const fn dump<T: Dump>() -> Self {
        // INVARIANT: All is of `T`.
        Self(bindings::genl_split_ops {
            __bindgen_anon_1: bindings::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_2: bindings::genl_split_ops__bindgen_ty_1__bindgen_ty_2 {
                    start: Some(dump::start::<T>),
                    dumpit: Some(dump::dumpit::<T>),
                    done: Some(dump::done::<T>),
                },
            },
            policy: T::POLICY.as_ptr(),
            maxattr: T::POLICY.max(),
            cmd: T::NUMBER,
            internal_flags: 0,
            flags: T::PERMISSION.flags() | bindings::GENL_CMD_CAP_DUMP as u8,
            validate: 0,
        })
    }
}

/// A multicast group of a family.
#[repr(transparent)]
pub(crate) struct Group(bindings::genl_multicast_group);

impl Group {
    /// A group that anyone may join. The name is cut to 15 bytes.
    pub(crate) const fn new(name: &CStr) -> Self {
        Self(bindings::genl_multicast_group {
            name: array_of(name),
            flags: 0,
        })
    }

    /// A group that one may join who has `CAP_NET_ADMIN` over the socket's network namespace.
    pub(crate) const fn of_admins(name: &CStr) -> Self {
        Self(bindings::genl_multicast_group {
            name: array_of(name),
            flags: bindings::EKHO_CONST_GENL_MCAST_CAP_NET_ADMIN,
        })
    }
}

/// The bytes of a name, with a NUL at the end.
const fn array_of<const N: usize>(name: &CStr) -> [c_char; N] {
    let bytes = name.to_bytes();
    let mut array = [0; N];
    let mut n = 0;
    while n < bytes.len() && n < N - 1 {
        array[n] = bytes[n] as c_char;
        n += 1;
    }
    array
}

/// A family of commands and notifications.
pub(crate) trait Family: 'static {
    /// The name by which user space finds it, of at most 15 bytes.
    const NAME: &'static CStr;

    /// The version that its messages carry.
    const VERSION: u32;

    /// Its operations, in the order of their numbers; for one number [`Do`] before [`Dump`].
    const OPERATIONS: &'static [Operation];

    /// Its multicast groups.
    const GROUPS: &'static [Group];
}

/// Makes a [`Family`] known to user space until dropped, in all network namespaces.
///
/// # Invariants
///
/// `family` is registered.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<F: Family> {
    #[pin]
    family: Opaque<bindings::genl_family>,
    _family: PhantomData<F>,
}

// SAFETY: A family may be unregistered from any thread.
unsafe impl<F: Family> Send for Registration<F> {}
// SAFETY: `multicast` may be called from any thread, and several at a time.
unsafe impl<F: Family> Sync for Registration<F> {}

impl<F: Family> Registration<F> {
    /// Registers the family. Process context, without RTNL.
    ///
    /// Fails with [`EEXIST`] if there is a family of this name, and with [`EINVAL`] if the list of
    /// operations isn't in order.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: Registered if this succeeds.
            family <- Opaque::try_ffi_init(|slot: *mut bindings::genl_family| {
                let mut family = bindings::genl_family {
                    name: array_of(F::NAME),
                    version: F::VERSION,
                    n_split_ops: u8::try_from(F::OPERATIONS.len()).map_err(|_| EINVAL)?,
                    // CAST: `Operation` and `Group` are transparent.
                    split_ops: F::OPERATIONS.as_ptr().cast(),
                    n_mcgrps: u8::try_from(F::GROUPS.len()).map_err(|_| EINVAL)?,
                    mcgrps: F::GROUPS.as_ptr().cast(),
                    module: module.as_ptr().cast(),
                    ..pin_init::zeroed()
                };
                family.set_netnsok(1);
                family.set_parallel_ops(1);
                // SAFETY: `slot` is valid for writes, and pinned until `drop`.
                unsafe { slot.write(family) };
                // SAFETY: Just initialised. By the type invariants of `Operation`, callbacks get
                // the attributes and the context that they expect.
                to_result(unsafe { bindings::genl_register_family(slot) })
            }),
            _family: PhantomData,
        } ? Error)
    }

    /// Sends a notification to those of a network namespace that have joined one of
    /// [`Family::GROUPS`], by its index. Process context.
    ///
    /// `fill` isn't called if there is nobody.
    pub(crate) fn multicast(
        &self,
        net: &Net,
        group: usize,
        command: u8,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        if group >= F::GROUPS.len() {
            return Err(EINVAL);
        }
        let group = group as u32;
        // SAFETY: The family is registered, and has this group; the namespace is alive.
        if !unsafe {
            bindings::ekho_helper_genl_has_listeners(self.family.get(), net.as_raw(), group)
        } {
            return Ok(());
        }
        let header = message::Header {
            family: self.family.get(),
            portid: 0,
            seq: 0,
            flags: 0,
            command,
        };
        let mut buffer = message::Buffer::new(0)?;
        buffer.append(&header, fill)?;
        // SAFETY: As above; the kernel takes the buffer over.
        let ret = unsafe {
            bindings::ekho_helper_genl_multicast(
                self.family.get(),
                net.as_raw(),
                buffer.into_raw(),
                group,
            )
        };
        match to_result(ret) {
            // They have left in the meantime.
            Err(error) if error == ESRCH => Ok(()),
            result => result,
        }
    }
}

#[pinned_drop]
impl<F: Family> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // Waits for calls that are under way. No dump is: dumps hold the module, and `start` lets
        // none begin before the module's initialisation has succeeded.
        // SAFETY: Registered, by the type invariants.
        unsafe { bindings::genl_unregister_family(self.family.get()) };
    }
}
