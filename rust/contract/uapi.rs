// SPDX-License-Identifier: GPL-2.0-only

//! The numbers of the netlink family, from the header that is generated from its specification:
//! `docs/netlink/specs/ekho.yaml`.

#![deny(unsafe_code)]
#![expect(
    dead_code,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    reason = "generated code"
)]

include!("../bindings/uapi_generated.rs");
