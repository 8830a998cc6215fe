// SPDX-License-Identifier: GPL-2.0-only

//! Tracepoints that a module defines itself.
//!
//! `kernel::tracepoint::declare_trace!` looks for the tracepoint in the kernel crate's own
//! bindings, which can't know a module's. This macro is the same but for that.

/// Declares the Rust entry point of tracepoints that this module defines in C.
///
/// Each generated function costs a patched-out branch while the tracepoint is off. What it
/// requires of its arguments is what the C side does with them.
macro_rules! declare_module_trace {
    ($($(#[$attr:meta])* $pub:vis unsafe fn $name:ident($($arg:ident : $ty:ty),* $(,)?);)*) => {$(
        $(#[$attr])*
        #[inline(always)]
        $pub unsafe fn $name($($arg: $ty),*) {
            ::kernel::macros::paste! {
                #[allow(improper_ctypes)]
                extern "C" {
                    static [< __tracepoint_ $name >]: ::kernel::bindings::tracepoint;
                    fn [< rust_do_trace_ $name >]($($arg: $ty),*);
                }

                // SAFETY: It is always fine to query the static key of a tracepoint.
                let enabled = unsafe {
                    ::kernel::jump_label::static_branch_unlikely!(
                        [< __tracepoint_ $name >],
                        ::kernel::bindings::tracepoint,
                        key
                    )
                };
                if enabled {
                    // SAFETY: The caller upholds what the C side needs.
                    unsafe { [< rust_do_trace_ $name >]($($arg),*) };
                }
            }
        }
    )*};
}

pub(crate) use declare_module_trace;
