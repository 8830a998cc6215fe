// SPDX-License-Identifier: MIT OR Apache-2.0

//! A reader of BTF, in safe Rust.
//!
//! libbpf-rs can open the BTF of vmlinux and of a BPF object, but not that of a
//! module (split BTF, whose type ids and string offsets continue vmlinux's), and
//! the firmware contract lives in a module. The same reader serves `inspect`,
//! which works on files without touching the kernel.
//!
//! Mirrors `include/uapi/linux/btf.h` of kernel 7.2, in which `vlen` has 24 bits
//! and `kind` 7; older encoders leave the additional bits zero.

use std::sync::Arc;

/// The id of a type; 0 is `void`.
pub type TypeId = u32;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// Longest chain of modifiers and typedefs that is followed.
const MAX_RESOLVE: usize = 32;

/// What a type is (`enum` of `BTF_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum Kind {
    Void = 0,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    fn from_info(info: u32) -> Option<Self> {
        const KINDS: [Kind; 20] = [
            Kind::Void,
            Kind::Int,
            Kind::Ptr,
            Kind::Array,
            Kind::Struct,
            Kind::Union,
            Kind::Enum,
            Kind::Fwd,
            Kind::Typedef,
            Kind::Volatile,
            Kind::Const,
            Kind::Restrict,
            Kind::Func,
            Kind::FuncProto,
            Kind::Var,
            Kind::DataSec,
            Kind::Float,
            Kind::DeclTag,
            Kind::TypeTag,
            Kind::Enum64,
        ];
        KINDS.get(((info >> 24) & 0x7f) as usize).copied()
    }

    /// Bytes that follow the 12-byte `struct btf_type` of a type with `vlen` elements.
    fn extra_len(self, vlen: usize) -> usize {
        match self {
            Self::Int | Self::Var | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::DataSec | Self::Enum64 => vlen * 12,
            Self::Enum | Self::FuncProto => vlen * 8,
            _ => 0,
        }
    }
}

/// Why bytes aren't usable BTF.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The data ends inside a header, a type or a section.
    #[error("BTF is cut short")]
    Truncated,
    /// The magic number is missing, or it is that of the other endianness.
    #[error("no BTF magic number in this machine's byte order")]
    Magic,
    /// Names or source lines that aren't UTF-8, on which libbpf-rs would abort.
    #[error("BTF has text in it that isn't UTF-8")]
    NotUtf8,
    /// Names or source lines that would do something to the terminal that shows them.
    #[error("BTF has control characters in its text")]
    Control,
    /// A type kind that this reader doesn't know: from here on ids can't be told.
    #[error("unknown BTF kind {0}")]
    UnknownKind(u8),
}

/// One member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Member name; empty for an anonymous one.
    pub name: String,
    /// Type of the member.
    pub type_id: TypeId,
    /// Offset from the start of the struct in bits.
    pub bit_offset: u32,
    /// Size in bits when the member is a bit-field, else 0.
    pub bitfield_size: u32,
}

/// A struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composite {
    /// Size in bytes.
    pub size: u32,
    /// Members in the order of their declaration.
    pub members: Vec<Member>,
}

/// A variable placed in an ELF section (or a function, for `.ksyms`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionVar {
    /// Variable or function name.
    pub name: String,
    /// `Kind::Var` or `Kind::Func`.
    pub kind: Kind,
    /// The variable's type, or the function's prototype.
    pub type_id: TypeId,
    /// Offset in the section, 0 for all where the compiler left that to the linker.
    pub offset: u32,
}

/// A parsed set of types.
#[derive(Debug)]
pub struct Btf {
    base: Option<Arc<Btf>>,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Offset of each type in `types`; index 0 is `first_id`.
    offsets: Vec<u32>,
    first_id: TypeId,
    first_string: u32,
}

/// Whether text can be shown as it is. Source lines have tabs.
pub(crate) fn is_printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || c == '\t')
}

/// What an object says of itself, fit to be shown.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "?")
}

fn word(data: &[u8], offset: usize) -> Result<u32, BtfError> {
    data.get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Truncated)
}

