// SPDX-License-Identifier: MIT OR Apache-2.0

//! What both fuzzers want of the kernel.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _, Result};
use ekho_rtnl::{flag, ifinfomsg, kind, Connection, Request};
use nix::errno::Errno;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use nix::sched::{unshare, CloneFlags};

const DEBUGFS: &str = "/sys/kernel/debug/ekho";
/// How long the kernel may take for what it does later.
const PATIENCE: Duration = Duration::from_secs(60);

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
    netns: String,
    log: File,
}

impl Kernel {
    /// Enters a new namespace, and loads the module if need be. It must not be in use, as it is
    /// removed in the end.
    pub fn enter(module: &Path) -> Result<Self> {
        ekho::kernel::libbpf_log::silence();
        unshare(CloneFlags::CLONE_NEWNET).context("can't make a network namespace: run as root")?;
        if !fs::exists("/sys/module/ekho")? {
            let file = File::open(module)
                .with_context(|| format!("can't open the module {}", module.display()))?;
            // An emulated machine stands still for longer than firmware may take.
            finit_module(&file, c"budget_us=1000000", ModuleInitFlags::empty())
                .context("can't load the module")?;
        }
        if !records("devices")?.is_empty() {
            bail!("there are devices with EKHO: unload firmware and delete them first");
        }
        let connection = Connection::new()?;
        // An answer that doesn't come is a bug, rather than the end of the run.
        nix::sys::socket::setsockopt(
            &std::os::fd::AsFd::as_fd(&borrow(&connection)),
            nix::sys::socket::sockopt::ReceiveTimeout,
            &nix::sys::time::TimeVal::new(60, 0),
        )?;
        Ok(Self {
            connection,
            netns: fs::metadata("/proc/self/ns/net")?.ino().to_string(),
            log: fs::OpenOptions::new().write(true).open("/dev/kmsg")?,
        })
    }

    /// Writes to the kernel's log, where a crash is told of, too.
    pub fn note(&mut self, text: &str) {
        // Without the log, a run is as good.
        let _ = self
            .log
            .write_all(format!("ekho-fuzz: {text}\n").as_bytes());
    }

    /// Makes a device of a kind.
    pub fn add_device(&mut self, kind: &str, name: &str, ifindex: u32) -> Result<()> {
        let header = ifinfomsg(ifindex, 1, 1);
        let flags = flag::CREATE | flag::EXCL;
        let mut request = Request::new(kind::RTM_NEWLINK, flags, &header);
        request.put_text(3, name).put_u32(31, 4).nest(18, |info| {
            info.put_text(1, kind);
        });
        self.ask(request)
            .with_context(|| format!("can't add device {name} of kind {kind}"))
    }

    /// Deletes it.
    pub fn delete_device(&mut self, ifindex: u32) -> Result<()> {
        let request = Request::new(kind::RTM_DELLINK, 0, &ifinfomsg(ifindex, 0, 0));
        self.ask(request).context("can't delete a device")
    }

    /// Makes a request that must succeed.
    pub fn ask(&mut self, request: Request) -> Result<()> {
        let result = self
            .connection
            .exchange(&request.finish(), |_, _| ())
            .context("no answer")?;
        result.map_err(|refusal| anyhow::anyhow!("{} {}", refusal.errno, refusal.message))
    }

    /// The module's records about this namespace.
    pub fn records(&self, file: &str) -> Result<Vec<String>> {
        let here = format!("netns={}", self.netns);
        Ok(records(file)?
            .lines()
            .filter(|line| line.split(' ').any(|word| word == here))
            .map(str::to_owned)
            .collect())
    }

    /// Waits until the module has no records of a kind.
    pub fn none_left(&self, file: &str) -> Result<()> {
        let mut left = Vec::new();
        eventually(|| {
            left = self.records(file)?;
            Ok(left.is_empty())
        })?
        .then_some(())
        .with_context(|| format!("{} left in {file}: {}", left.len(), left.join("; ")))
    }
}

fn borrow(connection: &Connection) -> std::os::fd::BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(connection.socket())
}

/// Waits until something is so; false if it doesn't become so.
pub fn eventually(mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// A file in debugfs.
fn records(file: &str) -> Result<String> {
    fs::read_to_string(format!("{DEBUGFS}/{file}"))
        .with_context(|| format!("can't read {DEBUGFS}/{file}"))
}

/// Writes to the module's control of faults; refusals are part of the game.
pub fn set_fault(line: &str) {
    let _ = fs::OpenOptions::new()
        .write(true)
        .open(format!("{DEBUGFS}/faults"))
        .and_then(|mut file| file.write_all(line.as_bytes()));
}

/// Removes the module, which nothing may keep.
pub fn remove_module() -> Result<()> {
    let mut result = Ok(());
    // Firmware is freed some time after it was given up.
    let done = eventually(|| {
        result = delete_module(c"ekho", DeleteModuleFlags::O_NONBLOCK);
        Ok(result != Err(Errno::EAGAIN))
    })?;
    match result {
        Ok(()) if done => Ok(()),
        _ => Err(io::Error::from(result.err().unwrap_or(Errno::EAGAIN)))
            .context("the module can't be removed"),
    }
}
