// SPDX-License-Identifier: MIT OR Apache-2.0

//! A firmware object: a BPF ELF file with `bpf_flow_offload_ops` in it.
//!
//! ```text
//!  file ──open()──▶ Firmware ──load()──▶ Loaded ──▶ load / replace
//!                      │ no privileges      │ programs and maps in the kernel,
//!                      ▼                    ▼ nothing attached, nothing pinned
//!                  Inspection            dropped: gone without a trace
//! ```
//!
//! [`Firmware::open`] finds everything that can be found wrong without the kernel;
//! [`Firmware::load`] turns what the kernel finds into [`Error`]s.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore as _, ObjectBuilder, OpenMap, OpenObject};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::shipped;
use crate::contract::Capabilities;
use crate::error::{Error, Result, ENOTSUPP};
use crate::kernel::bpf::{self, Map, MapInfo, UpdateMode};
use crate::kernel::libbpf_log::{self, Collector, Messages};
use crate::module::Module;
use crate::number::hex;
use crate::object::btf::{Btf, Kind};
use crate::object::elf::{self, license_is_gpl_compatible};
use crate::object::struct_ops::{
    essential_name, name_is_valid, Layout, LINK_SECTION, MANDATORY, OPS, PLAIN_SECTION,
};
use crate::object::verifier::{self, Rejection};

/// A set of ops in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ops {
    /// Name of the variable, which is also that of the struct_ops map.
    pub variable: String,
    /// Name of the firmware.
    pub name: String,
    /// ABI it was built for.
    pub abi: u32,
    /// ELF section.
    pub section: String,
    /// Which program implements which op.
    pub ops: Vec<OpProgram>,
    /// What the device can do with it.
    pub capabilities: Capabilities,
}

/// An op and the program that implements it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpProgram {
    /// Op.
    pub op: String,
    /// Name of the program.
    pub program: String,
}

/// A program in an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Name of its function.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Instructions, before the kernel rewrites them.
    pub instructions: usize,
    /// Whether it asks to be allowed to sleep.
    pub sleepable: bool,
}

/// A map that the author of an object declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapDeclaration {
    /// Name.
    pub name: String,
    /// Type, as bpftool calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Key size in bytes.
    pub key_size: u32,
    /// Value size in bytes.
    pub value_size: u32,
    /// Maximum number of entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// What there is to know of an object without loading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Licence that it declares.
    pub license: String,
    /// The sets of ops in it.
    pub firmware: Vec<Ops>,
    /// Its programs.
    pub programs: Vec<Program>,
    /// Kernel functions that it calls.
    pub kfuncs: Vec<String>,
    /// Its maps, without those that libbpf makes for global variables.
    pub maps: Vec<MapDeclaration>,
    /// Why it can't be loaded, as far as can be told without the kernel.
    pub problems: Vec<String>,
}

/// An opened object.
#[derive(Debug)]
pub struct Firmware {
    path: PathBuf,
    object: OpenObject,
    inspection: Inspection,
    /// Layouts of the sets of ops, in the order of `inspection.firmware`.
    layouts: Vec<Layout>,
    selected: Option<usize>,
    name: Option<String>,
}

fn map_kind(map: &OpenMap<'_>) -> u32 {
    map.map_type() as u32
}

fn declaration(map: &OpenMap<'_>) -> MapDeclaration {
    MapDeclaration {
        name: map.name().to_string_lossy().into_owned(),
        kind: bpf::map_type_name(map_kind(map)),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags: map.map_flags(),
    }
}

/// Whether the author of the object declared a map, rather than libbpf.
fn is_declared(map: &OpenMap<'_>) -> bool {
    map_kind(map) != libbpf_rs::MapType::StructOps as u32 && !bpf::is_internal(map)
}

