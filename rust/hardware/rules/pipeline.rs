// SPDX-License-Identifier: GPL-2.0-only

//! What becomes of a packet that is looked up in a table.

#![deny(unsafe_code)]

use super::{
    policer::{
        Policer,
        Taken, //
    },
    rule::{
        Rule,
        Step, //
    },
    table::RuleTable,
    target::Target,
};
use crate::{
    abstractions::{
        bottom_half::BottomHalf,
        net::{
            ethernet::EthernetDevice,
            net_device::NetDevice,
            packet::{
                Hook,
                Nested,
                Packet,
                PacketKey,
                Size, //
            }, //
        },
        sync::keyed_table::Keyed,
        tc::{
            control::Control,
            flow_action::{
                Change,
                Edit, //
            }, //
        },
    },
    hardware::figures::Reason, //
};
use kernel::{
    prelude::*,
    sync::rcu::Guard, //
};

/// How many jumps to other chains a packet takes, as in `__tcf_classify()`.
const MAX_JUMPS: usize = 16;

/// Where a packet that is transmitted comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::hardware) enum Origin {
    /// From the wire, or from another port of the device.
    Device,
    /// From this host's stack, whose software has executed what isn't `skip_sw` on it.
    Stack,
}

/// What becomes of a packet once its rules are known.
enum Verdict<'a> {
    /// It goes on as it is.
    Pass,
    /// It goes to the CPU as it was.
    Trap,
    Drop,
    Redirect(&'a Target),
}

/// A rule that a packet met.
struct Hop<'a> {
    rule: &'a Keyed<Rule>,
    /// How many of its actions were executed.
    executed: usize,
    /// How many drops the last of them made of it.
    dropped: u32,
}

/// The tokens that a packet took of policers, as long as it isn't known whether the device executes it.
struct TakenTokens<'a> {
    /// Most packets meet one.
    first: Option<(&'a Policer, Taken)>,
    rest: KVec<(&'a Policer, Taken)>,
}

impl<'a> TakenTokens<'a> {
    /// There is room for one more.
    fn reserve(&mut self) -> Result {
        match self.first {
            None => Ok(()),
            Some(_) => Ok(self.rest.reserve(1, GFP_ATOMIC)?),
        }
    }

    /// Adds some for which there is room.
    fn push(&mut self, policer: &'a Policer, taken: Taken) {
        match self.first {
            None => self.first = Some((policer, taken)),
            Some(_) => {
                let _ = self.rest.push_within_capacity((policer, taken));
            }
        }
    }

    /// Takes them back, the last first.
    fn give_back(&self, bh: &BottomHalf) {
        for (policer, taken) in Iterator::chain(self.rest.iter().rev(), &self.first) {
            policer.give_back(taken, bh);
        }
    }
}

/// The rules that a packet met.
struct Path<'a> {
    hops: [Option<Hop<'a>>; MAX_JUMPS + 1],
    len: usize,
    /// Copies that are sent if the device, rather than the CPU, executes the path.
    mirrors: KVec<(Packet, &'a Target)>,
    /// What is taken back if the CPU executes it.
    tokens: TakenTokens<'a>,
}

impl<'a> Path<'a> {
    fn new() -> Self {
        Self {
            hops: [const { None }; MAX_JUMPS + 1],
            len: 0,
            mirrors: KVec::new(),
            tokens: TakenTokens {
                first: None,
                rest: KVec::new(),
            },
        }
    }

    fn push(&mut self, rule: &'a Keyed<Rule>) {
        if let Some(hop) = self.hops.get_mut(self.len) {
            *hop = Some(Hop {
                rule,
                executed: 0,
                dropped: 0,
            });
            self.len += 1;
        }
    }

    fn last(&mut self) -> Option<&mut Hop<'a>> {
        self.hops.get_mut(self.len.checked_sub(1)?)?.as_mut()
    }

    /// The last action that was executed drops the packet, which makes so many drops.
    fn dropped(&mut self, drops: u32) {
        if let Some(hop) = self.last() {
            hop.dropped = drops;
        }
    }

    fn count(&self, size: Size) {
        for hop in self.hops.iter().take(self.len).flatten() {
            hop.rule.count(size, hop.executed, hop.dropped);
        }
    }
}

/// Where a packet is sent.
pub(in crate::hardware) struct Outlet<'a> {
    pub(in crate::hardware) dev: &'a NetDevice,
    /// Whether the device receives it, rather than transmits it.
    pub(in crate::hardware) ingress: bool,
    /// Whether it is the packet, and not a copy.
    pub(in crate::hardware) redirect: bool,
}

