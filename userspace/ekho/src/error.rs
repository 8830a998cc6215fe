// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong, in sentences.
//!
//! An [`Error`] displays as one sentence that names the object. What to do about
//! it is apart, in [`Error::remedy`], and so are the lines that prove it, in
//! [`Error::details`]: a program may want the first without the others. The
//! [`Class`] is what `ekho-fw` makes its exit status of.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use strum::EnumProperty as _;

use crate::object::elf::ElfError;
use crate::object::struct_ops::LayoutError;
use crate::object::verifier::Rejection;
use crate::privilege::Capability;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `ENOTSUPP`, which the kernel uses internally and sometimes returns.
pub const ENOTSUPP: i32 = 524;

/// What sort of failure an error is; one exit status each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Class {
    /// Anything that has no class of its own.
    Other,
    /// The caller lacks a privilege.
    Privilege,
    /// The system isn't ready: module, BTF, bpffs.
    System,
    /// The firmware object can't be used.
    Firmware,
    /// No such device, or its firmware, a pin or a cable conflicts.
    Device,
    /// Statistics can't be written.
    Statistics,
}

/// A failure.
#[derive(
    Debug, thiserror::Error, strum::EnumProperty, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each variant displays as the sentence above it"
)]
pub enum Error {
    // Privileges.
    #[error("{action} needs {}, which this process lacks", list(&texts(.missing)))]
    #[strum(props(class = "privilege"))]
    Capabilities {
        action: &'static str,
        missing: Vec<Capability>,
    },
    #[error("the kernel doesn't permit to {action} ({})", errno_text(.source))]
    #[strum(props(class = "privilege"))]
    NotPermitted { action: String, source: io::Error },

