// SPDX-License-Identifier: GPL-2.0-only

//! The receive queues of a port that is up.

#![deny(unsafe_code)]

use super::{
    figures::Reason,
    rules::{
        self,
        table::RuleTable,
        Origin,
        Outlets,
        Pipeline, //
    },
};
use crate::abstractions::{
    bottom_half::{
        without_bottom_halves,
        BottomHalf, //
    },
    net::{
        ethernet::EthernetDevice,
        napi::{
            NapiSet,
            Received,
            Receiver,
            Source, //
        },
        net_device::Rtnl,
        sk_buff::SkBuff,
        skb_ring::{
            SkbRing,
            Taken,
            BATCH, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        rcu,
        Arc, //
    },
};

/// How many frames a queue holds.
const RING_SIZE: u16 = 256;

/// The port that receive queues belong to.
pub(super) trait Host: Send + Sync {
    /// The table in which packets that are received are looked up, unless it is empty.
    fn rules<'a>(&'a self, guard: &'a rcu::Guard) -> Option<&'a RuleTable>;

    /// Where packets go that these rules send elsewhere.
    fn outlets(&self) -> &dyn Outlets;

    /// Counts frames that a queue has received.
    fn count_received(&self, queue: u16, frames: usize, bytes: usize);

    /// Counts a frame that was not received.
    fn count_lost(&self, reason: Reason);
}

/// A receive queue.
#[pin_data]
struct Queue {
    #[pin]
    ring: SkbRing,
    index: u16,
    port: Arc<dyn Host>,
    dev: ARef<EthernetDevice>,
}

impl Queue {
    fn new(
        dev: &EthernetDevice,
        index: u16,
        port: Arc<dyn Host>,
    ) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            ring <- SkbRing::new(RING_SIZE),
            index,
            port,
            dev: dev.into(),
        } ? Error)
    }

    #[cold]
    fn lose(&self, reason: Reason, bh: &BottomHalf) {
        self.port.count_lost(reason);
        self.dev.count_not_received(bh);
    }

    /// Receives a frame, or what rules make of it; returns false if it is lost.
    #[inline]
    fn receive(
        &self,
        skb: SkBuff,
        merge: bool,
        rules: Option<&RuleTable>,
        receiver: &mut Receiver<'_>,
        guard: &rcu::Guard,
    ) -> bool {
        let hops = skb.hops();
        let Some(packet) = receiver.begin(skb, self.index) else {
            return false;
        };
        match rules {
            None => receiver.deliver(packet, merge),
            Some(rules) => {
                let bh = receiver.bottom_half();
                let Some(packet) = packet.classify(&self.dev, bh) else {
                    return false;
                };
                let pipeline = Pipeline {
                    port: self.port.outlets(),
                    dev: &self.dev,
                    origin: Origin::Device,
                    hops,
                };
                let left = rules::run(rules, packet, &pipeline, bh, guard);
                match left.and_then(Received::classified) {
                    // A copy that a rule sends to a stack at once mustn't overtake packets before it.
                    Some(packet) => receiver.deliver_at_once(packet, merge),
                    // It has gone elsewhere, and is counted there.
                    None => true,
                }
            }
        }
    }

    /// Loses some frames that wait; returns whether there were any.
    fn lose_some(&self, bh: &BottomHalf) -> bool {
        let mut taken = Taken::new();
        self.ring.take(&mut taken, BATCH, bh);
        taken.map(|_| self.lose(Reason::RxClosed, bh)).count() != 0
    }
}

impl Source for Queue {
    fn poll(&self, receiver: &mut Receiver<'_>, budget: usize) -> usize {
        let (mut frames, mut bytes, mut lost) = (0, 0, 0);
        let mut taken = Taken::new();
        while frames < budget {
            let most = BATCH.min(budget - frames);
            let n = self.ring.take(&mut taken, most, receiver.bottom_half());
            let guard = rcu::read_lock();
            let rules = self.port.rules(&guard);
            for (skb, merge) in &mut taken {
                frames += 1;
                let len = skb.len() as usize;
                if self.receive(skb, merge, rules, receiver, &guard) {
                    bytes += len;
                } else {
                    lost += 1;
                    self.lose(Reason::RxNoMemory, receiver.bottom_half());
                }
            }
            // What comes after these is seen once this poll has ended.
            if n < most {
                break;
            }
        }
        self.port.count_received(self.index, frames - lost, bytes);
        self.dev
            .count_received(frames - lost, bytes, receiver.bottom_half());
        frames
    }

    fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

/// The receive queues of a port that is up. There is at least one.
pub(super) struct Queues(NapiSet<Queue>);

impl Queues {
    /// Makes them, as many as the device has. Process context.
    pub(super) fn new(dev: &EthernetDevice, port: &Arc<dyn Host>, rtnl: &Rtnl) -> Result<Self> {
        let n = u16::try_from(dev.num_rx_queues())?.max(1);
        let mut queues = NapiSet::new(n.into())?;
        for index in 0..n {
            queues.add(dev, Queue::new(dev, index, port.clone()), rtnl)?;
        }
        Ok(Self(queues))
    }

    /// A frame has come. It goes to the queue that has the number of the sender's, as far as there are
    /// that many. `merge` as in [`Receiver::deliver`].
    #[inline]
    pub(super) fn put(&self, skb: SkBuff, merge: bool, bh: &BottomHalf) {
        let n = usize::from(skb.queue()).checked_rem(self.0.len());
        let queue = self.0.get(n.unwrap_or(0));
        if !queue.dev.fits(skb.len()) && !skb.is_gso() {
            return queue.lose(Reason::RxTooLong, bh);
        }
        match queue.ring.put(skb, merge, bh) {
            Ok(()) => queue.wake(bh),
            Err(_skb) => queue.lose(Reason::RxRingFull, bh),
        }
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // Nobody sends here any more. What has arrived, and isn't polled just now, won't be.
        for queue in (0..self.0.len()).map(|n| self.0.get(n)) {
            while without_bottom_halves(|bh| queue.lose_some(bh)) {}
        }
    }
}
