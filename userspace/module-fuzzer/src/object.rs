// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware objects, and what can be wrong with them: as ELF, in their types, ops and programs.

use std::ops::Range;

use fastrand::Rng;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, SectionKind};

use crate::message::odd;

/// A number in a structure: offset and bytes.
type Field = (usize, usize);

const ELF_HEADER: [Field; 13] = [
    (16, 2),
    (18, 2),
    (20, 4),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 4),
    (52, 2),
    (54, 2),
    (56, 2),
    (58, 2),
    (60, 2),
    (62, 2),
];
const SECTION_HEADER: [Field; 10] = [
    (0, 4),
    (4, 4),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 4),
    (44, 4),
    (48, 8),
    (56, 8),
];
const SYMBOL: [Field; 6] = [(0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8)];
/// Of a relocation: offset, type and symbol.
const RELOCATION: [Field; 3] = [(0, 8), (8, 4), (12, 4)];
/// Of an instruction: opcode, registers, offset and immediate.
const INSTRUCTION: [Field; 4] = [(0, 1), (1, 1), (2, 2), (4, 4)];

/// Where things are in an object that a compiler made.
pub struct Seed {
    data: Vec<u8>,
    /// Headers of sections.
    headers: Vec<usize>,
    symbols: Range<usize>,
    relocations: Vec<Range<usize>>,
    programs: Vec<Range<usize>>,
    license: Range<usize>,
    ops: Range<usize>,
    btf: Range<usize>,
    /// Types in it.
    types: Vec<Range<usize>>,
    strings: Range<usize>,
    btf_ext: Range<usize>,
}

fn number(data: &[u8], (at, size): Field) -> u64 {
    let mut bytes = [0; 8];
    bytes[..size].copy_from_slice(&data[at..at + size]);
    u64::from_le_bytes(bytes)
}

/// Types in a section of BTF, and its strings.
fn types(data: &[u8], btf: &Range<usize>) -> Option<(Vec<Range<usize>>, Range<usize>)> {
    let word = |at| data.get(at..at + 4).map(|_| number(data, (at, 4)) as usize);
    let start = btf.start + word(btf.start + 4)?;
    let mut at = start + word(btf.start + 8)?;
    let end = at + word(btf.start + 12)?;
    let strings = start + word(btf.start + 16)?;
    let strings = strings..strings + word(btf.start + 20)?;
    let mut types = Vec::new();
    while at < end {
        let info = word(at + 4)?;
        let n = info & 0xffff;
        let length = 12
            + match (info >> 24) & 0x1f {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => n * 12,
                6 | 13 => n * 8,
                _ => 0,
            };
        types.push(at..at + length);
        at += length;
    }
    Some((types, strings))
}

impl Seed {
    /// Reads an object; none if it isn't one with types and ops.
    pub fn new(data: Vec<u8>) -> Option<Self> {
        let file = ElfFile64::<object::Endianness>::parse(data.as_slice()).ok()?;
        let range = |section: &str| {
            let (start, size) = file.section_by_name(section)?.file_range()?;
            Some(start as usize..(start + size) as usize)
        };
        let first = number(&data, (40, 8)) as usize;
        let headers = (0..number(&data, (60, 2)) as usize)
            .map(|n| first + n * 64)
            .collect();
        let mut relocations = Vec::new();
        let mut programs = Vec::new();
        for section in file.sections() {
            let Some((start, size)) = section.file_range() else {
                continue;
            };
            let range = start as usize..(start + size) as usize;
            if section.kind() == SectionKind::Text {
                programs.push(range);
            } else if section.name().is_ok_and(|name| name.starts_with(".rel")) {
                relocations.push(range);
            }
        }
        let btf = range(".BTF")?;
        let (types, strings) = types(&data, &btf)?;
        Some(Self {
            headers,
            symbols: range(".symtab")?,
            relocations,
            programs,
            license: range("license")?,
            ops: range(".struct_ops.link").or_else(|| range(".struct_ops"))?,
            btf,
            types,
            strings,
            btf_ext: range(".BTF.ext")?,
            data,
        })
    }

    /// Its bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The object with some things wrong.
    pub fn mutate(&self, rng: &mut Rng) -> Vec<u8> {
        let mut data = self.data.clone();
        for _ in 0..rng.u8(1..4) {
            self.mutate_once(&mut data, rng);
        }
        // Last, as all else goes by where things were.
        if rng.u8(..40) == 0 {
            data.truncate(rng.usize(..data.len()));
        }
        data
    }

