// SPDX-License-Identifier: GPL-2.0-only

//! Commands that list objects.
//!
//! A dump that doesn't fit into one buffer goes on when user space has received that, much later
//! perhaps. What it lists may have changed by then. User space is told of that with
//! `NLM_F_DUMP_INTR` in each message that follows, so it can begin again.
//!
//! `nl_dump_check_consistent()` marks one message after a change, and loses the mark if that doesn't
//! fit. Here all messages are marked from the change on, and the last one of the dump as well, which
//! the kernel writes: it compares `cb->seq` with `cb->prev_seq`.

use super::{
    command::Command,
    message::{
        self,
        Message, //
    },
    request::Request, //
};
use crate::bindings;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*, //
};

/// A command that lists objects.
pub(crate) trait Dump: Command {
    /// Where a dump stands. It may be used by another thread than the one that began.
    type Context: Send + 'static;

    /// A dump begins. Process context; `cb_lock` is held for reading.
    fn start(request: &Request<'_>) -> Result<Self::Context>;

    /// Adds messages to a buffer, from where the last call stopped: all that are left, in which case
    /// the dump is over, or until [`Batch::message`] fails with [`EMSGSIZE`], which is passed on.
    /// What didn't fit is to be tried again the next time. Process context.
    fn next(context: &mut Self::Context, batch: &mut Batch<'_>) -> Result;

    /// Whether what is listed has changed since the dump began; once it has, this stays.
    fn is_interrupted(context: &Self::Context) -> bool;
}

/// A buffer of a dump.
///
/// # Invariants
///
/// `skb` is the buffer to fill for a dump of `request`, and used by nothing else.
pub(crate) struct Batch<'a> {
    skb: *mut bindings::sk_buff,
    request: Request<'a>,
    flags: u32,
}

impl<'a> Batch<'a> {
    /// The request that began the dump.
    pub(crate) fn request(&self) -> &Request<'a> {
        &self.request
    }

    /// Adds a message; nothing if `fill` fails, or with [`EMSGSIZE`] if there is no room.
    pub(crate) fn message(&mut self, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        // SAFETY: By the type invariants; the family of a request is registered.
        unsafe { message::append(self.skb, &self.request.header(self.flags), fill) }
    }
}

/// What `cb->prev_seq` is throughout a dump.
const SEQ: u32 = 1;

/// The place in a dump's callback structure for the address of its context.
///
/// # Safety
///
/// `cb` must be valid.
unsafe fn place<T: Dump>(cb: *mut bindings::netlink_callback) -> *mut *mut T::Context {
    const {
        assert!(
            size_of::<*mut T::Context>() <= size_of::<bindings::netlink_callback__bindgen_ty_1>()
        );
    }
    // SAFETY: By the requirements of this function. The union is aligned for `long`.
    unsafe { (&raw mut (*cb).__bindgen_anon_1).cast() }
}

/// # Safety
///
/// `cb` must be that of a dump of `T` that is being handled for `'a`.
unsafe fn request<'a, T: Dump>(cb: *mut bindings::netlink_callback) -> Request<'a> {
    // SAFETY: By the requirements of this function: `genl_start()` keeps its information in `data`,
    // and the request's buffer is held until the dump is over.
    unsafe {
        let info: *mut bindings::genl_dumpit_info = (*cb).data.cast();
        Request::from_raw(&raw mut (*info).info, (*cb).skb, T::POLICY)
    }
}

/// # Safety
///
/// To be called as `start` of the `Operation` of `T`.
pub(super) unsafe extern "C" fn start<T: Dump>(cb: *mut bindings::netlink_callback) -> c_int {
    // A dump holds the module, but that is of no use if the initialisation of the module fails.
    // SAFETY: Any context.
    if !unsafe { bindings::ekho_helper_module_is_live() } {
        return EAGAIN.to_errno();
    }
    from_result(|| {
        // SAFETY: By the requirements of this function.
        let context = T::start(&unsafe { request::<T>(cb) })?;
        let context = KBox::new(context, GFP_KERNEL)?;
        // SAFETY: `cb` is valid, and its place for contexts is this family's. `done` takes the
        // context back.
        unsafe { place::<T>(cb).write(KBox::into_raw(context)) };
        // Each buffer holds a message at least.
        // SAFETY: `cb` is valid, and `netlink_dump()` reads this after `start`.
        unsafe { (*cb).min_dump_alloc = T::ANSWER_MAX };
        Ok(0)
    })
}

/// # Safety
///
/// To be called as `dumpit` of the `Operation` of `T`, after [`start`].
pub(super) unsafe extern "C" fn dumpit<T: Dump>(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: `start` put the address of a context here, which only `done` takes. The socket's
    // `nl_cb_mutex` is held, so there is no other reference to it.
    let context = unsafe { &mut **place::<T>(cb) };
    // INVARIANT: By the requirements of this function.
    let mut batch = Batch {
        skb,
        // SAFETY: By the requirements of this function.
        request: unsafe { request::<T>(cb) },
        flags: bindings::NLM_F_MULTI
            | match T::is_interrupted(context) {
                true => bindings::NLM_F_DUMP_INTR,
                false => 0,
            },
    };
    let result = T::next(context, &mut batch);
    // Only now: this is for the message that ends the dump.
    let seq = SEQ + u32::from(T::is_interrupted(context));
    // SAFETY: `cb` is valid.
    unsafe {
        (*cb).prev_seq = SEQ;
        (*cb).seq = seq;
    }
    from_result(|| result.map(|()| 0))
}

/// # Safety
///
/// To be called as `done` of the `Operation` of `T`, once, after [`start`] has succeeded.
pub(super) unsafe extern "C" fn done<T: Dump>(cb: *mut bindings::netlink_callback) -> c_int {
    // SAFETY: `start` put the address of a boxed context here, and nothing uses it after this.
    drop(unsafe { KBox::from_raw(place::<T>(cb).read()) });
    0
}
