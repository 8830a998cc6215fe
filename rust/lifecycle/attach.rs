// SPDX-License-Identifier: GPL-2.0-only

//! Attach, replacement and detach: the struct_ops side.

use crate::{
    abstractions::{
        bpf::struct_ops::{
            Descriptor,
            Link,
            LinkKey,
            OwnedLink,
            Parts,
            StructOps,
            TableRef, //
        },
        error::eopnotsupp,
        net::{
            net_device::{
                NetDevice,
                Rtnl,
                RtnlGuard, //
            },
            netlink::OwnExtAck, //
        },
        sync::rcu::RcuSlot,
        tc::flow_offload::ActionRegistration, //
    },
    device::{
        self,
        Owner, //
    },
    intake::{
        self,
        actions::Actions,
        flows::destroy_rest, //
    },
    lifecycle::news::{
        self,
        News, //
    },
    ops::{
        contract::{
            self,
            Ops,
            Table, //
        },
        firmware::Firmware, //
    },
    port::{
        self,
        Port, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        rcu,
        Arc, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// A link whose firmware is on a device.
struct Attached {
    link: LinkKey,
    port: Arc<Port>,
    dev: ARef<NetDevice>,
    /// Asks the firmware for actions that filters share.
    actions: Option<ActionRegistration<Actions>>,
    /// Detaches the link if the device goes; allocated in advance, as that can't fail.
    orphan: Option<Arc<Orphan>>,
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init` before the module can be reached.
    //
    // Changed under RTNL as well, so that RTNL alone keeps it as it is.
    unsafe(uninit) static ATTACHED: Mutex<KVec<Attached>> = KVec::new();
}

/// Takes firmware that was stopped off its device. One for all, as it must be at hand in atomic
/// context.
static REAPER: RcuSlot<Reaper> = RcuSlot::new();

/// Makes what is global here ready; to be called once, before [`register`].
pub(crate) fn init() -> Result {
    // SAFETY: Called once, at the start of the module's initialisation.
    unsafe { ATTACHED.init() };
    news::init();
    drop(REAPER.replace(Some(Reaper::new()?)));
    Ok(())
}

/// Undoes [`init()`]; no firmware can be there.
pub(crate) fn clear() {
    drop(REAPER.replace(None));
    // What is static isn't dropped, and an empty list has memory too.
    drop(mem::take(&mut *ATTACHED.lock()));
    news::clear();
}

/// The struct_ops type `bpf_flow_offload_ops`.
pub(crate) struct FlowOffloadOps;

static DESCRIPTOR: Descriptor<FlowOffloadOps> = Descriptor::new();

/// Makes the type known, and its kfuncs. Firmware can come from here on.
pub(crate) fn register(module: &'static ThisModule) -> Result {
    contract::register_kfuncs(module)?;
    DESCRIPTOR.register(module)
}

/// Calls `f` with each link's id, its map's id, and its port. Process context; `f` must not take RTNL.
pub(crate) fn for_each_attached<E>(
    mut f: impl FnMut(u32, u32, &Port) -> Result<(), E>,
) -> Result<(), E> {
    for attached in &**ATTACHED.lock() {
        // SAFETY: `unreg` takes a link off the list before it returns.
        let (link, map) = unsafe { (attached.link.id(), attached.link.map_id()) };
        f(link, map, &attached.port)?;
    }
    Ok(())
}

/// Takes a link off the list, whichever way it goes.
fn take(_rtnl: &Rtnl, which: impl FnMut(&Attached) -> bool) -> Option<Attached> {
    let mut attached = ATTACHED.lock();
    let index = attached.iter().position(which)?;
    attached.remove(index).ok()
}

impl StructOps for FlowOffloadOps {
    const NAME: &'static CStr = c"bpf_flow_offload_ops";
    type Table = Table;

    fn parts() -> Parts {
        contract::parts()
    }

    fn init_member(table: &mut Table, user: &Table, offset: usize) -> Result<bool> {
        contract::init_member(table, user, offset)
    }

    fn validate(table: &Table) -> Result {
        contract::validate(table)
    }

    fn reg(table: TableRef<Table>, link: &Link) -> Result {
        let ops = Ops::new(table);
        let orphan = Orphan::new()?;
        let rtnl = RtnlGuard::lock();
        let dev = NetDevice::by_ifindex(ops.ifindex(), &rtnl)
            .filter(|dev| dev.is_registered(&rtnl))
            .ok_or(ENODEV)?;
        // BPF asks for CAP_BPF and CAP_PERFMON; this configures a device as well.
        if !dev.may_configure(&rtnl) {
            return Err(EPERM);
        }
        let own = match device::owner(&dev) {
            Owner::Ekho => true,
            Owner::Indirect => false,
            Owner::Other => return Err(eopnotsupp()),
        };
        // One that was stopped, and that the work item hasn't come to yet, is in nobody's way.
        if let Some(stopped) = take(&rtnl, |a| {
            a.dev.key() == dev.key() && a.port.has_stopped_firmware()
        }) {
            evict(stopped, &rtnl);
        }
        let port = port::get_or_create(&dev, own)?;
        let firmware = Firmware::new(ops, 1, port.faults.clone(), stopped)?;
        if port.has_firmware() {
            return Err(EBUSY);
        }
        let mut attached = Attached {
            link: link.key(),
            port: port.clone(),
            dev: dev.clone(),
            actions: None,
            orphan: Some(orphan),
        };
        let callback = Arc::new(Actions::new(port.clone(), dev.clone()), GFP_KERNEL)?;
        ATTACHED.lock().reserve(1, GFP_KERNEL)?;
        if let Err(error) = firmware.attach(&dev) {
            if let Some(exit) = firmware.exit() {
                news::tell(News::Exit(exit, 0), &dev, &rtnl);
            }
            return Err(error);
        }
        let name = firmware.ops.name();
        drop(port.firmware.replace(Some(firmware)));
        port.forget_exit(&rtnl);
        news::tell(News::Attach(&name), &dev, &rtnl);
        let result = go_live(&port, &dev, &rtnl).and_then(|()| {
            attached.actions = Some(ActionRegistration::new(callback)?);
            if port.has_stopped_firmware() {
                return Err(EINVAL);
            }
            Ok(())
        });
        if let Err(error) = result {
            retire(attached, &rtnl);
            return Err(error);
        }
        // There is room, and RTNL keeps it.
        ATTACHED
            .lock()
            .push(attached, GFP_KERNEL)
            .map_err(Error::from)
    }

    fn unreg(link: &Link) {
        let rtnl = RtnlGuard::lock();
        // Nothing to do if the device went first.
        if let Some(attached) = take(&rtnl, |a| a.link == link.key()) {
            retire(attached, &rtnl);
        }
    }

    fn update(table: TableRef<Table>, link: &Link) -> Result {
        let ops = Ops::new(table);
        let rtnl = RtnlGuard::lock();
        let (port, dev) = ATTACHED
            .lock()
            .iter()
            .find(|a| a.link == link.key())
            .map(|a| (a.port.clone(), a.dev.clone()))
            // What was stopped is as good as gone.
            .filter(|(port, _)| !port.has_stopped_firmware())
            .ok_or(ENODEV)?;
        if !dev.may_configure(&rtnl) {
            return Err(EPERM);
        }
        if ops.ifindex() != 0 && ops.ifindex() != dev.ifindex() {
            return Err(EINVAL);
        }
        let generation = port
            .firmware
            .get(&rcu::read_lock())
            .map_or(1, |firmware| firmware.generation.wrapping_add(1).max(1));
        let firmware = Firmware::new(ops, generation, port.faults.clone(), stopped)?;
        firmware.attach(&dev).inspect_err(|_| {
            if let Some(exit) = firmware.exit() {
                news::tell(News::Exit(exit, 0), &dev, &rtnl);
            }
        })?;
        let name = firmware.ops.name();
        // Waits until no op of the old firmware runs.
        if let Some(old) = port.firmware.replace(Some(firmware)) {
            old.detach(&dev);
            if let Some(exit) = old.exit() {
                news::tell(News::Exit(exit, 0), &dev, &rtnl);
            }
        }
        news::tell(News::Replace(&name), &dev, &rtnl);
        Ok(())
    }
}

/// Offers the firmware of a port the filters that are there.
///
/// Fails if it refuses one that must be in hardware; those accepted before are destroyed again
/// by [`retire`].
fn go_live(port: &Arc<Port>, dev: &NetDevice, rtnl: &Rtnl) -> Result {
    for binding in port.bindings(rtnl) {
        let mut ack = OwnExtAck::new();
        binding.replay(&mut ack, rtnl).inspect_err(|error| {
            pr_err!(
                "{}: firmware not attached: a skip_sw filter that is there isn't offloaded (errno {}): {}\n",
                dev.name(),
                -error.to_errno(),
                match ack.reason() {
                    Some(reason) => reason,
                    None if *error == ENOMEM => c"no memory",
                    None => c"no reason given",
                },
            );
        })?;
    }
    Ok(())
}

/// Takes the firmware off a port: its filters go back to software first.
fn retire(attached: Attached, rtnl: &Rtnl) {
    let Attached {
        port, dev, actions, ..
    } = attached;
    let flows = port.flows.len();
    port.keep_exit(rtnl);
    drop(actions);
    for binding in port.bindings(rtnl) {
        binding.withdraw(rtnl);
    }
    if let Some(firmware) = port.firmware.replace(None) {
        destroy_rest(&port, &dev, &firmware);
        firmware.detach(&dev);
        let name = firmware.ops.name();
        let news = firmware
            .exit()
            .map_or(News::Detach(&name), |exit| News::Exit(exit, flows));
        news::tell(news, &dev, rtnl);
    }
    port::prune(&port);
}

/// A device has gone for good: its firmware goes with it.
pub(super) fn device_gone(port: &Arc<Port>, rtnl: &Rtnl) {
    if let Some(attached) = take(rtnl, |a| Arc::ptr_eq(&a.port, port)) {
        evict(attached, rtnl);
    }
}

/// Takes firmware off its port against its owner's will. The link was just taken off the list, and
/// is left to a work item, since `update_mutex` comes before RTNL.
fn evict(mut attached: Attached, rtnl: &Rtnl) {
    let orphan = attached.orphan.take();
    // SAFETY: The link was on the list just now, and RTNL has been held since: `unreg` waits for
    // it before it returns.
    let link = unsafe { attached.link.get() };
    retire(attached, rtnl);
    if let (Some(link), Some(orphan)) = (link, orphan) {
        *orphan.link.lock() = Some(link);
        intake::enqueue(orphan);
    }
}

/// Firmware somewhere was stopped. Any context.
fn stopped() {
    if let Some(reaper) = REAPER.get_arc(&rcu::read_lock()) {
        // If it waits for its turn already, it will see this one as well.
        intake::enqueue(reaper);
    }
}

/// Takes firmware that was stopped off its device.
#[pin_data]
struct Reaper {
    #[pin]
    work: Work<Reaper>,
}

impl_has_work! {
    impl HasWork<Self> for Reaper { self.work }
}

impl Reaper {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work <- new_work!("ekho::Reaper"),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for Reaper {
    type Pointer = Arc<Self>;

    fn run(_this: Arc<Self>) {
        let rtnl = RtnlGuard::lock();
        while let Some(attached) = take(&rtnl, |a| a.port.has_stopped_firmware()) {
            evict(attached, &rtnl);
        }
    }
}

/// Detaches a link whose firmware is gone, so that its owner is told.
#[pin_data]
struct Orphan {
    #[pin]
    link: kernel::sync::Mutex<Option<OwnedLink>>,
    #[pin]
    work: Work<Orphan>,
}

impl_has_work! {
    impl HasWork<Self> for Orphan { self.work }
}

impl Orphan {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                link <- kernel::sync::new_mutex!(None, "ekho::Orphan::link"),
                work <- new_work!("ekho::Orphan"),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for Orphan {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let link = this.link.lock().take();
        if let Some(link) = link {
            link.detach();
        }
    }
}
