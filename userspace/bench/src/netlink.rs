// SPDX-License-Identifier: MIT OR Apache-2.0

//! The requests of the benchmark: built before the clock runs, sent as they are.

use std::time::{Duration, Instant};

use anyhow::Result;
use ekho::contract::MODULE;
use ekho::kernel::netlink::generic::{self, Family};
use ekho::kernel::netlink::{self, Request};
use ekho::module::netlink::uapi as family;
use ekho_testkit::tc::{self, bitfield32, tc_gen, tcmsg, INGRESS, NEW};
use ekho_testkit::uapi;

const IPV4: u16 = 0x0800;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where a filter is looked up: `skip_hw` or `skip_sw` of flower.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Software = uapi::TCA_CLS_FLAGS_SKIP_HW as isize,
    Hardware = uapi::TCA_CLS_FLAGS_SKIP_SW as isize,
}

/// The preference and the EtherType of a filter for IPv4.
fn info(prio: u16) -> u32 {
    tc::info(prio, IPV4)
}

/// A request that sets a device up.
pub fn up(ifindex: u32) -> Vec<u8> {
    tc::set_up(ifindex, true).finish()
}

/// A request that gives a device the qdisc that filters hang on.
pub fn add_clsact(ifindex: u32) -> Vec<u8> {
    tc::add_clsact(ifindex).finish()
}

/// One that takes it away, with all filters.
pub fn delete_clsact(ifindex: u32) -> Vec<u8> {
    tc::delete_clsact(ifindex).finish()
}

/// The action of all filters: drop.
fn put_drop(options: &mut Request) {
    options.nest(uapi::TCA_FLOWER_ACT, |actions| {
        actions.nest(1, |action| {
            action.put_text(uapi::TCA_ACT_KIND, "gact");
            // As OVS asks for: what the allocator of per-CPU memory takes varies by ten
            // thousand instructions.
            action.put(
                uapi::TCA_ACT_FLAGS,
                &bitfield32(uapi::TCA_ACT_FLAGS_NO_PERCPU_STATS),
            );
            action.nest(uapi::TCA_ACT_OPTIONS, |gact| {
                gact.put(uapi::TCA_GACT_PARMS, &tc_gen(0, uapi::TC_ACT_SHOT));
            });
        });
    });
}

/// A request for a flower filter: TCP to port 80 of an address that is the handle's own, drop.
pub fn add_filter(ifindex: u32, prio: u16, handle: u32, place: Place) -> Vec<u8> {
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(uapi::RTM_NEWTFILTER, NEW, &header);
    request.put_text(uapi::TCA_KIND, "flower");
    request.nest(uapi::TCA_OPTIONS, |options| {
        put_drop(options);
        let address = 0x0a00_0000 | (u32::from(prio & 0x3f) << 18) | handle;
        options.put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &IPV4.to_be_bytes());
        options.put(uapi::TCA_FLOWER_KEY_IP_PROTO, &[TCP]);
        options.put(uapi::TCA_FLOWER_KEY_IPV4_DST, &address.to_be_bytes());
        options.put(uapi::TCA_FLOWER_KEY_IPV4_DST_MASK, &[0xff; 4]);
        options.put(uapi::TCA_FLOWER_KEY_TCP_DST, &80_u16.to_be_bytes());
        options.put(uapi::TCA_FLOWER_KEY_TCP_DST_MASK, &[0xff; 2]);
        options.put_u32(uapi::TCA_FLOWER_FLAGS, place as u32);
    });
    request.finish()
}

/// How long the prefixes of addresses are that a filter looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    source: u8,
    destination: u8,
}

impl Prefixes {
    /// The `n`th of 64 pairs, each of which is another mask.
    pub fn nth(n: u32) -> Self {
        let shorter = |by: u32| 32 - (by % 8) as u8;
        Self {
            source: shorter(n / 8),
            destination: shorter(n),
        }
    }
}

