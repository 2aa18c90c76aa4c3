//! The form of netlink messages: pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The length of the header of a message (`struct nlmsghdr`).
const HEADER: usize = 16;
/// The length of the header of an attribute.
const ATTRIBUTE_HEADER: usize = 4;
/// The bits of an attribute's type that are its number; the others tell that it is nested, or in network byte order.
const TYPE_BITS: u16 = 0x3fff;

const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

const FAILED: u16 = 2;
const DONE: u16 = 3;

/// A message from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NetlinkReply {
    /// The end of a dump.
    Done,
    /// The number of an error; 0 is an acknowledgement.
    Failed(i32),
    /// A type, and its data.
    Data { kind: u16, body: Vec<u8> },
}

impl NetlinkReply {
    /// Returns the fixed part of `length` bytes, and the attributes after it.
    pub(super) fn parts(&self, length: usize) -> Option<(&[u8], Attributes<'_>)> {
        let Self::Data { body, .. } = self else { return None };
        let (head, rest) = body.split_at_checked(length)?;
        Some((head, Attributes(rest)))
    }
}

/// Returns a request of this type.
pub(super) fn request(kind: u16, is_dump: bool, body: &[u8]) -> Vec<u8> {
    let flags = if is_dump { REQUEST | DUMP } else { REQUEST };
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // A sequence number, and the sender's number, which the kernel fills in.
    bytes.extend([1_u32, 0].iter().flat_map(|number| number.to_ne_bytes()));
    bytes.extend(body);
    bytes
}

/// Appends an attribute.
pub(super) fn push(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Returns the messages of one datagram; a damaged one ends the list.
pub(super) fn replies(mut bytes: &[u8]) -> Vec<NetlinkReply> {
    let mut found = Vec::new();
    while let Some((length, kind)) = u32_of(bytes).zip(bytes.get(4..6).and_then(u16_of)) {
        let length = length as usize;
        let Some(body) = bytes.get(HEADER..length) else { break };
        found.push(match kind {
            DONE => NetlinkReply::Done,
            // The number is negative.
            FAILED => NetlinkReply::Failed(
                u32_of(body).map_or(0, |number| number.cast_signed().wrapping_neg()),
            ),
            kind => NetlinkReply::Data { kind, body: body.to_vec() },
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The attributes of a message: each a number, and its value.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'b>(pub(super) &'b [u8]);

impl<'b> Iterator for Attributes<'b> {
    type Item = (u16, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_of(self.0)?);
        let kind = u16_of(self.0.get(2..4)?)? & TYPE_BITS;
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Returns the number that the bytes begin with.
pub(super) fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

pub(super) fn u16_of(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// Returns a text without the zero byte at its end.
pub(super) fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Returns an address of either family.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk().map(|bytes: &[u8; 4]| Ipv4Addr::from(*bytes).into()),
        16 => bytes.first_chunk().map(|bytes: &[u8; 16]| Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}

/// Returns the bytes of an address.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_and_answered_has_one_form() {
        let mut body = vec![7; 4];
        push(&mut body, 3, b"eth0\0");
        push(&mut body, 0x8001, &[10, 0, 0, 1]);
        let mut bytes = request(16, false, &body);
        bytes.extend(request(DONE, false, &[0; 4]));
        let found = replies(&bytes);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], NetlinkReply::Done);
        let (head, attributes) = found[0].parts(4).unwrap();
        assert_eq!(head, [7; 4]);
        let shown: Vec<_> = attributes.collect();
        assert_eq!(shown, [(3, &b"eth0\0"[..]), (1, &[10, 0, 0, 1])]);
        assert_eq!(text(shown[0].1), "eth0");
        assert_eq!(address(shown[1].1).unwrap().to_string(), "10.0.0.1");
        let refused = request(FAILED, false, &(-101_i32).to_ne_bytes());
        assert_eq!(replies(&refused), [NetlinkReply::Failed(101)]);
    }

    proptest! {
        #[test]
        fn no_bytes_hold_the_reader_or_end_it(bytes: Vec<u8>) {
            let found = replies(&bytes);
            prop_assert!(found.len() <= bytes.len());
            for reply in &found {
                if let Some((_, attributes)) = reply.parts(4) {
                    prop_assert!(attributes.count() <= bytes.len());
                }
            }
        }
    }
}
