// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parts of requests to rtnetlink and tc.

pub use ekho::kernel::netlink::filter::{BLOCK, EGRESS, INGRESS};
pub use ekho::kernel::netlink::message::{ifinfomsg, info, tcmsg, HEADER};
use ekho::kernel::netlink::{u32_at, Attributes, Request};

use crate::uapi::{
    IFF_UP, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL,
    RTM_DELLINK, RTM_DELQDISC, RTM_GETTFILTER, RTM_NEWLINK, RTM_NEWQDISC, TCA_ACT_KIND,
    TCA_ACT_OPTIONS, TCA_ACT_STATS, TCA_KIND, TCA_OPTIONS, TCA_STATS_BASIC_HW, TC_H_CLSACT,
    TC_H_ROOT,
};

/// What is requested must not be there yet.
pub const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;
/// That an attribute has others in it, which some actions insist on.
pub const NESTED: u16 = 1 << 15;
/// Handle of clsact.
pub const CLSACT_HANDLE: u32 = 0xffff_0000;
/// Bytes of `struct tcmsg`.
pub const TCMSG: usize = 20;
/// Bytes of `struct ifinfomsg`.
pub const IFINFOMSG: usize = 16;
/// Bytes of `struct tcamsg`, which says nothing in requests.
pub const TCAMSG: [u8; 4] = [0; 4];

/// A new device of a kind, which is up.
pub fn add_device(kind: &str, name: &str, ifindex: u32) -> Request {
    let mut request = Request::new(RTM_NEWLINK, NEW, &ifinfomsg(ifindex, IFF_UP, IFF_UP));
    request
        .put_text(IFLA_IFNAME, name)
        .nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_KIND, kind);
        });
    request
}

/// A device is deleted.
pub fn delete_device(ifindex: u32) -> Request {
    Request::new(RTM_DELLINK, 0, &ifinfomsg(ifindex, 0, 0))
}

/// A device is set up or down.
pub fn set_up(ifindex: u32, up: bool) -> Request {
    let flags = if up { IFF_UP } else { 0 };
    Request::new(RTM_NEWLINK, 0, &ifinfomsg(ifindex, flags, IFF_UP))
}

/// The qdisc on which filters hang.
pub fn add_clsact(ifindex: u32) -> Request {
    let header = tcmsg(ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0);
    let mut request = Request::new(RTM_NEWQDISC, NEW, &header);
    request.put_text(TCA_KIND, "clsact");
    request
}

/// It is deleted, with all filters.
pub fn delete_clsact(ifindex: u32) -> Request {
    Request::new(RTM_DELQDISC, 0, &tcmsg(ifindex, 0, TC_H_CLSACT, 0))
}

/// The qdisc of what a device sends is deleted.
pub fn delete_root(ifindex: u32) -> Request {
    Request::new(RTM_DELQDISC, 0, &tcmsg(ifindex, 0, TC_H_ROOT, 0))
}

/// A dump of the filters on what a device receives, with their counters.
pub fn dump_filters(ifindex: u32) -> Request {
    Request::new(RTM_GETTFILTER, NLM_F_DUMP, &tcmsg(ifindex, 0, INGRESS, 0))
}

/// Adds an action to a list of them, in which it is the `number`th.
pub fn put_action(request: &mut Request, number: u16, kind: &str, fill: impl FnOnce(&mut Request)) {
    request.nest(number, |action| {
        action
            .put_text(TCA_ACT_KIND, kind)
            .nest(TCA_ACT_OPTIONS | NESTED, fill);
    });
}

/// The packets that hardware says the first action of a filter saw, out of an answer about that
/// filter. `actions` is the attribute of its classifier with the actions.
pub fn hardware_packets(payload: &[u8], actions: u16) -> Option<u32> {
    /// Offset of the packets in `struct gnet_stats_basic`.
    const PACKETS: usize = 8;
    let basic = Attributes(payload.get(TCMSG..)?)
        .nested(TCA_OPTIONS)
        .nested(actions)
        .nested(1)
        .nested(TCA_ACT_STATS)
        .get(TCA_STATS_BASIC_HW)?;
    u32_at(basic, PACKETS)
}

/// `tc_gen`: how the parameters of each action begin. Index 0 asks for a new one.
pub fn tc_gen(index: u32, verdict: u32) -> [u8; 20] {
    let mut words = [0; 20];
    words[..4].copy_from_slice(&index.to_ne_bytes());
    words[8..12].copy_from_slice(&verdict.to_ne_bytes());
    words
}

/// `struct nla_bitfield32`: these bits are set, and the others left as they are.
pub fn bitfield32(bits: u32) -> [u8; 8] {
    let mut words = [0; 8];
    words[..4].copy_from_slice(&bits.to_ne_bytes());
    words[4..].copy_from_slice(&bits.to_ne_bytes());
    words
}

/// `struct tc_u32_sel` with one `struct tc_u32_key`: four bytes of the packet at `offset`.
pub fn u32_selector(offset: u8, value: [u8; 4]) -> [u8; 32] {
    const TERMINAL: u8 = 1;
    let mut selector = [0; 32];
    (selector[0], selector[2]) = (TERMINAL, 1);
    selector[16..20].copy_from_slice(&[0xff; 4]);
    selector[20..24].copy_from_slice(&value);
    selector[24] = offset;
    selector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::{
        RTM_GETCHAIN, TCA_ACT_FLAGS_SKIP_SW, TCA_CLS_FLAGS_SKIP_SW, TCA_FLOWER_FLAGS, TC_ACT_SHOT,
        TC_GOTO_CHAIN,
    };

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!((RTM_GETCHAIN, TCA_FLOWER_FLAGS), (102, 22));
        assert_eq!((TCA_CLS_FLAGS_SKIP_SW, TCA_ACT_FLAGS_SKIP_SW), (2, 4));
        assert_eq!((TC_ACT_SHOT, TC_GOTO_CHAIN), (2, 0x2000_0000));
    }

    #[test]
    fn an_action_has_kind_and_parameters() {
        let mut request = Request::new(RTM_NEWQDISC, 0, &[]);
        put_action(&mut request, 1, "gact", |gact| {
            gact.put(2, &tc_gen(5, TC_ACT_SHOT));
        });
        let data = request.finish();
        let action = Attributes(&data[HEADER..]).nested(1);
        assert_eq!(action.text(TCA_ACT_KIND), Some("gact"));
        let parameters = action.nested(TCA_ACT_OPTIONS).get(2).unwrap();
        assert_eq!(u32_at(parameters, 0), Some(5));
        assert_eq!(u32_at(parameters, 8), Some(TC_ACT_SHOT));
    }
}
