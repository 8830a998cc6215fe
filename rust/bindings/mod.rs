// SPDX-License-Identifier: GPL-2.0-only

//! The C that the module calls, as bindgen sees it.
//!
//! Only [`crate::abstractions`], [`crate::contract`] and bench/native may use it. The kernel crate
//! has no bindings for `net_device_ops`, `flow_offload.h` and `pkt_cls.h`. Types that both crates
//! have must have the same layout, which the assertions below check.

#![expect(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    reason = "generated code"
)]

use pin_init::MaybeZeroable;

#[expect(non_camel_case_types)]
type __kernel_size_t = usize;
#[expect(non_camel_case_types)]
type __kernel_ssize_t = isize;
#[expect(non_camel_case_types)]
type __kernel_ptrdiff_t = isize;

include!("bindings_generated.rs");

// SAFETY: The unit is its storage.
unsafe impl<Storage: pin_init::Zeroable> pin_init::Zeroable for __BindgenBitfieldUnit<Storage> {}

macro_rules! same_layout {
    ($($name:ident),* $(,)?) => {$(
        const _: () = assert!(
            size_of::<$name>() == size_of::<::kernel::bindings::$name>()
                && align_of::<$name>() == align_of::<::kernel::bindings::$name>()
        );
    )*};
}

same_layout!(
    bpf_link,
    bpf_prog,
    bpf_struct_ops,
    bpf_verifier_ops,
    ethtool_ops,
    netlink_ext_ack,
    notifier_block,
    rhashtable,
    sk_buff,
);
