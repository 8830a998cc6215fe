// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel: operations are done, and what there is is looked at.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::mem::size_of;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use ekho::firmware::image::{Firmware, Loaded};
use ekho::kernel::bpf;
use ekho::kernel::netlink::{u32_at, Attributes, Request};
use ekho::module::Module;
use ekho_testkit::lab;
use ekho_testkit::tc::{
    self, ifinfomsg, put_action, tc_gen, tcmsg, u32_selector, BLOCK, IFINFOMSG, INGRESS, NEW, TCMSG,
};
use ekho_testkit::uapi;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{setns, CloneFlags};

use crate::op::{
    ifindex, name, slot_of, Action, At, Fw, Keys, Kind, Mode, Op, Outcome, Place, Protocol, Spec,
    GOTO_CHAIN, NAMESPACES, OWN, SLOTS,
};
use crate::run::Target;

/// How long the kernel may take for what it does later.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where things are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The module.
    pub module: PathBuf,
    /// Directory of EKHO's own firmware.
    pub firmware: PathBuf,
    /// Directory of the firmware of the tests.
    pub test_firmware: PathBuf,
}

impl Paths {
    fn object(&self, fw: Fw) -> PathBuf {
        match fw {
            Fw::Wide | Fw::Tight => self.test_firmware.join("model.bpf.o"),
            _ => self.firmware.join(format!("{}.bpf.o", fw.name())),
        }
    }
}

/// A network namespace, with a socket for ethtool.
struct Namespace {
    lab: lab::Namespace,
    socket: UdpSocket,
}

impl Namespace {
    /// A new one.
    fn new() -> Result<Self> {
        let (lab, socket) = lab::Namespace::new(|lab| {
            // The kernel learns how much fits into an answer: were it too little, it would begin
            // again with a filter that doesn't fit, and read its counters twice.
            let links = Request::new(uapi::RTM_GETLINK, uapi::NLM_F_DUMP, &[0; IFINFOMSG]);
            let _ = lab.connection.exchange(&links.finish(), |_, _| ())?;
            Ok(UdpSocket::bind("0.0.0.0:0")?)
        })?;
        Ok(Self { lab, socket })
    }
}

/// Firmware on a device.
struct Link {
    fd: OwnedFd,
    fw: Fw,
    loaded: Option<Loaded>,
}

/// The kernel.
pub struct System {
    paths: Paths,
    /// Where this began.
    origin: File,
    home: Namespace,
    others: [Option<Namespace>; NAMESPACES as usize],
    /// Namespace and name of each device.
    devices: [Option<(u8, u8)>; SLOTS as usize],
    links: [Option<Link>; SLOTS as usize],
    /// Whether there is a chain of nftables for a device, and a flowtable.
    nft: [[bool; 2]; SLOTS as usize],
    /// The kernel's choice of handles for u32.
    nodes: HashMap<(At, u32, u16), u32>,
    /// Firmware that isn't attached, to save time: it takes long to load.
    idle: HashMap<(Fw, u8), Vec<Loaded>>,
    objects: HashMap<Fw, Vec<u8>>,
    contract: Option<Module>,
    offload_bit: Option<usize>,
    /// What the kernel said to the last refusal.
    said: String,
}

const SKIP_HW: u32 = uapi::TCA_CLS_FLAGS_SKIP_HW;
const SKIP_SW: u32 = uapi::TCA_CLS_FLAGS_SKIP_SW;
const IN_HW: u32 = uapi::TCA_CLS_FLAGS_IN_HW;

/// Interface index and parent of a list of filters.
fn list(at: At) -> (u32, u32) {
    match at {
        At::Dev { slot, egress } => (ifindex(slot), INGRESS + u32::from(egress)),
        At::Block { index, .. } => (BLOCK, index),
    }
}

fn info(prio: u16, protocol: Protocol) -> u32 {
    tc::info(prio, protocol.number())
}

