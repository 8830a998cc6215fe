// SPDX-License-Identifier: MIT OR Apache-2.0

//! The model: what must be so after each operation, by the rules of the kernel
//! (`net/sched` of Linux 7.2) and of the module.
//!
//! ```text
//!   Device ── clsact ──▶ Block ── chains ──▶ preferences ──▶ Filter
//!     │                    │                                   │ uid
//!     └── port: bindings ◀─┘ callbacks                         ▼
//!           └───────────── flows ──────────────────────────▶ Flow
//! ```
//!
//! Where the kernel does something that it hardly means to do, the model does the same, and says so
//! at the place ("quirk").

use std::collections::BTreeMap;

use nix::errno::Errno;

use crate::op::{
    ifindex, name, Action, At, Fw, Keys, Kind, Mode, Op, Outcome, Place, Protocol, Spec,
    NAMESPACES, OWN, SLOTS,
};

type Tried = Result<(), Errno>;

/// A deliberate error of the model, for tests that a run detects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Refused filters that are `skip_sw` stay.
    KeepsRefused,
    /// A withdrawal doesn't count filters out of hardware.
    ForgetsWithdrawal,
    /// Reads of counters are off by one for flows of the second generation.
    Miscounts,
    /// A device takes firmware twice.
    LoadsTwice,
}

/// A block's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BlockId {
    Private {
        slot: u8,
        egress: bool,
    },
    Shared {
        ns: u8,
        index: u32,
    },
    /// A chain of nftables, or a flowtable: it is on the device only, and the kernel doesn't offer
    /// its rules again.
    Nft {
        slot: u8,
        flowtable: bool,
    },
}

/// A filter that is there.
#[derive(Clone, Debug)]
struct Filter {
    uid: u64,
    spec: Spec,
    /// Whether the devices that its actions name are still there.
    targets_alive: bool,
    /// `TCA_CLS_FLAGS_IN_HW`
    in_hw: bool,
    in_hw_count: u32,
    /// Packets that hardware counted.
    packets: u64,
    /// Its place in flower's list of filters for hardware, the newest first.
    hw_seq: Option<u64>,
}

impl Filter {
    fn skips(&self, place: Place) -> bool {
        self.spec.place == place
    }
}

#[derive(Clone, Debug)]
struct Prio {
    kind: Kind,
    protocol: Protocol,
    filters: Vec<Filter>,
}

#[derive(Clone, Debug)]
struct Chain {
    index: u32,
    explicit: bool,
    /// The mask that flower filters must keep to.
    template: Option<u32>,
    prios: BTreeMap<u16, Prio>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    /// In the order in which they were made.
    chains: Vec<Chain>,
    /// Devices whose callback is on the block, the newest first.
    callbacks: Vec<u8>,
    /// How many filters are in hardware.
    offloaded: i32,
    /// How many devices can't offload, as the block sees it.
    no_offload: u32,
    users: u32,
}

impl Block {
    fn chain(&mut self, index: u32) -> Option<&mut Chain> {
        self.chains.iter_mut().find(|chain| chain.index == index)
    }

    /// Drops a chain for which there is no reason any more.
    fn tidy(&mut self) {
        self.chains
            .retain(|chain| chain.explicit || !chain.prios.is_empty());
    }

    /// `tcf_block_offload_inc()`
    fn count_in(&mut self, filter: &mut Filter) {
        if !filter.in_hw {
            filter.in_hw = true;
            self.offloaded += 1;
        }
    }

    /// `tcf_block_offload_dec()`
    fn count_out(&mut self, filter: &mut Filter) {
        if filter.in_hw {
            filter.in_hw = false;
            self.offloaded -= 1;
        }
    }

    /// `tc_cls_offload_cnt_update()`
    fn add_count(&mut self, filter: &mut Filter, n: u32) {
        if filter.in_hw_count == 0 {
            self.count_in(filter);
        }
        filter.in_hw_count += n;
    }

    /// The same, downwards.
    fn sub_count(&mut self, filter: &mut Filter) {
        filter.in_hw_count -= 1;
        if filter.in_hw_count == 0 {
            self.count_out(filter);
        }
    }

    /// `tc_cls_offload_cnt_reset()`
    fn reset_count(&mut self, filter: &mut Filter) {
        self.count_out(filter);
        filter.in_hw_count = 0;
    }
}

/// A flow, as the module has it.
#[derive(Clone, Debug)]
struct Flow {
    line: String,
    /// Which load of firmware accepted it.
    load: u64,
    /// The firmware's private memory.
    data: Option<u64>,
    generation: u32,
    last: u64,
    before: u64,
    polls: u64,
}

impl Flow {
    fn new(line: String, firmware: Attached) -> Self {
        Self {
            line,
            load: firmware.load,
            data: matches!(firmware.fw, Fw::Wide | Fw::Tight).then_some(0),
            generation: 0,
            last: 0,
            before: 0,
            polls: 0,
        }
    }

