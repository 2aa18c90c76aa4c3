//! Free ports, below those that the system uses for outgoing connections.

use std::{
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    ops::RangeInclusive,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
/// The last port that is used: Linux uses those from 32,768 for outgoing connections.
const LAST: u16 = 32_000;

/// Returns `count` consecutive ports, free on both loopback addresses. No two calls return the same ones until all have
/// been used; the first depends on the process, so that two test programs can run.
pub(crate) fn free_ports(count: u16) -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = LAST - FIRST;
    let begin = u16::try_from(process::id().wrapping_mul(97) % u32::from(span)).unwrap();
    for _ in 0..span {
        let offset = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + (begin + offset % span) % span;
        let ports = first..=first + count - 1;
        if ports.clone().all(is_free) {
            return ports;
        }
    }
    panic!("no {count} free ports in a row between {FIRST} and {LAST}");
}

pub(super) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && (!has_ipv6() || TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok())
}

#[test]
fn two_calls_give_different_ports() {
    let (some, others) = (free_ports(3), free_ports(3));
    assert_eq!(some.clone().count(), 3);
    assert!(!some.contains(others.start()) && !some.contains(others.end()));
}
