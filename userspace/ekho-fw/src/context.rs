// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the commands work with.

use anyhow::{Context as _, Result};
use ekho::error::Class;
use ekho::firmware::{shipped, Firmware, Pins};
use ekho::kernel::netlink::device;
use ekho::kernel::{libbpf_log, netns};
use ekho::module::state::{Filter, State};
use ekho::module::Netlink;

use crate::args::{FirmwareArgs, Global};
use crate::render::{note, Output};

/// What the commands work with.
#[derive(Debug)]
pub struct Context<'output> {
    /// Where results go.
    pub output: &'output Output,
    /// What the module says of devices, firmware and flows.
    pub state: Box<dyn State>,
    /// Where firmware is pinned.
    pub pins: Pins,
    /// Whether one network namespace was chosen.
    one_netns: bool,
}

impl<'output> Context<'output> {
    /// Enters the network namespace that was chosen.
    pub fn new(global: &Global, output: &'output Output) -> Result<Self> {
        libbpf_log::set_debug(global.debug);
        if let Some(name) = &global.netns {
            netns::enter(name)?;
        }
        Ok(Self {
            output,
            state: Box::new(Netlink),
            pins: Pins::new(&global.pin_root),
            one_netns: global.netns.is_some(),
        })
    }

    /// Records to list: of one device of this namespace, else of the namespace that
    /// was chosen, else all that this process may see.
    pub fn filter(&self, dev: Option<&str>) -> Result<Filter> {
        let netns = if self.one_netns || dev.is_some() {
            Some(netns::current()?)
        } else {
            None
        };
        Ok(Filter {
            netns,
            dev: dev.map(str::to_owned),
        })
    }
}

impl Context<'_> {
    /// The interface that `--dev` means: one of this name, or else the first port of a device of this
    /// name. A name of nothing stays what it is, for whoever looks for it to say so.
    pub fn dev(&self, name: &str) -> Result<String> {
        if device::ifindex(name).is_ok() {
            return Ok(name.to_owned());
        }
        // Without the module there are no devices; whoever needs it says so.
        let devices = self.state.devices(&self.filter(None)?).unwrap_or_default();
        let netns = netns::current()?;
        let found = devices
            .into_iter()
            .find(|device| device.nic.as_deref() == Some(name) && device.netns == netns);
        Ok(found.map_or_else(|| name.to_owned(), |device| device.dev))
    }

    /// The same of an option that may be left out.
    pub fn dev_of(&self, name: Option<&str>) -> Result<Option<String>> {
        name.map(|name| self.dev(name)).transpose()
    }
}

/// Opens the firmware that the command line means.
pub fn open_firmware(args: &FirmwareArgs) -> Result<Firmware> {
    let mut firmware = Firmware::open(&shipped::find(&args.file))?;
    if let Some(variable) = &args.ops {
        firmware.select(variable)?;
    }
    if let Some(name) = &args.name {
        firmware.rename(name)?;
    }
    Ok(firmware)
}

/// Keeps the verifier's log where the command line wants it.
pub fn keep_log<T>(args: &FirmwareArgs, result: ekho::Result<T>) -> ekho::Result<T> {
    if let (Some(path), Err(ekho::Error::Verifier { rejection, .. })) = (&args.log, &result) {
        match std::fs::write(path, &rejection.log) {
            Ok(()) => note(&format!("the verifier's log is in {}", path.display())),
            Err(err) => note(&format!("can't write {}: {err}", path.display())),
        }
    }
    result
}

/// Says what was being done, unless the error is about the firmware itself: then it
/// names the file already.
pub fn doing<T>(result: ekho::Result<T>, what: impl FnOnce() -> String) -> Result<T> {
    match result {
        Err(error) if error.class() == Class::Firmware => Err(error.into()),
        other => other.with_context(what),
    }
}