impl Btf {
    /// Reads a self-contained set of types: an ELF `.BTF` section, or vmlinux's.
    pub fn parse(data: &[u8]) -> Result<Self, BtfError> {
        Self::parse_on(data, None)
    }

    /// Reads a module's types, which continue those of `base` (vmlinux).
    pub fn parse_split(data: &[u8], base: Arc<Btf>) -> Result<Self, BtfError> {
        Self::parse_on(data, Some(base))
    }

    fn parse_on(data: &[u8], base: Option<Arc<Btf>>) -> Result<Self, BtfError> {
        if data.len() < HEADER_LEN {
            return Err(BtfError::Truncated);
        }
        if u16::from_ne_bytes([data[0], data[1]]) != MAGIC {
            return Err(BtfError::Magic);
        }
        let header = word(data, 4)? as usize;
        let section = |offset: usize| -> Result<&[u8], BtfError> {
            let start = header
                .checked_add(word(data, offset)? as usize)
                .ok_or(BtfError::Truncated)?;
            let end = start
                .checked_add(word(data, offset + 4)? as usize)
                .ok_or(BtfError::Truncated)?;
            data.get(start..end).ok_or(BtfError::Truncated)
        };
        let types = section(8)?.to_vec();
        let strings = section(16)?.to_vec();
        let text = std::str::from_utf8(&strings).map_err(|_| BtfError::NotUtf8)?;
        if !text.split('\0').all(is_printable) {
            return Err(BtfError::Control);
        }

        let mut offsets = Vec::with_capacity(types.len() / 24);
        let mut at = 0;
        while at < types.len() {
            let info = word(&types, at + 4)?;
            let kind =
                Kind::from_info(info).ok_or(BtfError::UnknownKind(((info >> 24) & 0x7f) as u8))?;
            offsets.push(at as u32);
            at += 12 + kind.extra_len((info & 0xff_ffff) as usize);
        }
        if at != types.len() {
            return Err(BtfError::Truncated);
        }
        let (first_id, first_string) = match &base {
            Some(base) => (base.end_id(), base.first_string + base.strings.len() as u32),
            None => (1, 0),
        };
        Ok(Self {
            base,
            types,
            strings,
            offsets,
            first_id,
            first_string,
        })
    }

    /// One more than the highest type id.
    fn end_id(&self) -> TypeId {
        self.first_id + self.offsets.len() as u32
    }

    /// The set of types that holds `id`, and the offset of the type in it.
    fn locate(&self, id: TypeId) -> Option<(&Self, usize)> {
        if id >= self.first_id {
            let offset = *self.offsets.get((id - self.first_id) as usize)?;
            return Some((self, offset as usize));
        }
        self.base.as_ref()?.locate(id)
    }

    fn field(&self, id: TypeId, offset: usize) -> Option<u32> {
        let (set, at) = self.locate(id)?;
        word(&set.types, at + offset).ok()
    }

