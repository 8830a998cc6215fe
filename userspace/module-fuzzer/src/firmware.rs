// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mutated firmware objects, against the loader and the kernel behind it.
//!
//! Each is opened, loaded, attached and asked about a filter as far as it comes, in a process of
//! its own (for some at a time), since libbpf and libelf are C: a signal is a bug. What is refused
//! has to be so by an error that says what and why, and nothing may be left in the end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context as _, Result};
use ekho::error::{Class, Error};
use ekho::firmware::Firmware;
use ekho::kernel::bpf;
use ekho::kernel::netlink::{Connection, Request};
use ekho::module::Module;
use ekho_testkit::lab;
use ekho_testkit::tc::{self, info, tc_gen, tcmsg, INGRESS};
use ekho_testkit::uapi;
use fastrand::Rng;

use crate::kernel::{remove_module, Kernel, Paths};
use crate::object::Seed;

/// What the object is called in errors.
const NAME: &str = "mutant.bpf.o";
const DEV: (&str, u32) = ("ek0", 1000);
/// Cases of one process.
const BATCH: u64 = 25;
/// How long a case may take; an emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes above which an object is loaded rarely, as the verifier takes long.
const LARGE: usize = 25_000;
/// Of so many batches, one has a case that goes through `ekho-fw` as well.
const TOOL: u64 = 4;

/// What there is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// The first case.
    pub first: u64,
    /// How many at most.
    pub cases: u64,
    pub time: Duration,
    /// Where objects that show a bug are kept.
    pub keep: PathBuf,
    pub tool: PathBuf,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub cases: u64,
    /// Refused without the kernel.
    pub malformed: u64,
    /// Refused by it.
    pub refused: u64,
    /// Loaded, but not attached.
    pub loaded: u64,
    pub attached: u64,
    /// Through the tool.
    pub tool: u64,
    pub bugs: u64,
}

/// Objects to begin with, always in the same order.
pub fn seeds(paths: &Paths) -> Result<Vec<Seed>> {
    let mut files = Vec::new();
    for directory in [&paths.firmware, &paths.test_firmware] {
        for entry in fs::read_dir(directory)
            .with_context(|| format!("can't read {}", directory.display()))?
        {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".bpf.o") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut seeds = Vec::new();
    for file in files {
        seeds.extend(Seed::new(fs::read(file)?));
    }
    ensure!(!seeds.is_empty(), "there is no firmware to begin with");
    Ok(seeds)
}

/// The object of a case.
pub fn mutant(seeds: &[Seed], seed: u64, case: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ case);
    let mut from = &seeds[rng.usize(..seeds.len())];
    if from.data().len() > LARGE && rng.u8(..10) != 0 {
        from = &seeds[rng.usize(..seeds.len())];
    }
    from.mutate(&mut rng)
}

/// Does it.
pub fn run(plan: &Plan, paths: &Paths, counts: &mut Counts) -> Result<()> {
    let start = Instant::now();
    let seeds = seeds(paths)?;
    let mut kernel = Kernel::enter(&paths.module)?;
    kernel.add_device("ekho", DEV.0, DEV.1)?;
    kernel.ask(tc::add_clsact(DEV.1))?;

    let mut next = plan.first;
    let end = plan.first.saturating_add(plan.cases);
    while next < end && start.elapsed() < plan.time {
        let seed = plan.seed;
        kernel.note(&format!("firmware seed={seed} case={next}"));
        let until = end.min(next + BATCH);
        let done = batch(plan, paths, &seeds, next..until, start, counts)?;
        let what = || format!("seed {seed} cases {next} to {done}");
        kernel.none_left(lab::firmware).with_context(what)?;
        kernel.none_left(lab::flows).with_context(what)?;
        if (next / BATCH) % TOOL == 0 {
            let data = mutant(&seeds, seed, next);
            if let Err(error) = with_tool(&plan.tool, &data) {
                report(plan, &data, next, &format!("{error:#}"), counts)?;
            }
            counts.tool += 1;
        }
        next = done;
    }
    kernel.delete_device(DEV.1)?;
    kernel.none_left(lab::devices)?;
    remove_module()
}

