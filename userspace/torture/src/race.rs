// SPDX-License-Identifier: MIT OR Apache-2.0

//! All that can be done to a device, at the same time.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context as _, Result};
use ekho::firmware::image::Loaded;
use ekho::kernel::bpf;
use ekho::kernel::netlink::Connection;
use ekho_testkit::lab::{flows, read_debugfs};
use ekho_testkit::tc::NEW;
use ekho_testkit::uapi;
use fastrand::Rng;

use crate::lab::{self, ask, Filter, Kind, Lab, Paths};

/// Filters that a thread has at most.
const MANY: u32 = 200;

/// How often each thread did its work, and how often it was refused.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<&'static str, [u64; 2]>>);

impl Counts {
    fn count(&self, what: &'static str, refused: bool) {
        let mut counts = self.0.lock().unwrap_or_else(|poison| poison.into_inner());
        counts.entry(what).or_default()[usize::from(refused)] += 1;
    }
}

/// Filters of one thread: `prio` is its own, so that what it adds is there until it deletes it.
fn filters(
    stop: &AtomicBool,
    counts: &Counts,
    mut rng: Rng,
    device: usize,
    prio: u16,
) -> Result<()> {
    let mut connection = Connection::new()?;
    let mut is_there = vec![false; MANY as usize + 1];
    let filter = |handle: u32, skip_sw: bool| Filter {
        device,
        skip_sw,
        ..Filter::flower(prio, handle)
    };
    while !stop.load(Ordering::Relaxed) {
        let handle = rng.u32(1..=MANY);
        let there = &mut is_there[handle as usize];
        let (what, request) = match (*there, rng.u8(0..4)) {
            (true, 0) => {
                let changed = Filter {
                    port: rng.u16(1..100),
                    ..filter(handle, false)
                };
                ("change", changed.add(uapi::NLM_F_CREATE))
            }
            (true, _) => ("delete", filter(handle, true).delete()),
            // Only those may be refused: firmware isn't always there.
            (false, 0) => ("add-skip-sw", filter(handle, true).add(NEW)),
            (false, _) => ("add", filter(handle, false).add(NEW)),
        };
        let result = ask(&mut connection, &request);
        counts.count(what, result.is_err());
        match result {
            Ok(()) => *there = what != "delete",
            Err(error) => ensure!(
                what == "add-skip-sw" || what == "change",
                "{what} of filter {handle} of preference {prio}: {error}"
            ),
        }
    }
    for handle in (1..=MANY).filter(|handle| is_there[*handle as usize]) {
        ask(&mut connection, &filter(handle, true).delete())
            .with_context(|| format!("delete filter {handle} of preference {prio}"))?;
    }
    Ok(())
}

/// Lists filters with their counters, and reads what the module tells.
fn readers(stop: &AtomicBool, counts: &Counts, mut rng: Rng) -> Result<()> {
    let mut connection = Connection::new()?;
    while !stop.load(Ordering::Relaxed) {
        let device = rng.usize(0..2);
        let result = ask(&mut connection, &lab::dump_filters(device));
        // A dump that the table moved under says so.
        counts.count("dump", result.is_err());
        for file in ["devices", "firmware", "flows", "capabilities", "refusals"] {
            read_debugfs(file)?;
        }
        counts.count("debugfs", false);
    }
    Ok(())
}

/// Replaces the firmware of the first device, which always has some.
fn replacer(stop: &AtomicBool, counts: &Counts, twins: &[Loaded; 2]) -> Result<()> {
    let link = bpf::link_create(twins[0].ops_map()).context("attach")?;
    let mut now = 0;
    while !stop.load(Ordering::Relaxed) {
        bpf::link_update(link.as_fd(), twins[1 - now].ops_map(), twins[now].ops_map())
            .context("replace firmware")?;
        now = 1 - now;
        counts.count("replace-firmware", false);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Attaches and detaches the firmware of the second device.
fn attacher(stop: &AtomicBool, counts: &Counts, loaded: &Loaded) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        // What was detached is on its way out for a while.
        let link = match bpf::link_create(loaded.ops_map()) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                counts.count("attach", true);
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            result => result.context("attach to the second device")?,
        };
        counts.count("attach", false);
        thread::sleep(Duration::from_millis(3));
        bpf::link_detach(link.as_fd()).context("detach")?;
        counts.count("detach", false);
    }
    Ok(())
}

