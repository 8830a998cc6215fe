// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is measured in the guest whose nanoseconds are instructions.
//!
//! Figures are named `what/with`, and `what/with@flows` where that many flows are there; they are
//! instructions of one op, the system calls that ask for it included, or bytes of one flow.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use clap::ValueEnum as _;
use nix::sys::mman::{mlockall, MlockAllFlags};
use nix::time::{clock_gettime, ClockId};

use crate::figures::{Figures, MEMORY_PART, PROFILE, ROUNDS, WARM_UP};
use crate::kernel::{self, Attached, Cgroup, Insmod, Memory, FLOW_BYTES, FLOW_SLAB};
use ekho::kernel::netlink::device;
use ekho::module::state::Filter;
use ekho::module::{Netlink, State as _};

use crate::netlink::{self, Connection, Place};
use crate::packets::Packets;
use crate::profile;

/// Rounds of lists that aren't counted: nothing but the first differs.
const LIST_WARM_UP: usize = 2;

/// Ops of a round.
const BATCH: u32 = 100;

/// Handles of filters that come and go, beyond those that stay.
const COMING: u32 = 200_000;

/// Flows that are there, where nothing else is said.
pub const FLOWS: u32 = 1_000;

/// Numbers of flows at which costs are compared.
pub const SCALE: [u32; 4] = [1_000, 10_000, 50_000, 100_000];

const PRIO: u16 = 1;

/// Long enough for grace periods to end, and what waits for them to be freed.
const SETTLE: Duration = Duration::from_millis(50);

/// A part of what is measured, which can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Adds and deletes with `noop`, of the real module and of the native one.
    Add,
    /// The ops of `noop`, `stats` and `acl` by themselves, likewise.
    Ops,
    /// Adds and deletes of the driver in C that keeps a record of each flow.
    Driver,
    /// Those of netdevsim.
    Netdevsim,
    /// Adds, deletes and dumps with `stats`, and without a device.
    Stats,
    /// The same with `noop` at different numbers of flows, and replacements of firmware.
    Scale,
    /// What a list of all flows costs, over netlink and by debugfs.
    List,
    /// Packets over cables and through devices, and adds with `nic`, which has rules executed.
    Packets,
    /// Where the kernel is while it adds.
    Profile,
    /// The memory of a flow.
    Memory,
}

struct Bench {
    connection: Connection,
    figures: Figures,
}

impl Bench {
    /// Nanoseconds of each of some requests.
    fn time(&mut self, requests: &[Vec<u8>]) -> Result<f64> {
        // What went before is freed now, and not while the clock runs.
        sleep(SETTLE);
        let start = Instant::now();
        for request in requests {
            self.connection.send(request)?;
        }
        Ok(start.elapsed().as_nanos() as f64 / requests.len() as f64)
    }

    /// Adds filters that stay.
    fn fill(
        &mut self,
        ifindex: u32,
        place: Place,
        handles: std::ops::RangeInclusive<u32>,
    ) -> Result<()> {
        for handle in handles {
            self.connection
                .send(&netlink::add_filter(ifindex, PRIO, handle, place))
                .with_context(|| format!("add filter {handle}"))?;
        }
        Ok(())
    }

    /// Takes all filters away.
    fn empty(&mut self, ifindex: u32) -> Result<()> {
        self.connection.send(&netlink::delete_clsact(ifindex))?;
        self.connection.send(&netlink::add_clsact(ifindex))?;
        Ok(())
    }

    /// `add` and `delete`.
    fn add_and_delete(&mut self, ifindex: u32, place: Place, with: &str) -> Result<()> {
        let handles = COMING + 1..=COMING + BATCH;
        let adds: Vec<_> = handles
            .clone()
            .map(|handle| netlink::add_filter(ifindex, PRIO, handle, place))
            .collect();
        let deletes: Vec<_> = handles
            .map(|handle| netlink::delete_filter(ifindex, PRIO, handle))
            .collect();
        for round in 0..WARM_UP + ROUNDS {
            let add = self.time(&adds).with_context(|| format!("add, {with}"))?;
            let delete = self
                .time(&deletes)
                .with_context(|| format!("delete, {with}"))?;
            if round >= WARM_UP {
                self.figures.push(&format!("add/{with}"), add);
                self.figures.push(&format!("delete/{with}"), delete);
            }
        }
        Ok(())
    }

