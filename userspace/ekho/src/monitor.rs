// SPDX-License-Identifier: MIT OR Apache-2.0

//! Notifications about firmware: attached, replaced, detached, stopped for breaking the
//! contract, its device gone.
//!
//! The module sends them to those that listen (`module::netlink::notification`), and keeps a
//! record of each end by force. Both are put together here, of one network namespace or of all.

use std::collections::HashMap;
use std::slice;

use serde::Serialize;

use crate::error::Result;
use crate::kernel::netns;
use crate::module::netlink::notification::{self, Named};
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
    /// Messages of the module were lost: this output is incomplete.
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
    /// Inode number of the device's network namespace.
    pub netns: Option<u64>,
    /// What `ip netns` calls it.
    pub netns_name: Option<String>,
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
            netns: None,
            netns_name: None,
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
            netns: Some(exit.netns),
            firmware: Some(exit.firmware.clone()),
            op: Some(exit.op.clone()),
            code: Some(exit.code.clone()),
            reason: Some(exit.reason.clone()),
            flows: Some(exit.flows),
            ..Self::new(Kind::Exit, exit.time_ns)
        }
    }
}

/// Follows firmware.
#[derive(Debug)]
pub struct Monitor<'state> {
    state: &'state dyn State,
    filter: Filter,
    /// The firmware of devices that were told of, by network namespace and index of the device.
    devices: HashMap<(u64, u32), Option<String>>,
}

impl<'state> Monitor<'state> {
    /// Begins with what there is, after what has been: ends by force, then firmware that
    /// is attached.
    pub fn start(
        state: &'state dyn State,
        filter: Filter,
        now_ns: u64,
    ) -> Result<(Self, Vec<Notification>)> {
        let mut notifications: Vec<Notification> = state
            .exits(&filter)?
            .iter()
            .map(Notification::of_exit)
            .collect();
        let mut devices = HashMap::new();
        for record in state.firmware(&filter)? {
            notifications.push(Notification {
                dev: Some(record.dev),
                netns: Some(record.netns),
                firmware: Some(record.firmware.clone()),
                ..Notification::new(Kind::Attached, now_ns)
            });
            devices.insert((record.netns, record.ifindex), Some(record.firmware));
        }
        name(&mut notifications);
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
            .map(|record| ((record.netns, record.ifindex), Some(record.firmware)))
            .collect();
        Ok(Notification::new(Kind::Lost, now_ns))
    }

    /// What a notification of the module tells of firmware, if it does.
    pub fn receive(
        &mut self,
        notification: notification::Notification,
        now_ns: u64,
    ) -> Option<Notification> {
        use notification::Notification as Notice;

        let mut told = match notification {
            Notice::Attach(named) => self.named(Kind::Attach, named, now_ns),
            Notice::Replace(named) => self.named(Kind::Replace, named, now_ns),
            Notice::Detach(named) => self.named(Kind::Detach, named, now_ns),
            Notice::Exit(exit) => {
                self.devices.insert((exit.netns, exit.ifindex), None);
                Notification::of_exit(&exit)
            }
            // What comes into a namespace may bring its firmware.
            Notice::DeviceAdd(device) => {
                let firmware = device.firmware?;
                let key = (device.netns, device.ifindex);
                self.devices.insert(key, Some(firmware.clone()));
                Notification {
                    firmware: Some(firmware),
                    dev: Some(device.dev),
                    netns: Some(device.netns),
                    ..Notification::new(Kind::Attached, now_ns)
                }
            }
            Notice::DeviceChange(_) => return None,
            Notice::DeviceDel(device) => Notification {
                firmware: self.devices.remove(&(device.netns, device.ifindex))?,
                dev: Some(device.dev),
                netns: Some(device.netns),
                ..Notification::new(Kind::Gone, now_ns)
            },
            Notice::Unknown(dev, netns) => Notification {
                dev: Some(dev),
                netns: Some(netns),
                ..Notification::new(Kind::Unknown, now_ns)
            },
        };
        let is_wanted = self
            .filter
            .dev
            .as_ref()
            .is_none_or(|only| Some(only) == told.dev.as_ref());
        name(slice::from_mut(&mut told));
        is_wanted.then_some(told)
    }

