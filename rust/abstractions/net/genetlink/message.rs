// SPDX-License-Identifier: GPL-2.0-only

//! Messages to user space.
//!
//! C header: [`include/net/netlink.h`](srctree/include/net/netlink.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*, //
};

/// A message that is being written. Attributes are added at its end.
///
/// Methods fail with [`EMSGSIZE`] if there is no room. The message isn't sent then, so that user
/// space never sees half of one.
///
/// # Invariants
///
/// `skb` is a valid buffer that nothing else uses for `'a`, with a message begun at its end.
pub(crate) struct Message<'a> {
    skb: *mut bindings::sk_buff,
    _buffer: PhantomData<&'a mut bindings::sk_buff>,
}

impl Message<'_> {
    fn put(&mut self, attribute: u32, value: &[u8]) -> Result {
        // What the length of an attribute can say.
        let len = u16::try_from(value.len()).map_err(|_| EMSGSIZE)?;
        // SAFETY: The buffer is valid, by the type invariants; `value` has as many bytes.
        to_result(unsafe {
            bindings::nla_put(
                self.skb,
                attribute as c_int,
                len.into(),
                value.as_ptr().cast(),
            )
        })
    }

    /// Adds an attribute without a value, if `set`.
    pub(crate) fn flag(&mut self, attribute: u32, set: bool) -> Result {
        match set {
            true => self.put(attribute, &[]),
            false => Ok(()),
        }
    }

    /// Adds a `u16`.
    pub(crate) fn u16(&mut self, attribute: u32, value: u16) -> Result {
        self.put(attribute, &value.to_ne_bytes())
    }

    /// Adds a `u32`.
    pub(crate) fn u32(&mut self, attribute: u32, value: u32) -> Result {
        self.put(attribute, &value.to_ne_bytes())
    }

    /// Adds a `u64`. As user space knows, it may not be aligned to 8 bytes.
    pub(crate) fn u64(&mut self, attribute: u32, value: u64) -> Result {
        self.put(attribute, &value.to_ne_bytes())
    }

    /// Adds an unsigned number, in 32 bits if it fits.
    pub(crate) fn uint(&mut self, attribute: u32, value: u64) -> Result {
        match u32::try_from(value) {
            Ok(value) => self.u32(attribute, value),
            Err(_) => self.u64(attribute, value),
        }
    }

    /// Adds a signed number, in 32 bits if it fits.
    pub(crate) fn sint(&mut self, attribute: u32, value: i64) -> Result {
        match i32::try_from(value) {
            Ok(value) => self.put(attribute, &value.to_ne_bytes()),
            Err(_) => self.put(attribute, &value.to_ne_bytes()),
        }
    }

    /// Adds bytes.
    pub(crate) fn bytes(&mut self, attribute: u32, value: &[u8]) -> Result {
        self.put(attribute, value)
    }

    /// Adds a string, up to the first NUL if it has one.
    pub(crate) fn string(&mut self, attribute: u32, value: &[u8]) -> Result {
        let len = value.iter().position(|&c| c == 0).unwrap_or(value.len());
        let room = u16::try_from(len + 1).map_err(|_| EMSGSIZE)?;
        // SAFETY: The buffer is valid, by the type invariants.
        let data =
            unsafe { bindings::ekho_helper_nla_reserve(self.skb, attribute as c_int, room.into()) };
        let data: NonNull<u8> = NonNull::new(data.cast()).ok_or(EMSGSIZE)?;
        // SAFETY: `len + 1` bytes were reserved, in the buffer that nothing else uses.
        let data = unsafe { NonNull::slice_from_raw_parts(data, len + 1).as_mut() };
        data[..len].copy_from_slice(&value[..len]);
        data[len] = 0;
        Ok(())
    }

    /// Adds an attribute that is made of those that `fill` adds; nothing if that fails.
    pub(crate) fn nest(
        &mut self,
        attribute: u32,
        fill: impl FnOnce(&mut Self) -> Result,
    ) -> Result {
        // SAFETY: The buffer is valid, by the type invariants.
        let start = unsafe { bindings::ekho_helper_nla_nest_start(self.skb, attribute as c_int) };
        let start = NonNull::new(start).ok_or(EMSGSIZE)?;
        let result = fill(self).and_then(|()| {
            // SAFETY: As above; the nest was begun in this buffer, which doesn't move.
            to_result(unsafe { bindings::ekho_helper_nla_nest_end(self.skb, start.as_ptr()) })
        });
        if result.is_err() {
            // SAFETY: As above.
            unsafe { bindings::ekho_helper_nla_nest_cancel(self.skb, start.as_ptr()) };
        }
        result
    }
}

/// What a message begins with.
pub(super) struct Header {
    pub(super) family: *const bindings::genl_family,
    pub(super) portid: u32,
    pub(super) seq: u32,
    pub(super) flags: c_int,
    pub(super) command: u8,
}

/// Adds a message to a buffer; nothing if `fill` fails, or with [`EMSGSIZE`] if there is no room.
///
/// # Safety
///
/// `skb` must be a valid buffer of netlink messages that nothing else uses, and `header.family` a
/// registered family.
pub(super) unsafe fn append(
    skb: *mut bindings::sk_buff,
    header: &Header,
    fill: impl FnOnce(&mut Message<'_>) -> Result,
) -> Result {
    // SAFETY: By the requirements of this function.
    let start = unsafe {
        bindings::genlmsg_put(
            skb,
            header.portid,
            header.seq,
            header.family,
            header.flags,
            header.command,
        )
    };
    let start: NonNull<c_void> = NonNull::new(start).ok_or(EMSGSIZE)?;
    // INVARIANT: The message was just begun, and the buffer is only used through this until after
    // `fill`.
    let mut message = Message {
        skb,
        _buffer: PhantomData,
    };
    let result = fill(&mut message);
    match result {
        // SAFETY: The message was begun in this buffer, which doesn't move.
        Ok(()) => unsafe { bindings::ekho_helper_genlmsg_end(skb, start.as_ptr()) },
        // SAFETY: As above.
        Err(_) => unsafe { bindings::ekho_helper_genlmsg_cancel(skb, start.as_ptr()) },
    }
    result
}

/// A buffer for one message.
///
/// # Invariants
///
/// Owns a valid buffer.
pub(super) struct Buffer(NonNull<bindings::sk_buff>);

impl Buffer {
    /// One of about a page, or more if `least` bytes of attributes don't fit. May sleep.
    pub(super) fn new(least: u32) -> Result<Self> {
        // SAFETY: May be called from process context.
        let skb = unsafe { bindings::ekho_helper_genlmsg_new(least as usize) };
        // INVARIANT: Just allocated.
        NonNull::new(skb).map(Self).ok_or(ENOMEM)
    }

    /// Adds a message; nothing if `fill` fails.
    pub(super) fn append(
        &mut self,
        header: &Header,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        // SAFETY: The buffer is owned, and borrowed for the call.
        unsafe { append(self.0.as_ptr(), header, fill) }
    }

    /// For C to take over.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        let skb = self.0.as_ptr();
        mem::forget(self);
        skb
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: Owned, by the type invariants.
        unsafe { bindings::ekho_helper_nlmsg_free(self.0.as_ptr()) };
    }
}