/// A request for a flower filter: UDP from and to addresses by prefixes, drop. None that differs in its
/// handle, below 2^21, is met by the same packets.
pub fn add_prefix_filter(ifindex: u32, prio: u16, handle: u32, prefixes: Prefixes) -> Vec<u8> {
    /// 16.0.0.0, from where there is room for 2^28 addresses and so 2^21 of the widest prefixes.
    const FIRST: u32 = 0x1000_0000;
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(uapi::RTM_NEWTFILTER, NEW, &header);
    request.put_text(uapi::TCA_KIND, "flower");
    request.nest(uapi::TCA_OPTIONS, |options| {
        put_drop(options);
        let mask = |prefix: u8| (u32::MAX << (32 - u32::from(prefix))).to_be_bytes();
        let address = (FIRST + (handle << 7)).to_be_bytes();
        options.put(uapi::TCA_FLOWER_KEY_ETH_TYPE, &IPV4.to_be_bytes());
        options.put(uapi::TCA_FLOWER_KEY_IP_PROTO, &[UDP]);
        options.put(uapi::TCA_FLOWER_KEY_IPV4_SRC, &address);
        options.put(uapi::TCA_FLOWER_KEY_IPV4_SRC_MASK, &mask(prefixes.source));
        options.put(uapi::TCA_FLOWER_KEY_IPV4_DST, &address);
        options.put(
            uapi::TCA_FLOWER_KEY_IPV4_DST_MASK,
            &mask(prefixes.destination),
        );
        options.put_u32(uapi::TCA_FLOWER_FLAGS, Place::Hardware as u32);
    });
    request.finish()
}

/// A request that deletes all filters of a preference.
pub fn delete_filters(ifindex: u32, prio: u16) -> Vec<u8> {
    let header = tcmsg(ifindex, 0, INGRESS, info(prio));
    Request::new(uapi::RTM_DELTFILTER, 0, &header).finish()
}

/// A request that deletes a filter.
pub fn delete_filter(ifindex: u32, prio: u16, handle: u32) -> Vec<u8> {
    let header = tcmsg(ifindex, handle, INGRESS, info(prio));
    let mut request = Request::new(uapi::RTM_DELTFILTER, 0, &header);
    request.put_text(uapi::TCA_KIND, "flower");
    request.finish()
}

/// A request for all filters of a device, with statistics.
pub fn dump_filters(ifindex: u32) -> Vec<u8> {
    tc::dump_filters(ifindex).finish()
}

/// A request for all flows of a device, of the module's own family, and a socket for it.
pub fn list_flows(ifindex: u32) -> Result<(Connection, Vec<u8>)> {
    let mut connection = generic::connect()?;
    let ekho = Family::find(&mut connection, MODULE)?.map_err(std::io::Error::from)?;
    let mut request = ekho.dump(family::EKHO_CMD_FLOW_GET, family::EKHO_FAMILY_VERSION);
    request.put_u32(family::EKHO_A_FLOW_IFINDEX, ifindex);
    Ok((Connection(connection), request.finish()))
}

/// A socket, in the thread's network namespace.
pub struct Connection(netlink::Connection);

impl Connection {
    pub fn new() -> Result<Self> {
        Ok(Self(netlink::Connection::new()?))
    }

    /// Sends a request and waits for the last of its answers.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.0
            .exchange(request, |_, _| ())?
            .map_err(std::io::Error::from)?;
        Ok(())
    }

    /// Sends a request for a dump, and counts the answers.
    pub fn count(&mut self, request: &[u8]) -> Result<usize> {
        let mut answers = 0;
        self.0
            .exchange(request, |_, _| answers += 1)?
            .map_err(std::io::Error::from)?;
        Ok(answers)
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
        let filter = |prio, handle| {
            add_filter(3, prio, handle, Place::Hardware)[tc::HEADER + tc::TCMSG..].to_vec()
        };
        assert_ne!(filter(1, 1), filter(1, 2));
        assert_ne!(filter(1, 1), filter(2, 1));
    }

    #[test]
    fn prefixes_are_64_masks() {
        let mut all: Vec<_> = (0..64).map(Prefixes::nth).collect();
        all.dedup();
        for (n, prefixes) in all.iter().enumerate() {
            assert!(!all[..n].contains(prefixes));
        }
        assert_eq!(all.len(), 64);
    }
}
