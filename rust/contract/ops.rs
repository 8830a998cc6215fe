// SPDX-License-Identifier: GPL-2.0-only

//! The ops of firmware, and what a new op touches.
//!
//! There is one list, `EKHO_OPS` in `c/ops.h`. The build gives it to Rust as [`for_each_op`], by
//! `bindings/ops_table.h`. A new op goes to its end. From it come:
//!
//! | what | where |
//! |---|---|
//! | stub with the op's prototype, member of the stubs | `c/bpf.c` |
//! | tracepoint `ekho_NAME` | `c/trace.h` |
//! | its declaration and its call | [`trace`](super::trace) |
//! | [`Op`], its names, whether it has a result | here |
//! | whether firmware must have it | [`table`](super::table) |
//! | whether firmware has it | [`Ops::has`](super::calls::Ops::has) |
//! | fault injection: `op=NAME`, `--point NAME` | `faults/parse.rs` |
//! | count of calls, name in netlink and debugfs | `firmware/figures.rs`, `observe/` |
//!
//! To be written by hand, in this order:
//!
//! 1. `c/abi.h`: the member of `struct bpf_flow_offload_ops` with its context, and the structure of
//!    its argument, unless it takes one that is there. An enum that only firmware uses has to be
//!    emitted in `c/bpf.c`.
//! 2. The kfuncs by which it answers, if a result isn't enough: `c/bpf.c`, with the part that is
//!    Rust in [`kfuncs`](super::kfuncs).
//! 3. [`Ops`](super::calls::Ops): a method that fills in the argument and calls it.
//! 4. [`Firmware`](crate::firmware::Firmware): a method that calls that through `run`, or
//!    `run_optional` if it is optional, and `intake/`, which calls this one.
//! 5. Events: `EKHO_EVENT_LIST` in `bpf/ekho_rule.h`, `ekho_emit_NAME()` in `bpf/ekho.bpf.h`, a part
//!    in `bpf/ekho_maps.h` if it tells more than others, and its reader,
//!    `userspace/ekho/src/events/event.rs`.
//! 6. `docs/firmware.md` (table of ops), `docs/requests.md`, `userspace/SCHEMA.md` (events).
//! 7. Tests: `selftests/bpf/record.bpf.c` (what it is told), `violation.bpf.c` (a wrong result),
//!    `bpf/events.bpf.c` with `selftests/events.sh`.
//!
//! Depends on `core` only, outside of the module, so that programs on the host can use it.

use core::ffi::CStr;
#[cfg(MODULE)]
use core::fmt;

// `for_each_op!(then)` calls the macro `then` with the ops, each with
//
// - its variant of `Op`,
// - its member of `struct bpf_flow_offload_ops`, which is its name everywhere,
// - whether firmware has to have it: `required` or `optional`,
// - what it returns: `int`, which is zero or an error, or `void`.
include!("../bindings/ops_generated.rs");

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
    (@int) => { true };
    (@void) => { false };
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
