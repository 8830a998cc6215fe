// SPDX-License-Identifier: GPL-2.0-only

//! The data path of a port.

#![deny(unsafe_code)]

use super::{
    figures::{
        Figures,
        Reason, //
    },
    line::{
        Line,
        Lost,
        Sink, //
    },
    queue::Queues,
};
use crate::{
    abstractions::{
        bottom_half::BottomHalf,
        net::{
            ethernet::EthernetDevice,
            net_device::{
                NetDevice,
                Rtnl, //
            },
            sk_buff::SkBuff, //
        },
        soft_timer::SoftTimer,
        sync::rcu::RcuSlot, //
    },
    offload::device::Device, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        Arc, //
    },
};

/// What a port's cable leads to.
pub(super) enum Peer {
    /// Another port.
    Port(Arc<Port>),
    /// An interface of another driver.
    Foreign(ARef<NetDevice>),
}

impl Sink for Peer {
    #[inline]
    fn arrive(&self, skb: SkBuff, merge: bool, bh: &BottomHalf) -> bool {
        match self {
            Self::Port(port) => port.receive(skb, merge, bh),
            // Longer than what may be on the wire there.
            Self::Foreign(dev) if !dev.fits(skb.len()) && !skb.is_gso() => false,
            Self::Foreign(dev) => {
                // It counts what it can't send.
                skb.transmit(dev, bh);
                true
            }
        }
    }
}

/// The line to a peer.
pub(super) type PeerLine = Arc<SoftTimer<Line<Peer>>>;

/// How frames get to the peer.
pub(super) enum Way {
    Direct(Peer),
    /// By a line that does something to them.
    Line(PeerLine),
}

/// A cable that is plugged into a port: where what it sends goes.
pub(super) struct Plug {
    pub(super) way: Way,
    /// What gets lost on the way.
    pub(super) lost: Arc<Lost>,
}

impl Plug {
    /// Sends a frame over the cable. `merge` as in [`Line::send`].
    #[inline]
    pub(super) fn send(&self, skb: SkBuff, merge: bool, bh: &BottomHalf) {
        match &self.way {
            Way::Direct(peer) => {
                if !peer.arrive(skb, merge, bh) {
                    self.lost.count();
                }
            }
            Way::Line(line) => Line::send(line, skb, merge, bh),
        }
    }
}

/// The device that a port belongs to, if that has others.
pub(crate) struct Member {
    pub(crate) device: Arc<Device>,
    /// The port's number among the device's.
    pub(crate) index: u16,
}

/// The data path of a port.
///
/// It doesn't refer to its netdev but through the queues, which are there while that is up.
pub(crate) struct Port {
    member: Option<Member>,
    /// Changed under RTNL, as all that follows.
    plug: RcuSlot<Plug>,
    queues: RcuSlot<Queues>,
    figures: Arc<Figures>,
    /// Whether the user lets it have a carrier.
    carrier: Atomic<bool>,
    /// Whether it has had a cable, or needs one. Until then it has a carrier, and what it sends goes
    /// nowhere.
    cabled: Atomic<bool>,
}

impl Port {
    /// The data path of a netdev that is being registered: without a cable, and down. May sleep.
    /// One that is a member of a device has no carrier without a cable.
    pub(crate) fn new(dev: &NetDevice, member: Option<Member>) -> Result<Arc<Self>> {
        let figures = Figures::new(dev.num_tx_queues(), dev.num_rx_queues())?;
        let port = Self {
            plug: RcuSlot::new(),
            queues: RcuSlot::new(),
            figures: Arc::new(figures, GFP_KERNEL)?,
            carrier: Atomic::new(true),
            cabled: Atomic::new(member.is_some()),
            member,
        };
        Ok(Arc::new(port, GFP_KERNEL)?)
    }

    /// The device that it belongs to, if that has others.
    pub(crate) fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// Begins to receive.
    pub(crate) fn open(&self, dev: &EthernetDevice, rtnl: &Rtnl) -> Result {
        let queues = Queues::new(dev, &self.figures, rtnl)?;
        let queues = Arc::new(queues, GFP_KERNEL)?;
        drop(self.queues.replace(Some(queues)));
        Ok(())
    }

    /// Ends reception; frames that wait are freed.
    pub(crate) fn stop(&self, _rtnl: &Rtnl) {
        drop(self.queues.replace(None));
    }

    /// The user lets it have a carrier, or not.
    pub(crate) fn set_carrier(&self, on: bool, _rtnl: &Rtnl) {
        self.carrier.store(on, Relaxed);
    }

    /// Whether there is a carrier as far as this end goes, while its netdev is up.
    pub(super) fn offers_carrier(&self, _rtnl: &Rtnl) -> bool {
        self.carrier.load(Relaxed)
    }

    /// Whether there is a carrier, without a cable.
    pub(super) fn has_carrier_alone(&self, rtnl: &Rtnl) -> bool {
        self.offers_carrier(rtnl) && !self.cabled.load(Relaxed)
    }

    /// Plugs a cable in.
    pub(super) fn plug(&self, plug: Arc<Plug>, _rtnl: &Rtnl) {
        self.cabled.store(true, Relaxed);
        drop(self.plug.replace(Some(plug)));
    }

    /// Pulls the cable. When this returns nothing is sent over it any more.
    pub(super) fn unplug(&self, _rtnl: &Rtnl) {
        drop(self.plug.replace(None));
    }

    /// A frame of the stack is to be transmitted.
    #[inline]
    pub(crate) fn transmit(&self, dev: &EthernetDevice, mut skb: SkBuff, bh: &BottomHalf) {
        let guard = rcu::read_lock();
        let (queue, len) = (skb.queue(), skb.len());
        skb.note_transmit_time();
        let Some(plug) = self.plug.get(&guard) else {
            if self.cabled.load(Relaxed) {
                return self.refuse(Reason::TxNoCarrier, dev, bh);
            }
            self.figures.count(Reason::TxUncabled);
            self.figures.transmitted(queue, len);
            dev.count_transmitted(len, bh);
            return skb.consume();
        };
        if let Err(error) = skb.detach(bh) {
            let reason = if error == ENOMEM {
                Reason::TxNoMemory
            } else {
                Reason::TxTooShort
            };
            return self.refuse(reason, dev, bh);
        }
        self.figures.transmitted(queue, len);
        dev.count_transmitted(len, bh);
        plug.send(skb, !dev.has_tso(), bh);
    }

    #[cold]
    fn refuse(&self, reason: Reason, dev: &EthernetDevice, bh: &BottomHalf) {
        self.figures.count(reason);
        dev.count_not_transmitted(bh);
    }

    /// A frame arrives from the cable, detached from who sent it. If `merge` is true it may become
    /// part of a larger packet (GRO); what a stack with TSO sends is as large as it can be. Returns
    /// false if nobody is there to count it.
    #[inline]
    fn receive(&self, skb: SkBuff, merge: bool, bh: &BottomHalf) -> bool {
        match self.queues.get(&rcu::read_lock()) {
            Some(queues) => {
                queues.put(skb, merge, bh);
                true
            }
            None => false,
        }
    }

    /// Calls `f` with the name of each figure of `ethtool -S`.
    pub(crate) fn figure_names(&self, f: &mut dyn FnMut(fmt::Arguments<'_>)) {
        self.figures.names(f);
    }

    /// Calls `f` with each figure, in the same order.
    pub(crate) fn figures(&self, f: &mut dyn FnMut(u64)) {
        self.figures.values(f);
    }
}
