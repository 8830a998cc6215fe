// SPDX-License-Identifier: GPL-2.0-only

//! The receive queues of a port that is up.

#![deny(unsafe_code)]

use super::figures::{
    Figures,
    Reason, //
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
            Receiver,
            Source, //
        },
        net_device::Rtnl,
        sk_buff::SkBuff,
        skb_ring::{
            SkbRing,
            BATCH, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// How many frames a queue holds.
const RING_SIZE: u16 = 256;

/// A receive queue.
#[pin_data]
struct Queue {
    #[pin]
    ring: SkbRing,
    index: u16,
    figures: Arc<Figures>,
    dev: ARef<EthernetDevice>,
}

impl Queue {
    fn new(
        dev: &EthernetDevice,
        index: u16,
        figures: Arc<Figures>,
    ) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            ring <- SkbRing::new(RING_SIZE),
            index,
            figures,
            dev: dev.into(),
        } ? Error)
    }

    #[cold]
    fn lose(&self, reason: Reason, bh: &BottomHalf) {
        self.figures.count(reason);
        self.dev.count_not_received(bh);
    }
}

impl Queue {
    /// Loses some frames that wait; returns whether there were any.
    fn lose_some(&self, bh: &BottomHalf) -> bool {
        let taken = self.ring.take(BATCH, bh);
        taken.map(|_| self.lose(Reason::RxClosed, bh)).count() != 0
    }
}

impl Source for Queue {
    fn poll(&self, receiver: &mut Receiver<'_>, budget: usize) -> usize {
        let (mut frames, mut bytes, mut lost) = (0, 0, 0);
        while frames < budget {
            let before = frames;
            for (skb, merge) in self.ring.take(budget - frames, receiver.bottom_half()) {
                frames += 1;
                let len = skb.len() as usize;
                if receiver.receive(skb, self.index, merge) {
                    bytes += len;
                } else {
                    lost += 1;
                    self.lose(Reason::RxNoMemory, receiver.bottom_half());
                }
            }
            if frames == before {
                break;
            }
        }
        self.figures.received(self.index, frames - lost, bytes);
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
    pub(super) fn new(dev: &EthernetDevice, figures: &Arc<Figures>, rtnl: &Rtnl) -> Result<Self> {
        let n = u16::try_from(dev.num_rx_queues())?.max(1);
        let mut queues = NapiSet::new(n.into())?;
        for index in 0..n {
            queues.add(dev, Queue::new(dev, index, figures.clone()), rtnl)?;
        }
        Ok(Self(queues))
    }

    /// A frame has come. It goes to the queue that has the number of the sender's, as far as there are
    /// that many. `merge` as in [`Receiver::receive`].
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
