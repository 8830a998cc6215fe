// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules of nftables: one is read, to make the kernel ask for its statistics.

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::libc::{NFNL_SUBSYS_NFTABLES, NFPROTO_NETDEV, NFT_MSG_GETRULE};

use super::message::Request;
use super::socket::Connection;
use crate::error::{Error, Result};

// `NFTA_RULE_…`, which `libc` doesn't have.
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;

/// What identifies a rule for `nft`. Only those of the family netdev are offloaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleSpec {
    /// Name of the device on which its flow is.
    pub dev: String,
    /// Name of its table.
    pub table: String,
    /// Name of its chain.
    pub chain: String,
    /// Its handle, as `nft -a list` prints it.
    pub handle: u64,
}

impl std::fmt::Display for RuleSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As `nft delete rule` takes it.
        write!(
            f,
            "netdev {} {} handle {}",
            self.table, self.chain, self.handle
        )
    }
}

fn read_request(rule: &RuleSpec) -> Request {
    let kind = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE;
    // struct nfgenmsg: family, version, number of the resource.
    let mut request = Request::new(kind as u16, 0, &[NFPROTO_NETDEV as u8, 0, 0, 0]);
    request.put_text(TABLE, &rule.table);
    request.put_text(CHAIN, &rule.chain);
    request.put(HANDLE, &rule.handle.to_be_bytes());
    request
}

/// Reads one rule, which makes the kernel ask for the statistics of exactly that rule.
pub fn poll(rule: &RuleSpec) -> Result<()> {
    Connection::with_protocol(NETLINK_NETFILTER)
        .and_then(|mut connection| connection.exchange(&read_request(rule).finish(), |_, _| ()))
        .map_err(Error::io(format!("can't ask for rule {rule}")))?
        .map_err(|refusal| match refusal.errno {
            Errno::ENOENT => Error::NoRule {
                rule: rule.to_string(),
                source: refusal.errno.into(),
            },
            errno => Error::io(format!("can't ask for rule {rule}"))(errno.into()),
        })
}

#[cfg(test)]
mod tests {
    use super::super::message::{Attributes, HEADER};
    use super::*;

    #[test]
    fn rules_are_encoded_as_nft_does() {
        let rule = RuleSpec {
            dev: "ek0".into(),
            table: "t".into(),
            chain: "c".into(),
            handle: 4,
        };
        let data = read_request(&rule).finish();
        assert_eq!(data[4..6], 0x0a07u16.to_ne_bytes());
        assert_eq!(data[HEADER..HEADER + 4], [5, 0, 0, 0]);
        let attributes = Attributes(&data[HEADER + 4..]);
        assert_eq!(attributes.text(TABLE), Some("t"));
        assert_eq!(attributes.text(CHAIN), Some("c"));
        assert_eq!(attributes.get(HANDLE), Some(&[0, 0, 0, 0, 0, 0, 0, 4][..]));
        assert_eq!(rule.to_string(), "netdev t c handle 4");
    }
}