impl Firmware {
    /// Opens and examines an object; needs no privileges.
    ///
    /// Fails when the file isn't a BPF object or has no ops at all. What else is
    /// wrong is in [`Inspection::problems`], and [`Firmware::load`] fails with it.
    pub fn open(path: &Path) -> Result<Self> {
        let data = fs::read(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
            places: shipped::places(path),
        })?;
        Self::open_bytes(path, &data)
    }

    /// Opens an object that was read already; `path` is what errors call it.
    pub fn open_bytes(path: &Path, data: &[u8]) -> Result<Self> {
        let path = path.to_owned();
        let malformed = |why: String| Error::Malformed {
            path: path.clone(),
            why,
        };
        let sections = elf::check(data).map_err(|source| Error::NotBpf {
            path: path.clone(),
            source,
        })?;
        let btf = Btf::parse(sections.btf).map_err(|err| malformed(err.to_string()))?;

        let mut declared = Vec::new();
        for section in [LINK_SECTION, PLAIN_SECTION] {
            for variable in btf.section(section) {
                let id = btf.resolve(variable.type_id);
                // libbpf adds the two up in 32 bits before it copies the value.
                let size = u64::from(btf.size_of(id).unwrap_or(0));
                if size > elf::SIZE_MAX || u64::from(variable.offset) > elf::SIZE_MAX {
                    let what = variable.name;
                    return Err(malformed(format!("`{what}` goes beyond section {section}")));
                }
                if essential_name(btf.name(id)) == OPS {
                    let layout = Layout::of(&btf, id)
                        .ok_or_else(|| malformed(format!("struct {OPS} can't be read")))?;
                    declared.push((variable.name, section, layout));
                }
            }
        }
        if declared.is_empty() {
            return Err(Error::NoOps { path });
        }

        let collector = Collector::start();
        let object = ObjectBuilder::default()
            .name(path.file_stem().unwrap_or_default().to_string_lossy())
            .and_then(|builder| builder.open_memory(data))
            .map_err(|err| {
                let messages = collector.take().lines();
                malformed(
                    messages
                        .last()
                        .cloned()
                        .unwrap_or_else(|| format!("{err:#}")),
                )
            })?;
        drop(collector);

        let mut firmware = Vec::new();
        let mut layouts = Vec::new();
        for (variable, section, layout) in declared {
            let value = initial_value(&object, &variable)
                .filter(|value| value.len() >= layout.size)
                .ok_or_else(|| malformed(format!("`{variable}` has no value")))?;
            firmware.push(Ops {
                name: layout.text(&value, "name").unwrap_or_default(),
                abi: layout.u32(&value, "abi_version").unwrap_or(0),
                section: section.to_owned(),
                ops: op_programs(&object, &layout, &value),
                capabilities: Capabilities::of(&layout, &value),
                variable,
            });
            layouts.push(layout);
        }
        let mut kfuncs: Vec<String> = btf
            .section(".ksyms")
            .into_iter()
            .filter(|symbol| symbol.kind == Kind::Func)
            .map(|symbol| symbol.name)
            .collect();
        kfuncs.sort();

        let mut inspection = Inspection {
            file: path.clone(),
            size: data.len(),
            sha256: hex(&Sha256::digest(data)),
            license: sections.license,
            firmware,
            programs: object
                .progs()
                .map(|program| Program {
                    name: program.name().to_string_lossy().into_owned(),
                    section: program.section().to_string_lossy().into_owned(),
                    instructions: program.insn_cnt(),
                    sleepable: is_sleepable(&program.section().to_string_lossy()),
                })
                .collect(),
            kfuncs,
            maps: object
                .maps()
                .filter(is_declared)
                .map(|map| declaration(&map))
                .collect(),
            problems: Vec::new(),
        };
        let mut problems = Vec::new();
        for index in 0..inspection.firmware.len() {
            problems.extend(find_problems(&inspection, index));
        }
        for problem in problems {
            let text = problem.to_string();
            if !inspection.problems.contains(&text) {
                inspection.problems.push(text);
            }
        }

        let selected = (inspection.firmware.len() == 1).then_some(0);
        Ok(Self {
            path,
            object,
            inspection,
            layouts,
            selected,
            name: None,
        })
    }

    /// What was found in the object.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Chooses one of several sets of ops by the name of its variable.
    pub fn select(&mut self, variable: &str) -> Result<()> {
        let found = self
            .inspection
            .firmware
            .iter()
            .position(|ops| ops.variable == variable);
        match found {
            Some(index) => {
                self.selected = Some(index);
                Ok(())
            }
            None => Err(Error::NoSuchOps {
                path: self.path.clone(),
                variable: variable.to_owned(),
                variables: self.variables(),
            }),
        }
    }

    fn variables(&self) -> Vec<String> {
        self.inspection
            .firmware
            .iter()
            .map(|ops| ops.variable.clone())
            .collect()
    }

    /// Gives the firmware another name than the object does.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        if !name_is_valid(name) {
            return Err(Error::BadName {
                name: name.to_owned(),
            });
        }
        self.name = Some(name.to_owned());
        Ok(())
    }

    fn selected(&self) -> Result<usize> {
        self.selected.ok_or_else(|| Error::SeveralOps {
            path: self.path.clone(),
            variables: self.variables(),
        })
    }

    /// Fails with what is known to be wrong before the kernel is asked, the
    /// module's ABI included. Returns the name of the firmware.
    pub fn check(&self, module: &Module) -> Result<String> {
        let index = self.selected()?;
        let ops = &self.inspection.firmware[index];
        let name = self.name.clone().unwrap_or_else(|| ops.name.clone());
        let problem = find_problems(&self.inspection, index)
            .into_iter()
            .find(|problem| !(matches!(problem, Error::BadName { .. }) && self.name.is_some()));
        if let Some(problem) = problem {
            return Err(problem);
        }
        if ops.abi > module.abi() {
            return Err(Error::NewerAbi {
                path: self.path.clone(),
                firmware: ops.abi,
                module: module.abi(),
            });
        }
        Ok(name)
    }

    /// Loads programs and maps into the kernel, for the device `ifindex`.
    ///
    /// A map in `carried` is used in place of a new one with the same name; it
    /// must have the same shape. Nothing is attached or pinned: dropping the
    /// result undoes everything.
    pub fn load(
        mut self,
        module: &Module,
        ifindex: u32,
        carried: &[(String, Map)],
    ) -> Result<Loaded> {
        let name = self.check(module)?;
        let index = self.selected()?;
        let variable = self.inspection.firmware[index].variable.clone();
        let layout = self.layouts[index].clone();
        let has_attach = self.inspection.firmware[index]
            .ops
            .iter()
            .any(|op| op.op == "attach");
        let path = self.path.clone();
        let prepare = |source: io::Error| Error::Load {
            path: path.clone(),
            source,
            log: Vec::new(),
        };

        let mut value = Vec::new();
        for mut map in self.object.maps_mut() {
            let is_ops = map_kind(&map) == libbpf_rs::MapType::StructOps as u32;
            if is_ops && map.name().to_str() == Some(&variable) {
                let data = map
                    .initial_value_mut()
                    .ok_or_else(|| prepare(io::ErrorKind::InvalidData.into()))?;
                layout.set(data, "ifindex", &ifindex.to_ne_bytes());
                layout.set(data, "name", name.as_bytes());
                value = data.to_vec();
            } else if is_ops {
                bpf::leave_out(&mut map).map_err(prepare)?;
            } else if is_declared(&map) {
                let wanted = declaration(&map);
                let found = carried.iter().find(|(name, _)| *name == wanted.name);
                if let Some((_, found)) = found {
                    check_shape(&self.path, &wanted, found.info())?;
                    bpf::reuse(&mut map, found.as_fd()).map_err(prepare)?;
                }
            }
        }
        bpf::forbid_auto_pins(&mut self.object).map_err(prepare)?;
        if libbpf_log::debug() {
            for mut program in self.object.progs_mut() {
                program.set_log_level(1);
            }
        }

        let collector = Collector::start();
        let object = bpf::load(self.object)
            .map_err(|source| explain(&self.path, source, &collector.take()))?;
        drop(collector);

        let value = module
            .layout()
            .value(&layout, &value, |pointer| bpf::program_fd(&object, pointer))
            .map_err(|source| Error::Layout {
                path: self.path.clone(),
                source,
            })?;
        let mut ops_map = None;
        let mut maps = Vec::new();
        for map in object.maps() {
            let map_name = map.name().to_string_lossy().into_owned();
            let declared = self
                .inspection
                .maps
                .iter()
                .any(|declared| declared.name == map_name);
            if map_name != variable && !declared {
                continue;
            }
            let open = map
                .as_fd()
                .try_clone_to_owned()
                .and_then(Map::new)
                .map_err(Error::io(format!("can't use map `{map_name}`")))?;
            if declared {
                maps.push((map_name, open));
            } else {
                ops_map = Some(open);
            }
        }
        let ops_map = ops_map.ok_or_else(|| prepare(io::ErrorKind::InvalidData.into()))?;
        Ok(Loaded {
            path: self.path,
            name,
            abi: self.inspection.firmware[index].abi,
            has_attach,
            value,
            ops_map,
            maps,
            _object: object,
        })
    }
}

