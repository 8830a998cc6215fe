// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests against devices with firmware.
//!
//! A run is made of rounds. Each begins with new devices, is a sequence of steps that its seed
//! and number determine, and ends with everything being taken away again: no flow, action or
//! device may be left, and an ordinary filter must work and count as if nothing had been.

use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context as _, Result};
use ekho::firmware::image::{Firmware, Loaded};
use ekho::flows::stats::{Change, Sink as _, Stats, Target};
use ekho::kernel::bpf;
use ekho::kernel::netlink::filter::{FilterSpec, Hook};
use ekho::kernel::netlink::{Attributes, Request};
use ekho::module::state::Filter;
use ekho::module::Module;
use ekho::module::Netlink;
use ekho_testkit::lab::{self, set_fault};
use ekho_testkit::tc::{self, info, tc_gen, tcmsg, INGRESS, NEW, TCAMSG};
use ekho_testkit::uapi;

use crate::generate::{Generator, Step, ACTIONS, DEVICES};
use crate::kernel::{eventually, remove_module, Kernel, Paths};

/// Steps of a round.
const ROUND: u32 = 5000;
/// Steps between two notes in the kernel's log.
const NOTE: u32 = 500;

/// What there is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// The first round.
    pub round: u32,
    /// Steps after which it ends, if it is to be only one.
    pub steps: Option<u32>,
    pub time: Duration,
    /// Write each step to the kernel's log before it is done.
    pub trace: bool,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub rounds: u32,
    pub messages: u64,
    pub accepted: u64,
    pub refused: u64,
    pub firmware: u64,
    pub faults: u64,
    /// Answers, by request and in the kernel's words, and how long they took: of use when
    /// requests are made up.
    pub answers: HashMap<String, (u64, Duration)>,
}

type Name = (&'static str, bool);

struct Session<'a> {
    kernel: Kernel,
    paths: &'a Paths,
    module: Module,
    /// Firmware in the kernel, by device: to load it takes long.
    loaded: HashMap<(Name, usize), Loaded>,
    attached: [Option<(OwnedFd, Name)>; DEVICES.len()],
    counts: Counts,
}

/// Does it. What was done until then is in `counts` if there is a bug.
pub fn run(plan: &Plan, paths: &Paths, counts: &mut Counts) -> Result<()> {
    let start = Instant::now();
    let kernel = Kernel::enter(&paths.module)?;
    let mut session = Session {
        kernel,
        paths,
        module: Module::open()?,
        loaded: HashMap::new(),
        attached: Default::default(),
        counts: Counts::default(),
    };
    let result = (plan.round..)
        .take_while(|round| {
            *round == plan.round || plan.steps.is_none() && start.elapsed() < plan.time
        })
        .try_for_each(|round| {
            session
                .round(plan, round, start)
                .with_context(|| format!("seed {} round {round}", plan.seed))
        });
    *counts = std::mem::take(&mut session.counts);
    result?;
    drop(session);
    remove_module()
}

