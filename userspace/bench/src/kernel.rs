// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's kernel from the outside: modules, tracing, memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use ekho::contract;
use ekho::firmware::image::{Firmware, Loaded};
use ekho::kernel::bpf::{self, Ring};
use ekho::kernel::netlink::device;
use ekho::module::Module;
use ekho_testkit::lab;

use crate::netlink::{self, Connection};

/// How long the kernel may take for what it does later.
const PATIENCE: Duration = Duration::from_secs(10);

/// A module that is loaded, and removed in the end.
pub struct Insmod(CString);

impl Insmod {
    pub fn new(path: &Path, parameters: &CStr) -> Result<Self> {
        let name = path.file_stem().context("a module has a name")?;
        let name = CString::new(name.to_string_lossy().as_bytes())?;
        lab::insmod(path, parameters)?;
        Ok(Self(name))
    }

    /// Removes it, once the kernel has let go of its firmware.
    pub fn remove(self) -> Result<()> {
        lab::rmmod(&self.0, PATIENCE).with_context(|| format!("rmmod {:?}", self.0))
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
    let ifindex = device::add(name)?;
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
    let ifindex = device::ifindex(&name.to_string_lossy())?;
    take_filters(connection, ifindex)?;
    Ok(ifindex)
}

/// Takes it away.
pub fn delete_netdevsim() -> Result<()> {
    fs::write("/sys/bus/netdevsim/del_device", "1").context("del_device of netdevsim")
}

/// Firmware that is loaded.
struct Twin {
    loaded: Loaded,
    /// What it tells of flows, if it does.
    events: Option<Ring>,
}

impl Twin {
    fn load(path: &Path, module: &Module, ifindex: u32) -> Result<Self> {
        let loaded = Firmware::open(path)?.load(module, ifindex, &[])?;
        loaded.activate(module)?;
        let events = loaded
            .maps()
            .iter()
            .find(|(name, _)| name == contract::EVENTS_MAP);
        let events = events
            .map(|(_, map)| Ring::by_id(map.info().id))
            .transpose()?;
        Ok(Self { loaded, events })
    }
}

/// Firmware that is attached, until it is dropped.
pub struct Attached {
    link: OwnedFd,
    now: Twin,
    other: Twin,
}

impl Attached {
    /// How often the firmware is loaded.
    pub const LOADED: u8 = 2;

    pub fn new(source: &Path, firmware: &str, ifindex: u32) -> Result<Self> {
        let path: PathBuf = source.join(format!("bpf/build/{firmware}.bpf.o"));
        let module = Module::open()?;
        let load = || Twin::load(&path, &module, ifindex);
        let (now, other) = (load()?, load()?);
        let link =
            bpf::link_create(now.loaded.ops_map()).with_context(|| format!("attach {firmware}"))?;
        Ok(Self { link, now, other })
    }

    /// How many flows it has told of since it was last asked; none if it doesn't.
    pub fn told(&self) -> Result<Option<usize>> {
        let Some(events) = &self.now.events else {
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
        bpf::link_update(
            self.link.as_fd(),
            self.other.loaded.ops_map(),
            self.now.loaded.ops_map(),
        )?;
        std::mem::swap(&mut self.now, &mut self.other);
        Ok(())
    }
}

/// How many flows debugfs lists: it is read as text, as whoever wants it has to.
pub fn flows_of_debugfs() -> Result<usize> {
    let text = fs::read("/sys/kernel/debug/ekho/flows").context("the flows in debugfs")?;
    Ok(text.iter().filter(|&&byte| byte == b'\n').count())
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

/// Bytes of memory that the kernel has allocated.
pub struct Memory {
    /// In objects of slabs, by the slab's name.
    slabs: BTreeMap<String, f64>,
    /// In pieces that are too large for a slab.
    larger: f64,
    vmalloc: f64,
    /// Charged to the memory cgroup of this process: of these, and of page tables and per-CPU memory.
    charged: f64,
}

impl Memory {
    /// What is allocated now.
    pub fn now(cgroup: &Cgroup) -> Result<Self> {
        // What waits for the end of a grace period goes first, and a cgroup's figures are brought up
        // to date every two seconds.
        sleep(Duration::from_millis(2_500));
        shrink_slabs()?;
        let (mut slabs, mut pages) = (BTreeMap::<String, f64>::new(), 0.0);
        for line in fs::read_to_string("/proc/slabinfo")?.lines().skip(2) {
            // name active total size per-slab pages-per-slab : tunables … : slabdata active-slabs slabs
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok());
            let (Some(active), Some(size), Some(per_slab), Some(n)) =
                (number(1), number(3), number(5), number(14))
            else {
                continue;
            };
            *slabs.entry(fields[0].to_owned()).or_insert(0.0) += active * size;
            pages += n * per_slab * 4096.0;
        }
        ensure!(!slabs.is_empty(), "/proc/slabinfo can't be read");
        for name in merged_with_flows()? {
            if let Some(bytes) = slabs.remove(&name) {
                *slabs.entry(FLOW_CACHE.to_owned()).or_insert(0.0) += bytes;
            }
        }
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let kilobytes = |name: &str| Ok::<f64, anyhow::Error>(value(&meminfo, name)? * 1024.0);
        let path = cgroup.path.join("memory.stat");
        let stat = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            slabs,
            larger: kilobytes("Slab:")? - pages,
            vmalloc: kilobytes("VmallocUsed:")?,
            charged: value(&stat, "kernel")?,
        })
    }

