// SPDX-License-Identifier: MIT OR Apache-2.0

//! Notifications about firmware: attached, replaced, detached, stopped for breaking the
//! contract, its device gone.
//!
//! The module sends uevents of the device (`ACTION=change` with `EKHO_EVENT`), and
//! keeps a record of each end by force. Both are put together here.

use std::collections::HashMap;

use serde::Serialize;

use crate::error::Result;
use crate::kernel::netns;
use crate::kernel::uevent::Uevent;
use crate::module::state::{Exit, Filter, State};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Firmware was there already.
    Attached,
    /// Firmware was attached.
    Attach,
    /// Firmware was replaced by other firmware.
    Replace,
    /// Firmware was detached.
    Detach,
    /// Firmware broke the contract, and was detached for that.
    Exit,
    /// A device that was told of is gone.
    Gone,
    /// Messages of the kernel were lost: this output is incomplete.
    Lost,
    /// Something that a newer module tells.
    Unknown,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// What it was.
    pub event: Kind,
    /// When it was noticed, in ns of `CLOCK_MONOTONIC`; for `exit`, when it happened.
    pub time_ns: u64,
    /// Name of the device.
    pub dev: Option<String>,
    /// Name of the firmware: the new one after `replace`.
    pub firmware: Option<String>,
    /// Name of the firmware that was there before.
    pub replaced: Option<String>,
    /// Op that broke the contract.
    pub op: Option<String>,
    /// What it did, in a word of the module's.
    pub code: Option<String>,
    /// What it did, in words.
    pub reason: Option<String>,
    /// Flows that went back to software.
    pub flows: Option<u64>,
}

impl Notification {
    fn new(event: Kind, time_ns: u64) -> Self {
        Self {
            event,
            time_ns,
            dev: None,
            firmware: None,
            replaced: None,
            op: None,
            code: None,
            reason: None,
            flows: None,
        }
    }

    /// As the module remembers it.
    pub fn of_exit(exit: &Exit) -> Self {
        Self {
            dev: Some(exit.dev.clone()),
            firmware: Some(exit.firmware.clone()),
            op: Some(exit.op.clone()),
            code: Some(exit.code.clone()),
            reason: Some(exit.reason.clone()),
            flows: Some(exit.flows),
            ..Self::new(Kind::Exit, exit.time_ns)
        }
    }
}

/// Follows the firmware of this network namespace.
#[derive(Debug)]
pub struct Monitor<'state> {
    state: &'state dyn State,
    filter: Filter,
    /// The devices that were told of, and their firmware.
    devices: HashMap<String, Option<String>>,
}

impl<'state> Monitor<'state> {
    /// Begins with what there is, after what has been: ends by force, then firmware that
    /// is attached.
    pub fn start(
        state: &'state dyn State,
        dev: Option<&str>,
        now_ns: u64,
    ) -> Result<(Self, Vec<Notification>)> {
        let filter = Filter {
            netns: Some(netns::current()?),
            dev: dev.map(str::to_owned),
        };
        let mut notifications: Vec<Notification> = state
            .exits(&filter)?
            .iter()
            .map(Notification::of_exit)
            .collect();
        let mut devices = HashMap::new();
        for record in state.firmware(&filter)? {
            notifications.push(Notification {
                dev: Some(record.dev.clone()),
                firmware: Some(record.firmware.clone()),
                ..Notification::new(Kind::Attached, now_ns)
            });
            devices.insert(record.dev, Some(record.firmware));
        }
        let monitor = Self {
            state,
            filter,
            devices,
        };
        Ok((monitor, notifications))
    }

    /// Messages were lost: what is attached is looked up anew.
    pub fn lost(&mut self, now_ns: u64) -> Result<Notification> {
        self.devices = self
            .state
            .firmware(&self.filter)?
            .into_iter()
            .map(|record| (record.dev, Some(record.firmware)))
            .collect();
        Ok(Notification::new(Kind::Lost, now_ns))
    }

