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
    queue::{
        Host,
        Queues, //
    },
    rules::{
        self,
        table::RuleTable,
        Origin,
        Outlet,
        Outlets,
        Pipeline, //
    },
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
            packet::{
                Hook,
                Packet, //
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
        Arc,
        ArcBorrow,
        SetOnce, //
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

/// How the port that a netdev is is found, with the netdev.
type Find = fn(&NetDevice) -> Option<(&Port, &EthernetDevice)>;

static FIND: SetOnce<Find> = SetOnce::new();

/// Sets how the port that a netdev is is found; to be called once.
pub(crate) fn find_by(find: Find) {
    FIND.populate(find);
}

/// The data path of a port.
///
/// It doesn't refer to its netdev but through the queues, which are there while that is up.
pub(crate) struct Port {
    member: Option<Member>,
    /// Changed under RTNL, as all that follows.
    plug: RcuSlot<Plug>,
    queues: RcuSlot<Queues>,
    /// The rules of the blocks that are bound to it.
    ingress: RcuSlot<RuleTable>,
    egress: RcuSlot<RuleTable>,
    figures: Figures,
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
            ingress: RcuSlot::new(),
            egress: RcuSlot::new(),
            figures,
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
    pub(crate) fn open(port: ArcBorrow<'_, Self>, dev: &EthernetDevice, rtnl: &Rtnl) -> Result {
        // They refer to each other until `stop`.
        let host: Arc<Self> = port.into();
        let host: Arc<dyn Host> = host;
        let queues = Queues::new(dev, &host, rtnl)?;
        let queues = Arc::new(queues, GFP_KERNEL)?;
        drop(port.queues.replace(Some(queues)));
        Ok(())
    }

    fn slot(&self, hook: Hook) -> &RcuSlot<RuleTable> {
        match hook {
            Hook::Ingress => &self.ingress,
            Hook::Egress => &self.egress,
        }
    }

    /// A block is bound: packets are looked up in its table. Process context, RTNL.
    pub(crate) fn set_rules(&self, hook: Hook, rules: &Arc<RuleTable>) {
        drop(self.slot(hook).replace(Some(rules.clone())));
    }

    /// A block is unbound, and another may be bound already. Process context, RTNL.
    pub(crate) fn clear_rules(&self, hook: Hook, rules: &Arc<RuleTable>) {
        let slot = self.slot(hook);
        let is_it = {
            let guard = rcu::read_lock();
            slot.get(&guard)
                .is_some_and(|table| core::ptr::eq(table, &**rules))
        };
        if is_it {
            drop(slot.replace(None));
        }
    }

    /// Whether it is a port of the same device as another.
    fn is_beside(&self, other: &Self) -> bool {
        match (&self.member, &other.member) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a.device, &b.device),
            _ => core::ptr::eq(self, other),
        }
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
        skb.note_transmit_time();
        if let Some(rules) = self.egress.get(&guard) {
            if !rules.is_empty() {
                let Some(packet) = Packet::transmitted(skb, dev, bh) else {
                    return self.refuse(Reason::TxTooShort, dev, bh);
                };
                let pipeline = Pipeline {
                    port: self,
                    dev,
                    origin: Origin::Stack,
                    hops: 0,
                };
                let Some(packet) = rules::run(rules, packet, &pipeline, bh, &guard) else {
                    return;
                };
                skb = packet.into_skb();
            }
        }
        skb.set_hops(0);
        self.send_out(dev, skb, bh, &guard);
    }

    /// A frame goes out, past the rules.
    #[inline]
    fn send_out(&self, dev: &EthernetDevice, mut skb: SkBuff, bh: &BottomHalf, guard: &rcu::Guard) {
        let (queue, len) = (skb.queue(), skb.len());
        let Some(plug) = self.plug.get(guard) else {
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

    /// A rule at a port of the device, the one of `from`, sends a packet out of this port. `received` is
    /// whether it comes from ingress there.
    fn forward(
        &self,
        packet: Packet,
        received: bool,
        dev: &EthernetDevice,
        from: &Pipeline<'_>,
        bh: &BottomHalf,
        guard: &rcu::Guard,
    ) {
        let Some(pipeline) = self.follow(dev, from) else {
            return from.port.count(Reason::RuleLoop);
        };
        let packet = match self.egress.get(guard).filter(|rules| !rules.is_empty()) {
            None => packet,
            Some(rules) => match rules::run(rules, packet, &pipeline, bh, guard) {
                Some(packet) => packet,
                None => return,
            },
        };
        let mut skb = packet.into_skb();
        // Of a packet that was received it is one more than the queue.
        let queue = skb.queue().saturating_sub(received.into());
        let queue = u32::from(queue).checked_rem(dev.num_tx_queues());
        skb.set_queue(queue.unwrap_or(0) as u16);
        skb.prepare(dev, |mut skb| {
            skb.set_hops(pipeline.hops);
            self.send_out(dev, skb, bh, guard);
        });
    }

    /// The same, as if this port had received it. Returns the packet if it goes to the stack.
    fn take_in(
        &self,
        packet: Packet,
        dev: &EthernetDevice,
        from: &Pipeline<'_>,
        bh: &BottomHalf,
        guard: &rcu::Guard,
    ) -> Option<Packet> {
        let Some(pipeline) = self.follow(dev, from) else {
            from.port.count(Reason::RuleLoop);
            return None;
        };
        match self.rules(guard) {
            None => Some(packet),
            Some(rules) => rules::run(rules, packet, &pipeline, bh, guard),
        }
    }

    /// The context of a packet that another port sends on by this one; none if it has come too far.
    fn follow<'a>(&'a self, dev: &'a EthernetDevice, from: &Pipeline<'_>) -> Option<Pipeline<'a>> {
        Some(Pipeline {
            port: self,
            dev,
            origin: Origin::Device,
            hops: from.next_hop()?,
        })
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

impl Outlets for Port {
    fn send(
        &self,
        packet: Packet,
        to: &Outlet<'_>,
        from: &Pipeline<'_>,
        bh: &BottomHalf,
        guard: &rcu::Guard,
    ) -> bool {
        let own = FIND
            .as_ref()
            .and_then(|find| find(to.dev))
            .filter(|(port, _)| self.is_beside(port));
        let received = packet.hook() == Hook::Ingress;
        if to.ingress {
            // As `tcf_mirred_forward()`.
            let later = !received;
            let Some(packet) = packet.into_ingress(to.dev, to.redirect, bh) else {
                return false;
            };
            let packet = match own {
                Some((port, dev)) => port.take_in(packet, dev, from, bh, guard),
                None => Some(packet),
            };
            if let Some(packet) = packet {
                packet.into_skb().receive(later, bh);
            }
            return true;
        }
        let Some(packet) = packet.into_egress(to.dev, to.redirect) else {
            return false;
        };
        match own {
            Some((port, dev)) => port.forward(packet, received, dev, from, bh, guard),
            None => {
                packet.into_skb().transmit(to.dev, bh);
            }
        }
        true
    }

    fn count(&self, reason: Reason) {
        self.figures.count(reason);
    }
}

impl Host for Port {
    #[inline]
    fn rules<'a>(&'a self, guard: &'a rcu::Guard) -> Option<&'a RuleTable> {
        self.ingress.get(guard).filter(|rules| !rules.is_empty())
    }

    fn outlets(&self) -> &dyn Outlets {
        self
    }

    #[inline]
    fn count_received(&self, queue: u16, frames: usize, bytes: usize) {
        self.figures.received(queue, frames, bytes);
    }

    fn count_lost(&self, reason: Reason) {
        self.figures.count(reason);
    }
}
