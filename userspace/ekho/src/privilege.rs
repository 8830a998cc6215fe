// SPDX-License-Identifier: MIT OR Apache-2.0

//! Linux capabilities that EKHO needs somewhere.

use std::fmt;

/// A capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Create links, move devices, list flows, set faults.
    NetAdmin = 12,
    /// Open BPF objects by id, enter network namespaces; implies the two below.
    SysAdmin = 21,
    /// See addresses of the kernel, as cookies of flows are.
    Syslog = 34,
    /// Load programs that read kernel memory, as struct_ops programs do.
    Perfmon = 38,
    /// Load programs, create maps.
    Bpf = 39,
}

impl Capability {
    /// The name that capabilities(7) uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// What it is needed for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::NetAdmin => "to change network devices and list their flows",
            Self::SysAdmin => "to open BPF objects by id, and to enter network namespaces",
            Self::Syslog => "to see cookies of flows, which are addresses of the kernel",
            Self::Perfmon => "to load programs that read kernel memory",
            Self::Bpf => "to load BPF programs and maps",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.purpose())
    }
}
