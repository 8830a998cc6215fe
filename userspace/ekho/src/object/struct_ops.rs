// SPDX-License-Identifier: MIT OR Apache-2.0

//! The firmware contract `bpf_flow_offload_ops`, as an object file and as the
//! kernel lay it out.
//!
//! libbpf keeps the value that it would hand to the kernel to itself, and can
//! only use it to create a link. Swapping the map behind an existing link needs
//! the same value in user space's hands, so it is built here, member by member
//! and by name, for both cases. The rules are libbpf's
//! (`bpf_map__init_kern_struct_ops()`): order doesn't matter, a member unknown to
//! the kernel must be zero, a member unknown to the firmware stays zero.

use crate::object::btf::{shown, Btf, Kind, TypeId};

/// Name of the struct_ops type.
pub const OPS: &str = "bpf_flow_offload_ops";
/// Name of the type's value in the kernel, around the ops.
pub const VALUE: &str = "bpf_struct_ops_bpf_flow_offload_ops";
/// Enum that holds the newest ABI, and its enumerator.
pub const ABI: (&str, &str) = ("bpf_flow_offload_abi", "BPF_FLOW_OFFLOAD_ABI");
/// Ops that every firmware must have; `stats` only if it programs no tables. By hand: the module's list
/// (`rust/c/ops.h`) is GPL-2.0-only, and what it says of an op can't depend on tables.
pub const MANDATORY: [&str; 3] = ["replace", "destroy", "stats"];
/// Section of ops that can be attached through a link, the only supported kind.
pub const LINK_SECTION: &str = ".struct_ops.link";
/// Section of ops that can't.
pub const PLAIN_SECTION: &str = ".struct_ops";
/// Bytes of the firmware's name, NUL included.
pub const NAME_MAX: usize = 32;

/// One member of the ops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name without libbpf's `___flavor`.
    pub name: String,
    /// Offset in bytes from the start of the ops.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// Whether it is an op rather than data.
    pub is_op: bool,
}

/// Where the members of the ops are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size of the ops in bytes.
    pub size: usize,
    /// The members in the order of their declaration.
    pub slots: Vec<Slot>,
}

/// Where the ops are in the value that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLayout {
    /// Layout of the ops themselves.
    pub ops: Layout,
    /// Offset of the ops in the value.
    pub data_offset: usize,
    /// Size of the whole value.
    pub value_size: usize,
}

/// Why a value can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The types aren't there, or have no sensible shape.
    #[error("type {0} is missing or malformed")]
    Type(&'static str),
    /// The firmware sets a member that the kernel doesn't have.
    #[error("member `{0}` is set, and the module has no such member")]
    UnknownMember(String),
    /// A member is an op on one side and data on the other, or of another size.
    #[error("member `{0}` has another type in the module")]
    OtherType(String),
    /// A program has no descriptor.
    #[error("the program of op `{0}` isn't loaded")]
    NoProgram(String),
}

/// A name without libbpf's `___flavor` suffix.
pub fn essential_name(name: &str) -> &str {
    name.split_once("___").map_or(name, |(start, _)| start)
}

impl Layout {
    /// Reads the layout of a struct.
    pub fn of(btf: &Btf, id: TypeId) -> Option<Self> {
        let ops = btf.composite(id)?;
        let slots = ops
            .members
            .iter()
            .map(|member| {
                if member.bitfield_size != 0 {
                    return None;
                }
                Some(Slot {
                    name: essential_name(&member.name).to_owned(),
                    offset: member.bit_offset as usize / 8,
                    size: btf.size_of(member.type_id)? as usize,
                    is_op: btf.is_func_ptr(member.type_id),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let size = ops.size as usize;
        slots
            .iter()
            .all(|slot| slot.offset + slot.size <= size)
            .then_some(Self { size, slots })
    }

    /// The member called `name`.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// The bytes of a member in `data`, which has this layout.
    pub fn bytes<'data>(&self, data: &'data [u8], name: &str) -> Option<&'data [u8]> {
        let slot = self.slot(name)?;
        data.get(slot.offset..slot.offset + slot.size)
    }

    /// A 32-bit member in `data`.
    pub fn u32(&self, data: &[u8], name: &str) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes(data, name)?.try_into().ok()?))
    }

    /// A pointer-sized member in `data`.
    pub fn u64(&self, data: &[u8], name: &str) -> Option<u64> {
        Some(u64::from_ne_bytes(self.bytes(data, name)?.try_into().ok()?))
    }

    /// A string member in `data`, up to its NUL.
    pub fn text(&self, data: &[u8], name: &str) -> Option<String> {
        let bytes = self.bytes(data, name)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(shown(&bytes[..end]))
    }

    /// Overwrites a member in `data`; the rest of it becomes zero.
    pub fn set(&self, data: &mut [u8], name: &str, bytes: &[u8]) -> bool {
        let Some(slot) = self.slot(name) else {
            return false;
        };
        let Some(target) = data.get_mut(slot.offset..slot.offset + slot.size) else {
            return false;
        };
        if bytes.len() > target.len() {
            return false;
        }
        target.fill(0);
        target[..bytes.len()].copy_from_slice(bytes);
        true
    }
}

