// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random operations: mostly ones that can succeed, by the model's state, and some that can't.

use fastrand::Rng;

use crate::model::{effective, Model};
use crate::op::{
    Action, At, Fw, Keys, Kind, Mode, Op, Place, Protocol, Spec, NAMESPACES, OWN, SLOTS,
};

/// Filters that a list has at most: more than what fits into one answer of the kernel would have
/// some counters read twice.
const FILTERS: usize = 24;
const NAMES: u8 = 9;
const BLOCKS: [u32; 2] = [11, 12];

/// Where operations come from.
pub struct Generator {
    rng: Rng,
    mix: Vec<(u32, Make)>,
    /// What has to be done next.
    pending: Vec<Op>,
}

type Make = fn(&mut Generator, &Model) -> Op;

/// What is done, and how often of 1000 times.
const MIX: &[(u32, Make)] = &[
    (330, Generator::set_filter),
    (110, Generator::del_filter),
    (12, Generator::flush),
    (20, Generator::add_chain),
    (14, Generator::del_chain),
    (60, Generator::dump),
    (90, Generator::add_clsact),
    (22, Generator::del_clsact),
    (70, Generator::add_device),
    (10, Generator::del_device),
    (30, Generator::set_up),
    (25, Generator::rename),
    (12, Generator::move_device),
    (6, Generator::add_netns),
    (3, Generator::del_netns),
    (60, Generator::load),
    (30, Generator::swap),
    (16, Generator::unload),
    (8, Generator::close),
    (50, Generator::offload),
    (2, Generator::rmmod),
];

/// What is done as well, if it is asked for: a process each.
const NFT: &[(u32, Make)] = &[(8, Generator::add_nft), (4, Generator::del_nft)];

impl Generator {
    /// The same seed makes the same operations.
    pub fn new(seed: u64, nft: bool) -> Self {
        let mut mix = MIX.to_vec();
        if nft {
            mix.extend(NFT);
        }
        Self {
            rng: Rng::with_seed(seed),
            mix,
            pending: Vec::new(),
        }
    }