fn put_keys(request: &mut Request, protocol: Protocol, keys: &Keys) {
    if let Some(mac) = keys.mac {
        request.put(uapi::TCA_FLOWER_KEY_ETH_DST, &[2, 0, 0, 0, 0, mac]);
    }
    if protocol == Protocol::All {
        return;
    }
    request.put(
        uapi::TCA_FLOWER_KEY_ETH_TYPE,
        &protocol.number().to_be_bytes(),
    );
    if let Some(tcp) = keys.tcp {
        let (number, attribute) = match tcp {
            true => (6, uapi::TCA_FLOWER_KEY_TCP_DST),
            false => (17, uapi::TCA_FLOWER_KEY_UDP_DST),
        };
        request.put(uapi::TCA_FLOWER_KEY_IP_PROTO, &[number]);
        if let Some(port) = keys.port {
            request.put(attribute, &[0, port]);
        }
    }
    let mut address = |kinds: [u16; 2], last: u8| match protocol {
        Protocol::Ipv6 => {
            let mut bytes = [0; 16];
            (bytes[0], bytes[15]) = (0xfd, last);
            request.put(kinds[1], &bytes);
        }
        _ => {
            request.put(kinds[0], &[10, 0, 0, last]);
        }
    };
    if let Some(src) = keys.src {
        address(
            [uapi::TCA_FLOWER_KEY_IPV4_SRC, uapi::TCA_FLOWER_KEY_IPV6_SRC],
            src,
        );
    }
    if let Some(dst) = keys.dst {
        address(
            [uapi::TCA_FLOWER_KEY_IPV4_DST, uapi::TCA_FLOWER_KEY_IPV6_DST],
            dst,
        );
    }
}

/// `tc_gen`, and what comes after it in the parameters of an action.
fn parameters(verdict: u32, more: &[u32]) -> Vec<u8> {
    let more = more.iter().flat_map(|word| word.to_ne_bytes());
    tc_gen(0, verdict).into_iter().chain(more).collect()
}

fn put_flow_action(actions: &mut Request, number: u16, action: Action) {
    use uapi::{
        TCA_EGRESS_MIRROR, TCA_EGRESS_REDIR, TCA_GACT_PARMS, TCA_MIRRED_PARMS, TCA_SKBEDIT_PARMS,
        TCA_VLAN_PARMS, TC_ACT_OK, TC_ACT_PIPE, TC_ACT_SHOT, TC_ACT_STOLEN, TC_ACT_TRAP,
    };

    let gact = |verdict| ("gact", TCA_GACT_PARMS, parameters(verdict, &[]));
    let mirred = |verdict, how: u16, slot| {
        let more = [u32::from(how), ifindex(slot)];
        ("mirred", TCA_MIRRED_PARMS, parameters(verdict, &more))
    };
    let (kind, attribute, parameters) = match action {
        Action::Pass => gact(TC_ACT_OK),
        Action::Drop => gact(TC_ACT_SHOT),
        Action::Trap => gact(TC_ACT_TRAP),
        Action::Goto => gact(uapi::TC_GOTO_CHAIN | GOTO_CHAIN),
        Action::Mark => ("skbedit", TCA_SKBEDIT_PARMS, parameters(TC_ACT_PIPE, &[])),
        Action::VlanPush => {
            let push = parameters(TC_ACT_PIPE, &[uapi::TCA_VLAN_ACT_PUSH.into()]);
            ("vlan", TCA_VLAN_PARMS, push)
        }
        Action::Redirect(slot) => mirred(TC_ACT_STOLEN, TCA_EGRESS_REDIR, slot),
        Action::Mirror(slot) => mirred(TC_ACT_PIPE, TCA_EGRESS_MIRROR, slot),
    };
    put_action(actions, number, kind, |request| {
        request.put(attribute, &parameters);
        match action {
            Action::Mark => {
                request.put_u32(uapi::TCA_SKBEDIT_MARK, 7);
            }
            Action::VlanPush => {
                request.put(uapi::TCA_VLAN_PUSH_VLAN_ID, &100u16.to_ne_bytes());
            }
            _ => {}
        }
    });
}

/// The attributes of a classifier for its flags and for its actions.
fn attributes_of(kind: &str) -> Option<(u16, u16)> {
    match kind {
        "flower" => Some((uapi::TCA_FLOWER_FLAGS, uapi::TCA_FLOWER_ACT)),
        "matchall" => Some((uapi::TCA_MATCHALL_FLAGS, uapi::TCA_MATCHALL_ACT)),
        "u32" => Some((uapi::TCA_U32_FLAGS, uapi::TCA_U32_ACT)),
        _ => None,
    }
}

fn put_filter(request: &mut Request, spec: &Spec, change: bool) {
    let (flags, actions) = attributes_of(spec.kind.name()).unwrap_or_default();
    request.put_text(uapi::TCA_KIND, spec.kind.name());
    request.put_u32(uapi::TCA_CHAIN, spec.chain);
    request.nest(uapi::TCA_OPTIONS, |request| {
        match spec.kind {
            Kind::Flower => put_keys(request, spec.protocol, &spec.keys),
            Kind::Matchall => {}
            Kind::U32 if change => {}
            Kind::U32 => {
                request.put(uapi::TCA_U32_SEL, &u32_selector(16, [10, 0, 0, 1]));
            }
        }
        request.nest(actions, |request| {
            for (number, action) in (1..).zip(&spec.actions) {
                put_flow_action(request, number, *action);
            }
        });
        let value = match spec.place {
            Place::Any => 0,
            Place::SkipSw => SKIP_SW,
            Place::SkipHw => SKIP_HW,
        };
        request.put_u32(flags, value);
    });
}

