// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel that both fuzzers try: a network namespace, and the module.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context as _, Result};
use ekho::kernel::netlink::{Connection, Request};
use ekho::module::state::OnDevice;
use ekho_testkit::lab;
use ekho_testkit::{tc, uapi};
use nix::sched::{unshare, CloneFlags};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// How long the kernel may take for what it does later.
const PATIENCE: Duration = Duration::from_secs(60);
/// Queues of each device.
const QUEUES: u32 = 4;

/// Where things are.
#[derive(Clone, Debug, clap::Args)]
pub struct Paths {
    /// The module.
    #[arg(long, value_name = "FILE", env = "EKHO_MODULE")]
    pub module: PathBuf,
    /// Directory of EKHO's own firmware.
    #[arg(long, value_name = "DIR", env = "EKHO_FIRMWARE")]
    pub firmware: PathBuf,
    /// Directory of the tests' firmware.
    #[arg(long, value_name = "DIR", env = "EKHO_TEST_FIRMWARE")]
    pub test_firmware: PathBuf,
}

/// A network namespace of this process's own, with the module.
pub struct Kernel {
    pub connection: Connection,
    netns: u64,
    log: File,
}

impl Kernel {
    /// Enters a new namespace, and loads the module if need be. It must not be in use, as it is
    /// removed in the end.
    pub fn enter(module: &Path) -> Result<Self> {
        ekho::kernel::libbpf_log::silence();
        unshare(CloneFlags::CLONE_NEWNET).context("can't make a network namespace: run as root")?;
        if !lab::is_loaded() {
            lab::insmod(module, c"")?;
        }
        if !lab::devices()?.is_empty() {
            bail!("there are devices with EKHO: unload firmware and delete them first");
        }
        let here = lab::Namespace::current()?;
        // An answer that doesn't come is a bug, rather than the end of the run.
        setsockopt(
            &here.connection.as_fd(),
            sockopt::ReceiveTimeout,
            &TimeVal::new(60, 0),
        )?;
        Ok(Self {
            connection: here.connection,
            netns: here.inode,
            log: fs::OpenOptions::new().write(true).open("/dev/kmsg")?,
        })
    }

    /// Writes to the kernel's log, where a crash is told of, too.
    pub fn note(&mut self, text: &str) {
        // Without the log, a run is as good.
        let _ = self
            .log
            .write_all(format!("ekho-module-fuzzer: {text}\n").as_bytes());
    }

    /// Makes a device of a kind.
    pub fn add_device(&mut self, kind: &str, name: &str, ifindex: u32) -> Result<()> {
        let mut request = tc::add_device(kind, name, ifindex);
        request.put_u32(uapi::IFLA_NUM_TX_QUEUES, QUEUES);
        self.ask(request)
            .with_context(|| format!("can't add device {name} of kind {kind}"))
    }

    /// Deletes it.
    pub fn delete_device(&mut self, ifindex: u32) -> Result<()> {
        self.ask(tc::delete_device(ifindex))
            .context("can't delete a device")
    }

    /// Makes a request that must succeed.
    pub fn ask(&mut self, request: Request) -> Result<()> {
        let result = self
            .connection
            .exchange(&request.finish(), |_, _| ())
            .context("no answer")?;
        result.map_err(|refusal| anyhow::anyhow!("{} {}", refusal.errno, refusal.message))
    }

    /// Those of the module's records that are about this namespace.
    pub fn here<T: OnDevice>(&self, mut records: Vec<T>) -> Vec<T> {
        records.retain(|record| record.netns() == self.netns);
        records
    }

    /// Waits until the module has no records of a kind.
    pub fn none_left<T: OnDevice + Debug>(&self, tell: fn() -> Result<Vec<T>>) -> Result<()> {
        let mut left = Vec::new();
        eventually(|| {
            left = self.here(tell()?);
            Ok(left.is_empty())
        })?
        .then_some(())
        .with_context(|| format!("{} left: {left:?}", left.len()))
    }
}

/// Waits until something is so; false if it doesn't become so.
pub fn eventually(is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    lab::eventually(PATIENCE, is_so)
}

/// Removes the module, which nothing may keep.
pub fn remove_module() -> Result<()> {
    lab::rmmod(c"ekho", PATIENCE).context("the module can't be removed")
}
