// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as bytes.

use netlink_packet_core::NlasIterator;
use nix::libc::{NLM_F_ACK, NLM_F_REQUEST};

/// Bytes of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// A request, complete but for its length.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request with the family's own header, which is to be acknowledged.
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut data = Vec::with_capacity(512);
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(&kind.to_ne_bytes());
        data.extend_from_slice(&((NLM_F_REQUEST | NLM_F_ACK) as u16 | flags).to_ne_bytes());
        data.extend_from_slice(&[0; 8]);
        data.extend_from_slice(header);
        Self(data)
    }

    /// Adds an attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = 4 + value.len();
        self.0.extend_from_slice(&(length as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a number.
    pub fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds text.
    pub fn put_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Adds an attribute that holds others.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.0.len();
        self.put(kind, &[]);
        fill(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// The bytes to send.
    pub fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// `struct tcmsg`
pub fn tcmsg(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    header[8..12].copy_from_slice(&handle.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header[16..20].copy_from_slice(&info.to_ne_bytes());
    header
}

/// `struct ifinfomsg`
pub fn ifinfomsg(ifindex: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Preference and EtherType of a filter, for [`tcmsg`].
pub fn info(prio: u16, protocol: u16) -> u32 {
    (u32::from(prio) << 16) | u32::from(protocol.to_be())
}

/// Attributes, one after the other; stops where they make no sense.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// All of them: kind and value.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        NlasIterator::new(self.0).map_while(|attribute| {
            let attribute = attribute.ok()?;
            // Its value() lives no longer than itself.
            let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
            Some((kind, attribute.into_inner().get(4..length)?))
        })
    }

    /// The value of an attribute.
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter()
            .find(|(is, _)| *is == kind)
            .map(|(_, value)| value)
    }

    /// The attributes in an attribute; none if it isn't there.
    pub fn nested(self, kind: u16) -> Attributes<'a> {
        Attributes(self.get(kind).unwrap_or(&[]))
    }

    /// A number.
    pub fn u32(self, kind: u16) -> Option<u32> {
        u32_at(self.get(kind)?, 0)
    }

    /// A number of two bytes.
    pub fn u16(self, kind: u16) -> Option<u16> {
        let bytes = self.get(kind)?.get(..2)?.try_into().ok()?;
        Some(u16::from_ne_bytes(bytes))
    }

    /// A number that is sent with four bytes, or with eight where it must be (`uint`).
    pub fn uint(self, kind: u16) -> Option<u64> {
        let value = self.get(kind)?;
        match value.len() {
            4 => u32_at(value, 0).map(u64::from),
            _ => Some(u64::from_ne_bytes(value.try_into().ok()?)),
        }
    }

    /// The same with a sign (`sint`).
    pub fn sint(self, kind: u16) -> Option<i64> {
        let value = self.get(kind)?;
        match value.len() {
            4 => u32_at(value, 0).map(|value| i64::from(value as i32)),
            _ => Some(i64::from_ne_bytes(value.try_into().ok()?)),
        }
    }

    /// Whether an attribute is there.
    pub fn has(self, kind: u16) -> bool {
        self.get(kind).is_some()
    }

    /// The values of an attribute that may be there several times.
    pub fn all(self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(is, _)| *is == kind)
            .map(|(_, value)| value)
    }

    /// Text.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.get(kind)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }
}

/// A number of four bytes within data.
pub fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{RTM_NEWTFILTER, TCA_CHAIN, TCA_KIND, TCA_OPTIONS};

    #[test]
    fn what_is_put_is_found_again() {
        let mut request = Request::new(RTM_NEWTFILTER, 0, &[7; 20]);
        request
            .put_text(TCA_KIND, "flower")
            .nest(TCA_OPTIONS, |options| {
                options.put_u32(22, 5).put(4, &[1, 2, 3]);
            });
        request.put_u32(TCA_CHAIN, 9);
        let request = request.finish();
        assert_eq!(u32_at(&request, 0), Some(request.len() as u32));
        let attributes = Attributes(&request[HEADER + 20..]);
        assert_eq!(attributes.text(TCA_KIND), Some("flower"));
        assert_eq!(attributes.nested(TCA_OPTIONS).u32(22), Some(5));
        assert_eq!(attributes.nested(TCA_OPTIONS).get(4), Some(&[1, 2, 3][..]));
        assert_eq!(attributes.u32(TCA_CHAIN), Some(9));
        assert_eq!(attributes.get(12), None);
    }

    #[test]
    fn numbers_are_as_wide_as_they_must_be() {
        let mut request = Request::new(0, 0, &[]);
        request
            .put_u32(1, 7)
            .put(2, &u64::MAX.to_ne_bytes())
            .put_u32(3, -5i32 as u32)
            .put(4, &(-5i64).to_ne_bytes())
            .put(5, &[1, 2, 3])
            .put(6, &0x0800u16.to_ne_bytes())
            .put_u32(1, 8);
        let request = request.finish();
        let attributes = Attributes(&request[HEADER..]);
        assert_eq!(
            (attributes.uint(1), attributes.uint(2)),
            (Some(7), Some(u64::MAX))
        );
        assert_eq!(
            (attributes.sint(3), attributes.sint(4)),
            (Some(-5), Some(-5))
        );
        assert_eq!(
            (attributes.uint(5), attributes.sint(5), attributes.u32(5)),
            (None, None, None)
        );
        assert_eq!(
            (attributes.u16(6), attributes.u16(5)),
            (Some(0x0800), Some(0x0201))
        );
        assert_eq!(attributes.all(1).count(), 2);
        assert!(attributes.has(5) && !attributes.has(7));
    }

    #[test]
    fn headers_are_laid_out_as_the_kernel_does() {
        let header = tcmsg(3, 7, 0xffff_fff2, info(10, 0x0800));
        let words: Vec<_> = (0..5).filter_map(|n| u32_at(&header, 4 * n)).collect();
        let protocol = u32::from(0x0800_u16.to_be());
        assert_eq!(words, [0, 3, 7, 0xffff_fff2, (10 << 16) | protocol]);
    }
}
