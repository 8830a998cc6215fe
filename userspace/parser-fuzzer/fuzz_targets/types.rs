// SPDX-License-Identifier: MIT OR Apache-2.0

//! ELF and BTF as far as EKHO reads them itself.

#![no_main]

use ekho::object::btf::{Btf, Kind};
use ekho::object::elf;
use ekho::object::struct_ops::{KernelLayout, Layout, LINK_SECTION, OPS, PLAIN_SECTION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Objects, and types alone, which need no lucky header.
    let btf = match elf::check(data) {
        Ok(sections) => sections.btf,
        Err(_) => data,
    };
    let Ok(btf) = Btf::parse(btf) else { return };
    let _ = KernelLayout::of(&btf);
    for section in [LINK_SECTION, PLAIN_SECTION, ".ksyms"] {
        for variable in btf.section(section) {
            let _ = Layout::of(&btf, variable.type_id);
        }
    }
    for id in 0..64 {
        let _ = (btf.kind(id), btf.name(id), btf.resolve(id), btf.size_of(id));
        let _ = (btf.composite(id), btf.is_func_ptr(id));
    }
    let _ = btf.enumerator("bpf_flow_offload_abi", "BPF_FLOW_OFFLOAD_ABI");
    if let Some(layout) = btf
        .find(Kind::Struct, OPS)
        .and_then(|id| Layout::of(&btf, id))
    {
        let mut value = data.to_vec();
        value.resize(layout.size.min(1 << 16), 0);
        let _ = (
            layout.text(&value, "name"),
            layout.u32(&value, "abi_version"),
        );
        let _ = layout.set(&mut value, "name", b"other");
    }
});
