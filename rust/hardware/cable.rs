// SPDX-License-Identifier: GPL-2.0-only

//! Cables: each joins two ports, or a port and an interface of another driver.
//!
//! RTNL guards all of it. A cable ends when it is disconnected, or one of its ends goes. It stays when a
//! port moves to another network namespace, and ends when an interface of another driver does: who has
//! it there needn't have agreed.
//!
//! There is a carrier at both ends while both are up, and neither was told to have none. An
//! interface of another driver has to have its own, too.

#![deny(unsafe_code)]

use super::{
    line::{
        Impairment,
        Line,
        Lost, //
    },
    port::{
        Peer,
        PeerLine,
        Plug,
        Port,
        Way, //
    },
};
use crate::abstractions::{
    bottom_half::BottomHalf,
    net::{
        net_device::{
            NetDevice,
            Rtnl, //
        },
        rx_handler::{
            FrameHandler,
            RxHandler, //
        },
        sk_buff::SkBuff, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
    },
};

/// One of the two ends of a cable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

/// Why there is no cable between two interfaces.
pub(crate) enum Refusal {
    /// They are the same.
    Same,
    /// Neither of them is a port of EKHO.
    NoPort,
    /// Not an Ethernet interface.
    NotEthernet(Side),
    /// It has a cable.
    Taken(Side),
    /// It belongs to a bridge, a bond or the like, which takes its frames.
    InUse(Side),
    /// It is stacked on the port at the other end.
    Stacked(Side),
    /// Anything else.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a cable is plugged into.
pub(crate) struct End {
    dev: ARef<NetDevice>,
    /// None of an interface of another driver.
    port: Option<Arc<Port>>,
}

impl End {
    /// An interface, with its port if it is one of EKHO.
    pub(crate) fn new(dev: &NetDevice, port: Option<Arc<Port>>) -> Self {
        Self {
            dev: dev.into(),
            port,
        }
    }

    /// How frames get to it.
    fn peer(&self) -> Peer {
        match &self.port {
            Some(port) => Peer::Port(port.clone()),
            None => Peer::Foreign(self.dev.clone()),
        }
    }

    /// Whether there is a carrier as far as this end goes.
    fn is_ready(&self, rtnl: &Rtnl) -> bool {
        self.dev.is_running(rtnl)
            && match &self.port {
                Some(port) => port.offers_carrier(rtnl),
                None => self.dev.has_carrier(),
            }
    }
}

/// Frames that an interface of another driver receives go into the cable.
impl FrameHandler for Plug {
    fn handle(&self, skb: Option<SkBuff>, bh: &BottomHalf) {
        match skb.and_then(|mut skb| skb.detach(bh).is_ok().then_some(skb)) {
            // Its sender may be far away, with small packets.
            Some(mut skb) => {
                skb.set_hops(0);
                self.send(skb, true, bh);
            }
            None => self.lost.count(),
        }
    }
}

/// A cable.
#[pin_data]
pub(crate) struct Cable {
    number: u64,
    impairment: Impairment,
    ends: [End; 2],
    /// The lines from each end, if frames don't go straight to the other.
    lines: [Option<PeerLine>; 2],
    /// What gets lost of what each end sends.
    lost: [Arc<Lost>; 2],
    /// Takes the frames of the end that isn't a port, if there is one.
    #[pin]
    handler: Mutex<Option<RxHandler<Plug>>>,
}

impl Cable {
    /// Its number; later cables have larger ones.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The interface at one end.
    pub(crate) fn dev(&self, side: Side) -> &NetDevice {
        &self.ends[side as usize].dev
    }

    /// Which end an interface is, if it is one.
    pub(crate) fn side_of(&self, dev: &NetDevice) -> Option<Side> {
        [Side::A, Side::B]
            .into_iter()
            .find(|side| self.dev(*side).key() == dev.key())
    }

    /// Whether there is a carrier at both ends.
    pub(crate) fn has_carrier(&self, rtnl: &Rtnl) -> bool {
        self.ends.iter().all(|end| end.is_ready(rtnl))
    }

    fn set_carrier(&self, on: bool, rtnl: &Rtnl) {
        for end in self.ends.iter().filter(|end| end.port.is_some()) {
            end.dev.set_carrier(on, rtnl);
        }
    }

    /// What it does to frames.
    pub(crate) fn impairment(&self) -> Impairment {
        self.impairment
    }

    /// How many of the frames that one end has sent got lost on the way.
    pub(crate) fn lost(&self, side: Side) -> u64 {
        self.lost[side as usize].get()
    }

    /// Where what one end sends goes.
    fn plug(&self, from: usize) -> Result<Arc<Plug>> {
        let way = match &self.lines[from] {
            Some(line) => Way::Line(line.clone()),
            None => Way::Direct(self.ends[1 - from].peer()),
        };
        let lost = self.lost[from].clone();
        Ok(Arc::new(Plug { way, lost }, GFP_KERNEL)?)
    }

    /// Lets frames through. Changes nothing if it fails.
    fn begin(&self, rtnl: &Rtnl) -> Result {
        let plugs = [self.plug(0)?, self.plug(1)?];
        // First what can fail. A port that has no plug yet sends nothing here.
        for (end, plug) in self.ends.iter().zip(&plugs) {
            if end.port.is_none() {
                let handler = RxHandler::new(&end.dev, plug.clone(), rtnl)?;
                *self.handler.lock() = Some(handler);
            }
        }
        for (end, plug) in self.ends.iter().zip(plugs) {
            if let Some(port) = &end.port {
                port.plug(plug, rtnl);
            }
        }
        self.set_carrier(self.has_carrier(rtnl), rtnl);
        Ok(())
    }

