// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a system is ready for EKHO, and what to do where it isn't.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::contract::MODULE;
use crate::error::{Class, Error};
use crate::firmware::pins::Pins;
use crate::kernel::capability::{Capabilities, Capability};
use crate::module::{Module, Netlink, State as _};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Something works less well, or couldn't be found out.
    Warning,
    /// EKHO can't work like this.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A short name that stays the same.
    pub id: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// All that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing essential is amiss.
    pub ok: bool,
    /// The checks, from the kernel's build to this process.
    pub checks: Vec<Check>,
}

/// An option that the kernel must be built with.
struct KernelOption {
    name: &'static str,
    /// Whether `=m` will do.
    modular: bool,
    verdict: Verdict,
    purpose: &'static str,
}

const fn option(
    name: &'static str,
    modular: bool,
    verdict: Verdict,
    purpose: &'static str,
) -> KernelOption {
    KernelOption {
        name,
        modular,
        verdict,
        purpose,
    }
}

const OPTIONS: [KernelOption; 10] = [
    option("MODULES", false, Verdict::Failure, "EKHO is a module"),
    option("BPF", false, Verdict::Failure, "firmware is BPF"),
    option("BPF_SYSCALL", false, Verdict::Failure, "firmware is loaded"),
    option(
        "BPF_JIT",
        false,
        Verdict::Failure,
        "firmware calls kernel functions",
    ),
    option(
        "DEBUG_INFO_BTF",
        false,
        Verdict::Failure,
        "firmware is relocated by types",
    ),
    option(
        "DEBUG_INFO_BTF_MODULES",
        false,
        Verdict::Failure,
        "the contract is in the module's types",
    ),
    option(
        "NET_CLS_ACT",
        false,
        Verdict::Failure,
        "tc actions are what is offloaded",
    ),
    option(
        "NET_CLS_FLOWER",
        true,
        Verdict::Failure,
        "flower filters are what is offloaded",
    ),
    option(
        "NET_SCH_INGRESS",
        true,
        Verdict::Failure,
        "filters hang on ingress or clsact",
    ),
    option(
        "NET_CLS_MATCHALL",
        true,
        Verdict::Warning,
        "matchall filters can be offloaded",
    ),
];

/// An option without which controllers offload less, and what is missing then.
///
/// `docs/controllers.md` has the same list.
struct ControllerOption {
    name: &'static str,
    without: &'static str,
}

const fn controller(name: &'static str, without: &'static str) -> ControllerOption {
    ControllerOption { name, without }
}

const CONTROLLER_OPTIONS: [ControllerOption; 31] = [
    controller(
        "NET_TC_SKB_EXT",
        "Open vSwitch offloads no flow with ct() or another recirculation, so hardly any of OVN's; what misses in a chain of hardware starts over in chain 0; flower's l2_miss matches nothing",
    ),
    controller("OPENVSWITCH", "Open vSwitch has no datapath in the kernel to offload"),
    controller("VXLAN", "there are no VXLAN tunnels to offload"),
    controller("GENEVE", "there are no Geneve tunnels to offload, which OVN uses"),
    controller("NET_CLS_U32", "u32 filters can't be offloaded"),
    controller("NET_ACT_GACT", "no filter can drop, pass or go to a chain: Open vSwitch offloads nothing"),
    controller("NET_ACT_MIRRED", "no filter can redirect or mirror: Open vSwitch offloads no output"),
    controller("NET_ACT_VLAN", "VLAN tags can't be pushed, popped or changed"),
    controller("NET_ACT_MPLS", "MPLS labels can't be pushed, popped or changed"),
    controller("NET_ACT_TUNNEL_KEY", "nothing can be sent into a tunnel or taken out of one"),
    controller("NET_ACT_PEDIT", "no header can be rewritten: no routing, no NAT without ct()"),
    controller("NET_ACT_CSUM", "checksums can't be mended after a rewrite of IPv4, TCP or UDP: Open vSwitch doesn't offload it then"),
    controller("NET_ACT_SKBEDIT", "packets can't be given a mark, a priority or a type"),
    controller("NET_ACT_POLICE", "there is no rate limit: no policing or meter of Open vSwitch"),
    controller("NET_ACT_SAMPLE", "packets can't be sampled: no sFlow in hardware"),
    controller("PSAMPLE", "packets that were sampled don't reach user space"),
    controller("NET_ACT_GATE", "there is no gate (802.1Qci)"),
    controller("NET_ACT_CT", "filters can't send packets to conntrack: no ct() in hardware, and no [HW_OFFLOAD] by tc"),
    controller("NF_CONNTRACK", "connections aren't tracked: no ct() and no flowtable"),
    controller("NF_CONNTRACK_ZONES", "ct() has no zones, which OVN needs"),
    controller("NF_CONNTRACK_MARK", "filters can't match or set ct_mark"),
    controller("NF_CONNTRACK_LABELS", "filters can't match or set ct_label"),
    controller("NF_NAT", "ct() has no NAT"),
    controller("NF_CT_PROTO_GRE", "connections of GRE aren't offloaded"),
    controller("NF_FLOW_TABLE", "connections aren't offloaded, neither by nftables nor by tc's ct()"),
    controller("NF_FLOW_TABLE_INET", "nftables has no flowtables"),
    controller("NFT_FLOW_OFFLOAD", "nftables has no `flow add`: it offloads no connection"),
    controller("NETFILTER_INGRESS", "nftables has no chain or flowtable at the ingress of a device"),
    controller("NF_TABLES_NETDEV", "nftables has no chains of the netdev family: it offloads no rule"),
    controller("NFT_FWD_NETDEV", "rules of nftables can't forward to a device"),
    controller("NFT_DUP_NETDEV", "rules of nftables can't duplicate to a device"),
];

