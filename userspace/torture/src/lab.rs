// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module, devices, filters and firmware, as small things to do; and what of them is there.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use ekho::contract;
use ekho::firmware::image::{Firmware, Loaded};
use ekho::kernel::bpf::{self, Map};
use ekho::kernel::netlink::{u32_at, Attributes, Connection, Request};
use ekho::module::state::{Calls, Device, Firmware as Attached, Flow};
use ekho::module::Module;
use ekho_testkit::lab;
use ekho_testkit::tc::{
    self, bitfield32, info, put_action, tc_gen, tcmsg, u32_selector, IFINFOMSG, INGRESS, NEW,
    TCAMSG, TCMSG,
};
use ekho_testkit::uapi;
use nix::errno::Errno;
use tempfile::TempDir;

/// Where things are.
#[derive(clap::Args, Clone)]
pub struct Paths {
    /// The module
    #[arg(
        long,
        env = "EKHO_MODULE",
        default_value = "rust/ekho.ko",
        global = true
    )]
    pub module: PathBuf,
    /// Directory of the firmware
    #[arg(
        long,
        env = "EKHO_FIRMWARE",
        default_value = "bpf/build",
        global = true
    )]
    pub firmware: PathBuf,
}

const FIRMWARE: [&str; 2] = ["noop.bpf.o", "stats.bpf.o"];
const MEMORY: &str = "/dev/shm";
/// Debug kernels are slow: firmware gets a second.
const PARAMETERS: &CStr = c"budget_us=1000000";
/// How long the kernel may take for what it does later.
const PATIENCE: Duration = Duration::from_secs(20);
/// Which of its tests KUnit runs with each insmod, if the kernel has it.
const KUNIT: &str = "/sys/module/kunit/parameters/filter_glob";

const IPV4: u16 = 0x0800;
const DUMP_LINKS: [u8; IFINFOMSG] = [0; IFINFOMSG];
/// Handle of a qdisc that is offloaded.
const PRIO: u32 = 0x0001_0000;

/// Devices, by their interface index: two of EKHO's own, and one that it serves indirectly.
pub const DEVICES: [(u32, &str, &str); 3] = [
    (4001, "ek0", "ekho"),
    (4002, "ek1", "ekho"),
    (4003, "du0", "dummy"),
];

/// What a filter is, and where it is to be.
#[derive(Clone, Copy)]
pub struct Filter {
    pub device: usize,
    pub kind: Kind,
    pub prio: u16,
    pub handle: u32,
    pub skip_sw: bool,
    /// Changed by `change`.
    pub port: u16,
}

/// A classifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Flower,
    Matchall,
    U32,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Flower => "flower",
            Self::Matchall => "matchall",
            Self::U32 => "u32",
        }
    }
}

impl Filter {
    /// One of flower, on the first device, in hardware only.
    pub const fn flower(prio: u16, handle: u32) -> Self {
        Self {
            device: 0,
            kind: Kind::Flower,
            prio,
            handle,
            skip_sw: true,
            port: 80,
        }
    }

    fn header(self) -> [u8; 20] {
        let (ifindex, ..) = DEVICES[self.device];
        tcmsg(ifindex, self.handle, INGRESS, info(self.prio, IPV4))
    }