/// What a port does with packets that its rules don't let pass.
pub(in crate::hardware) trait Outlets {
    /// Sends one; returns false if it can't be.
    fn send(
        &self,
        packet: Packet,
        to: &Outlet<'_>,
        from: &Pipeline<'_>,
        bh: &BottomHalf,
        guard: &Guard,
    ) -> bool;

    /// Counts what became of one.
    fn count(&self, reason: Reason);
}

/// The context of a packet in the pipeline of a port.
pub(in crate::hardware) struct Pipeline<'a> {
    pub(in crate::hardware) port: &'a dyn Outlets,
    pub(in crate::hardware) dev: &'a EthernetDevice,
    pub(in crate::hardware) origin: Origin,
    /// How often it was sent on by a rule before.
    pub(in crate::hardware) hops: u8,
}

/// How often a packet is sent from port to port of one device, before it is taken for one that goes
/// round in a circle.
const MAX_HOPS: u8 = 64;

impl Pipeline<'_> {
    /// The hops of a packet that is sent on; none if it was too often.
    pub(in crate::hardware) fn next_hop(&self) -> Option<u8> {
        (self.hops < MAX_HOPS).then(|| self.hops + 1)
    }
}

/// Looks a packet up in a table and executes what it meets. Returns it if it goes on where it was going.
#[inline]
pub(in crate::hardware) fn run(
    table: &RuleTable,
    packet: Packet,
    pipeline: &Pipeline<'_>,
    bh: &BottomHalf,
    guard: &Guard,
) -> Option<Packet> {
    let mut key = packet.dissect();
    match table.find(0, packet.protocol(), &key, guard) {
        None => Some(packet),
        // Software has executed it, and what it would meet after it.
        Some(rule) if pipeline.origin == Origin::Stack && !rule.skip_sw => Some(packet),
        Some(rule) => execute(table, packet, &mut key, rule, pipeline, bh, guard),
    }
}

fn execute<'a>(
    table: &'a RuleTable,
    mut packet: Packet,
    key: &mut PacketKey,
    first: &'a Keyed<Rule>,
    pipeline: &Pipeline<'_>,
    bh: &BottomHalf,
    guard: &'a Guard,
) -> Option<Packet> {
    let size = packet.size();
    let mut path = Path::new();
    let mut original = None;
    let mut rule = first;
    let mut changed = false;
    // Whether software executes it if it ends with the CPU. What a packet meets at egress software has
    // executed before, or never will.
    let mut software = packet.hook() == Hook::Ingress;
    let verdict = 'path: loop {
        if path.len > MAX_JUMPS {
            break Verdict::Drop;
        }
        path.push(rule);
        software &= !rule.skip_sw;
        let mut goto = None;
        for (n, action) in rule.actions.iter().enumerate() {
            if let Some(hop) = path.last() {
                hop.executed = n + 1;
            }
            if action.step.changes() && original.is_none() && rule.keeps_original {
                original = packet.copy();
                if original.is_none() {
                    // It can't be executed, nor left to software.
                    path.tokens.give_back(bh);
                    pipeline.port.count(Reason::RuleNoMemory);
                    return None;
                }
            }
            match &action.step {
                Step::Pass => break 'path Verdict::Pass,
                Step::Trap => break 'path Verdict::Trap,
                Step::Drop => {
                    path.dropped(size.packets);
                    break 'path Verdict::Drop;
                }
                Step::Redirect(to) => break 'path Verdict::Redirect(to),
                Step::Goto(chain) => {
                    goto = Some(*chain);
                    break;
                }
                Step::Mirror(to) => {
                    // As in software, a copy that can't be made or sent is missed by nobody.
                    if let Some(copy) = packet.copy() {
                        let _ = path.mirrors.push((copy, to), GFP_ATOMIC);
                    }
                }
                Step::Edit(edits) => {
                    changed = true;
                    edit(&mut packet, edits);
                }
                Step::Change(what) => {
                    changed = true;
                    if change(&mut packet, what).is_err() {
                        // One, whatever it stands for, here and below.
                        path.dropped(1);
                        break 'path Verdict::Drop;
                    }
                }
                Step::Police(share) => {
                    if software && path.tokens.reserve().is_err() {
                        // As above.
                        path.tokens.give_back(bh);
                        pipeline.port.count(Reason::RuleNoMemory);
                        return None;
                    }
                    let policer = share.policer();
                    let said = policer.decide(&packet, bh);
                    if let Some(taken) = said.taken.filter(|_| software) {
                        path.tokens.push(policer, taken);
                    }
                    match said.control {
                        Control::Pipe => {}
                        Control::Pass => break 'path Verdict::Pass,
                        // Nothing else is in a rule.
                        _ => {
                            path.dropped(said.counts.into());
                            break 'path Verdict::Drop;
                        }
                    }
                }
            }
            if action.passes {
                break 'path Verdict::Pass;
            }
        }
        let Some(chain) = goto else {
            break Verdict::Pass;
        };
        if changed {
            *key = packet.dissect();
            changed = false;
        }
        match table.find(chain, packet.protocol(), key, guard) {
            Some(next) => rule = next,
            None => break Verdict::Pass,
        }
    };
    if software && matches!(verdict, Verdict::Pass | Verdict::Trap) {
        // Software does it.
        path.tokens.give_back(bh);
        return Some(original.unwrap_or(packet));
    }
    path.count(size);
    for (copy, to) in path.mirrors {
        send(copy, to, false, pipeline, bh, guard);
    }
    match verdict {
        Verdict::Pass => Some(packet),
        // As in software, it ends here if it is on its way out.
        Verdict::Trap if packet.hook() == Hook::Egress => {
            pipeline.port.count(Reason::RuleDrop);
            None
        }
        Verdict::Trap => Some(original.unwrap_or(packet)),
        Verdict::Drop => {
            pipeline.port.count(Reason::RuleDrop);
            None
        }
        Verdict::Redirect(to) => {
            if !send(packet, to, true, pipeline, bh, guard) {
                pipeline.port.count(Reason::RuleNoTarget);
            }
            None
        }
    }
}

