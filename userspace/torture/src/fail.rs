// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every allocation of every step fails once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use anyhow::{ensure, Context as _, Result};
use ekho_testkit::tc::NEW;
use ekho_testkit::uapi;
use nix::errno::Errno;

use crate::fault::Allocations;
use crate::lab::{self, Filter, Kind, Lab, Paths};

/// Module parameters that make insmod fail.
const REFUSED: &CStr = c"budget_us=none";
/// Filters that are in software if hardware doesn't take them, for firmware to find.
const FOUND: [Filter; 3] = [
    software(Filter::flower(101, 1)),
    software(Filter::flower(101, 2)),
    Filter {
        kind: Kind::Matchall,
        ..software(Filter::flower(102, 1))
    },
];

const fn software(filter: Filter) -> Filter {
    Filter {
        skip_sw: false,
        ..filter
    }
}

/// What came of it so far.
struct Trial<'a> {
    lab: Lab,
    allocations: Allocations,
    /// Steps to try.
    only: &'a str,
    most: u32,
    steps: u32,
    failed: u32,
    refused: u32,
    borne: u32,
    wrong: u32,
}

/// What may come of a step with an allocation that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    /// It is refused, or done.
    AllOrNothing,
    /// Or done without hardware, which is what a filter that isn't `skip_sw` asks for.
    BeInSoftware,
}

impl Trial<'_> {
    /// Tries a request, which another undoes.
    fn request(&mut self, name: &str, may: May, run: &[u8], undo: &[u8]) -> Result<()> {
        self.step(name, may, |lab| lab.ask(run), |lab| lab.ask(undo))
    }

    /// Tries a step, which `undo` undoes.
    fn step(
        &mut self,
        name: &str,
        may: May,
        run: impl Fn(&mut Lab) -> Result<()>,
        undo: impl Fn(&mut Lab) -> Result<()>,
    ) -> Result<()> {
        self.step_after(0, name, may, run, undo)
    }

    /// Tries a step, but for its first allocations.
    fn step_after(
        &mut self,
        first: u32,
        name: &str,
        may: May,
        run: impl Fn(&mut Lab) -> Result<()>,
        undo: impl Fn(&mut Lab) -> Result<()>,
    ) -> Result<()> {
        if !name.starts_with(self.only) {
            return Ok(());
        }
        self.steps += 1;
        // Once as it should be. The first time leaves caches that later times find.
        let lab = &mut self.lab;
        run(lab).with_context(|| format!("{name}, with nothing failing"))?;
        undo(lab).with_context(|| format!("undo {name}"))?;
        let before = lab.snapshot()?;
        let (result, many) = self.allocations.count(|| run(lab))?;
        result.with_context(|| format!("{name}, with nothing failing"))?;
        ensure!(
            first < many,
            "{name} makes {many} allocations, and {first} are to be passed over"
        );
        println!("{name}: {} of {many} allocations are to fail", many - first);
        let after = lab.snapshot()?;
        undo(lab).with_context(|| format!("undo {name}"))?;
        let mut wrong = self.compare(name, 0, "undone", &[&before])?;

        let (mut refused, mut borne) = (BTreeMap::<String, u32>::new(), 0);
        let mut allocations = 0;
        for nth in (first + 1..).take(self.most as usize) {
            self.lab.reconnect()?;
            let lab = &mut self.lab;
            let (result, hit) = self.allocations.with_nth_failing(nth, || run(lab))?;
            if !hit {
                result.with_context(|| format!("{name}, with too few allocations to fail"))?;
                undo(lab).with_context(|| format!("undo {name}"))?;
                break;
            }
            allocations += 1;
            let is_done = match &result {
                Ok(()) => true,
                // The answer was lost on the way, whatever it was.
                Err(error) if errno(error) == Some(Errno::ENOBUFS) => {
                    lab.settled(&[&before, &after])? != before
                }
                Err(_) => false,
            };
            match &result {
                Ok(()) => borne += 1,
                Err(error) => {
                    let what = errno(error)
                        .map_or_else(|| format!("{error:#}"), |errno| format!("{errno:?}"));
                    *refused.entry(what).or_default() += 1;
                }
            }
            if !is_done {
                wrong += self.compare(name, nth, "refused", &[&before])?;
                continue;
            }
            if may == May::AllOrNothing {
                wrong += self.compare(name, nth, "done", &[&after])?;
            }
            self.lab.reconnect()?;
            undo(&mut self.lab).with_context(|| format!("undo {name}, allocation {nth}"))?;
            wrong += self.compare(name, nth, "undone", &[&before])?;
        }
        let sum: u32 = refused.values().sum();
        let reasons: Vec<_> = refused
            .iter()
            .map(|(what, n)| format!("{n} {what}"))
            .collect();
        println!(
            "{name}: {allocations} allocations, {borne} borne, {sum} refused ({})",
            reasons.join(", ")
        );
        self.failed += allocations;
        self.refused += sum;
        self.borne += borne;
        self.wrong += wrong;
        Ok(())
    }

    /// Whether what is there is one of `wanted`; says what isn't.
    fn compare(
        &self,
        name: &str,
        nth: u32,
        how: &str,
        wanted: &[&BTreeSet<String>],
    ) -> Result<u32> {
        let now = self.lab.settled(wanted)?;
        if wanted.contains(&&now) {
            return Ok(0);
        }
        println!("wrong: {name}, allocation {nth}, {how}:");
        for line in wanted[0].difference(&now) {
            println!("  is missing: {line}");
        }
        for line in now.difference(wanted[0]) {
            println!("  is there: {line}");
        }
        Ok(1)
    }
}