    // System.
    #[error("the module ekho isn't loaded")]
    #[strum(props(class = "system"))]
    ModuleNotLoaded,
    #[error("the loaded module ekho doesn't offer `bpf_flow_offload_ops` ({why})")]
    #[strum(props(class = "system"))]
    ModuleUnusable { why: String },
    #[error("the kernel has no BTF at {}", .path.display())]
    #[strum(props(class = "system"))]
    NoVmlinuxBtf { path: PathBuf },
    #[error("no bpffs is mounted at {}", .path.display())]
    #[strum(props(class = "system"))]
    NoBpffs {
        path: PathBuf,
        /// The network namespace of a process that `ip netns exec` started: it sees a /sys
        /// of its own.
        exec_netns: Option<String>,
    },
    #[error("the bpffs at {} exists in this mount namespace only: firmware pinned there is detached when the last process of the namespace ends", .path.display())]
    #[strum(props(class = "system"))]
    PrivateBpffs {
        path: PathBuf,
        /// As above.
        exec_netns: Option<String>,
    },
    #[error("the loaded module ekho has no netlink family `ekho`")]
    #[strum(props(class = "system"))]
    NoFamily,
    #[error("the module's answer can't be understood, when asked to {action}: {why}")]
    #[strum(props(class = "system"))]
    Answer { action: &'static str, why: String },
    #[error("{what} changed while they were listed, {tries} times in a row")]
    #[strum(props(class = "other"))]
    Interrupted { what: &'static str, tries: usize },
    #[error("the JIT compiler for BPF is off, and firmware that calls kernel functions needs it")]
    #[strum(props(class = "system"))]
    NoJit,
    #[error("there is no network namespace `{name}` ({})", errno_text(.source))]
    #[strum(props(class = "device"))]
    NoNetns { name: String, source: io::Error },

    // Firmware object.
    #[error("firmware {} can't be read ({})", .path.display(), errno_text(.source))]
    #[strum(props(class = "firmware"))]
    Unreadable {
        path: PathBuf,
        source: io::Error,
        /// Where it was looked for, if it may have been a name.
        places: Option<String>,
    },
    #[error("{} {source}", .path.display())]
    #[strum(props(class = "firmware"))]
    NotBpf { path: PathBuf, source: ElfError },
    #[error("{} can't be parsed: {why}", .path.display())]
    #[strum(props(class = "firmware"))]
    Malformed { path: PathBuf, why: String },
    #[error("{} holds no firmware: there is no struct `bpf_flow_offload_ops` in section `.struct_ops.link`", .path.display())]
    #[strum(props(class = "firmware"))]
    NoOps { path: PathBuf },
    #[error("{} has its ops `{variable}` in section `.struct_ops`, which can't be attached as a link", .path.display())]
    #[strum(props(class = "firmware"))]
    NotLink { path: PathBuf, variable: String },
    #[error("{} holds several firmwares: {}", .path.display(), list(.variables))]
    #[strum(props(class = "firmware"))]
    SeveralOps {
        path: PathBuf,
        variables: Vec<String>,
    },
    #[error("{} holds no firmware `{variable}`, only {}", .path.display(), list(.variables))]
    #[strum(props(class = "firmware"))]
    NoSuchOps {
        path: PathBuf,
        variable: String,
        variables: Vec<String>,
    },
    #[error("{} doesn't say which ABI it was built for: `.abi_version` is 0", .path.display())]
    #[strum(props(class = "firmware"))]
    NoAbi { path: PathBuf },
    #[error("{} was built for ABI {firmware}, and the loaded module speaks ABI {module} at most", .path.display())]
    #[strum(props(class = "firmware"))]
    NewerAbi {
        path: PathBuf,
        firmware: u32,
        module: u32,
    },
    #[error("{} lacks the mandatory op `{op}`", .path.display())]
    #[strum(props(class = "firmware"))]
    MissingOp { path: PathBuf, op: String },
    #[error("`{name}` isn't a name for firmware")]
    #[strum(props(class = "firmware"))]
    BadName { name: String },
    #[error("program `{program}` of {} is sleepable, and no op may sleep", .path.display())]
    #[strum(props(class = "firmware"))]
    Sleepable { path: PathBuf, program: String },
    #[error("{} is licensed as `{license}`, and struct_ops programs must be GPL-compatible", .path.display())]
    #[strum(props(class = "firmware"))]
    License { path: PathBuf, license: String },
    #[error("the kernel's verifier rejects program `{}` of {}", .rejection.program, .path.display())]
    #[strum(props(class = "firmware"))]
    Verifier {
        path: PathBuf,
        rejection: Box<Rejection>,
    },
    #[error("{} was built for other kernel types: {what}", .path.display())]
    #[strum(props(class = "firmware"))]
    Relocation { path: PathBuf, what: String },
    #[error("{} calls `{function}`, which neither the kernel nor a loaded module has", .path.display())]
    #[strum(props(class = "firmware"))]
    UnknownFunction { path: PathBuf, function: String },
    #[error("{} doesn't fit the loaded module: {source}", .path.display())]
    #[strum(props(class = "firmware"))]
    Layout { path: PathBuf, source: LayoutError },
    #[error("{} can't be loaded ({})", .path.display(), errno_text(.source))]
    #[strum(props(class = "firmware"))]
    Load {
        path: PathBuf,
        source: io::Error,
        /// What libbpf said.
        log: Vec<String>,
    },
    #[error("the module refuses firmware `{firmware}` ({})", errno_text(.source))]
    #[strum(props(class = "firmware"))]
    Invalid { firmware: String, source: io::Error },

    // Device.
    #[error("there is no device `{dev}` in {}", netns_text(.netns))]
    #[strum(props(class = "device"))]
    NoDevice {
        dev: String,
        /// Name of the network namespace, if it isn't that of this process.
        netns: Option<String>,
    },
    #[error("device `{dev}` exists already")]
    #[strum(props(class = "device"))]
    DeviceExists { dev: String },
    #[error("device `{dev}` is of kind `{kind}`, not `ekho`")]
    #[strum(props(class = "device"))]
    NotEkhoDevice { dev: String, kind: String },
    #[error("`{dev}` isn't a name for a network device")]
    #[strum(props(class = "device"))]
    BadDeviceName { dev: String },
    #[error("device `{dev}` can't take firmware: its driver has an offload of its own")]
    #[strum(props(class = "device"))]
    OwnOffload { dev: String },
    #[error("device `{dev}` has firmware already{}", attached_text(.firmware, .link))]
    #[strum(props(class = "device"))]
    Busy {
        dev: String,
        firmware: Option<String>,
        link: Option<u32>,
    },
    #[error("device `{dev}` has no firmware attached")]
    #[strum(props(class = "device"))]
    NotAttached { dev: String },
    #[error("device `{dev}` has no firmware attached: the module stopped `{firmware}` {seconds} s ago, as it broke the contract ({reason})")]
    #[strum(props(class = "device"))]
    Stopped {
        dev: String,
        firmware: String,
        seconds: u64,
        reason: String,
    },
    #[error("firmware `{firmware}` can't be attached to `{dev}` ({})", errno_text(.source))]
    #[strum(props(class = "device"))]
    Attach {
        dev: String,
        firmware: String,
        has_attach: bool,
        source: io::Error,
    },
    #[error("the firmware of `{dev}` can't be replaced by `{firmware}` ({})", errno_text(.source))]
    #[strum(props(class = "device"))]
    Swap {
        dev: String,
        firmware: String,
        has_attach: bool,
        source: io::Error,
    },
    #[error("the firmware of `{dev}` changed while it was being replaced")]
    #[strum(props(class = "device"))]
    SwapRace { dev: String },
    #[error("map `{map}` can't be carried over: it is {attached} now, and {wanted} in {}", .path.display())]
    #[strum(props(class = "firmware"))]
    MapShape {
        path: PathBuf,
        map: String,
        attached: String,
        wanted: String,
    },
    #[error("{action} failed ({}{})", errno_text(.source), extack_text(.message))]
    Netlink {
        action: String,
        source: io::Error,
        /// The kernel's own words.
        message: Option<String>,
    },

    // Pins.
    #[error("pin path {} is occupied by {by}", .path.display())]
    #[strum(props(class = "device"))]
    PinOccupied { path: PathBuf, by: String },
    #[error("pin path {} is in use by link {link}{}", .path.display(), owner_text(.owner))]
    #[strum(props(class = "device"))]
    PinInUse {
        path: PathBuf,
        link: u32,
        /// Firmware and device that the link attaches.
        owner: Option<String>,
    },
    #[error("can't pin at {} ({})", .path.display(), errno_text(.source))]
    Pin { path: PathBuf, source: io::Error },

    // Faults.
    #[error("the module refuses to {action} of {target} ({}{})", errno_text(.source), extack_text(.message))]
    #[strum(props(class = "device"))]
    Fault {
        action: &'static str,
        target: String,
        source: io::Error,
        /// The module's own words.
        message: Option<String>,
    },
    #[error("the module has no fault point `{point}`")]
    #[strum(props(class = "device"))]
    NoFaultPoint { point: String, points: Vec<String> },

    // Devices with several ports.
    #[error("the module refuses to {action} ({}{})", errno_text(.source), extack_text(.message))]
    #[strum(props(class = "device"))]
    Nic {
        action: String,
        source: io::Error,
        /// The module's own words.
        message: Option<String>,
    },
    #[error("device `{dev}` is a port of `{nic}`, and goes with that only")]
    #[strum(props(class = "device"))]
    PortOfNic { dev: String, nic: String },

    // Cables.
    #[error("the module refuses to {action} ({}{})", errno_text(.source), extack_text(.message))]
    #[strum(props(class = "device"))]
    Cable {
        action: String,
        source: io::Error,
        /// The module's own words.
        message: Option<String>,
    },
    #[error("device `{dev}` has no cable")]
    #[strum(props(class = "device"))]
    NoCable { dev: String },

    // Events.
    #[error(
        "firmware `{firmware}` of `{dev}` sends no events: it has no ring buffer `{}`",
        crate::contract::EVENTS_MAP
    )]
    #[strum(props(class = "device"))]
    NoEvents { firmware: String, dev: String },