    /// The request that adds it, or with `uapi::NLM_F_CREATE` alone changes it.
    pub fn add(self, flags: u16) -> Vec<u8> {
        let mut request = Request::new(uapi::RTM_NEWTFILTER, flags, &self.header());
        request.put_text(uapi::TCA_KIND, self.kind.name());
        request.nest(uapi::TCA_OPTIONS, |options| {
            let place = if self.skip_sw {
                uapi::TCA_CLS_FLAGS_SKIP_SW
            } else {
                0
            };
            match self.kind {
                Kind::Flower => {
                    const TCP: u8 = 6;
                    let address = 0x0a00_0000 | self.handle;
                    options.nest(uapi::TCA_FLOWER_ACT, put_actions);
                    options.put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &IPV4.to_be_bytes());
                    options.put(uapi::TCA_FLOWER_KEY_IP_PROTO, &[TCP]);
                    options.put(uapi::TCA_FLOWER_KEY_IPV4_DST, &address.to_be_bytes());
                    options.put(uapi::TCA_FLOWER_KEY_IPV4_DST_MASK, &[0xff; 4]);
                    options.put(uapi::TCA_FLOWER_KEY_TCP_DST, &self.port.to_be_bytes());
                    options.put(uapi::TCA_FLOWER_KEY_TCP_DST_MASK, &[0xff; 2]);
                    options.put_u32(uapi::TCA_FLOWER_FLAGS, place);
                }
                Kind::Matchall => {
                    options.nest(uapi::TCA_MATCHALL_ACT, put_actions);
                    options.put_u32(uapi::TCA_MATCHALL_FLAGS, place);
                }
                Kind::U32 => {
                    options.put(uapi::TCA_U32_SEL, &u32_selector(16, [10, 0, 0, 1]));
                    options.nest(uapi::TCA_U32_ACT, put_actions);
                    options.put_u32(uapi::TCA_U32_FLAGS, place);
                }
            }
        });
        request.finish()
    }

    /// The request that deletes it; for u32 and matchall its whole preference.
    pub fn delete(self) -> Vec<u8> {
        let mut header = self.header();
        if self.kind != Kind::Flower {
            header[8..12].fill(0);
        }
        let mut request = Request::new(uapi::RTM_DELTFILTER, 0, &header);
        request.put_text(uapi::TCA_KIND, self.kind.name());
        request.finish()
    }
}

/// A mark, and a drop.
fn put_actions(actions: &mut Request) {
    put_action(actions, 1, "skbedit", |skbedit| {
        skbedit
            .put(uapi::TCA_SKBEDIT_PARMS, &tc_gen(0, uapi::TC_ACT_PIPE))
            .put_u32(uapi::TCA_SKBEDIT_MARK, 7);
    });
    put_action(actions, 2, "gact", |gact| {
        gact.put(uapi::TCA_GACT_PARMS, &tc_gen(0, uapi::TC_ACT_SHOT));
    });
}

/// A request for what isn't a filter.
fn request(what: u16, flags: u16, header: &[u8], fill: impl FnOnce(&mut Request)) -> Vec<u8> {
    let mut request = Request::new(what, flags, header);
    fill(&mut request);
    request.finish()
}

pub fn add_device(n: usize) -> Vec<u8> {
    let (ifindex, name, kind) = DEVICES[n];
    tc::add_device(kind, name, ifindex).finish()
}

pub fn delete_device(n: usize) -> Vec<u8> {
    tc::delete_device(DEVICES[n].0).finish()
}

/// clsact, with a block that others may share.
pub fn add_clsact(n: usize, block: Option<u32>) -> Vec<u8> {
    let mut request = tc::add_clsact(DEVICES[n].0);
    if let Some(block) = block {
        request.put_u32(uapi::TCA_INGRESS_BLOCK, block);
    }
    request.finish()
}

pub fn delete_clsact(n: usize) -> Vec<u8> {
    tc::delete_clsact(DEVICES[n].0).finish()
}