/// The errno at the root of a failure.
fn errno(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        let errno = cause.downcast_ref::<Errno>().copied();
        errno.or_else(|| {
            let io = cause.downcast_ref::<std::io::Error>()?;
            io.raw_os_error().map(Errno::from_raw)
        })
    })
}

/// Tries all steps whose names begin with `only`, each with at most `most` allocations failing.
/// Whether all was as it should be.
pub fn run(paths: &Paths, only: &str, most: u32) -> Result<bool> {
    let mut trial = Trial {
        lab: Lab::new(paths)?,
        allocations: Allocations::new()?,
        only,
        most,
        steps: 0,
        failed: 0,
        refused: 0,
        borne: 0,
        wrong: 0,
    };
    let result = steps(&mut trial);
    let cleared = trial.lab.clear();
    result?;
    cleared.context("in the end not all goes")?;
    println!(
        "ekho-torture: fail steps={} failed={} refused={} borne={} wrong={}",
        trial.steps, trial.failed, trial.refused, trial.borne, trial.wrong
    );
    Ok(trial.wrong == 0 && trial.steps > 0)
}

/// From nothing to firmware that is replaced on a device with filters, and back.
fn steps(trial: &mut Trial<'_>) -> Result<()> {
    use May::AllOrNothing;

    // Linux doesn't bear a failing allocation while it takes the tracepoints and the types of a
    // module: trace_module_notify() drops a file twice, btf_relocate() takes what isn't there. It
    // looks at the parameters after that; its files in sysfs and the module's own part come next.
    let mut loader = 0;
    for _ in 0..5 {
        let (result, many) = trial.allocations.count(|| trial.lab.insmod_with(REFUSED))?;
        let refusal = result
            .err()
            .context("insmod takes a parameter that it can't")?;
        ensure!(errno(&refusal) == Some(Errno::EINVAL), refusal);
        loader = loader.max(many);
    }
    trial.step_after(loader, "insmod", AllOrNothing, Lab::insmod, Lab::rmmod)?;
    trial.lab.insmod()?;
    trial.step("rmmod", AllOrNothing, Lab::rmmod, Lab::insmod)?;

    trial.request(
        "link-add",
        AllOrNothing,
        &lab::add_device(0),
        &lab::delete_device(0),
    )?;
    for n in 0..lab::DEVICES.len() {
        trial.lab.ask(&lab::add_device(n))?;
    }
    trial.request(
        "clsact-add",
        AllOrNothing,
        &lab::add_clsact(0, None),
        &lab::delete_clsact(0),
    )?;
    trial.lab.ask(&lab::add_clsact(0, Some(5)))?;
    trial.request(
        "clsact-add-to-a-shared-block",
        AllOrNothing,
        &lab::add_clsact(1, Some(5)),
        &lab::delete_clsact(1),
    )?;
    trial.lab.ask(&lab::delete_clsact(0))?;
    for n in 0..lab::DEVICES.len() {
        trial.lab.ask(&lab::add_clsact(n, None))?;
    }

    trial.step(
        "contract-read",
        AllOrNothing,
        Lab::read_contract,
        |_| Ok(()),
    )?;
    trial.lab.read_contract()?;
    trial.step(
        "firmware-load",
        AllOrNothing,
        |lab| lab.load_one(0, "noop"),
        Lab::unload,
    )?;
    for (firmware, device) in [("stats", 0), ("noop", 2)] {
        trial.lab.load_twins(device, firmware)?;
        on_a_device(trial, device)?;
        trial.lab.unload()?;
    }
    Ok(())
}