    fn mutate_once(&self, data: &mut [u8], rng: &mut Rng) {
        match rng.u8(..32) {
            0 => {
                let field = pick(&ELF_HEADER, rng);
                change(data, field, rng);
            }
            1..=3 => {
                let header = pick(&self.headers, rng);
                let (at, size) = pick(&SECTION_HEADER, rng);
                change(data, (header + at, size), rng);
            }
            4..=6 => element(data, &self.symbols, 24, &SYMBOL, rng),
            7..=9 if !self.relocations.is_empty() => {
                let section = pick(&self.relocations, rng);
                element(data, &section, 16, &RELOCATION, rng);
            }
            10 => flip(data, &self.license, rng),
            11 => flip(data, &(0..data.len()), rng),
            12 => {
                let words = (self.btf.start + 24) - self.btf.start;
                let at = self.btf.start + rng.usize(..words / 4) * 4;
                change(data, (at, 4), rng);
            }
            13..=19 => self.mutate_type(data, rng),
            20 => {
                let at = rng.usize(self.strings.clone());
                data[at] = *rng.choice(b"abpqrs_09.\0\xff").unwrap_or(&0);
            }
            21..=22 => element(data, &self.btf_ext, 4, &[(0, 4)], rng),
            23..=26 => element(data, &self.ops, 4, &[(0, 4)], rng),
            _ if !self.programs.is_empty() => {
                let section = pick(&self.programs, rng);
                element(data, &section, 8, &INSTRUCTION, rng);
            }
            _ => flip(data, &self.ops, rng),
        }
    }

    /// Kinds, names, sizes, members, parameters and variables.
    fn mutate_type(&self, data: &mut [u8], rng: &mut Rng) {
        let which = pick(&self.types, rng);
        let other = pick(&self.types, rng);
        match rng.u8(..6) {
            // The kind, or how much there is of it.
            0 => data[which.start + 7] = rng.u8(..22) | (data[which.start + 7] & 0x80),
            1 => change(data, (which.start + 4, 2), rng),
            // The name of another.
            2 => data.copy_within(other.start..other.start + 4, which.start),
            // Another type in its place.
            3 if which.len() == other.len() => data.copy_within(other, which.start),
            4 => {
                let at = which.start + rng.usize(2..which.len() / 4) * 4;
                let id = rng.u32(..=self.types.len() as u32 + 1);
                data[at..at + 4].copy_from_slice(&id.to_le_bytes());
            }
            _ => element(data, &which, 4, &[(0, 4)], rng),
        }
    }
}

fn pick<T: Clone>(from: &[T], rng: &mut Rng) -> T {
    from[rng.usize(..from.len())].clone()
}

/// Changes a number to one that is near, or far off.
fn change(data: &mut [u8], (at, size): Field, rng: &mut Rng) {
    let old = number(data, (at, size));
    let new = match rng.u8(..8) {
        0 => 0,
        1 => old.wrapping_add(1),
        2 => old.wrapping_sub(1),
        3 => old.wrapping_add(u64::from(rng.u8(..)) * 8),
        4 => old ^ (1 << rng.u32(..size as u32 * 8)),
        5 => u64::MAX - u64::from(rng.u8(..16)),
        6 => u64::from(odd(rng)) << 32,
        _ => u64::from(odd(rng)),
    };
    data[at..at + size].copy_from_slice(&new.to_le_bytes()[..size]);
}

/// Changes a number in an element of a table.
fn element(data: &mut [u8], table: &Range<usize>, size: usize, fields: &[Field], rng: &mut Rng) {
    if table.len() < size {
        return;
    }
    let start = table.start + rng.usize(..table.len() / size) * size;
    let (at, size) = pick(fields, rng);
    change(data, (start + at, size), rng);
}

fn flip(data: &mut [u8], range: &Range<usize>, rng: &mut Rng) {
    if !range.is_empty() {
        data[rng.usize(range.clone())] ^= 1 << rng.u8(..8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Seed {
        Seed::new(ekho_fixtures::FIRMWARE.to_vec()).unwrap()
    }

    #[test]
    fn an_object_is_understood() {
        let seed = seed();
        assert!(seed.headers.len() > 5);
        assert!(!seed.programs.is_empty() && !seed.relocations.is_empty());
        assert_eq!(seed.strings.end, seed.btf.end);
        let types = seed.types.iter().map(|range| range.len()).sum::<usize>();
        let header = number(&seed.data, (seed.btf.start + 12, 4)) as usize;
        assert_eq!(types, header);
        assert_eq!(&seed.data[seed.license.clone()], b"GPL\0");
    }

    #[test]
    fn what_is_no_firmware_is_no_seed() {
        assert!(Seed::new(b"text".to_vec()).is_none());
        assert!(Seed::new(ekho_fixtures::PLAIN.to_vec()).is_none());
    }

    #[test]
    fn mutants_differ_and_repeat() {
        let seed = seed();
        let mut same = 0;
        for n in 0..2000 {
            let mutant = seed.mutate(&mut Rng::with_seed(n));
            assert_eq!(mutant, seed.mutate(&mut Rng::with_seed(n)));
            assert!(mutant.len() <= seed.data.len(), "nothing is added");
            same += u32::from(mutant == seed.data);
        }
        assert!(same < 100, "{same} of 2000 are as they were");
    }
}
