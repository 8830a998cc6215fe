// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the kernel is while requests of this thread run: samples by a clock, by function.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use anyhow::{ensure, Context, Result};
use nix::libc;
use nix::sys::mman::{mmap, munmap, MapFlags, ProtFlags};

/// Nanoseconds between samples: no divisor of anything, and no less than the kernel takes.
const PERIOD: u64 = 10_007;

const PAGE: usize = 4096;
/// Room for all samples: they are read in the end.
const DATA: usize = 2048 * PAGE;
/// Where the metadata page says how much was written.
const DATA_HEAD: usize = 1024;

const PERF_TYPE_SOFTWARE: u64 = 1;
const PERF_SAMPLE_IP: u64 = 1;
const EXCLUDE_USER: u64 = 1 << 4;
const PERF_RECORD_SAMPLE: u32 = 9;

/// The kernel's functions by address.
struct Symbols(Vec<(u64, String)>);

impl Symbols {
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/kallsyms").context("read /proc/kallsyms")?;
        let mut symbols: Vec<_> = text
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_whitespace();
                let address = u64::from_str_radix(fields.next()?, 16).ok()?;
                let name = fields.nth(1)?;
                Some((address, format!("{:#}", rustc_demangle::demangle(name))))
            })
            .collect();
        symbols.sort();
        Ok(Self(symbols))
    }

    fn at(&self, address: u64) -> &str {
        let after = self.0.partition_point(|(start, _)| *start <= address);
        let found = after.checked_sub(1).and_then(|n| self.0.get(n));
        found.map_or("?", |(_, name)| name)
    }
}

/// A buffer that the kernel writes samples to.
struct Samples(NonNull<u8>);

impl Samples {
    fn new(fd: &OwnedFd) -> Result<Self> {
        let length = NonZeroUsize::new(PAGE + DATA).context("no length")?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, fd, 0) }
            .context("map samples")?;
        Ok(Self(start.cast()))
    }

    /// The addresses that were sampled, once the event is off.
    fn addresses(&self) -> Result<Vec<u64>> {
        // SAFETY: the metadata page is mapped, and the kernel writes to it no longer.
        let head = unsafe { self.0.add(DATA_HEAD).cast::<u64>().read_volatile() };
        let head = usize::try_from(head)?;
        ensure!(head < DATA, "too many samples");
        // SAFETY: the pages behind it are mapped, and filled so far.
        let mut data = unsafe { std::slice::from_raw_parts(self.0.add(PAGE).as_ptr(), head) };
        let mut addresses = Vec::new();
        // Each record has type, flags and size.
        while let Some((header, _)) = data.split_first_chunk::<8>() {
            let [a, b, c, d, _, _, low, high] = *header;
            let size = usize::from(u16::from_ne_bytes([low, high]));
            let record = data.get(8..size).context("a cut sample")?;
            if u32::from_ne_bytes([a, b, c, d]) == PERF_RECORD_SAMPLE {
                let address = record.first_chunk().context("an empty sample")?;
                addresses.push(u64::from_ne_bytes(*address));
            }
            data = &data[size..];
        }
        Ok(addresses)
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, with this length.
        let _ = unsafe { munmap(self.0.cast(), PAGE + DATA) };
    }
}

/// What takes samples of this thread.
pub struct Sampler(OwnedFd);

impl Sampler {
    /// Runs something of which no samples are taken.
    pub fn pause<T>(&self, run: impl FnOnce() -> T) -> T {
        const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
        self.stop();
        let result = run();
        // SAFETY: takes no memory.
        unsafe { libc::ioctl(self.0.as_raw_fd(), PERF_EVENT_IOC_ENABLE, 0) };
        result
    }

    fn stop(&self) {
        const PERF_EVENT_IOC_DISABLE: libc::c_ulong = 0x2401;
        // SAFETY: takes no memory.
        unsafe { libc::ioctl(self.0.as_raw_fd(), PERF_EVENT_IOC_DISABLE, 0) };
    }
}

/// The share of time in the kernel that each function took while `run` ran.
pub fn shares(run: impl FnOnce(&Sampler) -> Result<()>) -> Result<HashMap<String, f64>> {
    // The kernel would sample less often, not to be slowed down.
    fs::write("/proc/sys/kernel/perf_cpu_time_max_percent", "0")?;
    let attributes: [u64; 8] = [
        // The type, and the size of this.
        PERF_TYPE_SOFTWARE | (64 << 32),
        // PERF_COUNT_SW_CPU_CLOCK
        0,
        PERIOD,
        PERF_SAMPLE_IP,
        0,
        EXCLUDE_USER,
        0,
        0,
    ];
    // SAFETY: the attributes say their size, and are read during the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attributes.as_ptr(),
            0, // this thread
            -1,
            -1,
            0,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error()).context("perf_event_open");
    }
    // SAFETY: it was just opened.
    let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) };
    let samples = Samples::new(&fd)?;
    let sampler = Sampler(fd);
    let result = run(&sampler);
    sampler.stop();
    result?;
    let addresses = samples.addresses()?;
    ensure!(!addresses.is_empty(), "nothing was sampled");
    let symbols = Symbols::read()?;
    let mut shares = HashMap::new();
    for address in &addresses {
        *shares.entry(symbols.at(*address).to_owned()).or_insert(0.0) +=
            1.0 / addresses.len() as f64;
    }
    Ok(shares)
}