/// Changes a packet. An error means that the packet is dropped.
fn change(packet: &mut Packet, change: &Change) -> Result {
    match *change {
        Change::VlanPush { proto, vid, prio } => packet.vlan_push(proto, vid, prio),
        Change::VlanPop => packet.vlan_pop(),
        Change::VlanModify { proto, vid, prio } => packet.vlan_modify(proto, vid, prio),
        Change::EthPop => packet.pop_eth(),
        Change::EthPush { dst, src } => packet.push_eth(&dst, &src),
        Change::Checksum(flags) => packet.checksum(flags),
        Change::MplsPush {
            label,
            tc,
            bos,
            ttl,
            proto,
        } => packet.mpls_push(label, tc, bos, ttl, proto),
        Change::MplsPop { proto } => packet.mpls_pop(proto),
        Change::MplsModify {
            label,
            tc,
            bos,
            ttl,
        } => packet.mpls_modify(label, tc, bos, ttl),
        Change::Priority(priority) => {
            packet.set_priority(priority);
            Ok(())
        }
        Change::Mark(mark) => {
            packet.set_mark(mark);
            Ok(())
        }
        Change::PacketType(kind) => {
            packet.set_packet_type(kind);
            Ok(())
        }
        Change::RxQueue(queue) => {
            packet.set_rx_queue(queue);
            Ok(())
        }
    }
}

/// Changes header fields, one after the other. If one isn't there, the rest of the keys is left out, and
/// the packet goes on.
fn edit(packet: &mut Packet, edits: &[Edit]) {
    for edit in edits {
        if packet
            .edit(edit.header, edit.offset, edit.mask, edit.val, edit.add)
            .is_err()
        {
            break;
        }
    }
}

/// Sends a packet where a rule says, as `tcf_mirred_to_dev()`; returns false if the target can't be sent
/// to now.
fn send(
    packet: Packet,
    to: &Target,
    redirect: bool,
    pipeline: &Pipeline<'_>,
    bh: &BottomHalf,
    guard: &Guard,
) -> bool {
    let from = pipeline.dev;
    let Some(dev) = to.dev(from, guard) else {
        return false;
    };
    let at_ingress = packet.hook() == Hook::Ingress;
    if dev.key() == from.key() && to.ingress == at_ingress {
        pipeline.port.count(Reason::RuleLoop);
        return true;
    }
    let _nested = match to.ingress {
        true => None,
        false => match Nested::enter(dev, bh) {
            Some(nested) => Some(nested),
            None => {
                pipeline.port.count(Reason::RuleLoop);
                return true;
            }
        },
    };
    let outlet = Outlet {
        dev,
        ingress: to.ingress,
        redirect,
    };
    pipeline.port.send(packet, &outlet, pipeline, bh, guard)
}