    /// `dump` of one flow: a sample is of a thousand on average, however many there are.
    fn dump(&mut self, ifindex: u32, flows: u32, with: &str) -> Result<()> {
        let request = netlink::dump_filters(ifindex);
        let (mut warm_up, mut counted) = (0, 0);
        while counted < ROUNDS {
            let samples = self.connection.dump(&request, 1_000)?;
            let answers: usize = samples.iter().map(|(n, _)| n).sum();
            // The preference itself is one answer more.
            let filters = answers.saturating_sub(1);
            ensure!(
                filters == flows as usize,
                "{filters} of {flows} filters in a dump"
            );
            if warm_up < WARM_UP {
                warm_up += samples.len();
                continue;
            }
            counted += samples.len();
            for (n, time) in samples {
                let each = time.as_nanos() as f64 / n as f64;
                self.figures.push(&format!("dump/{with}"), each);
            }
        }
        Ok(())
    }

    /// `op-replace`, `op-destroy` and `op-stats`: what the module says an op took.
    fn ops(&mut self, source: &Path, ifindex: u32, firmware: &str, with: &str) -> Result<()> {
        /// Flows that stay, so that hash tables do: `acl` takes 1024.
        const STAY: u32 = 500;
        let attached = Attached::new(source, firmware, ifindex)?;
        let native = with == "native";
        let handles = COMING + 1..=COMING + BATCH;
        let dump = netlink::dump_filters(ifindex);
        self.fill(ifindex, Place::Hardware, 1..=STAY)?;
        attached.told()?;
        for round in 0..WARM_UP + ROUNDS {
            for (op, times) in [
                ("replace", BATCH),
                ("stats", BATCH + STAY),
                ("destroy", BATCH),
            ] {
                sleep(SETTLE);
                let durations = kernel::durations(op, || match op {
                    "replace" => self.fill(ifindex, Place::Hardware, handles.clone()),
                    "stats" => self.connection.send(&dump),
                    _ => handles.clone().try_for_each(|handle| {
                        self.connection
                            .send(&netlink::delete_filter(ifindex, PRIO, handle))
                    }),
                })?;
                // A filter that no longer fits into an answer is asked again for the next one.
                ensure!(
                    durations.len() >= times as usize,
                    "{op} ran {} times",
                    durations.len()
                );
                // An event that finds no room costs less than one that is sent: there is none.
                if let Some(told) = attached.told()? {
                    let expected = if native || op == "stats" {
                        0
                    } else {
                        durations.len()
                    };
                    ensure!(
                        told == expected,
                        "{op} told of {told} flows, not of {expected}"
                    );
                }
                if round >= WARM_UP {
                    let mean = durations.iter().sum::<f64>() / durations.len() as f64;
                    self.figures
                        .push(&format!("op-{op}/{firmware}-{with}"), mean);
                }
            }
        }
        self.empty(ifindex)?;
        drop(attached);
        Ok(())
    }

    /// `profile` of adds: the functions that the kernel is in most, in per cent of its time.
    fn profile(
        &mut self,
        ifindex: u32,
        place: Place,
        with: &str,
        attached: Option<&Attached>,
    ) -> Result<()> {
        /// Events of more adds would find no room.
        const ADDS: u32 = 500;
        const TIMES: usize = 20;
        const MOST: usize = 60;
        let adds: Vec<_> = (1..=ADDS)
            .map(|handle| netlink::add_filter(ifindex, PRIO, handle, place))
            .collect();
        let shares = profile::shares(|sampler| {
            for _ in 0..TIMES {
                adds.iter().try_for_each(|add| self.connection.send(add))?;
                sampler.pause(|| {
                    let told = attached.map_or(Ok(None), Attached::told)?;
                    ensure!(
                        told.is_none_or(|told| told == ADDS as usize),
                        "{with} told of {told:?} flows, not of {ADDS}"
                    );
                    self.empty(ifindex)?;
                    attached.map_or(Ok(None), Attached::told)
                })?;
            }
            Ok(())
        })?;
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (function, share) in shares.into_iter().take(MOST) {
            self.figures
                .push(&format!("{PROFILE}{with}/{function}"), share * 100.0);
        }
        Ok(())
    }

