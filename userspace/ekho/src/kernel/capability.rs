// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this process is allowed to do.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

pub use crate::privilege::Capability;

/// The capabilities of a process that count for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    effective: u64,
}

impl Capabilities {
    /// Reads those of this process.
    ///
    /// The kernel asks for BPF's capabilities in the initial user namespace: in
    /// any other (a rootless container) they count for nothing.
    pub fn current() -> Self {
        Self::read(Path::new("/proc/self"))
    }

    fn read(process: &Path) -> Self {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let uid_map = fs::read_to_string(process.join("uid_map")).unwrap_or_default();
        Self::parse(&status, &uid_map)
    }

    fn parse(status: &str, uid_map: &str) -> Self {
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .unwrap_or(0);
        let initial = uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
        Self {
            effective: if initial { effective } else { 0 },
        }
    }

    /// Whether a capability is there, itself or through `CAP_SYS_ADMIN`.
    pub fn has(self, capability: Capability) -> bool {
        let bit = |capability: Capability| (self.effective >> capability as u32) & 1 == 1;
        bit(capability)
            || matches!(capability, Capability::Perfmon | Capability::Bpf)
                && bit(Capability::SysAdmin)
    }

    /// Those of `needed` that aren't there.
    pub fn missing(self, needed: &[Capability]) -> Vec<Capability> {
        needed
            .iter()
            .copied()
            .filter(|capability| !self.has(*capability))
            .collect()
    }
}

/// Fails with the names of the capabilities that `action` ("loading firmware")
/// needs and this process lacks.
pub fn require(action: &'static str, needed: &[Capability]) -> Result<()> {
    let missing = Capabilities::current().missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Capabilities { action, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: &str = "         0          0 4294967295\n";

    #[test]
    fn root_has_all() {
        let capabilities = Capabilities::parse("CapEff:\t000001ffffffffff\n", INITIAL);
        assert!(capabilities
            .missing(&[
                Capability::Bpf,
                Capability::Perfmon,
                Capability::SysAdmin,
                Capability::NetAdmin
            ])
            .is_empty());
    }

    #[test]
    fn the_missing_ones_are_named() {
        let capabilities = Capabilities::parse("Name:\tx\nCapEff:\t0000008000000000\n", INITIAL);
        assert_eq!(
            capabilities.missing(&[Capability::Bpf, Capability::Perfmon]),
            [Capability::Perfmon]
        );
        let nobody = Capabilities::parse("CapEff:\t0000000000000000\n", INITIAL);
        assert_eq!(
            nobody.missing(&[Capability::Bpf, Capability::SysAdmin]),
            [Capability::Bpf, Capability::SysAdmin]
        );
    }

    /// All but one of the four.
    fn without(capability: Capability) -> Capabilities {
        Capabilities {
            effective: !(1 << capability as u32),
        }
    }

    #[test]
    fn each_missing_one_has_a_sentence_of_its_own() {
        let all = [
            Capability::Bpf,
            Capability::Perfmon,
            Capability::NetAdmin,
            Capability::SysAdmin,
        ];
        let mut sentences: Vec<String> = Vec::new();
        for capability in all {
            let missing = without(capability).missing(&all);
            // The kernel takes CAP_SYS_ADMIN for these two.
            if matches!(capability, Capability::Bpf | Capability::Perfmon) {
                assert_eq!(missing, []);
            } else {
                assert_eq!(missing, [capability]);
            }
            let error = Error::Capabilities {
                action: "loading firmware",
                missing: vec![capability],
            };
            let sentence = error.to_string();
            assert!(sentence.contains(capability.name()), "{sentence}");
            assert!(!sentences.contains(&sentence));
            sentences.push(sentence);
        }
    }

    #[test]
    fn sys_admin_covers_bpf_but_not_the_network() {
        let capabilities = Capabilities::parse("CapEff:\t0000000000200000\n", INITIAL);
        assert!(capabilities.has(Capability::Bpf));
        assert!(capabilities.has(Capability::Perfmon));
        assert!(!capabilities.has(Capability::NetAdmin));
    }

    #[test]
    fn root_of_a_container_has_none() {
        let capabilities = Capabilities::parse("CapEff:\t000001ffffffffff\n", "0 100000 65536\n");
        assert!(!capabilities.has(Capability::Bpf));
    }
}