/// Tells of a bug, and keeps what shows it.
fn report(plan: &Plan, data: &[u8], case: u64, what: &str, counts: &mut Counts) -> Result<()> {
    counts.bugs += 1;
    let file = plan
        .keep
        .join(format!("ekho-module-fuzzer-{}-{case}.bpf.o", plan.seed));
    fs::write(&file, data).with_context(|| format!("can't write {}", file.display()))?;
    println!(
        "bug: seed {} case {case}: {what}; {}",
        plan.seed,
        file.display()
    );
    Ok(())
}

/// Some cases, in a process: which is next.
fn batch(
    plan: &Plan,
    paths: &Paths,
    seeds: &[Seed],
    cases: std::ops::Range<u64>,
    start: Instant,
    counts: &mut Counts,
) -> Result<u64> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--module")
        .arg(&paths.module)
        .arg("--firmware")
        .arg(&paths.firmware)
        .arg("--test-firmware")
        .arg(&paths.test_firmware)
        .args(["cases", "--seed", &plan.seed.to_string()])
        .args(["--first", &cases.start.to_string()])
        .args(["--end", &cases.end.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't start a process of cases")?;
    let output = child.stdout.take().context("it was piped")?;
    let mut errors = child.stderr.take().context("it was piped")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let errors = thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut errors, &mut text);
        text
    });
    let mut next = cases.start;
    let bug = loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let (what, why) = line.split_once(' ').unwrap_or((&line, ""));
                match what {
                    "malformed" => counts.malformed += 1,
                    "refused" => counts.refused += 1,
                    "loaded" => counts.loaded += 1,
                    "attached" => counts.attached += 1,
                    _ => report(plan, &mutant(seeds, plan.seed, next), next, why, counts)?,
                }
                counts.cases += 1;
                next += 1;
                // The rest is left, rather than the time be exceeded by much.
                if next < cases.end && start.elapsed() > plan.time {
                    child.kill()?;
                    child.wait()?;
                    return Ok(cases.end);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                break Some(format!("not done after {} s", PATIENCE.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    let status = child.wait()?;
    let errors = errors.join().unwrap_or_default();
    if next < cases.end {
        let what = bug.unwrap_or_else(|| format!("{status} {}", errors.trim()));
        report(plan, &mutant(seeds, plan.seed, next), next, &what, counts)?;
        counts.cases += 1;
        next += 1;
    }
    Ok(next)
}

/// The process of [`batch`]: a line for each case.
pub fn cases(seed: u64, cases: std::ops::Range<u64>, paths: &Paths) -> Result<()> {
    ekho::kernel::libbpf_log::silence();
    let seeds = seeds(paths)?;
    let module = Module::open()?;
    let mut output = std::io::stdout();
    for case in cases {
        let line = match one(&mutant(&seeds, seed, case), &module) {
            Ok(line) => line.to_owned(),
            Err(error) => format!("bug {error:#}").replace('\n', " | "),
        };
        writeln!(output, "{line}")?;
    }
    Ok(())
}

/// How far an object comes. An error is a bug.
fn one(data: &[u8], module: &Module) -> Result<&'static str> {
    let firmware = match Firmware::open_bytes(Path::new(NAME), data) {
        Ok(firmware) => firmware,
        Err(error) => return refused(&error, "malformed"),
    };
    let loaded = match firmware.load(module, DEV.1, &[]) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error, "refused"),
    };
    if let Err(error) = loaded.activate(module) {
        return refused(&error, "refused");
    }
    let Ok(link) = bpf::link_create(loaded.ops_map()) else {
        return Ok("loaded");
    };
    ask().context("with it attached")?;
    drop(link);
    Ok("attached")
}