/// prio at the root: a qdisc that is offloaded.
pub fn add_prio(n: usize) -> Vec<u8> {
    let header = tcmsg(DEVICES[n].0, PRIO, uapi::TC_H_ROOT, 0);
    request(uapi::RTM_NEWQDISC, NEW, &header, |request| {
        // `struct tc_prio_qopt`: three bands, and which of them each priority takes.
        let mut options = [0; 20];
        options[..4].copy_from_slice(&3u32.to_ne_bytes());
        options[4..].copy_from_slice(&[1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        request
            .put_text(uapi::TCA_KIND, "prio")
            .put(uapi::TCA_OPTIONS, &options);
    })
}

pub fn delete_prio(n: usize) -> Vec<u8> {
    let header = tcmsg(DEVICES[n].0, PRIO, uapi::TC_H_ROOT, 0);
    request(uapi::RTM_DELQDISC, 0, &header, |_| ())
}

/// A chain with a template: filters in it match addresses.
pub fn add_template(n: usize) -> Vec<u8> {
    let header = tcmsg(DEVICES[n].0, 0, INGRESS, info(0, IPV4));
    request(uapi::RTM_NEWCHAIN, NEW, &header, |request| {
        request
            .put_u32(uapi::TCA_CHAIN, 9)
            .put_text(uapi::TCA_KIND, "flower")
            .nest(uapi::TCA_OPTIONS, |options| {
                options
                    .put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &IPV4.to_be_bytes())
                    .put(uapi::TCA_FLOWER_KEY_IPV4_DST, &[0; 4])
                    .put(uapi::TCA_FLOWER_KEY_IPV4_DST_MASK, &[0xff; 4]);
            });
    })
}

pub fn delete_template(n: usize) -> Vec<u8> {
    let header = tcmsg(DEVICES[n].0, 0, INGRESS, 0);
    request(uapi::RTM_DELCHAIN, 0, &header, |request| {
        request.put_u32(uapi::TCA_CHAIN, 9);
    })
}

/// Index of the shared action.
const SHARED: u32 = 77;

/// An action that filters may share, in hardware only.
pub fn add_shared_action() -> Vec<u8> {
    request(uapi::RTM_NEWACTION, NEW, &TCAMSG, |request| {
        request.nest(uapi::TCA_ROOT_TAB, |actions| {
            actions.nest(1, |action| {
                action
                    .put_text(uapi::TCA_ACT_KIND, "gact")
                    .nest(uapi::TCA_ACT_OPTIONS, |gact| {
                        gact.put(uapi::TCA_GACT_PARMS, &tc_gen(SHARED, uapi::TC_ACT_SHOT));
                    });
                action.put(
                    uapi::TCA_ACT_FLAGS,
                    &bitfield32(uapi::TCA_ACT_FLAGS_SKIP_SW),
                );
            });
        });
    })
}

pub fn delete_shared_action() -> Vec<u8> {
    request(uapi::RTM_DELACTION, 0, &TCAMSG, |request| {
        request.nest(uapi::TCA_ROOT_TAB, |actions| {
            actions.nest(1, |action| {
                action
                    .put_text(uapi::TCA_ACT_KIND, "gact")
                    .put_u32(uapi::TCA_ACT_INDEX, SHARED);
            });
        });
    })
}

/// A dump of a device's filters, counters included.
pub fn dump_filters(n: usize) -> Vec<u8> {
    tc::dump_filters(DEVICES[n].0).finish()
}

/// Asks, and waits for the answer.
pub fn ask(connection: &mut Connection, request: &[u8]) -> io::Result<()> {
    Ok(connection.exchange(request, |_, _| ())??)
}

/// The files that are read again and again, in memory: other file systems make allocations of
/// their own, and may not bear it when they fail.
struct Files(TempDir);

impl Files {
    fn new(paths: &Paths) -> Result<Self> {
        let files = Self(TempDir::new_in(MEMORY).with_context(|| format!("no {MEMORY}"))?);
        let btf = files.sysfs().join("kernel/btf");
        fs::create_dir_all(&btf)?;
        let names = FIRMWARE.map(|name| (paths.firmware.join(name), files.firmware(name)));
        let others = [
            (paths.module.clone(), files.module()),
            ("/sys/kernel/btf/vmlinux".into(), btf.join("vmlinux")),
        ];
        for (from, to) in names.into_iter().chain(others) {
            fs::copy(&from, to).with_context(|| format!("can't copy {}", from.display()))?;
        }
        // What the module says of itself is what is tried.
        symlink("/sys/kernel/btf/ekho", btf.join(contract::MODULE))?;
        symlink("/sys/module", files.sysfs().join("module"))?;
        Ok(files)
    }

    fn module(&self) -> PathBuf {
        self.0.path().join("ekho.ko")
    }

    fn firmware(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sysfs(&self) -> PathBuf {
        self.0.path().join("sys")
    }
}

/// The module and all about it.
pub struct Lab {
    files: Files,
    pub connection: Connection,
    /// What the module says that firmware is, as long as it is loaded.
    contract: Option<Module>,
    link: Option<OwnedFd>,
    loaded: Vec<Loaded>,
}

impl Lab {
    /// Begins without the module.
    pub fn new(paths: &Paths) -> Result<Self> {
        let mut lab = Self {
            files: Files::new(paths)?,
            connection: Connection::new()?,
            contract: None,
            link: None,
            loaded: Vec::new(),
        };
        if lab::is_loaded() {
            lab.rmmod().context("the module is in use")?;
        }
        // They are slow, and what they allocate isn't EKHO's.
        if fs::exists(KUNIT).unwrap_or(false) {
            fs::write(KUNIT, "none").with_context(|| format!("can't write {KUNIT}"))?;
        }
        Ok(lab)
    }

    /// A socket that has heard nothing yet.
    pub fn reconnect(&mut self) -> Result<()> {
        self.connection = Connection::new()?;
        Ok(())
    }

    pub fn ask(&mut self, request: &[u8]) -> Result<()> {
        Ok(ask(&mut self.connection, request)?)
    }

    pub fn insmod(&mut self) -> Result<()> {
        self.insmod_with(PARAMETERS)
    }

    /// insmod with other parameters.
    pub fn insmod_with(&mut self, parameters: &CStr) -> Result<()> {
        lab::insmod(&self.files.module(), parameters)
    }

    /// Removes the module, once the kernel has let go of what it frees later.
    pub fn rmmod(&mut self) -> Result<()> {
        self.contract = None;
        Ok(lab::rmmod(c"ekho", PATIENCE)?)
    }

    /// Reads what the module says that firmware is.
    pub fn read_contract(&mut self) -> Result<()> {
        self.contract = Some(Module::read(&self.files.sysfs())?);
        Ok(())
    }

    /// Loads firmware for a device; with the maps of its twin, if it has one.
    pub fn load(&self, n: usize, firmware: &str, twin: Option<&Loaded>) -> Result<Loaded> {
        let contract = self.contract.as_ref().context("no contract was read")?;
        let path = self.files.firmware(&format!("{firmware}.bpf.o"));
        let maps = twin.map_or(&[][..], Loaded::maps).iter();
        let carried = maps
            .map(|(name, map)| Ok((name.clone(), Map::by_id(map.info().id)?)))
            .collect::<Result<Vec<_>>>()?;
        let loaded = Firmware::open(&path)?.load(contract, DEVICES[n].0, &carried)?;
        loaded.activate(contract)?;
        Ok(loaded)
    }

    /// Loads `firmware`.
    pub fn load_one(&mut self, n: usize, firmware: &str) -> Result<()> {
        self.loaded = vec![self.load(n, firmware, None)?];
        Ok(())
    }

    /// Loads `firmware` twice, so that one can replace the other.
    pub fn load_twins(&mut self, n: usize, firmware: &str) -> Result<()> {
        let first = self.load(n, firmware, None)?;
        let second = self.load(n, firmware, Some(&first))?;
        self.loaded = vec![first, second];
        Ok(())
    }

    /// Forgets firmware that isn't attached.
    pub fn unload(&mut self) -> Result<()> {
        self.loaded.clear();
        Ok(())
    }

    pub fn attach(&mut self) -> Result<()> {
        self.link = Some(bpf::link_create(self.loaded[0].ops_map())?);
        Ok(())
    }

    pub fn replace_firmware(&mut self) -> Result<()> {
        let link = self.link.as_ref().context("nothing is attached")?;
        let [old, new] = &self.loaded[..] else {
            bail!("no twins are loaded");
        };
        bpf::link_update(link.as_fd(), new.ops_map(), old.ops_map())?;
        self.loaded.swap(0, 1);
        Ok(())
    }

    pub fn detach(&mut self) -> Result<()> {
        let link = self.link.as_ref().context("nothing is attached")?;
        bpf::link_detach(link.as_fd())?;
        self.link = None;
        Ok(())
    }

    /// Forgets what was attached to a device that is gone.
    pub fn forget_link(&mut self) {
        self.link = None;
    }

    /// Everything goes, as far as it is there.
    pub fn clear(&mut self) -> Result<()> {
        self.reconnect()?;
        self.link = None;
        self.loaded.clear();
        for n in 0..DEVICES.len() {
            let _ = self.ask(&delete_device(n));
        }
        let _ = self.ask(&delete_shared_action());
        if lab::is_loaded() {
            self.rmmod()?;
        }
        Ok(())
    }

    /// What is there, one thing a line; nothing that is counted or chosen by chance.
    pub fn snapshot(&self) -> Result<BTreeSet<String>> {
        let mut lines = BTreeSet::new();
        if lab::is_loaded() {
            lines.insert("module".to_owned());
        }
        lines.extend(told()?);
        let mut connection = Connection::new()?;
        let mut list = |request: &[u8], line: &dyn Fn(&[u8]) -> Option<String>| {
            let mut add = |_, payload: &[u8]| lines.extend(line(payload));
            match connection.exchange(request, &mut add)? {
                // No such device, or no clsact on it.
                Err(refusal) if !matches!(refusal.errno, Errno::ENODEV | Errno::EINVAL) => {
                    Err(io::Error::from(refusal))
                }
                _ => Ok(()),
            }
        };
        list(
            &request(uapi::RTM_GETLINK, uapi::NLM_F_DUMP, &DUMP_LINKS, |_| ()),
            &|payload| {
                let name = Attributes(payload.get(IFINFOMSG..)?).text(uapi::IFLA_IFNAME)?;
                DEVICES.iter().find(|(_, ours, _)| *ours == name)?;
                let is_up = u32_at(payload, 8)? & uapi::IFF_UP;
                Some(format!("link {name} up={is_up}"))
            },
        )?;
        for (n, (ifindex, name, _)) in DEVICES.into_iter().enumerate() {
            list(
                &request(
                    uapi::RTM_GETQDISC,
                    uapi::NLM_F_DUMP,
                    &tcmsg(ifindex, 0, 0, 0),
                    |_| (),
                ),
                &|payload| {
                    let attributes = Attributes(payload.get(TCMSG..)?);
                    (u32_at(payload, 4)? == ifindex).then_some(())?;
                    let kind = attributes.text(uapi::TCA_KIND)?;
                    // Without memory for the one the kernel makes do with the other.
                    let is_default = matches!(kind, "pfifo_fast" | "noqueue");
                    let offloaded = attributes.get(uapi::TCA_HW_OFFLOAD);
                    (!is_default).then(|| format!("qdisc {name} {kind} offloaded={offloaded:?}"))
                },
            )?;
            let chains = tcmsg(ifindex, 0, INGRESS, 0);
            list(
                &request(uapi::RTM_GETCHAIN, uapi::NLM_F_DUMP, &chains, |_| ()),
                &|payload| {
                    let attributes = Attributes(payload.get(TCMSG..)?);
                    Some(format!(
                        "chain {name} {:?}",
                        attributes.u32(uapi::TCA_CHAIN)
                    ))
                },
            )?;
            list(&dump_filters(n), &|payload| filter_line(name, payload))?;
        }
        Ok(lines)
    }

    /// What is there once it is `wanted`, or after a while.
    pub fn settled(&self, wanted: &[&BTreeSet<String>]) -> Result<BTreeSet<String>> {
        let start = Instant::now();
        loop {
            let now = self.snapshot()?;
            if wanted.contains(&&now) || start.elapsed() > PATIENCE / 10 {
                return Ok(now);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What the module tells, one thing a line, without what is counted or chosen by chance.
fn told() -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for device in lab::devices()? {
        lines.push(format!("{:?}", Device { netns: 0, ..device }));
    }
    for firmware in lab::firmware()? {
        let lasting = Attached {
            netns: 0,
            link: 0,
            map: None,
            generation: 0,
            calls: Calls {
                violations: firmware.calls.violations,
                ..Calls::default()
            },
            ..firmware
        };
        lines.push(format!("{lasting:?}"));
    }
    for flow in lab::flows()? {
        let lasting = Flow {
            netns: 0,
            cookie: None,
            packets: 0,
            bytes: 0,
            drops: 0,
            stats_requests: 0,
            last_used_ms: None,
            ..flow
        };
        lines.push(format!("{lasting:?}"));
    }
    Ok(lines)
}

/// A filter in a dump, and whether it is in hardware.
fn filter_line(device: &str, payload: &[u8]) -> Option<String> {
    let attributes = Attributes(payload.get(TCMSG..)?);
    let kind = attributes.text(uapi::TCA_KIND)?;
    let options = attributes.nested(uapi::TCA_OPTIONS);
    let (flags, actions) = match kind {
        "flower" => (uapi::TCA_FLOWER_FLAGS, uapi::TCA_FLOWER_ACT),
        "matchall" => (uapi::TCA_MATCHALL_FLAGS, uapi::TCA_MATCHALL_ACT),
        _ => (uapi::TCA_U32_FLAGS, uapi::TCA_U32_ACT),
    };
    let port = options
        .get(uapi::TCA_FLOWER_KEY_TCP_DST)
        .map(|port| port.to_vec());
    let actions = options.get(actions).map_or(0, <[u8]>::len);
    let handle = u32_at(payload, 8).filter(|_| kind != "u32");
    Some(format!(
        "filter {device} {kind} handle={handle:?} prio={} flags={:?} in_hw_count={:?} port={port:?} actions={actions}",
        u32_at(payload, 16)? >> 16,
        options.u32(flags),
        options
            .u32(uapi::TCA_FLOWER_IN_HW_COUNT)
            .filter(|_| kind == "flower"),
    ))
}