/// The line of a filter, as [`crate::model`] writes it; none for what isn't one.
fn filter_line(at: At, payload: &[u8]) -> Option<String> {
    let mut handle = u32_at(payload, 8)?;
    let info = u32_at(payload, 16)?;
    let attributes = Attributes(payload.get(TCMSG..)?);
    let options = attributes.nested(uapi::TCA_OPTIONS);
    let kind = attributes.text(uapi::TCA_KIND)?;
    let (flags, actions) = attributes_of(kind).unwrap_or_default();
    // The head of a preference, or a hash table.
    if handle == 0 || kind == "u32" && handle & 0xf_ffff == 0 {
        return None;
    }
    if kind == "u32" {
        handle = 0;
    }
    let flags = options.u32(flags).unwrap_or(0);
    let count = match kind {
        "flower" => options
            .u32(uapi::TCA_FLOWER_IN_HW_COUNT)
            .unwrap_or(0)
            .to_string(),
        _ => "-".to_owned(),
    };
    let packets = tc::hardware_packets(payload, actions).unwrap_or(0);
    let bit = |bit: u32| u8::from(flags & bit != 0);
    Some(format!(
        "filter {at} chain={} prio={} protocol={:#06x} {kind} handle={handle} skip_sw={} skip_hw={} in_hw={} in_hw_count={count} packets={packets}",
        attributes.u32(uapi::TCA_CHAIN).unwrap_or(0),
        info >> 16,
        u16::from_be(info as u16),
        bit(SKIP_SW),
        bit(SKIP_HW),
        bit(IN_HW),
    ))
}

/// The errno of a call that failed.
fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Waits until something is so.
fn eventually(what: &str, is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    if !lab::eventually(PATIENCE, is_so)? {
        bail!("after {} s: {what}", PATIENCE.as_secs());
    }
    Ok(())
}

impl System {
    /// Starts in a namespace of its own, with nothing in it, and with the module.
    pub fn new(paths: Paths) -> Result<Self> {
        ekho::kernel::libbpf_log::silence();
        let origin = File::open("/proc/thread-self/ns/net")?;
        let home = Namespace::new()?;
        setns(&home.lab.file, CloneFlags::CLONE_NEWNET)?;
        let mut system = Self {
            paths,
            origin,
            home,
            others: Default::default(),
            devices: Default::default(),
            links: Default::default(),
            nft: Default::default(),
            nodes: HashMap::new(),
            idle: HashMap::new(),
            objects: HashMap::new(),
            contract: None,
            offload_bit: None,
            said: String::new(),
        };
        if !lab::is_loaded() {
            system.insmod()?;
        }
        // Those of a run before this one may be on their way out.
        eventually("there are devices: the module must not be in use", || {
            Ok(lab::devices()?.is_empty())
        })?;
        Ok(system)
    }

    fn namespace(&mut self, ns: u8) -> &mut Namespace {
        match &mut self.others[usize::from(ns)] {
            Some(namespace) => namespace,
            None => &mut self.home,
        }
    }

    fn ns_of(&self, slot: u8) -> u8 {
        self.devices[usize::from(slot)].map_or(0, |(ns, _)| ns)
    }

    fn ns_at(&self, at: At) -> u8 {
        match at {
            At::Dev { slot, .. } => self.ns_of(slot),
            At::Block { ns, .. } => ns,
        }
    }

    /// Makes a request in a namespace.
    fn ask(&mut self, ns: u8, request: Request) -> Result<Outcome> {
        self.ask_and_read(ns, request, |_, _| ())
    }

    fn ask_and_read(
        &mut self,
        ns: u8,
        request: Request,
        answer: impl FnMut(u16, &[u8]),
    ) -> Result<Outcome> {
        let connection = &mut self.namespace(ns).lab.connection;
        let result = connection.exchange(&request.finish(), answer)?;
        Ok(result
            .map_err(|refusal| {
                self.said = refusal.message;
                refusal.errno
            })
            .into())
    }

    // ------------------------------------------------------- devices

    fn add_device(&mut self, slot: u8, ns: u8, number: u8, queues: u8) -> Result<Outcome> {
        let kind = if slot < OWN { "ekho" } else { "dummy" };
        let header = ifinfomsg(ifindex(slot), 0, 0);
        let mut request = Request::new(uapi::RTM_NEWLINK, NEW, &header);
        request.put_text(uapi::IFLA_IFNAME, &name(number));
        request.put_u32(uapi::IFLA_NUM_TX_QUEUES, u32::from(queues));
        request.nest(uapi::IFLA_LINKINFO, |info| {
            info.put_text(uapi::IFLA_INFO_KIND, kind);
        });
        let outcome = self.ask(ns, request)?;
        if outcome == Outcome::Done {
            self.devices[usize::from(slot)] = Some((ns, number));
        }
        Ok(outcome)
    }

