// SPDX-License-Identifier: GPL-2.0-only

//! Conntrack zones that flows send packets to, whose connections devices are asked for.
//!
//! A device has a callback in a zone's flowtable for as long as it has a flow that refers to the
//! table:
//!
//! | event | what happens |
//! |---|---|
//! | the first flow that refers to a table is accepted | a callback is added to the table |
//! | the last such flow goes, in whichever way | the callback is dropped, then the zone's connections are destroyed |
//!
//! The kernel offers connections that are there already with their next packets. It doesn't say
//! that connections end with the callback, and goes on to call them offloaded until they end.
//!
//! The lock is taken before a flowtable's `flow_block_lock`, so requests of flowtables mustn't take
//! it: flows of connections refer to no table.

#![deny(unsafe_code)]

use crate::{
    abstractions::{
        net::net_device::NetDevice,
        tc::{
            flow_offload::FlowtableCallback,
            flow_rule::CtAction, //
        },
    },
    offload::device::Device, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        aref::ARef,
        rcu,
        Arc, //
    },
};

/// The connections of one zone, as far as one device is asked for them.
pub(super) struct Connections {
    pub(super) device: Arc<Device>,
    pub(super) dev: ARef<NetDevice>,
    /// The namespace of its connections, in which `dev` was when the first flow sent packets there.
    pub(super) netns_cookie: u64,
    pub(super) zone: u16,
}

impl Connections {
    /// What its flows go with.
    pub(super) fn id(&self) -> usize {
        &raw const *self as usize
    }
}

/// A flowtable to which flows of a device refer.
struct Table {
    callback: FlowtableCallback<Connections>,
    /// How often they do.
    users: usize,
}

struct Zones {
    /// By [`Device::id`] and [`CtAction::key`].
    tables: RBTree<(usize, usize), Table>,
    /// The keys of the tables to which a flow refers, by [`Device::id`] and the flow's cookie.
    flows: RBTree<(usize, usize), KVec<usize>>,
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    unsafe(uninit) static ZONES: Mutex<Option<Zones>> = None;
}

/// Makes the set ready; to be called once, before requests can arrive.
#[expect(unsafe_code)]
pub(crate) fn init() {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { ZONES.init() };
    *ZONES.lock() = Some(Zones {
        tables: RBTree::new(),
        flows: RBTree::new(),
    });
}

impl Zones {
    /// A flow, which is in `flows`, refers to one more table.
    fn refer(
        &mut self,
        device: &Arc<Device>,
        dev: &NetDevice,
        cookie: usize,
        action: CtAction<'_>,
    ) -> Result {
        let keys = self.flows.get_mut(&(device.id(), cookie)).ok_or(ENOENT)?;
        keys.reserve(1, GFP_KERNEL)?;
        let key = (device.id(), action.key());
        match self.tables.get_mut(&key) {
            Some(table) => table.users += 1,
            None => {
                let room = RBTreeNodeReservation::new(GFP_KERNEL)?;
                let connections = Connections {
                    device: device.clone(),
                    dev: dev.into(),
                    netns_cookie: dev.netns_cookie(),
                    zone: action.zone(),
                };
                let connections = Arc::new(connections, GFP_KERNEL)?;
                let callback = FlowtableCallback::new(action, connections)?;
                let table = Table { callback, users: 1 };
                self.tables.insert(room.into_node(key, table));
            }
        }
        // There is room.
        keys.push(action.key(), GFP_KERNEL)?;
        Ok(())
    }

    /// A flow doesn't refer to any table any more.
    fn release(&mut self, device: &Device, cookie: usize, ended: &mut dyn FnMut(&Connections)) {
        let Some(keys) = self.flows.remove(&(device.id(), cookie)) else {
            return;
        };
        for key in keys.iter().map(|key| (device.id(), *key)) {
            let Some(table) = self.tables.get_mut(&key) else {
                continue;
            };
            table.users -= 1;
            if table.users != 0 {
                continue;
            }
            if let Some(table) = self.tables.remove(&key) {
                let connections = table.callback.tracker().clone();
                drop(table);
                ended(&connections);
            }
        }
    }

    /// The first flow of a device that refers to tables, and whose cookie isn't less.
    fn next_flow(&self, device: &Device, cookie: usize) -> Option<usize> {
        let cursor = self.flows.cursor_lower_bound(&(device.id(), cookie))?;
        let (&(id, cookie), _) = cursor.current();
        (id == device.id()).then_some(cookie)
    }
}

/// A flow that was accepted refers to the tables of these actions. Process context.
///
/// Fails with [`ENOENT`] if it was taken out meanwhile. Who takes it out after that calls
/// [`release`], or [`sweep`].
///
/// `ended` is called for a table that has lost its last flow, and its callback, as in the others.
pub(super) fn track<'a>(
    device: &Arc<Device>,
    dev: &NetDevice,
    cookie: usize,
    mut actions: impl Iterator<Item = CtAction<'a>>,
    mut ended: impl FnMut(&Connections),
) -> Result {
    let mut zones = ZONES.lock();
    let zones = zones.as_mut().ok_or(ENODEV)?;
    zones
        .flows
        .try_create_and_insert((device.id(), cookie), KVec::new(), GFP_KERNEL)?;
    let result = actions
        .try_for_each(|action| zones.refer(device, dev, cookie, action))
        .and_then(|()| {
            let guard = rcu::read_lock();
            device.flows.get(cookie, &guard).map(|_| ()).ok_or(ENOENT)
        });
    if result.is_err() {
        zones.release(device, cookie, &mut ended);
    }
    result
}

/// A flow was taken out. Process context.
pub(super) fn release(device: &Device, cookie: usize, mut ended: impl FnMut(&Connections)) {
    if let Some(zones) = ZONES.lock().as_mut() {
        zones.release(device, cookie, &mut ended);
    }
}

/// Some flows of a device were taken out: the same for each of them. Process context.
pub(super) fn sweep(device: &Device, mut ended: impl FnMut(&Connections)) {
    let mut zones = ZONES.lock();
    let Some(zones) = zones.as_mut() else { return };
    let mut next = zones.next_flow(device, 0);
    while let Some(cookie) = next {
        if device.flows.get(cookie, &rcu::read_lock()).is_none() {
            zones.release(device, cookie, &mut ended);
        }
        next = cookie
            .checked_add(1)
            .and_then(|after| zones.next_flow(device, after));
    }
}

/// For how many zones a device is asked. Process context.
pub(crate) fn count(device: &Device) -> usize {
    let zones = ZONES.lock();
    zones.as_ref().map_or(0, |zones| {
        zones
            .tables
            .keys()
            .filter(|(id, _)| *id == device.id())
            .count()
    })
}
