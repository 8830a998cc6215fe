// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's kernel from the outside: modules, tracing, memory.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use ekho::bpf::{self, Ring};
use ekho::event;
use ekho::firmware::{Firmware, Loaded};
use ekho::module::Module;
use nix::errno::Errno;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};

use crate::netlink::{self, Connection};

/// A module that is loaded, and removed in the end.
pub struct Insmod(CString);

impl Insmod {
    pub fn new(path: &Path, parameters: &CStr) -> Result<Self> {
        let name = path.file_stem().context("a module has a name")?;
        let name = CString::new(name.to_string_lossy().as_bytes())?;
        let file = File::open(path).with_context(|| format!("no module {}", path.display()))?;
        finit_module(&file, parameters, ModuleInitFlags::empty())
            .with_context(|| format!("insmod {}", path.display()))?;
        Ok(Self(name))
    }

    /// Removes it, once the kernel has let go of its firmware.
    pub fn remove(self) -> Result<()> {
        for _ in 0..200 {
            match delete_module(&self.0, DeleteModuleFlags::O_NONBLOCK) {
                Err(Errno::EAGAIN | Errno::EBUSY) => sleep(Duration::from_millis(50)),
                result => return result.with_context(|| format!("rmmod {:?}", self.0)),
            }
        }
        delete_module(&self.0, DeleteModuleFlags::O_NONBLOCK)
            .with_context(|| format!("rmmod {:?}", self.0))
    }
}

/// Loads what netdevsim needs; what the kernel has built in is no loss.
pub fn modprobe(names: &[&str]) {
    for name in names {
        let _ = Command::new("modprobe").args(["-q", name]).status();
    }
}

/// A device of kind `ekho` that takes filters.
pub fn add_port(connection: &mut Connection, name: &str) -> Result<u32> {
    let ifindex = ekho::netlink::add_device(name)?;
    take_filters(connection, ifindex)?;
    Ok(ifindex)
}

/// Makes a device take filters.
pub fn take_filters(connection: &mut Connection, ifindex: u32) -> Result<()> {
    connection.send(&netlink::up(ifindex)).context("set up")?;
    connection
        .send(&netlink::add_clsact(ifindex))
        .context("add clsact")?;
    Ok(())
}

/// A device of netdevsim, whose module is loaded.
pub fn add_netdevsim(connection: &mut Connection) -> Result<u32> {
    fs::write("/sys/bus/netdevsim/new_device", "1 1").context("new_device of netdevsim")?;
    let name = fs::read_dir("/sys/bus/netdevsim/devices/netdevsim1/net")?
        .next()
        .context("netdevsim made no device")??
        .file_name();
    let ifindex = ekho::netlink::ifindex(&name.to_string_lossy())?;
    take_filters(connection, ifindex)?;
    Ok(ifindex)
}

/// Takes it away.
pub fn delete_netdevsim() -> Result<()> {
    fs::write("/sys/bus/netdevsim/del_device", "1").context("del_device of netdevsim")
}

/// Firmware that is attached, until it is dropped.
pub struct Attached {
    link: OwnedFd,
    /// What it tells of flows, if it does.
    events: Option<Ring>,
    now: Loaded,
    other: Loaded,
}

impl Attached {
    /// How often the firmware is loaded.
    pub const LOADED: u8 = 2;

    pub fn new(source: &Path, firmware: &str, ifindex: u32) -> Result<Self> {
        let path: PathBuf = source.join(format!("bpf/build/{firmware}.bpf.o"));
        let module = Module::open()?;
        let load = || -> Result<Loaded> {
            let loaded = Firmware::open(&path)?.load(&module, ifindex, &[])?;
            loaded.activate(&module)?;
            Ok(loaded)
        };
        let (now, other) = (load()?, load()?);
        let events = now.maps().iter().find(|(name, _)| name == event::RING);
        let events = events
            .map(|(_, map)| Ring::by_id(map.info().id))
            .transpose()
            .with_context(|| format!("events of {firmware}"))?;
        let link = bpf::link_create(now.ops_map()).with_context(|| format!("attach {firmware}"))?;
        Ok(Self {
            link,
            events,
            now,
            other,
        })
    }

    /// How many flows it has told of since it was last asked; none if it doesn't.
    pub fn told(&self) -> Result<Option<usize>> {
        let Some(events) = &self.events else {
            return Ok(None);
        };
        let mut told = 0;
        loop {
            match events.take(1_000)?.len() {
                0 => return Ok(Some(told)),
                n => told += n,
            }
        }
    }

    /// Replaces it by its twin.
    pub fn replace(&mut self) -> Result<()> {
        bpf::link_update(self.link.as_fd(), self.other.ops_map(), self.now.ops_map())?;
        std::mem::swap(&mut self.now, &mut self.other);
        Ok(())
    }
}

const TRACING: &str = "/sys/kernel/tracing";

/// The durations of an op that the module traced while `run` ran.
pub fn durations(op: &str, run: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let enable = format!("{TRACING}/events/ekho/ekho_{op}/enable");
    let trace = format!("{TRACING}/trace");
    fs::write(&trace, "")?;
    fs::write(&enable, "1").with_context(|| format!("trace {op}"))?;
    let result = run();
    fs::write(&enable, "0")?;
    result?;
    let text = fs::read_to_string(&trace)?;
    let durations: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once("duration_ns=")?.1.split(' ').next())
        .filter_map(|number| number.trim().parse().ok())
        .collect();
    ensure!(!durations.is_empty(), "op {op} was not traced");
    Ok(durations)
}

/// Bytes of memory that the kernel has allocated: objects in slabs, larger pieces, and vmalloc.
pub fn allocated() -> Result<f64> {
    // What waits for the end of a grace period goes first.
    sleep(Duration::from_millis(500));
    let (mut objects, mut pages) = (0.0, 0.0);
    for line in fs::read_to_string("/proc/slabinfo")?.lines().skip(2) {
        // name active total size per-slab pages-per-slab : tunables … : slabdata active-slabs slabs
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok());
        let (Some(active), Some(size), Some(per_slab), Some(slabs)) =
            (number(1), number(3), number(5), number(14))
        else {
            continue;
        };
        objects += active * size;
        pages += slabs * per_slab * 4096.0;
    }
    ensure!(objects > 0.0, "/proc/slabinfo can't be read");
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = |name: &str| -> Result<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next());
        Ok(value
            .context("/proc/meminfo lacks a line")?
            .parse::<f64>()?
            * 1024.0)
    };
    let larger = kilobytes("Slab:")? - pages;
    Ok(objects + larger + kilobytes("VmallocUsed:")?)
}
