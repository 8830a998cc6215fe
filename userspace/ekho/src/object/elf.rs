// SPDX-License-Identifier: MIT OR Apache-2.0

//! A look at an object file before libbpf gets it.
//!
//! libbpf answers everything that it can't use with `EINVAL` or
//! `LIBBPF_ERRNO__FORMAT`; a person wants to know whether the file is a text,
//! a program for the host, or BPF for a machine of the other byte order.

use object::elf::EM_BPF;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::object::btf::{is_printable, shown};

/// What is wrong with a file, in words that continue "FILE …".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// No ELF magic number.
    #[error("isn't an ELF object")]
    NotElf,
    /// A 32-bit object.
    #[error("is a 32-bit ELF object, and BPF objects are 64-bit")]
    Not64,
    /// Object for a machine of the other byte order.
    #[error("is {found}-endian, and this machine is {host}-endian")]
    Endian {
        /// Byte order of the file.
        found: &'static str,
        /// Byte order of this machine.
        host: &'static str,
    },
    /// Object for another machine than BPF.
    #[error("is an object for {0}, not for BPF")]
    Machine(String),
    /// Linked, or something else that isn't a relocatable object.
    #[error("isn't a relocatable object (ELF type {0})")]
    Type(u16),
    /// The ELF structures don't add up.
    #[error("is a damaged ELF object: {0}")]
    Damaged(String),
    /// Names that aren't text.
    #[error("has names or source lines in it that aren't UTF-8")]
    NotUtf8,
    /// Names that would do something to the terminal that shows them.
    #[error("has names with control characters in it")]
    Control,
    /// There is no type information.
    #[error("has no BTF (type information)")]
    NoBtf,
}

/// The parts of an object that the pre-check needs.
#[derive(Debug)]
pub struct Sections<'data> {
    /// Content of `.BTF`.
    pub btf: &'data [u8],
    /// Content of `license`, without its NUL; empty when missing.
    pub license: String,
    /// Names of all sections.
    pub names: Vec<String>,
}

fn machine_name(machine: object::elf::Machine) -> String {
    match machine {
        object::elf::EM_X86_64 => "x86-64".into(),
        object::elf::EM_386 => "x86".into(),
        object::elf::EM_AARCH64 => "arm64".into(),
        object::elf::EM_ARM => "arm".into(),
        object::elf::EM_RISCV => "RISC-V".into(),
        object::elf::EM_S390 => "s390".into(),
        object::elf::EM_PPC64 => "powerpc64".into(),
        other => format!("ELF machine {}", other.0),
    }
}

/// A name that errors may quote.
fn printable(name: &[u8]) -> Result<&str, ElfError> {
    let name = std::str::from_utf8(name).map_err(|_| ElfError::NotUtf8)?;
    if is_printable(name) {
        Ok(name)
    } else {
        Err(ElfError::Control)
    }
}

/// Bytes that nothing in an object may exceed: libbpf adds offsets and sizes of 32 bits.
pub(crate) const SIZE_MAX: u64 = i32::MAX as u64;

