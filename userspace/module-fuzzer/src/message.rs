// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests as trees of attributes, and what can be wrong with them.

use ekho::kernel::netlink::Request;
use fastrand::Rng;

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// With a value.
    Value(u16, Vec<u8>),
    /// With attributes in it.
    Nest(u16, Vec<Node>),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: u16,
    pub flags: u16,
    /// The family's own.
    pub header: Vec<u8>,
    pub attributes: Vec<Node>,
}

impl Node {
    pub fn u8(kind: u16, value: u8) -> Self {
        Self::Value(kind, vec![value])
    }

    pub fn u16(kind: u16, value: u16) -> Self {
        Self::Value(kind, value.to_ne_bytes().to_vec())
    }

    pub fn be16(kind: u16, value: u16) -> Self {
        Self::Value(kind, value.to_be_bytes().to_vec())
    }

    pub fn u32(kind: u16, value: u32) -> Self {
        Self::Value(kind, value.to_ne_bytes().to_vec())
    }

    pub fn u64(kind: u16, value: u64) -> Self {
        Self::Value(kind, value.to_ne_bytes().to_vec())
    }

    pub fn text(kind: u16, value: &str) -> Self {
        Self::Value(kind, [value.as_bytes(), &[0]].concat())
    }

    /// Numbers, as a structure has them.
    pub fn words(kind: u16, words: &[u32]) -> Self {
        Self::Value(kind, words.iter().flat_map(|w| w.to_ne_bytes()).collect())
    }

    /// Bytes that it takes up.
    fn size(&self) -> usize {
        let inner = match self {
            Self::Value(_, value) => value.len(),
            Self::Nest(_, nodes) => nodes.iter().map(Self::size).sum(),
        };
        4 + inner.next_multiple_of(4)
    }

    fn put(&self, request: &mut Request) {
        match self {
            Self::Value(kind, value) => {
                request.put(*kind, value);
            }
            Self::Nest(kind, nodes) => {
                // NLA_F_NESTED, on which newer attributes insist.
                request.nest(*kind ^ 0x8000, |request| {
                    for node in nodes {
                        node.put(request);
                    }
                });
            }
        }
    }
}

/// What a request may have at most, so that lengths of attributes don't wrap.
const MAX_SIZE: usize = 32 << 10;

impl Message {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut request = Request::new(self.kind, self.flags, &self.header);
        let mut room = MAX_SIZE;
        for node in &self.attributes {
            // A mutation may have made it too long, and so may another of what is in it.
            room = match room.checked_sub(node.size()) {
                Some(room) => room,
                None => break,
            };
            node.put(&mut request);
        }
        request.finish()
    }

    /// Makes something wrong with it, or just unusual.
    pub fn mutate(&mut self, rng: &mut Rng) {
        match rng.u8(..16) {
            0 => self.flags ^= 1 << rng.u8(8..12),
            1 => {
                // Handle, parent or preference and protocol; the device stays.
                let at = rng.usize(2..5) * 4;
                if let Some(word) = self.header.get_mut(at..at + 4) {
                    word.copy_from_slice(&odd(rng).to_ne_bytes());
                }
            }
            _ => mutate_nodes(&mut self.attributes, rng),
        }
    }
}

/// Changes one node, at any depth.
fn mutate_nodes(nodes: &mut Vec<Node>, rng: &mut Rng) {
    if nodes.is_empty() {
        nodes.push(Node::Value(rng.u16(..128), bytes(rng, 8)));
        return;
    }
    let index = rng.usize(..nodes.len());
    if let Node::Nest(_, inner) = &mut nodes[index] {
        if rng.u8(..8) != 0 {
            return mutate_nodes(inner, rng);
        }
    }
    match rng.u8(..12) {
        0 => drop(nodes.remove(index)),
        1 => nodes.insert(rng.usize(..=nodes.len()), nodes[index].clone()),
        2 => {
            let other = rng.usize(..nodes.len());
            nodes.swap(index, other);
        }
        3 => nodes.push(Node::Value(rng.u16(..128), bytes(rng, 16))),
        // In itself, as if it were deeper.
        4 => nodes[index] = Node::Nest(rng.u16(..16), vec![nodes[index].clone()]),
        5 => match &mut nodes[index] {
            Node::Value(kind, _) | Node::Nest(kind, _) => {
                *kind = match rng.u8(..4) {
                    0 => *kind ^ 0x8000,
                    1 => *kind ^ 0x4000,
                    2 => rng.u16(..),
                    _ => rng.u16(..128),
                };
            }
        },
        _ => match &mut nodes[index] {
            Node::Value(_, value) => mutate_value(value, rng),
            Node::Nest(kind, _) => nodes[index] = Node::Value(*kind, bytes(rng, 8)),
        },
    }
}

