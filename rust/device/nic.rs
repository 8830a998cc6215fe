// SPDX-License-Identifier: GPL-2.0-only

//! Devices with several ports: `echo NAME PORTS > /sys/bus/ekho/new_device`.
//!
//! ```text
//!  /sys/bus/ekho/devices/nic0 ── devlink ekho/nic0 ─┬─ port 0 ── netdev nic0p0
//!                                                   ├─ port 1 ── netdev nic0p1
//!                                                   └─ …
//! ```
//!
//! A port is like a netdev of kind `ekho`, but for three things: it has no carrier without a cable, it
//! isn't deleted but with its device, and it goes back to the initial network namespace when its own
//! ends. `devlink dev reload` makes all ports anew, in another namespace if that is asked for.
//!
//! # Locks
//!
//! The list of devices → the lock of one in the driver core → its devlink instance's → RTNL.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        capability::is_net_admin,
        device::bus::{
            self,
            Bus,
            BusDriver, //
        },
        error::enametoolong,
        net::{
            devlink::{
                self,
                DevlinkDriver,
                Info,
                Ports,
                SwitchId, //
            },
            namespace::Net,
            net_device::{
                DevName,
                NetDevice,
                RtnlGuard, //
            },
        },
    },
    contract::uapi,
    device::netdev::Ekho,
    hardware::port::Member,
    offload::{
        self,
        device::Nic, //
    },
    version::VERSION, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    fmt,
    prelude::*,
    str::{
        BStr,
        CString, //
    },
    sync::Arc, //
};

/// The most ports that a device can have.
const PORTS_MAX: u32 = uapi::EKHO_PORTS_MAX;

/// What the numbers that identify devices as switches begin with: "ekho".
const SWITCH_ID: u64 = 0x656b_686f << 32;

/// Why a device isn't made or removed.
pub(crate) enum Refusal<'a> {
    /// There is no device of this name.
    Unknown(&'a BStr),
    /// There is one.
    Taken(&'a BStr),
    /// A port would have the name of an interface.
    InterfaceTaken(DevName),
    /// Neither a device nor its ports can have the name.
    Invalid(&'a BStr),
    /// Its ports would have names that are too long.
    TooLong,
    /// It can't have so many ports.
    Ports,
    /// Anything else.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refusal<'_> {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Refusal<'_> {
    /// As the kernel says it.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::Unknown(_) => ENODEV,
            Self::Taken(_) | Self::InterfaceTaken(_) => EEXIST,
            Self::Invalid(_) => EINVAL,
            Self::TooLong => enametoolong(),
            Self::Ports => ERANGE,
            Self::Failed(error) => *error,
        }
    }
}

/// In at most 79 bytes, as a netlink acknowledgement holds.
impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => f.write_fmt(fmt!("no device {}; see: devlink dev", name)),
            Self::Taken(name) => f.write_fmt(fmt!("there is a device {} already", name)),
            Self::InterfaceTaken(name) => {
                f.write_fmt(fmt!("there is an interface {} already", name))
            }
            Self::Invalid(name) => f.write_fmt(fmt!("a device can't be called {}", name)),
            Self::TooLong => f.write_str("the name is too long; those of ports have 15 bytes"),
            Self::Ports => f.write_fmt(fmt!("a device has 1 to {} ports", PORTS_MAX)),
            Self::Failed(error) => f.write_fmt(fmt!(
                "the device can't be made (errno {})",
                -error.to_errno()
            )),
        }
    }
}

/// What a device is made of; never changes.
pub(crate) struct Card {
    name: Arc<CString>,
    version: CString,
    switch: SwitchId,
    ports: KVec<DevName>,
}

impl DevlinkDriver for Card {
    fn start(&self, ports: &mut Ports<'_>) -> Result {
        let nic = Nic {
            name: self.name.clone(),
            ports: self.ports.len(),
        };
        let device = offload::device::Device::new(true, Some(nic))?;
        for (index, name) in (0u16..).zip(&self.ports) {
            let device = device.clone();
            let member = Member { device, index };
            ports.add::<Ekho>(index.into(), self.switch, name, member)?;
        }
        Ok(())
    }

    fn info(&self, info: &mut Info<'_>) -> Result {
        info.serial_number(&self.name)?;
        info.fixed(c"asic.id", c"ekho")?;
        info.running(c"fw", &self.version)
    }
}

/// The driver of the bus.
pub(crate) struct Driver;

impl BusDriver for Driver {
    const NAME: &'static CStr = c"ekho";

    type Config = Card;

    type Data<'bound> = devlink::Registration<'bound, Card>;

    fn probe<'bound>(dev: &'bound Device<Bound>, card: Card) -> Result<Self::Data<'bound>> {
        devlink::Registration::new(dev, Net::initial(), card)
    }

    fn new_device(text: &[u8]) -> Result {
        may_change()?;
        let mut words = words(text);
        let (Some(name), Some(ports), None) = (words.next(), words.next(), words.next()) else {
            pr_err!("a new device is asked for as: NAME PORTS\n");
            return Err(EINVAL);
        };
        let ports = number(ports).ok_or(EINVAL)?;
        create(name, ports).map_err(told)
    }

    fn del_device(text: &[u8]) -> Result {
        may_change()?;
        let mut words = words(text);
        let (Some(name), None) = (words.next(), words.next()) else {
            pr_err!("a device is removed by: NAME\n");
            return Err(EINVAL);
        };
        remove(name).map_err(told)
    }
}