    /// `flows::Flow::advance()` in the module.
    fn advance(&mut self, generation: u32, total: u64) -> u64 {
        let restarted = generation > self.generation && self.generation != 0;
        self.generation = self.generation.max(generation);
        if total >= self.last {
            let delta = total - self.last;
            self.last = total;
            delta
        } else if restarted {
            self.before += self.last;
            self.last = total;
            total
        } else {
            0
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Attached {
    fw: Fw,
    generation: u32,
    load: u64,
}

/// Whether a device has a link, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    None,
    Live,
    /// Its device went.
    Dead,
}

#[derive(Clone, Debug)]
struct Device {
    ns: u8,
    name: u8,
    up: bool,
    offload: bool,
    /// Blocks at ingress and egress; whether a callback was bound.
    clsact: Option<[(BlockId, bool); 2]>,
    firmware: Option<Attached>,
    bindings: Vec<BlockId>,
    /// Whether there is a chain of nftables, and a flowtable.
    nft: [bool; 2],
    flows: BTreeMap<u64, Flow>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Model {
    module: bool,
    namespaces: [bool; NAMESPACES as usize],
    devices: [Option<Device>; SLOTS as usize],
    links: [Link; SLOTS as usize],
    blocks: BTreeMap<BlockId, Block>,
    /// For numbers that are used once.
    next: u64,
    mistake: Option<Mistake>,
}

/// What the module is asked for.
struct OffloadRequest<'a> {
    filter: &'a Filter,
    /// What the request says, which isn't always what the user said.
    skip_sw: bool,
}

/// Parts of flower's mask that can be told apart: what a template compares. Addresses of both
/// families are in the same place.
mod mask {
    pub const ETH_TYPE: u32 = 1;
    pub const MAC: u32 = 1 << 1;
    pub const ADDRESSES: u32 = 1 << 2;
    pub const IP_PROTO: u32 = 1 << 3;
    pub const PORT: u32 = 1 << 4;
    /// Bytes 0 to 3 of the addresses, 4 to 7, 8 to 15, 16 to 31.
    pub const BYTES: [u32; 4] = [1 << 5, 1 << 6, 1 << 7, 1 << 8];
}

fn mask_of(protocol: Protocol, keys: &Keys) -> u32 {
    let mut bits = 0;
    if keys.mac.is_some() {
        bits |= mask::MAC;
    }
    if protocol == Protocol::All {
        return bits;
    }
    bits |= mask::ETH_TYPE;
    let [a, b, c, d] = mask::BYTES;
    let (src, dst) = match protocol {
        Protocol::Ipv6 => (a | b | c, d),
        _ => (a, b),
    };
    if keys.src.is_some() {
        bits |= mask::ADDRESSES | src;
    }
    if keys.dst.is_some() {
        bits |= mask::ADDRESSES | dst;
    }
    if keys.tcp.is_some() {
        bits |= mask::IP_PROTO;
        if keys.port.is_some() {
            bits |= mask::PORT;
        }
    }
    bits
}

/// What of the keys reaches the kernel.
pub fn effective(protocol: Protocol, keys: &Keys) -> Keys {
    match protocol {
        Protocol::All => Keys {
            mac: keys.mac,
            ..Keys::default()
        },
        _ => Keys {
            port: keys.port.filter(|_| keys.tcp.is_some()),
            ..*keys
        },
    }
}

/// What a device's firmware says to a filter, apart from its limit of flows.
fn judge(fw: Fw, request: &OffloadRequest<'_>, slot: u8) -> Tried {
    let spec = &request.filter.spec;
    let no = Err(Errno::EOPNOTSUPP);
    match fw {
        Fw::Noop | Fw::Stats | Fw::Wide => Ok(()),
        Fw::Tight => {
            let fits = spec.kind != Kind::U32
                && spec.chain < 2
                && (2..=5).contains(&spec.prio)
                && spec.actions.len() <= 1;
            if fits {
                Ok(())
            } else {
                no
            }
        }
        Fw::Acl => {
            let keys = effective(spec.protocol, &spec.keys);
            let [action] = spec.actions[..] else {
                return no;
            };
            let fits = spec.kind == Kind::Flower
                && spec.chain == 0
                && spec.protocol == Protocol::Ip
                && keys.mac.is_none()
                && keys.tcp == Some(true)
                && matches!(action, Action::Drop | Action::Redirect(_));
            if !fits {
                return no;
            }
            if action == Action::Redirect(slot) && request.filter.targets_alive {
                return Err(Errno::EINVAL);
            }
            Ok(())
        }
    }
}

fn max_flows(fw: Fw) -> usize {
    match fw {
        Fw::Tight => 3,
        Fw::Acl => 1024,
        _ => usize::MAX,
    }
}

impl Model {
    /// Nothing but the module.
    pub fn new(mistake: Option<Mistake>) -> Self {
        let mut namespaces = [false; NAMESPACES as usize];
        namespaces[0] = true;
        Self {
            module: true,
            namespaces,
            devices: Default::default(),
            links: [Link::None; SLOTS as usize],
            blocks: BTreeMap::new(),
            next: 1,
            mistake,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn device(&self, slot: u8) -> Option<&Device> {
        self.devices[usize::from(slot)].as_ref()
    }

    fn device_mut(&mut self, slot: u8) -> Option<&mut Device> {
        self.devices[usize::from(slot)].as_mut()
    }

    fn name_is_used(&self, ns: u8, name: u8) -> bool {
        self.devices
            .iter()
            .flatten()
            .any(|dev| dev.ns == ns && dev.name == name)
    }

    // ------------------------------------------------ what generation needs

    /// Whether the module is there.
    pub fn has_module(&self) -> bool {
        self.module
    }

    /// Whether a namespace is there.
    pub fn has_namespace(&self, ns: u8) -> bool {
        self.namespaces[usize::from(ns)]
    }

    /// The namespace of a device.
    pub fn namespace_of(&self, slot: u8) -> Option<u8> {
        self.device(slot).map(|dev| dev.ns)
    }

    /// Whether a device has clsact.
    pub fn has_clsact(&self, slot: u8) -> bool {
        self.device(slot).is_some_and(|dev| dev.clsact.is_some())
    }

    /// Whether a device has firmware.
    pub fn has_firmware(&self, slot: u8) -> bool {
        self.device(slot).is_some_and(|dev| dev.firmware.is_some())
    }

    /// Whether any does.
    pub fn any_firmware(&self) -> bool {
        (0..SLOTS).any(|slot| self.has_firmware(slot))
    }

    /// All lists of filters.
    pub fn lists(&self) -> Vec<At> {
        self.blocks
            .keys()
            .filter_map(|id| match *id {
                BlockId::Private { slot, egress } => Some(At::Dev { slot, egress }),
                BlockId::Shared { ns, index } => Some(At::Block { ns, index }),
                BlockId::Nft { .. } => None,
            })
            .collect()
    }

    /// All filters of a list.
    pub fn filters(&self, at: At) -> Vec<Spec> {
        let Ok(id) = self.find(at) else {
            return Vec::new();
        };
        let chains = self.blocks[&id].chains.iter();
        chains
            .flat_map(|chain| chain.prios.values())
            .flat_map(|prio| &prio.filters)
            .map(|filter| filter.spec.clone())
            .collect()
    }

    // ------------------------------------------------------- the module

    /// FLOW_CLS_REPLACE and its likes.
    fn port_replace(&mut self, slot: u8, request: &OffloadRequest<'_>) -> Tried {
        let no = Err(Errno::EOPNOTSUPP);
        let Some(dev) = self.device_mut(slot) else {
            return no;
        };
        let filter = request.filter;
        // A node of u32 keeps its name.
        if filter.spec.kind == Kind::U32 {
            dev.flows.remove(&filter.uid);
        }
        if slot < OWN && !dev.offload {
            return no;
        }
        let Some(firmware) = dev.firmware else {
            return no;
        };
        let declared = judge(firmware.fw, request, slot);
        if declared == Err(Errno::EOPNOTSUPP) {
            return declared;
        }
        if dev.flows.len() >= max_flows(firmware.fw) {
            return Err(Errno::ENOSPC);
        }
        declared?;
        let line = format!(
            "classifier={} chain={} prio={} protocol={:#06x} skip_sw={}",
            filter.spec.kind.name(),
            filter.spec.chain,
            filter.spec.prio,
            filter.spec.protocol.number(),
            u8::from(request.skip_sw),
        );
        dev.flows.insert(filter.uid, Flow::new(line, firmware));
        Ok(())
    }

    /// FLOW_CLS_DESTROY: whether there was such a flow.
    fn port_destroy(&mut self, slot: u8, uid: u64) -> bool {
        self.device_mut(slot)
            .is_some_and(|dev| dev.flows.remove(&uid).is_some())
    }

    /// FLOW_CLS_STATS: packets that are new.
    fn port_stats(&mut self, slot: u8, uid: u64) -> u64 {
        let mistake = self.mistake;
        let Some(dev) = self.device_mut(slot) else {
            return 0;
        };
        let Some(flow) = dev.flows.get_mut(&uid) else {
            return 0;
        };
        flow.polls += 1;
        let Some(firmware) = dev.firmware else {
            return 0;
        };
        if mistake == Some(Mistake::Miscounts) && firmware.generation > 1 {
            flow.last += 1;
        }
        match (firmware.fw, &mut flow.data) {
            (Fw::Noop, _) => 0,
            (Fw::Stats | Fw::Acl, _) if flow.load != firmware.load => 0,
            (Fw::Stats | Fw::Acl, _) => flow.advance(firmware.generation, 0),
            (Fw::Wide, Some(total)) => {
                *total += 1;
                let total = *total;
                flow.advance(firmware.generation, total)
            }
            (Fw::Tight, Some(_)) => {
                flow.last += 2;
                2
            }
            (_, None) => 0,
        }
    }

    // --------------------------------------------------- net/sched: hardware

    /// `tc_setup_cb_add()`, of a filter that isn't in the list yet.
    fn setup_add(&mut self, id: BlockId, filter: &mut Filter, skip_sw: bool) -> Tried {
        if self.blocks[&id].no_offload > 0 && skip_sw {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut accepted = 0;
        for slot in self.blocks[&id].callbacks.clone() {
            match self.port_replace(slot, &OffloadRequest { filter, skip_sw }) {
                Ok(()) => accepted += 1,
                Err(errno) if skip_sw => return Err(errno),
                Err(_) => {}
            }
        }
        if filter.spec.kind == Kind::Flower {
            filter.hw_seq = Some(self.number());
        }
        if accepted > 0 {
            self.block(id).add_count(filter, accepted);
        }
        Ok(())
    }

    /// `tc_setup_cb_destroy()`
    fn setup_destroy(&mut self, id: BlockId, filter: &mut Filter) {
        for slot in self.blocks[&id].callbacks.clone() {
            self.port_destroy(slot, filter.uid);
        }
        self.block(id).reset_count(filter);
        filter.hw_seq = None;
    }

    /// A new filter goes to hardware if it may: `fl_hw_replace_filter()` and the like.
    fn offload(&mut self, id: BlockId, filter: &mut Filter) -> Tried {
        if filter.spec.kind == Kind::U32 {
            // Quirk: u32 passes flags of something else, so that nobody sees skip_sw here, nor
            // skip_hw.
            return self.setup_add(id, filter, false);
        }
        if filter.skips(Place::SkipHw) {
            return Ok(());
        }
        let skip_sw = filter.skips(Place::SkipSw);
        let mut result = self.setup_add(id, filter, skip_sw);
        if result.is_ok() && skip_sw && !filter.in_hw {
            result = Err(Errno::EINVAL);
        }
        if result.is_err() {
            self.setup_destroy(id, filter);
        }
        result
    }

    /// A filter goes.
    fn onload(&mut self, id: BlockId, mut filter: Filter) {
        if filter.spec.kind == Kind::U32 || !filter.skips(Place::SkipHw) {
            self.setup_destroy(id, &mut filter);
        }
    }

    /// `tcf_block_playback_offloads()` and the module's own of the same purpose.
    fn reoffload(&mut self, id: BlockId, slot: u8, add: bool) -> Tried {
        if matches!(id, BlockId::Nft { .. }) {
            return Ok(());
        }
        let mut order = Vec::new();
        for (c, chain) in self.blocks[&id].chains.iter().enumerate() {
            for (p, prio) in &chain.prios {
                let mut filters: Vec<(u64, usize)> = prio
                    .filters
                    .iter()
                    .enumerate()
                    .filter(|(_, filter)| !filter.skips(Place::SkipHw))
                    .map(|(f, filter)| (u64::MAX - filter.hw_seq.unwrap_or(0), f))
                    .collect();
                filters.sort_unstable();
                order.extend(filters.into_iter().map(|(_, f)| (c, *p, f)));
            }
        }
        for (c, p, f) in order {
            // Taken out for the time being.
            let mut filter = self.filter(id, c, p, f).clone();
            let skip_sw = filter.skips(Place::SkipSw);
            if add {
                let request = OffloadRequest {
                    filter: &filter,
                    skip_sw,
                };
                match self.port_replace(slot, &request) {
                    Ok(()) => self.block(id).add_count(&mut filter, 1),
                    Err(errno) if skip_sw => return Err(errno),
                    Err(_) => {}
                }
            } else if self.port_destroy(slot, filter.uid)
                && self.mistake != Some(Mistake::ForgetsWithdrawal)
            {
                self.block(id).sub_count(&mut filter);
            }
            *self.filter(id, c, p, f) = filter;
        }
        Ok(())
    }

    fn filter(&mut self, id: BlockId, chain: usize, prio: u16, filter: usize) -> &mut Filter {
        let prios = &mut self.block(id).chains[chain].prios;
        &mut prios.get_mut(&prio).expect("was just seen").filters[filter]
    }

    fn block(&mut self, id: BlockId) -> &mut Block {
        self.blocks.entry(id).or_default()
    }

    // ------------------------------------------------------- qdiscs and blocks

    /// `tcf_block_offload_bind()`: whether there is a callback now.
    fn bind(&mut self, id: BlockId, slot: u8) -> Result<bool, Errno> {
        let (own, module) = (slot < OWN, self.module);
        let in_use = self.blocks[&id].offloaded != 0;
        let offload = self.device(slot).is_some_and(|dev| dev.offload);
        if own && !offload && in_use {
            return Err(Errno::EOPNOTSUPP);
        }
        let bound = if own {
            match self.reoffload(id, slot, true) {
                Ok(()) => true,
                Err(errno) => {
                    let _ = self.reoffload(id, slot, false);
                    if errno != Errno::EOPNOTSUPP {
                        return Err(errno);
                    }
                    false
                }
            }
        } else {
            module && self.blocks[&id].chains.is_empty()
        };
        if bound {
            self.block(id).callbacks.insert(0, slot);
            if let Some(dev) = self.device_mut(slot) {
                dev.bindings.push(id);
            }
        }
        if !own || !bound {
            if in_use {
                return Err(Errno::EOPNOTSUPP);
            }
            self.block(id).no_offload += 1;
        }
        Ok(bound)
    }

    /// `tcf_block_offload_unbind()`
    fn unbind(&mut self, id: BlockId, slot: u8, bound: bool) {
        if slot >= OWN || !bound {
            self.block(id).no_offload -= 1;
        }
        // The module may have gone in between.
        if !bound || !self.blocks[&id].callbacks.contains(&slot) {
            return;
        }
        let _ = self.reoffload(id, slot, false);
        self.drop_leftovers(id, slot);
        self.block(id).callbacks.retain(|other| *other != slot);
        if let Some(dev) = self.device_mut(slot) {
            dev.bindings.retain(|other| *other != id);
        }
    }

    /// Quirk: u32 offers filters that are skip_hw, and doesn't take them back; the module drops
    /// them with the binding.
    fn drop_leftovers(&mut self, id: BlockId, slot: u8) {
        let chains = self.blocks[&id].chains.iter();
        let uids: Vec<u64> = chains
            .flat_map(|chain| chain.prios.values())
            .flat_map(|prio| &prio.filters)
            .map(|filter| filter.uid)
            .collect();
        for uid in uids {
            self.port_destroy(slot, uid);
        }
    }

    /// `tcf_block_get_ext()`
    fn get_block(&mut self, id: BlockId, slot: u8) -> Result<bool, Errno> {
        self.block(id);
        let bound = self.bind(id, slot);
        if bound.is_ok() {
            self.block(id).users += 1;
        } else if self.blocks[&id].users == 0 {
            self.blocks.remove(&id);
        }
        bound
    }

    /// `tcf_block_put_ext()`
    fn put_block(&mut self, id: BlockId, slot: u8, bound: bool) {
        let block = self.block(id);
        block.users -= 1;
        let last = block.users == 0;
        self.unbind(id, slot, bound);
        if last {
            self.blocks.remove(&id);
        }
    }

    fn add_clsact(&mut self, slot: u8, blocks: [Option<u32>; 2]) -> Tried {
        let dev = self.device(slot).ok_or(Errno::ENODEV)?;
        if dev.clsact.is_some() {
            return Err(Errno::EEXIST);
        }
        let ns = dev.ns;
        let id = |egress: bool| match blocks[usize::from(egress)] {
            Some(index) => BlockId::Shared { ns, index },
            None => BlockId::Private { slot, egress },
        };
        let (ingress, egress) = (id(false), id(true));
        if ingress == egress {
            // A block has a device once: the second bind is undone, and then the first.
            let bound = self.get_block(ingress, slot)?;
            self.put_block(ingress, slot, bound);
            return Err(Errno::EBUSY);
        }
        let first = self.get_block(ingress, slot)?;
        match self.get_block(egress, slot) {
            Ok(second) => {
                if let Some(dev) = self.device_mut(slot) {
                    dev.clsact = Some([(ingress, first), (egress, second)]);
                }
                Ok(())
            }
            Err(errno) => {
                self.put_block(ingress, slot, first);
                Err(errno)
            }
        }
    }

    fn del_clsact(&mut self, slot: u8) -> Tried {
        let dev = self.device_mut(slot).ok_or(Errno::ENODEV)?;
        for (id, bound) in dev.clsact.take().ok_or(Errno::ENOENT)? {
            self.put_block(id, slot, bound);
        }
        Ok(())
    }

    // ------------------------------------------------------- filters

    /// The block that a request is about.
    fn find(&self, at: At) -> Result<BlockId, Errno> {
        match at {
            At::Dev { slot, egress } => {
                let dev = self.device(slot).ok_or(Errno::ENODEV)?;
                let clsact = dev.clsact.ok_or(Errno::EINVAL)?;
                match clsact[usize::from(egress)].0 {
                    // The kernel wants it called by its number.
                    BlockId::Shared { .. } => Err(Errno::EOPNOTSUPP),
                    id => Ok(id),
                }
            }
            At::Block { ns, index } => {
                let id = BlockId::Shared { ns, index };
                if self.blocks.contains_key(&id) {
                    Ok(id)
                } else {
                    Err(Errno::EINVAL)
                }
            }
        }
    }

    fn ns_of(&self, id: BlockId) -> u8 {
        match id {
            BlockId::Private { slot, .. } | BlockId::Nft { slot, .. } => {
                self.namespace_of(slot).unwrap_or(0)
            }
            BlockId::Shared { ns, .. } => ns,
        }
    }

    /// `tc_new_tfilter()`
    fn set_filter(&mut self, at: At, mode: Mode, spec: &Spec) -> Tried {
        let id = self.find(at)?;
        let ns = self.ns_of(id);
        let block = self.block(id);
        if block.chain(spec.chain).is_none() {
            block.chains.push(Chain {
                index: spec.chain,
                explicit: false,
                template: None,
                prios: BTreeMap::new(),
            });
        }
        let result = self.set_filter_in(id, ns, mode, spec);
        let block = self.block(id);
        if let Some(chain) = block.chain(spec.chain) {
            chain.prios.retain(|_, prio| !prio.filters.is_empty());
        }
        block.tidy();
        result
    }

    fn set_filter_in(&mut self, id: BlockId, ns: u8, mode: Mode, spec: &Spec) -> Tried {
        let chain = self.block(id).chain(spec.chain).ok_or(Errno::ENOENT)?;
        let template = chain.template;
        if let Some(prio) = chain.prios.get(&spec.prio) {
            if prio.protocol != spec.protocol || prio.kind != spec.kind {
                return Err(Errno::EINVAL);
            }
        } else if mode == Mode::Change {
            return Err(Errno::ENOENT);
        }
        let prio = chain.prios.entry(spec.prio).or_insert_with(|| Prio {
            kind: spec.kind,
            protocol: spec.protocol,
            filters: Vec::new(),
        });
        let same = |filter: &Filter| spec.kind == Kind::U32 || filter.spec.handle == spec.handle;
        let old = prio.filters.iter().position(same);
        match (old, mode) {
            (Some(_), Mode::Add) => return Err(Errno::EEXIST),
            (None, Mode::Change) => return Err(Errno::ENOENT),
            _ => {}
        }
        if template.is_some() && spec.kind != Kind::Flower {
            return Err(Errno::EINVAL);
        }
        if spec.kind == Kind::Matchall && !prio.filters.is_empty() {
            return Err(Errno::EEXIST);
        }
        if let (Kind::U32, Some(old)) = (spec.kind, old) {
            if prio.filters[old].spec.place != spec.place {
                return Err(Errno::EINVAL);
            }
        }
        let targets = spec.actions.iter().filter_map(|action| action.target());
        let there = targets
            .map(|slot| self.namespace_of(slot))
            .all(|found| found == Some(ns));
        if !there {
            return Err(Errno::ENODEV);
        }
        let mut new = Filter {
            uid: self.number(),
            spec: Spec {
                keys: effective(spec.protocol, &spec.keys),
                ..spec.clone()
            },
            targets_alive: true,
            in_hw: false,
            in_hw_count: 0,
            packets: 0,
            hw_seq: None,
        };
        match spec.kind {
            Kind::Flower => self.set_flower(id, new, old, template),
            Kind::U32 if old.is_some() => self.change_u32(id, new),
            _ => {
                self.offload(id, &mut new)?;
                self.prio(id, spec).filters.push(new);
                Ok(())
            }
        }
    }

    fn prio(&mut self, id: BlockId, spec: &Spec) -> &mut Prio {
        let chain = self.block(id).chain(spec.chain).expect("was just made");
        chain.prios.get_mut(&spec.prio).expect("was just made")
    }

    /// `fl_change()`
    fn set_flower(
        &mut self,
        id: BlockId,
        mut new: Filter,
        old: Option<usize>,
        template: Option<u32>,
    ) -> Tried {
        let spec = new.spec.clone();
        let mask = mask_of(spec.protocol, &spec.keys);
        if template.is_some_and(|template| mask & !template != 0) {
            return Err(Errno::EINVAL);
        }
        let filters = &self.prio(id, &spec).filters;
        match old.map(|old| &filters[old].spec) {
            Some(old) if mask_of(old.protocol, &old.keys) != mask => return Err(Errno::EINVAL),
            Some(_) => {}
            // Quirk: one that is replaced may become the same as another.
            None if filters.iter().any(|filter| filter.spec.keys == spec.keys) => {
                return Err(Errno::EEXIST)
            }
            None => {}
        }
        if let Err(errno) = self.offload(id, &mut new) {
            if self.mistake != Some(Mistake::KeepsRefused) {
                return Err(errno);
            }
        }
        let filters = &mut self.prio(id, &spec).filters;
        if let Some(old) = old {
            let old = std::mem::replace(&mut filters[old], new);
            self.onload(id, old);
        } else {
            filters.push(new);
        }
        Ok(())
    }

    /// `u32_change()` of a node that is there, which hardware sees as the same.
    fn change_u32(&mut self, id: BlockId, mut new: Filter) -> Tried {
        let spec = new.spec.clone();
        let old = &self.prio(id, &spec).filters[0];
        // Quirk: flags are taken over and the count isn't; a node that hardware refuses now says
        // in_hw for the rest of its life.
        new.uid = old.uid;
        new.in_hw = old.in_hw;
        self.offload(id, &mut new)?;
        self.prio(id, &spec).filters[0] = new;
        Ok(())
    }

    /// `tc_del_tfilter()`
    fn del_filter(
        &mut self,
        at: At,
        (kind, protocol): (Kind, Protocol),
        chain: u32,
        number: u16,
        handle: u32,
    ) -> Tried {
        let id = self.find(at)?;
        let block = self.block(id);
        let chain = block.chain(chain).ok_or(Errno::ENOENT)?;
        let prio = chain.prios.get_mut(&number).ok_or(Errno::ENOENT)?;
        if prio.protocol != protocol || prio.kind != kind {
            return Err(Errno::EINVAL);
        }
        let gone: Vec<Filter> = if handle == 0 {
            prio.filters.drain(..).collect()
        } else {
            let mut filters = prio.filters.iter();
            let found = filters.position(|filter| filter.spec.handle == handle);
            vec![prio.filters.remove(found.ok_or(Errno::ENOENT)?)]
        };
        if prio.filters.is_empty() {
            chain.prios.remove(&number);
        }
        block.tidy();
        for filter in gone {
            self.onload(id, filter);
        }
        Ok(())
    }

    /// `tcf_chain_flush()`
    fn flush(&mut self, id: BlockId, chain: u32) {
        let Some(chain) = self.block(id).chain(chain) else {
            return;
        };
        let prios = std::mem::take(&mut chain.prios);
        for filter in prios.into_values().flat_map(|prio| prio.filters) {
            self.onload(id, filter);
        }
    }

    fn add_chain(&mut self, at: At, index: u32, template: Option<(Protocol, Keys)>) -> Tried {
        let id = self.find(at)?;
        let block = self.block(id);
        if block.chain(index).is_some() {
            return Err(Errno::EEXIST);
        }
        block.chains.push(Chain {
            index,
            explicit: true,
            template: template.map(|(protocol, keys)| mask_of(protocol, &keys)),
            prios: BTreeMap::new(),
        });
        Ok(())
    }

    fn del_chain(&mut self, at: At, index: u32) -> Tried {
        let id = self.find(at)?;
        self.block(id).chain(index).ok_or(Errno::EINVAL)?;
        self.flush(id, index);
        self.block(id).chains.retain(|chain| chain.index != index);
        Ok(())
    }

    /// The block that is listed. Other than for requests, a shared one can be called by a device.
    fn listed(&self, at: At) -> Option<BlockId> {
        match at {
            At::Dev { slot, egress } => Some(self.device(slot)?.clsact?[usize::from(egress)].0),
            At::Block { .. } => self.find(at).ok(),
        }
    }

    /// The counters of a list's filters are read.
    pub fn dump(&mut self, at: At) {
        let Some(id) = self.listed(at) else { return };
        let callbacks = self.blocks[&id].callbacks.clone();
        let mut chains = std::mem::take(&mut self.block(id).chains);
        let prios = chains.iter_mut().flat_map(|chain| chain.prios.values_mut());
        for filter in prios.flat_map(|prio| &mut prio.filters) {
            // u32 doesn't ask.
            if filter.skips(Place::SkipHw) || filter.spec.kind == Kind::U32 {
                continue;
            }
            for slot in &callbacks {
                filter.packets += self.port_stats(*slot, filter.uid);
            }
        }
        self.block(id).chains = chains;
    }

    // ------------------------------------------------------- nftables

    fn add_nft(&mut self, slot: u8, flowtable: bool) -> Tried {
        let no = Err(Errno::EOPNOTSUPP);
        if !self.module {
            return no;
        }
        let uid = self.number();
        let dev = self.device_mut(slot).ok_or(Errno::ENODEV)?;
        if !flowtable {
            // On devices of others the module leaves chains alone.
            let Some(firmware) = dev.firmware.filter(|_| slot < OWN && dev.offload) else {
                return no;
            };
            // Those that declare for whom they are.
            if matches!(firmware.fw, Fw::Acl | Fw::Tight) {
                return no;
            }
            let line = "classifier=nft chain=0 prio=1 protocol=0x0800 skip_sw=0".to_owned();
            dev.flows.insert(uid, Flow::new(line, firmware));
        }
        dev.bindings.push(BlockId::Nft { slot, flowtable });
        dev.nft[usize::from(flowtable)] = true;
        Ok(())
    }

    fn del_nft(&mut self, slot: u8, flowtable: bool) {
        let Some(dev) = self.device_mut(slot) else {
            return;
        };
        dev.nft[usize::from(flowtable)] = false;
        dev.bindings
            .retain(|id| *id != BlockId::Nft { slot, flowtable });
        if !flowtable {
            dev.flows
                .retain(|_, flow| !flow.line.contains("classifier=nft"));
        }
    }

    /// Whether a device has a chain of nftables, or a flowtable.
    pub fn has_nft(&self, slot: u8, flowtable: bool) -> bool {
        self.device(slot)
            .is_some_and(|dev| dev.nft[usize::from(flowtable)])
    }

    // ------------------------------------------------------- devices

    fn add_device(&mut self, slot: u8, ns: u8, name: u8) -> Tried {
        if slot < OWN && !self.module {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.name_is_used(ns, name) || self.device(slot).is_some() {
            return Err(Errno::EEXIST);
        }
        self.devices[usize::from(slot)] = Some(Device {
            ns,
            name,
            up: false,
            offload: slot < OWN,
            clsact: None,
            firmware: None,
            bindings: Vec::new(),
            nft: [false; 2],
            flows: BTreeMap::new(),
        });
        Ok(())
    }

    /// A device leaves a namespace: it loses its qdiscs, and actions lose it.
    fn leave(&mut self, slot: u8) {
        let _ = self.del_clsact(slot);
        self.del_nft(slot, false);
        self.del_nft(slot, true);
        let blocks = self.blocks.values_mut();
        let chains = blocks.flat_map(|block| &mut block.chains);
        let prios = chains.flat_map(|chain| chain.prios.values_mut());
        for filter in prios.flat_map(|prio| &mut prio.filters) {
            let mut targets = filter.spec.actions.iter().filter_map(|a| a.target());
            if targets.any(|target| target == slot) {
                filter.targets_alive = false;
            }
        }
    }

    fn del_device(&mut self, slot: u8) -> Tried {
        self.device(slot).ok_or(Errno::ENODEV)?;
        self.leave(slot);
        let attached = self.has_firmware(slot);
        self.devices[usize::from(slot)] = None;
        if attached {
            self.links[usize::from(slot)] = Link::Dead;
        }
        Ok(())
    }

    fn move_device(&mut self, slot: u8, ns: u8) -> Tried {
        let dev = self.device(slot).ok_or(Errno::ENODEV)?;
        if dev.ns == ns {
            return Ok(());
        }
        if self.name_is_used(ns, dev.name) {
            return Err(Errno::EEXIST);
        }
        self.leave(slot);
        if let Some(dev) = self.device_mut(slot) {
            dev.ns = ns;
            dev.up = false;
        }
        Ok(())
    }

    fn rename(&mut self, slot: u8, name: u8) -> Tried {
        let dev = self.device(slot).ok_or(Errno::ENODEV)?;
        if dev.name != name && self.name_is_used(dev.ns, name) {
            return Err(Errno::EEXIST);
        }
        if let Some(dev) = self.device_mut(slot) {
            dev.name = name;
        }
        Ok(())
    }

    fn set_offload(&mut self, slot: u8, on: bool) -> Tried {
        let dev = self.device_mut(slot).ok_or(Errno::ENODEV)?;
        // Refused while there are flows, which ethtool is told by the feature's value only.
        if on || dev.flows.is_empty() {
            dev.offload = on;
        }
        Ok(())
    }

    // ------------------------------------------------------- firmware

    fn load(&mut self, slot: u8, fw: Fw) -> Tried {
        let load = self.number();
        let twice = self.mistake == Some(Mistake::LoadsTwice);
        let dev = self.device_mut(slot).ok_or(Errno::ENODEV)?;
        if dev.firmware.is_some() && !twice {
            return Err(Errno::EBUSY);
        }
        dev.firmware = Some(Attached {
            fw,
            generation: 1,
            load,
        });
        for id in dev.bindings.clone() {
            if let Err(errno) = self.reoffload(id, slot, true) {
                self.retire(slot);
                return Err(errno);
            }
        }
        self.links[usize::from(slot)] = Link::Live;
        Ok(())
    }

    /// The filters of a device go back to software, then its firmware goes.
    fn retire(&mut self, slot: u8) {
        let Some(dev) = self.device(slot) else { return };
        for id in dev.bindings.clone() {
            let _ = self.reoffload(id, slot, false);
        }
        if let Some(dev) = self.device_mut(slot) {
            dev.flows.clear();
            dev.firmware = None;
        }
    }

    fn swap(&mut self, slot: u8, fw: Fw) -> Tried {
        if self.links[usize::from(slot)] == Link::Dead {
            return Err(Errno::ENOLINK);
        }
        let load = self.number();
        let Some(firmware) = self.device_mut(slot).and_then(|dev| dev.firmware.as_mut()) else {
            return Err(Errno::ENOLINK);
        };
        *firmware = Attached {
            fw,
            generation: firmware.generation + 1,
            load,
        };
        Ok(())
    }

    // ------------------------------------------------------- the whole

    /// Whether an operation makes no sense now.
    fn is_moot(&self, op: &Op) -> bool {
        let ns_there = |ns: u8| self.namespaces[usize::from(ns)];
        let list_there = |at: At| match at {
            At::Block { ns, .. } => ns_there(ns),
            At::Dev { .. } => true,
        };
        match *op {
            // An index can be used again in another namespace, but then it doesn't tell the slot.
            Op::AddDevice { slot, ns, .. } => {
                !ns_there(ns) || self.namespace_of(slot).is_some_and(|is| is != ns)
            }
            Op::Move { ns, .. } => !ns_there(ns),
            Op::AddNetns { ns } => ns_there(ns),
            Op::DelNetns { ns } => ns == 0 || !ns_there(ns),
            Op::SetFilter { at, mode, ref spec } => {
                // The number of a u32 node is the kernel's to choose, so there is no way to name
                // one for a start.
                let again = || {
                    let filters = self.filters(at);
                    filters.iter().any(|filter| {
                        filter.kind == Kind::U32
                            && (filter.chain, filter.prio) == (spec.chain, spec.prio)
                    })
                };
                !list_there(at) || spec.kind == Kind::U32 && again() == (mode == Mode::Add)
            }
            Op::DelFilter { at, .. }
            | Op::Flush { at, .. }
            | Op::AddChain { at, .. }
            | Op::DelChain { at, .. }
            | Op::Dump { at } => !list_there(at),
            // It is the chain's device by its name.
            Op::Rename { slot, .. } => self.has_nft(slot, false) || self.has_nft(slot, true),
            Op::AddNft { slot, flowtable } => {
                self.device(slot).is_none() || self.has_nft(slot, flowtable)
            }
            Op::DelNft { slot, flowtable } => !self.has_nft(slot, flowtable),
            Op::Offload { slot, .. } => slot >= OWN,
            Op::Load { .. } => !self.module,
            Op::Swap { slot, .. } => !self.module || self.links[usize::from(slot)] == Link::None,
            Op::Unload { slot } | Op::Close { slot } => self.links[usize::from(slot)] == Link::None,
            Op::Insmod => self.module,
            Op::Rmmod => !self.module,
            Op::DelDevice { .. }
            | Op::SetUp { .. }
            | Op::AddClsact { .. }
            | Op::DelClsact { .. } => false,
        }
    }

    /// What comes of an operation.
    pub fn apply(&mut self, op: &Op) -> Outcome {
        if self.is_moot(op) {
            return Outcome::Skipped;
        }
        self.apply_in_earnest(op).into()
    }

    fn apply_in_earnest(&mut self, op: &Op) -> Tried {
        match *op {
            Op::AddDevice { slot, ns, name, .. } => self.add_device(slot, ns, name),
            Op::DelDevice { slot } => self.del_device(slot),
            Op::SetUp { slot, up } => {
                self.device_mut(slot).ok_or(Errno::ENODEV)?.up = up;
                Ok(())
            }
            Op::Rename { slot, name } => self.rename(slot, name),
            Op::Move { slot, ns } => self.move_device(slot, ns),
            Op::AddNetns { ns } => {
                self.namespaces[usize::from(ns)] = true;
                Ok(())
            }
            Op::DelNetns { ns } => {
                for slot in (0..SLOTS)
                    .filter(|slot| self.namespace_of(*slot) == Some(ns))
                    .collect::<Vec<_>>()
                {
                    self.del_device(slot)?;
                }
                self.namespaces[usize::from(ns)] = false;
                Ok(())
            }
            Op::AddClsact {
                slot,
                ingress,
                egress,
            } => self.add_clsact(slot, [ingress, egress]),
            Op::DelClsact { slot } => self.del_clsact(slot),
            Op::SetFilter { at, mode, ref spec } => self.set_filter(at, mode, spec),
            Op::DelFilter {
                at,
                kind,
                chain,
                prio,
                protocol,
                handle,
            } => self.del_filter(at, (kind, protocol), chain, prio, handle),
            Op::Flush { at, chain } => {
                let id = self.find(at)?;
                self.flush(id, chain);
                self.block(id).tidy();
                Ok(())
            }
            Op::AddChain {
                at,
                chain,
                template,
            } => self.add_chain(at, chain, template),
            Op::DelChain { at, chain } => self.del_chain(at, chain),
            Op::Dump { at } => {
                self.dump(at);
                Ok(())
            }
            Op::AddNft { slot, flowtable } => self.add_nft(slot, flowtable),
            Op::DelNft { slot, flowtable } => {
                self.del_nft(slot, flowtable);
                Ok(())
            }
            Op::Load { slot, fw } => self.load(slot, fw),
            Op::Swap { slot, fw } => self.swap(slot, fw),
            Op::Unload { slot } | Op::Close { slot } => {
                self.retire(slot);
                self.links[usize::from(slot)] = Link::None;
                Ok(())
            }
            Op::Offload { slot, on } => self.set_offload(slot, on),
            Op::Rmmod => {
                // A chain holds the module.
                if self.any_firmware() || (0..OWN).any(|slot| self.has_nft(slot, false)) {
                    return Err(Errno::EAGAIN);
                }
                for slot in (0..OWN)
                    .filter(|slot| self.device(*slot).is_some())
                    .collect::<Vec<_>>()
                {
                    self.del_device(slot)?;
                }
                // Other devices keep their qdiscs, without a callback.
                for block in self.blocks.values_mut() {
                    block.callbacks.clear();
                }
                for dev in self.devices.iter_mut().flatten() {
                    dev.bindings.clear();
                }
                self.module = false;
                Ok(())
            }
            Op::Insmod => {
                self.module = true;
                Ok(())
            }
        }
    }

    // ------------------------------------------------------- what can be seen

    /// What is to be seen of a list's filters, sorted.
    pub fn see_filters(&self, at: At) -> Vec<String> {
        let Some(id) = self.listed(at) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for chain in &self.blocks[&id].chains {
            for filter in chain.prios.values().flat_map(|prio| &prio.filters) {
                lines.push(filter_line(at, filter));
            }
        }
        lines.sort_unstable();
        lines
    }

    /// What is to be seen of all, sorted.
    pub fn see(&self) -> Vec<String> {
        let mut lines = vec![format!("module={}", u8::from(self.module))];
        for at in self.lists() {
            lines.extend(self.see_filters(at));
        }
        for slot in 0..SLOTS {
            let Some(dev) = self.device(slot) else {
                continue;
            };
            let place = format!("ns={} name={}", dev.ns, name(dev.name));
            lines.push(format!(
                "link {} {place} up={}",
                ifindex(slot),
                u8::from(dev.up)
            ));
            if dev.clsact.is_some() {
                lines.push(format!("clsact {} ns={}", ifindex(slot), dev.ns));
            }
            self.see_port(slot, dev, &place, &mut lines);
        }
        lines.sort_unstable();
        lines
    }

    fn see_port(&self, slot: u8, dev: &Device, place: &str, lines: &mut Vec<String>) {
        let is_port = slot < OWN || dev.firmware.is_some() || !dev.bindings.is_empty();
        if !self.module || !is_port {
            return;
        }
        let port = format!("{} {place}", ifindex(slot));
        lines.push(format!(
            "port {port} kind={} hw_tc_offload={} bindings={} flows={} firmware={}",
            if slot < OWN { "ekho" } else { "indirect" },
            u8::from(dev.offload),
            dev.bindings.len(),
            dev.flows.len(),
            dev.firmware.map_or("-", |firmware| firmware.fw.name()),
        ));
        if let Some(firmware) = dev.firmware {
            lines.push(format!(
                "firmware {port} firmware={} generation={} violations=0",
                firmware.fw.name(),
                firmware.generation,
            ));
        }
        for flow in dev.flows.values() {
            lines.push(format!(
                "flow {port} {} packets={} stats_requests={}",
                flow.line,
                flow.before + flow.last,
                flow.polls,
            ));
        }
    }
}

/// What is to be seen of a filter.
fn filter_line(at: At, filter: &Filter) -> String {
    let spec = &filter.spec;
    let handle = match spec.kind {
        // The kernel's choice.
        Kind::U32 => 0,
        _ => spec.handle,
    };
    // Others don't tell.
    let count = match spec.kind {
        Kind::Flower => filter.in_hw_count.to_string(),
        _ => "-".to_owned(),
    };
    format!(
        "filter {at} chain={} prio={} protocol={:#06x} {} handle={handle} skip_sw={} skip_hw={} in_hw={} in_hw_count={count} packets={}",
        spec.chain,
        spec.prio,
        spec.protocol.number(),
        spec.kind.name(),
        u8::from(filter.skips(Place::SkipSw)),
        u8::from(filter.skips(Place::SkipHw)),
        u8::from(filter.in_hw),
        filter.packets,
    )
}