/// Whether an error is one that helps.
fn refused(error: &Error, what: &'static str) -> Result<&'static str> {
    let text = error.to_string();
    let names = text.contains(NAME) || text.contains('`') || matches!(error, Error::NoJit);
    if !names {
        bail!("it doesn't say of what it is: {text}");
    }
    if text.contains("panicked") || text.chars().any(|c| c.is_control() && c != '\n') {
        bail!("it isn't fit to be shown: {text:?}");
    }
    if error.class() == Class::Other || error.remedy().is_none() {
        bail!("it has no remedy: {text}");
    }
    Ok(what)
}

/// A filter comes, is looked at, and goes.
fn ask() -> Result<()> {
    let mut connection = Connection::new()?;
    let header = tcmsg(DEV.1, 1, INGRESS, info(1, 0x0800));
    let mut add = Request::new(uapi::RTM_NEWTFILTER, uapi::NLM_F_CREATE, &header);
    add.put_text(uapi::TCA_KIND, "flower")
        .nest(uapi::TCA_OPTIONS, |options| {
            options.nest(uapi::TCA_FLOWER_ACT, |actions| {
                tc::put_action(actions, 1, "gact", |gact| {
                    gact.put(uapi::TCA_GACT_PARMS, &tc_gen(0, uapi::TC_ACT_SHOT));
                });
            });
            options
                .put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &0x0800_u16.to_be_bytes())
                .put(uapi::TCA_FLOWER_KEY_IP_PROTO, &[6]);
            options
                .put(uapi::TCA_FLOWER_KEY_IPV4_DST, &[10, 0, 0, 1])
                .put_u32(uapi::TCA_FLOWER_FLAGS, uapi::TCA_CLS_FLAGS_SKIP_SW);
        });
    let dump = tc::dump_filters(DEV.1);
    let delete = Request::new(uapi::RTM_DELTFILTER, 0, &tcmsg(DEV.1, 0, INGRESS, 0));
    for request in [add, dump, delete] {
        // What firmware says to it is its own business.
        let _ = connection.exchange(&request.finish(), |_, _| ())?;
    }
    Ok(())
}

/// The same through the tool: it ends by itself, says which file is meant, and leaves nothing.
fn with_tool(tool: &Path, data: &[u8]) -> Result<()> {
    let file = std::env::temp_dir().join(NAME);
    fs::write(&file, data)?;
    let run = |arguments: &[&std::ffi::OsStr]| -> Result<bool> {
        let output = Command::new(tool)
            .args(arguments)
            .output()
            .with_context(|| format!("can't run {}", tool.display()))?;
        // What is wrong with a file that can be read is said by `inspect` where it describes it.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_shown = said.chars().all(|c| !c.is_control() || c == '\n');
        // What clap has to say has status 2.
        match output.status.code() {
            Some(0) if is_shown => Ok(true),
            Some(3..=7) if is_shown && !said.trim().is_empty() => Ok(false),
            _ => bail!("ekho-fw {arguments:?}: {} {said:?}", output.status),
        }
    };
    let path = file.as_os_str();
    run(&["inspect".as_ref(), path])?;
    let device = ["--dev".as_ref(), DEV.0.as_ref()];
    if run(&["load".as_ref(), path, device[0], device[1]])? {
        // It may have been stopped by now; its pins are to go all the same.
        run(&["unload".as_ref(), device[0], device[1]])?;
    }
    let pins = Path::new("/sys/fs/bpf/ekho");
    let left = fs::read_dir(pins).map_or(0, |entries| entries.count());
    ensure!(left == 0, "ekho-fw left {left} pins in {}", pins.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_always_the_same_object() {
        let seeds = vec![
            Seed::new(ekho_fixtures::FIRMWARE.to_vec()).unwrap(),
            Seed::new(ekho_fixtures::FIRMWARE.to_vec()).unwrap(),
        ];
        assert_eq!(mutant(&seeds, 1, 2), mutant(&seeds, 1, 2));
        assert_ne!(mutant(&seeds, 1, 2), mutant(&seeds, 1, 3));
        assert_ne!(mutant(&seeds, 1, 2), mutant(&seeds, 2, 2));
    }

    #[test]
    fn errors_have_to_help() {
        let path = PathBuf::from(NAME);
        assert!(refused(&Error::NoOps { path: path.clone() }, "malformed").is_ok());
        let no_remedy = Error::Io {
            what: "can't use map `x`".into(),
            source: std::io::ErrorKind::Other.into(),
        };
        assert!(refused(&no_remedy, "refused").is_err());
        let control = Error::Malformed {
            path,
            why: "\u{1b}[2J".into(),
        };
        assert!(refused(&control, "malformed").is_err());
    }
}