/// Firmware whose programs and maps are in the kernel, not attached yet.
#[derive(Debug)]
pub struct Loaded {
    path: PathBuf,
    name: String,
    abi: u32,
    has_attach: bool,
    value: Vec<u8>,
    ops_map: Map,
    maps: Vec<(String, Map)>,
    /// Holds the programs until the struct_ops map does.
    _object: libbpf_rs::Object,
}

impl Loaded {
    /// Name of the firmware.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// ABI it was built for.
    pub fn abi(&self) -> u32 {
        self.abi
    }

    /// Whether it has an `attach` op, which may refuse a device.
    pub fn has_attach(&self) -> bool {
        self.has_attach
    }

    /// The maps that the author declared, by full name.
    pub fn maps(&self) -> &[(String, Map)] {
        &self.maps
    }

    /// The struct_ops map.
    pub fn ops_map(&self) -> BorrowedFd<'_> {
        self.ops_map.as_fd()
    }

    /// Id of the struct_ops map.
    pub fn map_id(&self) -> u32 {
        self.ops_map.info().id
    }

    /// Gives the struct_ops map its value: the module validates it now.
    pub fn activate(&self, module: &Module) -> Result<()> {
        self.ops_map
            .update(&0u32.to_ne_bytes(), &self.value, UpdateMode::Any)
            .map_err(|source| match source.raw_os_error() {
                Some(nix::libc::EPROTONOSUPPORT) => Error::NewerAbi {
                    path: self.path.clone(),
                    firmware: self.abi,
                    module: module.abi(),
                },
                Some(ENOTSUPP) => Error::NoJit,
                _ => Error::Invalid {
                    firmware: self.name.clone(),
                    source,
                },
            })
    }
}