    /// How much more this is than before, for each of `n`.
    pub fn since(&self, before: &Self, n: f64) -> f64 {
        (self.all() - before.all()) / n
    }

    fn all(&self) -> f64 {
        self.slabs.values().sum::<f64>() + self.larger + self.vmalloc
    }

    /// The same part by part, each with its name.
    pub fn parts_since(&self, before: &Self, n: f64) -> BTreeMap<String, f64> {
        let names: BTreeSet<&String> = self.slabs.keys().chain(before.slabs.keys()).collect();
        let slab = |name: &String| {
            let bytes = |of: &Self| of.slabs.get(name).copied().unwrap_or(0.0);
            (format!("slab `{name}`"), bytes(self) - bytes(before))
        };
        let others = [
            (LARGER, self.larger - before.larger),
            ("vmalloc", self.vmalloc - before.vmalloc),
            (CHARGED, self.charged - before.charged),
        ];
        let others = others.map(|(name, bytes)| (name.to_owned(), bytes));
        names
            .into_iter()
            .map(slab)
            .chain(others)
            .map(|(name, bytes)| (name, bytes / n))
            .collect()
    }
}

/// The slab cache of flows: see `CACHE` in rust/flows/flow.rs.
const FLOW_CACHE: &str = "ekho_flow";

/// The part in which a flow's record is.
pub const FLOW_SLAB: &str = "slab `ekho_flow`";

/// The bytes of a flow's record: see `size_of::<Flow>()` there.
pub const FLOW_BYTES: f64 = 184.0;

/// The part in which large arrays are.
pub const LARGER: &str = "pieces too large for a slab";

/// The name of what isn't a part, but says whose the others are.
pub const CHARGED: &str = "charged to the memory cgroup, with page tables and per-CPU memory";

/// The slab caches that the kernel has made one with that of flows, as their objects are as large: all
/// are shown by the name of the first.
fn merged_with_flows() -> Result<Vec<String>> {
    let target = |name: &Path| fs::read_link(Path::new(SLABS).join(name)).ok();
    // A directory if it is by itself.
    let Some(flows) = target(Path::new(FLOW_CACHE)) else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for slab in fs::read_dir(SLABS).context(SLABS)? {
        let name = slab?.file_name();
        if target(Path::new(&name)).is_some_and(|other| other == flows) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

const SLABS: &str = "/sys/kernel/slab";

/// Gives back what slabs keep for the next to come, which passes for allocated.
fn shrink_slabs() -> Result<()> {
    for slab in fs::read_dir(SLABS).context(SLABS)? {
        let slab = slab?;
        // The others are aliases.
        if slab.file_type()?.is_dir() {
            let shrink = slab.path().join("shrink");
            fs::write(&shrink, "1").with_context(|| shrink.display().to_string())?;
        }
    }
    Ok(())
}

/// The number behind a name, at the beginning of a line.
fn value(text: &str, name: &str) -> Result<f64> {
    let mut lines = text.lines().map(str::split_whitespace);
    let number = lines.find_map(|mut line| (line.next() == Some(name)).then(|| line.next()));
    Ok(number
        .flatten()
        .with_context(|| format!("no line {name}"))?
        .parse()?)
}

const CGROUPS: &str = "/sys/fs/cgroup";

/// A memory cgroup of this process's own, until [`Self::leave`]. In it allocations cost more.
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    pub fn join() -> Result<Self> {
        let cgroup = Self {
            path: Path::new(CGROUPS).join("ekho-bench"),
        };
        let join = || {
            fs::write(format!("{CGROUPS}/cgroup.subtree_control"), "+memory")?;
            fs::create_dir_all(&cgroup.path)?;
            fs::write(cgroup.path.join("cgroup.procs"), "0")
        };
        join().context("join a memory cgroup")?;
        Ok(cgroup)
    }

    pub fn leave(self) -> Result<()> {
        fs::write(format!("{CGROUPS}/cgroup.procs"), "0").context("leave the memory cgroup")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_behind_its_whole_name() {
        let text = "kernel_stack 1\nkernel 23\nSlab:   4 kB\n";
        assert_eq!(value(text, "kernel").unwrap(), 23.0);
        assert_eq!(value(text, "Slab:").unwrap(), 4.0);
        assert!(value(text, "slab").is_err());
        assert!(value("kernel x", "kernel").is_err());
    }
}
