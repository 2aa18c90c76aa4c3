//! Questions to nftables, as far as looking up elements of sets needs them: `nft` itself reads all elements of all sets
//! before it looks for one.

use std::{io, ops::ControlFlow};

use rustix::net::{
    RecvFlags, SendFlags, SocketFlags, netlink, recv, send,
    sockopt::{Timeout, set_socket_timeout},
};

use super::{
    ANSWER_TIME_MAX, DATAGRAM_BYTES, DATAGRAMS_MAX,
    message::{Attributes, NetlinkReply, push, replies, request},
    open,
};

/// The number of nftables among the subsystems of netfilter.
const SUBSYSTEM: u16 = 10;
/// The length of `struct nfgenmsg`: the family, a version, and a number that is not used here.
const FAMILY_LENGTH: usize = 4;
/// The bit of an attribute that consists of others.
const NESTED: u16 = 0x8000;

/// A question to nftables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterQuery<'a> {
    /// The number of its kind, such as `NFT_MSG_GETSET`.
    pub(crate) kind: u16,
    /// The number of the family.
    pub(crate) family: u8,
    /// Its attributes.
    pub(crate) attributes: &'a [u8],
    /// True if everything is asked for, not one object.
    pub(crate) is_dump: bool,
}

/// Returns an attribute with these bytes.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, kind, value);
    bytes
}

/// Returns a text as an attribute.
pub(crate) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

/// Returns attributes as one.
pub(crate) fn nested(kind: u16, inner: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, inner)
}

/// Returns the attributes in `bytes`, by number.
pub(crate) fn attributes(bytes: &[u8]) -> Vec<(u16, &[u8])> {
    Attributes(bytes).collect()
}

/// Returns the value of the first attribute of that number.
pub(crate) fn value<'b>(all: &[(u16, &'b [u8])], kind: u16) -> Option<&'b [u8]> {
    all.iter().find(|(number, _)| *number == kind).map(|(_, value)| *value)
}

/// Asks, and passes the family and attributes of each answer to `take` until that breaks. What does not exist is an
/// error of the kind `NotFound`.
pub(crate) fn ask(
    query: &FilterQuery<'_>,
    mut take: impl FnMut(u8, &[(u16, &[u8])]) -> ControlFlow<()>,
) -> io::Result<()> {
    let socket = open(Some(netlink::NETFILTER), SocketFlags::empty())?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME_MAX))?;
    let body = [&[query.family, 0, 0, 0], query.attributes].concat();
    let sent = request(SUBSYSTEM << 8 | query.kind, query.is_dump, &body);
    send(&socket, &sent, SendFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    for _ in 0..DATAGRAMS_MAX {
        let (_, count) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        for reply in replies(buffer.get(..count).unwrap_or_default()) {
            if let NetlinkReply::Failed(number) = &reply
                && *number != 0
            {
                return Err(io::Error::from_raw_os_error(*number));
            }
            let Some((head, all)) = reply.parts(FAMILY_LENGTH) else { return Ok(()) };
            let family = head.first().copied().unwrap_or_default();
            if take(family, &all.collect::<Vec<_>>()).is_break() || !query.is_dump {
                return Ok(());
            }
        }
    }
    Err(io::Error::other("the kernel's answer does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_and_read_alike() {
        let inner = attribute(1, &[1, 2, 3]);
        let sent = [text(1, "a"), nested(3, &inner)].concat();
        let all = attributes(&sent);
        assert_eq!(value(&all, 1), Some(&b"a\0"[..]));
        assert_eq!(attributes(value(&all, 3).unwrap()), [(1, &[1_u8, 2, 3][..])]);
        assert_eq!(value(&all, 2), None);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]), []);
    }
}