impl KernelLayout {
    /// Reads the layout from the module's BTF.
    pub fn of(btf: &Btf) -> Result<Self, LayoutError> {
        let value = btf
            .find(Kind::Struct, VALUE)
            .and_then(|id| btf.composite(id))
            .ok_or(LayoutError::Type(VALUE))?;
        let data = value
            .members
            .iter()
            .find(|member| member.name == "data")
            .ok_or(LayoutError::Type(VALUE))?;
        let ops = Layout::of(btf, data.type_id).ok_or(LayoutError::Type(OPS))?;
        let data_offset = data.bit_offset as usize / 8;
        let value_size = value.size as usize;
        if data_offset + ops.size > value_size {
            return Err(LayoutError::Type(VALUE));
        }
        Ok(Self {
            ops,
            data_offset,
            value_size,
        })
    }

    /// The ops inside a value that the kernel returned.
    pub fn data<'value>(&self, value: &'value [u8]) -> Option<&'value [u8]> {
        value.get(self.data_offset..self.data_offset + self.ops.size)
    }

    /// Program ids in a value that the kernel returned, by op.
    pub fn program_ids(&self, value: &[u8]) -> Vec<(String, u32)> {
        let Some(data) = self.data(value) else {
            return Vec::new();
        };
        self.ops
            .slots
            .iter()
            .filter(|slot| slot.is_op)
            .filter_map(|slot| {
                let id = self.ops.u64(data, &slot.name)? as u32;
                (id != 0).then(|| (slot.name.clone(), id))
            })
            .collect()
    }

    /// Builds the value for the kernel out of a firmware's ops.
    ///
    /// `data` has the layout `from`, with something that isn't zero where an op
    /// is set; `program` turns that into the descriptor of the loaded program.
    pub fn value(
        &self,
        from: &Layout,
        data: &[u8],
        mut program: impl FnMut(u64) -> Option<i32>,
    ) -> Result<Vec<u8>, LayoutError> {
        let mut value = vec![0; self.value_size];
        for slot in &from.slots {
            let bytes = data
                .get(slot.offset..slot.offset + slot.size)
                .ok_or(LayoutError::Type(OPS))?;
            let set = bytes.iter().any(|byte| *byte != 0);
            let Some(target) = self.ops.slot(&slot.name) else {
                if set {
                    return Err(LayoutError::UnknownMember(slot.name.clone()));
                }
                continue;
            };
            if target.is_op != slot.is_op || target.size != slot.size {
                return Err(LayoutError::OtherType(slot.name.clone()));
            }
            if !set {
                continue;
            }
            let start = self.data_offset + target.offset;
            let into = &mut value[start..start + target.size];
            if slot.is_op {
                let pointer = from
                    .u64(data, &slot.name)
                    .ok_or_else(|| LayoutError::OtherType(slot.name.clone()))?;
                let fd =
                    program(pointer).ok_or_else(|| LayoutError::NoProgram(slot.name.clone()))?;
                into.copy_from_slice(&(fd as u64).to_ne_bytes());
            } else {
                into.copy_from_slice(bytes);
            }
        }
        Ok(value)
    }
}

