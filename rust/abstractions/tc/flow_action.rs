// SPDX-License-Identifier: GPL-2.0-only

//! What a flow is asked to do, in a form that can be kept: `struct flow_action_entry`, and what its
//! action of tc says besides.
//!
//! C header: [`include/net/flow_offload.h`](srctree/include/net/flow_offload.h)

use crate::{
    abstractions::{
        net::net_device::NetDevice,
        tc::{
            control::Control,
            flow_rule::FlowRule,
            police::Police, //
        }, //
    },
    bindings::{
        self,
        flow_action_entry as Entry, //
    },
};

/// Where a packet, or its copy, is sent.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// None if the action names a block rather than a device.
    pub(crate) dev: Option<&'a NetDevice>,
    /// Whether `dev` receives it, rather than transmits it.
    pub(crate) ingress: bool,
}

/// A change of a packet. EtherTypes are in network byte order, as in the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    VlanPush {
        proto: u16,
        vid: u16,
        prio: u8,
    },
    VlanPop,
    VlanModify {
        proto: u16,
        vid: u16,
        /// None to keep it.
        prio: Option<u8>,
    },
    /// Takes the Ethernet header off.
    EthPop,
    /// Puts one in front.
    EthPush {
        dst: [u8; 6],
        src: [u8; 6],
    },
    /// With `TCA_CSUM_UPDATE_FLAG_*`.
    Checksum(u32),
    Priority(u32),
    Mark(u32),
    PacketType(u16),
    RxQueue(u16),
    MplsPush {
        label: u32,
        tc: u8,
        bos: u8,
        ttl: u8,
        proto: u16,
    },
    MplsPop {
        proto: u16,
    },
    MplsModify {
        label: u32,
        tc: u8,
        bos: u8,
        ttl: u8,
    },
}

/// One key of a pedit: `(header & mask) ^ val`, or `(header + val)` under `!mask`.
#[derive(Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) add: bool,
    pub(crate) header: u32,
    pub(crate) offset: u32,
    pub(crate) mask: u32,
    pub(crate) val: u32,
}

/// What one entry does.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    Accept,
    Drop,
    Trap,
    /// To a chain.
    Goto(u32),
    Redirect(Target<'a>),
    Mirror(Target<'a>),
    Change(Change),
    Edit(Edit),
    /// Limits what passes: see [`FlowAction::police`].
    Police,
    /// Another one.
    Other,
}

/// One entry of the list of actions.
#[derive(Clone, Copy)]
pub(crate) struct FlowAction<'a> {
    entry: &'a Entry,
}

impl<'a> FlowRule<'a> {
    /// What it does, entry by entry. A pedit has one for each key.
    pub(crate) fn steps(&self) -> impl Iterator<Item = FlowAction<'a>> + 'a {
        self.actions().iter().map(|entry| FlowAction { entry })
    }
}

impl<'a> FlowAction<'a> {
    /// Its number: `enum flow_action_id`.
    pub(crate) fn id(&self) -> bindings::flow_action_id {
        self.entry.id
    }

    /// The kernel's key of the action, 0 if it isn't one of tc.
    pub(crate) fn cookie(&self) -> usize {
        self.entry.cookie
    }

    /// What becomes of the packet after the action.
    ///
    /// The kernel says so in the entry for the actions only that have no other purpose.
    pub(crate) fn control(&self) -> Control {
        if self.entry.cookie == 0 {
            return Control::Pipe;
        }
        // SAFETY: A rule with a cookie is one of tc, and its cookie is the address of the action, which
        // lives for the length of the request.
        Control::of(unsafe { bindings::ekho_helper_action_control(self.entry.cookie) })
    }

    /// The limits of an action of [police](Kind::Police), and what it has left of its tokens; none if it
    /// is another one. Process context.
    pub(crate) fn police(&self) -> Option<Police> {
        if self.entry.cookie == 0 || self.entry.id != bindings::flow_action_id_FLOW_ACTION_POLICE {
            return None;
        }
        // SAFETY: The cookie is the address of the action, which lives for the length of the request,
        // and the kind of the entry says that it is one of police.
        Some(unsafe { Police::read(self.entry.cookie) })
    }

    /// Whether it does what the packet, or chance, says rather than the entry.
    pub(crate) fn depends(&self) -> bool {
        let cookie = self.entry.cookie;
        if cookie == 0 {
            return false;
        }
        // SAFETY: The cookie is the address of the action, and the kind of the entry says of which
        // kind that is. It lives for the length of the request.
        unsafe {
            match self.entry.id {
                bindings::flow_action_id_FLOW_ACTION_ACCEPT
                | bindings::flow_action_id_FLOW_ACTION_DROP
                | bindings::flow_action_id_FLOW_ACTION_TRAP
                | bindings::flow_action_id_FLOW_ACTION_GOTO => {
                    bindings::ekho_helper_gact_is_random(cookie)
                }
                bindings::flow_action_id_FLOW_ACTION_MANGLE
                | bindings::flow_action_id_FLOW_ACTION_ADD => {
                    bindings::ekho_helper_pedit_is_computed(cookie)
                }
                _ => false,
            }
        }
    }