    // Statistics.
    #[error("firmware `{firmware}` of `{dev}` has no map `{map}`")]
    #[strum(props(class = "statistics"))]
    NoStatsMap {
        firmware: String,
        dev: String,
        map: String,
    },
    #[error("map `{map}` of firmware `{firmware}` on `{dev}` doesn't hold statistics: it is {found}, not {wanted}")]
    #[strum(props(class = "statistics"))]
    StatsMapShape {
        firmware: String,
        dev: String,
        map: String,
        found: String,
        wanted: String,
    },
    #[error("no attached firmware has a flow with cookie {cookie:#x}{}", on_text(.dev))]
    #[strum(props(class = "statistics"))]
    UnknownCookie { cookie: u64, dev: Option<String> },
    #[error("cookie {cookie:#x} is known on several devices: {}", list(.devices))]
    #[strum(props(class = "statistics"))]
    SeveralCookies { cookie: u64, devices: Vec<String> },
    #[error("there is no filter {filter} ({}{})", errno_text(.source), extack_text(.message))]
    #[strum(props(class = "statistics"))]
    NoFilter {
        filter: String,
        source: io::Error,
        message: Option<String>,
    },
    #[error("there is no rule {rule} ({})", errno_text(.source))]
    #[strum(props(class = "statistics"))]
    NoRule { rule: String, source: io::Error },
    #[error("{filter} isn't offloaded to `{dev}`")]
    #[strum(props(class = "statistics"))]
    NotOffloaded { filter: String, dev: String },
    #[error("{filter} is a u32 filter, and no hardware counts for these: the kernel never asks a driver for their counters")]
    #[strum(props(class = "statistics"))]
    NoCounters { filter: String },
    #[error("the flow of {filter} is ambiguous: {count} flows were read at the same time")]
    #[strum(props(class = "statistics"))]
    AmbiguousFilter { filter: String, count: usize },

