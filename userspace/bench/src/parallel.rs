// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two threads against one, on two CPUs and in real time.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sched::{sched_setaffinity, CpuSet};
use nix::unistd::Pid;

use crate::figures::{Figures, ROUNDS, WARM_UP};
use crate::kernel::{self, Attached, Insmod};
use ekho::kernel::netlink::device;

use crate::netlink::{self, Connection, Place};

/// Filters that a thread adds.
const BATCH: u32 = 1_000;

/// Adds and deletes by so many threads at once, one preference each: adds a second.
fn rate(ifindex: u32, threads: u16, place: Place) -> Result<f64> {
    let barrier = Barrier::new(threads.into());
    let run = |n: u16| -> Result<(Instant, Instant)> {
        let mut cpus = CpuSet::new();
        cpus.set(n.into())?;
        sched_setaffinity(Pid::from_raw(0), &cpus).context("choose a CPU")?;
        let mut connection = Connection::new()?;
        let prio = n + 1;
        let adds: Vec<_> = (1..=BATCH)
            .map(|handle| netlink::add_filter(ifindex, prio, handle, place))
            .collect();
        barrier.wait();
        let start = Instant::now();
        for add in &adds {
            connection.send(add).context("add in parallel")?;
        }
        let end = Instant::now();
        barrier.wait();
        for handle in 1..=BATCH {
            connection.send(&netlink::delete_filter(ifindex, prio, handle))?;
        }
        Ok((start, end))
    };
    let times = thread::scope(|scope| {
        let run = &run;
        (0..threads)
            .map(|n| scope.spawn(move || run(n)))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect::<Result<Vec<_>>>()
    })?;
    let start = times.iter().map(|(start, _)| *start).min();
    let end = times.iter().map(|(_, end)| *end).max();
    let time = start.zip(end).map(|(start, end)| end - start);
    let time = time.context("no thread ran")?.as_secs_f64();
    Ok(f64::from(BATCH) * f64::from(threads) / time)
}

/// Measures `parallel/1`, `parallel/2` and their ratio, in the order ABBA; and the same of filters that
/// no device is asked for, as `parallel-software`.
pub fn run(source: &Path) -> Result<Figures> {
    ekho::kernel::libbpf_log::silence();
    let mut figures = Figures::default();
    let mut connection = Connection::new()?;
    let module = Insmod::new(&source.join("rust/ekho.ko"), c"")?;
    let port = kernel::add_port(&mut connection, "ek0")?;
    let noop = Attached::new(source, "noop", port)?;
    println!("measure: parallel");
    for round in 0..WARM_UP + ROUNDS {
        for (name, place) in [
            ("parallel", Place::Hardware),
            ("parallel-software", Place::Software),
        ] {
            let (a, b) = (rate(port, 1, place)?, rate(port, 2, place)?);
            let (c, d) = (rate(port, 2, place)?, rate(port, 1, place)?);
            if round >= WARM_UP {
                figures.push(&format!("{name}/1"), (a + d) / 2.0);
                figures.push(&format!("{name}/2"), (b + c) / 2.0);
                figures.push(&format!("{name}/ratio"), (b + c) / (a + d));
            }
        }
    }
    drop(noop);
    device::delete("ek0")?;
    module.remove()?;
    Ok(figures)
}