    /// What it does.
    pub(crate) fn kind(&self) -> Kind<'a> {
        let union = &self.entry.__bindgen_anon_1;
        let target = |ingress| {
            // SAFETY: The entry is of a kind that has a device, or null, which is held for the length of
            // the request.
            let dev = unsafe { union.dev.cast::<bindings::net_device>().as_mut() };
            Target {
                dev: dev.map(|dev| {
                    // SAFETY: As above.
                    unsafe { NetDevice::from_raw(dev) }
                }),
                ingress,
            }
        };
        // SAFETY: The kind of the entry says which member of the union is in use, here and below.
        unsafe {
            match self.entry.id {
                bindings::flow_action_id_FLOW_ACTION_ACCEPT => Kind::Accept,
                bindings::flow_action_id_FLOW_ACTION_DROP => Kind::Drop,
                bindings::flow_action_id_FLOW_ACTION_TRAP => Kind::Trap,
                bindings::flow_action_id_FLOW_ACTION_GOTO => Kind::Goto(union.chain_index),
                bindings::flow_action_id_FLOW_ACTION_REDIRECT => Kind::Redirect(target(false)),
                bindings::flow_action_id_FLOW_ACTION_MIRRED => Kind::Mirror(target(false)),
                bindings::flow_action_id_FLOW_ACTION_REDIRECT_INGRESS => {
                    Kind::Redirect(target(true))
                }
                bindings::flow_action_id_FLOW_ACTION_MIRRED_INGRESS => Kind::Mirror(target(true)),
                bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH => Kind::Change(Change::VlanPush {
                    proto: union.vlan.proto,
                    vid: union.vlan.vid,
                    prio: union.vlan.prio,
                }),
                bindings::flow_action_id_FLOW_ACTION_VLAN_POP => Kind::Change(Change::VlanPop),
                bindings::flow_action_id_FLOW_ACTION_VLAN_MANGLE => {
                    Kind::Change(Change::VlanModify {
                        proto: union.vlan.proto,
                        vid: union.vlan.vid,
                        // Of tc only: the cookie is the address of a `struct tcf_vlan`.
                        prio: (self.entry.cookie == 0
                            || bindings::ekho_helper_vlan_has_prio(self.entry.cookie))
                        .then_some(union.vlan.prio),
                    })
                }
                bindings::flow_action_id_FLOW_ACTION_VLAN_POP_ETH => Kind::Change(Change::EthPop),
                bindings::flow_action_id_FLOW_ACTION_VLAN_PUSH_ETH => {
                    Kind::Change(Change::EthPush {
                        dst: union.vlan_push_eth.dst,
                        src: union.vlan_push_eth.src,
                    })
                }
                bindings::flow_action_id_FLOW_ACTION_MANGLE
                | bindings::flow_action_id_FLOW_ACTION_ADD => Kind::Edit(Edit {
                    add: self.entry.id == bindings::flow_action_id_FLOW_ACTION_ADD,
                    header: union.mangle.htype,
                    offset: union.mangle.offset,
                    mask: union.mangle.mask,
                    val: union.mangle.val,
                }),
                bindings::flow_action_id_FLOW_ACTION_POLICE => Kind::Police,
                bindings::flow_action_id_FLOW_ACTION_CSUM => {
                    Kind::Change(Change::Checksum(union.csum_flags))
                }
                bindings::flow_action_id_FLOW_ACTION_PRIORITY => {
                    Kind::Change(Change::Priority(union.priority))
                }
                bindings::flow_action_id_FLOW_ACTION_MARK => Kind::Change(Change::Mark(union.mark)),
                bindings::flow_action_id_FLOW_ACTION_PTYPE => {
                    Kind::Change(Change::PacketType(union.ptype))
                }
                bindings::flow_action_id_FLOW_ACTION_RX_QUEUE_MAPPING => {
                    Kind::Change(Change::RxQueue(union.rx_queue))
                }
                bindings::flow_action_id_FLOW_ACTION_MPLS_PUSH => Kind::Change(Change::MplsPush {
                    label: union.mpls_push.label,
                    tc: union.mpls_push.tc,
                    bos: union.mpls_push.bos,
                    ttl: union.mpls_push.ttl,
                    proto: union.mpls_push.proto,
                }),
                bindings::flow_action_id_FLOW_ACTION_MPLS_POP => Kind::Change(Change::MplsPop {
                    proto: union.mpls_pop.proto,
                }),
                bindings::flow_action_id_FLOW_ACTION_MPLS_MANGLE => {
                    Kind::Change(Change::MplsModify {
                        label: union.mpls_mangle.label,
                        tc: union.mpls_mangle.tc,
                        bos: union.mpls_mangle.bos,
                        ttl: union.mpls_mangle.ttl,
                    })
                }
                _ => Kind::Other,
            }
        }
    }
}