/// Checks that `data` is a BPF object that this machine's kernel can take.
pub fn check(data: &[u8]) -> Result<Sections<'_>, ElfError> {
    const HOST: (u8, &str) = if cfg!(target_endian = "big") {
        (2, "big")
    } else {
        (1, "little")
    };

    if data.len() < 16 || !data.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    if data[4] != 2 {
        return Err(ElfError::Not64);
    }
    if data[5] != HOST.0 {
        return Err(ElfError::Endian {
            found: if data[5] == 2 { "big" } else { "little" },
            host: HOST.1,
        });
    }
    let damaged = |error: object::Error| ElfError::Damaged(error.to_string());
    let header = object::elf::FileHeader64::<Endianness>::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let machine = header.e_machine(endian);
    if machine != EM_BPF {
        return Err(ElfError::Machine(machine_name(machine)));
    }
    let kind = header.e_type(endian);
    if kind != object::elf::ET_REL {
        return Err(ElfError::Type(kind.0));
    }

    let file = ElfFile64::<Endianness>::parse(data).map_err(damaged)?;
    let mut sections = Sections {
        btf: &[],
        license: String::new(),
        names: Vec::new(),
    };
    for section in file.sections() {
        let name = section.name_bytes().map_err(damaged)?;
        let name = printable(name)?;
        match name {
            ".BTF" => sections.btf = section.data().map_err(damaged)?,
            "license" => {
                let text = section.data().map_err(damaged)?;
                let text = text.split(|byte| *byte == 0).next().unwrap_or(&[]);
                sections.license = shown(text);
            }
            _ => {}
        }
        if section.size() > SIZE_MAX {
            return Err(ElfError::Damaged(format!("section {name} is too large")));
        }
        sections.names.push(name.to_owned());
    }
    // libbpf prints names in its messages, and libbpf-rs aborts the process when
    // such a message isn't UTF-8.
    for symbol in file.symbols() {
        let name = symbol.name_bytes().map_err(damaged)?;
        let name = printable(name)?;
        // libbpf copies from where a symbol points to.
        let section = symbol.section_index().map(|at| file.section_by_index(at));
        let room = match section.transpose().map_err(damaged)? {
            Some(section) => section.size(),
            None => SIZE_MAX,
        };
        let end = symbol.address().checked_add(symbol.size());
        if end.is_none_or(|end| end > room) {
            let why = format!("symbol {name} goes beyond its section");
            return Err(ElfError::Damaged(why));
        }
    }
    if sections.btf.is_empty() {
        return Err(ElfError::NoBtf);
    }
    Ok(sections)
}

/// Whether the kernel counts a licence as compatible with the GPL, which
/// struct_ops programs need (`license_is_gpl_compatible()`).
pub fn license_is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL"
            | "GPL v2"
            | "GPL and additional rights"
            | "Dual BSD/GPL"
            | "Dual MIT/GPL"
            | "Dual MPL/GPL"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut data = ekho_fixtures::FIRMWARE.to_vec();
        data[at..at + bytes.len()].copy_from_slice(bytes);
        data
    }

    #[test]
    fn firmware_passes() {
        let sections = check(ekho_fixtures::FIRMWARE).unwrap();
        assert_eq!(sections.license, "GPL");
        assert!(sections.names.iter().any(|name| name == ".struct_ops.link"));
    }

    #[test]
    fn text_is_not_elf() {
        assert_eq!(check(b"int main() {}").unwrap_err(), ElfError::NotElf);
        assert_eq!(check(b"").unwrap_err(), ElfError::NotElf);
        assert_eq!(check(b"\x7fELF").unwrap_err(), ElfError::NotElf);
    }

    #[test]
    fn wrong_machines_are_named() {
        let error = check(&patched(18, &62u16.to_ne_bytes())).unwrap_err();
        assert_eq!(error.to_string(), "is an object for x86-64, not for BPF");
        let error = check(&patched(18, &999u16.to_ne_bytes())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "is an object for ELF machine 999, not for BPF"
        );
        assert_eq!(check(&patched(4, &[1])).unwrap_err(), ElfError::Not64);
        let other = if cfg!(target_endian = "big") { 1 } else { 2 };
        assert!(matches!(
            check(&patched(5, &[other])),
            Err(ElfError::Endian { .. })
        ));
        assert_eq!(
            check(&patched(16, &3u16.to_ne_bytes())).unwrap_err(),
            ElfError::Type(3)
        );
    }

    #[test]
    fn what_an_object_says_does_nothing_to_a_terminal() {
        let firmware = ekho_fixtures::FIRMWARE;
        let find = |text: &[u8]| {
            let at = firmware.windows(text.len()).position(|found| found == text);
            at.unwrap()
        };
        let data = patched(find(b"GPL\0"), b"\x1b[m");
        assert_eq!(check(&data).unwrap().license, "?[m");
        let data = patched(find(b".struct_ops.link\0"), b"\x1b[2J");
        assert_eq!(check(&data).unwrap_err(), ElfError::Control);
    }

    #[test]
    fn every_truncation_is_an_error_and_no_panic() {
        let whole = ekho_fixtures::FIRMWARE;
        for len in (0..whole.len()).step_by(61) {
            assert!(check(&whole[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn licences_follow_the_kernel() {
        assert!(license_is_gpl_compatible("Dual BSD/GPL"));
        assert!(!license_is_gpl_compatible("gpl"));
        assert!(!license_is_gpl_compatible(""));
    }
}