/// Looks at a system.
#[derive(Clone, Debug)]
pub struct Doctor {
    root: PathBuf,
    pins: Pins,
    release: String,
    capabilities: Capabilities,
}

impl Doctor {
    /// For this system, and pins below `pins`.
    pub fn new(pins: &Pins) -> Self {
        let release = nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        Self {
            root: "/".into(),
            pins: pins.clone(),
            release,
            capabilities: Capabilities::current(),
        }
    }

    /// Makes all checks.
    pub fn examine(&self) -> Report {
        let mut checks = vec![check(
            "kernel",
            Verdict::Ok,
            format!("kernel {}", self.release),
            None,
        )];
        checks.extend(self.config());
        checks.push(self.vmlinux_btf());
        checks.push(self.module());
        checks.push(self.jit());
        checks.push(self.lockdown());
        checks.push(self.unprivileged());
        checks.push(self.bpffs());
        checks.extend(self.family());
        checks.push(self.privileges());
        Report {
            ok: checks.iter().all(|check| check.verdict != Verdict::Failure),
            checks,
        }
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The kernel's configuration, from where distributions keep it.
    fn read_config(&self) -> Option<String> {
        let plain = [
            format!("boot/config-{}", self.release),
            format!("lib/modules/{}/config", self.release),
            format!("lib/modules/{}/build/.config", self.release),
        ];
        if let Some(config) = plain
            .iter()
            .find_map(|path| fs::read_to_string(self.root.join(path)).ok())
        {
            return Some(config);
        }
        let file = fs::File::open(self.root.join("proc/config.gz")).ok()?;
        let mut config = String::new();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut config)
            .ok()?;
        Some(config)
    }

    fn config(&self) -> Vec<Check> {
        let Some(config) = self.read_config() else {
            return vec![check(
                "config",
                Verdict::Warning,
                "the kernel's configuration isn't to be found".into(),
                Some(format!(
                    "install /boot/config-{}, or run modprobe configs",
                    self.release
                )),
            )];
        };
        let mut checks: Vec<_> = OPTIONS
            .iter()
            .map(|option| {
                let name = format!("CONFIG_{}", option.name);
                let value = config_value(&config, &name);
                let good = value == Some("y") || (option.modular && value == Some("m"));
                let finding = match value {
                    Some(value) => format!("{name}={value}"),
                    None => format!("{name} is not set"),
                };
                check(
                    &name,
                    if good { Verdict::Ok } else { option.verdict },
                    finding,
                    (!good).then(|| {
                        format!(
                            "use a kernel with {name}={}: {}",
                            if option.modular { "m" } else { "y" },
                            option.purpose
                        )
                    }),
                )
            })
            .collect();
        checks.extend(controllers(&config));
        checks
    }

    fn vmlinux_btf(&self) -> Check {
        let path = self.root.join("sys/kernel/btf/vmlinux");
        match fs::metadata(&path) {
            Ok(metadata) => check(
                "vmlinux-btf",
                Verdict::Ok,
                format!("kernel types: {} bytes of BTF", metadata.len()),
                None,
            ),
            Err(_) => failed("vmlinux-btf", &Error::NoVmlinuxBtf { path }),
        }
    }

    fn module(&self) -> Check {
        match Module::read(&self.root.join("sys")) {
            Ok(module) => check(
                "module",
                Verdict::Ok,
                format!("module ekho is loaded and speaks ABI {}", module.abi()),
                None,
            ),
            Err(error) => failed("module", &error),
        }
    }

    fn jit(&self) -> Check {
        match self.text("proc/sys/net/core/bpf_jit_enable").as_deref() {
            Some("0") => failed("jit", &Error::NoJit),
            Some(_) => check(
                "jit",
                Verdict::Ok,
                "the JIT compiler for BPF is on".into(),
                None,
            ),
            // Not there in other network namespaces than the first.
            None => check(
                "jit",
                Verdict::Warning,
                "whether the JIT compiler for BPF is on can't be read".into(),
                Some("look outside of network namespaces, as root".into()),
            ),
        }
    }