/// Who may open the files of the bus isn't said by them alone: in a container with users of its own
/// root can be the same user without any rights.
fn may_change() -> Result {
    match is_net_admin() {
        true => Ok(()),
        false => Err(EPERM),
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn number(word: &[u8]) -> Option<u32> {
    core::str::from_utf8(word).ok()?.parse().ok()
}

/// For who writes into a file, and gets an error number only.
fn told(refusal: Refusal<'_>) -> Error {
    pr_err!("{}\n", refusal);
    refusal.error()
}

/// A device on the list.
struct Entry {
    name: Arc<CString>,
    _registration: bus::Registration<Driver>,
}

/// The bus, and the devices in the order in which they were made.
struct Devices {
    entries: KVec<Entry>,
    bus: Arc<Bus<Driver>>,
    /// The number of the last device.
    last: u32,
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    //
    // None while there is no bus.
    unsafe(uninit) static DEVICES: Mutex<Option<Devices>> = None;
}

/// Makes the list ready; to be called once.
#[expect(unsafe_code)]
pub(crate) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { DEVICES.init() };
}

/// The bus, until dropped, which removes all devices. Process context.
pub(crate) struct Registered(());

impl Registered {
    /// Registers it.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let bus = Bus::new(module)?;
        *DEVICES.lock() = Some(Devices {
            entries: KVec::new(),
            bus,
            last: 0,
        });
        Ok(Self(()))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Without the lock, for which somebody may wait who uses a file of the bus.
        let devices = DEVICES.lock().take();
        drop(devices);
    }
}

/// The names of the ports of a device; fails if it can't be called so, or have so many.
fn port_names(name: &[u8], ports: u32) -> Result<KVec<DevName>, Refusal<'_>> {
    if !(1..=PORTS_MAX).contains(&ports) {
        return Err(Refusal::Ports);
    }
    let text = core::str::from_utf8(name).ok();
    // In sysfs an exclamation mark stands for a slash.
    let text = text.filter(|text| text.bytes().all(|c| c.is_ascii_graphic() && c != b'!'));
    let text = text.ok_or(Refusal::Invalid(BStr::from_bytes(name)))?;
    if text.len() + "p".len() + decimals(ports - 1) > DevName::LEN_MAX {
        return Err(Refusal::TooLong);
    }
    let mut names = KVec::with_capacity(ports as usize, GFP_KERNEL)?;
    for number in 0..ports {
        let port = DevName::new(fmt!("{}p{}", text, number));
        // The device could have the name of an interface as well: "." can't be one.
        let port = port.filter(|_| DevName::new(fmt!("{}", text)).is_some());
        names.push(
            port.ok_or(Refusal::Invalid(BStr::from_bytes(name)))?,
            GFP_KERNEL,
        )?;
    }
    Ok(names)
}

fn decimals(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Makes a device. Process context, without RTNL.
pub(crate) fn create(name: &[u8], ports: u32) -> Result<(), Refusal<'_>> {
    let names = port_names(name, ports)?;
    let mut devices = DEVICES.lock();
    let devices = devices.as_mut().ok_or(ENODEV)?;
    if devices
        .entries
        .iter()
        .any(|entry| entry.name.to_bytes() == name)
    {
        return Err(Refusal::Taken(BStr::from_bytes(name)));
    }
    // So that the user is told which. If there is one a moment later the device isn't made either.
    let taken = {
        let rtnl = RtnlGuard::lock();
        let is_taken = |name: &&DevName| NetDevice::is_name_taken(Net::initial(), name, &rtnl);
        names.iter().find(is_taken).copied()
    };
    if let Some(taken) = taken {
        return Err(Refusal::InterfaceTaken(taken));
    }
    devices.last = devices.last.wrapping_add(1);
    let text = |text: &[u8]| CString::try_from_fmt(fmt!("{}", BStr::from_bytes(text)));
    let name = Arc::new(text(name)?, GFP_KERNEL)?;
    let card = Card {
        name: name.clone(),
        version: text(VERSION.as_bytes())?,
        switch: SwitchId((SWITCH_ID + u64::from(devices.last)).to_be_bytes()),
        ports: names,
    };
    devices.entries.reserve(1, GFP_KERNEL)?;
    let registration = bus::Registration::new(&devices.bus, &name, card)?;
    let entry = Entry {
        name,
        _registration: registration,
    };
    devices.entries.push(entry, GFP_KERNEL)?;
    Ok(())
}

/// Removes a device with its ports. Process context, without RTNL.
pub(crate) fn remove(name: &[u8]) -> Result<(), Refusal<'_>> {
    let mut devices = DEVICES.lock();
    let devices = devices.as_mut().ok_or(ENODEV)?;
    let at = devices
        .entries
        .iter()
        .position(|entry| entry.name.to_bytes() == name);
    let at = at.ok_or(Refusal::Unknown(BStr::from_bytes(name)))?;
    // The name is free when it has gone.
    drop(devices.entries.remove(at));
    Ok(())
}