fn mutate_value(value: &mut Vec<u8>, rng: &mut Rng) {
    // For a name that it doesn't know the kernel starts modprobe, which takes as long as thousands
    // of requests.
    let is_name = value.len() > 2 && value[..2].iter().all(u8::is_ascii_lowercase);
    if is_name && rng.u8(..50) != 0 {
        return;
    }
    match rng.u8(..8) {
        0 => value.truncate(rng.usize(..=value.len())),
        1 => value.extend(bytes(rng, 8)),
        2 => *value = bytes(rng, 300),
        3 | 4 if value.len() >= 4 => {
            let at = rng.usize(..=value.len() - 4);
            value[at..at + 4].copy_from_slice(&odd(rng).to_ne_bytes());
        }
        5 => {
            let byte = *rng.choice(&[0, 0xff]).unwrap_or(&0);
            value.fill(byte);
        }
        _ if !value.is_empty() => {
            let at = rng.usize(..value.len());
            value[at] ^= 1 << rng.u8(..8);
        }
        _ => value.push(rng.u8(..)),
    }
}

/// Breaks the framing of a request.
pub fn damage(data: &mut Vec<u8>, rng: &mut Rng) {
    match rng.u8(..3) {
        0 => {
            data.truncate(rng.usize(16..=data.len()));
            let length = data.len() as u32;
            data[..4].copy_from_slice(&length.to_ne_bytes());
        }
        // Where an attribute's length may be.
        _ if data.len() > 40 => {
            let at = rng.usize(9..data.len() / 4) * 4;
            data[at..at + 2].copy_from_slice(&(odd(rng) as u16).to_ne_bytes());
        }
        _ => {}
    }
}

/// Up to so many random bytes.
pub fn bytes(rng: &mut Rng, max: usize) -> Vec<u8> {
    let n = rng.usize(..=max);
    std::iter::repeat_with(|| rng.u8(..)).take(n).collect()
}

/// A number of the kind that is forgotten.
pub fn odd(rng: &mut Rng) -> u32 {
    match rng.u8(..6) {
        0 => rng.u32(..),
        1 => 1 << rng.u32(..32),
        2 => (1u32 << rng.u32(..32)).wrapping_sub(1),
        3 => 0u32.wrapping_sub(rng.u32(..4)),
        4 => 0x7fff_ffff,
        _ => rng.u32(..8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ekho::kernel::netlink::{u32_at, Attributes};
    use ekho_testkit::tc::{HEADER, TCMSG};
    use ekho_testkit::uapi::{
        RTM_NEWTFILTER, TCA_FLOWER_FLAGS, TCA_FLOWER_KEY_ETH_TYPE, TCA_KIND, TCA_OPTIONS,
    };

    fn message() -> Message {
        Message {
            kind: RTM_NEWTFILTER,
            flags: 0,
            header: vec![0; 20],
            attributes: vec![
                Node::text(TCA_KIND, "flower"),
                Node::Nest(
                    TCA_OPTIONS,
                    vec![
                        Node::u32(TCA_FLOWER_FLAGS, 5),
                        Node::be16(TCA_FLOWER_KEY_ETH_TYPE, 0x800),
                    ],
                ),
            ],
        }
    }

    #[test]
    fn trees_become_attributes() {
        let data = message().encode();
        let attributes = Attributes(&data[HEADER + TCMSG..]);
        assert_eq!(attributes.text(TCA_KIND), Some("flower"));
        assert_eq!(
            attributes.nested(TCA_OPTIONS).u32(TCA_FLOWER_FLAGS),
            Some(5)
        );
        assert_eq!(
            attributes.nested(TCA_OPTIONS).get(TCA_FLOWER_KEY_ETH_TYPE),
            Some(&[8, 0][..])
        );
    }

    #[test]
    fn mutations_change_what_is_sent_but_not_to_whom() {
        let mut rng = Rng::with_seed(1);
        let mut changed = 0;
        for _ in 0..2000 {
            let mut other = message();
            for _ in 0..rng.u8(1..4) {
                other.mutate(&mut rng);
            }
            assert_eq!(other.header[..8], [0; 8], "the device stays");
            let data = other.encode();
            assert_eq!(u32_at(&data, 0), Some(data.len() as u32));
            assert!(data.len() <= MAX_SIZE + 36);
            changed += u32::from(data != message().encode());
        }
        assert!(changed > 1600, "{changed} of 2000");
    }

    #[test]
    fn damaged_requests_have_a_header() {
        let mut rng = Rng::with_seed(1);
        let whole = message().encode();
        let mut changed = 0;
        for _ in 0..500 {
            let mut data = whole.clone();
            damage(&mut data, &mut rng);
            let length = u32_at(&data, 0).unwrap() as usize;
            assert!((16..=data.len()).contains(&length), "{length}");
            changed += u32::from(data != whole);
        }
        assert!(changed > 400, "{changed} of 500");
    }
}