    // The rest.
    #[error("{what} ({})", errno_text(.source))]
    Io { what: String, source: io::Error },
    #[error("unexpected content in {}: {why}", .path.display())]
    Format { path: PathBuf, why: String },
}

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.as_slice() {
        [] => "nothing".into(),
        [one] => (*one).into(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

fn attached_text(firmware: &Option<String>, link: &Option<u32>) -> String {
    match (firmware, link) {
        (Some(firmware), Some(link)) => format!(": `{firmware}`, link {link}"),
        (Some(firmware), None) => format!(": `{firmware}`"),
        (None, Some(link)) => format!(": link {link}"),
        (None, None) => String::new(),
    }
}

fn owner_text(owner: &Option<String>) -> String {
    owner
        .as_ref()
        .map_or_else(String::new, |owner| format!(", {owner}"))
}

fn extack_text(message: &Option<String>) -> String {
    message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {message}"))
}

fn netns_text(name: &Option<String>) -> String {
    name.as_ref().map_or_else(
        || "this network namespace".into(),
        |name| format!("network namespace `{name}`"),
    )
}

fn on_text(dev: &Option<String>) -> String {
    dev.as_ref()
        .map_or_else(String::new, |dev| format!(" on `{dev}`"))
}

/// An error of the system in words, with the errno's name.
pub fn errno_text(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(ENOTSUPP) => "ENOTSUPP: not supported".into(),
        Some(code) => {
            let errno = Errno::from_raw(code);
            if errno == Errno::UnknownErrno {
                format!("errno {code}")
            } else {
                format!("{errno:?}: {}", errno.desc())
            }
        }
        None => error.to_string(),
    }
}

/// The name of an errno, or its number.
pub fn errno_name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        _ if errno == ENOTSUPP => "ENOTSUPP".into(),
        Errno::UnknownErrno => format!("errno {errno}"),
        known => format!("{known:?}"),
    }
}

impl Error {
    /// Wraps an error of the system with what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What sort of failure this is.
    pub fn class(&self) -> Class {
        self.get_str("class")
            .and_then(|class| class.parse().ok())
            .unwrap_or(Class::Other)
    }

