// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filters of tc: one is read, to make the kernel ask for its statistics.

use nix::libc::{RTM_GETTFILTER, TCA_CHAIN, TCA_KIND};

use super::device;
use super::message::{info, tcmsg, Attributes, Request};
use super::socket::Connection;
use crate::error::{Error, Result};

/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)`: parent of filters on what a device receives.
pub const INGRESS: u32 = 0xffff_fff2;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)`: parent of filters on what a device sends.
pub const EGRESS: u32 = 0xffff_fff3;
/// Bytes of `struct tcmsg`.
const TCMSG: usize = 20;
/// `TCM_IFINDEX_MAGIC_BLOCK`, in place of a device: the parent is the number of a block.
pub const BLOCK: u32 = u32::MAX;

/// Where a filter hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// On packets that a device receives (`tc filter … ingress`).
    Ingress,
    /// On packets that a device sends (`tc filter … egress`).
    Egress,
    /// In a block that devices share (`tc filter … block N`).
    Block(u32),
}

/// What identifies a filter for `tc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterSpec {
    /// Name of its device.
    pub dev: String,
    /// Where it hangs.
    pub hook: Hook,
    /// Its chain.
    pub chain: u32,
    /// Its preference.
    pub prio: u16,
    /// Its EtherType, 0 for any.
    pub protocol: u16,
    /// Its handle.
    pub handle: u32,
}

impl std::fmt::Display for FilterSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.hook {
            Hook::Ingress => write!(f, "dev {} ingress", self.dev)?,
            Hook::Egress => write!(f, "dev {} egress", self.dev)?,
            Hook::Block(index) => write!(f, "block {index}")?,
        }
        write!(
            f,
            " chain {} prio {} handle {:#x}",
            self.chain, self.prio, self.handle
        )?;
        if self.protocol != 0 {
            write!(f, " protocol {:#06x}", self.protocol)?;
        }
        Ok(())
    }
}

fn read_request(filter: &FilterSpec, ifindex: u32) -> Request {
    let (index, parent) = match filter.hook {
        Hook::Ingress => (ifindex, INGRESS),
        Hook::Egress => (ifindex, EGRESS),
        Hook::Block(block) => (BLOCK, block),
    };
    let header = tcmsg(
        index,
        filter.handle,
        parent,
        info(filter.prio, filter.protocol),
    );
    let mut request = Request::new(RTM_GETTFILTER, 0, &header);
    request.put_u32(TCA_CHAIN, filter.chain);
    request
}

/// Reads one filter, which makes the kernel ask for the statistics of exactly
/// that filter. Returns its kind (`flower`, `u32`, …).
pub fn poll(filter: &FilterSpec) -> Result<String> {
    let mut kind = String::new();
    let request = read_request(filter, device::ifindex(&filter.dev)?);
    Connection::new()
        .and_then(|mut connection| {
            connection.exchange(&request.finish(), |_, payload| {
                let attributes = Attributes(payload.get(TCMSG..).unwrap_or(&[]));
                kind = attributes.text(TCA_KIND).unwrap_or("").to_owned();
            })
        })
        .map_err(Error::io(format!("can't ask for filter {filter}")))?
        .map_err(|refusal| Error::NoFilter {
            filter: filter.to_string(),
            source: refusal.errno.into(),
            message: refusal.words(),
        })?;
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::super::message::{u32_at, HEADER};
    use super::*;

    #[test]
    fn filters_are_encoded_as_tc_does() {
        let filter = FilterSpec {
            dev: "ek0".into(),
            hook: Hook::Ingress,
            chain: 7,
            prio: 10,
            protocol: 0x0800,
            handle: 0x12,
        };
        let words = |filter: &FilterSpec| -> Vec<u32> {
            let data = read_request(filter, 3).finish();
            (0..5)
                .filter_map(|n| u32_at(&data, HEADER + 4 * n))
                .chain(Attributes(&data[HEADER + 20..]).u32(TCA_CHAIN))
                .collect()
        };
        let protocol = u32::from(0x0800u16.to_be());
        assert_eq!(
            words(&filter),
            [0, 3, 0x12, 0xffff_fff2, (10 << 16) | protocol, 7]
        );
        let shared = FilterSpec {
            hook: Hook::Block(22),
            ..filter
        };
        assert_eq!(words(&shared)[1..4], [u32::MAX, 0x12, 22]);
        assert_eq!(
            shared.to_string(),
            "block 22 chain 7 prio 10 handle 0x12 protocol 0x0800"
        );
    }
}