    fn lockdown(&self) -> Check {
        let text = self.text("sys/kernel/security/lockdown");
        let mode = text
            .as_deref()
            .and_then(|text| text.split_once('['))
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("none", |(mode, _)| mode);
        if mode == "none" {
            return check(
                "lockdown",
                Verdict::Ok,
                "the kernel isn't locked down".into(),
                None,
            );
        }
        check(
            "lockdown",
            Verdict::Warning,
            format!("the kernel is locked down ({mode})"),
            Some("it takes no unsigned module: sign it, or turn Secure Boot off".into()),
        )
    }

    fn unprivileged(&self) -> Check {
        let open = self
            .text("proc/sys/kernel/unprivileged_bpf_disabled")
            .as_deref()
            == Some("0");
        if open {
            return check(
                "unprivileged-bpf",
                Verdict::Warning,
                "users without privileges may load BPF programs".into(),
                Some("sysctl kernel.unprivileged_bpf_disabled=2, unless you need that".into()),
            );
        }
        check(
            "unprivileged-bpf",
            Verdict::Ok,
            "BPF is closed to users without privileges".into(),
            None,
        )
    }

    fn bpffs(&self) -> Check {
        match self.pins.check() {
            Ok(()) => check(
                "bpffs",
                Verdict::Ok,
                format!("pins go to {}", self.pins.root().display()),
                None,
            ),
            Err(error) => failed("bpffs", &error),
        }
    }

    /// Whether the loaded module answers; none if there is no module.
    fn family(&self) -> Option<Check> {
        if !self.root.join("sys/module").join(MODULE).exists() {
            return None;
        }
        Some(match Netlink.version() {
            Ok(version) => check(
                "netlink",
                Verdict::Ok,
                format!("module ekho {} answers over netlink", version.module),
                None,
            ),
            Err(error) => failed("netlink", &error),
        })
    }

    fn privileges(&self) -> Check {
        let needed = [
            Capability::Bpf,
            Capability::Perfmon,
            Capability::SysAdmin,
            Capability::NetAdmin,
        ];
        let missing = self.capabilities.missing(&needed);
        if missing.is_empty() {
            return check(
                "capabilities",
                Verdict::Ok,
                "this process has the capabilities it needs".into(),
                None,
            );
        }
        failed(
            "capabilities",
            &Error::Capabilities {
                action: "EKHO",
                missing,
            },
        )
    }
}

/// What controllers can't offload with this configuration: a warning for each option that is off, and
/// how many are on.
fn controllers(config: &str) -> Vec<Check> {
    let missing: Vec<_> = CONTROLLER_OPTIONS
        .iter()
        .filter(|option| {
            let name = format!("CONFIG_{}", option.name);
            !matches!(config_value(config, &name), Some("y" | "m"))
        })
        .collect();
    let all = CONTROLLER_OPTIONS.len();
    let summary = check(
        "controller-options",
        Verdict::Ok,
        format!(
            "{} of {all} kernel options that decide what controllers offload are on",
            all - missing.len()
        ),
        None,
    );
    let warning = |option: &&ControllerOption| {
        let name = format!("CONFIG_{}", option.name);
        check(
            &name,
            Verdict::Warning,
            format!("{name} is not set: {}", option.without),
            Some(format!("use a kernel with {name}, if you need that")),
        )
    };
    std::iter::once(summary)
        .chain(missing.iter().map(warning))
        .collect()
}

fn check(id: &str, verdict: Verdict, finding: String, remedy: Option<String>) -> Check {
    Check {
        id: id.to_owned(),
        verdict,
        finding,
        remedy,
    }
}

fn failed(id: &str, error: &Error) -> Check {
    debug_assert!(matches!(
        error.class(),
        Class::System | Class::Privilege | Class::Other
    ));
    check(id, Verdict::Failure, error.to_string(), error.remedy())
}