    fn del_device(&mut self, slot: u8) -> Result<Outcome> {
        let ns = self.ns_of(slot);
        let outcome = self.ask(ns, tc::delete_device(ifindex(slot)))?;
        if outcome == Outcome::Done {
            self.forget(slot)?;
            self.forget_nft(slot, ns)?;
        }
        Ok(outcome)
    }

    /// A device left a namespace; tables of nftables stay, without it.
    fn forget_nft(&mut self, slot: u8, ns: u8) -> Result<()> {
        for flowtable in [false, true] {
            let outcome = self.del_nft(slot, ns, flowtable)?;
            if outcome != Outcome::Done {
                bail!(
                    "can't delete a table whose device is gone: {outcome} {}",
                    self.said
                );
            }
        }
        Ok(())
    }

    /// A device is gone: the owner of its firmware is told.
    fn forget(&mut self, slot: u8) -> Result<()> {
        self.devices[usize::from(slot)] = None;
        let Some(link) = &mut self.links[usize::from(slot)] else {
            return Ok(());
        };
        eventually(
            "the link of a device that is gone is still attached",
            || Ok(bpf::link_info(link.fd.as_fd())?.map_id == Some(0)),
        )?;
        if let Some(loaded) = link.loaded.take() {
            self.idle.entry((link.fw, slot)).or_default().push(loaded);
        }
        Ok(())
    }

    fn change_device(&mut self, slot: u8, request: Request) -> Result<Outcome> {
        self.ask(self.ns_of(slot), request)
    }

    fn move_device(&mut self, slot: u8, ns: u8) -> Result<Outcome> {
        let header = ifinfomsg(ifindex(slot), 0, 0);
        let mut request = Request::new(uapi::RTM_NEWLINK, 0, &header);
        let fd = self.namespace(ns).lab.file.as_raw_fd();
        request.put_u32(uapi::IFLA_NET_NS_FD, fd as u32);
        let was = self.ns_of(slot);
        let outcome = self.change_device(slot, request)?;
        if outcome == Outcome::Done && was != ns {
            self.forget_nft(slot, was)?;
            if let Some(device) = &mut self.devices[usize::from(slot)] {
                device.0 = ns;
            }
        }
        Ok(outcome)
    }

    fn del_netns(&mut self, ns: u8) -> Result<()> {
        let Some(namespace) = self.others[usize::from(ns)].take() else {
            return Ok(());
        };
        let inode = namespace.lab.inode;
        drop(namespace);
        eventually("devices of a namespace that is gone are left", || {
            let devices = lab::devices()?;
            Ok(!devices.iter().any(|device| device.netns == inode))
        })?;
        for slot in 0..SLOTS {
            if self.devices[usize::from(slot)].is_some_and(|(is, _)| is == ns) {
                self.nft[usize::from(slot)] = [false; 2];
                self.forget(slot)?;
            }
        }
        Ok(())
    }

    /// One of ethtool's calls.
    #[expect(unsafe_code, reason = "ioctl")]
    fn ethtool(&self, slot: u8, data: &mut [u32]) -> Result<i32, Errno> {
        let (ns, number) = self.devices[usize::from(slot)].ok_or(Errno::ENODEV)?;
        let namespace = self.others[usize::from(ns)].as_ref().unwrap_or(&self.home);
        // SAFETY: `ifreq` is plain data.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, byte) in request.ifr_name.iter_mut().zip(name(number).bytes()) {
            *to = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
        // SAFETY: `data` holds a command of ethtool, with room for what its header announces, and
        // outlives the call like `request`.
        let result = unsafe {
            libc::ioctl(
                namespace.socket.as_raw_fd(),
                libc::SIOCETHTOOL as _,
                &mut request,
            )
        };
        Errno::result(result)
    }