/// What is done to a device that has firmware or gets it.
fn on_a_device(trial: &mut Trial<'_>, device: usize) -> Result<()> {
    use May::{AllOrNothing, BeInSoftware};

    let indirect = device == 2;
    if !indirect {
        trial.step("attach", AllOrNothing, Lab::attach, Lab::detach)?;
    }
    for mut filter in FOUND {
        filter.device = device;
        trial.lab.ask(&filter.add(NEW))?;
    }
    let name = |step: &str| {
        if indirect {
            format!("indirect-{step}")
        } else {
            step.to_owned()
        }
    };
    trial.step(
        &name("attach-to-filters"),
        BeInSoftware,
        Lab::attach,
        Lab::detach,
    )?;
    trial.lab.attach()?;
    trial.step(
        &name("replace-firmware"),
        AllOrNothing,
        Lab::replace_firmware,
        Lab::replace_firmware,
    )?;
    if indirect {
        trial.request(
            &name("add"),
            BeInSoftware,
            &at(2, software(Filter::flower(1, 1))).add(NEW),
            &at(2, software(Filter::flower(1, 1))).delete(),
        )?;
    } else {
        requests(trial)?;
    }
    trial.step(&name("detach"), AllOrNothing, Lab::detach, Lab::attach)?;
    trial.lab.detach()?;
    for mut filter in [FOUND[0], FOUND[1], FOUND[2]] {
        filter.device = device;
        trial.lab.ask(&filter.delete())?;
    }
    Ok(())
}

const fn at(device: usize, filter: Filter) -> Filter {
    Filter { device, ..filter }
}

/// What firmware is asked.
fn requests(trial: &mut Trial<'_>) -> Result<()> {
    use May::{AllOrNothing, BeInSoftware};

    const FLOWER: Filter = Filter::flower(1, 1);
    const MATCHALL: Filter = Filter {
        kind: Kind::Matchall,
        ..Filter::flower(2, 1)
    };
    const U32: Filter = Filter {
        kind: Kind::U32,
        ..software(Filter::flower(3, 0))
    };
    const CHANGED: Filter = Filter {
        port: 443,
        ..Filter::flower(4, 1)
    };

    trial.request("add", AllOrNothing, &FLOWER.add(NEW), &FLOWER.delete())?;
    trial.request(
        "add-both",
        BeInSoftware,
        &software(FLOWER).add(NEW),
        &FLOWER.delete(),
    )?;
    trial.request(
        "add-matchall",
        AllOrNothing,
        &MATCHALL.add(NEW),
        &MATCHALL.delete(),
    )?;
    trial.request("add-u32", BeInSoftware, &U32.add(NEW), &U32.delete())?;
    let was = Filter {
        port: 80,
        ..CHANGED
    };
    trial.lab.ask(&was.add(NEW))?;
    trial.request(
        "change",
        AllOrNothing,
        &CHANGED.add(uapi::NLM_F_CREATE),
        &was.add(uapi::NLM_F_CREATE),
    )?;
    trial.step(
        "dump",
        AllOrNothing,
        |lab| lab.ask(&lab::dump_filters(0)),
        |_| Ok(()),
    )?;
    trial.request("delete", AllOrNothing, &was.delete(), &was.add(NEW))?;
    trial.lab.ask(&was.delete())?;
    trial.request(
        "template",
        AllOrNothing,
        &lab::add_template(0),
        &lab::delete_template(0),
    )?;
    trial.request(
        "prio",
        BeInSoftware,
        &lab::add_prio(0),
        &lab::delete_prio(0),
    )?;
    trial.request(
        "add-shared-action",
        AllOrNothing,
        &lab::add_shared_action(),
        &lab::delete_shared_action(),
    )?;
    let link_delete = |lab: &mut Lab| lab.ask(&lab::delete_device(0));
    trial.step("link-delete", AllOrNothing, link_delete, |lab| {
        lab.forget_link();
        lab.ask(&lab::add_device(0))?;
        lab.ask(&lab::add_clsact(0, None))?;
        for filter in FOUND {
            lab.ask(&filter.add(NEW))?;
        }
        lab.attach()
    })
}