    /// Lets no frame through any more.
    fn end(&self, rtnl: &Rtnl) {
        self.set_carrier(false, rtnl);
        for port in self.ends.iter().filter_map(|end| end.port.as_ref()) {
            port.unplug(rtnl);
        }
        let handler = self.handler.lock().take();
        if let Some(handler) = handler {
            handler.unregister(rtnl);
        }
        // Nobody sends any more.
        self.lines.iter().flatten().for_each(Line::end);
    }
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    //
    // Also changed only under RTNL, so that it doesn't change while RTNL is held.
    unsafe(uninit) static CABLES: Mutex<KVec<Arc<Cable>>> = KVec::new();
}

/// The number of the last cable.
static LAST: Atomic<u64> = Atomic::new(0);

/// How often cables have come and gone.
static CHANGES: Atomic<u64> = Atomic::new(0);

/// Makes the list ready; to be called once.
#[expect(unsafe_code)]
pub(crate) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { CABLES.init() };
}

/// Drops the list when the module is removed; no port is left then, and so no cable.
pub(crate) fn clear() {
    // Statics aren't dropped, and an empty list may own memory.
    drop(mem::take(&mut *CABLES.lock()));
}

/// How often cables have come and gone so far, to notice that some did.
pub(crate) fn changes() -> u64 {
    CHANGES.fetch_add(0, Full)
}

/// The cable of an interface, if it has one.
pub(crate) fn of(dev: &NetDevice, _rtnl: &Rtnl) -> Option<Arc<Cable>> {
    let cables = CABLES.lock();
    let found = cables.iter().find(|cable| cable.side_of(dev).is_some());
    found.cloned()
}

/// The first cable with a number larger than `after`.
pub(crate) fn next(after: u64, _rtnl: &Rtnl) -> Option<Arc<Cable>> {
    // They are in order.
    let cables = CABLES.lock();
    cables.iter().find(|cable| cable.number > after).cloned()
}

/// Joins two interfaces, of which one at least is a port. Process context.
pub(crate) fn connect(a: End, b: End, impairment: Impairment, rtnl: &Rtnl) -> Result<(), Refusal> {
    if a.dev.key() == b.dev.key() {
        return Err(Refusal::Same);
    }
    if a.port.is_none() && b.port.is_none() {
        return Err(Refusal::NoPort);
    }
    for (end, side) in [(&a, Side::A), (&b, Side::B)] {
        if !end.dev.is_ethernet() {
            return Err(Refusal::NotEthernet(side));
        }
        if of(&end.dev, rtnl).is_some() {
            return Err(Refusal::Taken(side));
        }
    }
    let foreign = if a.port.is_none() { Side::A } else { Side::B };
    // What it sends to itself would come back to it.
    if a.dev.has_upper(&b.dev, rtnl) || b.dev.has_upper(&a.dev, rtnl) {
        return Err(Refusal::Stacked(foreign));
    }
    let mut lines = [None, None];
    let lost = [Lost::new()?, Lost::new()?];
    if !impairment.is_none() {
        let line = |to: &End, seed| {
            let lost: &Arc<Lost> = &lost[seed];
            Line::new(impairment, to.peer(), lost.clone(), seed as u64)
        };
        lines = [Some(line(&b, 0)?), Some(line(&a, 1)?)];
    }
    let number = LAST.fetch_add(1, Relaxed) + 1;
    let cable = Arc::pin_init(
        pin_init!(Cable {
            number,
            impairment,
            ends: [a, b],
            lines,
            lost,
            handler <- new_mutex!(None, "ekho::Cable::handler"),
        }),
        GFP_KERNEL,
    )?;
    CABLES.lock().reserve(1, GFP_KERNEL)?;
    cable.begin(rtnl).map_err(|error| match error {
        error if error == EBUSY => Refusal::InUse(foreign),
        error if error == EINVAL => Refusal::NotEthernet(foreign),
        error => Refusal::Failed(error),
    })?;
    // There is room: it was reserved, and RTNL has been held since.
    CABLES.lock().push(cable, GFP_KERNEL)?;
    CHANGES.fetch_add(1, Full);
    Ok(())
}

/// Ends the cable of an interface; returns whether it had one. Process context.
pub(crate) fn disconnect(dev: &NetDevice, rtnl: &Rtnl) -> bool {
    let cable = {
        let mut cables = CABLES.lock();
        let at = cables.iter().position(|cable| cable.side_of(dev).is_some());
        at.and_then(|at| cables.remove(at).ok())
    };
    let Some(cable) = cable else { return false };
    cable.end(rtnl);
    CHANGES.fetch_add(1, Full);
    true
}

/// Something has changed that decides whether a port or another interface has a carrier: it is up or
/// down, or was told to have one or not.
pub(crate) fn update_carrier(dev: &NetDevice, port: Option<&Port>, rtnl: &Rtnl) {
    if let Some(cable) = of(dev, rtnl) {
        cable.set_carrier(cable.has_carrier(rtnl), rtnl);
    } else if let Some(port) = port {
        dev.set_carrier(dev.is_running(rtnl) && port.has_carrier_alone(rtnl), rtnl);
    }
}