    fn set_offload(&mut self, slot: u8, on: bool) -> Result<Outcome> {
        const NAME: usize = uapi::ETH_GSTRING_LEN as usize / size_of::<u32>();
        // Features that there is room for: more than the kernel has.
        const MAX: usize = 128;

        if self.offload_bit.is_none() {
            let mut data = vec![0; 3 + MAX * NAME];
            // Length 0: as many as there are.
            (data[0], data[1]) = (uapi::ETHTOOL_GSTRINGS, uapi::ETH_SS_FEATURES);
            if let Err(errno) = self.ethtool(slot, &mut data) {
                return Ok(Outcome::Failed(errno));
            }
            let bytes: Vec<u8> = data[3..].iter().flat_map(|w| w.to_ne_bytes()).collect();
            self.offload_bit = bytes
                .chunks(uapi::ETH_GSTRING_LEN as usize)
                .position(|name| name.starts_with(b"hw-tc-offload\0"));
        }
        let bit = self.offload_bit.context("no feature hw-tc-offload")?;
        let blocks = MAX / 32;
        let mut data = vec![0; 2 + 2 * blocks];
        data[0] = uapi::ETHTOOL_SFEATURES;
        data[2 + 2 * (bit / 32)] = 1 << (bit % 32);
        data[3 + 2 * (bit / 32)] = u32::from(on) << (bit % 32);
        // The kernel wants exactly as many words as it has.
        for blocks in (1..=blocks).rev() {
            data[1] = blocks as u32;
            match self.ethtool(slot, &mut data) {
                Err(Errno::EINVAL) => {}
                result => return Ok(result.map(drop).into()),
            }
        }
        bail!("the kernel takes no features")
    }

    // ------------------------------------------------------- filters

    fn add_clsact(&mut self, slot: u8, blocks: [Option<u32>; 2]) -> Result<Outcome> {
        let mut request = tc::add_clsact(ifindex(slot));
        for (kind, block) in [uapi::TCA_INGRESS_BLOCK, uapi::TCA_EGRESS_BLOCK]
            .into_iter()
            .zip(blocks)
        {
            if let Some(block) = block {
                request.put_u32(kind, block);
            }
        }
        self.change_device(slot, request)
    }

    fn set_filter(&mut self, at: At, mode: Mode, spec: &Spec) -> Result<Outcome> {
        let (index, parent) = list(at);
        let place = (at, spec.chain, spec.prio);
        let handle = match spec.kind {
            Kind::U32 => self.nodes.get(&place).copied().unwrap_or(0),
            _ => spec.handle,
        };
        let handle = if spec.kind == Kind::U32 && mode == Mode::Add {
            0
        } else {
            handle
        };
        let mut flags = match mode {
            Mode::Add => NEW,
            Mode::Replace => uapi::NLM_F_CREATE,
            Mode::Change => 0,
        };
        if spec.kind == Kind::U32 {
            flags |= uapi::NLM_F_ECHO;
        }
        let header = tcmsg(index, handle, parent, info(spec.prio, spec.protocol));
        let mut request = Request::new(uapi::RTM_NEWTFILTER, flags, &header);
        put_filter(&mut request, spec, handle != 0);
        let mut chosen = None;
        let outcome = self.ask_and_read(self.ns_at(at), request, |kind, payload| {
            if kind == uapi::RTM_NEWTFILTER {
                chosen = u32_at(payload, 8);
            }
        })?;
        if let (Kind::U32, Some(chosen)) = (spec.kind, chosen) {
            self.nodes.insert(place, chosen);
        }
        Ok(outcome)
    }

    fn chain(&mut self, kind: u16, flags: u16, at: At, chain: u32) -> (u8, Request) {
        let (index, parent) = list(at);
        let mut request = Request::new(kind, flags, &tcmsg(index, 0, parent, 0));
        request.put_u32(uapi::TCA_CHAIN, chain);
        (self.ns_at(at), request)
    }

    /// The lines of a list's filters; their counters are read.
    fn filters(&mut self, at: At) -> Result<Vec<String>> {
        let (index, parent) = list(at);
        let header = tcmsg(index, 0, parent, 0);
        let request = Request::new(uapi::RTM_GETTFILTER, uapi::NLM_F_DUMP, &header);
        let mut lines = Vec::new();
        let outcome = self.ask_and_read(self.ns_at(at), request, |_, payload| {
            lines.extend(filter_line(at, payload));
        })?;
        if let Outcome::Failed(errno) = outcome {
            bail!("can't list the filters of {at}: {errno}");
        }
        lines.sort_unstable();
        Ok(lines)
    }

    // ------------------------------------------------------- nftables