    /// A short name that stays the same, for programs: that of the variant.
    pub fn id(&self) -> &'static str {
        self.into()
    }

    /// What to do about it, when that can be said.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Capabilities { .. } | Self::NotPermitted { .. } => {
                "run it as root (sudo), outside of a user namespace; a container needs these capabilities, too"
                    .into()
            }
            Self::ModuleNotLoaded => {
                "load it: insmod rust/ekho.ko (or modprobe ekho, where it is installed)".into()
            }
            Self::ModuleUnusable { .. } => {
                "rebuild the module with BTF for the running kernel, and load it again".into()
            }
            Self::NoVmlinuxBtf { .. } => {
                "use a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs on /sys".into()
            }
            Self::NoBpffs {
                exec_netns: Some(name),
                ..
            }
            | Self::PrivateBpffs {
                exec_netns: Some(name),
                ..
            } => format!("run `ekho-fw -n {name} ...` in place of `ip netns exec`, which hides the system's bpffs"),
            Self::PrivateBpffs { .. } => {
                "run it where the system's bpffs is, or bind-mount that here".into()
            }
            Self::NoBpffs { path, .. } => format!(
                "mount it: mount -t bpf bpf {}, or choose a directory on a bpffs with --pin-root",
                mount_point(path).display()
            ),
            Self::NoFamily => "load a module of the same version as ekho-fw".into(),
            Self::Answer { .. } => {
                "module and ekho-fw may be of different versions: see ekho-fw doctor".into()
            }
            Self::Interrupted { .. } => {
                "list one device with --dev, or try again when less changes".into()
            }
            Self::Fault { .. } => {
                "see what can be set: ekho-fw fault set --help; and what is: ekho-fw fault list".into()
            }
            Self::NoFaultPoint { points, .. } => format!("use one of: {}", points.join(", ")),
            Self::Nic { .. } => "see which there are: devlink dev, and ip link".into(),
            Self::PortOfNic { nic, .. } => format!("delete it with all its ports: ekho-fw device del {nic}"),
            Self::Cable { .. } | Self::NoCable { .. } => {
                "see what is connected: ekho-fw cable list".into()
            }
            Self::NoJit => "turn it on: sysctl net.core.bpf_jit_enable=1".into(),
            Self::NoNetns { .. } => "list them: ip netns list".into(),
            Self::Unreadable { places, .. } => return places.clone(),
            Self::NotBpf { source, .. } => match source {
                ElfError::NoBtf => "compile with clang -g -target bpf, and don't strip it".into(),
                ElfError::Damaged(_) => "compile it again".into(),
                _ => "compile with clang -g -O2 -target bpf -c".into(),
            },
            Self::Malformed { .. } => "see what libbpf says with --debug".into(),
            Self::NoOps { .. } => {
                "put SEC(\".struct_ops.link\") before its struct bpf_flow_offload_ops".into()
            }
            Self::NotLink { .. } => "use SEC(\".struct_ops.link\") instead".into(),
            Self::SeveralOps { .. } | Self::NoSuchOps { .. } => "choose one with --ops".into(),
            Self::NoAbi { .. } => "set .abi_version = BPF_FLOW_OFFLOAD_ABI in its ops".into(),
            Self::NewerAbi { .. } => {
                "load a newer module, or build the firmware with that module's headers".into()
            }
            Self::MissingOp { op, .. } => format!("set .{op} in its ops"),
            Self::BadName { .. } => format!(
                "use 1 to {} letters, digits, `_`, `.` and `-`",
                crate::object::struct_ops::NAME_MAX - 1
            ),
            Self::Sleepable { .. } => "use SEC(\"struct_ops/…\") instead of struct_ops.s".into(),
            Self::License { .. } => {
                "declare char LICENSE[] SEC(\"license\") = \"GPL\", or a dual licence".into()
            }
            Self::Verifier { rejection, .. } => format!(
                "the whole log ({} lines) comes with --debug, or into a file with --log FILE",
                rejection.excerpt.log_lines
            ),
            Self::Relocation { .. } => {
                "guard the access with bpf_core_field_exists(), or build against this kernel's types"
                    .into()
            }
            Self::UnknownFunction { .. } => {
                "load the module that has it, or declare it __weak and test for it".into()
            }
            Self::Layout { .. } => "build the firmware with the loaded module's headers".into(),
            Self::Load { .. } => "see what libbpf says with --debug".into(),
            Self::Invalid { .. } => "see the kernel's log: dmesg".into(),
            Self::NoDevice {
                netns: Some(name), ..
            } => format!("list them: ip -n {name} link; make one with ekho-fw -n {name} device add"),
            Self::NoDevice { .. } => {
                "list them: ip link; choose another namespace with --netns; make one with ekho-fw device add"
                    .into()
            }
            Self::DeviceExists { .. } => "choose another name".into(),
            Self::NotEkhoDevice { dev, .. } => format!("to delete it anyway: ip link del {dev}"),
            Self::BadDeviceName { .. } => "use 1 to 15 characters without blanks and slashes".into(),
            Self::OwnOffload { .. } => {
                "use a device of kind ekho, or one without hardware offload (veth, bridge, …)".into()
            }
            Self::Busy { dev, .. } => format!(
                "replace it: ekho-fw replace FILE --dev {dev}; or remove it: ekho-fw unload --dev {dev}"
            ),
            Self::Stopped { dev, .. } => {
                format!("fix the firmware, then: ekho-fw load FILE --dev {dev}")
            }
            Self::NotAttached { dev } => {
                format!("see what is: ekho-fw list; attach some: ekho-fw load FILE --dev {dev}")
            }
            Self::Attach {
                source, has_attach, ..
            }
            | Self::Swap {
                source, has_attach, ..
            } => {
                if source.raw_os_error() == Some(ENOTSUPP) {
                    return Self::NoJit.remedy();
                }
                // The first firmware of a device is asked for the filters that are there.
                let first = matches!(self, Self::Attach { .. });
                let unsupported = source.raw_os_error() == Some(nix::libc::EOPNOTSUPP);
                match (has_attach, first) {
                    (true, true) if unsupported => "its own `attach` op may have said so, or it refused a skip_sw filter that is there (see dmesg), or the device's driver has an offload of its own",
                    (true, true) => "its own `attach` op may have said so, or it refused a skip_sw filter that is there: see the kernel's log: dmesg",
                    (true, false) => "its own `attach` op may have said so; see also the kernel's log: dmesg",
                    (false, true) => "it may have refused a skip_sw filter that is there: see the kernel's log: dmesg",
                    (false, false) => "see the kernel's log: dmesg",
                }
                .into()
            }
            Self::SwapRace { .. } => "see what is there now with ekho-fw list, and try again".into(),
            Self::MapShape { .. } => {
                "give the new map another name, or unload and load instead of replacing".into()
            }
            Self::PinOccupied { .. } => "remove it if nobody needs it, or choose another --pin-root".into(),
            Self::PinInUse { .. } => {
                "unload that firmware first, or choose another --pin-root".into()
            }
            Self::NoEvents { .. } => {
                "use EKHO_EVENTS() of ekho.bpf.h in it, as events.bpf.c does".into()
            }
            Self::NoStatsMap { .. } => {
                "only firmware with such a map takes statistics from user space (as stats.bpf.o)"
                    .into()
            }
            Self::StatsMapShape { .. } => {
                "declare the map with struct ekho_flow_counters of ekho.bpf.h".into()
            }
            Self::UnknownCookie { .. } => "see the flows: ekho-fw flows".into(),
            Self::SeveralCookies { .. } => "choose one with --dev".into(),
            Self::NoFilter { .. } => {
                "see the filters: tc filter show; for a rule of nftables, --nft TABLE CHAIN --handle N"
                    .into()
            }
            Self::NoRule { .. } => "see the rules: nft -a list ruleset".into(),
            Self::NotOffloaded { dev, .. } => {
                format!("see the flows of the device: ekho-fw flows --dev {dev}")
            }
            Self::NoCounters { .. } => "use flower or matchall for filters that are counted".into(),
            Self::AmbiguousFilter { .. } => {
                "something else lists filters or rules all the time: stop it, or use --cookie".into()
            }
            Self::Netlink { .. } | Self::Pin { .. } | Self::Io { .. } | Self::Format { .. } => {
                return None
            }
        };
        Some(text)
    }

    /// Lines that show the cause: of a verifier's log, of libbpf's messages.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Verifier { rejection, .. } => rejection.excerpt.lines(),
            Self::Load { log, .. } => log.clone(),
            _ => Vec::new(),
        }
    }
}

