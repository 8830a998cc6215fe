// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rtnetlink requests of the benchmark: built before the clock runs, sent as they are.

use std::time::{Duration, Instant};

use anyhow::Result;
use ekho_rtnl::{
    bitfield32, flag, ifinfomsg, kind, tc_gen, tcmsg, verdict, Request, CLSACT, INGRESS,
};

/// Where a filter is looked up: `skip_hw` or `skip_sw` of flower.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Software = 1,
    Hardware = 2,
}

/// The preference and the EtherType of a filter for IPv4.
fn info(prio: u16) -> u32 {
    ekho_rtnl::info(prio, 0x0800)
}

/// A request that sets a device up.
pub fn up(ifindex: u32) -> Vec<u8> {
    Request::new(kind::RTM_NEWLINK, 0, &ifinfomsg(ifindex, 1, 1)).finish()
}

/// A request that gives a device the qdisc that filters hang on.
pub fn add_clsact(ifindex: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, 0xffff_0000, CLSACT, 0);
    let mut request = Request::new(kind::RTM_NEWQDISC, flag::CREATE | flag::EXCL, &header);
    request.put(1, b"clsact\0");
    request.finish()
}

/// One that takes it away, with all filters.
pub fn delete_clsact(ifindex: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, 0xffff_0000, CLSACT, 0);
    Request::new(kind::RTM_DELQDISC, 0, &header).finish()
}

/// A request for a flower filter: TCP to port 80 of an address that is the handle's own, drop.
pub fn add_filter(ifindex: u32, prio: u16, handle: u32, place: Place) -> Vec<u8> {
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(kind::RTM_NEWTFILTER, flag::CREATE | flag::EXCL, &header);
    request.put(1, b"flower\0");
    request.nest(2, |options| {
        options.nest(3, |actions| {
            actions.nest(1, |action| {
                action.put(1, b"gact\0");
                // TCA_ACT_FLAGS_NO_PERCPU_STATS, as OVS asks for: what the allocator of per-CPU
                // memory takes varies by ten thousand instructions.
                action.put(7, &bitfield32(1));
                action.nest(2, |gact| {
                    gact.put(2, &tc_gen(0, verdict::SHOT));
                });
            });
        });
        let address = 0x0a00_0000 | (u32::from(prio & 0x3f) << 18) | handle;
        options.put(8, &0x0800_u16.to_be_bytes());
        options.put(9, &[6]);
        options.put(12, &address.to_be_bytes());
        options.put(13, &[0xff; 4]);
        options.put(19, &80_u16.to_be_bytes());
        options.put(36, &[0xff; 2]);
        options.put(22, &(place as u32).to_ne_bytes());
    });
    request.finish()
}

/// A request that deletes a filter.
pub fn delete_filter(ifindex: u32, prio: u16, handle: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(kind::RTM_DELTFILTER, 0, &header);
    request.put(1, b"flower\0");
    request.finish()
}

/// A request for all filters of a device, with statistics.
pub fn dump_filters(ifindex: u32) -> Vec<u8> {
    Request::new(
        kind::RTM_GETTFILTER,
        flag::DUMP,
        &tcmsg(ifindex, 0, INGRESS, 0),
    )
    .finish()
}

/// A socket, in the thread's network namespace.
pub struct Connection(ekho_rtnl::Connection);

impl Connection {
    pub fn new() -> Result<Self> {
        Ok(Self(ekho_rtnl::Connection::new()?))
    }

    /// Sends a request and waits for the last of its answers.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.0
            .exchange(request, |_, _| ())?
            .map_err(std::io::Error::from)?;
        Ok(())
    }

    /// Sends a request for a dump: how long each part of at least `n` answers took.
    pub fn dump(&mut self, request: &[u8], n: usize) -> Result<Vec<(usize, Duration)>> {
        let mut parts = Vec::new();
        let mut start = Instant::now();
        self.0.send(request)?;
        let mut answers = 0;
        loop {
            let end = self.0.receive(&mut |_, _| answers += 1)?;
            let done = end.is_some();
            end.transpose().map_err(std::io::Error::from)?;
            if done || answers >= n {
                // What is left at the end is little, and would be a sample of its own.
                let now = Instant::now();
                match parts.last_mut() {
                    Some((whole, time)) if answers < n => {
                        *whole += answers;
                        *time += now - start;
                    }
                    _ => parts.push((answers, now - start)),
                }
                (start, answers) = (now, 0);
            }
            if done {
                return Ok(parts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_differ_by_handle_and_preference() {
        let filter = |prio, handle| add_filter(3, prio, handle, Place::Hardware)[36..].to_vec();
        assert_ne!(filter(1, 1), filter(1, 2));
        assert_ne!(filter(1, 1), filter(2, 1));
    }
}