fn initial_value(object: &OpenObject, variable: &str) -> Option<Vec<u8>> {
    let map = object
        .maps()
        .find(|map| map.name().to_str() == Some(variable))?;
    Some(map.initial_value()?.to_vec())
}

fn is_sleepable(section: &str) -> bool {
    section.trim_start_matches('?').starts_with("struct_ops.s")
}

/// Which programs the ops point to: libbpf stores the address of its own object.
fn op_programs(object: &OpenObject, layout: &Layout, value: &[u8]) -> Vec<OpProgram> {
    use libbpf_rs::AsRawLibbpf as _;

    layout
        .slots
        .iter()
        .filter(|slot| slot.is_op)
        .filter_map(|slot| {
            let pointer = layout.u64(value, &slot.name).filter(|at| *at != 0)?;
            let program = object
                .progs()
                .find(|program| program.as_libbpf_object().as_ptr() as u64 == pointer)
                .map_or_else(
                    || "?".to_owned(),
                    |program| program.name().to_string_lossy().into_owned(),
                );
            Some(OpProgram {
                op: slot.name.clone(),
                program,
            })
        })
        .collect()
}

/// What is wrong with one set of ops, the most fundamental first.
fn find_problems(inspection: &Inspection, index: usize) -> Vec<Error> {
    let path = || inspection.file.clone();
    let ops = &inspection.firmware[index];
    let mut problems = Vec::new();

    if ops.section != LINK_SECTION {
        problems.push(Error::NotLink {
            path: path(),
            variable: ops.variable.clone(),
        });
    }
    if ops.abi == 0 {
        problems.push(Error::NoAbi { path: path() });
    }
    if !name_is_valid(&ops.name) {
        problems.push(Error::BadName {
            name: ops.name.clone(),
        });
    }
    for op in MANDATORY {
        // What is executed is counted by the device.
        let is_needed = op != "stats" || ops.capabilities.tables.is_empty();
        if is_needed && !ops.ops.iter().any(|present| present.op == op) {
            problems.push(Error::MissingOp {
                path: path(),
                op: op.to_owned(),
            });
        }
    }
    for program in &inspection.programs {
        if program.sleepable && ops.ops.iter().any(|op| op.program == program.name) {
            problems.push(Error::Sleepable {
                path: path(),
                program: program.name.clone(),
            });
        }
    }
    if !license_is_gpl_compatible(&inspection.license) {
        problems.push(Error::License {
            path: path(),
            license: inspection.license.clone(),
        });
    }
    problems
}