    /// `memory` of one flow.
    fn memory(&mut self, ifindex: u32, place: Place, with: &str) -> Result<()> {
        const N: u32 = 10_000;
        let cgroup = Cgroup::join()?;
        // The first rounds leave slabs and tables at their size.
        for round in 0..WARM_UP + ROUNDS {
            let before = Memory::now(&cgroup)?;
            self.fill(ifindex, place, 1..=N)?;
            let after = Memory::now(&cgroup)?;
            self.empty(ifindex)?;
            if round >= WARM_UP {
                self.grown(with, &before, &after, f64::from(N));
            }
            let record = after.parts_since(&before, f64::from(N))[FLOW_SLAB];
            ensure!(
                place != Place::Hardware || record > 0.99 * FLOW_BYTES,
                "only {record} bytes of a flow with {with} are in {FLOW_SLAB}"
            );
        }
        cgroup.leave()
    }

    /// Notes by how much memory has grown for each of `n`.
    fn grown(&mut self, with: &str, before: &Memory, after: &Memory, n: f64) {
        self.figures
            .push(&format!("memory/{with}"), after.since(before, n));
        for (part, each) in after.parts_since(before, n) {
            self.figures
                .push(&format!("{MEMORY_PART}{with}/{part}"), each);
        }
    }

    /// `memory` of one entry of the map that `stats` has, all of which come when it is loaded.
    fn memory_of_map(&mut self, source: &Path, ifindex: u32) -> Result<()> {
        /// `FLOWS` in bpf/stats.bpf.c.
        const ENTRIES: f64 = 65536.0;
        let cgroup = Cgroup::join()?;
        for round in 0..WARM_UP + ROUNDS {
            let before = Memory::now(&cgroup)?;
            let attached = Attached::new(source, "stats", ifindex)?;
            let after = Memory::now(&cgroup)?;
            drop(attached);
            if round >= WARM_UP {
                let n = ENTRIES * f64::from(Attached::LOADED);
                self.grown("stats-map", &before, &after, n);
            }
        }
        cgroup.leave()
    }

    /// `replacement` of firmware: what the thread that asks for it ran, and how long it waited.
    fn replacement(&mut self, attached: &mut Attached, flows: u32) -> Result<()> {
        let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        for round in 0..WARM_UP + ROUNDS {
            let (wall, cpu) = (Instant::now(), now()?);
            attached.replace().context("replace firmware")?;
            let cpu = now()? - cpu;
            let wall = wall.elapsed();
            if round >= WARM_UP {
                let cpu = cpu.tv_sec() as f64 * 1e9 + cpu.tv_nsec() as f64;
                self.figures.push(&format!("replacement/noop@{flows}"), cpu);
                self.figures.push(
                    &format!("replacement-wait/noop@{flows}"),
                    wall.as_nanos() as f64,
                );
            }
        }
        Ok(())
    }

    /// The real module or the native one: end to end, or op by op.
    fn compare(&mut self, source: &Path, module: &Path, with: &str, part: Part) -> Result<()> {
        let module = Insmod::new(module, c"")?;
        let port = kernel::add_port(&mut self.connection, "ek0")?;
        if part == Part::Add {
            let _noop = Attached::new(source, "noop", port)?;
            self.fill(port, Place::Hardware, 1..=FLOWS)?;
            self.add_and_delete(port, Place::Hardware, &format!("noop-{with}"))?;
            self.empty(port)?;
        }
        if part == Part::Ops {
            for firmware in ["noop", "stats", "acl"] {
                self.ops(source, port, firmware, with)?;
            }
        }
        device::delete("ek0")?;
        module.remove()
    }

    /// Both modules, twice: each comes first once, should the order matter.
    fn compare_all(&mut self, source: &Path, real: &Path, part: Part) -> Result<()> {
        let native = source.join("build/bench/native/rust/ekho.ko");
        for (module, with) in [
            (real, "ekho"),
            (&native, "native"),
            (&native, "native"),
            (real, "ekho"),
        ] {
            self.compare(source, module, with, part)?;
        }
        Ok(())
    }

