// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes `uapi.rs`: the numbers of rtnetlink and tc, out of the kernel's headers for user space.
//!
//! No crate has them all: `libc` and `linux-raw-sys` know rtnetlink and nothing of flower.

#![allow(missing_docs)]

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// Types of attributes, of messages and their flags, which have 16 bits in a message.
const NARROW: [&str; 4] = ["IFLA_", "NLM_F_", "RTM_", "TCA_"];
/// What begins like an attribute and is a number of 32 bits in one.
const WIDE: [&str; 3] = ["RTM_F_", "TCA_ACT_FLAGS_", "TCA_CLS_FLAGS_"];

/// The constant of a line of bindgen's: its name and value.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("pub const ")?.split_once(':')?;
    let (_, value) = rest.split_once('=')?;
    Some((name.trim(), value.trim().strip_suffix(';')?))
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=uapi.h");
    let bindings = bindgen::Builder::default()
        .header("uapi.h")
        .allowlist_var("(IFLA|NLM_F|RTM|RTEXT_FILTER|TCA|TC)_.*")
        .allowlist_var("ETHTOOL_(GSTRINGS|SFEATURES)|ETH_GSTRING_LEN")
        .allowlist_type("net_device_flags|ethtool_stringset")
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .formatter(bindgen::Formatter::Prettyplease)
        .generate()?
        .to_string();
    let begins = |name: &str, prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
    let mut text = String::new();
    for (name, value) in bindings.lines().filter_map(constant) {
        let narrow = begins(name, &NARROW) && !begins(name, &WIDE);
        let kind = match narrow {
            _ if value.starts_with('-') => "i32",
            true => "u16",
            false => "u32",
        };
        text += &format!("pub const {name}: {kind} = {value};\n");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("uapi.rs");
    Ok(fs::write(out, text)?)
}