    /// What became of firmware that a notification names.
    fn named(&mut self, event: Kind, named: Named, now_ns: u64) -> Notification {
        let firmware = Some(named.firmware);
        let now = firmware.clone().filter(|_| event != Kind::Detach);
        let key = (named.netns, named.ifindex);
        let before = self.devices.insert(key, now).flatten();
        Notification {
            dev: Some(named.dev),
            netns: Some(named.netns),
            firmware,
            replaced: before.filter(|_| event == Kind::Replace),
            ..Notification::new(event, now_ns)
        }
    }
}

/// Adds what `ip netns` calls the namespaces.
fn name(notifications: &mut [Notification]) {
    if notifications.is_empty() {
        return;
    }
    let names = netns::names();
    for told in notifications {
        told.netns_name = told.netns.and_then(|netns| names.get(&netns).cloned());
    }
}

#[cfg(test)]
mod tests {
    use notification::Notification as Notice;

    use super::*;
    use crate::module::state::tests_support::{device, exit, firmware, Fake};
    use crate::module::state::Device;

    fn monitor(exits: Vec<Exit>) -> (Monitor<'static>, Vec<Notification>) {
        let here = netns::current().unwrap();
        let state = Fake {
            firmware: vec![
                firmware(3, "ek0", here, "stats"),
                firmware(4, "ek1", here, "noop"),
                firmware(3, "ek9", 1, "far"),
            ],
            exits,
            ..Fake::default()
        };
        let filter = Filter {
            netns: Some(here),
            dev: None,
        };
        Monitor::start(Box::leak(Box::new(state)), filter, 5).unwrap()
    }

    fn named(ifindex: u32, dev: &str, firmware: &str) -> Named {
        Named {
            ifindex,
            dev: dev.into(),
            netns: netns::current().unwrap(),
            firmware: firmware.into(),
        }
    }

    /// A device as notifications have it.
    fn here(ifindex: u32, dev: &str) -> Device {
        Device {
            netns: netns::current().unwrap(),
            ..device(ifindex, dev)
        }
    }

    #[test]
    fn it_begins_with_what_there_is_here() {
        let (_, notifications) = monitor(vec![exit(3, "ek0", netns::current().unwrap(), "bad")]);
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
        let (mut monitor, _) = monitor(Vec::new());
        let notification = monitor
            .receive(Notice::Replace(named(3, "ek0", "new")), 9)
            .unwrap();
        let here = netns::current().unwrap();
        assert_eq!(
            serde_json::to_value(Notification {
                netns_name: None,
                ..notification
            })
            .unwrap(),
            serde_json::json!({
                "event": "replace", "time_ns": 9, "dev": "ek0", "netns": here, "netns_name": null,
                "firmware": "new", "replaced": "stats",
                "op": null, "code": null, "reason": null, "flows": null,
            })
        );
    }

    #[test]
    fn an_exit_is_told_with_all_that_is_known() {
        let (mut monitor, _) = monitor(Vec::new());
        let exit = exit(3, "ek0", netns::current().unwrap(), "bad");
        let notification = monitor.receive(Notice::Exit(exit.clone()), 9).unwrap();
        assert_eq!(notification.reason, Some(exit.reason));
        assert_eq!(
            (notification.flows, notification.time_ns),
            (Some(exit.flows), exit.time_ns)
        );
        // The firmware is gone, and the next one replaces none.
        let notification = monitor
            .receive(Notice::DeviceDel(here(3, "ek0")), 9)
            .unwrap();
        assert_eq!(notification.firmware, None);
    }