/// A third device comes, with a filter of its own, and goes.
fn comer(stop: &AtomicBool, counts: &Counts) -> Result<()> {
    let mut connection = Connection::new()?;
    while !stop.load(Ordering::Relaxed) {
        let filter = Filter {
            device: 2,
            kind: Kind::Matchall,
            skip_sw: false,
            ..Filter::flower(1, 1)
        };
        for (what, request) in [
            ("link-add", lab::add_device(2)),
            ("clsact-add", lab::add_clsact(2, None)),
            ("add-matchall", filter.add(NEW)),
            ("link-delete", lab::delete_device(2)),
        ] {
            ask(&mut connection, &request).context(what)?;
            counts.count(what, false);
        }
    }
    Ok(())
}

/// Writes the counters of the first device's flows.
fn feeder(stop: &AtomicBool, counts: &Counts, loaded: &Loaded) -> Result<()> {
    let mut maps = loaded.maps().iter();
    let (_, map) = maps
        .find(|(name, _)| name == "flow_stats")
        .context("no flow_stats")?;
    let mut cookies: Vec<Vec<u8>> = Vec::new();
    let mut round = 0u64;
    while !stop.load(Ordering::Relaxed) {
        // While all the others are at it, a list of one moment may not be had.
        let Ok(flows) = flows() else { continue };
        cookies.clear();
        cookies.extend(
            flows
                .iter()
                .filter(|flow| flow.dev == "ek0")
                .filter_map(|flow| flow.cookie)
                .map(|cookie| cookie.to_ne_bytes().to_vec()),
        );
        round += 1;
        for cookie in &cookies {
            if let Some(mut value) = map.lookup(cookie)? {
                for counter in value.chunks_exact_mut(8).take(2) {
                    counter.copy_from_slice(&round.to_ne_bytes());
                }
                // The flow may be gone meanwhile.
                let written = map.update(cookie, &value, bpf::UpdateMode::Existing);
                counts.count("feed", written.is_err());
            }
        }
    }
    Ok(())
}

/// Does all of it for `time`; fails if anything was other than it should be.
pub fn run(paths: &Paths, time: Duration, seed: u64) -> Result<bool> {
    let mut lab = Lab::new(paths)?;
    lab.insmod()?;
    lab.read_contract()?;
    for n in 0..2 {
        lab.ask(&lab::add_device(n))?;
        lab.ask(&lab::add_clsact(n, None))?;
    }
    let before = lab.snapshot()?;
    let first = lab.load(0, "stats", None)?;
    let second = lab.load(0, "stats", Some(&first))?;
    let twins = [first, second];
    let other = lab.load(1, "stats", None)?;

    let (stop, counts) = (AtomicBool::new(false), Counts::default());
    let start = Instant::now();
    let result: Result<()> = thread::scope(|scope| {
        let (stop, counts, twins, other) = (&stop, &counts, &twins, &other);
        // A thread that fails ends all.
        let watch = |result: Result<()>| {
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            result
        };
        let mut rng = Rng::with_seed(seed);
        let mut threads = Vec::new();
        for (device, prio) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            let rng = rng.fork();
            threads.push(scope.spawn(move || watch(filters(stop, counts, rng, device, prio))));
        }
        let rng = rng.fork();
        threads.push(scope.spawn(move || watch(readers(stop, counts, rng))));
        threads.push(scope.spawn(move || watch(replacer(stop, counts, twins))));
        threads.push(scope.spawn(move || watch(attacher(stop, counts, other))));
        threads.push(scope.spawn(move || watch(comer(stop, counts))));
        threads.push(scope.spawn(move || watch(feeder(stop, counts, &twins[0]))));
        while start.elapsed() < time && !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread panics"))
    });
    let (mut done, mut refused) = (0, 0);
    for (what, [yes, no]) in counts.0.lock().expect("no thread panicked").iter() {
        println!("{what}: {yes} done, {no} refused");
        (done, refused) = (done + yes, refused + no);
    }
    result?;
    drop((twins, other));
    let after = lab.settled(&[&before])?;
    for line in after.symmetric_difference(&before) {
        println!("wrong: in the end, {line}");
    }
    lab.clear()?;
    println!(
        "ekho-torture: race seconds={} seed={seed} done={done} refused={refused} wrong={}",
        start.elapsed().as_secs(),
        after.symmetric_difference(&before).count()
    );
    Ok(after == before && done > 0)
}
