// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loaded module: which ABI it speaks, and how it lays the contract out.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::contract::MODULE;
use crate::error::{Error, Result};
use crate::object::btf::Btf;
use crate::object::struct_ops::{KernelLayout, ABI};

/// What the loaded module says of itself through its BTF.
#[derive(Debug)]
pub struct Module {
    abi: u32,
    layout: KernelLayout,
}

impl Module {
    /// Reads the BTF of the loaded module; no privilege is needed.
    pub fn open() -> Result<Self> {
        Self::read(Path::new("/sys"))
    }

    /// Reads it below another sysfs than /sys.
    pub fn read(sysfs: &Path) -> Result<Self> {
        let unusable = |why: String| Error::ModuleUnusable { why };
        let path = sysfs.join("kernel/btf").join(MODULE);
        let vmlinux = sysfs.join("kernel/btf/vmlinux");

        // A kernel without memory must not pass for one without the module.
        let exists = |path: &Path| {
            path.try_exists()
                .map_err(Error::io(format!("can't look for {}", path.display())))
        };
        if !exists(&path)? {
            if !exists(&vmlinux)? {
                return Err(Error::NoVmlinuxBtf { path: vmlinux });
            }
            if exists(&sysfs.join("module").join(MODULE))? {
                return Err(unusable("it was built without BTF".into()));
            }
            return Err(Error::ModuleNotLoaded);
        }
        let read = |path: &Path| {
            fs::read(path).map_err(Error::io(format!("can't read {}", path.display())))
        };
        let base = Btf::parse(&read(&vmlinux)?).map_err(|err| Error::Format {
            path: vmlinux.clone(),
            why: err.to_string(),
        })?;
        let btf = Btf::parse_split(&read(&path)?, Arc::new(base)).map_err(|err| Error::Format {
            path,
            why: err.to_string(),
        })?;
        Self::from_btf(&btf).map_err(unusable)
    }

    fn from_btf(btf: &Btf) -> Result<Self, String> {
        let abi = btf
            .enumerator(ABI.0, ABI.1)
            .ok_or_else(|| format!("enum {} is missing in its BTF", ABI.0))?;
        let layout = KernelLayout::of(btf).map_err(|err| err.to_string())?;
        Ok(Self { abi, layout })
    }

    /// The newest ABI that the module speaks.
    pub fn abi(&self) -> u32 {
        self.abi
    }

    /// How the module lays out the firmware contract.
    pub fn layout(&self) -> &KernelLayout {
        &self.layout
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// The module of the fixtures, which speaks ABI 2.
    pub(crate) fn module() -> Module {
        let sections = crate::object::elf::check(ekho_fixtures::KERNEL).unwrap();
        Module::from_btf(&Btf::parse(sections.btf).unwrap()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::elf;

    #[test]
    fn abi_and_layout_come_from_btf() {
        let module = tests_support::module();
        assert_eq!(module.abi(), 2);
        assert_eq!(module.layout().data_offset, 64);
    }

    #[test]
    fn a_module_without_the_contract_is_unusable() {
        let btf = Btf::parse(elf::check(ekho_fixtures::PLAIN).unwrap().btf).unwrap();
        assert!(Module::from_btf(&btf).is_err());
    }

    #[test]
    fn what_is_missing_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path();
        assert!(matches!(Module::read(sys), Err(Error::NoVmlinuxBtf { .. })));
        fs::create_dir_all(sys.join("kernel/btf")).unwrap();
        fs::write(sys.join("kernel/btf/vmlinux"), b"").unwrap();
        assert!(matches!(Module::read(sys), Err(Error::ModuleNotLoaded)));
        fs::create_dir_all(sys.join("module/ekho")).unwrap();
        assert!(matches!(
            Module::read(sys),
            Err(Error::ModuleUnusable { .. })
        ));
        fs::write(sys.join("kernel/btf/ekho"), b"").unwrap();
        assert!(matches!(Module::read(sys), Err(Error::Format { .. })));
    }

    #[test]
    fn what_cannot_be_looked_for_is_not_missing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("kernel")).unwrap();
        let here = root.path().join("kernel/btf");
        std::os::unix::fs::symlink(&here, &here).unwrap();
        assert!(matches!(
            Module::read(root.path()),
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32)
        ));
    }
}
