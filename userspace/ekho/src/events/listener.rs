// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading a firmware's events until it is detached.
//!
//! ```text
//!  firmware ──▶ ring buffer `ekho_events` ──▶ Listener::take ──▶ Event::parse
//!      │        map `ekho_lost`           ──▶ Listener::lost
//!      └── link: hangs up at the end      ──▶ Listener::follow
//! ```

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::contract::{EVENTS_MAP as RING, LOST_MAP as LOST};
use crate::error::{Error, Result};
use crate::firmware::attachment::{self, Attachment};
use crate::kernel::bpf::{Map, Ring};
use crate::kernel::capability::{self, Capability};
use crate::module::Module;
use crate::module::State;

/// Reader of the events of a device's firmware. Another reader of the same firmware
/// takes part of them. The link is held open meanwhile, as it says when it is detached:
/// removing its pin alone doesn't detach the firmware before the reader ends.
#[derive(Debug)]
pub struct Listener {
    attachment: Attachment,
    ring: Ring,
    ring_id: u32,
    lost: Option<Map>,
}

/// Whether the firmware that is listened to is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It is still there, or its successor that goes on with the same ring buffer.
    Same,
    /// It was replaced, and the successor has a ring buffer of its own.
    Replaced,
    /// It was replaced by firmware that sends no events.
    Silent,
    /// It was detached, or its device is gone.
    Gone,
}

impl Listener {
    /// Opens the events of the firmware on a device of this network namespace
    /// (`CAP_SYS_ADMIN`).
    pub fn open(state: &dyn State, dev: &str) -> Result<Self> {
        capability::require("reading events", &[Capability::SysAdmin])?;
        let record = attachment::find(state, dev)?;
        let attachment = Attachment::open(&Module::open()?, record)?;
        let silent = || Error::NoEvents {
            firmware: attachment.record().firmware.clone(),
            dev: dev.to_owned(),
        };
        let ring_id = attachment.map(RING)?.ok_or_else(silent)?.info().id;
        let ring = Ring::by_id(ring_id).map_err(Error::io(format!(
            "can't read map `{RING}` of firmware `{}` on `{dev}`",
            attachment.record().firmware
        )))?;
        let lost = attachment.map(LOST)?;
        Ok(Self {
            attachment,
            ring,
            ring_id,
            lost,
        })
    }

    /// Readable when there are events.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Hangs up when the firmware is detached.
    pub fn link(&self) -> BorrowedFd<'_> {
        self.attachment.link()
    }

    /// Name of the firmware.
    pub fn firmware(&self) -> &str {
        &self.attachment.record().firmware
    }

    /// Takes up to `max` records that are there.
    pub fn take(&self, max: usize) -> Result<Vec<Vec<u8>>> {
        self.ring
            .take(max)
            .map_err(Error::io(format!("can't read map `{RING}`")))
    }

    /// How many events were lost since the firmware was loaded.
    pub fn lost(&self) -> u64 {
        self.lost
            .as_ref()
            .and_then(|map| map.lookup(&0u32.to_ne_bytes()).ok().flatten())
            .and_then(|value| Some(u64::from_ne_bytes(value.try_into().ok()?)))
            .unwrap_or(0)
    }

    /// Looks at what became of the firmware, and goes on with its successor where that
    /// uses the same ring buffer.
    pub fn follow(&mut self, state: &dyn State, dev: &str) -> Result<Continuity> {
        if self.attachment.is_current() {
            return Ok(Continuity::Same);
        }
        match Self::open(state, dev) {
            // Another attachment, made since.
            Ok(next) if next.attachment.record().link != self.attachment.record().link => {
                Ok(Continuity::Gone)
            }
            Ok(next) if next.ring_id == self.ring_id => {
                self.attachment = next.attachment;
                Ok(Continuity::Same)
            }
            Ok(_) => Ok(Continuity::Replaced),
            Err(Error::NoEvents { .. }) => Ok(Continuity::Silent),
            Err(
                Error::NotAttached { .. }
                | Error::Stopped { .. }
                | Error::NoDevice { .. }
                | Error::Io { .. },
            ) => Ok(Continuity::Gone),
            Err(error) => Err(error),
        }
    }
}