    /// What a message tells, if it is about firmware.
    pub fn receive(&mut self, message: &Uevent, now_ns: u64) -> Result<Option<Notification>> {
        let get = |key| message.get(key).map(str::to_owned);
        if message.get("SUBSYSTEM") != Some("net") {
            return Ok(None);
        }
        let Some(dev) = get("EKHO_DEV").or_else(|| get("INTERFACE")) else {
            return Ok(None);
        };
        if self.filter.dev.as_ref().is_some_and(|only| *only != dev) {
            return Ok(None);
        }
        match message.get("ACTION") {
            Some("remove") => {
                return Ok(self.devices.remove(&dev).map(|firmware| Notification {
                    dev: Some(dev),
                    firmware,
                    ..Notification::new(Kind::Gone, now_ns)
                }));
            }
            // It has another name now.
            Some("move") => {
                let old = message
                    .get("DEVPATH_OLD")
                    .and_then(|path| path.rsplit('/').next());
                if let Some(firmware) = old.and_then(|old| self.devices.remove(old)) {
                    self.devices.insert(dev, firmware);
                }
                return Ok(None);
            }
            _ => {}
        }
        let Some(event) = message.get("EKHO_EVENT") else {
            return Ok(None);
        };
        let firmware = get("EKHO_FIRMWARE");
        let mut notification = Notification {
            dev: Some(dev.clone()),
            firmware: firmware.clone(),
            ..Notification::new(
                match event {
                    "attach" => Kind::Attach,
                    "replace" => Kind::Replace,
                    "detach" => Kind::Detach,
                    "exit" => Kind::Exit,
                    _ => Kind::Unknown,
                },
                now_ns,
            )
        };
        match (notification.event, firmware) {
            (Kind::Attach | Kind::Replace, firmware) => {
                let before = self.devices.insert(dev, firmware).flatten();
                notification.replaced = before.filter(|_| notification.event == Kind::Replace);
            }
            (Kind::Detach, _) => {
                self.devices.insert(dev, None);
            }
            (Kind::Exit, firmware) => {
                notification.op = get("EKHO_OP");
                notification.code = get("EKHO_CODE");
                notification.reason = get("EKHO_REASON");
                // The record knows more, and may be there only after the message.
                let newest = self
                    .state
                    .exits(&self.filter)?
                    .into_iter()
                    .rfind(|exit| exit.dev == dev && Some(&exit.firmware) == firmware.as_ref());
                if let Some(exit) = newest {
                    notification = Notification::of_exit(&exit);
                }
                self.devices.insert(dev, None);
            }
            _ => {}
        }
        Ok(Some(notification))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::module::debugfs::Debugfs;

    fn monitor(exits: &str) -> (tempfile::TempDir, Monitor<'static>, Vec<Notification>) {
        let directory = tempfile::tempdir().unwrap();
        let here = netns::current().unwrap();
        let firmware = format!(
            "ifindex=3 dev=ek0 netns={here} firmware=stats abi=2 link=7 map=23 generation=1\n\
             ifindex=4 dev=ek1 netns={here} firmware=noop abi=2 link=8 map=24 generation=1\n\
             ifindex=3 dev=ek9 netns=1 firmware=far abi=2 link=9 map=25 generation=1\n"
        );
        fs::write(directory.path().join("firmware"), firmware).unwrap();
        fs::write(
            directory.path().join("exits"),
            exits.replace("netns=0", &format!("netns={here}")),
        )
        .unwrap();
        let state: &Debugfs = Box::leak(Box::new(Debugfs::new(directory.path())));
        let (monitor, notifications) = Monitor::start(state, None, 5).unwrap();
        (directory, monitor, notifications)
    }

    fn message(variables: &[&str]) -> Uevent {
        Uevent::parse(format!("change@/x\0SUBSYSTEM=net\0{}\0", variables.join("\0")).as_bytes())
            .unwrap()
    }

    const EXIT: &str = "ifindex=3 dev=ek0 netns=0 firmware=bad generation=1 op=replace code=returned value=1 flows=2 time_ns=3 reason=replace returned 1\n";

    #[test]
    fn it_begins_with_what_there_is_here() {
        let (_directory, _monitor, notifications) = monitor(EXIT);
        let kinds: Vec<_> = notifications
            .iter()
            .map(|notification| (notification.event, notification.dev.as_deref().unwrap()))
            .collect();
        assert_eq!(
            kinds,
            [
                (Kind::Exit, "ek0"),
                (Kind::Attached, "ek0"),
                (Kind::Attached, "ek1")
            ]
        );
    }

    #[test]
    fn a_replacement_knows_what_it_replaced() {
        let (_directory, mut monitor, _) = monitor("");
        let replace = message(&[
            "ACTION=change",
            "EKHO_EVENT=replace",
            "EKHO_DEV=ek0",
            "EKHO_FIRMWARE=new",
        ]);
        let notification = monitor.receive(&replace, 9).unwrap().unwrap();
        assert_eq!(
            serde_json::to_string(&notification).unwrap(),
            concat!(
                r#"{"event":"replace","time_ns":9,"dev":"ek0","firmware":"new","replaced":"stats","#,
                r#""op":null,"code":null,"reason":null,"flows":null}"#
            )
        );
    }

    #[test]
    fn an_exit_is_told_with_its_record_or_without() {
        let (directory, mut monitor, _) = monitor("");
        let exit = message(&[
            "ACTION=change",
            "EKHO_EVENT=exit",
            "EKHO_DEV=ek0",
            "EKHO_FIRMWARE=bad",
            "EKHO_OP=replace",
            "EKHO_CODE=returned",
            "EKHO_REASON=replace returned 1",
        ]);
        let notification = monitor.receive(&exit, 9).unwrap().unwrap();
        assert_eq!(notification.reason.as_deref(), Some("replace returned 1"));
        assert_eq!((notification.flows, notification.time_ns), (None, 9));
        let here = netns::current().unwrap();
        let exits = EXIT.replace("netns=0", &format!("netns={here}"));
        fs::write(directory.path().join("exits"), exits).unwrap();
        let notification = monitor.receive(&exit, 9).unwrap().unwrap();
        assert_eq!((notification.flows, notification.time_ns), (Some(2), 3));
    }

    #[test]
    fn only_devices_that_were_told_of_are_missed() {
        let (_directory, mut monitor, _) = monitor("");
        let gone = |dev| message(&["ACTION=remove", &format!("INTERFACE={dev}")]);
        assert_eq!(monitor.receive(&gone("lo"), 1).unwrap(), None);
        let notification = monitor.receive(&gone("ek1"), 1).unwrap().unwrap();
        assert_eq!(notification.event, Kind::Gone);
        assert_eq!(notification.firmware.as_deref(), Some("noop"));
        assert_eq!(monitor.receive(&gone("ek1"), 1).unwrap(), None);
        let detach = message(&["ACTION=change", "EKHO_EVENT=detach", "EKHO_DEV=ek0"]);
        assert_eq!(
            monitor.receive(&detach, 1).unwrap().unwrap().event,
            Kind::Detach
        );
        assert_eq!(
            monitor.receive(&gone("ek0"), 1).unwrap().unwrap().firmware,
            None
        );
    }

    #[test]
    fn a_device_keeps_its_firmware_under_another_name() {
        let (_directory, mut monitor, _) = monitor("");
        let renamed = message(&[
            "ACTION=move",
            "DEVPATH_OLD=/devices/virtual/net/ek1",
            "INTERFACE=new1",
        ]);
        assert_eq!(monitor.receive(&renamed, 1).unwrap(), None);
        let gone = message(&["ACTION=remove", "INTERFACE=new1"]);
        let notification = monitor.receive(&gone, 1).unwrap().unwrap();
        assert_eq!(notification.firmware.as_deref(), Some("noop"));
    }

    #[test]
    fn other_messages_tell_nothing() {
        let (_directory, mut monitor, _) = monitor("");
        for variables in [
            &["ACTION=change", "INTERFACE=ek0"][..],
            &["ACTION=change", "EKHO_EVENT=attach"],
        ] {
            assert_eq!(monitor.receive(&message(variables), 1).unwrap(), None);
        }
        let odd = message(&["ACTION=change", "EKHO_EVENT=frob", "EKHO_DEV=ek0"]);
        assert_eq!(
            monitor.receive(&odd, 1).unwrap().unwrap().event,
            Kind::Unknown
        );
    }
}