impl Session<'_> {
    fn round(&mut self, plan: &Plan, round: u32, start: Instant) -> Result<()> {
        for (name, ifindex) in DEVICES {
            let kind = if name.starts_with("ek") {
                "ekho"
            } else {
                "dummy"
            };
            self.kernel.add_device(kind, name, ifindex)?;
            // Most of what is tried wants filters.
            self.kernel.ask(tc::add_clsact(ifindex))?;
        }
        self.load(0, ("stats", false))?;
        let mut generator = Generator::new(plan.seed, round);
        for step in 0..plan.steps.unwrap_or(ROUND) {
            if plan.steps.is_none() && start.elapsed() > plan.time {
                break;
            }
            if step % NOTE == 0 {
                let seed = plan.seed;
                let note = format!("netlink seed={seed} round={round} step={step}");
                self.kernel.note(&note);
            }
            let next = generator.next();
            if plan.trace {
                self.kernel.note(&format!("{step} {}", describe(&next)));
            }
            self.step(next).with_context(|| format!("step {step}"))?;
        }
        self.counts.rounds += 1;
        self.tear_down()
    }

    fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Send(data) => {
                self.counts.messages += 1;
                let begin = Instant::now();
                let answer = self.kernel.connection.exchange(&data, |_, _| ());
                let kind = u16::from_ne_bytes([data[4], data[5]]);
                let answer = match answer.context("the kernel doesn't answer")? {
                    Ok(()) => {
                        self.counts.accepted += 1;
                        format!("{kind} accepted")
                    }
                    Err(why) => {
                        self.counts.refused += 1;
                        format!("{kind} {:?} {}", why.errno, why.message)
                    }
                };
                let counts = self.counts.answers.entry(answer).or_default();
                counts.0 += 1;
                counts.1 += begin.elapsed();
            }
            Step::Load(device, firmware) => {
                self.counts.firmware += 1;
                self.load(device, firmware)?;
            }
            Step::Unload(device) => self.unload(device)?,
            Step::Fault(line) => {
                self.counts.faults += 1;
                set_fault(&line);
            }
        }
        Ok(())
    }

    /// Attaches firmware, or puts it in the place of what is there; it may be refused.
    fn load(&mut self, device: usize, name: Name) -> Result<bool> {
        let key = (name, device);
        if let Entry::Vacant(entry) = self.loaded.entry(key) {
            let directory = if name.1 {
                &self.paths.test_firmware
            } else {
                &self.paths.firmware
            };
            let path = directory.join(format!("{}.bpf.o", name.0));
            let loaded = Firmware::open(&path)?.load(&self.module, DEVICES[device].1, &[])?;
            loaded.activate(&self.module)?;
            entry.insert(loaded);
        }
        let new = &self.loaded[&key];
        // What broke the contract lost its link.
        if let Some((link, _)) = &self.attached[device] {
            if bpf::link_info(link.as_fd())?.map_id == Some(0) {
                self.attached[device] = None;
            }
        }
        let result = match &mut self.attached[device] {
            Some((_, old)) if *old == name => return Ok(true),
            Some((link, old)) => {
                let before = &self.loaded[&(*old, device)];
                bpf::link_update(link.as_fd(), new.ops_map(), before.ops_map())
                    .map(|()| *old = name)
            }
            none => bpf::link_create(new.ops_map()).map(|link| *none = Some((link, name))),
        };
        Ok(result.is_ok())
    }

    fn unload(&mut self, device: usize) -> Result<()> {
        let Some((link, _)) = self.attached[device].take() else {
            return Ok(());
        };
        match bpf::link_detach(link.as_fd()) {
            // Of firmware that was stopped.
            Err(error) if error.raw_os_error() != Some(nix::libc::EINVAL) => {
                Err(error).context("can't detach firmware")
            }
            _ => Ok(()),
        }
    }

    /// Deletes all actions of a kind that no filter has: what is in the way of that.
    fn flush(&mut self, name: &str) -> Result<String> {
        let table = |kind, flags| {
            let mut request = Request::new(kind, flags, &TCAMSG);
            request.nest(uapi::TCA_ROOT_TAB, |table| {
                table.nest(1, |action| {
                    action.put_text(uapi::TCA_ACT_KIND, name);
                });
            });
            request.finish()
        };
        let connection = &mut self.kernel.connection;
        let flush = table(uapi::RTM_DELACTION, uapi::NLM_F_ROOT);
        if let Err(why) = connection.exchange(&flush, |_, _| ())? {
            return Ok(format!("{name}: {} {}; ", why.errno, why.message));
        }
        // Those with references that nobody holds lose one with each attempt.
        let mut count = 0;
        let list = table(uapi::RTM_GETACTION, uapi::NLM_F_DUMP);
        let _ = connection.exchange(&list, |_, payload| {
            let actions =
                Attributes(payload.get(TCAMSG.len()..).unwrap_or(&[])).nested(uapi::TCA_ROOT_TAB);
            count += actions.iter().count();
        })?;
        Ok(match count {
            0 => String::new(),
            count => format!("{count} of {name}; "),
        })
    }

    /// Takes away what hangs on devices; refusals don't matter, what is left does.
    fn clear(&mut self) -> Result<()> {
        for (name, ifindex) in DEVICES {
            set_fault(&format!("dev={name} clear"));
            for request in [tc::delete_clsact(ifindex), tc::delete_root(ifindex)] {
                let _ = self
                    .kernel
                    .connection
                    .exchange(&request.finish(), |_, _| ())?;
            }
        }
        let mut left = String::new();
        let flushed = eventually(|| {
            left.clear();
            for name in ACTIONS {
                left += &self.flush(name)?;
            }
            Ok(left.is_empty())
        })?;
        ensure!(flushed, "actions are left: {left}");
        self.kernel.none_left(lab::flows)
    }

    /// The end of a round.
    fn tear_down(&mut self) -> Result<()> {
        self.clear().context("after all filters were deleted")?;
        self.probe().context("an ordinary filter")?;
        self.clear().context("after that filter was deleted")?;
        for device in 0..DEVICES.len() {
            self.unload(device)?;
        }
        self.kernel.none_left(lab::firmware)?;
        for (_, ifindex) in DEVICES {
            self.kernel.delete_device(ifindex)?;
        }
        self.kernel.none_left(lab::devices)
    }

    /// A filter is added, is in hardware, counts, and goes.
    fn probe(&mut self) -> Result<()> {
        let (name, ifindex) = DEVICES[0];
        // New, as one that was here before wasn't told of the flows that ended without it, and
        // has their cookies in its map.
        self.unload(0)?;
        self.loaded.remove(&(("stats", false), 0));
        ensure!(
            self.load(0, ("stats", false))?,
            "firmware `stats` can't be attached"
        );
        self.kernel.ask(tc::add_clsact(ifindex))?;
        let header = tcmsg(ifindex, 1, INGRESS, info(1, 0x0800));
        let mut request = Request::new(uapi::RTM_NEWTFILTER, NEW, &header);
        request.put_text(uapi::TCA_KIND, "flower");
        request.nest(uapi::TCA_OPTIONS, |options| {
            options.nest(uapi::TCA_FLOWER_ACT, |actions| {
                tc::put_action(actions, 1, "gact", |gact| {
                    gact.put(uapi::TCA_GACT_PARMS, &tc_gen(0, uapi::TC_ACT_SHOT));
                });
            });
            options.put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &0x0800_u16.to_be_bytes());
            options.put_u32(uapi::TCA_FLOWER_FLAGS, uapi::TCA_CLS_FLAGS_SKIP_SW);
        });
        self.kernel.ask(request)?;
        let flows = self.kernel.here(lab::flows()?);
        ensure!(flows.len() == 1, "flows are {flows:?}");

        let filter = FilterSpec {
            dev: name.to_owned(),
            hook: Hook::Ingress,
            chain: 0,
            prio: 1,
            protocol: 0x0800,
            handle: 1,
        };
        let change = Change {
            packets: Some(12345),
            bytes: Some(1_234_500),
            ..Change::default()
        };
        Stats::open(&Netlink, Filter::device(name)?)?.change(&Target::Filter(filter), &change)?;
        let mut packets = None;
        let request = tc::dump_filters(ifindex).finish();
        let result = self.kernel.connection.exchange(&request, |_, payload| {
            packets = packets.or(tc::hardware_packets(payload, uapi::TCA_FLOWER_ACT));
        })?;
        result.map_err(io::Error::from)?;
        if packets != Some(12345) {
            bail!("it has counted {packets:?} packets in hardware, and firmware said 12345");
        }
        Ok(())
    }
}

/// A step in one line.
fn describe(step: &Step) -> String {
    match step {
        Step::Send(data) => data.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        other => format!("{other:?}"),
    }
}