/// Where to mount a bpffs so that `path` is on it.
fn mount_point(path: &Path) -> &Path {
    let default = Path::new("/sys/fs/bpf");
    if path.starts_with(default) {
        default
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn errnos_have_names() {
        assert_eq!(
            errno_text(&os(nix::libc::EPROTONOSUPPORT)),
            "EPROTONOSUPPORT: Protocol not supported"
        );
        assert_eq!(errno_text(&os(ENOTSUPP)), "ENOTSUPP: not supported");
        assert_eq!(errno_text(&os(4000)), "errno 4000");
    }

    #[test]
    fn each_class_is_one() {
        let source = include_str!("error.rs");
        let named: Vec<&str> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("#[strum(props(class = \""))
            .filter_map(|rest| rest.strip_suffix("\"))]"))
            .collect();
        assert!(named.len() > 40);
        for class in named {
            assert!(class.parse::<Class>().is_ok(), "{class}");
        }
    }

    /// SCHEMA.md has each id, under its exit status, and no other.
    #[test]
    fn the_schema_of_errors_is_complete() {
        use strum::VariantNames as _;

        let schema = include_str!("../../SCHEMA.md");
        let table = schema
            .split_once("## Errors")
            .and_then(|(_, rest)| rest.split_once("\n## "))
            .map(|(table, _)| table)
            .unwrap();
        let mut listed: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let mut ids = Error::VARIANTS.to_vec();
        // Those of ekho-fw itself.
        ids.extend(["usage", "other"]);
        ids.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, ids);
    }

    #[test]
    fn ids_are_the_names_of_variants() {
        assert_eq!(Error::NoJit.id(), "no-jit");
        assert_eq!(Error::ModuleNotLoaded.id(), "module-not-loaded");
        assert_eq!(Error::ModuleNotLoaded.class(), Class::System);
        let point = Error::NoFaultPoint {
            point: "x".into(),
            points: vec!["bind".into(), "stats".into()],
        };
        assert_eq!(
            (point.id(), point.class()),
            ("no-fault-point", Class::Device)
        );
        assert_eq!(point.remedy().unwrap(), "use one of: bind, stats");
    }

    #[test]
    fn sentences_name_the_object() {
        let busy = Error::Busy {
            dev: "ek0".into(),
            firmware: Some("stats".into()),
            link: Some(7),
        };
        assert_eq!(
            busy.to_string(),
            "device `ek0` has firmware already: `stats`, link 7"
        );
        assert!(busy.remedy().unwrap().contains("ekho-fw replace"));
        assert_eq!(busy.class(), Class::Device);

        let missing = |netns| Error::NoDevice {
            dev: "ek0".into(),
            netns,
        };
        assert_eq!(
            missing(None).to_string(),
            "there is no device `ek0` in this network namespace"
        );
        assert_eq!(
            missing(Some("blue".into())).to_string(),
            "there is no device `ek0` in network namespace `blue`"
        );

        let capabilities = Error::Capabilities {
            action: "loading firmware",
            missing: vec![Capability::NetAdmin],
        };
        assert_eq!(
            capabilities.to_string(),
            "loading firmware needs CAP_NET_ADMIN (to change network devices and list their flows), which this process lacks"
        );
    }

    #[test]
    fn bpffs_is_mounted_where_it_belongs() {
        let error = Error::NoBpffs {
            path: "/sys/fs/bpf/ekho".into(),
            exec_netns: None,
        };
        assert!(error.remedy().unwrap().contains("bpf /sys/fs/bpf,"));
        let error = Error::NoBpffs {
            path: "/mnt/pins".into(),
            exec_netns: None,
        };
        assert!(error.remedy().unwrap().contains("bpf /mnt/pins,"));
    }

    #[test]
    fn lists_read_as_english() {
        assert_eq!(list::<&str>(&[]), "nothing");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
