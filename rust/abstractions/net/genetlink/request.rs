// SPDX-License-Identifier: GPL-2.0-only

//! Requests from user space, and commands that have one answer.

use super::{
    command::Command,
    message::{
        Buffer,
        Header,
        Message, //
    },
    policy::Policy, //
};
use crate::{
    abstractions::net::{
        namespace::Net,
        netlink::ExtAck, //
    },
    bindings,
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::c_int,
    fmt,
    prelude::*, //
};

/// What a process may be allowed to do.
#[derive(Clone, Copy)]
pub(crate) enum Capability {
    /// To configure networks.
    NetAdmin,
    /// To see addresses in the kernel.
    Syslog,
}

/// A command that has one answer.
pub(crate) trait Do: Command {
    /// Carries out the command, and answers with [`Request::reply`] if it has something to say.
    /// Process context; `cb_lock` is held for reading.
    fn call(request: &Request<'_>) -> Result;
}

/// A request from user space: who sent it, and its attributes.
///
/// # Invariants
///
/// - `info` and `skb` are those of a request that is being handled, for `'a`.
/// - Each element of `attributes` is null, or points at an attribute that the kernel has checked
///   against the policy of the command, with its payload, valid for `'a`.
pub(crate) struct Request<'a> {
    info: *mut bindings::genl_info,
    skb: *mut bindings::sk_buff,
    attributes: &'a [*mut bindings::nlattr],
    _info: PhantomData<&'a mut bindings::genl_info>,
}

impl<'a> Request<'a> {
    /// # Safety
    ///
    /// `info` and `skb` must be what the kernel passes to a callback of an operation with this
    /// policy, which doesn't return within `'a`.
    pub(super) unsafe fn from_raw(
        info: *mut bindings::genl_info,
        skb: *mut bindings::sk_buff,
        policy: Policy,
    ) -> Self {
        // SAFETY: The kernel makes an array with an element for each attribute of the policy, if
        // there is one (`genl_family_rcv_msg_attrs_parse()`).
        let attributes = unsafe { slice_of((*info).attrs, policy.len()) };
        // INVARIANT: By the requirements of this function.
        Self {
            info,
            skb,
            attributes,
            _info: PhantomData,
        }
    }

    /// The network namespace of the socket.
    pub(crate) fn net(&self) -> &'a Net {
        // SAFETY: By the type invariants; the socket, which holds its namespace, isn't closed while
        // its request is handled.
        unsafe { Net::from_raw(bindings::ekho_helper_genl_info_net(self.info)) }
    }

    /// Whether who opened the socket and who sends have this capability in the initial user
    /// namespace.
    pub(crate) fn is_capable(&self, capability: Capability) -> bool {
        let capability = match capability {
            Capability::NetAdmin => bindings::CAP_NET_ADMIN,
            Capability::Syslog => bindings::CAP_SYSLOG,
        };
        // SAFETY: By the type invariants.
        unsafe { bindings::netlink_capable(self.skb, capability as c_int) }
    }

    /// Whether who opened the socket and who sends may configure a network namespace
    /// (`CAP_NET_ADMIN` in the user namespace that owns it).
    pub(crate) fn may_configure(&self, net: &Net) -> bool {
        // SAFETY: By the type invariants; the network namespace is alive, and with it the user
        // namespace that owns it.
        unsafe {
            bindings::ekho_helper_netlink_ns_capable(
                self.skb,
                net.as_raw(),
                bindings::CAP_NET_ADMIN as c_int,
            )
        }
    }

    fn attribute(&self, attribute: u32) -> Option<*mut bindings::nlattr> {
        let attr = *self.attributes.get(attribute as usize)?;
        (!attr.is_null()).then_some(attr)
    }

    /// Whether there is such an attribute.
    pub(crate) fn has(&self, attribute: u32) -> bool {
        self.attribute(attribute).is_some()
    }

    /// The payload of an attribute.
    pub(crate) fn bytes(&self, attribute: u32) -> Option<&'a [u8]> {
        let attr = self.attribute(attribute)?;
        // SAFETY: By the type invariants, the attribute is valid, and its payload follows it.
        unsafe {
            let len = usize::from((*attr).nla_len) - size_of::<bindings::nlattr>();
            Some(slice_of(attr.add(1).cast(), len))
        }
    }

    /// The value of a `u32`.
    pub(crate) fn u32(&self, attribute: u32) -> Option<u32> {
        let bytes = self.bytes(attribute)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// The value of an unsigned number of 32 or 64 bits.
    pub(crate) fn uint(&self, attribute: u32) -> Option<u64> {
        let bytes = self.bytes(attribute)?;
        match bytes.try_into() {
            Ok(bytes) => Some(u64::from_ne_bytes(bytes)),
            Err(_) => self.u32(attribute).map(u64::from),
        }
    }

    /// The value of a string, without a NUL.
    pub(crate) fn string(&self, attribute: u32) -> Option<&'a [u8]> {
        self.bytes(attribute)?.split(|&c| c == 0).next()
    }

    /// Where to tell user space why the request fails.
    pub(crate) fn extack(&self) -> ExtAck<'_> {
        // SAFETY: By the type invariants; the acknowledgement is this request's.
        unsafe { ExtAck::from_raw((*self.info).extack) }
    }

    /// Says that the request fails because of this attribute, and why; gives the error back.
    pub(crate) fn refuse_attribute(
        &self,
        attribute: u32,
        error: Error,
        why: fmt::Arguments<'_>,
    ) -> Error {
        let mut extack = self.extack();
        if let Some(attr) = self.attribute(attribute) {
            // SAFETY: The attribute is in the message that the acknowledgement answers.
            unsafe { extack.set_attribute(attr) };
        }
        extack.set(why);
        error
    }

    /// Says that the request lacks this attribute, and gives [`EINVAL`] back.
    pub(crate) fn lacks(&self, attribute: u32, why: fmt::Arguments<'_>) -> Error {
        let mut extack = self.extack();
        extack.set_missing(attribute as u16);
        extack.set(why);
        EINVAL
    }

    /// What replies begin with.
    pub(super) fn header(&self, flags: u32) -> Header {
        // SAFETY: By the type invariants.
        let info = unsafe { &*self.info };
        Header {
            family: info.family,
            portid: info.snd_portid,
            seq: info.snd_seq,
            flags: flags as c_int,
            // SAFETY: As above.
            command: unsafe { (*info.genlhdr).cmd },
        }
    }

    /// Answers with a message, of command `C`. May sleep.
    pub(crate) fn reply<C: Command>(
        &self,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        let mut buffer = Buffer::new(C::ANSWER_MAX)?;
        buffer.append(&self.header(0), fill)?;
        // SAFETY: By the type invariants; the kernel takes the buffer over.
        to_result(unsafe { bindings::ekho_helper_genlmsg_reply(buffer.into_raw(), self.info) })
    }
}

/// # Safety
///
/// To be called as `doit` of the `Operation` of `T`.
pub(super) unsafe extern "C" fn doit<T: Do>(
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let request = unsafe { Request::from_raw(info, skb, T::POLICY) };
    from_result(|| T::call(&request).map(|()| 0))
}

/// A slice of what a C array with this many elements holds.
///
/// # Safety
///
/// `ptr` must be null, or point at `len` elements that stay as they are for `'a`.
unsafe fn slice_of<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    if ptr.is_null() {
        return &[];
    }
    // SAFETY: By the requirements of this function.
    unsafe { &*ptr::slice_from_raw_parts(ptr, len) }
}