/// Whether the module accepts a firmware name: `[A-Za-z0-9_.-]+`, NUL included
/// at most [`NAME_MAX`] bytes.
pub fn name_is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() < NAME_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::elf;

    fn btf(object: &[u8]) -> Btf {
        Btf::parse(elf::check(object).unwrap().btf).unwrap()
    }

    fn firmware() -> Layout {
        let btf = btf(ekho_fixtures::FIRMWARE);
        let id = btf.find(Kind::Struct, OPS).unwrap();
        Layout::of(&btf, id).unwrap()
    }

    fn kernel() -> KernelLayout {
        KernelLayout::of(&btf(ekho_fixtures::KERNEL)).unwrap()
    }

    fn slot(name: &str, offset: usize, size: usize, is_op: bool) -> Slot {
        Slot {
            name: name.into(),
            offset,
            size,
            is_op,
        }
    }

    #[test]
    fn layouts_come_from_btf() {
        let kernel = kernel();
        assert_eq!(kernel.data_offset, 64);
        assert_eq!(kernel.value_size % 64, 0);
        assert_eq!(kernel.ops.slot("name"), Some(&slot("name", 8, 32, false)));
        assert_eq!(
            kernel.ops.slot("replace"),
            Some(&slot("replace", 56, 8, true))
        );
        assert!(kernel.ops.slot("appended").is_some());
        assert!(firmware().slot("appended").is_none());
    }

    #[test]
    fn the_newest_abi_is_read_from_the_enum() {
        let btf = btf(ekho_fixtures::KERNEL);
        assert_eq!(btf.enumerator(ABI.0, ABI.1), Some(2));
        assert_eq!(btf.enumerator(ABI.0, "OTHER"), None);
    }

    #[test]
    fn the_value_has_descriptors_where_ops_are() {
        let (kernel, firmware) = (kernel(), firmware());
        let mut data = vec![0; firmware.size];
        assert!(firmware.set(&mut data, "abi_version", &1u32.to_ne_bytes()));
        assert!(firmware.set(&mut data, "name", b"mine"));
        assert!(firmware.set(&mut data, "replace", &0xdead_0000_u64.to_ne_bytes()));

        let value = kernel
            .value(&firmware, &data, |pointer| {
                (pointer == 0xdead_0000).then_some(17)
            })
            .unwrap();
        assert_eq!(value.len(), kernel.value_size);
        assert_eq!(
            value[..64],
            [0; 64],
            "reference count and state are the kernel's"
        );
        let ops = kernel.data(&value).unwrap();
        assert_eq!(kernel.ops.u32(ops, "abi_version"), Some(1));
        assert_eq!(kernel.ops.text(ops, "name").as_deref(), Some("mine"));
        assert_eq!(kernel.ops.u64(ops, "replace"), Some(17));
        assert_eq!(kernel.ops.u64(ops, "appended"), Some(0));
        assert_eq!(
            kernel.program_ids(&value),
            [("replace".to_owned(), 17)],
            "reading is the inverse of writing"
        );
    }

    #[test]
    fn members_move_by_name_and_flavours_are_ignored() {
        let from = Layout {
            size: 16,
            slots: vec![
                slot("stats", 0, 8, true),
                slot(essential_name("abi_version___v2"), 8, 4, false),
            ],
        };
        let mut data = vec![0; 16];
        data[0] = 1;
        data[8] = 1;
        let kernel = kernel();
        let value = kernel.value(&from, &data, |_| Some(5)).unwrap();
        let ops = kernel.data(&value).unwrap();
        assert_eq!(kernel.ops.u64(ops, "stats"), Some(5));
        assert_eq!(kernel.ops.u32(ops, "abi_version"), Some(1));
    }

    #[test]
    fn what_firmware_declares_goes_with_it() {
        let from = Layout {
            size: 16,
            slots: vec![slot("max_flows", 0, 4, false), slot("keys", 8, 8, false)],
        };
        let mut data = vec![0; 16];
        assert!(from.set(&mut data, "max_flows", &1024u32.to_ne_bytes()));
        assert!(from.set(&mut data, "keys", &(0x8000_0000_0000_0006u64).to_ne_bytes()));
        let kernel = kernel();
        let value = kernel.value(&from, &data, |_| None).unwrap();
        let ops = kernel.data(&value).unwrap();
        assert_eq!(kernel.ops.u32(ops, "max_flows"), Some(1024));
        assert_eq!(kernel.ops.u64(ops, "keys"), Some(0x8000_0000_0000_0006));
        assert_eq!(kernel.program_ids(&value), []);
    }

    #[test]
    fn what_the_module_lacks_must_be_zero() {
        let from = Layout {
            size: 8,
            slots: vec![slot("future", 0, 8, true)],
        };
        let kernel = kernel();
        assert!(kernel.value(&from, &[0; 8], |_| None).is_ok());
        assert_eq!(
            kernel.value(&from, &[1; 8], |_| Some(3)).unwrap_err(),
            LayoutError::UnknownMember("future".into())
        );
    }

    #[test]
    fn another_type_is_refused() {
        let from = Layout {
            size: 8,
            slots: vec![slot("abi_version", 0, 8, false)],
        };
        assert_eq!(
            kernel().value(&from, &[0; 8], |_| None).unwrap_err(),
            LayoutError::OtherType("abi_version".into())
        );
    }

    #[test]
    fn names_follow_the_module() {
        for good in ["stats", "a", "Vendor_1.2-rc", &"x".repeat(31)] {
            assert!(name_is_valid(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(32)] {
            assert!(!name_is_valid(bad), "{bad}");
        }
    }
}
