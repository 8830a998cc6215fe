// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module, what it says, and network namespaces.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use ekho::kernel::netlink::Connection;
use ekho::module::state::{Device, Filter, Firmware, Flow, State as _};
use ekho::module::Netlink;
use nix::errno::Errno;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use nix::sched::{unshare, CloneFlags};

const DEBUGFS: &str = "/sys/kernel/debug/ekho";

/// Whether the module is loaded.
pub fn is_loaded() -> bool {
    fs::exists("/sys/module/ekho").unwrap_or(false)
}

/// Loads a module. The errno, if the kernel refuses, is the error's cause.
pub fn insmod(path: &Path, parameters: &CStr) -> Result<()> {
    let file = File::open(path).with_context(|| format!("no module {}", path.display()))?;
    finit_module(&file, parameters, ModuleInitFlags::empty())
        .with_context(|| format!("can't load the module {}", path.display()))
}

/// Tries once to remove a module.
pub fn try_rmmod(name: &CStr) -> Result<(), Errno> {
    delete_module(name, DeleteModuleFlags::O_NONBLOCK)
}

/// A wait for something that the kernel does later.
///
/// It is over when the time is over and there were ten looks for each second of it: on a machine
/// that stood still, nobody looked meanwhile.
struct Wait {
    start: Instant,
    patience: Duration,
    looks: u32,
}

impl Wait {
    fn new(patience: Duration) -> Self {
        Self {
            start: Instant::now(),
            patience,
            looks: 0,
        }
    }

    /// After each look that saw nothing.
    fn is_over(&mut self) -> bool {
        self.looks += 1;
        self.start.elapsed() > self.patience
            && self.looks * Duration::from_millis(100) > self.patience
    }
}

/// Removes a module, once the kernel has let go of what it frees later, such as firmware.
pub fn rmmod(name: &CStr, patience: Duration) -> Result<(), Errno> {
    let mut wait = Wait::new(patience);
    loop {
        match try_rmmod(name) {
            Err(Errno::EAGAIN | Errno::EBUSY) if !wait.is_over() => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Waits until something is so; false if it doesn't become so.
pub fn eventually(patience: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let mut wait = Wait::new(patience);
    while !is_so()? {
        if wait.is_over() {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}

/// What the module tells of all network namespaces; nothing without the module.
fn told<T>(ask: impl FnOnce(&Netlink, &Filter) -> ekho::Result<Vec<T>>) -> Result<Vec<T>> {
    match ask(&Netlink, &Filter::default()) {
        Err(ekho::Error::ModuleNotLoaded) => Ok(Vec::new()),
        result => Ok(result?),
    }
}

/// The devices that the module serves.
pub fn devices() -> Result<Vec<Device>> {
    told(Netlink::devices)
}

/// The firmware that is attached.
pub fn firmware() -> Result<Vec<Firmware>> {
    told(Netlink::firmware)
}

/// The flows that are offloaded.
pub fn flows() -> Result<Vec<Flow>> {
    told(Netlink::flows)
}

/// Reads a file of the module's debugfs to its end.
pub fn read_debugfs(file: &str) -> Result<()> {
    let path = format!("{DEBUGFS}/{file}");
    fs::read(&path).with_context(|| format!("can't read {path}"))?;
    Ok(())
}

/// Gives a line to the module's fault injection; false if it refuses.
pub fn set_fault(line: &str) -> bool {
    fs::OpenOptions::new()
        .write(true)
        .open(format!("{DEBUGFS}/faults"))
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .is_ok()
}

/// A network namespace, which lives as long as this.
pub struct Namespace {
    /// For setns(2).
    pub file: File,
    /// What identifies it.
    pub inode: u64,
    /// A socket in it.
    pub connection: Connection,
}

impl Namespace {
    /// The one of this thread.
    pub fn current() -> Result<Self> {
        let file = File::open("/proc/thread-self/ns/net")?;
        Ok(Self {
            inode: file.metadata()?.ino(),
            file,
            connection: Connection::new()?,
        })
    }

    /// A new one, with what `prepare` does in it.
    pub fn new<T: Send + 'static>(
        prepare: impl FnOnce(&mut Self) -> Result<T> + Send + 'static,
    ) -> Result<(Self, T)> {
        // Of a thread's own, since it can't leave it for none.
        thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("can't make a network namespace")?;
            let mut namespace = Self::current()?;
            let prepared = prepare(&mut namespace)?;
            Ok((namespace, prepared))
        })
        .join()
        .unwrap_or_else(|_| bail!("a thread died"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends() {
        let mut left = 3;
        let mut count = || {
            left -= 1;
            Ok(left == 0)
        };
        assert!(eventually(Duration::from_secs(60), &mut count).unwrap());
        assert!(!eventually(Duration::ZERO, || Ok(false)).unwrap());
        // Looks that take all the time are too few.
        let mut looks = 0;
        let slow = || {
            looks += 1;
            thread::sleep(Duration::from_millis(150));
            Ok(false)
        };
        assert!(!eventually(Duration::from_millis(300), slow).unwrap());
        assert_eq!(looks, 4);
    }
}
