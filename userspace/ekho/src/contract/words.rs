// SPDX-License-Identifier: MIT OR Apache-2.0

//! Matches in the words of tc's flower, where it has some: for people, while what programs
//! read has numbers.

use super::rule::Match;
use crate::number::parse_number;

/// Bits of `ct_state`: `enum` of `TCA_FLOWER_KEY_CT_FLAGS_*`, in tc's order.
const CT_STATES: [(u64, &str); 6] = [
    (1 << 3, "trk"),
    (1 << 0, "new"),
    (1 << 1, "est"),
    (1 << 2, "rel"),
    (1 << 4, "inv"),
    (1 << 5, "rpl"),
];

/// Bits of `ip_flags`: `FLOW_DIS_IS_FRAGMENT` and `FLOW_DIS_FIRST_FRAG`.
const IP_FLAGS: [(u64, &str); 2] = [(1 << 0, "frag"), (1 << 1, "firstfrag")];

const ETH_TYPES: [(u64, &str); 4] = [
    (0x0800, "ipv4"),
    (0x0806, "arp"),
    (0x8035, "rarp"),
    (0x86dd, "ipv6"),
];

const IP_PROTOS: [(u64, &str); 8] = [
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (115, "l2tp"),
    (132, "sctp"),
];

/// Each bit of the mask as a word, or `None` if one has no name.
fn flags(
    value: u64,
    mask: u64,
    names: &[(u64, &str)],
    word: impl Fn(&str, bool) -> String,
) -> Option<Vec<String>> {
    let known = names.iter().fold(0, |bits, (bit, _)| bits | bit);
    (mask != 0 && mask & !known == 0).then(|| {
        names
            .iter()
            .filter(|(bit, _)| mask & bit != 0)
            .map(|(bit, name)| word(name, value & bit != 0))
            .collect()
    })
}

/// The value of a match, and its mask, as tc writes them: `+trk-new`, `nofrag`, `ipv4`,
/// `tcp`. `None` for all other fields and values: numbers say the same.
pub fn words(item: &Match) -> Option<String> {
    let value = parse_number(&item.value)?;
    let named = |names: &[(u64, &str)]| {
        let (_, name) = names.iter().find(|(number, _)| *number == value)?;
        item.mask.is_none().then(|| (*name).to_owned())
    };
    let mask = || parse_number(item.mask.as_deref()?);
    match item.field.as_str() {
        "eth_type" => named(&ETH_TYPES),
        "ip_proto" => named(&IP_PROTOS),
        "ct_state" => {
            let sign = |name: &str, is_set| format!("{}{name}", if is_set { '+' } else { '-' });
            Some(flags(value, mask()?, &CT_STATES, sign)?.concat())
        }
        "ip_flags" => {
            let no = |name: &str, is_set| format!("{}{name}", if is_set { "" } else { "no" });
            Some(flags(value, mask()?, &IP_FLAGS, no)?.join("/"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_read_as_tc_writes_them() {
        for (field, value, mask, want) in [
            ("eth_type", "0x0800", None, Some("ipv4")),
            ("eth_type", "0x86dd", None, Some("ipv6")),
            ("eth_type", "0x88cc", None, None),
            ("eth_type", "0x0800", Some("0xff00"), None),
            ("eth_type", "0x", None, None),
            ("ip_proto", "6", None, Some("tcp")),
            ("ip_proto", "58", None, Some("icmpv6")),
            ("ip_proto", "47", None, None),
            ("ip_proto", "6", Some("0x0f"), None),
            ("ct_state", "0xa", Some("0xb"), Some("+trk-new+est")),
            ("ct_state", "0x8", Some("0x3c"), Some("+trk-rel-inv-rpl")),
            ("ct_state", "0x8", Some("0x48"), None),
            ("ct_state", "0x8", None, None),
            ("ip_flags", "0x1", Some("0x1"), Some("frag")),
            ("ip_flags", "0x0", Some("0x1"), Some("nofrag")),
            ("ip_flags", "0x3", Some("0x3"), Some("frag/firstfrag")),
            ("ip_flags", "0x1", Some("0x3"), Some("frag/nofirstfrag")),
            ("ip_flags", "0x4", Some("0x4"), None),
            ("ip_flags", "0x0", Some("0x0"), None),
            ("src_port", "6", None, None),
        ] {
            let item = Match {
                field: field.into(),
                value: value.into(),
                mask: mask.map(Into::into),
            };
            assert_eq!(words(&item).as_deref(), want, "{field} {value} {mask:?}");
        }
    }
}