fn shape(kind: &str, key: u32, value: u32, entries: u32, flags: u32) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    let mut text =
        format!("{article} {kind} of {entries} entries, key {key} bytes, value {value} bytes");
    if flags != 0 {
        text += &format!(", flags {flags:#x}");
    }
    text
}

/// The shape of a map in words.
pub fn describe(info: &MapInfo) -> String {
    shape(
        &bpf::map_type_name(info.kind),
        info.key_size,
        info.value_size,
        info.max_entries,
        info.flags,
    )
}

/// Fails unless a map of attached firmware can stand in for a declared one.
fn check_shape(path: &Path, wanted: &MapDeclaration, found: &MapInfo) -> Result<()> {
    let same = wanted.kind == bpf::map_type_name(found.kind)
        && wanted.key_size == found.key_size
        && wanted.value_size == found.value_size
        // 0: libbpf chooses at load, for types where the number can't matter.
        && (wanted.max_entries == found.max_entries || wanted.max_entries == 0)
        && wanted.flags == found.flags;
    if same {
        return Ok(());
    }
    Err(Error::MapShape {
        path: path.to_owned(),
        map: wanted.name.clone(),
        attached: describe(found),
        wanted: shape(
            &wanted.kind,
            wanted.key_size,
            wanted.value_size,
            wanted.max_entries,
            wanted.flags,
        ),
    })
}