fn config_value<'config>(config: &'config str, name: &str) -> Option<&'config str> {
    config
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const CONFIG: &str = "\
# CONFIG_NET_CLS_MATCHALL is not set
CONFIG_MODULES=y
CONFIG_BPF=y
CONFIG_BPF_SYSCALL=y
CONFIG_BPF_JIT=y
CONFIG_DEBUG_INFO_BTF=y
CONFIG_DEBUG_INFO_BTF_MODULES=y
CONFIG_NET_CLS_ACT=y
CONFIG_NET_CLS_FLOWER=m
CONFIG_NET_SCH_INGRESS=m
";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn doctor(root: &Path) -> Doctor {
        Doctor {
            root: root.to_owned(),
            pins: Pins::new(root.join("pins")),
            release: "7.2-test".into(),
            capabilities: Capabilities::current(),
        }
    }

    fn find<'report>(report: &'report Report, id: &str) -> &'report Check {
        report.checks.iter().find(|check| check.id == id).unwrap()
    }

    #[test]
    fn a_bare_system_fails_with_a_remedy_for_everything() {
        let root = tempfile::tempdir().unwrap();
        let report = doctor(root.path()).examine();
        assert!(!report.ok);
        for check in &report.checks {
            assert_eq!(
                check.verdict == Verdict::Ok,
                check.remedy.is_none(),
                "{check:?}"
            );
        }
        assert_eq!(find(&report, "vmlinux-btf").verdict, Verdict::Failure);
        assert_eq!(find(&report, "config").verdict, Verdict::Warning);
    }

    #[test]
    fn options_may_be_modular_where_that_is_enough() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "boot/config-7.2-test", CONFIG);
        let report = doctor(root.path()).examine();
        assert_eq!(find(&report, "CONFIG_NET_CLS_FLOWER").verdict, Verdict::Ok);
        let matchall = find(&report, "CONFIG_NET_CLS_MATCHALL");
        assert_eq!(matchall.verdict, Verdict::Warning);
        assert_eq!(matchall.finding, "CONFIG_NET_CLS_MATCHALL is not set");

        let config = CONFIG.replace("CONFIG_BPF_JIT=y", "CONFIG_BPF_JIT=m");
        write(root.path(), "boot/config-7.2-test", &config);
        let report = doctor(root.path()).examine();
        assert_eq!(find(&report, "CONFIG_BPF_JIT").verdict, Verdict::Failure);
    }

    #[test]
    fn options_that_controllers_need_are_warned_of_where_they_are_off() {
        let root = tempfile::tempdir().unwrap();
        let mut config = CONFIG.to_owned();
        for option in &CONTROLLER_OPTIONS {
            config += &format!("CONFIG_{}=m\n", option.name);
        }
        write(root.path(), "boot/config-7.2-test", &config);
        let report = doctor(root.path()).examine();
        assert_eq!(
            find(&report, "controller-options").finding,
            "31 of 31 kernel options that decide what controllers offload are on"
        );
        assert!(report
            .checks
            .iter()
            .all(|check| check.id != "CONFIG_NET_TC_SKB_EXT"));

        // As Debian's kernel has it.
        let config = config.replace(
            "CONFIG_NET_TC_SKB_EXT=m",
            "# CONFIG_NET_TC_SKB_EXT is not set",
        );
        write(root.path(), "boot/config-7.2-test", &config);
        let report = doctor(root.path()).examine();
        assert_eq!(
            find(&report, "controller-options").finding,
            "30 of 31 kernel options that decide what controllers offload are on"
        );
        let off = find(&report, "CONFIG_NET_TC_SKB_EXT");
        assert_eq!(off.verdict, Verdict::Warning);
        assert!(off
            .finding
            .contains("is not set: Open vSwitch offloads no flow with ct()"));
        assert!(off.remedy.is_some());
    }

    #[test]
    fn the_documents_list_the_same_options_for_controllers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/controllers.md");
        let text = fs::read_to_string(path).unwrap();
        let listed: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .filter(|(name, _)| {
                name.chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            })
            .map(|(name, _)| name)
            .collect();
        let known: Vec<_> = CONTROLLER_OPTIONS
            .iter()
            .map(|option| option.name)
            .collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_compressed_configuration_is_read() {
        use std::io::Write as _;

        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        let file = fs::File::create(root.path().join("proc/config.gz")).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(CONFIG.as_bytes()).unwrap();
        encoder.finish().unwrap();
        let report = doctor(root.path()).examine();
        assert_eq!(find(&report, "CONFIG_BPF").verdict, Verdict::Ok);
    }

    #[test]
    fn settings_are_read() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "proc/sys/net/core/bpf_jit_enable", "0\n");
        write(
            root.path(),
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
        );
        write(
            root.path(),
            "proc/sys/kernel/unprivileged_bpf_disabled",
            "0\n",
        );
        let report = doctor(root.path()).examine();
        assert_eq!(find(&report, "jit").verdict, Verdict::Failure);
        assert_eq!(
            find(&report, "lockdown").finding,
            "the kernel is locked down (integrity)"
        );
        assert_eq!(find(&report, "unprivileged-bpf").verdict, Verdict::Warning);
    }

    #[test]
    fn the_schema_is_stable() {
        let report = Report {
            ok: false,
            checks: vec![failed("jit", &Error::NoJit)],
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"ok":false,"checks":[{"id":"jit","verdict":"failure","#,
                r#""finding":"the JIT compiler for BPF is off, and firmware that calls kernel functions needs it","#,
                r#""remedy":"turn it on: sysctl net.core.bpf_jit_enable=1"}]}"#
            )
        );
    }
}