    #[test]
    fn only_devices_that_were_told_of_are_missed() {
        let (mut monitor, _) = monitor(Vec::new());
        let gone = |ifindex, dev| Notice::DeviceDel(here(ifindex, dev));
        assert_eq!(monitor.receive(gone(1, "lo"), 1), None);
        let notification = monitor.receive(gone(4, "ek1"), 1).unwrap();
        assert_eq!(notification.event, Kind::Gone);
        assert_eq!(notification.firmware.as_deref(), Some("noop"));
        assert_eq!(monitor.receive(gone(4, "ek1"), 1), None);
        let detach = Notice::Detach(named(3, "ek0", "stats"));
        let notification = monitor.receive(detach, 1).unwrap();
        assert_eq!(notification.event, Kind::Detach);
        assert_eq!(notification.firmware.as_deref(), Some("stats"));
        assert_eq!(monitor.receive(gone(3, "ek0"), 1).unwrap().firmware, None);
    }

    #[test]
    fn a_device_that_moves_is_told_of_where_it_comes() {
        let (mut monitor, _) = monitor(Vec::new());
        let gone = monitor
            .receive(Notice::DeviceDel(here(4, "ek1")), 1)
            .unwrap();
        assert_eq!(gone.event, Kind::Gone);
        let moved = Device {
            netns: 2,
            firmware: Some("noop".into()),
            ..device(5, "ek1")
        };
        let told = monitor.receive(Notice::DeviceAdd(moved), 2).unwrap();
        assert_eq!(
            (told.event, told.netns, told.firmware.as_deref()),
            (Kind::Attached, Some(2), Some("noop"))
        );
        // One without firmware is none that anybody asked for.
        assert_eq!(monitor.receive(Notice::DeviceAdd(here(6, "ek2")), 3), None);
    }

    #[test]
    fn devices_of_several_namespaces_may_have_the_same_index() {
        let state = Fake {
            firmware: vec![firmware(3, "ek0", 1, "one"), firmware(3, "ek0", 2, "two")],
            ..Fake::default()
        };
        let (mut monitor, known) = Monitor::start(&state, Filter::default(), 5).unwrap();
        let namespaces: Vec<_> = known.iter().map(|told| told.netns.unwrap()).collect();
        assert_eq!(namespaces, [1, 2]);
        let replace = Notice::Replace(Named {
            netns: 2,
            ..named(3, "ek0", "new")
        });
        let told = monitor.receive(replace, 9).unwrap();
        assert_eq!(
            (told.netns, told.replaced.as_deref()),
            (Some(2), Some("two"))
        );
        let gone = Notice::DeviceDel(Device {
            netns: 1,
            ..device(3, "ek0")
        });
        let told = monitor.receive(gone, 9).unwrap();
        assert_eq!(
            (told.netns, told.firmware.as_deref()),
            (Some(1), Some("one"))
        );
    }

    #[test]
    fn a_device_keeps_its_firmware_under_another_name() {
        let (mut monitor, _) = monitor(Vec::new());
        let renamed = Notice::DeviceChange(here(4, "new1"));
        assert_eq!(monitor.receive(renamed, 1), None);
        let notification = monitor
            .receive(Notice::DeviceDel(here(4, "new1")), 1)
            .unwrap();
        assert_eq!(notification.firmware.as_deref(), Some("noop"));
        assert_eq!(notification.dev.as_deref(), Some("new1"));
    }

    #[test]
    fn other_devices_are_passed_over_and_news_of_a_newer_module_is_not() {
        let (mut monitor, _) = monitor(Vec::new());
        monitor.filter.dev = Some("ek0".into());
        let attach = Notice::Attach(named(4, "ek1", "noop"));
        assert_eq!(monitor.receive(attach, 1), None);
        let odd = Notice::Unknown("ek0".into(), 1);
        assert_eq!(monitor.receive(odd, 1).unwrap().event, Kind::Unknown);
    }
}