    /// Runs nft in a namespace.
    fn nft(&mut self, ns: u8, script: &str) -> Result<Outcome> {
        setns(&self.namespace(ns).lab.file, CloneFlags::CLONE_NEWNET)?;
        let child = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        setns(&self.home.lab.file, CloneFlags::CLONE_NEWNET)?;
        let mut child = child.context("can't run nft")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(Outcome::Done);
        }
        self.said = String::from_utf8_lossy(&output.stderr).into_owned();
        let known = [
            ("Operation not supported", Errno::EOPNOTSUPP),
            ("Device or resource busy", Errno::EBUSY),
            ("No such file or directory", Errno::ENOENT),
        ];
        let found = known.iter().find(|(text, _)| self.said.contains(text));
        Ok(Outcome::Failed(
            found.map_or(Errno::EIO, |(_, errno)| *errno),
        ))
    }

    fn add_nft(&mut self, slot: u8, flowtable: bool) -> Result<Outcome> {
        let (ns, number) = self.devices[usize::from(slot)].context("no such device")?;
        let dev = name(number);
        let outcome = self.nft(
            ns,
            &if flowtable {
                format!(
                    "table inet f{slot} {{ flowtable f {{ hook ingress priority 0; devices = {{ {dev} }}; flags offload;\n}}\n}}\n"
                )
            } else {
                format!(
                    "table netdev c{slot} {{ chain c {{ type filter hook ingress device {dev} priority 1; flags offload; ip daddr 10.0.0.1 drop;\n}}\n}}\n"
                )
            },
        )?;
        self.nft[usize::from(slot)][usize::from(flowtable)] = outcome == Outcome::Done;
        Ok(outcome)
    }

    /// Deletes the table, if there is one.
    fn del_nft(&mut self, slot: u8, ns: u8, flowtable: bool) -> Result<Outcome> {
        if !std::mem::take(&mut self.nft[usize::from(slot)][usize::from(flowtable)]) {
            return Ok(Outcome::Done);
        }
        let table = if flowtable { "inet f" } else { "netdev c" };
        self.nft(ns, &format!("delete table {table}{slot}"))
    }

    // ------------------------------------------------------- firmware

    /// Firmware in the kernel, not attached.
    fn load(&mut self, slot: u8, fw: Fw) -> Result<Loaded> {
        if let Some(loaded) = self.idle.get_mut(&(fw, slot)).and_then(Vec::pop) {
            return Ok(loaded);
        }
        let path = self.paths.object(fw);
        let data = match self.objects.entry(fw) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(fs::read(&path).with_context(|| format!("can't read {path:?}"))?)
            }
        };
        let mut firmware = Firmware::open_bytes(&path, data)?;
        if matches!(fw, Fw::Wide | Fw::Tight) {
            firmware.select(fw.name())?;
        }
        if self.contract.is_none() {
            self.contract = Some(Module::open()?);
        }
        let module = self.contract.as_ref().context("was just opened")?;
        let loaded = firmware.load(module, ifindex(slot), &[])?;
        loaded.activate(module)?;
        Ok(loaded)
    }

    fn attach(&mut self, slot: u8, fw: Fw) -> Result<Outcome> {
        let loaded = self.load(slot, fw)?;
        let ns = self.ns_of(slot);
        setns(&self.namespace(ns).lab.file, CloneFlags::CLONE_NEWNET)?;
        let result = bpf::link_create(loaded.ops_map());
        setns(&self.home.lab.file, CloneFlags::CLONE_NEWNET)?;
        match result {
            Ok(fd) => {
                self.links[usize::from(slot)] = Some(Link {
                    fd,
                    fw,
                    loaded: Some(loaded),
                });
                Ok(Outcome::Done)
            }
            Err(error) => {
                self.idle.entry((fw, slot)).or_default().push(loaded);
                Ok(Outcome::Failed(errno(&error)))
            }
        }
    }

    fn swap(&mut self, slot: u8, fw: Fw) -> Result<Outcome> {
        let new = self.load(slot, fw)?;
        let link = self.links[usize::from(slot)].as_mut().context("no link")?;
        // A link that has lost its map says so before it compares.
        let old = link.loaded.as_ref().unwrap_or(&new);
        let result = bpf::link_update(link.fd.as_fd(), new.ops_map(), old.ops_map());
        let idle = match result {
            Ok(()) => {
                let was = std::mem::replace(&mut link.fw, fw);
                // What it knows of flows in its map is out of date from here on.
                link.loaded
                    .replace(new)
                    .filter(|_| !was.has_map())
                    .map(|old| (was, old))
            }
            Err(_) => Some((fw, new)),
        };
        if let Some((fw, loaded)) = idle {
            self.idle.entry((fw, slot)).or_default().push(loaded);
        }
        Ok(result.map_err(|error| errno(&error)).into())
    }

    fn detach(&mut self, slot: u8, close: bool) -> Result<Outcome> {
        let link = self.links[usize::from(slot)].take().context("no link")?;
        let result = if close {
            Ok(())
        } else {
            bpf::link_detach(link.fd.as_fd())
        };
        drop(link.fd);
        if let Some(loaded) = link.loaded {
            self.idle.entry((link.fw, slot)).or_default().push(loaded);
        }
        Ok(result.map_err(|error| errno(&error)).into())
    }

    // ------------------------------------------------------- the module

    fn insmod(&mut self) -> Result<()> {
        lab::insmod(&self.paths.module, c"")
    }

    fn rmmod(&mut self, expected: Outcome) -> Result<Outcome> {
        let remove = || lab::try_rmmod(c"ekho");
        if expected != Outcome::Done {
            return Ok(remove().into());
        }
        // Firmware that isn't attached keeps the module, too, and is freed some time after it is
        // given up.
        self.idle.clear();
        let result = lab::rmmod(c"ekho", PATIENCE);
        if result.is_ok() {
            for slot in 0..OWN {
                if let Some((ns, _)) = self.devices[usize::from(slot)].take() {
                    self.forget_nft(slot, ns)?;
                }
            }
        }
        Ok(result.into())
    }

    // ------------------------------------------------------- what can be seen

    /// Links and qdiscs of a namespace; the lists of filters there.
    fn see_namespace(&mut self, ns: u8, lines: &mut Vec<String>) -> Result<Vec<At>> {
        let header = [0; IFINFOMSG];
        let mut request = Request::new(uapi::RTM_GETLINK, uapi::NLM_F_DUMP, &header);
        request.put_u32(uapi::IFLA_EXT_MASK, uapi::RTEXT_FILTER_SKIP_STATS);
        self.ask_and_read(ns, request, |_, payload| {
            let index = u32_at(payload, 4).unwrap_or(0);
            if slot_of(index).is_some() {
                let attributes = Attributes(payload.get(IFINFOMSG..).unwrap_or(&[]));
                let name = attributes.text(uapi::IFLA_IFNAME).unwrap_or("?");
                let up = u32_at(payload, 8).unwrap_or(0) & uapi::IFF_UP;
                lines.push(format!("link {index} ns={ns} name={name} up={up}"));
            }
        })?;
        let mut lists = Vec::new();
        let header = tcmsg(0, 0, 0, 0);
        let request = Request::new(uapi::RTM_GETQDISC, uapi::NLM_F_DUMP, &header);
        self.ask_and_read(ns, request, |_, payload| {
            let index = u32_at(payload, 4).unwrap_or(0);
            let attributes = Attributes(payload.get(TCMSG..).unwrap_or(&[]));
            let Some(slot) = slot_of(index) else { return };
            if attributes.text(uapi::TCA_KIND) != Some("clsact") {
                return;
            }
            lines.push(format!("clsact {index} ns={ns}"));
            for (kind, egress) in [
                (uapi::TCA_INGRESS_BLOCK, false),
                (uapi::TCA_EGRESS_BLOCK, true),
            ] {
                let at = match attributes.u32(kind) {
                    Some(index) => At::Block { ns, index },
                    None => At::Dev { slot, egress },
                };
                if !lists.contains(&at) {
                    lists.push(at);
                }
            }
        })?;
        Ok(lists)
    }

    fn see_module(&self, lines: &mut Vec<String>) -> Result<()> {
        let namespace = |inode: u64| {
            let others = self.others.iter().enumerate();
            others
                .filter_map(|(ns, other)| Some((ns, other.as_ref()?)))
                .chain([(0, &self.home)])
                .find(|(_, other)| other.lab.inode == inode)
                .map_or_else(|| format!("?{inode}"), |(ns, _)| ns.to_string())
        };
        let begin = |what, ifindex, netns, dev: &str| {
            format!("{what} {ifindex} ns={} name={dev}", namespace(netns))
        };
        for device in lab::devices()? {
            let mut line = begin("port", device.ifindex, device.netns, &device.dev);
            line.push_str(&format!(
                " kind={} hw_tc_offload={} bindings={} flows={} firmware={}",
                device.kind,
                u8::from(device.hw_tc_offload.unwrap_or(false)),
                device.bindings,
                device.flows,
                device.firmware.as_deref().unwrap_or("-"),
            ));
            if device.table_entries != Some(device.flows) {
                line.push_str(&format!(" table_entries={:?}", device.table_entries));
            }
            lines.push(line);
        }
        for firmware in lab::firmware()? {
            let begin = begin("firmware", firmware.ifindex, firmware.netns, &firmware.dev);
            lines.push(format!(
                "{begin} firmware={} generation={} violations={}",
                firmware.firmware, firmware.generation, firmware.calls.violations,
            ));
        }
        for flow in lab::flows()? {
            lines.push(format!(
                "{} classifier={} chain={} prio={} protocol={:#06x} skip_sw={} packets={} stats_requests={}",
                begin("flow", flow.ifindex, flow.netns, &flow.dev),
                flow.classifier.as_deref().unwrap_or("?"),
                flow.chain,
                flow.prio,
                flow.protocol,
                u8::from(flow.skip_sw),
                flow.packets,
                flow.stats_requests,
            ));
        }
        Ok(())
    }
}