    fn string(&self, offset: u32) -> &str {
        if offset < self.first_string {
            return self.base.as_ref().map_or("", |base| base.string(offset));
        }
        let rest = self
            .strings
            .get((offset - self.first_string) as usize..)
            .unwrap_or(&[]);
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).unwrap_or("")
    }

    /// The kind of a type, or `None` for an id that doesn't exist.
    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        if id == 0 {
            return Some(Kind::Void);
        }
        Kind::from_info(self.field(id, 4)?)
    }

    /// The name of a type; empty when it has none.
    pub fn name(&self, id: TypeId) -> &str {
        self.field(id, 0).map_or("", |offset| self.string(offset))
    }

    fn vlen(&self, id: TypeId) -> usize {
        self.field(id, 4).unwrap_or(0) as usize & 0xff_ffff
    }

    /// The third word of a type: a size or a type id, depending on the kind.
    fn payload(&self, id: TypeId) -> u32 {
        self.field(id, 8).unwrap_or(0)
    }

    /// Finds a type of this set (not of its base) by kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        (self.first_id..self.end_id())
            .find(|id| self.kind(*id) == Some(kind) && self.name(*id) == name)
    }

    /// Strips typedefs and qualifiers.
    pub fn resolve(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_RESOLVE {
            match self.kind(id) {
                Some(
                    Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag,
                ) => id = self.payload(id),
                _ => break,
            }
        }
        id
    }

    /// Size of a type in bytes, or `None` when it has none (`void`, a function).
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        let mut id = self.resolve(id);
        let mut count = 1u32;
        for _ in 0..MAX_RESOLVE {
            match self.kind(id)? {
                Kind::Array => {
                    count = count.checked_mul(self.field(id, 20)?)?;
                    id = self.resolve(self.field(id, 12)?);
                }
                Kind::Ptr => return count.checked_mul(8),
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float => return count.checked_mul(self.payload(id)),
                _ => return None,
            }
        }
        None
    }

    /// Whether a type is a pointer to a function.
    pub fn is_func_ptr(&self, id: TypeId) -> bool {
        let id = self.resolve(id);
        self.kind(id) == Some(Kind::Ptr)
            && self.kind(self.resolve(self.payload(id))) == Some(Kind::FuncProto)
    }

    /// The members of a struct or union, or `None` for any other type.
    pub fn composite(&self, id: TypeId) -> Option<Composite> {
        let id = self.resolve(id);
        if !matches!(self.kind(id)?, Kind::Struct | Kind::Union) {
            return None;
        }
        let kind_flag = self.field(id, 4)? >> 31 == 1;
        let members = (0..self.vlen(id))
            .map(|index| {
                let at = 12 + index * 12;
                let offset = self.field(id, at + 8)?;
                Some(Member {
                    name: self.string_of(id, at)?,
                    type_id: self.field(id, at + 4)?,
                    bit_offset: if kind_flag {
                        offset & 0xff_ffff
                    } else {
                        offset
                    },
                    bitfield_size: if kind_flag { offset >> 24 } else { 0 },
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Composite {
            size: self.payload(id),
            members,
        })
    }

    /// The string whose offset is stored `at` bytes into type `id`.
    fn string_of(&self, id: TypeId, at: usize) -> Option<String> {
        Some(self.string(self.field(id, at)?).to_owned())
    }

    /// The value of an enumerator, in the enum called `name`.
    pub fn enumerator(&self, name: &str, enumerator: &str) -> Option<u32> {
        let id = self.find(Kind::Enum, name)?;
        (0..self.vlen(id))
            .map(|index| 12 + index * 8)
            .find(|at| self.string_of(id, *at).as_deref() == Some(enumerator))
            .and_then(|at| self.field(id, at + 4))
    }

    /// What a section holds, in the order of its offsets.
    pub fn section(&self, name: &str) -> Vec<SectionVar> {
        let Some(id) = self.find(Kind::DataSec, name) else {
            return Vec::new();
        };
        (0..self.vlen(id))
            .filter_map(|index| {
                let at = 12 + index * 12;
                let var = self.field(id, at)?;
                Some(SectionVar {
                    name: self.name(var).to_owned(),
                    kind: self.kind(var)?,
                    type_id: self.payload(var),
                    offset: self.field(id, at + 4)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Encodes BTF by hand: what a test can't get from a compiler.
    #[derive(Default)]
    pub(crate) struct Encoder {
        types: Vec<u8>,
        strings: Vec<u8>,
        /// Length of the base's strings, for split BTF.
        pub(crate) first_string: u32,
    }

    impl Encoder {
        pub(crate) fn string(&mut self, text: &str) -> u32 {
            if self.first_string == 0 && self.strings.is_empty() {
                self.strings.push(0);
            }
            let offset = self.first_string + self.strings.len() as u32;
            self.strings.extend_from_slice(text.as_bytes());
            self.strings.push(0);
            offset
        }

        pub(crate) fn words(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend_from_slice(&word.to_ne_bytes());
            }
        }

        pub(crate) fn finish(self) -> Vec<u8> {
            let mut data = Vec::new();
            data.extend_from_slice(&MAGIC.to_ne_bytes());
            data.extend_from_slice(&[1, 0]);
            // A header with the layout words of kernel 7.2.
            for word in [
                32,
                0,
                self.types.len() as u32,
                self.types.len() as u32,
                self.strings.len() as u32,
                0,
                0,
            ] {
                data.extend_from_slice(&word.to_ne_bytes());
            }
            data.extend(self.types);
            data.extend(self.strings);
            data
        }
    }

    fn info(kind: Kind, vlen: u32) -> u32 {
        ((kind as u32) << 24) | vlen
    }

    fn base() -> (Arc<Btf>, u32) {
        let mut encoder = Encoder::default();
        let int = encoder.string("int");
        let u32_name = encoder.string("u32");
        encoder.words(&[int, info(Kind::Int, 0), 4, 32]);
        encoder.words(&[u32_name, info(Kind::Typedef, 0), 1]);
        let strings = encoder.strings.len() as u32;
        (Arc::new(Btf::parse(&encoder.finish()).unwrap()), strings)
    }

    #[test]
    fn split_btf_continues_ids_and_strings_of_its_base() {
        let (base, strings) = base();
        let mut encoder = Encoder {
            first_string: strings,
            ..Default::default()
        };
        let name = encoder.string("ops");
        let member = encoder.string("abi_version");
        encoder.words(&[name, info(Kind::Struct, 1), 4, member, 2, 0]);
        let btf = Btf::parse_split(&encoder.finish(), base).unwrap();

        let id = btf.find(Kind::Struct, "ops").unwrap();
        assert_eq!(id, 3);
        let ops = btf.composite(id).unwrap();
        assert_eq!(ops.members[0].name, "abi_version");
        assert_eq!(btf.name(ops.members[0].type_id), "u32");
        assert_eq!(btf.size_of(ops.members[0].type_id), Some(4));
        assert_eq!(btf.find(Kind::Typedef, "u32"), None, "base isn't searched");
    }

    #[test]
    fn vlen_has_24_bits() {
        let mut encoder = Encoder::default();
        let name = encoder.string("many");
        let count = 0x1_0001;
        encoder.words(&[name, info(Kind::Enum, count), 4]);
        for value in 0..count {
            encoder.words(&[name, value]);
        }
        let last = encoder.string("after");
        encoder.words(&[last, info(Kind::Int, 0), 4, 32]);
        let btf = Btf::parse(&encoder.finish()).unwrap();
        assert_eq!(btf.find(Kind::Int, "after"), Some(2));
    }

    #[test]
    fn bad_data_is_refused_not_panicked_on() {
        assert_eq!(Btf::parse(&[]).unwrap_err(), BtfError::Truncated);
        assert_eq!(Btf::parse(&[0; 24]).unwrap_err(), BtfError::Magic);

        let mut encoder = Encoder::default();
        encoder.words(&[0, 0x7f << 24, 0]);
        assert_eq!(
            Btf::parse(&encoder.finish()).unwrap_err(),
            BtfError::UnknownKind(0x7f)
        );
        let mut encoder = Encoder::default();
        encoder.words(&[0, info(Kind::Struct, 5), 0]);
        assert_eq!(
            Btf::parse(&encoder.finish()).unwrap_err(),
            BtfError::Truncated
        );
    }

    #[test]
    fn typedef_loops_end() {
        let mut encoder = Encoder::default();
        let name = encoder.string("loop");
        encoder.words(&[name, info(Kind::Typedef, 0), 1]);
        let btf = Btf::parse(&encoder.finish()).unwrap();
        assert_eq!(btf.size_of(1), None);
    }

    #[test]
    fn bit_fields_are_told_from_plain_members() {
        let mut encoder = Encoder::default();
        let name = encoder.string("s");
        encoder.words(&[
            name,
            info(Kind::Struct, 1) | (1 << 31),
            4,
            name,
            0,
            (3 << 24) | 5,
        ]);
        let btf = Btf::parse(&encoder.finish()).unwrap();
        let member = &btf.composite(1).unwrap().members[0];
        assert_eq!((member.bit_offset, member.bitfield_size), (5, 3));
    }
}
