// SPDX-License-Identifier: GPL-2.0-only

//! The ops of firmware.
//!
//! [`for_each_op`] is the only list of ops in Rust. [`Op`], names, the check of a table, fault
//! injection, tracepoints and figures are generated from it. `c/ops.h` is the same list for C; the
//! build fails if the two differ.
//!
//! Depends on `core` only, outside of the module, so that programs on the host can use it.

use core::ffi::CStr;
#[cfg(MODULE)]
use core::fmt;

/// Calls the macro `$then` with the ops, each with
///
/// - its variant of [`Op`],
/// - its member of `struct bpf_flow_offload_ops`, which is its name everywhere,
/// - whether firmware has to have it: `required` or `optional`,
/// - what it returns: `errno` or `nothing`.
macro_rules! for_each_op {
    ($then:ident) => {
        $then! {
            Attach attach optional errno,
            Detach detach optional nothing,
            Replace replace required errno,
            Destroy destroy required errno,
            Stats stats required errno,
            TemplateCreate template_create optional errno,
            TemplateDestroy template_destroy optional errno,
            Hnode hnode optional errno,
            Qdisc qdisc optional errno,
        }
    };
}

pub(crate) use for_each_op;

macro_rules! define_op {
    ($($variant:ident $member:ident $presence:ident $result:ident,)*) => {
        /// An op, by its place in the list.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(test, derive(Debug))]
        pub(crate) enum Op {
            $($variant,)*
        }

        impl Op {
            /// All of them, in order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// Its name, for C.
            #[cfg(not(test))]
            pub(crate) fn c_name(self) -> &'static CStr {
                match self {
                    $(Self::$variant => const {
                        let name = concat!(stringify!($member), "\0");
                        match CStr::from_bytes_with_nul(name.as_bytes()) {
                            Ok(name) => name,
                            Err(_) => panic!(),
                        }
                    },)*
                }
            }

            /// Its name in the contract.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($member),)*
                }
            }

            /// Whether it has a result, which could be an error.
            pub(crate) fn has_result(self) -> bool {
                match self {
                    $(Self::$variant => define_op!(@$result),)*
                }
            }
        }
    };
    (@errno) => { true };
    (@nothing) => { false };
}
for_each_op!(define_op);

#[cfg(MODULE)]
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(MODULE)]
impl kernel::fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