impl Drop for System {
    /// All else goes with its descriptor.
    fn drop(&mut self) {
        let _ = setns(&self.origin, CloneFlags::CLONE_NEWNET);
    }
}

impl Target for System {
    fn apply(&mut self, op: &Op, expected: Outcome) -> Result<Outcome> {
        self.said.clear();
        match *op {
            Op::AddDevice {
                slot,
                ns,
                name,
                queues,
            } => self.add_device(slot, ns, name, queues),
            Op::DelDevice { slot } => self.del_device(slot),
            Op::SetUp { slot, up } => self.change_device(slot, tc::set_up(ifindex(slot), up)),
            Op::Rename { slot, name: number } => {
                let header = ifinfomsg(ifindex(slot), 0, 0);
                let mut request = Request::new(uapi::RTM_NEWLINK, 0, &header);
                request.put_text(uapi::IFLA_IFNAME, &name(number));
                let outcome = self.change_device(slot, request)?;
                if let (Outcome::Done, Some(device)) =
                    (outcome, &mut self.devices[usize::from(slot)])
                {
                    device.1 = number;
                }
                Ok(outcome)
            }
            Op::Move { slot, ns } => self.move_device(slot, ns),
            Op::AddNetns { ns } => {
                self.others[usize::from(ns)] = Some(Namespace::new()?);
                Ok(Outcome::Done)
            }
            Op::DelNetns { ns } => self.del_netns(ns).map(|()| Outcome::Done),
            Op::AddClsact {
                slot,
                ingress,
                egress,
            } => self.add_clsact(slot, [ingress, egress]),
            Op::DelClsact { slot } => self.change_device(slot, tc::delete_clsact(ifindex(slot))),
            Op::SetFilter { at, mode, ref spec } => self.set_filter(at, mode, spec),
            Op::DelFilter {
                at,
                kind,
                chain,
                prio,
                protocol,
                handle,
            } => {
                let (index, parent) = list(at);
                let header = tcmsg(index, handle, parent, info(prio, protocol));
                let mut request = Request::new(uapi::RTM_DELTFILTER, 0, &header);
                request.put_text(uapi::TCA_KIND, kind.name());
                request.put_u32(uapi::TCA_CHAIN, chain);
                self.ask(self.ns_at(at), request)
            }
            Op::Flush { at, chain } => {
                let (ns, request) = self.chain(uapi::RTM_DELTFILTER, 0, at, chain);
                self.ask(ns, request)
            }
            Op::AddChain {
                at,
                chain,
                template,
            } => {
                let flags = NEW;
                let (ns, mut request) = self.chain(uapi::RTM_NEWCHAIN, flags, at, chain);
                if let Some((protocol, keys)) = &template {
                    request.put_text(uapi::TCA_KIND, "flower");
                    request.nest(uapi::TCA_OPTIONS, |request| {
                        put_keys(request, *protocol, keys)
                    });
                }
                self.ask(ns, request)
            }
            Op::DelChain { at, chain } => {
                let (ns, request) = self.chain(uapi::RTM_DELCHAIN, 0, at, chain);
                self.ask(ns, request)
            }
            // Whoever calls this compares the list.
            Op::Dump { .. } => Ok(Outcome::Done),
            Op::AddNft { slot, flowtable } => self.add_nft(slot, flowtable),
            Op::DelNft { slot, flowtable } => self.del_nft(slot, self.ns_of(slot), flowtable),
            Op::Load { slot, fw } => self.attach(slot, fw),
            Op::Swap { slot, fw } => self.swap(slot, fw),
            Op::Unload { slot } => self.detach(slot, false),
            Op::Close { slot } => self.detach(slot, true),
            Op::Offload { slot, on } => self.set_offload(slot, on),
            Op::Rmmod => self.rmmod(expected),
            Op::Insmod => self.insmod().map(|()| Outcome::Done),
        }
    }

    fn said(&self) -> &str {
        &self.said
    }

    fn see_filters(&mut self, at: At) -> Result<Vec<String>> {
        self.filters(at)
    }

    fn see(&mut self) -> Result<Vec<String>> {
        let mut lines = vec![format!("module={}", u8::from(lab::is_loaded()))];
        for ns in 0..NAMESPACES {
            if ns == 0 || self.others[usize::from(ns)].is_some() {
                for at in self.see_namespace(ns, &mut lines)? {
                    lines.extend(self.filters(at)?);
                }
            }
        }
        self.see_module(&mut lines)?;
        lines.sort_unstable();
        Ok(lines)
    }
}
