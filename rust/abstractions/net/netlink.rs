// SPDX-License-Identifier: GPL-2.0-only

//! Netlink extended acknowledgements: the message that the user of a request reads.
//!
//! C header: [`include/linux/netlink.h`](srctree/include/linux/netlink.h)

use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    fmt,
    prelude::*, //
};

/// The extended acknowledgement of a request.
///
/// The kernel passes none for requests whose result nobody reads; a message is dropped then.
pub(crate) struct ExtAck<'a>(
    *mut bindings::netlink_ext_ack,
    PhantomData<&'a mut bindings::netlink_ext_ack>,
);

impl<'a> ExtAck<'a> {
    /// # Safety
    ///
    /// `ptr` must be null, or point at an acknowledgement that is valid and used by no other
    /// thread for `'a`.
    pub(crate) unsafe fn from_raw(ptr: *mut bindings::netlink_ext_ack) -> Self {
        Self(ptr, PhantomData)
    }

    /// Gives the reason, unless one was given already. Cut to what an acknowledgement holds (79
    /// bytes).
    pub(crate) fn set(&mut self, reason: fmt::Arguments<'_>) {
        // SAFETY: Null or valid; the reference is used in this function only, which calls nothing
        // that knows of the acknowledgement.
        let Some(ack) = (unsafe { self.0.as_mut() }) else {
            return;
        };
        if !ack._msg.is_null() {
            return;
        }
        let mut text = Cut {
            buf: &mut ack._msg_buf,
            len: 0,
        };
        // `Cut` never fails; what doesn't fit is left out.
        let _ = fmt::Write::write_fmt(&mut text, reason);
        let len = text.len;
        ack._msg_buf[len] = 0;
        ack._msg = ack._msg_buf.as_ptr();
    }

    /// Says which attribute of the request is wrong, unless that was said already.
    ///
    /// # Safety
    ///
    /// `attribute` must be in the message that is answered.
    pub(crate) unsafe fn set_attribute(&mut self, attribute: *const bindings::nlattr) {
        // SAFETY: As for `set`.
        if let Some(ack) = unsafe { self.0.as_mut() } {
            if ack.bad_attr.is_null() {
                ack.bad_attr = attribute;
            }
        }
    }

    /// Says which attribute the request lacks.
    pub(crate) fn set_missing(&mut self, attribute: u16) {
        // SAFETY: As for `set`.
        if let Some(ack) = unsafe { self.0.as_mut() } {
            ack.miss_type = attribute;
        }
    }
}

/// An acknowledgement for a request that this module makes.
pub(crate) struct OwnExtAck(bindings::netlink_ext_ack);

impl OwnExtAck {
    /// Creates an empty one.
    pub(crate) fn new() -> Self {
        Self(pin_init::zeroed())
    }

    /// To pass on.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::netlink_ext_ack {
        &mut self.0
    }

    /// The reason that was given, if any.
    pub(crate) fn reason(&self) -> Option<&CStr> {
        if self.0._msg.is_null() {
            return None;
        }
        // SAFETY: A message is a NUL-terminated string, either static or in `_msg_buf`, which
        // lives as long as `self`.
        Some(unsafe { CStr::from_char_ptr(self.0._msg) })
    }
}

/// A writer that keeps what fits and leaves room for a NUL.
struct Cut<'a> {
    buf: &'a mut [c_char],
    len: usize,
}

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.buf.len() - 1 - self.len;
        for (to, from) in self.buf[self.len..].iter_mut().zip(s.bytes().take(room)) {
            *to = from;
        }
        self.len += room.min(s.len());
        Ok(())
    }
}
