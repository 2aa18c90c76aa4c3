//! The identity of a network namespace. The number of its inode is given to another one when it has ended.

use std::io;

use rustix::net::netlink;

use super::{
    ask_of,
    message::{NetlinkReply, u32_of},
};

/// The type of the question (`linux/sock_diag.h`), and its family: sockets of netlink themselves.
const BY_FAMILY: u16 = 20;
const NETLINK_FAMILY: u8 = 16;
/// The length of `struct netlink_diag_req`: family, protocol (0: routing), then nothing that narrows the answer.
const QUESTION: usize = 20;

/// Returns the number of the network namespace of this process, which no other one gets until the host starts again;
/// `None` if the kernel does not tell (`CONFIG_NETLINK_DIAG`).
///
/// It is the cookie of the kernel's own socket for routing, which is as old as the namespace: the kernel counts the
/// cookies of all sockets up.
pub fn network_cookie() -> Option<u64> {
    asked().ok().flatten()
}

fn asked() -> io::Result<Option<u64>> {
    let mut question = [0; QUESTION];
    if let Some(family) = question.first_mut() {
        *family = NETLINK_FAMILY;
    }
    let replies = ask_of(Some(netlink::SOCK_DIAG), BY_FAMILY, true, &question)?;
    Ok(replies.iter().find_map(cookie))
}

/// Returns the cookie of a socket in `struct netlink_diag_msg`, if it is the kernel's own for routing.
fn cookie(reply: &NetlinkReply) -> Option<u64> {
    // Four bytes (family, type, protocol, state), four numbers (the first is the owner, 0 for the kernel), the cookie.
    const HEAD: usize = 28;
    let (head, _) = reply.parts(HEAD)?;
    let is_routing = head.get(2) == Some(&0) && u32_of(head.get(4..8)?) == Some(0);
    let (low, high) = (u32_of(head.get(20..24)?)?, u32_of(head.get(24..28)?)?);
    is_routing.then_some(u64::from(high) << u32::BITS | u64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_that_of_the_kernels_routing_socket() {
        let socket = |protocol: u8, owner: u32, low: u32, high: u32| {
            let mut body = vec![NETLINK_FAMILY, 2, protocol, 7];
            for number in [owner, 0, 0, 99, low, high] {
                body.extend(number.to_ne_bytes());
            }
            NetlinkReply::Data { kind: BY_FAMILY, body }
        };
        assert_eq!(cookie(&socket(0, 0, 7, 1)), Some((1 << 32) + 7));
        assert_eq!(cookie(&socket(0, 4711, 7, 1)), None, "a program's own");
        assert_eq!(cookie(&socket(4, 0, 7, 1)), None, "another protocol");
        assert_eq!(cookie(&NetlinkReply::Data { kind: BY_FAMILY, body: vec![0; 8] }), None);
    }

    #[test]
    fn a_namespace_has_one_number() {
        // Without it in the kernel, there is none.
        assert_eq!(network_cookie(), network_cookie());
    }
}