    /// The next operation.
    pub fn next(&mut self, model: &Model) -> Op {
        if let Some(op) = self.pending.pop() {
            return op;
        }
        if !model.has_module() && self.rng.u8(..4) == 0 {
            return Op::Insmod;
        }
        let total: u32 = self.mix.iter().map(|(weight, _)| weight).sum();
        let mut n = self.rng.u32(..total);
        for (weight, make) in self.mix.clone() {
            if n < weight {
                return make(self, model);
            }
            n -= weight;
        }
        unreachable!("weights sum up")
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    /// One of the slots that are as wanted, or now and then any.
    fn slot(&mut self, wanted: impl Fn(u8) -> bool) -> u8 {
        let fit: Vec<u8> = (0..SLOTS).filter(|slot| wanted(*slot)).collect();
        if fit.is_empty() || self.one_in(25) {
            self.rng.u8(..SLOTS)
        } else {
            self.pick(&fit)
        }
    }

    fn device(&mut self, model: &Model) -> u8 {
        self.slot(|slot| model.namespace_of(slot).is_some())
    }

    fn ns(&mut self, model: &Model) -> u8 {
        if self.one_in(3) {
            let ns = self.rng.u8(..NAMESPACES);
            if model.has_namespace(ns) {
                return ns;
            }
        }
        0
    }

    /// A list of filters.
    fn list(&mut self, model: &Model) -> At {
        let lists = model.lists();
        if lists.is_empty() || self.one_in(30) {
            let slot = self.rng.u8(..SLOTS);
            if self.rng.bool() {
                let egress = self.rng.bool();
                return At::Dev { slot, egress };
            }
            let index = self.pick(&BLOCKS);
            return At::Block { ns: 0, index };
        }
        // Ingress more often.
        let at = self.pick(&lists);
        match at {
            At::Dev { egress: true, .. } => self.pick(&lists),
            at => at,
        }
    }

    /// A list, and a filter in it if there is one.
    fn filter(&mut self, model: &Model) -> (At, Option<Spec>) {
        let mut at = self.list(model);
        for _ in 0..3 {
            let filters = model.filters(at);
            if !filters.is_empty() {
                let spec = filters[self.rng.usize(..filters.len())].clone();
                return (at, Some(spec));
            }
            at = self.list(model);
        }
        (at, None)
    }

    fn chain(&mut self) -> u32 {
        self.pick(&[0, 0, 0, 0, 1, 1, 2])
    }

    fn keys(&mut self) -> Keys {
        // Few values, so that the same match comes again.
        let mut some = |odds: u8| (self.rng.u8(..8) < odds).then(|| self.rng.u8(1..4));
        let (mac, dst, src, port) = (some(2), some(5), some(2), some(4));
        Keys {
            mac,
            dst,
            src,
            tcp: (self.rng.u8(..8) < 5).then(|| self.rng.u8(..4) != 0),
            port,
        }
    }

    fn actions(&mut self, model: &Model) -> Vec<Action> {
        let target = self.device(model);
        let last = match self.rng.u8(..12) {
            0..=4 => Action::Drop,
            5 | 6 => Action::Pass,
            7 => Action::Trap,
            8 => Action::Goto,
            9 => Action::VlanPush,
            _ => Action::Redirect(target),
        };
        match self.rng.u8(..8) {
            0 => vec![Action::Mark, last],
            1 => vec![Action::Mirror(target), last],
            _ => vec![last],
        }
    }

    /// A filter for a place.
    fn spec(&mut self, model: &Model, at: At) -> Spec {
        let chain = self.chain();
        let kind = match self.rng.u8(..16) {
            0 | 1 => Kind::Matchall,
            2 | 3 => Kind::U32,
            _ => Kind::Flower,
        };
        let prio = match (kind, at) {
            // The kernel mixes up u32 filters of the same preference in the lists of a device:
            // u32_reoffload() offers those of one to those who asked for the other.
            (Kind::U32, At::Dev { egress, .. }) => 41 + 2 * chain as u16 + u16::from(egress),
            (Kind::U32, At::Block { .. }) => 41 + 2 * chain as u16,
            (Kind::Matchall, _) => self.rng.u16(3..8),
            (Kind::Flower, _) => self.rng.u16(1..7),
        };
        let protocol = match (kind, prio) {
            (Kind::U32 | Kind::Matchall, _) => self.pick(&[Protocol::All, Protocol::Ip]),
            (_, 5) => self.pick(&[Protocol::Ipv6, Protocol::Ipv6, Protocol::Ip]),
            (_, 6) => self.pick(&[Protocol::All, Protocol::Ip]),
            _ => Protocol::Ip,
        };
        let place = match self.rng.u8(..8) {
            0 => Place::SkipHw,
            1..=3 => Place::SkipSw,
            _ => Place::Any,
        };
        Spec {
            kind,
            chain,
            prio,
            protocol,
            handle: self.rng.u32(1..5),
            place,
            keys: self.keys(),
            actions: self.actions(model),
        }
    }

    fn set_filter(&mut self, model: &Model) -> Op {
        let at = self.list(model);
        let mut spec = self.spec(model, at);
        let filters = model.filters(at);
        if filters.len() >= FILTERS {
            let chain = filters[0].chain;
            return Op::Flush { at, chain };
        }
        let mut mode = self.pick(&[Mode::Add, Mode::Add, Mode::Add, Mode::Replace]);
        // One that is there, with other actions, values or place.
        if !filters.is_empty() && self.one_in(4) {
            let old = self.rng.usize(..filters.len());
            let old = filters[old].clone();
            let keys = effective(old.protocol, &self.keys());
            spec = Spec {
                actions: spec.actions,
                place: if self.rng.bool() {
                    old.place
                } else {
                    spec.place
                },
                keys: Keys {
                    dst: old.keys.dst.and(keys.dst.or(old.keys.dst)),
                    ..old.keys
                },
                ..old
            };
            mode = self.pick(&[Mode::Replace, Mode::Change]);
        }
        if spec.kind == Kind::U32 {
            let is_there = filters.iter().any(|filter| {
                filter.kind == Kind::U32 && (filter.chain, filter.prio) == (spec.chain, spec.prio)
            });
            mode = if is_there { Mode::Change } else { Mode::Add };
        }
        Op::SetFilter { at, mode, spec }
    }

    fn del_filter(&mut self, model: &Model) -> Op {
        let (at, found) = self.filter(model);
        let spec = match found {
            Some(spec) if !self.one_in(12) => spec,
            _ => self.spec(model, at),
        };
        let whole = spec.kind == Kind::U32 || self.one_in(5);
        Op::DelFilter {
            at,
            kind: spec.kind,
            chain: spec.chain,
            prio: spec.prio,
            protocol: spec.protocol,
            handle: if whole { 0 } else { spec.handle },
        }
    }

    fn flush(&mut self, model: &Model) -> Op {
        let (at, found) = self.filter(model);
        let chain = found.map_or_else(|| self.chain(), |spec| spec.chain);
        Op::Flush { at, chain }
    }

    fn add_chain(&mut self, model: &Model) -> Op {
        let at = self.list(model);
        let template = self.rng.bool().then(|| {
            // One that most filters fit.
            let keys = Keys {
                dst: Some(1),
                tcp: Some(true),
                ..self.keys()
            };
            (Protocol::Ip, keys)
        });
        Op::AddChain {
            at,
            chain: self.chain(),
            template,
        }
    }

    fn del_chain(&mut self, model: &Model) -> Op {
        let at = self.list(model);
        Op::DelChain {
            at,
            chain: self.chain(),
        }
    }

    fn dump(&mut self, model: &Model) -> Op {
        Op::Dump {
            at: self.list(model),
        }
    }

    fn add_clsact(&mut self, model: &Model) -> Op {
        let slot = self.slot(|slot| model.namespace_of(slot).is_some() && !model.has_clsact(slot));
        let mut block =
            |odds: u8| (self.rng.u8(..8) < odds).then(|| self.rng.usize(..BLOCKS.len()));
        let (ingress, egress) = (block(4), block(1));
        Op::AddClsact {
            slot,
            ingress: ingress.map(|n| BLOCKS[n]),
            egress: egress.map(|n| BLOCKS[n]),
        }
    }

    fn del_clsact(&mut self, model: &Model) -> Op {
        Op::DelClsact {
            slot: self.slot(|slot| model.has_clsact(slot)),
        }
    }

    fn add_device(&mut self, model: &Model) -> Op {
        let slot = self
            .slot(|slot| model.namespace_of(slot).is_none() && (slot >= OWN || model.has_module()));
        Op::AddDevice {
            slot,
            ns: self.ns(model),
            name: self.rng.u8(..NAMES),
            queues: self.pick(&[1, 1, 2, 8]),
        }
    }

    fn del_device(&mut self, model: &Model) -> Op {
        Op::DelDevice {
            slot: self.device(model),
        }
    }

    fn set_up(&mut self, model: &Model) -> Op {
        Op::SetUp {
            slot: self.device(model),
            up: self.rng.u8(..3) != 0,
        }
    }

    fn rename(&mut self, model: &Model) -> Op {
        Op::Rename {
            slot: self.device(model),
            name: self.rng.u8(..NAMES),
        }
    }

    fn move_device(&mut self, model: &Model) -> Op {
        Op::Move {
            slot: self.device(model),
            ns: self.ns(model),
        }
    }

    fn add_netns(&mut self, _: &Model) -> Op {
        Op::AddNetns {
            ns: self.rng.u8(1..NAMESPACES),
        }
    }

    fn del_netns(&mut self, _: &Model) -> Op {
        Op::DelNetns {
            ns: self.rng.u8(1..NAMESPACES),
        }
    }

    fn fw(&mut self) -> Fw {
        // Those that say most about the module more often.
        let mut from = Fw::ALL.to_vec();
        from.extend([Fw::Wide, Fw::Wide, Fw::Tight]);
        self.pick(&from)
    }

    fn load(&mut self, model: &Model) -> Op {
        // It takes long to load firmware, so not often for nothing.
        let mut devices = (0..SLOTS).filter(|slot| model.namespace_of(*slot).is_some());
        if devices.all(|slot| model.has_firmware(slot)) && !self.one_in(8) {
            return self.unload(model);
        }
        Op::Load {
            slot: self.slot(|slot| model.namespace_of(slot).is_some() && !model.has_firmware(slot)),
            fw: self.fw(),
        }
    }

    fn swap(&mut self, model: &Model) -> Op {
        Op::Swap {
            slot: self.slot(|slot| model.has_firmware(slot)),
            fw: self.fw(),
        }
    }

    fn unload(&mut self, model: &Model) -> Op {
        Op::Unload {
            slot: self.slot(|slot| model.has_firmware(slot)),
        }
    }

    fn close(&mut self, model: &Model) -> Op {
        Op::Close {
            slot: self.slot(|slot| model.has_firmware(slot)),
        }
    }

    fn offload(&mut self, model: &Model) -> Op {
        Op::Offload {
            slot: self.slot(|slot| slot < OWN && model.namespace_of(slot).is_some()),
            on: self.rng.u8(..3) != 0,
        }
    }

    fn add_nft(&mut self, model: &Model) -> Op {
        Op::AddNft {
            slot: self.slot(|slot| model.has_firmware(slot)),
            flowtable: self.one_in(3),
        }
    }

    fn del_nft(&mut self, model: &Model) -> Op {
        let flowtable = self.one_in(3);
        Op::DelNft {
            slot: self.slot(|slot| model.has_nft(slot, flowtable)),
            flowtable,
        }
    }

    fn rmmod(&mut self, model: &Model) -> Op {
        if self.rng.bool() {
            // So that it can succeed.
            self.pending.push(Op::Rmmod);
            for slot in (0..SLOTS).filter(|slot| model.has_firmware(*slot)) {
                self.pending.push(Op::Unload { slot });
            }
        }
        self.pending.pop().unwrap_or(Op::Rmmod)
    }
}
