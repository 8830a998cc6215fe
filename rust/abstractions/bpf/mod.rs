// SPDX-License-Identifier: GPL-2.0-only

//! BPF.

pub(crate) mod struct_ops;
