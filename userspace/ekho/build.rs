// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes what this crate knows of the firmware contract, out of the headers in bpf/.
//!
//! `layout.rs` has the structures of `ekho_maps.h`, by bindgen. `tables.rs` has the names
//! and numbers of `ekho_rule.h`: bindgen knows enumerators, and no text that belongs to
//! them, so the C preprocessor writes those lists as tables of Rust.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const HEADERS: &str = "../../bpf";
const TABLES: &str = "../../rust/bindings/rule_tables.h";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);

    bindgen::Builder::default()
        .header(format!("{HEADERS}/ekho_maps.h"))
        .allowlist_type("ekho_(event|event_part|event_hnode|event_qdisc|flow_counters)")
        .allowlist_type("ekho_(event_part_type|hw_stats|rule_type)")
        .allowlist_var("EKHO_EVENT_VERSION")
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .formatter(bindgen::Formatter::Prettyplease)
        .generate()?
        .write_to_file(out.join("layout.rs"))?;

    let tables = cc::Build::new()
        .cargo_metadata(false)
        .file(TABLES)
        .include(HEADERS)
        .flag("-undef")
        .flag("-nostdinc")
        .flag("-P")
        .flag("-xc")
        .define("EKHO_USER_SPACE", None)
        .try_expand()?;
    fs::write(out.join("tables.rs"), tables)?;

    for file in [
        &format!("{HEADERS}/ekho_maps.h"),
        &format!("{HEADERS}/ekho_rule.h"),
        TABLES,
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