    /// The real module against what the kernel does without it.
    fn against_software(&mut self, source: &Path) -> Result<()> {
        let port = kernel::add_port(&mut self.connection, "ek0")?;
        let software = kernel::add_port(&mut self.connection, "ek1")?;
        self.fill(software, Place::Software, 1..=FLOWS)?;
        self.add_and_delete(software, Place::Software, "software")?;
        self.dump(software, FLOWS, "software")?;
        // The kernel numbers all actions of a namespace in one tree, which is searched for a free
        // number with each add: the more there are, the longer.
        self.empty(software)?;
        {
            let _stats = Attached::new(source, "stats", port)?;
            self.fill(port, Place::Hardware, 1..=FLOWS)?;
            self.add_and_delete(port, Place::Hardware, "stats")?;
            self.dump(port, FLOWS, "stats")?;
            self.empty(port)?;
        }
        device::delete("ek1")?;
        device::delete("ek0")?;
        Ok(())
    }

    /// A driver that keeps a record of each flow.
    fn against_driver(&mut self, source: &Path) -> Result<()> {
        let module = Insmod::new(&source.join("build/bench/driver/bench_driver.ko"), c"")?;
        let port = device::ifindex("bench0")?;
        kernel::take_filters(&mut self.connection, port)?;
        self.fill(port, Place::Hardware, 1..=FLOWS)?;
        self.add_and_delete(port, Place::Hardware, "driver")?;
        self.dump(port, FLOWS, "driver")?;
        self.empty(port)?;
        module.remove()
    }

    fn against_netdevsim(&mut self, source: &Path) -> Result<()> {
        kernel::modprobe(&["psample", "macsec"]);
        let module = Insmod::new(&source.join("build/bench/netdevsim/netdevsim.ko"), c"")?;
        let port = kernel::add_netdevsim(&mut self.connection)?;
        self.fill(port, Place::Hardware, 1..=FLOWS)?;
        self.add_and_delete(port, Place::Hardware, "netdevsim")?;
        kernel::delete_netdevsim()?;
        module.remove()
    }

    fn scale(&mut self, source: &Path) -> Result<()> {
        let port = kernel::add_port(&mut self.connection, "ek0")?;
        let software = kernel::add_port(&mut self.connection, "ek1")?;
        let mut noop = Attached::new(source, "noop", port)?;
        let mut there = 0;
        for flows in SCALE {
            for (device, place, with) in [
                (port, Place::Hardware, "noop"),
                (software, Place::Software, "software"),
            ] {
                self.fill(device, place, there + 1..=flows)?;
                self.add_and_delete(device, place, &format!("{with}@{flows}"))?;
                self.dump(device, flows, &format!("{with}@{flows}"))?;
            }
            self.replacement(&mut noop, flows)?;
            there = flows;
        }
        drop(noop);
        device::delete("ek1")?;
        device::delete("ek0")?;
        Ok(())
    }

    /// `list` of one flow: all flows of the device, as the module sends them over netlink, with
    /// the library's decoding of that, and as debugfs has them as text.
    fn list(&mut self, ifindex: u32, flows: u32) -> Result<()> {
        let device = Filter::device("ek0")?;
        let (mut family, request) = netlink::list_flows(ifindex)?;
        for round in 0..LIST_WARM_UP + ROUNDS {
            let mut time = |with: &str, list: &mut dyn FnMut() -> Result<usize>| {
                let start = Instant::now();
                let listed = list()?;
                let each = start.elapsed().as_nanos() as f64 / f64::from(flows);
                ensure!(
                    listed == flows as usize,
                    "{listed} of {flows} flows in a list, {with}"
                );
                if round >= LIST_WARM_UP {
                    self.figures.push(&format!("list/{with}@{flows}"), each);
                }
                Ok(())
            };
            time("netlink", &mut || family.count(&request))?;
            time("decoded", &mut || Ok(Netlink.flows(&device)?.len()))?;
            // Text of many flows is made again and again, each time with room for twice as much.
            if flows == FLOWS {
                time("debugfs", &mut || kernel::flows_of_debugfs())?;
            }
        }
        Ok(())
    }