/// What a failed load means, from the errno and from what libbpf said.
fn explain(path: &Path, source: io::Error, messages: &Messages) -> Error {
    let path = path.to_owned();
    let errno = source.raw_os_error();

    if let Some(function) = messages.unknown_function() {
        return Error::UnknownFunction { path, function };
    }
    if let Some((program, log)) = messages.verifier_log() {
        let excerpt = verifier::excerpt(&log);
        if excerpt
            .complaint
            .iter()
            .any(|line| line.starts_with("JIT is required"))
        {
            return Error::NoJit;
        }
        let relocation = excerpt
            .complaint
            .iter()
            .find_map(|line| line.strip_prefix("failed to resolve CO-RE relocation "));
        if let Some(what) = relocation {
            return Error::Relocation {
                path,
                what: format!("program `{program}` needs {what}"),
            };
        }
        return Error::Verifier {
            path,
            rejection: Box::new(Rejection {
                program,
                excerpt,
                log,
            }),
        };
    }
    if errno == Some(ENOTSUPP) {
        return Error::NoJit;
    }
    if let Some(what) = messages.incompatible() {
        return Error::Relocation { path, what };
    }
    if matches!(errno, Some(nix::libc::EPERM)) {
        let what = messages.failed_program().map_or_else(
            || format!("load {}", path.display()),
            |program| format!("load program `{program}` of {}", path.display()),
        );
        return Error::NotPermitted {
            action: what,
            source,
        };
    }
    Error::Load {
        path,
        source,
        log: messages.lines(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(data: &[u8]) -> Result<Firmware> {
        Firmware::open_bytes(Path::new("test.bpf.o"), data)
    }

    fn problems(data: &[u8]) -> Vec<String> {
        open(data).unwrap().inspection().problems.clone()
    }

    /// The fixture with other bytes, at an offset from where some are found.
    fn patched(find: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut data = ekho_fixtures::FIRMWARE.to_vec();
        let found = data.windows(find.len()).position(|window| window == find);
        let start = found.unwrap() + at;
        data[start..start + bytes.len()].copy_from_slice(bytes);
        data
    }

    /// libbpf would copy from outside of the object, or 4 GB.
    #[test]
    fn ops_beyond_their_section_are_malformed() {
        let data = ekho_fixtures::FIRMWARE;
        let btf = Btf::parse(elf::check(data).unwrap().btf).unwrap();
        let id = btf.find(Kind::Struct, OPS).unwrap();
        let size = btf.composite(id).unwrap().size;
        let members = btf.composite(id).unwrap().members.len() as u32;
        // Of `struct btf_type`, what comes after the name.
        let info = (4 << 24) | members;
        let head = [info, size].map(u32::to_ne_bytes).concat();
        let data = patched(&head, 4, &0xffff_fff0_u32.to_ne_bytes());
        let error = open(&data).unwrap_err().to_string();
        assert!(
            error.contains("goes beyond section .struct_ops.link"),
            "{error}"
        );
    }

    #[test]
    fn symbols_beyond_their_section_are_damage() {
        use object::read::elf::ElfFile64;
        use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

        let data = ekho_fixtures::FIRMWARE;
        let file = ElfFile64::<object::Endianness>::parse(data).unwrap();
        let table = file
            .section_by_name(".symtab")
            .unwrap()
            .file_range()
            .unwrap();
        let section = file.section_by_name(LINK_SECTION).unwrap().index();
        let symbol = file
            .symbols()
            .find(|symbol| symbol.section_index() == Some(section) && symbol.size() > 0)
            .unwrap();
        // st_value of an Elf64_Sym.
        let at = table.0 as usize + symbol.index().0 * 24 + 8;
        for value in [u64::MAX, symbol.address() + 1, 1 << 32] {
            let mut data = data.to_vec();
            data[at..at + 8].copy_from_slice(&value.to_ne_bytes());
            let error = open(&data).unwrap_err().to_string();
            assert!(error.contains("goes beyond its section"), "{error}");
        }
    }

    #[test]
    fn a_complete_firmware_is_described() {
        let firmware = open(ekho_fixtures::FIRMWARE).unwrap();
        let inspection = firmware.inspection();
        assert_eq!(inspection.problems, [""; 0]);
        assert_eq!(inspection.license, "GPL");
        assert_eq!(inspection.sha256.len(), 64);
        assert_eq!(inspection.kfuncs, ["bpf_flow_offload_set_stats"]);
        assert_eq!(
            inspection.maps,
            [MapDeclaration {
                name: "flow_stats".into(),
                kind: "hash".into(),
                key_size: 8,
                value_size: 32,
                max_entries: 1024,
                flags: 0,
            }],
            "without .bss"
        );
        let ops = &inspection.firmware[0];
        assert_eq!((ops.name.as_str(), ops.abi), ("fixture", 1));
        let pairs: Vec<_> = ops
            .ops
            .iter()
            .map(|op| (op.op.as_str(), op.program.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("replace", "fixture_replace"),
                ("destroy", "fixture_destroy"),
                ("stats", "fixture_stats")
            ]
        );
        assert_eq!(inspection.programs.len(), 3);
        assert!(inspection.programs.iter().all(|program| !program.sleepable));
    }

    #[test]
    fn the_schema_of_inspect_is_stable() {
        let mut inspection = open(ekho_fixtures::FIRMWARE).unwrap().inspection().clone();
        inspection.size = 1;
        inspection.sha256 = "00".into();
        for program in &mut inspection.programs {
            program.instructions = 2;
        }
        assert_eq!(
            serde_json::to_string(&inspection).unwrap(),
            concat!(
                r#"{"file":"test.bpf.o","size":1,"sha256":"00","license":"GPL","#,
                r#""firmware":[{"variable":"fixture_ops","name":"fixture","abi":1,"#,
                r#""section":".struct_ops.link","ops":["#,
                r#"{"op":"replace","program":"fixture_replace"},"#,
                r#"{"op":"destroy","program":"fixture_destroy"},"#,
                r#"{"op":"stats","program":"fixture_stats"}],"#,
                r#""capabilities":{"keys":null,"actions":null,"classifiers":null,"#,
                r#""hw_stats":["delayed","disabled"],"max_flows":null,"max_chains":null,"#,
                r#""prio_min":null,"prio_max":null,"max_actions":null,"flow_size":0,"#,
                r#""budget_us":null,"tables":[]}}],"#,
                r#""programs":["#,
                r#"{"name":"fixture_replace","section":"struct_ops/replace","instructions":2,"sleepable":false},"#,
                r#"{"name":"fixture_destroy","section":"struct_ops/destroy","instructions":2,"sleepable":false},"#,
                r#"{"name":"fixture_stats","section":"struct_ops/stats","instructions":2,"sleepable":false}],"#,
                r#""kfuncs":["bpf_flow_offload_set_stats"],"#,
                r#""maps":[{"name":"flow_stats","type":"hash","key_size":8,"value_size":32,"max_entries":1024,"flags":0}],"#,
                r#""problems":[]}"#
            )
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_kernel() {
        for (object, expected) in [
            (
                ekho_fixtures::MISSING_OP,
                "test.bpf.o lacks the mandatory op `destroy`",
            ),
            (
                ekho_fixtures::NO_ABI,
                "test.bpf.o doesn't say which ABI it was built for: `.abi_version` is 0",
            ),
            (
                ekho_fixtures::NOT_LINK,
                "test.bpf.o has its ops `fixture_ops` in section `.struct_ops`, which can't be attached as a link",
            ),
            (
                ekho_fixtures::SLEEPABLE,
                "program `fixture_replace` of test.bpf.o is sleepable, and no op may sleep",
            ),
            (ekho_fixtures::BAD_NAME, "`no blanks` isn't a name for firmware"),
            (
                ekho_fixtures::PROPRIETARY,
                "test.bpf.o is licensed as `Proprietary`, and struct_ops programs must be GPL-compatible",
            ),
        ] {
            assert_eq!(problems(object), [expected]);
        }
    }

    #[test]
    fn a_bpf_object_without_ops_is_no_firmware() {
        assert!(matches!(
            open(ekho_fixtures::PLAIN),
            Err(Error::NoOps { .. })
        ));
    }

    #[test]
    fn a_damaged_object_is_an_error_and_no_crash() {
        let whole = ekho_fixtures::FIRMWARE;
        for at in (64..whole.len()).step_by(97) {
            let mut data = whole.to_vec();
            data[at] ^= 0xff;
            let _ = open(&data);
        }
    }

    #[test]
    fn one_of_several_firmwares_must_be_chosen() {
        let mut firmware = open(ekho_fixtures::TWO_OPS).unwrap();
        assert!(matches!(firmware.selected(), Err(Error::SeveralOps { .. })));
        assert!(matches!(
            firmware.select("third"),
            Err(Error::NoSuchOps { .. })
        ));
        firmware.select("second_ops").unwrap();
        assert_eq!(firmware.selected().unwrap(), 1);
    }

    #[test]
    fn a_bad_name_can_be_overridden() {
        let mut firmware = open(ekho_fixtures::BAD_NAME).unwrap();
        let module = crate::module::abi::tests_support::module();
        assert!(matches!(
            firmware.check(&module),
            Err(Error::BadName { .. })
        ));
        assert!(firmware.rename("also bad").is_err());
        firmware.rename("good").unwrap();
        assert_eq!(firmware.check(&module).unwrap(), "good");
    }

    #[test]
    fn a_newer_abi_is_refused_before_loading() {
        let firmware = open(ekho_fixtures::NEWER_ABI).unwrap();
        let error = firmware
            .check(&crate::module::abi::tests_support::module())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "test.bpf.o was built for ABI 99, and the loaded module speaks ABI 2 at most"
        );
    }

    #[test]
    fn both_shapes_of_a_map_are_named() {
        let wanted = open(ekho_fixtures::FIRMWARE).unwrap().inspection().maps[0].clone();
        let mut found = MapInfo {
            id: 1,
            name: "flow_stats".into(),
            kind: bpf::MAP_TYPE_HASH,
            key_size: 8,
            value_size: 32,
            max_entries: 1024,
            flags: 0,
        };
        let path = Path::new("test.bpf.o");
        assert!(check_shape(path, &wanted, &found).is_ok());
        found.value_size = 16;
        assert_eq!(
            check_shape(path, &wanted, &found).unwrap_err().to_string(),
            "map `flow_stats` can't be carried over: it is a hash of 1024 entries, key 8 bytes, value 16 bytes now, and a hash of 1024 entries, key 8 bytes, value 32 bytes in test.bpf.o"
        );
    }

    fn explained(errno: i32, messages: &[&str]) -> Error {
        explain(
            Path::new("test.bpf.o"),
            io::Error::from_raw_os_error(errno),
            &Messages::new(messages),
        )
    }

    #[test]
    fn failures_of_a_load_are_told_apart() {
        let error = explained(
            nix::libc::ESRCH,
            &["libbpf: extern (func ksym) 'bpf_gone': not found in kernel or module BTFs\n"],
        );
        assert_eq!(error.id(), "unknown-function");

        let error = explained(
            nix::libc::EACCES,
            &["libbpf: prog 'replace': -- BEGIN PROG LOAD LOG --\n0: (95) exit\nR0 !read_ok\nprocessed 1 insns (limit 1000000)\n-- END PROG LOAD LOG --\n"],
        );
        assert_eq!(error.id(), "verifier");
        assert_eq!(
            error.details(),
            ["R0 !read_ok", "at instruction 0: (95) exit"]
        );

        let error = explained(
            nix::libc::EINVAL,
            &["libbpf: prog 'replace': -- BEGIN PROG LOAD LOG --\n3: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> [8] struct ekho_flow.gone (0:4 @ offset 32)\nprocessed 3 insns\n-- END PROG LOAD LOG --\n"],
        );
        assert_eq!(error.id(), "relocation");

        assert_eq!(explained(ENOTSUPP, &[]).id(), "no-jit");
        assert_eq!(
            explained(
                ENOTSUPP,
                &["libbpf: prog 'stats': -- BEGIN PROG LOAD LOG --\nJIT is required for calling kernel function\nprocessed 0 insns\n-- END PROG LOAD LOG --\n"]
            )
            .id(),
            "no-jit"
        );
        assert_eq!(
            explained(
                nix::libc::EPERM,
                &["libbpf: prog 'replace': BPF program load failed: -EPERM\n"]
            )
            .to_string(),
            "the kernel doesn't permit to load program `replace` of test.bpf.o (EPERM: Operation not permitted)"
        );
        assert_eq!(explained(nix::libc::ENOMEM, &["x\n"]).details(), ["x"]);
    }
}
