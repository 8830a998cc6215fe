// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes what this crate knows of the firmware contract, out of the headers in bpf/, and of the
//! netlink family, out of the header that is generated from its specification.
//!
//! `layout.rs` has the structures of `ekho_maps.h`, by bindgen. `tables.rs` has the names
//! and numbers of `ekho_rule.h`: bindgen knows enumerators, and no text that belongs to
//! them, so the C preprocessor writes those lists as tables of Rust.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const HEADERS: &str = "../../bpf";
const TABLES: &str = "../../rust/bindings/rule_tables.h";

const FAMILY: &str = "../../rust/c/uapi/linux/ekho.h";

/// A constant of bindgen's: its name and value.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("pub const ")?.split_once(':')?;
    let (_, value) = rest.split_once('=')?;
    Some((name.trim(), value.trim().strip_suffix(';')?))
}

/// The numbers of the netlink family, each as wide as in a message.
fn family() -> Result<String, Box<dyn Error>> {
    let bindings = bindgen::Builder::default()
        .header(FAMILY)
        .allowlist_var("EKHO_.*")
        .allowlist_type("ekho_.*")
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .formatter(bindgen::Formatter::Prettyplease)
        .generate()?
        .to_string();
    let mut text = String::new();
    let numbers = bindings
        .lines()
        .filter_map(constant)
        .filter(|(name, value)| !name.starts_with("__") && !value.starts_with('b'));
    for (name, value) in numbers {
        let is = |prefix| name.starts_with(prefix);
        let kind = match () {
            () if is("EKHO_A_") => "u16",
            () if is("EKHO_CMD_") || is("EKHO_FAMILY_VERSION") => "u8",
            () => "u32",
        };
        text += &format!("pub const {name}: {kind} = {value};\n");
    }
    Ok(text)
}

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

    fs::write(out.join("genl.rs"), family()?)?;

    for file in [
        &FAMILY.to_owned(),
        &format!("{HEADERS}/ekho_maps.h"),
        &format!("{HEADERS}/ekho_rule.h"),
        &TABLES.to_owned(),
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