    fn lists(&mut self, source: &Path) -> Result<()> {
        let port = kernel::add_port(&mut self.connection, "ek0")?;
        let noop = Attached::new(source, "noop", port)?;
        let mut there = 0;
        for flows in [SCALE[0], SCALE[SCALE.len() - 1]] {
            self.fill(port, Place::Hardware, there + 1..=flows)?;
            self.list(port, flows)?;
            there = flows;
        }
        drop(noop);
        device::delete("ek0")?;
        Ok(())
    }

    fn packets(&mut self, source: &Path) -> Result<()> {
        let mut packets = Packets {
            source,
            figures: &mut self.figures,
            connection: &mut self.connection,
        };
        packets.measure()?;
        // The same in one boot, with firmware that has nothing executed and firmware that has all.
        for firmware in ["noop", "nic"] {
            let port = kernel::add_port(&mut self.connection, "ek0")?;
            let attached = Attached::new(source, firmware, port)?;
            self.fill(port, Place::Hardware, 1..=FLOWS)?;
            self.add_and_delete(port, Place::Hardware, &format!("rule-{firmware}"))?;
            drop(attached);
            device::delete("ek0")?;
        }
        Ok(())
    }

    fn profiles(&mut self, source: &Path) -> Result<()> {
        let port = kernel::add_port(&mut self.connection, "ek0")?;
        let software = kernel::add_port(&mut self.connection, "ek1")?;
        self.profile(software, Place::Software, "software", None)?;
        for firmware in ["noop", "stats", "acl"] {
            let attached = Attached::new(source, firmware, port)?;
            self.profile(port, Place::Hardware, firmware, Some(&attached))?;
        }
        device::delete("ek1")?;
        device::delete("ek0")?;
        Ok(())
    }

    fn memories(&mut self, source: &Path) -> Result<()> {
        let port = kernel::add_port(&mut self.connection, "ek0")?;
        let software = kernel::add_port(&mut self.connection, "ek1")?;
        self.memory(software, Place::Software, "software")?;
        self.memory_of_map(source, port)?;
        for firmware in ["noop", "stats", "nic"] {
            let _attached = Attached::new(source, firmware, port)?;
            self.memory(port, Place::Hardware, firmware)?;
        }
        device::delete("ek1")?;
        device::delete("ek0")?;
        Ok(())
    }
}

/// Measures some parts, or all.
pub fn run(source: &Path, only: &[Part]) -> Result<Figures> {
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
    ekho::kernel::libbpf_log::silence();
    let mut bench = Bench {
        connection: Connection::new()?,
        figures: Figures::default(),
    };
    let real = source.join("rust/ekho.ko");
    // Memory is the last: once there has been a memory cgroup, the kernel looks for one at each
    // allocation.
    for part in Part::value_variants() {
        if !only.is_empty() && !only.contains(part) {
            continue;
        }
        step(*part);
        match part {
            Part::Add | Part::Ops => bench.compare_all(source, &real, *part)?,
            Part::Driver => bench.against_driver(source)?,
            Part::Netdevsim => bench.against_netdevsim(source)?,
            Part::Stats
            | Part::Scale
            | Part::List
            | Part::Packets
            | Part::Profile
            | Part::Memory => {
                let module = Insmod::new(&real, c"")?;
                match part {
                    Part::Stats => bench.against_software(source)?,
                    Part::Scale => bench.scale(source)?,
                    Part::List => bench.lists(source)?,
                    Part::Packets => bench.packets(source)?,
                    Part::Profile => bench.profiles(source)?,
                    _ => bench.memories(source)?,
                }
                module.remove()?;
            }
        }
    }
    // Others aren't measured in rounds.
    let in_rounds = |name: &str| !name.starts_with(PROFILE) && !name.starts_with(MEMORY_PART);
    for (name, samples) in &bench.figures.0 {
        let n = samples.len();
        ensure!(
            !in_rounds(name) || n >= ROUNDS,
            "{name} has {n} samples, not {ROUNDS}"
        );
    }
    Ok(bench.figures)
}

/// What is being measured, for who watches.
fn step(part: Part) {
    let name = part.to_possible_value();
    println!(
        "measure: {}",
        name.as_ref().map_or("?", |name| name.get_name())
    );
}
